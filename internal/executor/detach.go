package executor

import (
	"context"
	"errors"
	"strconv"
	"time"

	"drover/internal/device"
	"drover/internal/job"
)

// A command that runs detached belongs to nobody between two looks at it. Its row
// says that it runs (Result.Detached), and its claim, which has no owner then,
// until when somebody is expected to look again. Whoever comes looks, and writes
// the row once: the result, or what was printed so far and the next such moment. No
// claim is needed for that: looking changes nothing on the device, and of two that
// write at once one is told Conflict. Only the one whose result is stored has the
// device forget the command.
//
// That a command is started once is the device's doing: see device.Detacher. The row
// says before the start that there may be one, so that whoever finds the row of an
// executor that died starts it, if it was not started, or looks after it.

// Times of detached commands.
const (
	// lookGrace is how late somebody may come to look, by the word of a row.
	lookGrace = 5 * time.Minute
	// killTime bounds reaching a device to kill a command, and forgetTime
	// removing what it keeps of one.
	killTime   = 25 * time.Second
	forgetTime = 10 * time.Second
	// startTime is how long starting a command may take at most; whoever began
	// to is dead then.
	startTime = 2 * time.Minute
)

// hold is how long a call stays with a command that it has just started.
func (d *deviceCall) hold(ctx context.Context) time.Duration {
	if d.Stay {
		return d.w.Limits.Timeout + job.DetachGrace
	}
	if !d.w.Limits.DefaultTimeout {
		return d.Hold
	}
	// Nobody asked for so much time: the command is probably a short one.
	if left, bounded := d.left(ctx); bounded {
		return max(d.Hold, left-2*connectAndKill)
	}
	return d.w.Limits.Timeout
}

// leaving reports whether this process is about to end.
func (d *deviceCall) leaving() bool {
	select {
	case <-d.Leaving:
		return true
	default:
		return false
	}
}

// length is how long an attempt takes of a call.
func (d *deviceCall) length(ctx context.Context) time.Duration {
	if d.w.Detach == "" {
		return d.w.Limits.Timeout
	}
	return d.hold(ctx)
}

// detached is a new command's place in its row.
func (d *deviceCall) detached(now time.Time) *job.Detached {
	if d.w.Detach == "" {
		return nil
	}
	return &job.Detached{Begun: now, Deadline: now.Add(connectAndKill + d.w.Limits.Timeout + job.DetachGrace)}
}

// resume looks after a command that was, or may have been, started before.
func (d *deviceCall) resume(ctx context.Context) (time.Duration, bool, error) {
	now := d.Clock()
	if c := d.r.Claim; c.Owner != "" && !d.Ledger.Gone(c.Owner) {
		if left := c.Until.Sub(now); left > 0 {
			d.busy = true
			return clampWait(min(d.Spacing, left)), false, nil
		}
	}
	if _, err := d.look(ctx); err != nil {
		return 0, false, err
	}
	if ctx.Err() != nil {
		return 0, false, d.ended(ctx)
	}
	switch {
	case d.Control.Canceled && d.Control.Force:
		defer d.killAfter(ctx)
		return d.end(ctx, over(d.r, job.ResultCanceled, job.ReasonStopUnsure, job.MessageAborted, now))
	case d.w.Refused != nil:
		return d.end(ctx, over(d.r, job.ResultUnknown, job.ReasonLost, "the command can no longer be looked after: "+d.message(d.w.Refused.Message), now))
	}
	inTime, err := d.pace(ctx)
	if err != nil {
		return 0, false, err
	}
	if !inTime {
		d.busy = true
		return time.Second, false, nil
	}
	now = d.Clock()
	d.r.Claim = &job.Claim{Owner: d.Owner, Until: d.until(ctx, now, d.hold(ctx))}
	if d.r.Detached.Started == nil {
		// It may have to be started, which takes a claim: of two that come at
		// once one would start what the other has seen to its end and forgotten.
		rev, err := d.Ledger.Write(ctx, d.r)
		if job.CodeOf(err) == job.Conflict {
			// With a write of our own, perhaps, of which the answer got lost.
			if err := d.reload(ctx); err != nil || !d.mine {
				return 0, err == nil, err
			}
		} else if err != nil {
			return 0, false, err
		} else {
			d.r.Rev = rev
		}
	}
	d.mine = true
	return d.attend(ctx, true)
}

