// Package finisher decides whether a run is over and what it amounts to. It is
// pure: values in, values out.
package finisher

import (
	"time"

	"drover/internal/job"
)

// Cause is why a run is looked at.
type Cause string

// The causes.
const (
	Finished   Cause = "finished"    // the map over its units has ended
	Canceled   Cause = "canceled"    // a person asked for it
	Overdue    Cause = "overdue"     // past the run's deadline
	PlanFailed Cause = "plan_failed" // there is no plan, and will be none
	TooLate    Cause = "too_late"    // it had not begun when it was to have begun
	StopAfter  Cause = "stop_after"  // too many devices failed
)

// CauseOf returns the cause that a run's own facts tell.
func CauseOf(r job.Run, now time.Time) Cause {
	switch {
	case r.Canceling():
		return Canceled
	case r.Started == nil && r.StartBefore != nil && !now.Before(*r.StartBefore):
		return TooLate
	case r.Stopped != nil:
		return StopAfter
	case r.Reason == job.ReasonCapacity: // closed by Settle, see there
		return Finished
	case r.Started == nil && r.Reason == job.ReasonTargets: // closed when it was due
		return PlanFailed
	case r.Deadline != nil && !now.Before(*r.Deadline):
		return Overdue
	case r.Started == nil:
		return PlanFailed
	}
	return Finished
}

// Input is all that Settle decides from.
type Input struct {
	Run job.Run
	// Counts are the stored results by status, after Close. Running counts
	// live claims. Total is not used.
	Counts job.Counts
	// DeadlineKills is how many of the results have timed out with the run.
	DeadlineKills int
	// LiveUntil is the latest end of a live claim.
	LiveUntil time.Time
	// Busy says that Execute is under way for the run, as far as is known here.
	Busy bool
	// Grace is how long an Execute that is not known here may take from
	// having looked at the run to having claimed a device. 0: there is none.
	Grace time.Duration
	Now   time.Time
}

// Decision is what to do with the run: store Run. When Settled it is terminal,
// otherwise its Due says when to look again.
type Decision struct {
	Settled bool
	Run     job.Run
}

// Recheck is how long a run that waits for live claims waits at most before it
// is looked at again: a claim mostly ends long before its until.
const Recheck = time.Minute

// Settle decides about a run. A run with a live claim is never settled: it
// stays running, with the reason canceling or overdue where that is so. Devices
// without a result are counted as Run.Unreached says: canceled in a canceled
// run, skipped in one that was missed or stopped after failures, else skipped for
// want of capacity. Counts of a settled run add up to its Total.
//
// Where Executes may be under way that this process does not know of, a run with
// unreached devices is settled only after it has been closed (canceled, stopped,
// or past its deadline) for Grace: a closed run grants no claim, so none is granted
// after the settling. A run whose map ended early is closed by a deadline of now and the
// reason capacity.
//
// A terminal run is returned as it is.
func Settle(in Input) Decision {
	r := in.Run
	if r.Status.Terminal() {
		return Decision{Settled: true, Run: r}
	}
	if r.Status == job.Scheduled && !r.Canceling() {
		return Decision{Run: r} // it waits for its time
	}
	cause := CauseOf(r, in.Now)
	counts := in.Counts
	unreached := max(0, r.Total-counts.Done()-counts.Running-counts.Pending)
	if counts.Running > 0 || in.Busy {
		return Decision{Run: wait(r, cause, in)}
	}
	if unreached > 0 && r.Started != nil && in.Grace > 0 {
		if cause == Finished && r.Reason != job.ReasonCapacity {
			now := in.Now
			r.Deadline, r.Reason, r.Due = &now, job.ReasonCapacity, now.Add(in.Grace)
			return Decision{Run: r}
		}
		if open := closedAt(r).Add(in.Grace); in.Now.Before(open) {
			r = named(r, cause)
			r.Due = open
			return Decision{Run: r}
		}
	}
	r.Status, r.Reason = outcome(r, cause, counts, unreached, in.DeadlineKills)
	if r.Reason == job.ReasonInternal && r.Message == "" {
		r.Message = "the run could not be planned; the log says why"
	}
	if r.Reason == job.ReasonAborted && r.Message == "" {
		r.Message = "the execution was ended from outside before it began"
	}
	status, _ := r.Unreached()
	counts.Add(status, unreached)
	counts.Total = r.Total
	r.Counts = counts
	ended := in.Now
	r.Ended = &ended
	r.Due = time.Time{}
	return Decision{Settled: true, Run: r}
}

