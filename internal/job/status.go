package job

// Status is the state of a run.
type Status string

// The statuses of a run. All but the first four are terminal.
const (
	Scheduled        Status = "scheduled"
	AwaitingApproval Status = "awaiting_approval"
	Queued           Status = "queued"  // accepted; not started yet
	Running          Status = "running" // started; Reason may be ReasonCanceling or ReasonOverdue
	Succeeded        Status = "succeeded"
	Failed           Status = "failed"
	StatusCanceled   Status = "canceled"
	TimedOut         Status = "timed_out"
	Missed           Status = "missed"
)

// Terminal reports whether a run in this status is over. A terminal run never
// changes.
func (s Status) Terminal() bool {
	switch s {
	case Succeeded, Failed, StatusCanceled, TimedOut, Missed:
		return true
	}
	return false
}

// Statuses lists every status of a run in life-cycle order.
func Statuses() []Status {
	return []Status{Scheduled, AwaitingApproval, Queued, Running, Succeeded, Failed, StatusCanceled, TimedOut, Missed}
}

// ResultStatus is the state of one device (and step) in a run.
type ResultStatus string

// The statuses of a result. The first two are not terminal.
const (
	ResultPending     ResultStatus = "pending"
	ResultRunning     ResultStatus = "running" // claimed
	ResultSucceeded   ResultStatus = "succeeded"
	ResultFailed      ResultStatus = "failed"
	ResultUnreachable ResultStatus = "unreachable"
	ResultCanceled    ResultStatus = "canceled"
	ResultSkipped     ResultStatus = "skipped"
	ResultTimedOut    ResultStatus = "timed_out"
	ResultUnknown     ResultStatus = "unknown"
)

// Terminal reports whether the device is done in this run.
func (s ResultStatus) Terminal() bool {
	return s != ResultPending && s != ResultRunning && s != ""
}

// ResultStatuses lists every status of a result.
func ResultStatuses() []ResultStatus {
	return []ResultStatus{ResultPending, ResultRunning, ResultSucceeded, ResultFailed, ResultUnreachable,
		ResultCanceled, ResultSkipped, ResultTimedOut, ResultUnknown}
}

// Reasons of runs and results, where one helps. They are words for programs;
// Result.Message says it to a person.
const (
	ReasonCanceling      = "canceling"        // running: a cancel was asked, a claim is still live
	ReasonOverdue        = "overdue"          // running: past the deadline, a claim is still live
	ReasonCanceled       = "canceled"         // by a person
	ReasonDeadline       = "deadline"         // the run's own deadline passed
	ReasonNoTargets      = "no_targets"       // a run that needs targets had none
	ReasonCapacity       = "capacity"         // never reached for want of capacity
	ReasonDevices        = "devices"          // the run failed because a device did not succeed
	ReasonInternal       = "internal"         // planning failed; Message says how
	ReasonNeverStarted   = "never_started"    // canceled before the device was touched
	ReasonStopped        = "stopped"          // canceled while running; the kill was confirmed
	ReasonStopUnsure     = "stop_unconfirmed" // canceled while running; whether it stopped is not known
	ReasonLost           = "lost"             // the connection or the executor went away after the command was sent
	ReasonTimeLimit      = "time_limit"       // killed at its time limit, confirmed
	ReasonKillUnsure     = "kill_unconfirmed" // time limit reached; whether the command stopped is not known
	ReasonExitStatus     = "exit_status"      // the command ended with a status other than 0, or by a signal
	ReasonRendering      = "rendering"        // the template could not be rendered for this device
	ReasonAuthentication = "authentication"   // the device refused the login
	ReasonHostKeyChanged = "host_key_changed" // the device showed another key than the pinned one
	ReasonHostKeyUnknown = "host_key_unknown" // strict, and no key is pinned
	ReasonNoCredential   = "no_credential"    // the device has no credential
	ReasonConnect        = "connect"          // no TCP connection or no SSH handshake
	ReasonJump           = "jump"             // the jump host could not be passed
	ReasonDeviceGone     = "device_gone"      // the device was deleted after the run was submitted
	ReasonTooLate        = "too_late"         // missed: it could not begin by its start-before, or within the grace period
	ReasonPaused         = "paused"           // scheduled: its schedule is paused
	ReasonStopAfter      = "stop_after"       // too many devices failed; those not begun are skipped
	ReasonAborted        = "aborted"          // the execution was ended from outside before it began
	ReasonTargets        = "targets"          // the devices could not be found when the run was to start
	ReasonUnsupported    = "unsupported"      // this device or platform cannot do what was asked
)

// MessageAborted is the message of a device that a forced cancel did not wait for.
const MessageAborted = "Task aborted: the task might be still running on the device"
