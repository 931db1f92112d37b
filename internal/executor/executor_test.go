package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"drover/internal/device"
	"drover/internal/job"
)

func limits(retries int, wait time.Duration) job.Limits {
	return job.Limits{Timeout: time.Minute, Retries: job.Retries{Count: retries, Wait: wait}, OnUnknown: job.OnUnknownReport}
}

func TestExecute_TableOfFailures(t *testing.T) {
	ok := step{exit: device.Exit{Stdout: []byte("R0\n")}}
	for _, c := range []struct {
		name     string
		step     step
		status   job.ResultStatus
		reason   string
		retried  bool
		repeated bool // retried where unknown attempts are repeated
	}{
		{"succeeded", ok, job.ResultSucceeded, "", false, false},
		{"no connection", step{dial: refused(device.PhaseConnect, "", false)}, job.ResultUnreachable, job.ReasonConnect, true, false},
		{"no handshake", step{dial: refused(device.PhaseHandshake, "", false)}, job.ResultUnreachable, job.ReasonConnect, true, false},
		{"jump host", step{dial: refused(device.PhaseJump, "", false)}, job.ResultUnreachable, job.ReasonJump, true, false},
		{"wrong password", step{dial: refused(device.PhaseAuth, job.ReasonAuthentication, false)}, job.ResultFailed, job.ReasonAuthentication, true, false},
		{"changed key", step{dial: refused(device.PhaseHostKey, job.ReasonHostKeyChanged, false)}, job.ResultFailed, job.ReasonHostKeyChanged, true, false},
		{"no key pinned", step{dial: refused(device.PhaseHostKey, job.ReasonHostKeyUnknown, false)}, job.ResultFailed, job.ReasonHostKeyUnknown, true, false},
		{"foreign dial error", step{dial: errors.New("broken")}, job.ResultUnreachable, job.ReasonConnect, true, false},
		{"exec refused", step{err: refused(device.PhaseStart, "", false)}, job.ResultUnreachable, job.ReasonConnect, true, false},
		{"unsupported", step{err: refused(device.PhaseStart, job.ReasonUnsupported, false)}, job.ResultFailed, job.ReasonUnsupported, false, false},
		{"lost after sending", step{err: refused(device.PhaseRun, "", true)}, job.ResultUnknown, job.ReasonLost, false, true},
		{"foreign run error", step{err: errors.New("broken")}, job.ResultUnknown, job.ReasonLost, false, true},
		{"exit status", step{exit: device.Exit{Status: 3}}, job.ResultFailed, job.ReasonExitStatus, true, false},
		{"signal", step{exit: device.Exit{Status: -1, Signal: "SEGV"}}, job.ResultFailed, job.ReasonExitStatus, true, false},
		{"time limit", step{exit: device.Exit{Status: -1, TimedOut: true, Killed: true, KillConfirmed: true}}, job.ResultTimedOut, job.ReasonTimeLimit, false, false},
		{"time limit, not confirmed", step{exit: device.Exit{Status: -1, TimedOut: true, Killed: true}}, job.ResultTimedOut, job.ReasonKillUnsure, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, s := newMemory(), &script{steps: []step{c.step}}
			execute(t, Config{Dialer: s}, unit(m, 1, limits(0, 0)))
			r := m.rows[0]
			if r.Status != c.status || r.Reason != c.reason || r.Attempts != 1 || r.Claim != nil || r.Ended == nil {
				t.Errorf("%+v, want %s %q", r, c.status, c.reason)
			}
			if len(m.writes) != 2 || m.writes[0].Status != job.ResultRunning {
				t.Errorf("%d writes, want a claim and a result", len(m.writes))
			}
			if m.reads != 0 {
				t.Errorf("%d reads of the run in a short command", m.reads)
			}
			for _, p := range []struct {
				on   job.OnUnknown
				want bool
			}{{job.OnUnknownReport, c.retried}, {job.OnUnknownRepeat, c.retried || c.repeated}} {
				m, s := newMemory(), &script{steps: []step{c.step, ok}}
				l := limits(1, 0)
				l.OnUnknown = p.on
				execute(t, Config{Dialer: s}, unit(m, 1, l))
				want := c.status
				if p.want {
					want = job.ResultSucceeded
				}
				if got := m.rows[0].Status; got != want {
					t.Errorf("one retry, %s: %s, want %s", p.on, got, want)
				}
				if want := 1 + m.rows[0].Attempts; len(m.writes) != want {
					t.Errorf("%d writes for %d attempts, want %d", len(m.writes), m.rows[0].Attempts, want)
				}
			}
		})
	}
}