// wait is the run while somebody still works on it.
func wait(r job.Run, cause Cause, in Input) job.Run {
	r = named(r, cause)
	r.Due = in.LiveUntil
	if latest := in.Now.Add(Recheck); r.Due.After(latest) {
		r.Due = latest
	}
	if soonest := in.Now.Add(time.Second); r.Due.Before(soonest) {
		r.Due = soonest
	}
	return r
}

func named(r job.Run, cause Cause) job.Run {
	switch cause {
	case Canceled:
		r.Reason = job.ReasonCanceling
	case Overdue:
		r.Reason = job.ReasonOverdue
	}
	return r
}

// closedAt is the moment from which a run grants no claim.
func closedAt(r job.Run) time.Time {
	var first time.Time
	for _, t := range []*time.Time{r.CancelAsked, r.Stopped, r.Deadline} {
		if t != nil && (first.IsZero() || t.Before(first)) {
			first = *t
		}
	}
	return first
}

func outcome(r job.Run, cause Cause, c job.Counts, unreached, deadlineKills int) (job.Status, string) {
	switch {
	case r.Total > 0 && c.Succeeded == r.Total:
		return job.Succeeded, ""
	case cause == Canceled:
		return job.StatusCanceled, job.ReasonCanceled
	case cause == TooLate:
		return job.Missed, job.ReasonTooLate
	case cause == StopAfter:
		return job.Failed, job.ReasonStopAfter
	case cause == PlanFailed && (r.Reason == job.ReasonAborted || r.Reason == job.ReasonTargets):
		return job.Failed, r.Reason
	case cause == PlanFailed:
		return job.Failed, job.ReasonInternal
	case r.Total == 0 && r.NeedsTargets:
		return job.Failed, job.ReasonNoTargets
	case r.Total == 0:
		return job.Succeeded, ""
	case cause == Overdue && (unreached > 0 || deadlineKills > 0):
		return job.TimedOut, job.ReasonDeadline
	case unreached > 0:
		return job.Failed, job.ReasonCapacity
	}
	return job.Failed, job.ReasonDevices
}

// Close returns the last state of a row that nobody works on and nobody will,
// and whether that differs from what is stored. A dead claim becomes unknown, or,
// where its command may still run apart from a connection, canceled or timed out
// with the run; a device between two attempts keeps what its last attempt came to, or
// is canceled with the run.
func Close(r job.Result, cause Cause, now time.Time) (job.Result, bool) {
	switch r.Status {
	case job.ResultRunning:
		switch {
		case r.Detached != nil && cause == Canceled:
			r = ended(r, job.ResultCanceled, job.ReasonStopUnsure, "canceled while the command ran: it is not known whether it has stopped", now)
		case r.Detached != nil && cause == Overdue:
			r = ended(r, job.ResultTimedOut, job.ReasonDeadline, "the run's deadline passed while the command ran: it is not known whether it has stopped", now)
		default:
			r = r.Lost(now)
		}
	case job.ResultPending:
		r.NotBefore, r.Claim, r.Ended = nil, nil, &now
		switch {
		case cause == Canceled:
			r.Status, r.Reason = job.ResultCanceled, job.ReasonStopped
			if r.Attempts == 0 {
				r.Reason = job.ReasonNeverStarted
			}
		case r.Attempts == 0:
			r.Status, r.Reason = job.ResultSkipped, job.ReasonCapacity
		default:
			r.Status = After(r.Reason)
		}
	default:
		return r, false
	}
	return r, true
}

// Aborted is the result of a device whose run was canceled without waiting for
// it.
func Aborted(r job.Result, now time.Time) job.Result {
	return ended(r, job.ResultCanceled, job.ReasonStopUnsure, job.MessageAborted, now)
}

func ended(r job.Result, s job.ResultStatus, reason, message string, now time.Time) job.Result {
	r.Status, r.Reason, r.Message = s, reason, message
	r.Claim, r.Detached, r.NotBefore, r.Ended = nil, nil, nil, &now
	return r
}

// After is the status of a device whose last attempt ended for a reason after
// which a further one was to follow.
func After(reason string) job.ResultStatus {
	switch reason {
	case job.ReasonConnect, job.ReasonJump:
		return job.ResultUnreachable
	case job.ReasonLost:
		return job.ResultUnknown
	case job.ReasonCapacity:
		return job.ResultSkipped
	}
	return job.ResultFailed
}
