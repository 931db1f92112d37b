package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drover/internal/device"
	"drover/internal/job"
)

// stop is why an attempt was ended from outside.
type stop int

const (
	stopNone     stop = iota // it was not
	stopCancel               // the run was canceled
	stopDeadline             // the run's deadline passed
	stopTime                 // the invocation's time is over
	stopShutdown             // the process stops
	stopLost                 // somebody else holds the claim
	stopForce                // the run was canceled, and nobody waits
)

var (
	errCanceled  = errors.New("the run was canceled")
	errDeadline  = errors.New("the run's deadline passed")
	errClaimLost = errors.New("the claim was lost")
	errForced    = errors.New("the run was canceled without waiting")
)

// again is whether a further attempt may follow an outcome.
type again int

const (
	againNever    again = iota
	againRetries        // within the job's retries
	againIfRepeat       // only where the job repeats unknown attempts
)

// outcome is what an attempt came to.
type outcome struct {
	status  job.ResultStatus
	reason  string
	message string
	again   again
	stop    stop
	sent    bool // the command can have reached the device
	exit    *int
	signal  string
	output  job.Output
}

// result is the row of an outcome.
func (o outcome) result(r job.Result, now time.Time) job.Result {
	r.Status, r.Reason, r.Message = o.status, o.reason, o.message
	r.Exit, r.Signal, r.Output = o.exit, o.signal, o.output
	r.Claim, r.Detached, r.NotBefore, r.Ended = nil, nil, nil, &now
	return r
}

// attempt reaches the device, runs the command and says what came of it. The
// revision of the claim, which followed output moves on, is in d.r afterwards.
func (d *deviceCall) attempt(ctx context.Context) outcome {
	actx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := d.watch(ctx, cancel)
	exit, sent, err := d.run(actx, w)
	d.r.Rev = w.end()
	why := stopNone
	if sent && err == nil && (!exit.Killed || exit.TimedOut) {
		// It ended by itself or by its own limit: whatever was asked
		// meanwhile came too late.
	} else if errors.Is(err, errForced) {
		why = stopForce
	} else if actx.Err() != nil {
		why = d.why(ctx, context.Cause(actx))
	}
	o := classify(exit, sent, err, why)
	o.message = d.message(o.message)
	if why == stopForce {
		o.output = w.shown()
	} else {
		o.output = d.output(exit)
		o.output.Marks = w.marks.last(o.output, d.Clock())
	}
	return o
}

// run dials and runs. sent says whether the device can have seen anything of
// the command.
func (d *deviceCall) run(ctx context.Context, w *watch) (exit device.Exit, sent bool, err error) {
	dctx, cancel := context.WithTimeout(ctx, d.Connect)
	s, err := d.Dialer.Dial(dctx, d.w.Endpoint)
	cancel()
	if err != nil {
		return exit, false, err
	}
	defer func() { _ = s.Close() }()
	exit, err = d.follow(ctx, s, w)
	if err == nil {
		return exit, true, nil
	}
	var e *device.Error
	return exit, !errors.As(err, &e) || e.Sent, err
}

// follow runs the command over a session. Whoever cancels by force does not wait
// for it: the session is closed under it, and the error is errForced.
func (d *deviceCall) follow(ctx context.Context, s device.Session, w *watch) (device.Exit, error) {
	type end struct {
		exit device.Exit
		err  error
	}
	until := d.r.Claim.Until
	ended := make(chan end, 1)
	go func() {
		exit, err := s.Run(ctx, device.Command{
			Script:         d.script,
			Become:         d.w.Become,
			BecomePassword: d.w.BecomePassword,
			Timeout:        d.w.Limits.Timeout,
			OutputLimit:    d.w.Limits.OutputLimit,
			Follow:         w.follow,
			Sent: func() error {
				if d.Clock().After(until) {
					return errClaimLost
				}
				return nil
			},
		})
		ended <- end{exit, err}
	}()
	select {
	case e := <-ended:
		return e.exit, e.err
	case <-ctx.Done():
	}
	if d.force(ctx) {
		return device.Exit{Status: -1}, errForced
	}
	select {
	case e := <-ended:
		return e.exit, e.err
	case <-w.forced:
		return device.Exit{Status: -1}, errForced
	}
}

// force reports whether ctx ended because of a cancel that waits for nobody.
func (d *deviceCall) force(ctx context.Context) bool {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errForced):
		return true
	case errors.Is(cause, errCanceled), errors.Is(cause, errDeadline), errors.Is(cause, errClaimLost), errors.Is(cause, context.DeadlineExceeded):
		return false
	}
	c, cancel := d.recording(ctx)
	defer cancel()
	control, err := d.Ledger.Control(c)
	return err == nil && control.Canceled && control.Force
}

