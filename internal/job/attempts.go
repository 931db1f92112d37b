package job

import "time"

// MaxAttempts is how often a device may be tried at most: once, Retries.Count
// times more after failures that are known, and, where OnUnknown says repeat,
// at least once more after an attempt of which nothing is known.
func (l Limits) MaxAttempts() int {
	n := 1 + max(0, l.Retries.Count)
	if l.OnUnknown == OnUnknownRepeat {
		n = max(n, 2)
	}
	return n
}

// DetachAfter is the time limit above which a command on a linux host runs apart
// from the connection that started it.
const DetachAfter = 10 * time.Minute

// DetachGrace is how long after its time limit the end of a detached command is
// still looked for.
const DetachGrace = 10 * time.Minute

// Detach reports whether commands run detached that may take longer than after
// (0: DetachAfter; negative: none do). One that has its limit only by
// default does so only where a connection cannot be held that long: no longer than
// held; 0: as long as one likes.
func (l Limits) Detach(after, held time.Duration) bool {
	if after == 0 {
		after = DetachAfter
	}
	if after < 0 || l.Timeout <= after {
		return false
	}
	return !l.DefaultTimeout || held > 0 && l.Timeout > held
}

// Unreached is the result of a device of a terminal run that was never claimed:
// such devices have no row of their own. It is derived from the run, so that a
// canceled run of 10,000 devices is settled by one write.
func (r Run) Unreached() (ResultStatus, string) {
	switch {
	case r.Status == StatusCanceled:
		return ResultCanceled, ReasonNeverStarted
	case r.Status == Missed:
		return ResultSkipped, ReasonTooLate
	case r.Reason == ReasonStopAfter:
		return ResultSkipped, ReasonStopAfter
	case r.Reason == ReasonInternal:
		return ResultSkipped, ReasonInternal
	case r.Reason == ReasonAborted:
		return ResultSkipped, ReasonAborted
	}
	return ResultSkipped, ReasonCapacity
}

// Lost is the result of a device whose executor went away: nothing is known of
// its command.
func (r Result) Lost(now time.Time) Result {
	r.Status, r.Reason, r.Message = ResultUnknown, ReasonLost, "the executor went away before the result was recorded"
	r.Claim, r.Detached, r.NotBefore, r.Ended = nil, nil, nil, &now
	return r
}

// Done returns how many results are terminal.
func (c Counts) Done() int {
	return c.Succeeded + c.Failed + c.Unreachable + c.Canceled + c.Skipped + c.TimedOut + c.Unknown
}
