// Package task holds the three tasks of the state machine: Plan, Execute and
// Finish. Each loads what it needs, calls the pure part that decides, and
// stores what was decided. The same functions run behind Lambda and inside the
// one process.
//
// Every task may be called again, at any time and from anywhere: Plan gives the
// plan that is stored, Execute leaves alone what is done, Finish changes
// nothing about a run that is over.
package task

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"drover/internal/blob"
	"drover/internal/device"
	"drover/internal/event"
	"drover/internal/executor"
	"drover/internal/job"
	"drover/internal/planner"
	"drover/internal/render"
	"drover/internal/secret"
	"drover/internal/store"
)

// Config is what the tasks need. Plan needs Store only; Finish also Events;
// Execute all of Store, Blobs, Box and Dialer.
type Config struct {
	Store  *store.Store
	Blobs  blob.Bucket
	Box    *secret.Box
	Dialer device.Dialer
	Events event.Sink       // nil: nobody is told
	Clock  func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: nothing is logged

	// Owner names this process, differently from all others there are and
	// were; "": a name is made up.
	Owner string
	// SoleOwner says that this process is the only one: a claim of another
	// owner is dead, and what runs here is all that runs.
	SoleOwner bool

	Limits Deployment
	// DetachAfter is the time limit above which commands run detached where the
	// platform has that; 0: job.DetachAfter; negative: none do.
	DetachAfter time.Duration
	// Hold is how long Execute stays with a detached command that it started,
	// in case it is a short one; 0: 30 s, and for a sole owner, who pays for no
	// waiting, as long as the command runs.
	Hold time.Duration
	// Server is what templates see of this installation.
	Server render.Server
	// Every is the time between two looks at the run while a command runs;
	// 0: 5 s.
	Every time.Duration

	// Observer, when not nil, is told of runs, for metrics.
	Observer Observer
	// Settled, when not nil, is told of every run that was settled here. It
	// must not block.
	Settled func(tenant, run string)
}

// Deployment is what the place where tasks run can do.
type Deployment struct {
	Concurrency int           // units of one run at once; 0: only the job bounds them
	Invocation  time.Duration // the longest that one Execute may take; 0: no end
	Throttled   bool          // calls of tasks may be throttled
	// Slack is what is kept of an invocation for recording; 0: 5 s.
	Slack time.Duration
}

// Observer counts runs. Its methods must not block.
type Observer interface {
	RunStarted()
	RunSettled(job.Status, job.Counts)
}

const (
	heldWait = 30 * time.Second
	// settleGrace is how long an Execute of another process may take from
	// reading the run to writing a claim. See finisher.Settle.
	settleGrace = 10 * time.Second
	// claimWithin bounds writing a claim where others may settle the run: with
	// the age that an executor lets its knowledge of the run reach (5 s) it
	// stays within settleGrace, however long the store would try.
	claimWithin  = 4 * time.Second
	defaultSlack = 5 * time.Second
)

// Functions are the tasks. They are safe for use by many goroutines at once.
type Functions struct {
	cfg   Config
	exec  *executor.Executor
	runs  runCache
	leave sync.Once
	left  chan struct{} // closed by Leave
	mu    sync.Mutex
	calls map[string]runID // Executes under way, by owner
	busy  map[runID]int
	count int
}

type runID struct{ tenant, run string }

// New returns the tasks.
func New(c Config) *Functions {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Owner == "" {
		c.Owner = rand.Text()
	}
	if c.Limits.Slack == 0 {
		c.Limits.Slack = defaultSlack
	}
	left := make(chan struct{})
	return &Functions{
		cfg: c,
		exec: executor.New(executor.Config{Dialer: c.Dialer, Clock: c.Clock, Every: c.Every, HeldWait: heldWait, Hold: c.Hold,
			Stay: c.SoleOwner && c.Hold == 0, Leaving: left}),
		left:  left,
		calls: map[string]runID{},
		busy:  map[runID]int{},
	}
}

// Leave says that this process is about to end: Executes under way do not stay
// with detached commands any more. What else they do they finish.
func (f *Functions) Leave() { f.leave.Do(func() { close(f.left) }) }

func (f *Functions) now() time.Time { return f.cfg.Clock().UTC() }

func (f *Functions) log(tenant, run string) *slog.Logger {
	return f.cfg.Log.With("tenant", tenant, "run", run)
}