func TestExecute_ExitIsRecorded(t *testing.T) {
	m := newMemory()
	execute(t, Config{Dialer: &script{steps: []step{{exit: device.Exit{Status: 3, Stdout: []byte("a\xffb"), Stderr: []byte("c"), StdoutBytes: 3, StderrBytes: 10}}}}}, unit(m, 1, limits(0, 0)))
	r := m.rows[0]
	if r.Exit == nil || *r.Exit != 3 || r.Output.Stdout != "a\uFFFDb" || r.Output.StdoutCut {
		t.Errorf("%+v", r)
	}
	if want := "c\n[output cut: 1 of 10 bytes kept]\n"; r.Output.Stderr != want || !r.Output.StderrCut {
		t.Errorf("stderr %q, want %q", r.Output.Stderr, want)
	}
}

func TestExecute_SecretsAreRedacted(t *testing.T) {
	m := newMemory()
	s := &script{steps: []step{
		{exit: device.Exit{Status: 1, Stdout: []byte("x hunter22 y"), Stderr: []byte("hunter22 hunt"), StderrBytes: 100}},
		{dial: &device.Error{Phase: device.PhaseAuth, Msg: "denied hunter22"}},
	}}
	u := unit(m, 2, limits(0, 0))
	plain := u.Work
	u.Work = func(ctx context.Context, i int) (Work, error) {
		w, err := plain(ctx, i)
		w.Redact = NewRedactor("hunter22")
		return w, err
	}
	execute(t, Config{Dialer: s}, u)
	if all := fmt.Sprintf("%+v", m.writes); strings.Contains(all, "hunt") || !strings.Contains(all, job.Redacted) {
		t.Error(all)
	}
}

func TestExecute_RenderingFails(t *testing.T) {
	m, s := newMemory(), &script{steps: []step{{}}}
	u := unit(m, 1, limits(3, 0))
	u.Work = func(ctx context.Context, i int) (Work, error) {
		w, err := work(limits(3, 0))(ctx, i)
		w.Script = func(context.Context) (string, error) { return "", job.Errorf(job.Invalid, "KeyError: 'aid'") }
		return w, err
	}
	execute(t, Config{Dialer: s}, u)
	if r := m.rows[0]; r.Status != job.ResultFailed || r.Reason != job.ReasonRendering || r.Message != "KeyError: 'aid'" || s.dials != 0 || r.Attempts != 0 {
		t.Errorf("%+v after %d dials", r, s.dials)
	}
}

// A template that asks for all devices reads the store. That this fails says
// nothing about the device.
func TestExecute_RenderingMeetsAThrottledStore(t *testing.T) {
	m, s := newMemory(), &script{steps: []step{{}}}
	u := unit(m, 1, limits(3, 0))
	u.Work = func(ctx context.Context, i int) (Work, error) {
		w, err := work(limits(3, 0))(ctx, i)
		w.Script = func(context.Context) (string, error) { return "", job.Errorf(job.Exhausted, "throttled") }
		return w, err
	}
	_, err := New(Config{Dialer: s}).Execute(t.Context(), u)
	if job.CodeOf(err) != job.Exhausted || len(m.rows) != 0 || s.dials != 0 {
		t.Errorf("%v, %+v after %d dials", err, m.rows, s.dials)
	}
}

