package task

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/device/sshsim"
	"drover/internal/job"
	"drover/internal/store"
)

// long is what a job has that may take three hours.
func long() job.Limits {
	l := quick()
	l.Timeout = 3 * time.Hour
	return l
}

// function is a process as in the cloud: it has fifteen minutes, and is not alone.
func (l *lab) function(change func(*Config)) *Functions {
	return l.functions(func(c *Config) {
		c.SoleOwner, c.Hold = false, 30*time.Millisecond
		c.Limits = Deployment{Invocation: 15 * time.Minute}
		if change != nil {
			change(c)
		}
	})
}

// planned submits a job of one device and has its run planned.
func (l *lab) planned(s jobSpec) RunRef {
	l.t.Helper()
	ref := l.submit(s)
	p, err := l.function(nil).Plan(l.t.Context(), ref)
	l.must(err)
	if len(p.Units) != len(l.fleet.Devices) {
		l.t.Fatalf("%+v", p)
	}
	return ref
}

// round calls Execute for the first unit.
func (l *lab) round(f *Functions, ref RunRef, round int) Executed {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 15*time.Minute)
	defer cancel()
	e, err := f.Execute(ctx, UnitRef{V: Version, Tenant: tenant, Run: ref.Run, Round: round})
	l.must(err)
	return e
}

// row is the stored result of the first device.
func (l *lab) row(ref RunRef) job.Result {
	l.t.Helper()
	return l.results(ref)[0]
}

func TestDetached_ShortCommandCostsTwoWrites(t *testing.T) {
	l := newLab(t, 1, nil)
	f := l.function(func(c *Config) { c.Hold, c.Every = 10*time.Second, 5*time.Second })
	ref := l.planned(jobSpec{body: "echo out; echo err >&2; exit 3", limits: long()})
	l.driver.reset()
	if e := l.round(f, ref, 0); e.Again {
		t.Errorf("%+v", e)
	}
	r := l.row(ref)
	if r.Status != job.ResultFailed || *r.Exit != 3 || r.Output.Stdout != "out\n" || r.Output.Stderr != "err\n" || r.Claim != nil || r.Detached != nil || len(r.Output.Marks) != 1 {
		t.Errorf("%+v", r)
	}
	writes := 0
	for _, row := range l.driver.puts {
		if isResult(row) {
			writes++
		}
	}
	if writes != 2 {
		t.Errorf("%d writes", writes)
	}
	if d := l.fleet.Devices[0]; d.Detached() != 0 || d.Count() != 1 {
		t.Errorf("%d commands are kept on the device, of %d", d.Detached(), d.Count())
	}
}

