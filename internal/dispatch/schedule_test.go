package dispatch_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/schedule"
)

// alarms records what is set.
type alarms struct {
	mu  sync.Mutex
	set map[int64]time.Time
	n   int
	err error
}

func (a *alarms) Set(_ context.Context, x schedule.Alarm) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	if a.set == nil {
		a.set = map[int64]time.Time{}
	}
	a.n++
	a.set[x.ID] = x.Next
	return nil
}

func (a *alarms) Delete(_ context.Context, _ string, id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.set, id)
	return a.err
}

// timed is a bench with a fleet, a template, alarms, and the settling of runs that never begin
// as the Finish task does it.
func timed(t testing.TB) (*bench, *dispatch.Dispatcher, *alarms, int64) {
	b := newBench(t)
	b.fleet(t, admin)
	tpl := b.template(t, "nightly", nil)
	a := &alarms{}
	c := b.Config
	c.Alarms = a
	c.Settle = b.settleUnbegun
	d := dispatch.New(c)
	t.Cleanup(d.Close)
	return b, d, a, tpl.ID
}

// settleUnbegun ends a run as package finisher says, which has tests of its own.
func (b *bench) settleUnbegun(ctx context.Context, tenant, id string) (bool, error) {
	run, err := b.store.Run(ctx, tenant, id)
	if err != nil {
		return false, err
	}
	now := b.clock()
	next := run
	next.Ended = &now
	switch {
	case run.Status.Terminal():
		return true, nil
	case run.Canceling():
		next.Status, next.Reason = job.StatusCanceled, job.ReasonCanceled
	case run.StartBefore != nil && !now.Before(*run.StartBefore):
		next.Status, next.Reason = job.Missed, job.ReasonTooLate
	case run.Reason == job.ReasonTargets:
		next.Status = job.Failed
	default:
		return false, nil
	}
	return true, b.store.UpdateRun(ctx, run, next, job.AuditEntry{})
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func hourly() *job.Recurrence { return &job.Recurrence{Cron: "0 * * * *"} }

func runsOf(t testing.TB, d *dispatch.Dispatcher, id int64) string {
	t.Helper()
	runs, err := d.ScheduleRuns(context.Background(), viewer, id)
	must(t, err)
	var out []string
	for _, r := range runs {
		s := r.Planned.Format("15:04") + "=" + string(r.Status)
		if r.Reason != "" {
			s += "/" + r.Reason
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestSchedule_MakesOneRunForEachOccurrence(t *testing.T) {
	ctx := context.Background()
	b, d, a, tpl := timed(t)
	b.advance(time.Minute) // 12:01
	got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name ~ R"), Schedule: hourly(), Space: "s",
		Description: "hourly", Name: "mine", Purpose: "p", Extra: map[string]json.RawMessage{"x": json.RawMessage(`1`)}})
	must(t, err)
	sc, first := got.Schedule, got.Run
	one := noon.Add(time.Hour)
	if sc == nil || sc.State != job.ScheduleActive || !sc.Next.Equal(one) || sc.NextRun != first.ID || sc.Runs != 1 || sc.Last != nil ||
		first.Status != job.Scheduled || !first.Planned.Equal(one) || first.Number != 1 || first.JobID == first.ID || first.Total != 3 || first.Trigger != job.TriggerSchedule {
		t.Fatalf("submitted %+v, %+v", sc, first)
	}
	if !a.set[sc.ID].Equal(one) || len(b.started) != 0 {
		t.Fatalf("alarms %v, started %v", a.set, b.started)
	}
	// Devices are found once: this one comes too late.
	b.saved(t)(b.SaveDevices(ctx, admin, []inventory.DeviceInput{{Name: "R4", Address: ptr("127.1.0.4")}}))
	must(t, d.Fire(ctx, "default", sc.ID, one)) // early
	b.advance(time.Hour)
	for range 3 {
		must(t, d.Fire(ctx, "default", sc.ID, one))
	}
	if len(b.started) != 1 || b.started[0] != first.ID {
		t.Fatalf("started %v", b.started)
	}
	now, err := d.Schedule(ctx, viewer, sc.ID)
	must(t, err)
	if now.Runs != 2 || !now.Last.Equal(one) || now.LastRun != first.ID || !now.Next.Equal(one.Add(time.Hour)) {
		t.Fatalf("schedule %+v", now)
	}
	second, err := d.Run(ctx, viewer, now.NextRun)
	must(t, err)
	if second.Status != job.Scheduled || second.Number != 2 || second.Description != "hourly" || second.Name != "" || string(second.Extra["x"]) != "1" ||
		second.TemplateID != tpl || second.Total != 3 || b.targetNames(t, second) != "R1 R2 R3" || second.JobID != first.JobID {
		t.Errorf("next run %+v", second)
	}
	if s := runsOf(t, d, sc.ID); s != "13:00=queued 14:00=scheduled" {
		t.Error(s)
	}
	fired, err := d.Run(ctx, viewer, first.ID)
	must(t, err)
	if fired.Deadline == nil || fired.Status != job.Queued || b.targetNames(t, fired) != "R1 R2 R3" {
		t.Errorf("fired run %+v", fired)
	}
	// The purpose is taken as long as the schedule lives.
	_, err = d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name ~ R"), Schedule: hourly(), Purpose: "p"})
	if job.CodeOf(err) != job.AlreadyExists || fieldOf(err) != "purpose" {
		t.Errorf("the same purpose: %v", err)
	}
	_, err = d.CancelSchedule(ctx, operator, sc.ID)
	must(t, err)
	_, err = d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name ~ R"), Schedule: hourly(), Purpose: "p"})
	must(t, err)
}

func TestSchedule_Refusals(t *testing.T) {
	ctx := context.Background()
	b, d, a, tpl := timed(t)
	_ = b
	past, soon := noon.Add(-time.Minute), noon.Add(time.Minute)
	for _, c := range []struct {
		name, field string
		r           job.Recurrence
		before      *time.Time
	}{
		{"a bad line", "cron", job.Recurrence{Cron: "x"}, nil},
		{"in the past", "schedule", job.Recurrence{At: &past}, nil},
		{"over already", "schedule", job.Recurrence{Cron: "30 * * * *", End: &soon}, nil},
		{"too late before it begins", "start_before", job.Recurrence{At: ptr(noon.Add(time.Hour))}, &soon},
		{"for jobs that run once", "start_before", *hourly(), ptr(noon.Add(48 * time.Hour))},
	} {
		_, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Schedule: &c.r, StartBefore: c.before})
		if job.CodeOf(err) != job.Invalid || fieldOf(err) != c.field {
			t.Errorf("%s: %v, field %q, want %q", c.name, err, fieldOf(err), c.field)
		}
	}
	_, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: &job.Selection{Query: "name =", Dynamic: true}, Schedule: hourly()})
	if job.CodeOf(err) != job.Invalid || fieldOf(err) != "search" {
		t.Errorf("a broken query that is for later: %v", err)
	}
	if scs, _, err := d.Schedules(ctx, viewer, dispatch.Page{}); err != nil || len(scs) != 0 || a.n != 0 {
		t.Errorf("refused submits left %d schedules, %v", len(scs), err)
	}
}