// Whatever a message was made of, a row stays a row.
func TestExecute_MessagesAreBounded(t *testing.T) {
	m, s := newMemory(), &script{steps: []step{{dial: &device.Error{Phase: device.PhaseConnect, Msg: strings.Repeat("\xe4\xb8\x96", 100_000)}}}}
	u := unit(m, 2, limits(0, 0))
	plain := u.Work
	u.Work = func(ctx context.Context, i int) (Work, error) {
		w, err := plain(ctx, i)
		if i == 1 {
			w.Script = func(context.Context) (string, error) {
				return "", job.Errorf(job.Invalid, "KeyError: '%s'", strings.Repeat("a", 500_000))
			}
		}
		return w, err
	}
	execute(t, Config{Dialer: s}, u)
	for i, r := range m.rows {
		if !r.Status.Terminal() || len(r.Message) > 1100 || len(r.Message) < 900 || !utf8.ValidString(r.Message) {
			t.Errorf("device %d: %s, a message of %d bytes", i, r.Status, len(r.Message))
		}
	}
}

func TestExecute_OtherClaims(t *testing.T) {
	live, dead := time.Now().Add(12*time.Second), time.Now().Add(-time.Second)
	repeat := limits(0, 0)
	repeat.OnUnknown = job.OnUnknownRepeat
	claimed := func(until time.Time, attempts int) job.Result {
		return job.Result{Rev: "x", Status: job.ResultRunning, Attempts: attempts, Claim: &job.Claim{Owner: "other", Until: until}}
	}
	for _, c := range []struct {
		name   string
		row    job.Result
		limits job.Limits
		gone   bool
		status job.ResultStatus
		runs   int
		wait   time.Duration
	}{
		{"live", claimed(live, 1), limits(0, 0), false, job.ResultRunning, 0, 12 * time.Second},
		{"live, far", claimed(live.Add(time.Hour), 1), limits(0, 0), false, job.ResultRunning, 0, 20 * time.Second},
		{"live, repeat", claimed(live, 1), repeat, false, job.ResultRunning, 0, 12 * time.Second},
		{"owner gone", claimed(live, 1), limits(0, 0), true, job.ResultUnknown, 0, 0},
		{"owner gone, repeat", claimed(live, 1), repeat, true, job.ResultSucceeded, 1, 0},
		{"dead", claimed(dead, 1), limits(5, 0), false, job.ResultUnknown, 0, 0},
		{"dead, repeat", claimed(dead, 1), repeat, false, job.ResultSucceeded, 1, 0},
		{"dead, repeated already", claimed(dead, 2), repeat, false, job.ResultUnknown, 0, 0},
		{"done", job.Result{Rev: "x", Status: job.ResultFailed}, limits(5, 0), false, job.ResultFailed, 0, 0},
		{"waiting", job.Result{Rev: "x", Status: job.ResultPending, Attempts: 1}, limits(0, 0), false, job.ResultSucceeded, 1, 0},
		{"waiting, long", job.Result{Rev: "x", Status: job.ResultPending, Attempts: 1, NotBefore: new(time.Now().Add(99500 * time.Millisecond))}, limits(1, 0), false, job.ResultPending, 0, 100 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, s := newMemory(), &script{steps: []step{{}}}
			m.rows[0] = c.row
			m.gone["other"] = c.gone
			out := execute(t, Config{Dialer: s}, unit(m, 1, c.limits))
			if got := m.rows[0].Status; got != c.status || s.runs != c.runs {
				t.Errorf("%s after %d commands, want %s after %d", got, s.runs, c.status, c.runs)
			}
			if out.Again != (c.wait > 0) || out.Wait != c.wait {
				t.Errorf("%+v, want to wait %s", out, c.wait)
			}
		})
	}
}