// A script of three hours from functions of fifteen minutes: the first executor
// dies after it has started the script, others look at it now and then, and one of
// them finds its end. Hours pass here between two calls, a moment on the device.
func TestDetached_ThreeHoursFromFifteenMinutes(t *testing.T) {
	l := newLab(t, 1, nil)
	ref := l.planned(jobSpec{body: "echo begun; sleep 0.4; echo half; sleep 0.6; echo dr0ver-pw; bytes 40000; echo done", limits: long()})
	// The first executor's last write is its claim.
	claimed := false
	dead := job.Errorf(job.Internal, "the process is dead")
	first := l.function(func(c *Config) {
		c.Store = store.New(&counted{Driver: l.driver, fail: func(_ string, row store.Row) error {
			if isResult(row) && claimed {
				return dead
			}
			claimed = true
			return nil
		}}, store.Options{Clock: l.now})
	})
	if _, err := first.Execute(t.Context(), UnitRef{V: Version, Tenant: tenant, Run: ref.Run}); err == nil {
		t.Fatal("the first executor lives")
	}
	r := l.row(ref)
	if r.Status != job.ResultRunning || r.Detached == nil || r.Detached.Started != nil || r.Claim.Owner == "" {
		t.Fatalf("after the death: %+v", r)
	}
	rounds, waited, saw := 0, time.Duration(0), ""
	for ; ; rounds++ {
		e := l.round(l.function(nil), ref, rounds)
		if !e.Again {
			break
		}
		if out, err := l.function(nil).Finish(t.Context(), ref); err != nil || out.Settled {
			t.Fatalf("settled while the command runs: %+v, %v", out, err)
		}
		waited += time.Duration(e.Wait) * time.Second
		l.ahead.Add(int64(e.Wait) * int64(time.Second))
		time.Sleep(60 * time.Millisecond)
		r := l.row(ref)
		if r.Status != job.ResultRunning {
			t.Fatalf("round %d: %+v", rounds, r)
		}
		if r.Claim.Owner == "" && !r.Claim.Until.After(l.now()) {
			t.Fatalf("round %d: nobody is expected: %+v", rounds, r.Claim)
		}
		if n := len(r.Output.Marks); n > 0 && saw == "" {
			saw = r.Output.Stdout
		}
	}
	_, err := l.function(nil).Finish(t.Context(), ref)
	l.must(err)
	run, rows := l.settled(ref)
	r = rows[0]
	if run.Status != job.Succeeded || r.Attempts != 1 || *r.Exit != 0 {
		t.Errorf("%s, %+v", run.Status, r)
	}
	if n := len(r.Output.Stdout); n != len("begun\nhalf\n")+len(job.Redacted)+1+40000+len("done\n") || !strings.HasSuffix(r.Output.Stdout, "done\n") {
		t.Errorf("%d bytes of output", n)
	}
	if k := r.Output.Marks; len(k) < 2 || r.Output.Stdout[:k[0].Stdout] != saw || k[len(k)-1].Stdout != len(r.Output.Stdout) {
		t.Errorf("first seen %q, marks %+v", saw, k)
	}
	if d := l.fleet.Devices[0]; d.Count() != 1 || d.Detached() != 0 {
		t.Errorf("the script ran %d times; %d kept", d.Count(), d.Detached())
	}
	if rounds < 4 || waited < 10*time.Minute {
		t.Errorf("%d rounds, %s: this shows nothing", rounds, waited)
	}
}

