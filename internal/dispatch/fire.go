package dispatch

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"drover/internal/job"
	"drover/internal/store"
)

// Fire starts the run of a schedule that is due at planned, and makes the next
// one. It is safe to call twice, early, late, and for schedules that are gone:
// an occurrence makes one run.
func (d *Dispatcher) Fire(ctx context.Context, tenant string, id int64, planned time.Time) error {
	d.Log.DebugContext(ctx, "alarm", "tenant", tenant, "schedule", id, "planned", planned)
	return d.fire(ctx, tenant, id, false)
}

// fire is Fire; lost says that the alarm did not ring, and is to be set again
// even where it would ring again by itself.
func (d *Dispatcher) fire(ctx context.Context, tenant string, id int64, lost bool) error {
	for try := 1; ; try++ {
		t, due, err := d.nextTurn(ctx, tenant, id, try)
		if err != nil || !due {
			return err
		}
		// Uninterrupted, since it has taken a number.
		err = d.Store.TurnSchedule(context.WithoutCancel(ctx), t)
		if job.CodeOf(err) == job.Conflict {
			d.loseNumber(ctx, t.New)
			if try < saveTries {
				continue
			}
		}
		if err != nil {
			return err
		}
		d.turned(ctx, t, lost)
		if !over(t) {
			return nil
		}
		try = 0 // the next run is due as well
	}
}

// over reports whether the next run that a step has made was due when it was made.
func over(t store.Turn) bool { return t.Next.Next != nil && !t.Next.Next.After(t.Next.Updated) }

// turned does what follows from a step that is stored. Whatever of it fails, the
// sweeper does.
func (d *Dispatcher) turned(ctx context.Context, t store.Turn, lost bool) {
	ctx = context.WithoutCancel(ctx)
	switch {
	case t.Next.State.Final():
		d.deleteAlarm(ctx, t.Next.Tenant, t.Next.ID)
	case over(t): // there is another step at once
	case lost || !alarmOf(t.Next).Repeats():
		d.setAlarm(ctx, t.Next)
	}
	// What will never begin was due when the step was made, however long it took to
	// store it.
	if t.Is.Due.After(t.Next.Updated) {
		d.start(ctx, t.Is)
	} else {
		d.settle(ctx, t.Is)
	}
}

func (d *Dispatcher) loseNumber(ctx context.Context, r *job.Run) {
	if r == nil || r.Number == 0 {
		return
	}
	if err := d.Store.LoseNumber(context.WithoutCancel(ctx), r.Tenant, r.Space); err != nil {
		d.Log.WarnContext(ctx, "a number that names no run is counted as one", "tenant", r.Tenant, "err", err)
	}
}

// nextTurn is the step that is to be taken now; due is false when there is none.
func (d *Dispatcher) nextTurn(ctx context.Context, tenant string, id int64, try int) (t store.Turn, due bool, err error) {
	sc, err := d.Store.Schedule(ctx, tenant, id)
	if job.CodeOf(err) == job.NotFound || err == nil && sc.State.Final() {
		d.deleteAlarm(ctx, tenant, id)
		return t, false, nil
	}
	now := d.Store.Now()
	if err != nil || sc.State != job.ScheduleActive || sc.Next == nil || now.Before(*sc.Next) {
		return t, false, err
	}
	run, err := d.Store.Run(ctx, tenant, sc.NextRun)
	if err != nil {
		return t, false, err
	}
	if run.Status != job.Scheduled { // changed between the two reads
		if try < saveTries {
			return d.nextTurn(ctx, tenant, id, try+1)
		}
		return t, false, job.Errorf(job.Corrupt, "run %s, the next one of schedule %d, is %s", run.ID, id, run.Status)
	}
	p := job.Principal{Tenant: tenant, Name: run.Creator, Role: job.Operator}
	t = store.Turn{Prev: sc, Next: sc, Was: run, Audit: d.entry(p, "schedule.fire", run.ID, "schedule "+sc.Name)}
	t.Next.Last, t.Next.LastRun, t.Next.Updated = sc.Next, run.ID, now
	t.Next.Next, t.Next.NextRun = nil, ""
	j, err := d.Store.Job(ctx, tenant, sc.JobID)
	if code := job.CodeOf(err); code == job.NotFound || code == job.Corrupt {
		t.Next.State, t.Next.Message = job.ScheduleFailed, "the job is not there any more"
		t.Is = unfound(run, now, t.Next.Message)
		return t, true, nil
	}
	if err != nil {
		return t, false, err
	}
	t.Job = j
	if t.Is, t.Targets, err = d.begin(ctx, run, j, now); err != nil {
		return t, false, err
	}
	return t, true, d.follow(ctx, &t, now, try)
}