func TestSchedule_DynamicSelectionIsFoundAtTheStart(t *testing.T) {
	ctx := context.Background()
	b, d, _, tpl := timed(t)
	q, err := b.EditSavedQuery(ctx, operator, 0, func(q *job.SavedQuery) error {
		q.Title, q.Subject, q.Query = "mine", job.SubjectDevices, "name = R1"
		return nil
	})
	must(t, err)
	got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: &job.Selection{SavedQueryID: q.ID, Dynamic: true}, Schedule: hourly()})
	must(t, err)
	if !got.Run.Unresolved || got.Run.Total != 0 {
		t.Fatalf("run %+v", got.Run)
	}
	_, counts, err := d.Progress(ctx, viewer, got.Run.ID)
	must(t, err)
	if counts != (job.Counts{}) {
		t.Errorf("progress %+v", counts)
	}
	fire := func() job.Run {
		t.Helper()
		sc, err := d.Schedule(ctx, viewer, got.Schedule.ID)
		must(t, err)
		b.mu.Lock()
		b.now = *sc.Next
		b.mu.Unlock()
		must(t, d.Fire(ctx, "default", sc.ID, *sc.Next))
		run, err := d.Run(ctx, viewer, sc.NextRun)
		must(t, err)
		return run
	}
	if r := fire(); r.Unresolved || b.targetNames(t, r) != "R1" || r.Total != 1 {
		t.Errorf("first: %+v", r)
	}
	_, err = b.EditSavedQuery(ctx, operator, q.ID, func(q *job.SavedQuery) error { q.Query = "name ~ R"; return nil })
	must(t, err)
	if r := fire(); b.targetNames(t, r) != "R1 R2 R3" || r.Total != 3 {
		t.Errorf("second: %+v", r)
	}
	// Without the query there is nothing to run on: that run fails, the schedule
	// goes on.
	_, err = b.DeleteSavedQuery(ctx, operator, q.ID)
	must(t, err)
	started := len(b.started)
	r := fire()
	if r.Status != job.Failed || r.Reason != job.ReasonTargets || r.Message == "" || len(b.started) != started {
		t.Errorf("third: %+v", r)
	}
	if s := runsOf(t, d, got.Schedule.ID); s != "12:00=queued 13:00=queued 14:00=failed/targets 15:00=scheduled" {
		t.Error(s)
	}
}

