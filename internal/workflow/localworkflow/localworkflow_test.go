package localworkflow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"drover/internal/job"
	"drover/internal/task"
	"drover/internal/workflow/localworkflow"
)

// units are the numbers of n units.
func units(n int) []int {
	us := make([]int, n)
	for i := range us {
		us[i] = i
	}
	return us
}

// config is a run of n units, all of them done at once.
func config(n, concurrency int) localworkflow.Config {
	return localworkflow.Config{
		Plan: func(_ context.Context, r task.RunRef) (task.Planned, error) {
			return task.Planned{V: task.Version, Tenant: r.Tenant, Run: r.Run,
				Map: task.MapStandard, Units: units(n), Concurrency: concurrency}, nil
		},
		Execute: func(context.Context, task.UnitRef) (task.Executed, error) { return task.Executed{}, nil },
		Finish: func(context.Context, task.RunRef) (task.Finished, error) {
			return task.Finished{Settled: true}, nil
		},
	}
}

func start(t *testing.T, w *localworkflow.Workflow, run string) {
	t.Helper()
	if err := w.Start(t.Context(), "t", run); err != nil {
		t.Fatal(err)
	}
}

// 10,000 devices are 10,000 units, 10,001 are 5,001; each is executed once.
func TestManyUnits(t *testing.T) {
	for _, n := range []int{10_000, 5_001} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			cfg := config(n, 100)
			seen := make([]atomic.Int32, n)
			var open, peak atomic.Int32
			cfg.Execute = func(_ context.Context, u task.UnitRef) (task.Executed, error) {
				now := open.Add(1)
				defer open.Add(-1)
				for p := peak.Load(); now > p && !peak.CompareAndSwap(p, now); p = peak.Load() {
				}
				seen[u.Unit].Add(1)
				return task.Executed{}, nil
			}
			var finishes atomic.Int32
			cfg.Finish = func(context.Context, task.RunRef) (task.Finished, error) {
				finishes.Add(1)
				return task.Finished{}, nil
			}
			w := localworkflow.New(cfg)
			start(t, w, "r")
			<-w.Over("t", "r")
			for i := range seen {
				if c := seen[i].Load(); c != 1 {
					t.Fatalf("unit %d was executed %d times", i, c)
				}
			}
			if peak.Load() > 100 || finishes.Load() != 1 {
				t.Errorf("%d at once, %d calls of Finish", peak.Load(), finishes.Load())
			}
		})
	}
}

// All runs together stay within the deployment's limit and reach it, and one
// run that has all of it does not keep a small one out for its whole length.
func TestMaxConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4
		cfg := config(100, 50)
		cfg.MaxConcurrency = limit
		open, peak := 0, 0
		var mu sync.Mutex
		cfg.Execute = func(context.Context, task.UnitRef) (task.Executed, error) {
			mu.Lock()
			open++
			peak = max(peak, open)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			open--
			mu.Unlock()
			return task.Executed{}, nil
		}
		began := time.Now()
		ended := map[string]time.Duration{}
		plan := cfg.Plan
		cfg.Plan = func(ctx context.Context, r task.RunRef) (task.Planned, error) {
			p, err := plan(ctx, r)
			if r.Run == "small" {
				p.Units = p.Units[:1]
			}
			return p, err
		}
		cfg.Finish = func(_ context.Context, r task.RunRef) (task.Finished, error) {
			mu.Lock()
			defer mu.Unlock()
			ended[r.Run] = time.Since(began)
			return task.Finished{}, nil
		}
		w := localworkflow.New(cfg)
		for _, run := range []string{"a", "b"} {
			start(t, w, run)
		}
		synctest.Wait()
		start(t, w, "small")
		for _, run := range []string{"a", "b", "small"} {
			<-w.Over("t", run)
		}
		if peak != limit {
			t.Errorf("%d at once over all runs, want %d", peak, limit)
		}
		// 201 units of a second, four at a time.
		if all := max(ended["a"], ended["b"]); all != 51*time.Second {
			t.Errorf("all took %v, want 51 s", all)
		}
		if ended["small"] > 30*time.Second {
			t.Errorf("one unit took %v beside two runs", ended["small"])
		}
	})
}

// A unit between two rounds keeps its place in its run and takes none of the
// deployment's turns.
func TestWaitingUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(2, 1)
		cfg.MaxConcurrency = 1
		began := time.Now()
		var mu sync.Mutex
		var calls []string
		cfg.Execute = func(_ context.Context, u task.UnitRef) (task.Executed, error) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, fmt.Sprintf("%s%d.%d@%v", u.Run, u.Unit, u.Round, time.Since(began)))
			return task.Executed{Again: u.Run == "a" && u.Unit == 0 && u.Round < 2, Wait: 20 * (u.Round + 1), Round: u.Round + 1}, nil
		}
		w := localworkflow.New(cfg)
		start(t, w, "a")
		synctest.Wait()
		start(t, w, "b")
		<-w.Over("t", "a")
		<-w.Over("t", "b")
		want := []string{"a0.0@0s", "b0.0@0s", "b1.0@0s", "a0.1@20s", "a0.2@1m0s", "a1.0@1m0s"}
		if !slices.Equal(calls, want) {
			t.Errorf("calls %v, want %v", calls, want)
		}
	})
}

