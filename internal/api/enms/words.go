package enms

import (
	"fmt"
	"time"

	"drover/internal/inventory"
	"drover/internal/job"
)

// Sentences that callers of eNMS compare.
const (
	msgDisabled  = "The workflow is disabled."
	msgNameTaken = "There is already a run with the same name."
	msgNoResult  = "There are no results or on-going services for the requested service and runtime."
	msgNotYet    = "No results yet."
	msgAborted   = "Aborted"
	msgNoTargets = "The service 'Run method' is set to 'Per device' mode, but no targets have been selected (in Step 3 > Targets)"
)

// Statuses of a run in eNMS.
const (
	statusRunning   = "Running"
	statusCompleted = "Completed"
	statusAborted   = "Aborted"
)

// runStatuses is the table of a run's statuses. eNMS tells good from bad by
// "success", not by the status.
var runStatuses = map[job.Status]string{
	job.Scheduled:        statusRunning,
	job.AwaitingApproval: statusRunning,
	job.Queued:           statusRunning,
	job.Running:          statusRunning,
	job.Succeeded:        statusCompleted,
	job.Failed:           statusCompleted,
	job.StatusCanceled:   statusAborted,
	job.TimedOut:         statusAborted,
	job.Missed:           statusAborted,
}

// triggers is the table of why a run exists; a run over this API is Config.Trigger.
var triggers = map[string]string{job.TriggerSchedule: "Scheduler"}

func (s *server) trigger(run job.Run) string {
	if t, ok := triggers[run.Trigger]; ok {
		return t
	}
	return s.Trigger
}

// unknownTargets is the table of the sentences about targets that do not exist.
var unknownTargets = map[string]string{
	inventory.KindDevice:  "No device with the name '%s'",
	inventory.KindAddress: "No device with the IP address '%s'",
	inventory.KindPool:    "No pool with the name '%s'",
}

// reasons is the table of what a device's "result" says when the command did
// not run to its end. What the executor knows more follows it.
var reasons = map[string]string{
	job.ReasonAuthentication: "Authentication to device failed.",
	job.ReasonHostKeyChanged: "The device's host key is not the pinned one. If the change is meant, accept the new key (drover hostkey accept).",
	job.ReasonHostKeyUnknown: "The device's host key is not known, and its policy is strict. Import the key first (drover hostkey import).",
	job.ReasonConnect:        "The device cannot be reached.",
	job.ReasonJump:           "The device's jump host cannot be passed.",
	job.ReasonLost:           "The connection was lost after the command had been sent; whether it ran to its end is not known.",
	job.ReasonTimeLimit:      "The command was stopped at its time limit.",
	job.ReasonKillUnsure:     "The time limit was reached; whether the command has stopped is not known.",
	job.ReasonCapacity:       "The device was not reached for want of capacity.",
	job.ReasonDeadline:       "The run's deadline passed before the device's turn.",
	job.ReasonAborted:        "The run's execution was ended from outside before it began.",
	job.ReasonDeviceGone:     "The device was deleted after the run was submitted.",
	job.ReasonUnsupported:    "The device cannot do what was asked.",
	job.ReasonInternal:       "Internal error.",
}

// failureText says to a person why a device's command has no outcome of its own.
func failureText(r job.Result) string {
	switch r.Reason {
	case job.ReasonNoCredential:
		return fmt.Sprintf("No matching credentials found for DEVICE '%s'", r.Device)
	case job.ReasonRendering:
		if r.Message != "" {
			return r.Message // ends like Python's: "KeyError: 'aid'"
		}
	}
	if r.Status == job.ResultCanceled {
		return msgAborted
	}
	text, ok := reasons[r.Reason]
	switch {
	case !ok && r.Message == "":
		return fmt.Sprintf("The device's result is %s (%s).", r.Status, r.Reason)
	case !ok:
		return r.Message
	case r.Message == "":
		return text
	}
	return text + "\n" + r.Message
}

// runtimeLayout is how eNMS prints a moment, always with six digits here.
const runtimeLayout = "2006-01-02 15:04:05.000000"

// runtime prints a moment, in UTC.
func runtime(t time.Time) string { return t.UTC().Format(runtimeLayout) }

// parseRuntime reads what runtime printed; a fraction of zero may be left out,
// as eNMS does.
func parseRuntime(s string) (time.Time, bool) {
	const whole = "2006-01-02 15:04:05"
	layout := runtimeLayout
	if len(s) == len(whole) {
		layout = whole
	} else if len(s) != len(runtimeLayout) {
		return time.Time{}, false
	}
	t, err := time.Parse(layout, s)
	return t, err == nil
}

// duration prints how long something took as Python prints a timedelta of
// whole seconds.
func duration(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	text := fmt.Sprintf("%d:%02d:%02d", s/3600%24, s/60%60, s%60)
	switch days := s / 86400; {
	case days == 1:
		return "1 day, " + text
	case days > 1:
		return fmt.Sprintf("%d days, %s", days, text)
	}
	return text
}

// between returns the time from one moment to another, 0 when one is missing.
func between(from, to *time.Time) time.Duration {
	if from == nil || to == nil {
		return 0
	}
	return to.Sub(*from)
}