func TestSchedule_Ends(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name string
		r    job.Recurrence
		want string
	}{
		{"once", job.Recurrence{At: ptr(noon.Add(90 * time.Minute))}, "13:30=queued"},
		{"after so many runs", job.Recurrence{Every: time.Hour, MaxRuns: 2}, "12:00=queued 13:00=queued"},
		{"at a time that does not count itself", job.Recurrence{Cron: "0 * * * *", End: ptr(noon.Add(2 * time.Hour))}, "12:00=queued 13:00=queued"},
		{"from a time on", job.Recurrence{Cron: "30 * * * *", Start: ptr(noon.Add(time.Hour)), MaxRuns: 1}, "13:30=queued"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, d, a, tpl := timed(t)
			got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Schedule: &c.r})
			must(t, err)
			for range 5 * 12 {
				must(t, d.Fire(ctx, "default", got.Schedule.ID, b.clock()))
				b.advance(5 * time.Minute)
			}
			sc, err := d.Schedule(ctx, viewer, got.Schedule.ID)
			must(t, err)
			if s := runsOf(t, d, sc.ID); s != c.want || sc.State != job.ScheduleFinished || sc.Next != nil || sc.NextRun != "" || len(a.set) != 0 {
				t.Errorf("runs %q, want %q; schedule %+v; alarms %v", s, c.want, sc, a.set)
			}
		})
	}
}

func TestSchedule_LateIsMissed(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		r      job.Recurrence
		before *time.Time
		at     time.Time // when it is called
		want   string
	}{
		{"within the grace", *hourly(), nil, noon.Add(14 * time.Minute), "12:00=queued 13:00=scheduled"},
		{"after it", *hourly(), nil, noon.Add(15 * time.Minute), "12:00=missed/too_late 13:00=scheduled"},
		{"what was slept through is not made up", *hourly(), nil, noon.Add(5*time.Hour + 15*time.Minute), "12:00=missed/too_late 18:00=scheduled"},
		{"but for what is on time", *hourly(), nil, noon.Add(5*time.Hour + time.Minute), "12:00=missed/too_late 17:00=queued 18:00=scheduled"},
		{"to the second", *hourly(), nil, noon.Add(5*time.Hour + time.Second), "12:00=missed/too_late 17:00=queued 18:00=scheduled"},
		{"the latest of many", job.Recurrence{Cron: "*/5 * * * *"}, nil, noon.Add(5*time.Hour + 3*time.Minute), "12:00=missed/too_late 17:00=queued 17:05=scheduled"},
		{"and a long grace", job.Recurrence{Cron: "* * * * *", Grace: 30 * time.Hour}, nil, noon.Add(31*time.Hour + 30*time.Second), "12:00=missed/too_late 19:00=queued 19:01=scheduled"},
		{"no more than there are to be", job.Recurrence{Cron: "0 * * * *", MaxRuns: 1}, nil, noon.Add(5*time.Hour + time.Minute), "12:00=missed/too_late"},
		{"a grace of one's own", job.Recurrence{Cron: "0 * * * *", Grace: time.Minute}, nil, noon.Add(time.Minute), "12:00=missed/too_late 13:00=scheduled"},
		{"before its start-before", job.Recurrence{At: &noon}, ptr(noon.Add(2 * time.Minute)), noon.Add(time.Minute), "12:00=queued"},
		{"after it, within the grace", job.Recurrence{At: &noon}, ptr(noon.Add(2 * time.Minute)), noon.Add(2 * time.Minute), "12:00=missed/too_late"},
	} {
		for _, by := range []string{"alarm", "sweeper"} {
			t.Run(c.name+", "+by, func(t *testing.T) {
				b, d, a, tpl := timed(t)
				got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Schedule: &c.r, StartBefore: c.before})
				must(t, err)
				clear(a.set)
				b.advance(c.at.Sub(noon))
				if by == "alarm" {
					must(t, d.Fire(ctx, "default", got.Schedule.ID, noon))
				} else {
					_, err := d.Sweep(ctx)
					must(t, err)
				}
				if s := runsOf(t, d, got.Schedule.ID); s != c.want {
					t.Errorf("runs %q, want %q", s, c.want)
				}
				if strings.Contains(c.want, "queued") != (len(b.started) == 1) {
					t.Errorf("started %v", b.started)
				}
				if by == "sweeper" && strings.Contains(c.want, "scheduled") && len(a.set) != 1 {
					t.Error("the sweeper does not mend the alarm")
				}
			})
		}
	}
}