// unfound is a run whose devices could not be found. It is settled before it
// begins.
func unfound(run job.Run, now time.Time, why string) job.Run {
	run.Status, run.Reason, run.Message = job.Queued, job.ReasonTargets, why
	run.Deadline, run.Due = &now, now
	return run
}

// begin is a scheduled run as it starts, with its devices if they are found only
// now. One that is too late is due at once, to be settled as missed.
func (d *Dispatcher) begin(ctx context.Context, run job.Run, j job.Job, now time.Time) (job.Run, []job.Target, error) {
	is := run
	deadline := now.Add(d.StartWithin)
	is.Status, is.Reason, is.Deadline, is.Due = job.Queued, "", &deadline, now.Add(startGrace)
	if is.StartBefore != nil && !now.Before(*is.StartBefore) {
		is.Due = now
		return is, nil, nil
	}
	switch may, err := d.mayRun(ctx, run.Tenant, run.Creator); {
	case err != nil:
		return is, nil, err
	case !may:
		return unfound(run, now, "the user "+strconv.Quote(run.Creator)+" is gone, or may not run jobs any more"), nil, nil
	}
	if !run.Unresolved {
		return is, nil, nil
	}
	targets, err := d.foundAgain(ctx, j)
	if err == nil && !j.Limits.DefaultTimeout {
		err = d.checkFollowed(ctx, &order{job: j, targets: targets})
	}
	switch job.CodeOf(err) {
	case "":
	case job.Invalid, job.NotFound, job.Unsupported, job.TooLarge:
		return unfound(run, now, job.MessageOf(err)), nil, nil
	default:
		return is, nil, err
	}
	is.Unresolved, is.Total, is.Shards = false, len(targets), store.ShardsFor(len(targets))
	return is, targets, nil
}

// mayRun reports whether a user may still run jobs in a tenant: a schedule has
// no rights that who made it has lost.
func (d *Dispatcher) mayRun(ctx context.Context, tenant, name string) (bool, error) {
	u, err := d.Store.User(ctx, name)
	if job.CodeOf(err) == job.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p, err := In(job.Principal{Tenant: u.Tenant, Name: u.Name, Role: u.Role}, tenant)
	return err == nil && p.Role.Allows(job.ActRun), nil
}

// foundAgain finds the devices of a job's selection as they are now.
func (d *Dispatcher) foundAgain(ctx context.Context, j job.Job) ([]job.Target, error) {
	p := job.Principal{Tenant: j.Tenant, Name: j.Creator, Role: job.Operator}
	sel := j.Select
	if sel.DeviceIDs == nil {
		var err error
		if sel.Query, err = d.queryText(ctx, p, sel); err != nil {
			return nil, err
		}
	}
	targets, err := d.selected(ctx, p, sel)
	if err == nil && len(targets) > job.MaxTargets {
		err = job.Errorf(job.TooLarge, "%d devices are more than the %d that one run may have", len(targets), job.MaxTargets)
	}
	return targets, err
}