// The longest waits of throttling and of crashes, without jitter.
func TestBackoff(t *testing.T) {
	seconds := func(ns ...int) (ds []time.Duration) {
		for _, n := range ns {
			ds = append(ds, time.Duration(n)*time.Second)
		}
		return ds
	}
	throttled := seconds(1, 2, 4, 8, 16)
	for len(throttled) < 30 {
		throttled = append(throttled, 20*time.Second)
	}
	tests := []struct {
		err  error
		want []time.Duration
	}{
		{task.ThrottledError{}, throttled},
		{&task.ThrottledError{}, throttled},
		{task.InternalError{}, seconds(2, 4, 8, 16)},
		{errors.New("anything"), seconds(2, 4, 8, 16)},
		{fmt.Errorf("wrapped: %w", task.ThrottledError{}), seconds(2, 4, 8, 16)}, // the outermost name counts
		{task.InvalidInputError{}, nil},
		{task.VersionError{}, nil},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%T", tt.err), func(t *testing.T) {
			cfg := config(1, 1)
			cfg.Execute = func(context.Context, task.UnitRef) (task.Executed, error) { return task.Executed{}, tt.err }
			var waits []time.Duration
			cfg.Jitter = func(d time.Duration) time.Duration { return d }
			cfg.Sleep = func(ctx context.Context, d time.Duration) error {
				waits = append(waits, d)
				return ctx.Err()
			}
			w := localworkflow.New(cfg)
			start(t, w, "r")
			<-w.Over("t", "r")
			if !slices.Equal(waits, tt.want) {
				t.Errorf("waits %v, want %v", waits, tt.want)
			}
		})
	}
}

// The jitter is full: any wait up to the longest.
func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(200, 200)
		began := time.Now()
		var mu sync.Mutex
		var waits []time.Duration
		cfg.Execute = func(_ context.Context, u task.UnitRef) (task.Executed, error) {
			if time.Since(began) == 0 {
				return task.Executed{}, task.ThrottledError{}
			}
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, time.Since(began))
			return task.Executed{}, nil
		}
		w := localworkflow.New(cfg)
		start(t, w, "r")
		<-w.Over("t", "r")
		if len(waits) != 200 || slices.Max(waits) > time.Second || slices.Max(waits) < 800*time.Millisecond || slices.Min(waits) > 200*time.Millisecond {
			t.Errorf("%d waits from %v to %v, want 200 spread over a second", len(waits), slices.Min(waits), slices.Max(waits))
		}
	})
}

// A panic is an error like a crash, and the log has its stack.
func TestPanic(t *testing.T) {
	cfg := config(1, 1)
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
	cfg.Sleep = atOnce
	var calls, finishes int
	cfg.Execute = func(context.Context, task.UnitRef) (task.Executed, error) {
		calls++
		panic("out of cheese")
	}
	cfg.Finish = func(context.Context, task.RunRef) (task.Finished, error) {
		finishes++
		return task.Finished{}, nil
	}
	w := localworkflow.New(cfg)
	start(t, w, "r")
	<-w.Over("t", "r")
	if calls != 5 || finishes != 1 {
		t.Errorf("%d calls of Execute and %d of Finish, want 5 and 1", calls, finishes)
	}
	for _, want := range []string{"out of cheese", "localworkflow_test.go", `"tenant":"t"`, `"run":"r"`, `"unit":0`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, &log)
		}
	}
}

// Stop ends the contexts of tasks under way and says why.
func TestStop_EndsContexts(t *testing.T) {
	cfg := config(3, 2)
	begun, causes := make(chan struct{}, 3), make(chan error, 3)
	cfg.Execute = func(ctx context.Context, _ task.UnitRef) (task.Executed, error) {
		begun <- struct{}{}
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return task.Executed{}, ctx.Err()
	}
	cfg.Finish = func(context.Context, task.RunRef) (task.Finished, error) {
		t.Error("Finish was called")
		return task.Finished{}, nil
	}
	w := localworkflow.New(cfg)
	start(t, w, "r")
	<-begun
	<-begun
	if err := w.Stop(t.Context(), "other", "r", "not ours"); err != nil {
		t.Fatal(err)
	}
	if err := w.Stop(t.Context(), "t", "r", "a cancel"); err != nil {
		t.Fatal(err)
	}
	<-w.Over("t", "r")
	if len(causes) != 2 {
		t.Fatalf("%d tasks ended, want 2", len(causes))
	}
	if err := <-causes; job.CodeOf(err) != job.Canceled || !strings.Contains(err.Error(), "a cancel") {
		t.Errorf("cause %v", err)
	}
}

