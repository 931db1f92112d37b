// Package executor works on the devices of one unit, one after another: it
// claims a device before touching it, runs the command over a session, tries
// again where that is allowed, classifies what came of it and redacts what it
// hands on.
//
// Guarantees: a claim is durable before the first byte goes to a device; no
// command is begun under a claim that somebody else holds; after a command may
// have reached a device no second one is sent unless the job says so; a result
// is written only in place of one's own claim. Not guaranteed: that a result is
// recorded. An executor that dies leaves its claim, and whoever meets that
// claim when it is over makes it unknown, or tries again where the job says so.
package executor

import (
	"context"
	"log/slog"
	"time"

	"drover/internal/device"
	"drover/internal/job"
)

// Ledger is the run's record, as far as one unit needs it. Errors are
// *job.Error.
type Ledger interface {
	// Control reads what has been decided about the run meanwhile.
	Control(ctx context.Context) (Control, error)
	// Result returns the stored result of a device; NotFound when there is none.
	Result(ctx context.Context, index int) (job.Result, error)
	// Write stores a result, durably, in place of the revision r.Rev ("":
	// there must be none yet), and returns the new revision. Conflict
	// means that somebody else wrote meanwhile.
	Write(ctx context.Context, r job.Result) (rev string, err error)
	// Gone reports that the owner of a claim is known to have ended.
	Gone(owner string) bool
	// Failed counts a device that did not succeed, where the job stops after
	// some, and reports whether that stopped the run: it is stopped then.
	Failed(ctx context.Context) (stopped bool, err error)
}

// Control is what has been decided about a run.
type Control struct {
	Canceled bool      // a cancel was asked, or the run is over
	Force    bool      // and nobody waits for devices
	Stopped  bool      // too many devices failed: none is begun, those that run go on
	Deadline time.Time // nothing starts after it; zero: none
	Read     time.Time // when this was read
}

func (c Control) overdue(now time.Time) bool { return !c.Deadline.IsZero() && !now.Before(c.Deadline) }

// Work is what is to be done on one device.
type Work struct {
	Index    int
	DeviceID int64
	Device   string
	Limits   job.Limits

	Endpoint       device.Endpoint
	Become         job.Become
	BecomePassword job.Secret
	// Script renders what the device is to run.
	Script func(ctx context.Context) (string, error)
	// Detach is what the device is to know the command by when it runs apart
	// from the connection; each attempt adds its number. "": it does not.
	Detach string
	// Redact knows the secrets that may not be in an output or a message.
	Redact *Redactor
	// Refused says why the device cannot be tried at all; nil: it can.
	Refused *Refusal
}

// Refusal is a result that is known without touching the device.
type Refusal struct {
	Status  job.ResultStatus
	Reason  string
	Message string
}

// Unit is one call for one unit.
type Unit struct {
	Ledger  Ledger
	Owner   string  // of this call; unique among all calls
	Control Control // as read for this call
	// First and End bound the indexes of the unit's devices; End is not included.
	First, End int
	// Detaches says that commands of the run may run detached. Then the unit has
	// work as long as one does, even when the run is closed.
	Detaches bool
	// Work returns what is to be done on a device of the unit.
	Work func(ctx context.Context, index int) (Work, error)
	// Spacing is the wait after this call when nothing says how long to wait.
	Spacing time.Duration
	// Log gets a line for each result (Debug for success, Info otherwise)
	// and for what went wrong here. It names the run. Nil: nothing is logged.
	Log *slog.Logger
}

// Outcome is what a call came to. With Again some device of the unit is not done
// yet: the unit is to be called for again after Wait.
type Outcome struct {
	Again bool
	Wait  time.Duration
}

// Config is what an Executor needs. Dialer is required.
type Config struct {
	Dialer device.Dialer
	Clock  func() time.Time // nil: time.Now
	// Every is the time between two looks at Control, and between two
	// writes of followed output, while a command runs; 0: 5 s.
	Every time.Duration
	// Connect bounds reaching a device, jump host included; 0: 20 s.
	Connect time.Duration
	// HeldWait is the longest wait between two attempts that is held in
	// the call; 0: 30 s.
	HeldWait time.Duration
	// Hold is how long a call stays with a detached command that it started;
	// 0: HeldWait. With Stay it stays with every one for as long as that runs.
	Hold time.Duration
	Stay bool
	// Leaving, when not nil and closed, has calls leave detached commands to
	// those who come next.
	Leaving <-chan struct{}
}

// Executor is safe for use by many goroutines at once.
type Executor struct{ Config }

// Times around an attempt.
const (
	// connectAndKill is what a claim allows an attempt beyond its time limit.
	connectAndKill = 30 * time.Second
	// claimMargin is added to every claim: clocks differ, and recording takes time.
	claimMargin = 5 * time.Second
)

