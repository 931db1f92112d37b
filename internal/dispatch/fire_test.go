package dispatch_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/store"
)

// What the store's atomic group leaves to be done (the start, the alarm, the
// settling) is done by the sweeper when it fails.
func TestFire_WhatFailsAfterItIsStoredIsTheSweepers(t *testing.T) {
	ctx := context.Background()
	b, d, a, tpl := timed(t)
	a.err, b.startErr = job.Errorf(job.Unavailable, "no"), job.Errorf(job.Unavailable, "no")
	// Bounded, so that each alarm rings once.
	got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"),
		Schedule: &job.Recurrence{Cron: "0 * * * *", MaxRuns: 3, Start: ptr(noon.Add(time.Hour))}})
	must(t, err)
	b.advance(time.Hour + scheduledLook)
	_, _ = d.Sweep(ctx)
	if s := runsOf(t, d, got.Schedule.ID); s != "13:00=queued 14:00=scheduled" {
		t.Fatal(s)
	}
	a.err, b.startErr, b.started = nil, nil, nil
	b.advance(15 * time.Second)
	_, err = d.Sweep(ctx)
	must(t, err)
	if len(b.started) != 1 || b.started[0] != got.Run.ID {
		t.Fatalf("started %v", b.started)
	}
	_, err = b.end(ctx, "default", got.Run.ID, job.Succeeded)
	must(t, err)
	b.advance(time.Hour - 15*time.Second)
	_, err = d.Sweep(ctx)
	must(t, err)
	if s := runsOf(t, d, got.Schedule.ID); s != "13:00=succeeded 14:00=queued 15:00=scheduled" || !a.set[got.Schedule.ID].Equal(noon.Add(3*time.Hour)) {
		t.Fatalf("%s, alarms %v", s, a.set)
	}
}

const scheduledLook = 30 * time.Second

func TestFire_ManyAtOnceMakeOneRun(t *testing.T) {
	ctx := context.Background()
	b, d, _, tpl := timed(t)
	got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: &job.Selection{Query: "name ~ R", Dynamic: true}, Schedule: hourly(), Space: "s"})
	must(t, err)
	for round := range 3 {
		var wg sync.WaitGroup
		var failed atomic.Int32
		for range 50 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if err := d.Fire(ctx, "default", got.Schedule.ID, noon); err != nil {
					failed.Add(1)
					t.Log(err)
				}
			}()
		}
		wg.Wait()
		if len(b.started) != round+1 || failed.Load() > 0 {
			t.Fatalf("round %d: started %v, %d failed", round, b.started, failed.Load())
		}
		b.advance(time.Hour)
	}
	if s := runsOf(t, d, got.Schedule.ID); s != "12:00=queued 13:00=queued 14:00=queued 15:00=scheduled" {
		t.Error(s)
	}
	_, total, err := d.RunsByNumber(ctx, viewer, "s", 0, 1)
	must(t, err)
	if total != 4 {
		t.Errorf("%d runs are counted", total)
	}
}

// medium is a store's medium that lets something happen before its operations.
type medium struct {
	store.Driver
	atomic, add func()
}

func (m *medium) Atomic(ctx context.Context, ops ...store.Op) error {
	m.atomic()
	return m.Driver.Atomic(ctx, ops...)
}

func (m *medium) Add(ctx context.Context, key store.Key, delta int64, expires time.Time) (int64, error) {
	n, err := m.Driver.Add(ctx, key, delta, expires)
	m.add()
	return n, err
}

// A step that took so long that the sweeper is about to look after the run starts
// it all the same.
func TestFire_SlowlyStored(t *testing.T) {
	ctx := context.Background()
	b, _, a, tpl := timed(t)
	slow := &medium{b.store.Driver(), func() {}, func() {}}
	c := b.Config
	c.Store, c.Alarms, c.Settle = store.New(slow, store.Options{Clock: b.clock}), a, b.settleUnbegun
	d := dispatch.New(c)
	defer d.Close()
	got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Schedule: hourly()})
	must(t, err)
	slow.atomic = func() { b.advance(time.Minute) }
	must(t, d.Fire(ctx, "default", got.Schedule.ID, noon))
	if len(b.started) != 1 || b.started[0] != got.Run.ID {
		t.Errorf("started %v", b.started)
	}
}

