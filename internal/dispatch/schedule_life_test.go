package dispatch_test

import (
	"context"
	"flag"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/store"
)

// flaky is a store's medium that fails at times: before it writes, or after.
type flaky struct {
	store.Driver
	mode atomic.Int32
}

const (
	works int32 = iota
	failsBefore
	failsAfter
)

func (f *flaky) Atomic(ctx context.Context, ops ...store.Op) error {
	lost := job.Errorf(job.Unavailable, "the medium failed")
	switch f.mode.Load() {
	case failsBefore:
		return lost
	case failsAfter:
		if err := f.Driver.Atomic(ctx, ops...); err != nil {
			return err
		}
		return lost
	}
	return f.Driver.Atomic(ctx, ops...)
}

// Whatever happens to a schedule, in whatever order, while starts, alarms and the store
// fail:
// no two runs are for one occurrence; one run is scheduled as long as the
// schedule is not final, and none after; there are no more runs than MaxRuns, none
// at or after End, and each started run was started at its time or later and
// within the grace.
func TestSchedule_Life(t *testing.T) {
	ctx := context.Background()
	b, _, a, tpl := timed(t)
	medium := &flaky{Driver: b.store.Driver()}
	b.store = store.New(medium, store.Options{Clock: b.clock}) // keeps all runs
	c := b.Config
	c.Store, c.Alarms, c.Settle = b.store, a, b.settleUnbegun
	d := dispatch.New(c)
	defer d.Close()
	// Every step is some synced writes: few lives, unless more are asked for.
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		must(t, flag.Set(f.Name, "12"))
		defer func() { must(t, flag.Set(f.Name, f.DefValue)) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		b.mu.Lock()
		b.now = b.now.Add(24 * time.Hour).Truncate(24 * time.Hour)
		start := b.now
		b.started = nil
		b.mu.Unlock()
		r := job.Recurrence{Grace: rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(rt, "grace")}
		switch rapid.IntRange(0, 3).Draw(rt, "kind") {
		case 0:
			r.At = ptr(start.Add(rapid.SampledFrom([]time.Duration{0, 20 * time.Minute}).Draw(rt, "at")))
		case 1:
			r.Every = rapid.SampledFrom([]time.Duration{time.Minute, 7 * time.Minute, time.Hour}).Draw(rt, "every")
		default:
			r.Cron = rapid.SampledFrom([]string{"*/5 * * * *", "0 * * * *", "30 1-5 * * *"}).Draw(rt, "cron")
		}
		if r.At == nil {
			r.MaxRuns = rapid.SampledFrom([]int{0, 1, 2, 5}).Draw(rt, "max")
			if rapid.Bool().Draw(rt, "ends") {
				r.End = ptr(start.Add(6 * time.Hour))
			}
		}
		got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: &job.Selection{Query: "name ~ R", Dynamic: rapid.Bool().Draw(rt, "dynamic")},
			Schedule: &r, Space: "s"})
		if err != nil {
			rt.Fatal(err)
		}
		id := got.Schedule.ID
		check := func(rt *rapid.T) {
			sc, err := d.Schedule(ctx, viewer, id)
			if err != nil {
				rt.Fatal(err)
			}
			runs, err := d.ScheduleRuns(ctx, viewer, id)
			if err != nil {
				rt.Fatal(err)
			}
			waiting, seen := 0, map[time.Time]bool{}
			for _, run := range runs {
				if seen[*run.Planned] {
					rt.Fatalf("two runs are for %v", run.Planned)
				}
				seen[*run.Planned] = true
				if run.Status == job.Scheduled && !run.Canceling() {
					waiting++
					if sc.NextRun != run.ID || !sc.Next.Equal(*run.Planned) {
						rt.Fatalf("run %s is scheduled for %v, the schedule says %s, %v", run.ID, run.Planned, sc.NextRun, sc.Next)
					}
				}
				if r.End != nil && !run.Planned.Before(*r.End) {
					rt.Fatalf("a run for %v, which is not before %v", run.Planned, r.End)
				}
			}
			want := 1
			if sc.State.Final() {
				want = 0
			}
			if waiting != want || (sc.Next != nil) != (want == 1) {
				rt.Fatalf("%d runs are scheduled of a schedule that is %s", waiting, sc.State)
			}
			if r.MaxRuns > 0 && len(runs) > r.MaxRuns || sc.Runs != len(runs) {
				rt.Fatalf("%d runs of at most %d, the schedule says %d", len(runs), r.MaxRuns, sc.Runs)
			}
		}
		ignoreFinal := func(_ job.Schedule, err error) {
			if c := job.CodeOf(err); err != nil && c != job.Conflict && c != job.Unavailable {
				rt.Error(err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": check,
			"time": func(rt *rapid.T) {
				b.advance(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 16 * time.Minute, time.Hour}).Draw(rt, "by"))
			},
			"fire": func(rt *rapid.T) {
				var wg sync.WaitGroup
				for range rapid.IntRange(1, 3).Draw(rt, "times") {
					wg.Add(1)
					go func() {
						defer wg.Done()
						ignoreFinal(job.Schedule{}, d.Fire(ctx, "default", id, start))
					}()
				}
				wg.Wait()
			},
			"all at once": func(rt *rapid.T) {
				all := []func(){
					func() { _ = d.Fire(ctx, "default", id, start) },
					func() { _, _ = d.Sweep(ctx) },
					func() { ignoreFinal(d.PauseSchedule(ctx, operator, id)) },
					func() { ignoreFinal(d.ResumeSchedule(ctx, operator, id)) },
					func() { _ = d.Fire(ctx, "default", id, start) },
				}
				if rapid.IntRange(0, 9).Draw(rt, "cancel too") == 0 {
					all = append(all, func() { _, _ = d.Cancel(ctx, operator, got.Run.ID) })
				}
				var wg sync.WaitGroup
				for _, f := range all {
					wg.Add(1)
					go func() { defer wg.Done(); f() }()
				}
				wg.Wait()
			},
			"sweep":  func(*rapid.T) { _, _ = d.Sweep(ctx) },
			"pause":  func(*rapid.T) { ignoreFinal(d.PauseSchedule(ctx, operator, id)) },
			"resume": func(*rapid.T) { ignoreFinal(d.ResumeSchedule(ctx, operator, id)) },
			"cancel": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "really") == 0 {
					ignoreFinal(d.CancelSchedule(ctx, operator, id))
				}
			},
			"break": func(rt *rapid.T) {
				var err error
				if rapid.Bool().Draw(rt, "broken") {
					err = job.Errorf(job.Unavailable, "no")
				}
				b.mu.Lock()
				b.startErr = err
				b.mu.Unlock()
				a.mu.Lock()
				a.err = err
				a.mu.Unlock()
			},
			"break the store": func(rt *rapid.T) {
				medium.mode.Store(rapid.SampledFrom([]int32{works, works, failsBefore, failsAfter}).Draw(rt, "mode"))
			},
		})
		medium.mode.Store(works)
		a.err, b.startErr = nil, nil
		for _, run := range b.started {
			got, err := b.store.Run(ctx, "default", run)
			if err == nil && got.ScheduleID == id && got.Started == nil && b.clock().Before(*got.Planned) {
				rt.Fatalf("run %s was started before %v", run, got.Planned)
			}
			_, _ = b.end(ctx, "default", run, job.Succeeded)
		}
		if _, err := d.CancelSchedule(ctx, operator, id); err != nil {
			rt.Fatal(err)
		}
	})
}
