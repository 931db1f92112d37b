package dispatch

import (
	"context"
	"strconv"
	"time"

	"drover/internal/job"
	"drover/internal/schedule"
	"drover/internal/store"
)

// scheduledGrace is how long after its time the sweeper looks whether a scheduled
// run was started.
const scheduledGrace = 30 * time.Second

// never is when a paused run is due.
var never = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// planFirst makes the run of a submission the first one of a schedule.
func (d *Dispatcher) planFirst(ctx context.Context, p job.Principal, sub Submission, o *order, n *store.NewRun) error {
	id, err := d.Store.ReserveIDs(ctx, p.Tenant, "schedule", 1)
	if err != nil {
		return err
	}
	now, first := d.Store.Now(), o.first
	sc := job.Schedule{
		Meta: job.Meta{ID: id, Tenant: p.Tenant, Name: strconv.FormatInt(id, 10), Created: now, CreatedBy: p.Name,
			Updated: now, UpdatedBy: p.Name},
		Recurrence: *sub.Schedule, State: job.ScheduleActive, JobID: o.job.ID, Purpose: sub.Purpose,
		Runs: 1, Next: &first, NextRun: n.Run.ID, ServiceName: o.job.ServiceName,
	}
	o.job.ScheduleID = id
	n.Schedule = &sc
	n.Run.Status, n.Run.Trigger, n.Run.Deadline = job.Scheduled, job.TriggerSchedule, nil
	n.Run.ScheduleID, n.Run.Unresolved = id, o.unresolved
	n.Run = plannedFor(n.Run, o.job, sc.Recurrence, first)
	n.Audit.Detail += ", schedule " + sc.Name
	return nil
}

// plannedFor is a scheduled run that is to start at a time.
func plannedFor(r job.Run, j job.Job, rec job.Recurrence, at time.Time) job.Run {
	before := at.Add(graceOf(rec))
	if j.StartBefore != nil && j.StartBefore.Before(before) {
		before = *j.StartBefore
	}
	r.Planned, r.StartBefore, r.Due = &at, &before, at.Add(scheduledGrace)
	return r
}

func graceOf(rec job.Recurrence) time.Duration {
	if rec.Grace == 0 {
		return job.DefaultGrace
	}
	return rec.Grace
}

// setAlarm asks to be called for the next run of a schedule. A failure is not the
// caller's: the sweeper starts the run.
func (d *Dispatcher) setAlarm(ctx context.Context, sc job.Schedule) {
	if d.Alarms == nil || sc.Next == nil {
		return
	}
	if err := d.Alarms.Set(context.WithoutCancel(ctx), alarmOf(sc)); err != nil {
		d.Log.WarnContext(ctx, "alarm not set; the sweeper will start the run", "tenant", sc.Tenant, "schedule", sc.ID, "err", err)
	}
}

func alarmOf(sc job.Schedule) schedule.Alarm {
	return schedule.Alarm{Tenant: sc.Tenant, ID: sc.ID, Next: *sc.Next, Recurrence: sc.Recurrence}
}

func (d *Dispatcher) deleteAlarm(ctx context.Context, tenant string, id int64) {
	if d.Alarms == nil {
		return
	}
	if err := d.Alarms.Delete(context.WithoutCancel(ctx), tenant, id); err != nil {
		d.Log.WarnContext(ctx, "an alarm rings for nothing", "tenant", tenant, "schedule", id, "err", err)
	}
}

// Schedule returns a schedule by id.
func (d *Dispatcher) Schedule(ctx context.Context, p job.Principal, id int64) (job.Schedule, error) {
	if err := allow(p, job.ActRead); err != nil {
		return job.Schedule{}, err
	}
	return d.Store.Schedule(ctx, p.Tenant, id)
}

// Schedules lists schedules, in order of id.
func (d *Dispatcher) Schedules(ctx context.Context, p job.Principal, q Page) ([]job.Schedule, string, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, "", err
	}
	return d.Store.Schedules(ctx, p.Tenant, q.query())
}

// ScheduleRuns returns the runs that a schedule has made and that are kept,
// oldest first.
func (d *Dispatcher) ScheduleRuns(ctx context.Context, p job.Principal, id int64) ([]job.Run, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, err
	}
	return d.Store.ScheduleRuns(ctx, p.Tenant, id)
}

// LatestScheduleRuns returns the n latest of these, newest first. Only they are read.
func (d *Dispatcher) LatestScheduleRuns(ctx context.Context, p job.Principal, id int64, n int) ([]job.Run, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, err
	}
	return d.Store.LatestScheduleRuns(ctx, p.Tenant, id, n)
}

