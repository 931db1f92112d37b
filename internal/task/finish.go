package task

import (
	"context"
	"time"

	"drover/internal/event"
	"drover/internal/finisher"
	"drover/internal/job"
	"drover/internal/store"
)

// Finish ends a run if nothing works on it any more: it closes what was left
// behind, counts the results, settles the run in one atomic group and tells of
// it. While a claim is live it settles nothing; the run's Due says when to call
// again.
func (f *Functions) Finish(ctx context.Context, in RunRef) (Finished, error) {
	out, err := f.finish(ctx, in)
	return out, exit(err)
}

func (f *Functions) finish(ctx context.Context, in RunRef) (Finished, error) {
	if err := check(in.V, in.Tenant, in.Run); err != nil {
		return Finished{}, err
	}
	id := runID{in.Tenant, in.Run}
	for try := 0; ; try++ {
		run, err := f.cfg.Store.Run(ctx, in.Tenant, in.Run)
		if err != nil {
			return Finished{}, err
		}
		if run.Status.Terminal() {
			f.settled(id)
			return Finished{V: Version, Settled: true, Status: string(run.Status)}, f.eraseLogin(ctx, run)
		}
		input := finisher.Input{Run: run, Busy: f.working(id), Now: f.now()}
		if !f.cfg.SoleOwner {
			input.Grace = settleGrace
		}
		if !input.Busy {
			if err := f.tally(ctx, run, &input); err != nil {
				return Finished{}, err
			}
		}
		d := finisher.Settle(input)
		if !d.Settled && unchanged(run, d.Run, input.Now) {
			return Finished{V: Version, Status: string(run.Status)}, nil
		}
		err = f.cfg.Store.UpdateRun(ctx, run, d.Run, job.AuditEntry{})
		if job.CodeOf(err) == job.Conflict && try < conflictTries {
			continue
		}
		if err != nil {
			return Finished{}, err
		}
		if d.Settled {
			f.announce(ctx, d.Run)
			err = f.eraseLogin(ctx, d.Run)
		}
		return Finished{V: Version, Settled: d.Settled, Status: string(d.Run.Status)}, err
	}
}

// eraseLogin removes the secrets with which a run logged in, now that it is over.
// An error makes Finish be called again.
func (f *Functions) eraseLogin(ctx context.Context, run job.Run) error {
	if !run.HasLogin {
		return nil
	}
	return f.cfg.Store.EraseLogin(ctx, run.Tenant, run.JobID)
}

// unchanged reports whether storing next would say nothing new: callers in one
// process may ask several times a second.
func unchanged(run, next job.Run, now time.Time) bool {
	sameDeadline := run.Deadline == next.Deadline || run.Deadline != nil && next.Deadline != nil && run.Deadline.Equal(*next.Deadline)
	return run.Reason == next.Reason && sameDeadline && run.Due.After(now) && !run.Due.After(next.Due)
}

// tally counts the stored results into in and closes those that nobody works on.
func (f *Functions) tally(ctx context.Context, run job.Run, in *finisher.Input) error {
	if run.Started == nil {
		return nil // no device can have been claimed
	}
	cause := finisher.CauseOf(run, in.Now)
	for from := 0; from < run.Total; {
		rows, err := f.cfg.Store.Results(ctx, run, from, store.MaxPageRows)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		for _, r := range rows {
			if r, err = f.close(ctx, run, r, cause, in.Now); err != nil {
				return err
			}
			in.Counts.Add(r.Status, 1)
			switch {
			case r.Status == job.ResultRunning && r.Claim.Until.After(in.LiveUntil):
				in.LiveUntil = r.Claim.Until
			case r.Status == job.ResultTimedOut && r.Reason == job.ReasonDeadline:
				in.DeadlineKills++
			}
		}
		from = rows[len(rows)-1].Index + 1
	}
	return nil
}

// live reports whether somebody works on a device, or will come back for its
// command.
func (f *Functions) live(r job.Result, now time.Time) bool {
	return r.Status == job.ResultRunning && r.Claim != nil && r.Claim.Until.After(now) && (r.Detached != nil || !f.gone(r.Claim.Owner))
}

// close returns a result as it counts: live claims as they are, unless the run was
// canceled by force, other rows that are not terminal in their last state, which is
// stored first.
func (f *Functions) close(ctx context.Context, run job.Run, r job.Result, cause finisher.Cause, now time.Time) (job.Result, error) {
	for try := 0; ; try++ {
		live := f.live(r, now)
		if live && !run.CancelForce {
			return r, nil
		}
		last, changed := finisher.Close(r, cause, now)
		if live {
			last, changed = finisher.Aborted(r, now), true
		}
		if !changed {
			return r, nil
		}
		_, err := f.cfg.Store.PutResult(ctx, run, last)
		if err == nil {
			return last, nil
		}
		if job.CodeOf(err) != job.Conflict || try >= conflictTries {
			return r, err
		}
		if r, err = f.cfg.Store.Result(ctx, run, r.Index, r.Step); err != nil {
			return r, err
		}
	}
}

// settled forgets what is kept of a run here and wakes those who wait for it.
func (f *Functions) settled(id runID) {
	f.runs.drop(id)
	if f.cfg.Settled != nil {
		f.cfg.Settled(id.tenant, id.run)
	}
}

// announce tells of a run that was settled just now.
func (f *Functions) announce(ctx context.Context, run job.Run) {
	f.settled(runID{run.Tenant, run.ID})
	if f.cfg.Observer != nil {
		f.cfg.Observer.RunSettled(run.Status, run.Counts)
	}
	log := f.log(run.Tenant, run.ID)
	log.InfoContext(ctx, "run ended", "service", run.ServiceName, "status", string(run.Status), "reason", run.Reason, "counts", run.Counts)
	if f.cfg.Events == nil {
		return
	}
	counts := run.Counts
	err := f.cfg.Events.Publish(ctx, event.Event{
		ID: run.Tenant + "/" + run.ID + "/ended", Kind: event.RunEnded, Time: *run.Ended, Tenant: run.Tenant, Run: run.ID,
		Service: run.ServiceName, Status: run.Status, Reason: run.Reason, Counts: &counts,
	})
	if err != nil {
		log.WarnContext(ctx, "event not handed over", "err", err)
	}
}