// A command that could not be followed to its end is refused when it is known on what
// it is to run, as a submit refuses it; one that has its limit by default only is cut
// off where it has to be.
func TestFire_LongCommandsNeedLinux(t *testing.T) {
	ctx := context.Background()
	b, _, a, tpl := timed(t)
	b.saved(t)(b.SaveDevices(ctx, admin, []inventory.DeviceInput{{Name: "W", Address: ptr("127.1.0.9"), Platform: ptr(job.PlatformWindows)}}))
	c := b.Config
	c.LongestAttempt, c.Alarms, c.Settle = 14*time.Minute, a, b.settleUnbegun
	d := dispatch.New(c)
	defer d.Close()
	for _, x := range []struct {
		query            string
		given, byDefault time.Duration
		want             string
	}{
		{"name = R1", time.Hour, 0, "12:00=queued"},
		{"name = W", 10 * time.Minute, 0, "12:00=queued"},
		{"name = W", 0, time.Hour, "12:00=queued"},
		{"name ^ (R1, W)", time.Hour, 0, "12:00=failed/targets"},
	} {
		got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: &job.Selection{Query: x.query, Dynamic: true},
			Schedule: &job.Recurrence{At: &noon}, Timeout: x.given, DefaultTimeout: x.byDefault})
		must(t, err)
		must(t, d.Fire(ctx, "default", got.Schedule.ID, noon))
		if s := runsOf(t, d, got.Schedule.ID); s != x.want {
			t.Errorf("%s %s %s: %s", x.query, x.given, x.byDefault, s)
		}
	}
}

// Whoever goes away while a run is made leaves no number behind that names none.
func TestNumbers_CallersThatGoAway(t *testing.T) {
	b, _, a, tpl := timed(t)
	leaving := &medium{b.store.Driver(), func() {}, func() {}}
	c := b.Config
	c.Store, c.Alarms, c.Settle = store.New(leaving, store.Options{Clock: b.clock}), a, b.settleUnbegun
	d := dispatch.New(c)
	defer d.Close()
	call := func(f func(ctx context.Context)) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		leaving.add = cancel
		f(ctx)
		leaving.add = func() {}
	}
	runs := func() (n, total int) {
		runs, total, err := d.RunsByNumber(context.Background(), viewer, "s", 0, 100)
		must(t, err)
		return len(runs), total
	}
	call(func(ctx context.Context) {
		_, _ = d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Space: "s"})
	})
	if n, total := runs(); n != total {
		t.Errorf("%d runs, %d are counted", n, total)
	}
	got, err := d.Submit(context.Background(), operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Space: "s", Schedule: hourly()})
	must(t, err)
	call(func(ctx context.Context) { _ = d.Fire(ctx, "default", got.Schedule.ID, noon) })
	if n, total := runs(); n != total || n < 3 {
		t.Errorf("%d runs, %d are counted", n, total)
	}
}

// A run that waits for its time is started by nobody but its schedule, and costs
// no read while it waits.
func TestResume_LeavesScheduledRunsAlone(t *testing.T) {
	ctx := context.Background()
	b, d, _, tpl := timed(t)
	_, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Schedule: &job.Recurrence{At: ptr(noon.Add(time.Hour))}})
	must(t, err)
	got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1")})
	must(t, err)
	b.started = nil
	n, err := d.Resume(ctx)
	must(t, err)
	if n != 1 || len(b.started) != 1 || b.started[0] != got.Run.ID {
		t.Errorf("resumed %d: %v", n, b.started)
	}
	rows, _, err := b.store.OpenRuns(ctx, store.PageQuery{})
	must(t, err)
	waiting := 0
	for _, r := range rows {
		if r.Scheduled {
			waiting++
		}
	}
	if len(rows) != 2 || waiting != 1 {
		t.Errorf("open rows %+v", rows)
	}
}

func TestEraseLogin_WhenTheScheduleAndItsLastRunAreOver(t *testing.T) {
	ctx := context.Background()
	b, d, _, tpl := timed(t)
	submit := func(r *job.Recurrence) dispatch.Submitted {
		got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Schedule: r,
			Login: &dispatch.Login{Username: "root", Password: "canary"}})
		must(t, err)
		return got
	}
	has := func(id string) bool {
		must(t, b.store.EraseLogin(ctx, "default", id))
		j, err := b.store.Job(ctx, "default", id)
		must(t, err)
		if j.Login.Username != "root" {
			t.Error("the login's name is gone")
		}
		return j.Login.Password.Set()
	}
	once := submit(nil)
	_, err := b.end(ctx, "default", once.Run.ID, job.Succeeded)
	must(t, err)
	if has(once.Run.JobID) {
		t.Error("the only run is over")
	}
	twice := submit(&job.Recurrence{Every: time.Hour, MaxRuns: 2})
	id := twice.Run.JobID
	must(t, d.Fire(ctx, "default", twice.Schedule.ID, noon))
	_, err = b.end(ctx, "default", twice.Run.ID, job.Succeeded)
	must(t, err)
	if !has(id) {
		t.Error("a run is to come")
	}
	b.advance(time.Hour)
	must(t, d.Fire(ctx, "default", twice.Schedule.ID, noon))
	if !has(id) {
		t.Error("the last run goes on")
	}
	runs, err := d.ScheduleRuns(ctx, viewer, twice.Schedule.ID)
	must(t, err)
	_, err = b.end(ctx, "default", runs[len(runs)-1].ID, job.Succeeded)
	must(t, err)
	if has(id) {
		t.Error("the schedule is finished and its last run over")
	}
}