func TestDetached_Stops(t *testing.T) {
	const body = "echo begun; sleep 3600"
	for _, c := range []struct {
		name   string
		behave sshsim.Behaviour
		stop   func(l *lab, ref RunRef)
		run    job.Status
		status job.ResultStatus
		reason string
		alive  int
	}{
		{"cancel", sshsim.Behaviour{}, func(l *lab, ref RunRef) { l.cancel(ref) }, job.StatusCanceled, job.ResultCanceled, job.ReasonStopped, 0},
		{"cancel, cannot be killed", sshsim.Behaviour{Immortal: true}, func(l *lab, ref RunRef) { l.cancel(ref) }, job.StatusCanceled, job.ResultCanceled, job.ReasonStopUnsure, 1},
		{"forced cancel", sshsim.Behaviour{}, func(l *lab, ref RunRef) {
			l.cancel(ref)
			run := l.stored(ref)
			next := run
			next.CancelForce = true
			l.must(l.store.UpdateRun(context.Background(), run, next, job.AuditEntry{}))
		}, job.StatusCanceled, job.ResultCanceled, job.ReasonStopUnsure, 0},
		{"cancel, the device has forgotten it", sshsim.Behaviour{}, func(l *lab, ref RunRef) {
			l.fleet.Devices[0].Restart(true)
			l.cancel(ref)
		}, job.StatusCanceled, job.ResultCanceled, job.ReasonStopUnsure, 0},
		{"cancel, killed by one who died before saying so", sshsim.Behaviour{}, func(l *lab, ref RunRef) {
			l.cancel(ref)
			f := l.function(func(c *Config) {
				c.Store = store.New(&counted{Driver: l.driver, fail: func(_ string, row store.Row) error {
					if isResult(row) {
						return job.Errorf(job.Internal, "the process is dead")
					}
					return nil
				}}, store.Options{Clock: l.now})
			})
			if _, err := f.Execute(context.Background(), UnitRef{V: Version, Tenant: tenant, Run: ref.Run, Round: 1}); err == nil || l.fleet.Devices[0].Running() != 0 {
				l.t.Errorf("%v, %d run", err, l.fleet.Devices[0].Running())
			}
		}, job.StatusCanceled, job.ResultCanceled, job.ReasonStopped, 0},
		{"the run's deadline", sshsim.Behaviour{}, func(l *lab, ref RunRef) { l.ahead.Add(int64(10 * time.Hour)) }, job.TimedOut, job.ResultTimedOut, job.ReasonDeadline, 0},
		{"the device is restarted", sshsim.Behaviour{}, func(l *lab, _ RunRef) { l.fleet.Devices[0].Restart(false) }, job.Failed, job.ResultUnknown, job.ReasonLost, 0},
		{"the device forgets", sshsim.Behaviour{}, func(l *lab, _ RunRef) { l.fleet.Devices[0].Restart(true) }, job.Failed, job.ResultUnknown, job.ReasonLost, 0},
		{"the device is deleted", sshsim.Behaviour{}, func(l *lab, _ RunRef) {
			d, err := l.store.Device(context.Background(), tenant, l.ids[0])
			l.must(err)
			l.must(l.store.DeleteDevice(context.Background(), d))
		}, job.Failed, job.ResultUnknown, job.ReasonLost, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, 1, func(int) sshsim.Behaviour { return c.behave })
			limits := long()
			limits.RunTimeout = 4 * time.Hour
			ref := l.planned(jobSpec{body: body, limits: limits})
			e := l.round(l.function(func(c *Config) { c.Hold = 400 * time.Millisecond }), ref, 0)
			if r := l.row(ref); !e.Again || r.Detached == nil || r.Detached.Started == nil || r.Claim.Owner != "" || r.Output.Stdout != "begun\n" {
				t.Fatalf("%+v, %+v", e, r)
			}
			c.stop(l, ref)
			if e := l.round(l.function(nil), ref, 1); e.Again {
				t.Errorf("%+v", e)
			}
			l.ahead.Add(int64(settleGrace))
			_, err := l.function(nil).Finish(t.Context(), ref)
			l.must(err)
			run, rows := l.settled(ref)
			if r := rows[0]; run.Status != c.run || r.Status != c.status || r.Reason != c.reason || r.Output.Stdout != "begun\n" {
				t.Errorf("%s, %+v", run.Status, r)
			}
			if d := l.fleet.Devices[0]; d.Running() != c.alive || d.Count() != 1 {
				t.Errorf("%d of %d run", d.Running(), d.Count())
			}
		})
	}
}

// A cancel that reaches nobody, because the execution is gone, is settled when
// nobody can be expected to look any more.
func TestDetached_CancelThatNobodySees(t *testing.T) {
	l := newLab(t, 1, nil)
	ref := l.planned(jobSpec{body: "sleep 3600", limits: long()})
	l.round(l.function(nil), ref, 0)
	l.cancel(ref)
	f := l.function(nil)
	for range 20 {
		out, err := f.Finish(t.Context(), ref)
		l.must(err)
		if out.Settled {
			break
		}
		l.ahead.Add(int64(time.Minute))
	}
	run, rows := l.settled(ref)
	if r := rows[0]; run.Status != job.StatusCanceled || r.Status != job.ResultCanceled || r.Reason != job.ReasonStopUnsure {
		t.Errorf("%s, %+v", run.Status, r)
	}
}

// What the run's plan says of detached commands holds for a deployment that would
// plan otherwise.
func TestDetached_AnotherDeployment(t *testing.T) {
	l := newLab(t, 1, nil)
	ref := l.planned(jobSpec{body: "echo begun; sleep 3600", limits: long()})
	l.round(l.function(nil), ref, 0)
	l.cancel(ref)
	l.round(l.function(func(c *Config) { c.DetachAfter = -1 }), ref, 1)
	if r := l.row(ref); r.Status != job.ResultCanceled || r.Reason != job.ReasonStopped || l.fleet.Devices[0].Running() != 0 {
		t.Errorf("%d run, %+v", l.fleet.Devices[0].Running(), r)
	}
}