// A drain lets tasks under way end, begins none, and settles a run whose units
// are all done.
func TestClose_Drains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(10, 2)
		var mu sync.Mutex
		calls := map[string]int{}
		finished := map[string]bool{}
		plan := cfg.Plan
		cfg.Plan = func(ctx context.Context, r task.RunRef) (task.Planned, error) {
			p, err := plan(ctx, r)
			if r.Run == "last" {
				p.Units = p.Units[:2]
			}
			return p, err
		}
		cfg.Execute = func(ctx context.Context, u task.UnitRef) (task.Executed, error) {
			mu.Lock()
			calls[u.Run]++
			mu.Unlock()
			if u.Run == "waiting" {
				return task.Executed{Again: true, Wait: 300, Round: 1}, nil
			}
			if u.Run == "throttled" {
				return task.Executed{}, task.ThrottledError{}
			}
			time.Sleep(10 * time.Second)
			return task.Executed{}, ctx.Err()
		}
		cfg.Jitter = func(time.Duration) time.Duration { return time.Hour }
		cfg.Finish = func(_ context.Context, r task.RunRef) (task.Finished, error) {
			mu.Lock()
			defer mu.Unlock()
			finished[r.Run] = true
			return task.Finished{}, nil
		}
		w := localworkflow.New(cfg)
		for _, run := range []string{"many", "last", "waiting", "throttled"} {
			start(t, w, run)
		}
		synctest.Wait()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := w.Close(ctx); err != nil {
			t.Fatalf("close: %v", err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("the drain took %v, want the 10 s of the tasks under way", took)
		}
		for _, run := range []string{"many", "last", "waiting", "throttled"} {
			if calls[run] != 2 {
				t.Errorf("%d calls for run %s, want the two that were under way", calls[run], run)
			}
			if finished[run] != (run == "last") {
				t.Errorf("run %s: finished %v", run, finished[run])
			}
		}
		if err := w.Start(t.Context(), "t", "new"); job.CodeOf(err) != job.Unavailable {
			t.Errorf("start after close: %v", err)
		}
		if err := w.Close(ctx); err != nil {
			t.Errorf("close again: %v", err)
		}
	})
}

// When the drain's time is up, tasks are cut short, and waited for.
func TestClose_CutsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(1, 1)
		var ended atomic.Bool
		cfg.Execute = func(ctx context.Context, _ task.UnitRef) (task.Executed, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // it has something to record
			ended.Store(true)
			return task.Executed{}, ctx.Err()
		}
		w := localworkflow.New(cfg)
		start(t, w, "r")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := w.Close(ctx); job.CodeOf(err) != job.Canceled {
			t.Errorf("close: %v", err)
		}
		if !ended.Load() {
			t.Error("Close returned before the task did")
		}
	})
}

// The latest 10,000 executions are known by name; an older one begins again.
func TestStart_Remembers(t *testing.T) {
	cfg := config(0, 1)
	var plans atomic.Int64
	plan := cfg.Plan
	cfg.Plan = func(ctx context.Context, r task.RunRef) (task.Planned, error) {
		plans.Add(1)
		return plan(ctx, r)
	}
	w := localworkflow.New(cfg)
	run := func(i int) {
		start(t, w, fmt.Sprint(i))
		<-w.Over("t", fmt.Sprint(i))
	}
	for i := range 10_000 {
		run(i)
	}
	for _, i := range []int{0, 5_000, 9_999} {
		run(i)
	}
	if plans.Load() != 10_000 {
		t.Fatalf("%d calls of Plan, want 10,000", plans.Load())
	}
	run(10_000) // pushes 0 out
	run(0)
	run(9_999)
	if plans.Load() != 10_002 {
		t.Errorf("%d calls of Plan, want 10,002", plans.Load())
	}
}

// BenchmarkRun is a run of 1,000 units, 100 at once, whose tasks take no time:
// what the driver itself costs.
func BenchmarkRun(b *testing.B) {
	cfg := config(1_000, 100)
	cfg.MaxConcurrency = 100
	w := localworkflow.New(cfg)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		run := fmt.Sprint(i)
		if err := w.Start(b.Context(), "t", run); err != nil {
			b.Fatal(err)
		}
		<-w.Over("t", run)
	}
}

// A run that Finish could not settle (the disk was full, say) is not over: the
// next Start goes through it again.
func TestStart_AfterAFinishThatFailed(t *testing.T) {
	cfg := config(1, 1)
	cfg.Retry = []localworkflow.Retrier{}
	cfg.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	var broken atomic.Bool
	var finished atomic.Int64
	broken.Store(true)
	cfg.Finish = func(context.Context, task.RunRef) (task.Finished, error) {
		if broken.Load() {
			return task.Finished{}, job.Errorf(job.Unavailable, "no space left")
		}
		finished.Add(1)
		return task.Finished{Settled: true}, nil
	}
	w := localworkflow.New(cfg)
	for range 3 {
		start(t, w, "r")
		<-w.Over("t", "r")
	}
	broken.Store(false)
	for range 3 {
		start(t, w, "r")
		<-w.Over("t", "r")
	}
	if finished.Load() != 1 {
		t.Errorf("finished %d times, want once", finished.Load())
	}
}