// why tells from the cause of an ended context who ended it. A context that
// ended from above says "stop", not why: the run knows.
func (d *deviceCall) why(ctx context.Context, cause error) stop {
	switch {
	case errors.Is(cause, errCanceled), errors.Is(cause, errForced):
		return stopCancel
	case errors.Is(cause, errDeadline):
		return stopDeadline
	case errors.Is(cause, errClaimLost):
		return stopLost
	case errors.Is(cause, context.DeadlineExceeded):
		return stopTime
	}
	c, cancel := d.recording(ctx)
	defer cancel()
	if control, err := d.Ledger.Control(c); err == nil {
		d.Control = control
	}
	switch {
	case d.Control.Canceled:
		return stopCancel
	case d.Control.overdue(d.Clock()):
		return stopDeadline
	}
	return stopShutdown
}

// classify is the table of failures: what an attempt came to, and whether
// another may follow.
func classify(exit device.Exit, sent bool, err error, why stop) outcome {
	o := outcome{sent: sent, stop: why, signal: exit.Signal}
	if err == nil && exit.Status >= 0 && !exit.Killed {
		status := exit.Status // not &exit.Status, which would keep the output
		o.exit = &status
	}
	switch {
	case why == stopForce:
		o.status, o.reason, o.message = job.ResultCanceled, job.ReasonStopUnsure, job.MessageAborted
	case why != stopNone && why != stopLost:
		stopped(&o, err == nil && exit.KillConfirmed)
	case err != nil && !sent:
		unsent(&o, err)
	case err != nil:
		o.status, o.reason, o.again = job.ResultUnknown, job.ReasonLost, againIfRepeat
		o.message = "the connection was lost before the command's end was known: " + err.Error()
	case exit.TimedOut || exit.Killed:
		o.status, o.reason = job.ResultTimedOut, job.ReasonTimeLimit
		o.message = "killed at the time limit"
		if !exit.KillConfirmed {
			o.reason = job.ReasonKillUnsure
			o.message = "the time limit was reached; it is not known whether the command has stopped"
		}
	case exit.Signal != "":
		o.status, o.reason, o.again = job.ResultFailed, job.ReasonExitStatus, againRetries
		o.message = "ended by signal " + exit.Signal
	case exit.Status != 0:
		o.status, o.reason, o.again = job.ResultFailed, job.ReasonExitStatus, againRetries
		o.message = fmt.Sprintf("exit status %d", exit.Status)
	default:
		o.status = job.ResultSucceeded
	}
	return o
}

// unsent classifies a failure before the command's first byte.
func unsent(o *outcome, err error) {
	o.again, o.message = againRetries, err.Error()
	o.status, o.reason = job.ResultUnreachable, job.ReasonConnect
	var e *device.Error
	if !errors.As(err, &e) {
		return
	}
	switch e.Phase {
	case device.PhaseHostKey:
		o.status, o.reason = job.ResultFailed, job.ReasonHostKeyChanged
	case device.PhaseAuth:
		o.status, o.reason = job.ResultFailed, job.ReasonAuthentication
	case device.PhaseJump:
		o.reason = job.ReasonJump
	}
	if e.Reason != "" {
		o.reason = e.Reason
	}
	if o.reason == job.ReasonUnsupported {
		o.status, o.again = job.ResultFailed, againNever
	}
}

// stopped classifies an attempt that was ended from outside.
func stopped(o *outcome, confirmed bool) {
	sure := "it has stopped"
	if !confirmed {
		sure = "it is not known whether it has stopped"
	}
	switch o.stop {
	case stopCancel:
		o.status = job.ResultCanceled
		switch {
		case !o.sent:
			o.reason, o.message = job.ReasonNeverStarted, "canceled before the command was sent"
		case confirmed:
			o.reason, o.message = job.ReasonStopped, "canceled while the command ran: "+sure
		default:
			o.reason, o.message = job.ReasonStopUnsure, "canceled while the command ran: "+sure
		}
	case stopDeadline:
		o.status, o.reason = job.ResultTimedOut, job.ReasonDeadline
		o.message = "the run's deadline passed while the command ran: " + sure
		if !o.sent {
			o.message = "the run's deadline passed before the command was sent"
		}
	case stopTime:
		if !o.sent {
			o.status, o.reason, o.again = job.ResultUnreachable, job.ReasonConnect, againRetries
			o.message = "not reached within the executor's time"
			return
		}
		o.status, o.reason = job.ResultTimedOut, job.ReasonTimeLimit
		if !confirmed {
			o.reason = job.ReasonKillUnsure
		}
		o.message = "the executor's time was over while the command ran: " + sure
	default: // stopShutdown
		if !o.sent {
			o.status, o.reason = job.ResultSkipped, job.ReasonCapacity
			o.message = "the service stopped before the command was sent"
			return
		}
		o.status, o.reason, o.again = job.ResultUnknown, job.ReasonLost, againIfRepeat
		o.message = "the service stopped while the command ran: " + sure
	}
}