func TestExecute_WaitsBetweenAttempts(t *testing.T) {
	down := step{dial: refused(device.PhaseConnect, "", false)}
	t.Run("short waits are held", func(t *testing.T) {
		m, s := newMemory(), &script{steps: []step{down, down, {}}}
		start := time.Now()
		execute(t, Config{Dialer: s}, unit(m, 1, limits(2, 20*time.Millisecond)))
		if r := m.rows[0]; r.Status != job.ResultSucceeded || r.Attempts != 3 || len(m.writes) != 4 {
			t.Errorf("%+v after %d writes", r, len(m.writes))
		}
		if took := time.Since(start); took < 40*time.Millisecond {
			t.Errorf("two waits of 20 ms in %s", took)
		}
	})
	t.Run("long waits are stored", func(t *testing.T) {
		m, s := newMemory(), &script{steps: []step{down, {}}}
		out := execute(t, Config{Dialer: s}, unit(m, 1, limits(1, time.Minute)))
		r := m.rows[0]
		if !out.Again || out.Wait != time.Minute || r.Status != job.ResultPending || r.NotBefore == nil || r.Claim != nil || r.Reason != job.ReasonConnect {
			t.Errorf("%+v, %+v", out, r)
		}
	})
	t.Run("a wait that the invocation has no time for is stored", func(t *testing.T) {
		m, s := newMemory(), &script{steps: []step{down, {}}}
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		out, err := New(Config{Dialer: s}).Execute(ctx, unit(m, 1, limits(1, 10*time.Millisecond)))
		if err != nil || !out.Again || m.rows[0].Status != job.ResultPending || s.dials != 1 {
			t.Errorf("%+v %v, %+v", out, err, m.rows[0])
		}
	})
	t.Run("a wait beyond the deadline is not begun", func(t *testing.T) {
		m, s := newMemory(), &script{steps: []step{down, {}}}
		m.control.Deadline = time.Now().Add(time.Second)
		out := execute(t, Config{Dialer: s}, unit(m, 1, limits(1, 2*time.Second)))
		if out.Again || m.rows[0].Status != job.ResultUnreachable {
			t.Errorf("%+v, %+v", out, m.rows[0])
		}
	})
	t.Run("the other devices of the unit do not wait", func(t *testing.T) {
		m, s := newMemory(), &script{steps: []step{down, {}}}
		out := execute(t, Config{Dialer: s}, unit(m, 3, limits(1, time.Minute)))
		if !out.Again || m.rows[1].Status != job.ResultSucceeded || m.rows[2].Status != job.ResultSucceeded {
			t.Errorf("%+v, %+v", out, m.rows)
		}
	})
}

func TestExecute_ClaimCoversTheAttempt(t *testing.T) {
	for _, c := range []struct {
		name       string
		invocation time.Duration
		want       time.Duration
	}{{"no bound", 0, 95 * time.Second}, {"long invocation", time.Hour, 95 * time.Second}, {"short invocation", 20 * time.Second, 25 * time.Second}} {
		m, s := newMemory(), &script{steps: []step{{}}}
		ctx := t.Context()
		if c.invocation > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, c.invocation)
			defer cancel()
		}
		start := time.Now()
		if _, err := New(Config{Dialer: s}).Execute(ctx, unit(m, 1, limits(0, 0))); err != nil {
			t.Fatal(err)
		}
		if got := m.writes[0].Claim.Until.Sub(start); got < c.want-time.Second || got > c.want+time.Second {
			t.Errorf("%s: claimed for %s, want %s", c.name, got, c.want)
		}
	}
}

func TestExecute_ClosedRunIsNotTouched(t *testing.T) {
	for name, control := range map[string]Control{
		"canceled": {Canceled: true},
		"overdue":  {Deadline: time.Now().Add(-time.Second)},
	} {
		m, s := newMemory(), &script{steps: []step{{}}}
		m.control = control
		out := execute(t, Config{Dialer: s}, unit(m, 3, limits(0, 0)))
		if out.Again || len(m.writes) != 0 || s.dials != 0 {
			t.Errorf("%s: %+v, %d writes, %d dials", name, out, len(m.writes), s.dials)
		}
	}
}