func TestSchedule_PauseResumeCancelDelete(t *testing.T) {
	ctx := context.Background()
	b, d, a, tpl := timed(t)
	b.advance(time.Minute)
	got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Schedule: hourly()})
	must(t, err)
	id := got.Schedule.ID
	for _, p := range []job.Principal{viewer, other} {
		want := map[string]job.Code{"eye": job.Forbidden, "wile": job.NotFound}[p.Name]
		for _, f := range []func(context.Context, job.Principal, int64) (job.Schedule, error){d.PauseSchedule, d.ResumeSchedule, d.CancelSchedule} {
			_, err := f(ctx, p, id)
			wantCode(t, err, want)
		}
		wantCode(t, d.DeleteSchedule(ctx, p, id), want)
	}
	for range 2 {
		sc, err := d.PauseSchedule(ctx, operator, id)
		must(t, err)
		if sc.State != job.SchedulePaused || len(a.set) != 0 || runsOf(t, d, id) != "13:00=scheduled/paused" {
			t.Fatalf("paused %+v, alarms %v, runs %s", sc, a.set, runsOf(t, d, id))
		}
	}
	// Resumed before its time it keeps it.
	sc, err := d.ResumeSchedule(ctx, operator, id)
	must(t, err)
	if sc.State != job.ScheduleActive || runsOf(t, d, id) != "13:00=scheduled" || !a.set[id].Equal(noon.Add(time.Hour)) {
		t.Fatalf("resumed %+v, alarms %v", sc, a.set)
	}
	_, err = d.PauseSchedule(ctx, operator, id)
	must(t, err)
	b.advance(150 * time.Minute) // 14:31
	must(t, d.Fire(ctx, "default", id, noon.Add(time.Hour)))
	_, err = d.Sweep(ctx)
	must(t, err)
	if s := runsOf(t, d, id); s != "13:00=scheduled/paused" || len(b.started) != 0 {
		t.Fatalf("a paused schedule: %s, started %v", s, b.started)
	}
	sc, err = d.ResumeSchedule(ctx, operator, id)
	must(t, err)
	if s := runsOf(t, d, id); s != "15:00=scheduled" || sc.Runs != 1 || !a.set[id].Equal(noon.Add(3*time.Hour)) {
		t.Fatalf("resumed: %s, %+v", s, sc)
	}
	b.advance(29 * time.Minute)
	must(t, d.Fire(ctx, "default", id, noon.Add(3*time.Hour)))
	sc, err = d.CancelSchedule(ctx, operator, id)
	must(t, err)
	if s := runsOf(t, d, id); s != "15:00=queued 16:00=canceled/canceled" || sc.State != job.ScheduleCanceled || sc.Next != nil || len(a.set) != 0 {
		t.Fatalf("canceled: %s, %+v", s, sc)
	}
	again, err := d.CancelSchedule(ctx, operator, id)
	must(t, err)
	if again.Rev != sc.Rev {
		t.Error("canceling a final schedule changed it")
	}
	for _, f := range []func(context.Context, job.Principal, int64) (job.Schedule, error){d.PauseSchedule, d.ResumeSchedule} {
		_, err := f(ctx, operator, id)
		wantCode(t, err, job.Conflict)
	}
	must(t, d.DeleteSchedule(ctx, operator, id))
	_, err = d.Schedule(ctx, viewer, id)
	wantCode(t, err, job.NotFound)
	_, err = d.Job(ctx, viewer, got.Run) // its runs keep their job
	must(t, err)
	wantCode(t, d.DeleteSchedule(ctx, operator, id), job.NotFound)
	must(t, d.Fire(ctx, "default", id, noon)) // an alarm that comes after all
	fresh, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Schedule: hourly()})
	must(t, err)
	must(t, d.DeleteSchedule(ctx, operator, fresh.Schedule.ID))
	if r, err := d.Run(ctx, viewer, fresh.Run.ID); err != nil || r.Status != job.StatusCanceled {
		t.Errorf("the run of a deleted schedule: %+v, %v", r, err)
	}
}

func TestCancel_OfAScheduledRunCancelsItsSchedule(t *testing.T) {
	ctx := context.Background()
	_, d, a, tpl := timed(t)
	for _, f := range []func(context.Context, job.Principal, string) (job.Run, error){d.Cancel, d.CancelNow} {
		got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name ~ R"), Schedule: hourly()})
		must(t, err)
		r, err := f(ctx, operator, got.Run.ID)
		must(t, err)
		if r.Status != job.StatusCanceled || r.CanceledBy != "ops" || r.Started != nil {
			t.Errorf("run %+v", r)
		}
		sc, err := d.Schedule(ctx, viewer, got.Schedule.ID)
		must(t, err)
		if sc.State != job.ScheduleCanceled || sc.Next != nil || len(a.set) != 0 {
			t.Errorf("schedule %+v", sc)
		}
		page, err := d.Results(ctx, viewer, r.ID, 0, 10)
		must(t, err)
		if len(page.Results) != 3 || page.Results[0].Status != job.ResultCanceled || page.Results[0].Reason != job.ReasonNeverStarted {
			t.Errorf("results %+v", page.Results)
		}
	}
}