// The execution goes on after a cancel, and one that is begun anew sees what is left.
func TestDetached_PlanOfACanceledRun(t *testing.T) {
	l := newLab(t, 1, nil)
	ref := l.planned(jobSpec{body: "sleep 3600", limits: long()})
	l.round(l.function(nil), ref, 0)
	l.cancel(ref)
	l.must(l.run(t.Context(), l.function(nil), ref))
	if run, rows := l.settled(ref); run.Status != job.StatusCanceled || rows[0].Reason != job.ReasonStopped || l.fleet.Devices[0].Running() != 0 {
		t.Errorf("%s, %+v", run.Status, rows[0])
	}
}

func TestDetached_DeviceIsAwayForAWhile(t *testing.T) {
	l := newLab(t, 1, nil)
	d := l.fleet.Devices[0]
	ref := l.planned(jobSpec{body: "echo begun; sleep 0.3; echo done", limits: long()})
	l.round(l.function(nil), ref, 0)
	for i, stage := range sshsim.Stages() {
		d.Behave(func(b *sshsim.Behaviour) { b.DropAt = stage })
		if e := l.round(l.function(nil), ref, 1+i); !e.Again {
			t.Fatalf("gave up at %s: %+v", stage, l.row(ref))
		}
	}
	d.Behave(func(b *sshsim.Behaviour) { *b = sshsim.Behaviour{} })
	time.Sleep(400 * time.Millisecond)
	l.round(l.function(nil), ref, 9)
	if r := l.row(ref); r.Status != job.ResultSucceeded || r.Output.Stdout != "begun\ndone\n" || d.Count() != 1 {
		t.Errorf("%+v after %d commands", r, d.Count())
	}

	// One that does not come back is given up ten minutes after the time limit.
	ref = l.planned(jobSpec{body: "sleep 3600", limits: long()})
	l.round(l.function(nil), ref, 0)
	d.Behave(func(b *sshsim.Behaviour) { b.DropAt = sshsim.StageKex })
	l.ahead.Add(int64(3*time.Hour + 9*time.Minute))
	if e := l.round(l.function(nil), ref, 1); !e.Again {
		t.Errorf("given up too early: %+v", l.row(ref))
	}
	l.ahead.Add(int64(2 * time.Minute))
	if e := l.round(l.function(nil), ref, 1); e.Again || l.row(ref).Status != job.ResultUnknown {
		t.Errorf("%+v, %+v", e, l.row(ref))
	}
}

// The answer to a start that got lost is no reason to start twice, or to give up.
func TestDetached_StartWithoutAnAnswer(t *testing.T) {
	for _, stage := range []sshsim.Stage{sshsim.StageScript, sshsim.StageOutput} {
		l := newLab(t, 1, func(int) sshsim.Behaviour { return sshsim.Behaviour{DropAt: stage} })
		ref := l.planned(jobSpec{body: "echo hello", limits: long()})
		if e := l.round(l.function(nil), ref, 0); !e.Again || l.row(ref).Detached.Started != nil {
			t.Fatalf("%s: %+v, %+v", stage, e, l.row(ref))
		}
		l.fleet.Devices[0].Behave(func(b *sshsim.Behaviour) { *b = sshsim.Behaviour{} })
		for round := 1; round < 5 && l.round(l.function(nil), ref, round).Again; round++ {
			time.Sleep(20 * time.Millisecond)
		}
		if r := l.row(ref); r.Status != job.ResultSucceeded || r.Output.Stdout != "hello\n" || l.fleet.Executions() != 1 {
			t.Errorf("%s: %+v after %d commands", stage, r, l.fleet.Executions())
		}
	}
	// Before anything was sent it is as with other commands.
	l := newLab(t, 1, func(int) sshsim.Behaviour { return sshsim.Behaviour{DropAt: sshsim.StageKex} })
	ref := l.planned(jobSpec{body: "echo hello", limits: long()})
	if e := l.round(l.function(nil), ref, 0); e.Again || l.row(ref).Status != job.ResultUnreachable {
		t.Errorf("%+v", l.row(ref))
	}
}

