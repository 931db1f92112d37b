package task

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/device/sshsim"
	"drover/internal/job"
	"drover/internal/planner"
	"drover/internal/store"
)

func TestPlan_StartBefore(t *testing.T) {
	for _, sole := range []bool{true, false} {
		for late, want := range map[time.Duration]job.Status{-time.Second: job.Missed, 0: job.Missed, time.Minute: job.Succeeded} {
			l := newLab(t, 2, nil)
			f := l.functions(func(c *Config) { c.SoleOwner = sole })
			before := l.now().Add(late)
			ref := l.submit(jobSpec{body: "echo", change: func(r *job.Run, _ *job.Job) { r.StartBefore = &before }})
			l.must(l.run(t.Context(), f, ref))
			run, rows := l.settled(ref)
			if run.Status != want || want == job.Missed && (run.Reason != job.ReasonTooLate || run.Started != nil || run.Counts.Skipped != 2 || len(rows) != 0 || l.fleet.Executions() != 0) {
				t.Errorf("%s late: %+v", late, run)
			}
		}
	}
}

func TestPlan_RunTimeout(t *testing.T) {
	l := newLab(t, 1, nil)
	limits := quick()
	limits.Timeout, limits.RunTimeout = 5*time.Minute, 10*time.Second
	ref := l.submit(jobSpec{body: "echo", limits: limits})
	_, err := l.functions(nil).Plan(t.Context(), ref)
	l.must(err)
	if run := l.stored(ref); run.Deadline.Sub(*run.Started) != limits.RunTimeout+planner.Margin {
		t.Errorf("started %s, deadline %s", run.Started, run.Deadline)
	}
}

// failing is a fleet of which all devices fail after a moment.
func failing(int) sshsim.Behaviour {
	return sshsim.Behaviour{Respond: func(sshsim.Invocation) sshsim.Reply {
		return sshsim.Reply{Status: 1, Delay: 3 * time.Millisecond}
	}}
}

func TestRun_StopAfter(t *testing.T) {
	const devices = 24
	for _, c := range []struct {
		limit                job.StopAfter
		concurrency, retries int
		most, least          int
	}{
		{job.StopAfter{Count: 1}, 1, 0, 1, 1},
		{job.StopAfter{Count: 3}, 1, 0, 3, 3},
		{job.StopAfter{Count: 3}, 4, 0, 6, 3},
		{job.StopAfter{Percent: 25}, 6, 0, 11, 6},
		{job.StopAfter{Count: 3}, 4, 2, 6, 3},
		{job.StopAfter{Count: devices + 1}, 8, 0, devices, devices},
		{job.StopAfter{}, 8, 0, devices, devices},
	} {
		for _, sole := range []bool{true, false} {
			t.Run(fmt.Sprintf("%+v of %d at once, %d retries, sole %v", c.limit, c.concurrency, c.retries, sole), func(t *testing.T) {
				l := newLab(t, devices, failing)
				f := l.functions(func(c *Config) { c.SoleOwner = sole })
				limits := quick()
				limits.StopAfter, limits.Concurrency = c.limit, c.concurrency
				limits.Retries = job.Retries{Count: c.retries}
				ref := l.submit(jobSpec{body: "x", limits: limits})
				l.must(l.run(t.Context(), f, ref))
				if !sole {
					l.ahead.Add(int64(settleGrace))
					_, err := f.Finish(t.Context(), ref)
					l.must(err)
				}
				run, rows := l.settled(ref)
				if n := run.Counts.Failed; n > c.most || n < c.least || n != len(rows) || run.Status != job.Failed {
					t.Errorf("%d failed, want %d to %d: %s %q", n, c.least, c.most, run.Status, run.Reason)
				}
				// The others were waiting for their next attempt when it was stopped.
				last := 0
				for _, r := range rows {
					if r.Attempts == 1+c.retries {
						last++
					}
				}
				if last < c.least {
					t.Errorf("only %d have failed for good", last)
				}
				stopped := c.most < devices
				if stopped != (run.Reason == job.ReasonStopAfter) || stopped && run.Counts.Skipped != devices-run.Counts.Failed {
					t.Errorf("%q %+v", run.Reason, run.Counts)
				}
			})
		}
	}
}

