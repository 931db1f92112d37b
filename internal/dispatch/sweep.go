package dispatch

import (
	"context"
	"time"

	"drover/internal/job"
	"drover/internal/store"
)

// Swept says what one sweep did.
type Swept struct {
	Started int // accepted runs that had not been started
	Settled int // runs that were overdue or being canceled, and are over now
	Waiting int // such runs of which a claim is still live
	Dropped int // open rows without a run
	Expired int // ended runs whose leftovers were removed
	Rows    int // expired rows that were removed
}

// One sweep takes up to sweepPages pages of sweepBatch rows each; the next one
// goes on.
const (
	sweepBatch = 200
	sweepPages = 10
)

// startAgain is how long after a start the sweeper looks again.
const startAgain = time.Minute

// Sweep does what is due: it starts accepted runs that were not started, and
// stops and settles runs that are past their deadline or being canceled. It is
// safe to run anywhere, at any time, more than once at once. One run that fails
// does not hold up the others; the first error is returned at the end.
func (d *Dispatcher) Sweep(ctx context.Context) (Swept, error) {
	var swept Swept
	err := d.sweepDue(ctx, &swept)
	if e := d.sweepExpired(ctx, &swept); err == nil {
		err = e
	}
	return swept, err
}

func (d *Dispatcher) sweepDue(ctx context.Context, swept *Swept) (first error) {
	now, q := d.Store.Now(), store.PageQuery{Limit: sweepBatch}
	for range sweepPages {
		rows, next, err := d.Store.Due(ctx, now, q)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := d.sweepRun(ctx, row, swept); err != nil {
				d.Log.ErrorContext(ctx, "sweep", "tenant", row.Tenant, "run", row.Run, "err", err)
				if first == nil {
					first = err
				}
			}
			if ctx.Err() != nil {
				return first
			}
		}
		if next == "" {
			break
		}
		q.After = next
	}
	return first
}

func (d *Dispatcher) sweepRun(ctx context.Context, row store.OpenRow, swept *Swept) error {
	run, err := d.Store.Run(ctx, row.Tenant, row.Run)
	if job.CodeOf(err) == job.NotFound || err == nil && (run.Status.Terminal() || !run.Due.Truncate(time.Millisecond).Equal(row.Due)) {
		swept.Dropped++
		return d.Store.DropOpen(ctx, row)
	}
	if err != nil {
		return err
	}
	now := d.Store.Now()
	overdue := run.Deadline != nil && !now.Before(*run.Deadline)
	switch {
	case run.Canceling() || overdue:
		reason := job.ReasonDeadline
		if run.Canceling() {
			reason = job.ReasonCanceled
		}
		d.stopExecution(ctx, run, reason)
		return d.sweepSettle(ctx, run, swept)
	case run.Status == job.Scheduled:
		return d.sweepScheduled(ctx, run, swept)
	case run.Status == job.Running && run.Deadline != nil && run.Due.Before(*run.Deadline):
		// A run that goes on is due at its deadline. This one is due before,
		// because a Finish after the end of its map met a live claim.
		return d.sweepSettle(ctx, run, swept)
	case run.Status == job.Queued:
		// Where it cannot be known, a start harms nothing.
		ended, err := d.Workflow.Ended(ctx, run.Tenant, run.ID)
		if err != nil {
			d.Log.WarnContext(ctx, "execution not known", "tenant", run.Tenant, "run", run.ID, "err", err)
		}
		if ended {
			return d.sweepAborted(ctx, run, swept)
		}
		if err := d.Workflow.Start(ctx, run.Tenant, run.ID); err != nil {
			return err
		}
		swept.Started++
		fallthrough
	default:
		// Look again later. Whoever changed the run meanwhile has set a
		// due time of its own.
		next := run
		next.Due = now.Add(startAgain)
		if run.Deadline != nil && run.Deadline.Before(next.Due) {
			next.Due = *run.Deadline
		}
		if err := d.Store.UpdateRun(ctx, run, next, job.AuditEntry{}); err != nil && job.CodeOf(err) != job.Conflict {
			return err
		}
	}
	return nil
}

// sweepAborted ends a run whose execution is over and has not begun it: it was
// ended from outside, and its name stays taken, so that no start begins it again.
func (d *Dispatcher) sweepAborted(ctx context.Context, run job.Run, swept *Swept) error {
	next := run
	next.Reason = job.ReasonAborted
	next.Due = d.Store.Now().Add(startAgain)
	if err := d.Store.UpdateRun(ctx, run, next, job.AuditEntry{}); err != nil {
		if job.CodeOf(err) == job.Conflict {
			return nil // it began, and was over within a moment
		}
		return err
	}
	return d.sweepSettle(ctx, next, swept)
}

func (d *Dispatcher) sweepSettle(ctx context.Context, run job.Run, swept *Swept) error {
	settled, err := d.Settle(ctx, run.Tenant, run.ID)
	if settled {
		swept.Settled++
	} else if err == nil {
		swept.Waiting++
	}
	return err
}

// sweepExpired removes what retention leaves outside the runs' own rows. One
// run of which something cannot be removed keeps no others.
func (d *Dispatcher) sweepExpired(ctx context.Context, swept *Swept) (first error) {
	now := d.Store.Now()
	if sweeper, ok := d.Store.Driver().(store.Sweeper); ok {
		n, err := sweeper.Sweep(ctx, now, 10*sweepPages*sweepBatch)
		swept.Rows = n
		if err != nil {
			return err
		}
	}
	q := store.PageQuery{Limit: sweepBatch}
	for range sweepPages {
		runs, next, err := d.Store.Expired(ctx, now, q)
		if err != nil {
			return err
		}
		for _, r := range runs {
			switch err := d.forget(ctx, r); {
			case err == nil:
				swept.Expired++
			case first == nil:
				first = err
			}
			if ctx.Err() != nil {
				return first
			}
		}
		if next == "" {
			break
		}
		q.After = next
	}
	return first
}

func (d *Dispatcher) forget(ctx context.Context, r store.ExpiredRun) error {
	if d.Local {
		if _, err := d.Blobs.DeletePrefix(ctx, job.RunBlobPrefix(r.Tenant, r.Run)); err != nil {
			return err
		}
	}
	return d.Store.ForgetExpired(ctx, r)
}

// Resume starts every run that is not over, nor waits for its time, as a process
// does that may have died in the middle of them, or given one up. Starting what runs already does
// nothing, and units that have their result are not executed again. It returns
// how many runs it started or found started.
func (d *Dispatcher) Resume(ctx context.Context) (int, error) {
	n := 0
	q := store.PageQuery{Limit: store.MaxPageRows}
	for {
		rows, next, err := d.Store.OpenRuns(ctx, q)
		if err != nil {
			return n, err
		}
		for _, row := range rows {
			if row.Scheduled {
				continue
			}
			if err := d.Workflow.Start(ctx, row.Tenant, row.Run); err != nil {
				return n, err
			}
			n++
		}
		if next == "" {
			return n, nil
		}
		q.After = next
	}
}