func over(r job.Result, s job.ResultStatus, reason, message string, now time.Time) job.Result {
	r.Status, r.Reason, r.Message = s, reason, message
	r.Claim, r.Detached, r.NotBefore, r.Ended = nil, nil, nil, &now
	return r
}

// attend works on a detached command under the claim of this call, and decides what
// follows.
func (d *deviceCall) attend(ctx context.Context, resumed bool) (time.Duration, bool, error) {
	d.begun, d.recorded = true, false
	began := d.Clock()
	a := &attendance{d: d, resumed: resumed, ref: d.ref()}
	defer a.close()
	o, done := a.attempt(ctx)
	if o.stop == stopLost {
		d.Log.WarnContext(ctx, "claim lost while the command ran; its result is dropped", "device", d.w.Device, "attempt", d.r.Attempts)
		return 0, false, nil
	}
	if !done {
		wait, err := d.handOver(ctx, a)
		if err == nil && o.stop == stopShutdown {
			err = stopping(ctx)
		}
		return wait, false, err
	}
	wait, again, err := d.decide(ctx, o, began)
	if o.stop == stopForce && o.sent {
		d.killAfter(ctx)
	}
	if err == nil && d.recorded && o.sent && o.stop != stopForce {
		a.forget(ctx)
	}
	return wait, again, err
}

// ref is what the device knows the command by.
func (d *deviceCall) ref() device.Detached {
	return device.Detached{Name: d.w.Detach + "-" + strconv.Itoa(d.r.Attempts), Become: d.w.Become, BecomePassword: d.w.BecomePassword}
}

// killAfter kills a command whose run was canceled by force, after its result was
// recorded. Where the process stays nobody waits for that.
func (d *deviceCall) killAfter(ctx context.Context) {
	if d.w.Refused != nil || d.w.Detach == "" {
		return
	}
	own := *d // which goes on meanwhile
	a := &attendance{d: &own, ref: d.ref()}
	kill := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
		defer cancel()
		defer a.close()
		gone := false
		s, err := a.session(ctx, killTime)
		if err == nil {
			_, gone, err = s.Kill(ctx, a.ref)
		}
		switch {
		case gone:
			a.forget(ctx)
		case err != nil:
			own.Log.InfoContext(ctx, "detached command of a run canceled by force not killed", "device", own.w.Device, "err", own.message(err.Error()))
		}
	}
	if d.Stay {
		go kill()
	} else {
		kill()
	}
}

// handOver leaves the command to whoever comes next.
func (d *deviceCall) handOver(ctx context.Context, a *attendance) (time.Duration, error) {
	now := d.Clock()
	// The command's own end, and the run's, are met on time.
	wait := d.Spacing
	for _, end := range []time.Time{d.r.Detached.Begun.Add(d.w.Limits.Timeout + 5*time.Second), d.Control.Deadline} {
		if left := end.Sub(now); left > 0 {
			wait = min(wait, left)
		}
	}
	wait = clampWait(wait)
	r := d.r
	r.Claim = &job.Claim{Until: now.Add(wait + lookGrace)}
	if a.w != nil {
		r.Output, r.Detached = a.w.left()
	}
	d.busy = true
	_, err := d.write(ctx, r)
	if err != nil {
		return wait, d.dropped(ctx, err)
	}
	return wait, nil
}

// attendance is one call's work on one detached command.
type attendance struct {
	d       *deviceCall
	ref     device.Detached
	resumed bool // another call may have started it
	w       *watch
	s       device.Session
	p       device.Progress
	kept    [2][]byte // of the streams, raw, from their beginning
}

func (a *attendance) close() {
	if a.s != nil {
		_ = a.s.Close()
	}
}