// Of two that may have to start a command, one waits: after the other has had the
// device forget the command, a start would be a second one.
func TestDetached_TwoThatMayStart(t *testing.T) {
	l := newLab(t, 1, func(int) sshsim.Behaviour { return sshsim.Behaviour{DropAt: sshsim.StageScript} })
	ref := l.planned(jobSpec{body: "echo hello", limits: long()})
	if e := l.round(l.function(nil), ref, 0); !e.Again || l.row(ref).Detached.Started != nil {
		t.Fatalf("%+v, %+v", e, l.row(ref))
	}
	l.fleet.Devices[0].Behave(func(b *sshsim.Behaviour) { *b = sshsim.Behaviour{} })
	var claims sync.WaitGroup
	claims.Add(1)
	var once sync.Once
	slow := l.function(func(c *Config) {
		c.Store = store.New(&counted{Driver: l.driver, fail: func(_ string, row store.Row) error {
			if isResult(row) {
				once.Do(claims.Wait) // it has read the row, and the other is faster
			}
			return nil
		}}, store.Options{Clock: l.now})
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for round := 1; round < 5; round++ {
			e, err := slow.Execute(t.Context(), UnitRef{V: Version, Tenant: tenant, Run: ref.Run, Round: round})
			if err != nil || !e.Again {
				return
			}
		}
	}()
	time.Sleep(50 * time.Millisecond)
	for round := 1; round < 5 && l.round(l.function(nil), ref, round).Again; round++ {
		time.Sleep(20 * time.Millisecond)
	}
	claims.Done()
	<-done
	if r := l.row(ref); r.Status != job.ResultSucceeded || l.fleet.Executions() != 1 || l.fleet.Devices[0].Detached() != 0 {
		t.Errorf("%+v after %d commands", r, l.fleet.Executions())
	}
}

func TestDetached_FurtherAttempts(t *testing.T) {
	limits := long()
	limits.Retries = job.Retries{Count: 1, Wait: 10 * time.Millisecond}
	limits.OnUnknown = job.OnUnknownRepeat
	for name, c := range map[string]struct {
		body string
		stop func(l *lab)
		want job.ResultStatus
	}{
		"failed":    {"exit 1", func(*lab) {}, job.ResultFailed},
		"restarted": {"sleep 0.3", func(l *lab) { l.fleet.Devices[0].Restart(true) }, job.ResultSucceeded},
	} {
		l := newLab(t, 1, nil)
		ref := l.planned(jobSpec{body: c.body, limits: limits})
		again := l.round(l.function(nil), ref, 0).Again
		c.stop(l)
		for round := 1; again && round < 20; round++ {
			l.ahead.Add(int64(20 * time.Second))
			time.Sleep(30 * time.Millisecond)
			again = l.round(l.function(nil), ref, round).Again
		}
		if r := l.row(ref); r.Status != c.want || r.Attempts != 2 || l.fleet.Executions() != 2 {
			t.Errorf("%s: %+v after %d commands", name, r, l.fleet.Executions())
		}
	}
}

// On one machine a command goes on while the process is started anew.
func TestDetached_ProcessIsStartedAnew(t *testing.T) {
	l := newLab(t, 1, nil)
	alone := func(c *Config) { c.SoleOwner, c.Limits = true, Deployment{} }
	ref := l.planned(jobSpec{body: "echo begun; sleep 0.8; echo done", limits: long()})
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		for l.fleet.Executions() == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		stop()
	}()
	first := l.function(func(c *Config) { alone(c); c.Hold = time.Minute })
	if _, err := first.Execute(ctx, UnitRef{V: Version, Tenant: tenant, Run: ref.Run}); err == nil {
		t.Fatal("the process was not stopped")
	}
	if r := l.row(ref); r.Status != job.ResultRunning || r.Detached == nil || r.Claim.Owner != "" {
		t.Fatalf("%+v", r)
	}
	second := l.function(alone)
	if out, err := second.Finish(t.Context(), ref); err != nil || out.Settled {
		t.Fatalf("%+v, %v", out, err)
	}
	time.Sleep(800 * time.Millisecond)
	l.must(l.run(t.Context(), second, ref))
	if run, rows := l.settled(ref); run.Status != job.Succeeded || rows[0].Output.Stdout != "begun\ndone\n" || l.fleet.Executions() != 1 {
		t.Errorf("%s, %+v", run.Status, rows[0])
	}
}

