package localworkflow

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"drover/internal/task"
)

// execution is one run's way through Plan, Execute and Finish.
type execution struct {
	w    *Workflow
	name name
	log  *slog.Logger

	tasks  context.Context // of the tasks under way
	grants context.Context // ends before a next task may begin
	stop   context.CancelCauseFunc
	over   chan struct{} // closed when all of it is over
	failed bool          // Finish could not settle the run; set before over is closed
}

func newExecution(w *Workflow, n name) *execution {
	x := &execution{w: w, name: n, over: make(chan struct{}), log: w.cfg.Log.With("tenant", n.tenant, "run", n.run)}
	x.tasks, x.stop = context.WithCancelCause(w.tasks)
	grants, end := context.WithCancelCause(x.tasks)
	unhook := context.AfterFunc(w.grants, func() { end(context.Cause(w.grants)) })
	x.grants = grants
	stop := x.stop
	x.stop = func(cause error) { unhook(); stop(cause) }
	return x
}

// run is the whole execution. Every way out of it that is not a stop or a drain
// leads through Finish.
func (x *execution) run() {
	defer x.stop(nil)
	ref := task.RunRef{V: task.Version, Tenant: x.name.tenant, Run: x.name.run}
	planned, err := call(x, "Plan", x.w.cfg.Plan, ref)
	if err != nil && x.grants.Err() != nil {
		return
	}
	if err == nil {
		switch planned.Map {
		case task.MapInline, task.MapExpress, task.MapStandard:
			if !x.units(planned) {
				return
			}
		}
	}
	// A Finish is short, and a drain that comes now does not leave a run
	// unsettled that is done.
	x.grants = x.tasks
	if x.tasks.Err() != nil {
		return
	}
	if _, err := call(x, "Finish", x.w.cfg.Finish, ref); err != nil && x.tasks.Err() == nil {
		x.failed = true
		x.log.Error("the run is left to the sweeper", "err", err)
	}
}

// units executes all units, at most planned.Concurrency at once, and reports
// whether every one of them came to its end.
func (x *execution) units(planned task.Planned) bool {
	var next, ended atomic.Int64
	var workers sync.WaitGroup
	for range min(max(1, planned.Concurrency), len(planned.Units)) {
		workers.Go(func() {
			for x.grants.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(planned.Units) {
					return
				}
				if x.unit(planned.Units[i]) {
					ended.Add(1)
				}
			}
		})
	}
	workers.Wait()
	return int(ended.Load()) == len(planned.Units)
}

// unit executes one unit, round after round while it answers again, and reports
// whether it came to its end. One whose retries are used up did: it is given
// up, and Finish settles its devices.
func (x *execution) unit(unit int) bool {
	ref := task.UnitRef{V: task.Version, Tenant: x.name.tenant, Run: x.name.run, Unit: unit}
	for {
		done, err := call(x, "Execute", x.turn, ref)
		if err != nil {
			if x.grants.Err() != nil {
				return false
			}
			x.log.Error("the unit is given up", "unit", unit, "round", ref.Round, "err", err)
			return true
		}
		if !done.Again {
			return true
		}
		if x.w.cfg.Sleep(x.grants, time.Duration(done.Wait)*time.Second) != nil {
			return false
		}
		ref.Round = done.Round
	}
}

// turn calls Execute when it is this call's turn among those of all runs.
func (x *execution) turn(ctx context.Context, ref task.UnitRef) (task.Executed, error) {
	if x.w.turns != nil {
		x.w.waiting.Add(1)
		err := x.w.turns.Acquire(x.grants, 1)
		x.w.waiting.Add(-1)
		if err != nil {
			return task.Executed{}, err
		}
		defer x.w.turns.Release(1)
		if err := x.grants.Err(); err != nil {
			return task.Executed{}, err
		}
	}
	return x.w.cfg.Execute(ctx, ref)
}

// call calls a task, and again as the retriers say.
func call[In, Out any](x *execution, what string, f func(context.Context, In) (Out, error), in In) (Out, error) {
	var none Out
	var counts []int // retries so far, for each retrier
	for {
		if err := x.grants.Err(); err != nil {
			return none, err
		}
		out, err := guard(x.tasks, f, in)
		if err == nil {
			return out, nil
		}
		if x.grants.Err() != nil {
			return none, err
		}
		if counts == nil {
			counts = make([]int, len(x.w.cfg.Retry))
		}
		i := match(x.w.cfg.Retry, errorName(err))
		if i < 0 || counts[i] >= x.w.cfg.Retry[i].Attempts {
			return none, err
		}
		wait := x.w.cfg.Retry[i].wait(counts[i])
		counts[i]++
		x.log.Warn("a task is called again", "task", what, "retry", counts[i], "err", err)
		if err := x.w.cfg.Sleep(x.grants, x.w.cfg.Jitter(wait)); err != nil {
			return none, err
		}
	}
}

// guard calls a task and makes a panic in it an error.
func guard[In, Out any](ctx context.Context, f func(context.Context, In) (Out, error), in In) (out Out, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return f(ctx, in)
}

// panicError is a panic of a task. In the cloud it ends the function's process.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }
