package task

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/device/sshsim"
	"drover/internal/job"
	"drover/internal/store"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"
)

// eventually waits for something that other goroutines bring about.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatal("not so in 20 s: " + what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestCancel_WhileCommandsRun(t *testing.T) {
	for _, c := range []struct {
		name    string
		context bool // also end the context, as a local workflow's stop does
		sole    bool
	}{{"by the flag, in the cloud", false, false}, {"by the flag and the context, on one machine", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, 4, nil)
			f := l.functions(func(c2 *Config) { c2.SoleOwner = c.sole })
			limits := quick()
			limits.Concurrency = 2
			ref := l.submit(jobSpec{body: "sleep 30", limits: limits})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- l.run(ctx, f, ref) }()
			eventually(t, "two commands run", func() bool { return l.fleet.Executions() == 2 })
			out, err := f.Finish(t.Context(), ref)
			l.must(err)
			if out.Settled {
				t.Fatal("settled under two live claims")
			}
			l.cancel(ref)
			if out, err := f.Finish(t.Context(), ref); err != nil || out.Settled {
				t.Fatalf("settled under two live claims: %+v, %v", out, err)
			}
			waiting := l.stored(ref)
			if waiting.Reason != job.ReasonCanceling || !waiting.Due.After(l.now()) {
				t.Errorf("%s %q due %s", waiting.Status, waiting.Reason, waiting.Due)
			}
			if _, err := f.Finish(t.Context(), ref); err != nil || l.stored(ref).Rev != waiting.Rev {
				t.Errorf("asked again, the run was written again; %v", err)
			}
			if c.context {
				cancel()
			}
			<-done
			if !c.sole {
				if out, err := f.Finish(t.Context(), ref); err != nil || out.Settled {
					t.Errorf("settled while another process may still claim: %+v, %v", out, err)
				}
				l.ahead.Add(int64(settleGrace))
			}
			_, err = f.Finish(t.Context(), ref)
			l.must(err)
			run, rows := l.settled(ref)
			if run.Status != job.StatusCanceled || run.Counts.Canceled != 4 || len(rows) != 2 {
				t.Errorf("%s %+v with %d rows", run.Status, run.Counts, len(rows))
			}
			for _, r := range rows {
				if r.Reason != job.ReasonStopped {
					t.Errorf("%+v", r)
				}
			}
			if n := l.fleet.Executions(); n != 2 {
				t.Errorf("%d commands", n)
			}
			// Nothing begins in a run that is over.
			for u := range 4 {
				l.must(l.unit(t.Context(), f, ref, u))
			}
			if again, _ := l.settled(ref); again.Rev != run.Rev || l.fleet.Executions() != 2 {
				t.Errorf("%+v after %d commands", again, l.fleet.Executions())
			}
		})
	}
}

func TestCancel_BeforeTheStart(t *testing.T) {
	l := newLab(t, 3, nil)
	f := l.functions(func(c *Config) { c.SoleOwner = false })
	ref := l.submit(jobSpec{body: "echo"})
	l.cancel(ref)
	l.must(l.run(t.Context(), f, ref))
	if run, rows := l.settled(ref); run.Status != job.StatusCanceled || run.Counts.Canceled != 3 || len(rows) != 0 {
		t.Errorf("%+v, %+v", run, rows)
	}
}

func TestDeadline_StopsTheCommand(t *testing.T) {
	l := newLab(t, 2, nil)
	f := l.functions(nil)
	limits := quick()
	limits.Concurrency = 1
	ref := l.submit(jobSpec{body: "sleep 30", limits: limits})
	_, err := f.Plan(t.Context(), ref)
	l.must(err)
	run := l.stored(ref)
	next, soon := run, l.now().Add(300*time.Millisecond)
	next.Deadline = &soon
	l.must(l.store.UpdateRun(t.Context(), run, next, job.AuditEntry{}))
	l.must(l.run(t.Context(), f, ref))
	got, rows := l.settled(ref)
	if got.Status != job.TimedOut || got.Reason != job.ReasonDeadline || got.Counts.TimedOut != 1 || got.Counts.Skipped != 1 || rows[0].Reason != job.ReasonDeadline {
		t.Errorf("%s %q %+v, %+v", got.Status, got.Reason, got.Counts, rows)
	}
}

func TestFinish_MapEndedEarly(t *testing.T) {
	l := newLab(t, 3, nil)
	f := l.functions(func(c *Config) { c.SoleOwner = false })
	ref := l.submit(jobSpec{body: "echo"})
	_, err := f.Plan(t.Context(), ref)
	l.must(err)
	l.must(l.unit(t.Context(), f, ref, 0))
	if out, err := f.Finish(t.Context(), ref); err != nil || out.Settled {
		t.Fatalf("settled while another process may still claim: %+v, %v", out, err)
	}
	// From now on nothing is claimed.
	l.must(l.unit(t.Context(), f, ref, 1))
	l.ahead.Add(int64(settleGrace))
	_, err = f.Finish(t.Context(), ref)
	l.must(err)
	if run, rows := l.settled(ref); run.Status != job.Failed || run.Reason != job.ReasonCapacity || run.Counts.Skipped != 2 || len(rows) != 1 {
		t.Errorf("%s %q %+v", run.Status, run.Reason, run.Counts)
	}
}

// Between reading the run and writing the claim an executor shows nowhere in the
// store. On one machine Finish knows of it.
func TestFinish_WaitsForWhoIsAboutToClaim(t *testing.T) {
	l := newLab(t, 1, nil)
	f := l.functions(nil)
	ref := l.submit(jobSpec{body: "sleep 30"})
	_, err := f.Plan(t.Context(), ref)
	l.must(err)
	claims, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	l.driver.mu.Lock()
	l.driver.fail = func(_ string, row store.Row) error {
		if isResult(row) {
			once.Do(func() { close(claims); <-goOn })
		}
		return nil
	}
	l.driver.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- l.unit(t.Context(), f, ref, 0) }()
	<-claims
	l.cancel(ref)
	if out, err := f.Finish(t.Context(), ref); err != nil || out.Settled {
		t.Errorf("settled under an executor: %+v, %v", out, err)
	}
	close(goOn)
	l.must(<-done)
	_, err = f.Finish(t.Context(), ref)
	l.must(err)
	if run, rows := l.settled(ref); run.Status != job.StatusCanceled || rows[0].Status != job.ResultCanceled {
		t.Errorf("%s, %+v", run.Status, rows)
	}
}

// A process that dies between claim and record leaves its claim. The next one
// does not send the command again unless the job says so.
func TestKilledBetweenClaimAndRecord(t *testing.T) {
	for _, c := range []struct {
		name     string
		on       job.OnUnknown
		sole     bool
		status   job.ResultStatus
		commands int
	}{
		{"one machine", job.OnUnknownReport, true, job.ResultUnknown, 1},
		{"one machine, repeat", job.OnUnknownRepeat, true, job.ResultSucceeded, 2},
		{"cloud", job.OnUnknownReport, false, job.ResultUnknown, 1},
		{"cloud, repeat", job.OnUnknownRepeat, false, job.ResultSucceeded, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, 1, nil)
			limits := quick()
			limits.OnUnknown = c.on
			ref := l.submit(jobSpec{body: "echo hello", limits: limits})
			dies := l.functions(func(c2 *Config) { c2.SoleOwner = c.sole })
			l.die(dies, ref)
			if n := l.fleet.Executions(); n != 1 {
				t.Fatalf("%d commands before the death", n)
			}
			lives := l.functions(func(c2 *Config) { c2.SoleOwner = c.sole })
			before := l.ahead.Load()
			l.must(l.run(t.Context(), lives, ref))
			_, rows := l.settled(ref)
			if rows[0].Status != c.status || l.fleet.Executions() != c.commands {
				t.Errorf("%s after %d commands, want %s after %d", rows[0].Status, l.fleet.Executions(), c.status, c.commands)
			}
			if waited := l.ahead.Load() > before; waited == c.sole {
				t.Errorf("waited for the dead claim: %v", waited)
			}
		})
	}
}

// die executes a unit in a process that dies before the result is recorded.
func (l *lab) die(f *Functions, ref RunRef) {
	l.t.Helper()
	_, err := f.Plan(l.t.Context(), ref)
	l.must(err)
	l.driver.mu.Lock()
	l.driver.fail = func(_ string, row store.Row) error {
		if isResult(row) && !strings.Contains(string(row.Value), `"status":"running"`) {
			return job.Errorf(job.Internal, "the process is dead")
		}
		return nil
	}
	l.driver.mu.Unlock()
	if _, err := f.Execute(l.t.Context(), UnitRef{Tenant: ref.Tenant, Run: ref.Run}); err == nil {
		l.t.Fatal("the process lives")
	}
	l.driver.mu.Lock()
	l.driver.fail = nil
	l.driver.mu.Unlock()
}

func TestDuplicateExecutes_OneCommandEach(t *testing.T) {
	for _, sole := range []bool{true, false} {
		l := newLab(t, 4, func(int) sshsim.Behaviour { return sshsim.Behaviour{Delay: 50 * time.Millisecond} })
		one, two := l.functions(func(c *Config) { c.SoleOwner = false }), l.functions(func(c *Config) { c.SoleOwner = false })
		if sole {
			one = l.functions(nil)
			two = one
		}
		ref := l.submit(jobSpec{body: "echo"})
		_, err := one.Plan(t.Context(), ref)
		l.must(err)
		var g errgroup.Group
		for i := range 24 {
			f := one
			if i%2 == 1 {
				f = two
			}
			g.Go(func() error {
				_, err := f.Execute(t.Context(), UnitRef{Tenant: ref.Tenant, Run: ref.Run, Unit: i % 4})
				return err
			})
		}
		l.must(g.Wait())
		_, err = one.Finish(t.Context(), ref)
		l.must(err)
		if run, _ := l.settled(ref); run.Counts.Succeeded != 4 || l.fleet.Executions() != 4 {
			t.Errorf("sole %v: %+v after %d commands", sole, run.Counts, l.fleet.Executions())
		}
	}
}