func TestRetention_TakesWhatASchedulesRunsLeft(t *testing.T) {
	ctx := context.Background()
	b, d, _, tpl := timed(t)
	got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name ~ R"), Schedule: &job.Recurrence{At: &noon}, Space: "s"})
	must(t, err)
	must(t, d.Fire(ctx, "default", got.Schedule.ID, noon))
	_, err = b.end(ctx, "default", got.Run.ID, job.Succeeded)
	must(t, err)
	b.advance(2 * time.Hour)
	_, err = d.Sweep(ctx)
	must(t, err)
	if ts, err := b.store.Targets(ctx, "default", got.Run.ID, 0, 10); err != nil || len(ts) != 0 {
		t.Errorf("targets %v, %v", ts, err)
	}
	if _, total, err := d.RunsByNumber(ctx, viewer, "s", 0, 1); err != nil || total != 0 {
		t.Errorf("%d are counted, %v", total, err)
	}
	if runs, err := d.ScheduleRuns(ctx, viewer, got.Schedule.ID); err != nil || len(runs) != 0 {
		t.Errorf("runs %v, %v", runs, err)
	}
	b.advance(30 * 24 * time.Hour)
	_, err = d.Schedule(ctx, viewer, got.Schedule.ID)
	wantCode(t, err, job.NotFound)
	_, err = b.store.Job(ctx, "default", got.Run.JobID)
	wantCode(t, err, job.NotFound)
}

// A schedule for more devices than travel in one group of writes.
func TestSchedule_OfALargeFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("2,200 devices")
	}
	ctx := context.Background()
	b, d, _, tpl := timed(t)
	var devs []inventory.DeviceInput
	for i := range 2200 {
		devs = append(devs, inventory.DeviceInput{Name: fmt.Sprintf("D%05d", i), Address: ptr("127.0.0.1")})
	}
	b.saved(t)(b.SaveDevices(ctx, admin, devs))
	for _, dynamic := range []bool{false, true} {
		got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: &job.Selection{Query: "name ~ D", Dynamic: dynamic}, Schedule: &job.Recurrence{Every: time.Hour}})
		must(t, err)
		for range 2 {
			sc, err := d.Schedule(ctx, viewer, got.Schedule.ID)
			must(t, err)
			b.mu.Lock()
			b.now = *sc.Next
			b.mu.Unlock()
			var wg sync.WaitGroup
			for range 4 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					if err := d.Fire(ctx, "default", sc.ID, *sc.Next); err != nil {
						t.Error(err)
					}
				}()
			}
			wg.Wait()
			run, err := d.Run(ctx, viewer, sc.NextRun)
			must(t, err)
			ts, err := d.Targets(ctx, viewer, run, 0, 5000)
			must(t, err)
			if run.Status != job.Queued || run.Total != 2200 || len(ts) != 2200 || ts[2199].Name != "D02199" {
				t.Fatalf("dynamic %v: %d targets of %+v", dynamic, len(ts), run)
			}
		}
	}
}

// A schedule has no rights that who made it has lost.
func TestFire_WhoMadeItMustStillBeAllowed(t *testing.T) {
	ctx := context.Background()
	b, d, _, tpl := timed(t)
	got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Schedule: hourly()})
	must(t, err)
	first := got.Run.ID
	demoted := func(role job.Role) {
		u, err := b.store.User(ctx, operator.Name)
		must(t, err)
		u.Role = role
		must(t, b.store.PutUser(ctx, &u))
	}
	demoted(job.Viewer)
	must(t, d.Fire(ctx, "default", got.Schedule.ID, noon))
	run, err := d.Run(ctx, admin, first)
	must(t, err)
	if run.Reason != job.ReasonTargets || run.Message != `the user "ops" is gone, or may not run jobs any more` || len(b.started) != 0 {
		t.Fatalf("%+v, started %v", run, b.started)
	}
	// With the rights the schedule goes on; without the user it does not.
	demoted(job.Operator)
	sc, err := d.Schedule(ctx, admin, got.Schedule.ID)
	must(t, err)
	b.advance(time.Hour)
	must(t, d.Fire(ctx, "default", sc.ID, *sc.Next))
	if len(b.started) != 1 || b.started[0] != sc.NextRun {
		t.Fatalf("started %v, want %s", b.started, sc.NextRun)
	}
	u, err := b.store.User(ctx, operator.Name)
	must(t, err)
	must(t, b.store.DeleteUser(ctx, u))
	b.advance(time.Hour)
	if sc, err = d.Schedule(ctx, admin, sc.ID); err != nil {
		t.Fatal(err)
	}
	must(t, d.Fire(ctx, "default", sc.ID, *sc.Next))
	if run, err = d.Run(ctx, admin, sc.NextRun); err != nil || run.Reason != job.ReasonTargets || len(b.started) != 1 {
		t.Fatalf("%+v %v, started %v", run, err, b.started)
	}
}