// Plan starts a run: it stores the plan with the run, which is running from
// then on, and returns it. A run that was planned before keeps its plan. A run
// that is over, canceled, or too late to start has no units, unless commands may
// run detached on its devices: somebody has to end them.
func (f *Functions) Plan(ctx context.Context, in RunRef) (Planned, error) {
	p, err := f.plan(ctx, in)
	return p, exit(err)
}

func (f *Functions) plan(ctx context.Context, in RunRef) (Planned, error) {
	if err := check(in.V, in.Tenant, in.Run); err != nil {
		return Planned{}, err
	}
	for try := 0; ; try++ {
		run, j, err := f.cfg.Store.RunAndJob(ctx, in.Tenant, in.Run)
		if err != nil {
			return Planned{}, err
		}
		now := f.now()
		none := Planned{V: Version, Tenant: in.Tenant, Run: in.Run, Map: MapNone, Units: []int{}, Concurrency: 1}
		detach := f.detaches(j.Limits)
		if run.Started != nil {
			detach = run.Detaches
		}
		if run.Status.Terminal() || f.closed(run, now) && !(detach && run.Started != nil) {
			return none, nil
		}
		if run.Status != job.Queued && run.Status != job.Running {
			return Planned{}, job.Errorf(job.Invalid, "run %s is %s", run.ID, run.Status)
		}
		out := planner.Plan(planner.Input{Devices: run.Total, Limits: bounded(j.Limits), RunLimit: j.Limits.RunTimeout, Detached: detach, Now: now, Deployment: planner.Deployment{
			Concurrency: f.cfg.Limits.Concurrency, Invocation: f.cfg.Limits.Invocation, HeldWait: heldWait, Throttled: f.cfg.Limits.Throttled,
		}})
		if run.Started == nil {
			next := run
			next.Status, next.Reason = job.Running, ""
			next.Started, next.Deadline, next.Due = &now, &out.Deadline, out.Deadline
			next.Units, next.DevicesPerUnit, next.Detaches = out.Units, out.DevicesPerUnit, detach
			err := f.cfg.Store.UpdateRun(ctx, run, next, job.AuditEntry{})
			if job.CodeOf(err) == job.Conflict && try < conflictTries {
				continue
			}
			if err != nil {
				return Planned{}, err
			}
			if f.cfg.Observer != nil {
				f.cfg.Observer.RunStarted()
			}
			f.log(in.Tenant, in.Run).InfoContext(ctx, "run started", "service", run.ServiceName,
				"devices", run.Total, "units", out.Units, "map", string(out.Map), "concurrency", out.Concurrency, "deadline", out.Deadline)
		}
		p := none
		p.Map, p.Concurrency = string(out.Map), out.Concurrency
		p.Units = make([]int, out.Units)
		for i := range p.Units {
			p.Units[i] = i
		}
		p.Children, p.Inner = out.Children, out.Inner
		for i := range out.Batches {
			first, end := out.Batch(i, out.Units)
			p.Batches = append(p.Batches, p.Units[first:end])
		}
		return p, nil
	}
}

// closed reports whether a run begins no device any more: it was canceled, it is
// overdue, or it has not begun when it was to.
func (f *Functions) closed(run job.Run, now time.Time) bool {
	return run.Canceling() || run.Deadline != nil && !now.Before(*run.Deadline) ||
		run.Started == nil && run.StartBefore != nil && !now.Before(*run.StartBefore)
}

// detaches reports whether a job's commands run detached, where the platform has
// that.
func (f *Functions) detaches(l job.Limits) bool {
	held := f.cfg.Limits.Invocation
	if held > 0 {
		held = max(time.Second, held-detachMargin)
	}
	return bounded(l).Detach(f.cfg.DetachAfter, held)
}

// detachMargin is what a call keeps of its time for reaching a device and
// letting go of it.
const detachMargin = time.Minute

// conflictTries is how often a task reads a run again that changed under it.
const conflictTries = 10

// enter registers an Execute and returns its owner name.
func (f *Functions) enter(id runID) (owner string, leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	owner = ownerName(f.cfg.Owner, f.count)
	f.calls[owner] = id
	f.busy[id]++
	return owner, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.calls, owner)
		if f.busy[id]--; f.busy[id] == 0 {
			delete(f.busy, id)
		}
	}
}

// gone reports whether the owner of a claim is known to have ended.
func (f *Functions) gone(owner string) bool {
	if !f.cfg.SoleOwner {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, here := f.calls[owner]
	return !here
}

// working reports whether an Execute is under way here for a run, in a process
// that would know.
func (f *Functions) working(id runID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cfg.SoleOwner && f.busy[id] > 0
}