// follow adds the next run to a step, or ends the schedule.
func (d *Dispatcher) follow(ctx context.Context, t *store.Turn, now time.Time, try int) error {
	sc, run := t.Prev, t.Was
	from := sc.Next.Add(time.Second) // occurrences are whole minutes
	if now.After(from) {
		from = now
	}
	next, ok := time.Time{}, false
	if sc.Recurrence.At == nil && (sc.Recurrence.MaxRuns == 0 || sc.Runs < sc.Recurrence.MaxRuns) {
		if run.StartBefore != nil && !now.Before(*run.StartBefore) {
			next, ok = stillOnTime(sc, now)
		}
		if !ok {
			next, ok = nextOccurrence(sc.Recurrence, from)
		}
	}
	if !ok {
		t.Next.State = job.ScheduleFinished
		return nil
	}
	// Moments of creation are unique: one that is taken is a conflict.
	created := now
	if !created.Truncate(time.Microsecond).After(run.Created) {
		created = run.Created.Add(time.Microsecond)
	}
	if try > 1 {
		created = created.Add(time.Duration(rand.IntN(1000*try)) * time.Microsecond)
	}
	n := job.Run{
		ID: newID(now), Tenant: run.Tenant, JobID: run.JobID, ServiceID: run.ServiceID, TemplateID: run.TemplateID, ServiceName: run.ServiceName,
		Status: job.Scheduled, Creator: run.Creator, Trigger: run.Trigger, Labels: run.Labels, Description: run.Description,
		Space: run.Space, ScheduleID: run.ScheduleID, RerunOf: run.RerunOf, Created: created, NeedsTargets: run.NeedsTargets,
		Extra: run.Extra, HasLogin: run.HasLogin, Unresolved: t.Job.Select.Dynamic, Shards: 1,
	}
	n = plannedFor(n, t.Job, sc.Recurrence, next)
	if !n.Unresolved {
		var err error
		if t.NewTargets, err = d.Store.Targets(ctx, run.Tenant, run.ID, 0, run.Total); err != nil {
			return err
		}
		n.Total, n.Shards = run.Total, run.Shards
	}
	if n.Space != "" {
		var err error
		if n.Number, err = d.Store.NextNumber(ctx, n.Tenant, n.Space); err != nil {
			return err
		}
	}
	t.New = &n
	t.Next.Runs++
	t.Next.Next, t.Next.NextRun = &next, n.ID
	return nil
}

// stillOnTime is the latest occurrence after a missed one that is past and may
// still begin: what nobody was there for is not made up, but what is due now is
// not to be lost with it.
func stillOnTime(sc job.Schedule, now time.Time) (latest time.Time, ok bool) {
	from := now.Add(time.Second - min(graceOf(sc.Recurrence), maxLookBack))
	if first := sc.Next.Add(time.Second); first.After(from) {
		from = first
	}
	for {
		next, found := nextOccurrence(sc.Recurrence, from)
		if !found || next.After(now) {
			return latest, ok
		}
		latest, ok, from = next, true, next.Add(time.Second)
	}
}

// maxLookBack bounds how many occurrences are looked at.
const maxLookBack = 24 * time.Hour

// sweepScheduled starts a scheduled run whose alarm did not ring.
func (d *Dispatcher) sweepScheduled(ctx context.Context, run job.Run, swept *Swept) error {
	if err := d.fire(ctx, run.Tenant, run.ScheduleID, true); err != nil {
		return err
	}
	now, err := d.Store.Run(ctx, run.Tenant, run.ID)
	if err != nil {
		return err
	}
	if now.Status != job.Scheduled {
		swept.Started++
		return nil
	}
	sc, err := d.Store.Schedule(ctx, run.Tenant, run.ScheduleID)
	if err == nil && sc.NextRun == run.ID || err != nil && job.CodeOf(err) != job.NotFound {
		return err // paused or moved meanwhile, or to be tried again
	}
	// Nothing will start it: it is of no schedule.
	d.Log.WarnContext(ctx, "a scheduled run without a schedule", "tenant", run.Tenant, "run", run.ID, "schedule", strconv.FormatInt(run.ScheduleID, 10))
	asked := d.Store.Now()
	next := now
	next.CancelAsked, next.Due = &asked, asked
	if err := d.Store.UpdateRun(ctx, now, next, job.AuditEntry{}); err != nil {
		return err
	}
	return d.sweepSettle(ctx, next, swept)
}