// New returns an Executor.
func New(c Config) *Executor {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Every == 0 {
		c.Every = 5 * time.Second
	}
	if c.Connect == 0 {
		c.Connect = 20 * time.Second
	}
	if c.HeldWait == 0 {
		c.HeldWait = 30 * time.Second
	}
	if c.Hold == 0 {
		c.Hold = c.HeldWait
	}
	return &Executor{c}
}

// Execute works on the devices of a unit, in order. A device that has its result
// is left alone; one that cannot be worked on now (somebody else's claim, a wait
// between attempts that is not held, too little time left) is passed over, and
// the outcome says when to come back.
//
// The deadline of ctx is the end of the invocation, less what recording takes.
// ctx ending earlier stops the command that runs: canceled if the run was
// canceled, as Control says, and otherwise because the process stops, in which
// case the error is Canceled.
//
// An error means that the ledger failed or that the process stops; it says
// nothing about devices.
func (x *Executor) Execute(ctx context.Context, u Unit) (Outcome, error) {
	if u.Log == nil {
		u.Log = discard
	}
	c := &call{Executor: x, Unit: u}
	var out Outcome
	for i := u.First; i < u.End; i++ {
		wait, err := c.device(ctx, i)
		if err != nil {
			return out, err
		}
		if c.closed() && !c.Detaches {
			// Nothing more is begun. Rows that wait are settled with the run.
			return Outcome{}, nil
		}
		if wait > 0 && (c.busy || !c.closed()) && (!out.Again || wait < out.Wait) {
			out.Again, out.Wait = true, wait
		}
		if c.busy {
			// Devices of a unit work one after another.
			return out, nil
		}
	}
	return out, nil
}

var discard = slog.New(slog.DiscardHandler)

// call is the state of one Execute.
type call struct {
	*Executor
	Unit
	begun bool // an attempt was begun in this call
	busy  bool // a command runs detached on a device of the unit
}

func (c *call) closed() bool {
	return c.Control.Canceled || c.Control.Stopped || c.Control.overdue(c.Clock())
}

// look reads Control again unless it was read a moment ago, and reports whether
// the run is closed.
func (c *call) look(ctx context.Context) (bool, error) {
	if !c.closed() && c.Clock().Sub(c.Control.Read) >= c.Every {
		now, err := c.Ledger.Control(ctx)
		if err != nil {
			return false, err
		}
		c.Control = now
	}
	return c.closed(), nil
}

// device brings one device as far as it can be brought in this call. wait is 0
// when the device is done with, as far as this call is concerned.
func (c *call) device(ctx context.Context, index int) (wait time.Duration, err error) {
	closed, err := c.look(ctx)
	if err != nil || closed && !c.Detaches {
		return 0, err
	}
	w, err := c.Work(ctx, index)
	if err != nil {
		return 0, err
	}
	d := &deviceCall{call: c, w: w, r: job.Result{Index: index, DeviceID: w.DeviceID, Device: w.Device, Status: job.ResultPending}}
	if c.Detaches {
		if err := d.reload(ctx); err != nil {
			return 0, err
		}
		if d.r.Status.Terminal() || closed && d.r.Detached == nil {
			return 0, nil
		}
	}
	if w.Refused == nil && (d.r.Detached == nil || d.r.Detached.Started == nil) {
		if d.script, err = w.Script(ctx); err != nil {
			if ctx.Err() != nil {
				return 0, stopping(ctx)
			}
			switch job.CodeOf(err) {
			case job.Exhausted, job.Unavailable, job.Canceled:
				return 0, err // of the store, not of the template
			}
			d.w.Refused = &Refusal{job.ResultFailed, job.ReasonRendering, job.MessageOf(err)}
		}
	}
	for {
		wait, again, err := d.step(ctx)
		if err != nil || !again {
			return wait, err
		}
	}
}

func stopping(ctx context.Context) error {
	return job.Wrap(job.Canceled, ctx.Err(), "the executor is stopping")
}

// until is the end of a claim that begins now: the end of the invocation or the
// time limit with what connecting and killing takes, whichever comes first.
func (c *call) until(ctx context.Context, now time.Time, limit time.Duration) time.Time {
	until := now.Add(limit + connectAndKill)
	if left, bounded := c.left(ctx); bounded && left < limit+connectAndKill {
		until = now.Add(max(0, left))
	}
	return until.Add(claimMargin)
}

// left is how long this call can still work.
func (c *call) left(ctx context.Context) (time.Duration, bool) {
	end, ok := ctx.Deadline()
	if !ok {
		return 0, false
	}
	return time.Until(end), true
}

// fits reports whether an attempt can be begun after wait and end in this call.
// The first attempt of a call always can: no later call has more time.
func (c *call) fits(ctx context.Context, wait, limit time.Duration) bool {
	left, bounded := c.left(ctx)
	return !bounded || wait == 0 && !c.begun || left >= wait+limit+connectAndKill+claimMargin
}
