package dispatch

import (
	"context"
	"time"

	"drover/internal/job"
)

// cancelLook is when the sweeper looks at a run that is being canceled.
const cancelLook = 5 * time.Second

// Cancel asks a run to stop and returns it as it is then. From the moment that
// the request is stored no further device is claimed; commands that run are
// killed. The run stays running (reason canceling) until the last claim is
// over. A run that is over already is returned as it is. With a run that waits
// for its time its schedule is canceled.
func (d *Dispatcher) Cancel(ctx context.Context, p job.Principal, id string) (job.Run, error) {
	if err := allow(p, job.ActRun); err != nil {
		return job.Run{}, err
	}
	return d.cancel(ctx, p, id, false)
}

func (d *Dispatcher) cancel(ctx context.Context, p job.Principal, id string, now bool) (job.Run, error) {
	run, err := d.askCancel(ctx, p, id, now)
	if err != nil || run.Status.Terminal() {
		return run, err
	}
	// The request is durable. What follows only makes it quick; if it fails
	// the sweeper does it.
	ctx = context.WithoutCancel(ctx)
	d.stopExecution(ctx, run, job.ReasonCanceled)
	if !d.settle(ctx, run) && d.Local {
		d.background(func(ctx context.Context) { d.settleSoon(ctx, run) })
	}
	return d.Store.Run(ctx, p.Tenant, id)
}

// stopExecution stops the execution of a closed run. One of which commands may run detached
// on devices goes on: its next rounds, which begin nothing, end them. If nobody comes
// for them, or the execution cannot be stopped, the run ends all the same: a closed
// run grants no claim.
func (d *Dispatcher) stopExecution(ctx context.Context, run job.Run, reason string) {
	if run.Detaches && !run.CancelForce {
		return
	}
	if err := d.Workflow.Stop(ctx, run.Tenant, run.ID, reason); err != nil {
		d.Log.WarnContext(ctx, "execution not stopped", "tenant", run.Tenant, "run", run.ID, "err", err)
	}
}

// CancelNow is Cancel without waiting: devices that are being worked on are
// canceled at once, and whether their commands have stopped is not known.
func (d *Dispatcher) CancelNow(ctx context.Context, p job.Principal, id string) (job.Run, error) {
	if err := allow(p, job.ActRun); err != nil {
		return job.Run{}, err
	}
	return d.cancel(ctx, p, id, true)
}

// askCancel stores the request. force does not wait for devices.
func (d *Dispatcher) askCancel(ctx context.Context, p job.Principal, id string, force bool) (job.Run, error) {
	for try := 0; ; try++ {
		run, err := d.Store.Run(ctx, p.Tenant, id)
		if err != nil || run.Status.Terminal() || run.Canceling() && (run.CancelForce || !force) {
			return run, err
		}
		now := d.Store.Now()
		if run.Status == job.Scheduled && !run.Canceling() {
			switch sc, err := d.cancelSchedule(ctx, p, run.ScheduleID, id, "run.cancel"); {
			case err == nil && (!sc.State.Final() || sc.State == job.ScheduleCanceled) && try < 9:
				continue // it is being canceled, or has begun meanwhile
			case err != nil && job.CodeOf(err) != job.NotFound:
				return run, err
			}
		}
		next := run
		if !next.Canceling() {
			next.CancelAsked, next.CanceledBy = &now, p.Name
		}
		next.CancelForce = next.CancelForce || force
		next.Due = now.Add(cancelLook)
		if next.Status == job.Running {
			next.Reason = job.ReasonCanceling
		}
		err = d.Store.UpdateRun(ctx, run, next, d.entry(p, "run.cancel", id, ""))
		if job.CodeOf(err) != job.Conflict || try == 9 {
			return next, err
		}
	}
}

// settle reports whether the run is over now.
func (d *Dispatcher) settle(ctx context.Context, run job.Run) bool {
	settled, err := d.Settle(ctx, run.Tenant, run.ID)
	if err != nil {
		d.Log.WarnContext(ctx, "run not settled yet; the sweeper will try", "tenant", run.Tenant, "run", run.ID, "err", err)
	}
	return settled
}

// settleSoon settles a canceled run of this process as soon as its executors
// have let go, so that nobody waits for the sweeper.
func (d *Dispatcher) settleSoon(ctx context.Context, run job.Run) {
	for pause := 20 * time.Millisecond; pause < 20*time.Second; pause = pause * 3 / 2 {
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		if d.settle(ctx, run) {
			return
		}
	}
}