// The one process stays with a command, so that its end, and a cancel, are seen at
// once; when the connection is lost it comes back.
func TestDetached_OneProcessStays(t *testing.T) {
	for name, c := range map[string]struct {
		during func(l *lab, ref RunRef)
		status job.ResultStatus
		again  bool
	}{
		"to the end": {func(*lab, RunRef) {}, job.ResultSucceeded, false},
		"canceled":   {func(l *lab, ref RunRef) { l.cancel(ref) }, job.ResultCanceled, false},
		"forced": {func(l *lab, ref RunRef) {
			run := l.stored(ref)
			next, now := run, l.now()
			next.CancelAsked, next.CancelForce = &now, true
			l.must(l.store.UpdateRun(context.Background(), run, next, job.AuditEntry{}))
		}, job.ResultCanceled, false},
		"draining":   {func(l *lab, _ RunRef) { l.leave() }, job.ResultRunning, true},
		"connection": {func(l *lab, _ RunRef) { l.fleet.Devices[0].DropAll() }, job.ResultRunning, true},
	} {
		l := newLab(t, 1, nil)
		one := l.functions(nil)
		l.leave = one.Leave
		body := "echo begun; sleep 1.2; echo done"
		if c.status == job.ResultCanceled {
			body = "echo begun; sleep 3600"
		}
		ref := l.submit(jobSpec{body: body, limits: long()})
		_, err := one.Plan(t.Context(), ref)
		l.must(err)
		go func() {
			for l.fleet.Executions() == 0 {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(100 * time.Millisecond)
			c.during(l, ref)
		}()
		e, err := one.Execute(t.Context(), UnitRef{V: Version, Tenant: tenant, Run: ref.Run})
		l.must(err)
		if r := l.row(ref); e.Again != c.again || r.Status != c.status {
			t.Errorf("%s: %+v, %+v", name, e, r)
		}
		if c.again && e.Wait != 20 {
			t.Errorf("%s: comes back after %d s", name, e.Wait)
		}
		for c.again && l.fleet.Devices[0].Running() > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		l.must(l.run(context.Background(), one, ref))
		if end := time.Now().Add(10 * time.Second); c.status == job.ResultCanceled {
			for l.fleet.Devices[0].Running() > 0 && time.Now().Before(end) {
				time.Sleep(time.Millisecond)
			}
			if l.fleet.Devices[0].Running() > 0 {
				t.Errorf("%s: nobody killed it", name)
			}
		}
		if run, rows := l.settled(ref); l.fleet.Executions() != 1 || c.status != job.ResultCanceled && rows[0].Output.Stdout != "begun\ndone\n" {
			t.Errorf("%s: %s, %+v", name, run.Status, rows[0])
		}
	}
}

// Short limits, limits by default and other platforms are as they were.
func TestDetached_WhatDoesNotDetach(t *testing.T) {
	l := newLab(t, 1, nil)
	short, byDefault := quick(), long()
	short.Timeout = job.DetachAfter
	byDefault.DefaultTimeout = true
	alone := func(c *Config) { c.SoleOwner, c.Limits = true, Deployment{} }
	for i, c := range []struct {
		limits job.Limits
		change func(*Config)
		want   bool
	}{{short, nil, false}, {long(), nil, true}, {long(), alone, true}, {byDefault, nil, true}, {byDefault, alone, false},
		{long(), func(c *Config) { c.DetachAfter = -1 }, false}, {quick(), func(c *Config) { c.DetachAfter = time.Second }, true}} {
		if got := l.function(c.change).detaches(c.limits); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

// Devices of a unit work one after another, detached or not: concurrency counts
// units. And a closed run's unit has work as long as one of its commands runs.
func TestDetached_UnitsOfSeveralDevices(t *testing.T) {
	for _, cancel := range []bool{false, true} {
		l := newLab(t, 3, func(i int) sshsim.Behaviour {
			if cancel && i == 1 {
				return sshsim.Behaviour{Delay: time.Hour}
			}
			return sshsim.Behaviour{}
		})
		ref := l.planned(jobSpec{body: "echo begun; sleep 0.2", limits: long()})
		run := l.stored(ref)
		next := run
		next.DevicesPerUnit, next.Units = 3, 1
		l.must(l.store.UpdateRun(t.Context(), run, next, job.AuditEntry{}))
		again := true
		for round := 0; again && round < 100; round++ {
			again = l.round(l.function(nil), ref, round).Again
			running := 0
			for _, d := range l.fleet.Devices {
				running += d.Running()
			}
			if running > 1 {
				t.Fatalf("%d commands of a unit run at once", running)
			}
			if cancel && l.fleet.Devices[1].Count() == 1 && !l.stored(ref).Canceling() {
				l.cancel(ref)
			}
			l.ahead.Add(int64(20 * time.Second))
			time.Sleep(10 * time.Millisecond)
		}
		l.ahead.Add(int64(settleGrace))
		_, err := l.function(nil).Finish(t.Context(), ref)
		l.must(err)
		run, _ = l.settled(ref)
		want := job.Counts{Total: 3, Succeeded: 3}
		if cancel {
			want = job.Counts{Total: 3, Succeeded: 1, Canceled: 2}
		}
		if run.Counts != want {
			t.Errorf("cancel %v: %+v", cancel, run.Counts)
		}
	}
}

// A run that too many failures have stopped lets its detached commands end.
func TestDetached_StopAfterLetsThemEnd(t *testing.T) {
	l := newLab(t, 2, func(i int) sshsim.Behaviour {
		return sshsim.Behaviour{Respond: func(sshsim.Invocation) sshsim.Reply {
			return sshsim.Reply{Status: 1 - i, Delay: time.Duration(i) * 200 * time.Millisecond}
		}}
	})
	limits := long()
	limits.StopAfter = job.StopAfter{Count: 1}
	ref := l.planned(jobSpec{body: "x", limits: limits})
	second := func(round int) Executed {
		e, err := l.function(nil).Execute(t.Context(), UnitRef{V: Version, Tenant: tenant, Run: ref.Run, Unit: 1, Round: round})
		l.must(err)
		return e
	}
	if e := second(0); !e.Again {
		t.Fatalf("%+v", e)
	}
	for round := 0; round < 10 && l.round(l.function(nil), ref, round).Again; round++ {
		time.Sleep(10 * time.Millisecond)
	}
	if run := l.stored(ref); run.Stopped == nil {
		t.Fatalf("not stopped: %+v", run)
	}
	for round := 1; round < 50 && second(round).Again; round++ {
		time.Sleep(10 * time.Millisecond)
	}
	_, err := l.function(nil).Finish(t.Context(), ref)
	l.must(err)
	if run, rows := l.settled(ref); run.Reason != job.ReasonStopAfter || rows[1].Status != job.ResultSucceeded {
		t.Errorf("%q, %+v", run.Reason, rows[1])
	}
}
