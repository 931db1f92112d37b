// Package localworkflow is the workflow of one machine: Plan, a bounded loop of
// Execute, Finish, in plain Go, by the same task functions and the same rules
// as the state machine in statemachines/run.asl.json.
//
// # What it shares with the state machine
//
// The order of calls, the retries (Config.Retry), the rounds of a unit that
// answers again, and the run's own concurrency: a unit keeps its place among
// those of its run while it waits for its next round, as an iteration of a Map
// does. A unit whose retries are used up is given up alone; a Plan that fails
// leads to Finish; a Finish that fails ends the execution, and the sweeper
// settles the run.
//
// # What is its own
//
// Config.MaxConcurrency bounds the calls of Execute that are under way at once,
// over all runs. In the cloud that is the executor's reserved concurrency. A
// call that waits for its turn is not throttled and uses up no retry; turns are
// given in the order in which they were asked for, and a unit between two
// rounds or two retries holds none.
//
// Executions live in memory. One that a crash or a drain cut short is begun
// again by the sweeper of the next process, with Plan: the tasks make that safe.
// Within a process an execution that is over is remembered by name, the latest
// 10,000; a Start that comes later than that begins it again, and the tasks of
// an ended run do nothing.
package localworkflow

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"drover/internal/job"
	"drover/internal/task"
)

// Config is what a Workflow is made of. Plan, Execute and Finish are required.
type Config struct {
	Plan    func(context.Context, task.RunRef) (task.Planned, error)
	Execute func(context.Context, task.UnitRef) (task.Executed, error)
	Finish  func(context.Context, task.RunRef) (task.Finished, error)

	// MaxConcurrency is how many calls of Execute may be under way at once,
	// over all runs; 0: as many as the runs themselves allow.
	MaxConcurrency int
	// Retry says which errors of a task lead to another call; nil:
	// DefaultRetry.
	Retry []Retrier
	// Sleep waits for d, or returns ctx's error when ctx ends first; nil: by
	// the wall clock.
	Sleep func(ctx context.Context, d time.Duration) error
	// Jitter picks a wait of at most d; nil: any, evenly.
	Jitter func(d time.Duration) time.Duration
	// Log gets what no caller sees; nil: nothing is logged.
	Log *slog.Logger
}

// Workflow runs executions in this process. It implements workflow.Workflow.
// Its methods may be called from any goroutine.
type Workflow struct {
	cfg     Config
	turns   *semaphore.Weighted // nil: unbounded
	waiting atomic.Int64        // units that wait for a turn

	// tasks ends when tasks under way are to be cut short, grants when no
	// new unit, round or retry may begin.
	tasks, grants       context.Context
	endTasks, endGrants context.CancelCauseFunc

	mu      sync.Mutex
	closed  bool
	live    map[name]*execution
	over    map[name]struct{}
	overAge []name // the ring that bounds over
	overAt  int
	running sync.WaitGroup // of executions
}

// name identifies an execution. Run ids are unique in the installation; the
// tenant is part of the name so that a mistaken one reaches nobody else's run.
type name struct{ tenant, run string }

// remembered is how many executions that are over are known by name.
const remembered = 10_000

// New returns a Workflow without any execution.
func New(cfg Config) *Workflow {
	if cfg.Retry == nil {
		cfg.Retry = DefaultRetry()
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	if cfg.Jitter == nil {
		cfg.Jitter = func(d time.Duration) time.Duration { return rand.N(d + 1) }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Workflow{cfg: cfg, live: map[name]*execution{}, over: map[name]struct{}{}}
	if cfg.MaxConcurrency > 0 {
		w.turns = semaphore.NewWeighted(int64(cfg.MaxConcurrency))
	}
	w.tasks, w.endTasks = context.WithCancelCause(context.Background())
	w.grants, w.endGrants = context.WithCancelCause(w.tasks)
	return w
}

// Start begins the execution of a run and returns; its tasks do not depend on
// ctx. After Close it is Unavailable.
func (w *Workflow) Start(_ context.Context, tenant, run string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return job.Errorf(job.Unavailable, "the workflow is shutting down")
	}
	n := name{tenant, run}
	if _, ok := w.over[n]; ok || w.live[n] != nil {
		return nil
	}
	x := newExecution(w, n)
	w.live[n] = x
	w.running.Go(func() {
		defer w.end(x)
		x.run()
	})
	return nil
}

// Stop ends an execution at once: the contexts of its tasks under way end, with
// reason in their cause, and nothing is called for it afterwards.
func (w *Workflow) Stop(_ context.Context, tenant, run, reason string) error {
	w.mu.Lock()
	x := w.live[name{tenant, run}]
	w.mu.Unlock()
	if x != nil {
		x.stop(job.Errorf(job.Canceled, "the run was stopped: %s", reason))
	}
	return nil
}

// Ended reports whether the execution of a run is over, in this process. One
// that another Start would begin again is not.
func (w *Workflow) Ended(_ context.Context, tenant, run string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, over := w.over[name{tenant, run}]
	return over, nil
}

// Over returns a channel that is closed when the execution of a run is over and
// the last of its tasks has returned. It is closed already for one that is over
// or unknown.
func (w *Workflow) Over(tenant, run string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := w.live[name{tenant, run}]; x != nil {
		return x.over
	}
	over := make(chan struct{})
	close(over)
	return over
}

// Waiting returns how many units have work to do and wait for their turn
// because MaxConcurrency others are being executed.
func (w *Workflow) Waiting() int { return int(w.waiting.Load()) }

// Close drains: nothing is started any more, no unit, round or retry begins,
// and the tasks under way are waited for. When ctx ends first their contexts
// are ended too, and Close waits for them to return and then returns Canceled.
// An execution whose units are all done still gets its Finish; the others are
// left to the next process.
func (w *Workflow) Close(ctx context.Context) error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.endGrants(job.Errorf(job.Canceled, "the process is shutting down"))

	drained := make(chan struct{})
	go func() {
		w.running.Wait()
		close(drained)
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
	}
	w.endTasks(job.Errorf(job.Canceled, "the process is shutting down and its time is up"))
	<-drained
	return job.Wrap(job.Canceled, ctx.Err(), "tasks under way were cut short")
}

// end moves an execution from live to over.
func (w *Workflow) end(x *execution) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.live, x.name)
	close(x.over)
	if x.failed {
		// Whatever was broken may be whole again: another Start is welcome.
		return
	}
	if len(w.overAge) < remembered {
		w.overAge = append(w.overAge, x.name)
	} else {
		delete(w.over, w.overAge[w.overAt])
		w.overAge[w.overAt] = x.name
		w.overAt = (w.overAt + 1) % remembered
	}
	w.over[x.name] = struct{}{}
}

// sleep is Config.Sleep by the wall clock.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
