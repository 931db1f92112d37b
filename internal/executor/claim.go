package executor

import (
	"context"
	"log/slog"
	"time"

	"drover/internal/device"
	"drover/internal/job"
)

// deviceCall is one device in one call. r is the row as it is stored, or as it
// would be: with Rev "" there is none that we know of.
type deviceCall struct {
	*call
	w      Work
	script string
	r      job.Result
	mine   bool // r is this call's claim
	told   bool // it was counted as failed
	// recorded says that what came of the last attempt is stored.
	recorded bool
	last     job.Result // what the last attempt of this call came to
}

// step does one thing for the device, going by its row. It is called again as
// long as it says so; otherwise wait says when the unit is to be called for
// again, 0 for never.
func (d *deviceCall) step(ctx context.Context) (wait time.Duration, again bool, err error) {
	now := d.Clock()
	switch {
	case d.r.Status.Terminal():
		return 0, false, nil
	case d.r.Status == job.ResultRunning && !d.mine && d.r.Detached != nil:
		return d.resume(ctx)
	case d.r.Status == job.ResultRunning && !d.mine:
		if left := d.r.Claim.Until.Sub(now); left > 0 && !d.Ledger.Gone(d.r.Claim.Owner) {
			return clampWait(min(d.Spacing, left)), false, nil
		}
		if d.w.Limits.OnUnknown != job.OnUnknownRepeat || d.r.Attempts >= d.w.Limits.MaxAttempts() {
			return d.end(ctx, d.r.Lost(now))
		}
		// A dead claim of a job that repeats: claimed anew below.
	case d.r.Status == job.ResultPending && d.r.NotBefore != nil && d.r.NotBefore.After(now):
		return d.pause(ctx, d.r.NotBefore.Sub(now))
	}
	closed, err := d.look(ctx)
	if err == nil && !closed && ctx.Err() != nil {
		err = stopping(ctx)
	}
	if err != nil || closed {
		return d.close(ctx, err)
	}
	if d.w.Refused != nil {
		return d.end(ctx, d.refused(now))
	}
	inTime, err := d.pace(ctx)
	if err != nil || d.closed() {
		return d.close(ctx, err)
	}
	now = d.Clock()
	if !inTime || !d.fits(ctx, 0, d.length(ctx)) {
		if d.mine {
			return d.release(ctx, now)
		}
		return time.Second, false, nil
	}
	claimed, err := d.claim(ctx, now)
	if err != nil || !claimed {
		return 0, err == nil, err
	}
	return d.try(ctx)
}

// pace waits for the limit on new connections before the device is claimed: a
// claim counts the time of one attempt, not that of a queue. It reports false
// when the wait would outlive the call. When ctx ends first it finds out why, as
// sleep does.
func (d *deviceCall) pace(ctx context.Context) (inTime bool, err error) {
	p, ok := d.Dialer.(device.Pacer)
	if !ok {
		return true, nil
	}
	if err := p.Pace(ctx); err != nil {
		if ctx.Err() == nil {
			return false, nil
		}
		return false, d.ended(ctx)
	}
	d.w.Endpoint.Paced = true
	_, err = d.look(ctx)
	return true, err
}

// clampWait keeps a wait in whole seconds, at least one.
func clampWait(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}

func (d *deviceCall) refused(now time.Time) job.Result {
	r := d.r
	return over(r, d.w.Refused.Status, d.w.Refused.Reason, d.message(d.w.Refused.Message), now)
}

// end writes a last state. When somebody else was faster the device is looked at
// again.
func (d *deviceCall) end(ctx context.Context, r job.Result) (time.Duration, bool, error) {
	d.tell(ctx, r)
	_, err := d.Ledger.Write(ctx, r)
	if job.CodeOf(err) == job.Conflict {
		return 0, true, d.reload(ctx)
	}
	if err == nil {
		d.logResult(ctx, r, 0)
	}
	return 0, false, err
}

func (d *deviceCall) logResult(ctx context.Context, r job.Result, took time.Duration) {
	level := slog.LevelInfo
	if r.Status == job.ResultSucceeded {
		level = slog.LevelDebug
	}
	d.Log.LogAttrs(ctx, level, "device done", slog.String("device", r.Device), slog.String("status", string(r.Status)),
		slog.String("reason", r.Reason), slog.Int("attempts", r.Attempts), slog.Duration("took", took))
}

// reload reads the device's row after a conflict.
func (d *deviceCall) reload(ctx context.Context) error {
	r, err := d.Ledger.Result(ctx, d.r.Index)
	switch job.CodeOf(err) {
	case "":
		d.r = r
		d.mine = r.Status == job.ResultRunning && r.Claim != nil && r.Claim.Owner == d.Owner
		if r.Status == job.ResultRunning && r.Claim == nil {
			d.r.Claim = &job.Claim{} // over, whoever wrote it
		}
		return nil
	case job.NotFound:
		d.r.Rev, d.mine = "", false
		return nil
	}
	return err
}

