package job

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

// Unreached is the result of a device of a terminal run that was never claimed:
// such devices have no row of their own. It is derived from the run, so that a
// canceled run of 10,000 devices is settled by one write.
func (r Run) Unreached() (ResultStatus, string) {
	switch {
	case r.Status == StatusCanceled:
		return ResultCanceled, ReasonNeverStarted
	case r.Reason == ReasonInternal:
		return ResultSkipped, ReasonInternal
	}
	return ResultSkipped, ReasonCapacity
}

// Done returns how many results are terminal.
func (c Counts) Done() int {
	return c.Succeeded + c.Failed + c.Unreachable + c.Canceled + c.Skipped + c.TimedOut + c.Unknown
}
