package foreman

import (
	"slices"

	"drover/internal/job"
)

// State and result of a task.
const (
	taskScheduled = "scheduled"
	taskPlanned   = "planned"
	taskRunning   = "running"
	taskStopped   = "stopped"

	resultPending   = "pending"
	resultSuccess   = "success"
	resultWarning   = "warning"
	resultError     = "error"
	resultCancelled = "cancelled"
)

// notKnown stands for a count, or a host's status, that is not there yet.
const notKnown = "N/A"

// phase is what a run is in Foreman's words.
type phase struct {
	code          int // job_invocation.status
	label         string
	state, result string // of the run's task
}

// The values of job_invocation.status with their labels.
const (
	codeSucceeded = iota
	codeFailed
	codeQueued
	codeRunning
	codeCancelled
)

var labels = [...]string{
	codeSucceeded: "succeeded", codeFailed: "failed", codeQueued: "queued", codeRunning: "running", codeCancelled: "cancelled",
}

// codes are the statuses of runs as numbers of Foreman's.
var codes = map[job.Status]int{
	job.Scheduled:        codeQueued,
	job.AwaitingApproval: codeQueued,
	job.Queued:           codeRunning,
	job.Running:          codeRunning,
	job.Succeeded:        codeSucceeded,
	job.Failed:           codeFailed,
	job.StatusCanceled:   codeCancelled,
	job.TimedOut:         codeFailed,
	job.Missed:           codeCancelled,
}

// statusesOf are the statuses of runs that a label matches in a search. A job
// that waits for its time is both queued and, not having stopped, running.
func statusesOf(label string) []job.Status {
	var all []job.Status
	for _, s := range job.Statuses() {
		if labels[codes[s]] == label || label == labels[codeRunning] && codes[s] == codeQueued {
			all = append(all, s)
		}
	}
	return all
}

// matchedLabels are the labels whose search a status meets.
func matchedLabels(s job.Status) []string {
	var all []string
	for _, l := range labels {
		if slices.Contains(statusesOf(l), s) {
			all = append(all, l)
		}
	}
	return all
}

// phaseOf returns a run in Foreman's words.
func phaseOf(run job.Run) phase {
	p := phase{code: codes[run.Status], state: taskStopped}
	p.label = labels[p.code]
	switch run.Status {
	case job.Scheduled, job.AwaitingApproval:
		p.state, p.result = taskScheduled, resultPending
	case job.Queued:
		p.state, p.result = taskPlanned, resultPending
	case job.Running:
		p.state, p.result = taskRunning, resultPending
	case job.Succeeded:
		p.result = resultSuccess
	case job.StatusCanceled:
		p.result = resultCancelled
		if run.Started != nil {
			p.result = resultWarning
		}
	case job.Failed, job.TimedOut:
		p.result = resultError
		if run.Started != nil && run.Reason != job.ReasonInternal && run.Reason != job.ReasonTargets {
			p.result = resultWarning
		}
	default:
		p.result = resultError // it came too late
	}
	return p
}

// hostResults are the results of devices as results of tasks.
var hostResults = map[job.ResultStatus]string{
	job.ResultPending:     resultPending,
	job.ResultRunning:     resultPending,
	job.ResultSucceeded:   resultSuccess,
	job.ResultFailed:      resultError,
	job.ResultUnreachable: resultError,
	job.ResultTimedOut:    resultError,
	job.ResultUnknown:     resultError,
	job.ResultCanceled:    resultCancelled,
	job.ResultSkipped:     resultCancelled,
}

// resultsOf are the results of devices that a host's result stands for.
func resultsOf(word string) []job.ResultStatus {
	var all []job.ResultStatus
	for _, s := range job.ResultStatuses() {
		if hostResults[s] == word {
			all = append(all, s)
		}
	}
	return all
}

// hasHostTasks reports whether the hosts of a run have tasks: from its start on.
func hasHostTasks(run job.Run) bool { return run.Started != nil }

// hostTask returns the state and result of a host's task.
func hostTask(s job.ResultStatus) (state, result string) {
	switch s {
	case job.ResultPending, "":
		return taskPlanned, resultPending
	case job.ResultRunning:
		return taskRunning, resultPending
	}
	return taskStopped, hostResults[s]
}

// jobStatus is job_status of a host.
func jobStatus(run job.Run, s job.ResultStatus) string {
	if !hasHostTasks(run) {
		if run.Status.Terminal() {
			return resultCancelled
		}
		return notKnown
	}
	state, result := hostTask(s)
	if state != taskStopped {
		return state
	}
	return result
}

// counters are the numbers of hosts of a job: integers, or notKnown.
type counters struct {
	succeeded, failed, pending, total, totalHosts any
	cancelled                                     int
}

// countersOf returns the counters of a run, of which c are the results as they
// are now. They are known from the run's start on.
func countersOf(run job.Run, c job.Counts) counters {
	n := counters{succeeded: notKnown, failed: notKnown, pending: notKnown, total: notKnown, totalHosts: notKnown}
	if run.Unresolved {
		return n
	}
	n.totalHosts = run.Total
	if codes[run.Status] == codeQueued {
		return n
	}
	n.total = run.Total
	if run.Status == job.Queued {
		return n
	}
	failed := c.Failed + c.Unreachable + c.TimedOut + c.Unknown
	n.cancelled = c.Canceled + c.Skipped
	n.succeeded, n.failed = c.Succeeded, failed
	n.pending = max(0, run.Total-c.Succeeded-failed-n.cancelled)
	return n
}

// scheduleStates are the states of schedules in Foreman's words.
var scheduleStates = map[job.ScheduleState]string{
	job.ScheduleActive:   "active",
	job.SchedulePaused:   "disabled",
	job.ScheduleFinished: "finished",
	job.ScheduleCanceled: "cancelled",
	job.ScheduleFailed:   "failed",
}

// Targeting types.
const (
	staticQuery  = "static_query"
	dynamicQuery = "dynamic_query"
)

// Modes of a job. One that ran at once has none in answers.
const (
	modeFuture    = "future"
	modeRecurring = "recurring"
)