// claim writes the claim of the next attempt. It reports false when somebody
// else wrote the row meanwhile; the row is then read again.
func (d *deviceCall) claim(ctx context.Context, now time.Time) (bool, error) {
	r := d.r
	r.Status, r.Reason, r.Message = job.ResultRunning, "", ""
	r.Exit, r.Signal, r.Output = nil, "", job.Output{}
	r.NotBefore, r.Ended = nil, nil
	r.Attempts++
	if r.Started == nil {
		r.Started = &now
	}
	r.Claim, r.Detached = &job.Claim{Owner: d.Owner, Until: d.until(ctx, now, d.length(ctx))}, d.detached(now)
	rev, err := d.Ledger.Write(ctx, r)
	if job.CodeOf(err) == job.Conflict {
		if err := d.reload(ctx); err != nil {
			return false, err
		}
		// The write that conflicts may be our own: a driver that lost
		// the first answer writes again.
		return d.mine && d.r.Attempts == r.Attempts, nil
	}
	if err != nil {
		return false, err
	}
	r.Rev = rev
	d.r, d.mine = r, true
	return true, nil
}

// try makes one attempt under the claim just written and decides what follows.
func (d *deviceCall) try(ctx context.Context) (time.Duration, bool, error) {
	if d.r.Detached != nil {
		return d.attend(ctx, false)
	}
	d.begun = true
	began := d.Clock()
	o := d.attempt(ctx)
	if o.stop == stopLost {
		d.Log.WarnContext(ctx, "claim lost while the command ran; its result is dropped", "device", d.w.Device, "attempt", d.r.Attempts)
		return 0, false, nil
	}
	return d.decide(ctx, o, began)
}

// decide records what an attempt came to, or what follows it.
func (d *deviceCall) decide(ctx context.Context, o outcome, began time.Time) (time.Duration, bool, error) {
	now := d.Clock()
	r := o.result(d.r, now)
	if o.stop == stopShutdown && (!o.sent || d.mayRepeat()) {
		// Nothing ran, or the job allows it to run again: whoever comes next may.
		r.Status, r.Ended = job.ResultPending, nil
		if err := d.record(ctx, r, 0); err != nil {
			return 0, false, err
		}
		return 0, false, stopping(ctx)
	}
	if o.stop == stopNone || o.stop == stopTime && !o.sent {
		if wait, ok := d.retry(o, r, now); ok {
			return d.waitForRetry(ctx, r, wait, now)
		}
	}
	if err := d.record(ctx, r, now.Sub(began)); err != nil {
		return 0, false, err
	}
	if o.stop == stopShutdown {
		return 0, false, stopping(ctx)
	}
	return 0, false, nil
}

func (d *deviceCall) mayRepeat() bool {
	return d.w.Limits.OnUnknown == job.OnUnknownRepeat && d.r.Attempts < d.w.Limits.MaxAttempts()
}

// retry says whether a further attempt follows, and after which wait.
func (d *deviceCall) retry(o outcome, r job.Result, now time.Time) (time.Duration, bool) {
	wait := max(0, d.w.Limits.Retries.Wait)
	switch {
	case o.again == againNever, d.closed(), d.Control.overdue(now.Add(wait)):
		return 0, false
	case o.again == againIfRepeat:
		return wait, d.mayRepeat()
	}
	return wait, r.Attempts <= d.w.Limits.Retries.Count
}

// waitForRetry waits for the next attempt: in this call, under the claim if it
// lasts that long, or by answering "again" with the time stored.
func (d *deviceCall) waitForRetry(ctx context.Context, r job.Result, wait time.Duration, now time.Time) (time.Duration, bool, error) {
	next := now.Add(wait)
	d.last = r
	r.Status, r.Ended, r.NotBefore, r.Claim = job.ResultPending, nil, &next, nil
	hold := wait <= d.HeldWait && d.w.Detach == "" && d.fits(ctx, wait, d.w.Limits.Timeout)
	if hold && next.Before(d.r.Claim.Until.Add(-claimMargin)) {
		return d.pauseClaimed(ctx, wait)
	}
	rev, err := d.write(ctx, r)
	if err != nil {
		return 0, false, d.dropped(ctx, err)
	}
	r.Rev = rev
	d.r, d.mine, d.recorded = r, false, true
	return 0, true, nil // step sees NotBefore
}

// pause waits until a device's next attempt may begin, or says when to come back.
func (d *deviceCall) pause(ctx context.Context, wait time.Duration) (time.Duration, bool, error) {
	if wait > d.HeldWait || !d.fits(ctx, wait, d.length(ctx)) {
		return clampWait(wait), false, nil
	}
	return 0, true, d.sleep(ctx, wait)
}