// The property behind the promises: whatever fails at random, every run ends,
// its counts equal its results, and no device sees a command twice unless the
// job says so or the attempt is known to have failed.
func TestRandomFaults(t *testing.T) {
	var seed atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		devices := rapid.IntRange(1, 6).Draw(rt, "devices")
		on := rapid.SampledFrom([]job.OnUnknown{job.OnUnknownReport, job.OnUnknownRepeat}).Draw(rt, "on unknown")
		sole := rapid.Bool().Draw(rt, "sole")
		deaths := rapid.IntRange(0, 3).Draw(rt, "deaths")
		cancels := rapid.Bool().Draw(rt, "cancels")
		stages := append(sshsim.Stages(), "", "", "")
		behave := make([]sshsim.Behaviour, devices)
		for i := range behave {
			behave[i].DropAt = rapid.SampledFrom(stages).Draw(rt, "drop")
			behave[i].Delay = time.Duration(rapid.IntRange(0, 20).Draw(rt, "delay")) * time.Millisecond
		}
		l := newLab(t, devices, func(i int) sshsim.Behaviour { return behave[i] })
		faults := &faults{rnd: rand.New(rand.NewPCG(uint64(seed.Add(1)), 7)), rate: rapid.Float64Range(0, 0.2).Draw(rt, "rate")}
		limits := quick()
		limits.OnUnknown = on
		limits.Timeout = 2 * time.Second
		ref := l.submit(jobSpec{body: "echo hello", limits: limits})
		l.driver.mu.Lock()
		l.driver.fail, l.driver.afterwards = faults.strike, faults.strike
		l.driver.mu.Unlock()
		for range deaths {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rapid.IntRange(1, 60).Draw(rt, "life"))*time.Millisecond)
			_ = l.run(ctx, l.functions(func(c *Config) { c.SoleOwner = sole }), ref)
			cancel()
		}
		l.driver.mu.Lock()
		l.driver.fail, l.driver.afterwards = nil, nil
		l.driver.mu.Unlock()
		if cancels && !l.stored(ref).Status.Terminal() {
			l.cancel(ref)
		}
		last := l.functions(func(c *Config) { c.SoleOwner = sole })
		for range 20 {
			if err := l.run(context.Background(), last, ref); err != nil {
				rt.Fatal(err)
			}
			if l.stored(ref).Status.Terminal() {
				break
			}
			l.ahead.Add(int64(time.Minute)) // the sweeper's
		}
		_, rows := l.settled(ref)
		most := 1
		if on == job.OnUnknownRepeat {
			most = 2
		}
		for i, d := range l.fleet.Devices {
			if n := d.Count(); n > most {
				rt.Errorf("device %d saw %d commands, %s, result %+v", i, n, on, rows[i])
			}
			if r, ok := rows[i]; ok && r.Status == job.ResultSucceeded && d.Count() == 0 {
				rt.Errorf("device %d succeeded without a command", i)
			}
		}
	})
}

// faults makes writes of results fail at random, before or after they happened.
type faults struct {
	mu   sync.Mutex
	rnd  *rand.Rand
	rate float64
}

func (f *faults) strike(_ string, row store.Row) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !isResult(row) || f.rnd.Float64() >= f.rate {
		return nil
	}
	if f.rnd.IntN(2) == 0 {
		return job.Errorf(job.Internal, "a fault")
	}
	return job.Errorf(job.Exhausted, "throttled")
}

// patience remembers how long the writes of claims may take.
type patience struct {
	store.Driver
	mu   sync.Mutex
	left []time.Duration // 0: as long as it takes
}

func (p *patience) Put(ctx context.Context, row store.Row, cond store.Cond) (string, error) {
	if isResult(row) && strings.Contains(string(row.Value), `"status":"running"`) {
		var left time.Duration
		if end, ok := ctx.Deadline(); ok {
			left = time.Until(end)
		}
		p.mu.Lock()
		p.left = append(p.left, left)
		p.mu.Unlock()
	}
	return p.Driver.Put(ctx, row, cond)
}

// A claim that a throttling store lets through late could come after the run was
// settled by somebody else. Where nobody else settles it takes as long as it takes.
func TestExecute_ClaimsComeInTimeOrNotAtAll(t *testing.T) {
	for _, sole := range []bool{true, false} {
		l := newLab(t, 1, nil)
		p := &patience{Driver: l.driver}
		f := l.functions(func(c *Config) {
			c.SoleOwner, c.Every = sole, time.Minute
			c.Store = store.New(p, store.Options{Clock: l.now})
		})
		ref := l.submit(jobSpec{body: "echo"})
		l.must(l.run(t.Context(), f, ref))
		if len(p.left) != 1 || (p.left[0] == 0) != sole || p.left[0] > settleGrace-5*time.Second {
			t.Errorf("sole owner %v: claims may take %v", sole, p.left)
		}
	}
}