// attempt starts the command or looks after it, and says what came of it; done is
// false when it goes on.
func (a *attendance) attempt(ctx context.Context) (o outcome, done bool) {
	d := a.d
	actx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.w = d.watch(ctx, cancel)
	if d.Control.Canceled {
		cancel(errCanceled)
	} else if d.Control.overdue(d.Clock()) {
		cancel(errDeadline)
	}
	sent, err := a.follow(actx)
	d.r.Rev = a.w.end()
	d.r.Detached = a.w.row.Detached
	var why stop
	if actx.Err() != nil && a.p.State != device.DetachedEnded {
		why = d.why(ctx, context.Cause(actx))
		if errors.Is(context.Cause(actx), errForced) || why == stopCancel && d.Control.Force {
			why = stopForce
		}
	}
	o, done = a.judge(ctx, sent, err, why)
	if !done {
		return o, false
	}
	o.message = d.message(o.message)
	if why == stopForce || a.p.State != device.DetachedEnded && len(a.kept[0])+len(a.kept[1]) == 0 {
		o.output = a.w.shown() // or what an earlier call had seen
		if a.resumed && o.output.Stdout == "" && o.output.Stderr == "" {
			o.output = d.r.Output
		}
		return o, true
	}
	o.output = d.output(a.exit())
	o.output.Marks = a.w.marks.last(o.output, d.Clock())
	return o, true
}

// follow reaches the device, has the command started if that is not known to
// have been done, and follows it for as long as this call stays with it. sent says
// whether the device can have seen anything of the command.
func (a *attendance) follow(ctx context.Context) (sent bool, err error) {
	d := a.d
	sent = a.resumed
	s, err := a.session(ctx, d.Connect)
	if err != nil {
		return sent, err
	}
	held, most := time.Now(), d.hold(ctx)
	if a.resumed && !d.Stay {
		most = 0
	}
	if d.r.Detached.Started == nil {
		cmd := device.DetachedCommand{Detached: a.ref, Script: d.script, Timeout: d.w.Limits.Timeout, OutputLimit: d.w.Limits.OutputLimit, Wait: min(d.Every, most)}
		if a.resumed {
			cmd.Tried = max(time.Second, d.Clock().Sub(d.r.Detached.Begun))
		}
		a.p, err = s.Detach(ctx, cmd)
		if err != nil {
			var e *device.Error
			return sent || !errors.As(err, &e) || e.Sent, err
		}
		sent = true
	} else if err = a.look(ctx, s, 0); err != nil {
		return sent, err
	}
	for {
		a.take()
		if a.p.State != device.DetachedRunning {
			return sent, nil
		}
		left := most - time.Since(held)
		if left <= 0 || d.leaving() {
			return sent, nil
		}
		if err = a.look(ctx, s, min(d.Every, left)); err != nil {
			return sent, err
		}
	}
}

// session returns a connection to the device.
func (a *attendance) session(ctx context.Context, most time.Duration) (device.Detacher, error) {
	if a.s == nil {
		ctx, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		s, err := a.d.Dialer.Dial(ctx, a.d.w.Endpoint)
		if err != nil {
			return nil, err
		}
		a.s = s
		a.d.w.Endpoint.Paced = false
	}
	if s, ok := a.s.(device.Detacher); ok {
		return s, nil
	}
	return nil, &device.Error{Phase: device.PhaseStart, Reason: job.ReasonUnsupported, Msg: "no command can run detached there"}
}

func (a *attendance) look(ctx context.Context, s device.Detacher, wait time.Duration) (err error) {
	from := device.Offsets{Stdout: int64(len(a.kept[0])), Stderr: int64(len(a.kept[1]))}
	a.p, err = s.Look(ctx, a.ref, from, wait)
	return err
}

// take keeps and follows what has come.
func (a *attendance) take() {
	for i, p := range [2][]byte{a.p.Stdout, a.p.Stderr} {
		if len(p) > 0 {
			a.kept[i] = append(a.kept[i], p...)
			a.w.follow(i+1, p)
		}
	}
	a.p.Stdout, a.p.Stderr = nil, nil
	switch a.p.State {
	case device.DetachedRunning, device.DetachedEnded:
		a.w.started(a.d.Clock())
	}
}