// pauseClaimed waits for the next attempt under the claim of the last one.
func (d *deviceCall) pauseClaimed(ctx context.Context, wait time.Duration) (time.Duration, bool, error) {
	if err := d.sleep(ctx, wait); err != nil {
		return d.close(ctx, err)
	}
	return 0, true, nil
}

// sleep waits. When ctx ends first it finds out why: nil means that the run was
// canceled, which the next look shows.
func (d *deviceCall) sleep(ctx context.Context, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return d.ended(ctx)
	}
}

// ended says why ctx ended while nothing ran: nil means that the run is closed,
// which the next look shows.
func (d *deviceCall) ended(ctx context.Context) error {
	c, cancel := d.recording(ctx)
	defer cancel()
	if control, err := d.Ledger.Control(c); err == nil {
		d.Control = control
	}
	if d.closed() {
		return nil
	}
	return stopping(ctx)
}

// close lets go of the device because the run is closed (err nil) or the call
// cannot go on (err). A claim of ours is replaced by what is known: no command
// runs.
func (d *deviceCall) close(ctx context.Context, err error) (time.Duration, bool, error) {
	if !d.mine {
		return 0, false, err
	}
	now := d.Clock()
	r := d.last
	r.Rev = d.r.Rev
	switch {
	case err != nil:
		r.Status, r.Ended, r.NotBefore, r.Claim = job.ResultPending, nil, &now, nil
	case d.Control.Canceled:
		r.Status, r.Reason, r.Message = job.ResultCanceled, job.ReasonStopped, "canceled between two attempts"
	}
	if e := d.record(ctx, r, 0); err == nil {
		err = e
	}
	return 0, false, err
}

// release gives up a claim under which nothing runs, for another call to go on.
func (d *deviceCall) release(ctx context.Context, now time.Time) (time.Duration, bool, error) {
	r := d.last
	r.Rev = d.r.Rev
	r.Status, r.Ended, r.NotBefore, r.Claim = job.ResultPending, nil, &now, nil
	return time.Second, false, d.record(ctx, r, 0)
}

// record writes what came of the claim. Somebody else's write instead of it
// means that the claim was over: the result is late, and dropped.
func (d *deviceCall) record(ctx context.Context, r job.Result, took time.Duration) error {
	if r.Status.Terminal() || r.Status == job.ResultPending {
		r.Claim = nil
	}
	d.tell(ctx, r)
	_, err := d.write(ctx, r)
	if job.CodeOf(err) == job.Conflict {
		// Perhaps with a write of our own of which we know only that it
		// failed: then the claim is still ours.
		c, cancel := d.recording(ctx)
		defer cancel()
		if e := d.reload(c); e == nil && d.mine {
			r.Rev = d.r.Rev
			_, err = d.write(ctx, r)
		}
	}
	if err != nil {
		return d.dropped(ctx, err)
	}
	d.recorded = true
	if r.Status.Terminal() {
		d.logResult(ctx, r, took)
	}
	return nil
}

// tell counts a device that will not be tried again and did not succeed. That
// comes before its result is recorded: an executor that dies in between has
// counted one too many rather than one too few.
func (d *deviceCall) tell(ctx context.Context, r job.Result) {
	if d.told || d.w.Limits.StopAfter == (job.StopAfter{}) {
		return
	}
	switch r.Status {
	case job.ResultFailed, job.ResultUnreachable, job.ResultTimedOut, job.ResultUnknown:
	default:
		return
	}
	d.told = true
	for try := 1; ; try++ {
		c, cancel := d.recording(ctx)
		stopped, err := d.Ledger.Failed(c)
		cancel()
		if err == nil {
			d.Control.Stopped = d.Control.Stopped || stopped
			return
		}
		d.Log.WarnContext(ctx, "failed device not counted", "device", d.w.Device, "err", err)
		if try == 3 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (d *deviceCall) dropped(ctx context.Context, err error) error {
	if job.CodeOf(err) != job.Conflict {
		return err
	}
	d.Log.WarnContext(ctx, "late result dropped: the claim was over", "device", d.w.Device, "attempt", d.r.Attempts)
	return nil
}

// recording is the context of writes that must not fail because ctx ended.
func (d *deviceCall) recording(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), claimMargin)
}

// write stores a row, trying again as long as the claim lasts: what a device did
// cannot be found out a second time.
func (d *deviceCall) write(ctx context.Context, r job.Result) (string, error) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		c, cancel := d.recording(ctx)
		rev, err := d.Ledger.Write(c, r)
		cancel()
		switch job.CodeOf(err) {
		case job.Exhausted, job.Unavailable, job.Canceled:
		default:
			return rev, err
		}
		if d.r.Claim == nil || d.Clock().Add(pause).After(d.r.Claim.Until) {
			return rev, err
		}
		d.Log.WarnContext(ctx, "result not recorded yet", "device", d.w.Device, "err", err)
		time.Sleep(pause)
	}
}