// turnSchedule reads a schedule that is not final with its scheduled run, lets f
// change both, and stores them; again when they change meanwhile. A final one is
// returned as it is, with final true.
func (d *Dispatcher) turnSchedule(ctx context.Context, p job.Principal, id int64, verb string, f func(t *store.Turn) (changed bool)) (t store.Turn, final bool, err error) {
	if err := allow(p, job.ActRun); err != nil {
		return t, false, err
	}
	for try := 1; ; try++ {
		sc, err := d.Store.Schedule(ctx, p.Tenant, id)
		if err != nil || sc.State.Final() {
			return store.Turn{Next: sc}, err == nil, err
		}
		run, j, err := d.Store.RunAndJob(ctx, p.Tenant, sc.NextRun)
		if err != nil {
			return t, false, job.Wrap(job.Corrupt, err, "the next run of schedule %d", id)
		}
		t = store.Turn{Prev: sc, Next: sc, Was: run, Is: run, Job: j, Audit: d.entry(p, verb, sc.Name, "")}
		if !f(&t) {
			return t, false, nil
		}
		t.Next.Updated, t.Next.UpdatedBy = d.Store.Now(), p.Name
		err = d.Store.TurnSchedule(ctx, t)
		if job.CodeOf(err) != job.Conflict || try == saveTries {
			return t, false, err
		}
	}
}

// PauseSchedule keeps a schedule's next run from starting. Conflict when the
// schedule is final. Pausing a paused one does nothing.
func (d *Dispatcher) PauseSchedule(ctx context.Context, p job.Principal, id int64) (job.Schedule, error) {
	t, final, err := d.turnSchedule(ctx, p, id, "schedule.pause", func(t *store.Turn) bool {
		t.Next.State = job.SchedulePaused
		t.Is.Reason, t.Is.Due = job.ReasonPaused, never
		return t.Prev.State != job.SchedulePaused
	})
	if err != nil {
		return t.Next, err
	}
	if final {
		return t.Next, isFinal(t.Next)
	}
	d.deleteAlarm(ctx, p.Tenant, id)
	return d.Store.Schedule(ctx, p.Tenant, id)
}

func isFinal(sc job.Schedule) error {
	return job.Errorf(job.Conflict, "the schedule %d is %s", sc.ID, sc.State)
}

// ResumeSchedule lets it start again: at its time, or at the next occurrence when
// that is past. Conflict when the schedule is final.
func (d *Dispatcher) ResumeSchedule(ctx context.Context, p job.Principal, id int64) (job.Schedule, error) {
	t, final, err := d.turnSchedule(ctx, p, id, "schedule.resume", func(t *store.Turn) bool {
		if t.Prev.State != job.SchedulePaused {
			return false
		}
		now, at := d.Store.Now(), *t.Prev.Next
		if at.Before(now) && t.Prev.Recurrence.At == nil {
			// Where there is no further one this run is missed, as it would have
			// been by then.
			if next, ok := nextOccurrence(t.Prev.Recurrence, now); ok {
				at = next
			}
		}
		t.Next.State, t.Next.Next = job.ScheduleActive, &at
		t.Is.Reason = ""
		t.Is = plannedFor(t.Is, t.Job, t.Prev.Recurrence, at)
		return true
	})
	if err != nil {
		return t.Next, err
	}
	if final {
		return t.Next, isFinal(t.Next)
	}
	d.setAlarm(ctx, t.Next)
	return d.Store.Schedule(ctx, p.Tenant, id)
}

// CancelSchedule ends a schedule and cancels its scheduled run; runs that have
// begun go on. Canceling a final one does nothing.
func (d *Dispatcher) CancelSchedule(ctx context.Context, p job.Principal, id int64) (job.Schedule, error) {
	return d.cancelSchedule(ctx, p, id, "", "schedule.cancel")
}

// cancelSchedule ends a schedule, if its scheduled run is the one given; "": any.
func (d *Dispatcher) cancelSchedule(ctx context.Context, p job.Principal, id int64, run, verb string) (job.Schedule, error) {
	canceled := false
	t, final, err := d.turnSchedule(ctx, p, id, verb, func(t *store.Turn) bool {
		if canceled = run == "" || run == t.Was.ID; !canceled {
			return false
		}
		now := d.Store.Now()
		t.Next.State, t.Next.Next, t.Next.NextRun = job.ScheduleCanceled, nil, ""
		t.Is.CancelAsked, t.Is.CanceledBy, t.Is.Due = &now, p.Name, now.Add(cancelLook)
		t.Is.Reason = ""
		if run != "" {
			t.Audit.Object = run
		}
		return true
	})
	if err != nil || final || !canceled {
		return t.Next, err
	}
	ctx = context.WithoutCancel(ctx)
	d.deleteAlarm(ctx, p.Tenant, id)
	d.settle(ctx, t.Is)
	return d.Store.Schedule(ctx, p.Tenant, id)
}

// DeleteSchedule cancels a schedule if it is not final, and forgets it. Its runs stay.
func (d *Dispatcher) DeleteSchedule(ctx context.Context, p job.Principal, id int64) error {
	for try := 1; ; try++ {
		sc, err := d.CancelSchedule(ctx, p, id)
		if err != nil {
			return err
		}
		err = d.Store.DeleteSchedule(ctx, sc, d.entry(p, "schedule.delete", sc.Name, ""))
		if job.CodeOf(err) != job.Conflict || try == saveTries {
			return err
		}
	}
}