// In units of several devices a slot that has failed knows that the run is stopped.
func TestRun_StopAfterInUnitsOfSeveralDevices(t *testing.T) {
	l := newLab(t, 20, failing)
	f := l.functions(func(c *Config) { c.Every = time.Hour })
	limits := quick()
	limits.StopAfter, limits.Concurrency = job.StopAfter{Count: 4}, 2
	ref := l.submit(jobSpec{body: "x", limits: limits})
	_, err := f.Plan(t.Context(), ref)
	l.must(err)
	run := l.stored(ref)
	next := run
	next.DevicesPerUnit, next.Units = 10, 2
	l.must(l.store.UpdateRun(t.Context(), run, next, job.AuditEntry{}))
	var both sync.WaitGroup
	for u := range 2 {
		both.Go(func() { _ = l.unit(t.Context(), f, ref, u) })
	}
	both.Wait()
	_, err = f.Finish(t.Context(), ref)
	l.must(err)
	if run, _ := l.settled(ref); run.Counts.Failed < 4 || run.Counts.Failed > 5 || run.Reason != job.ReasonStopAfter {
		t.Errorf("%q %+v", run.Reason, run.Counts)
	}
}

// Who does not ask for it does not pay for it.
func TestRun_WhatStopAfterCosts(t *testing.T) {
	for limit, want := range map[job.StopAfter]int{{}: 0, {Count: 3}: 2} {
		l := newLab(t, 2, failing)
		adds := &adding{Driver: l.driver}
		f := l.functions(func(c *Config) { c.Store = store.New(adds, store.Options{Clock: l.now}) })
		limits := quick()
		limits.StopAfter = limit
		l.driver.reset()
		l.must(l.run(t.Context(), f, l.submit(jobSpec{body: "x", limits: limits})))
		writes := 0
		for _, row := range l.driver.puts {
			if isResult(row) {
				writes++
			}
		}
		if adds.n != want || writes != 4 {
			t.Errorf("%+v: %d counter updates, %d writes of results", limit, adds.n, writes)
		}
	}
}

// adding counts what is added to counters.
type adding struct {
	store.Driver
	mu sync.Mutex
	n  int
}

func (a *adding) Add(ctx context.Context, k store.Key, delta int64, expires time.Time) (int64, error) {
	a.mu.Lock()
	if strings.HasPrefix(k.Sort, "failed/") {
		a.n++
	}
	a.mu.Unlock()
	return a.Driver.Add(ctx, k, delta, expires)
}

// A forced cancel settles a run although an executor, which may be dead, still has
// its claim; a late result of it is dropped.
func TestFinish_ForcedCancel(t *testing.T) {
	l := newLab(t, 2, func(int) sshsim.Behaviour { return sshsim.Behaviour{Delay: time.Hour} })
	f := l.functions(func(c *Config) { c.SoleOwner, c.Every = false, time.Hour })
	ref := l.submit(jobSpec{body: "echo"})
	_, err := f.Plan(t.Context(), ref)
	l.must(err)
	ctx, die := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = f.Execute(ctx, UnitRef{Tenant: tenant, Run: ref.Run, Unit: 0})
	}()
	for l.fleet.Executions() == 0 {
		time.Sleep(time.Millisecond)
	}
	l.cancel(ref)
	other := l.functions(func(c *Config) { c.SoleOwner = false })
	l.ahead.Add(int64(settleGrace))
	if out, err := other.Finish(t.Context(), ref); err != nil || out.Settled {
		t.Fatalf("a live claim: %+v, %v", out, err)
	}
	run := l.stored(ref)
	next := run
	next.CancelForce = true
	l.must(l.store.UpdateRun(t.Context(), run, next, job.AuditEntry{}))
	if out, err := other.Finish(t.Context(), ref); err != nil || !out.Settled {
		t.Fatalf("%+v, %v", out, err)
	}
	die()
	<-done
	after, rows := l.settled(ref)
	if r := rows[0]; after.Status != job.StatusCanceled || r.Status != job.ResultCanceled || r.Reason != job.ReasonStopUnsure || r.Message != job.MessageAborted {
		t.Errorf("%s, %+v", after.Status, r)
	}
	if after.Counts.Canceled != 2 {
		t.Errorf("%+v", after.Counts)
	}
}