// exit is the end of the command, as far as it is known.
func (a *attendance) exit() device.Exit {
	return device.Exit{Status: a.p.Status, Stdout: a.kept[0], Stderr: a.kept[1], StdoutBytes: a.p.StdoutBytes, StderrBytes: a.p.StderrBytes,
		TimedOut: a.p.TimedOut, Killed: a.p.TimedOut, KillConfirmed: a.p.KillConfirmed}
}

// judge says what the command came to; done is false when it goes on, or when
// nothing is known of it that would not be known better later.
func (a *attendance) judge(ctx context.Context, sent bool, err error, why stop) (o outcome, done bool) {
	d, now := a.d, a.d.Clock()
	begun := d.r.Detached.Begun
	switch {
	case why == stopForce, why == stopLost:
		return classify(device.Exit{}, sent, err, why), true
	case !sent && why != stopNone:
		return classify(device.Exit{}, false, err, why), true
	case why == stopTime, why == stopShutdown:
		return outcome{stop: why, sent: true}, false
	case why != stopNone:
		return a.kill(ctx, why), true
	case err != nil && !sent:
		return classify(device.Exit{}, false, err, stopNone), true
	case err != nil && now.After(d.r.Detached.Deadline):
		return lostFor("the command's end could not be learned: " + err.Error()), true
	case err != nil:
		d.Log.InfoContext(ctx, "the detached command is looked at again later", "device", d.w.Device, "err", d.message(err.Error()))
		return outcome{sent: true}, false
	}
	switch a.p.State {
	case device.DetachedEnded:
		return classify(a.exit(), true, nil, stopNone), true
	case device.DetachedLost:
		return lostFor("the command was ended from outside, or the device was restarted"), true
	case device.DetachedMissing:
		return lostFor("the device knows nothing of the command any more"), true
	case device.DetachedStarting:
		if now.Sub(begun) > startTime {
			return lostFor("whoever started the command did not come to the end of it"), true
		}
	case device.DetachedRunning:
		if now.After(d.r.Detached.Deadline) {
			return a.kill(ctx, stopNone), true // the device does not keep its time limit
		}
	}
	return outcome{sent: true}, false
}

func lostFor(message string) outcome {
	return outcome{status: job.ResultUnknown, reason: job.ReasonLost, message: message, again: againIfRepeat, sent: true}
}

// killedStatus is what a killed command ends with: one that somebody killed who died
// before saying so did not end by itself.
const killedStatus = 128 + 9

// kill ends the command, with a connection of its own if the one there is is of no
// use, and says what is known. One that has ended by itself keeps its result.
func (a *attendance) kill(ctx context.Context, why stop) outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
	defer cancel()
	var found, gone bool
	for range 2 {
		s, err := a.session(ctx, killTime/2)
		if err == nil {
			found, gone, err = s.Kill(ctx, a.ref)
		}
		if err == nil {
			if a.look(ctx, s, 2*time.Second) == nil {
				a.take()
			}
			break
		}
		a.d.Log.InfoContext(ctx, "detached command not killed yet", "device", a.d.w.Device, "err", a.d.message(err.Error()))
		a.close()
		a.s = nil
	}
	if gone && !found && a.p.State == device.DetachedEnded && (a.p.TimedOut || a.p.Status != killedStatus) {
		return classify(a.exit(), true, nil, stopNone)
	}
	if gone && !found && a.p.State == device.DetachedMissing && a.d.r.Detached.Started == nil {
		return classify(device.Exit{}, false, nil, why) // it was never started
	}
	exit := a.exit()
	exit.Status, exit.Killed, exit.TimedOut = -1, true, why == stopNone
	// A device that knows nothing of the command has not looked for it.
	exit.KillConfirmed = gone && a.p.State != device.DetachedMissing
	return classify(exit, true, nil, why)
}

// forget removes what the device keeps. Where that fails a later command of the
// same user removes it.
func (a *attendance) forget(ctx context.Context) {
	s, ok := a.s.(device.Detacher)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTime)
	defer cancel()
	if err := s.Forget(ctx, a.ref); err != nil {
		a.d.Log.DebugContext(ctx, "what the device keeps of a detached command stays", "device", a.d.w.Device, "err", a.d.message(err.Error()))
	}
}
