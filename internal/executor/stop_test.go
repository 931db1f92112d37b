package executor

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/device"
	"drover/internal/job"

	"golang.org/x/sync/errgroup"
)

const tick = 5 * time.Millisecond

func TestExecute_Cancel(t *testing.T) {
	lost := step{run: func(ctx context.Context, _ device.Command) (device.Exit, error) {
		<-ctx.Done()
		return device.Exit{Status: -1}, &device.Error{Phase: device.PhaseRun, Sent: true, Msg: "lost"}
	}}
	anyway := step{run: func(ctx context.Context, _ device.Command) (device.Exit, error) {
		<-ctx.Done()
		return device.Exit{Stdout: []byte("done")}, nil
	}}
	limit := step{run: func(ctx context.Context, _ device.Command) (device.Exit, error) {
		<-ctx.Done()
		return device.Exit{Status: -1, TimedOut: true, Killed: true, KillConfirmed: true}, nil
	}}
	for _, c := range []struct {
		name   string
		step   step
		status job.ResultStatus
		reason string
	}{
		{"stopped", killed(true), job.ResultCanceled, job.ReasonStopped},
		{"not confirmed", killed(false), job.ResultCanceled, job.ReasonStopUnsure},
		{"connection lost", lost, job.ResultCanceled, job.ReasonStopUnsure},
		{"finished anyway", anyway, job.ResultSucceeded, ""},
		{"time limit first", limit, job.ResultTimedOut, job.ReasonTimeLimit},
	} {
		t.Run("by the flag: "+c.name, func(t *testing.T) {
			m, s := newMemory(), &script{steps: []step{c.step}}
			u := unit(m, 2, limits(3, 0))
			m.cancel()
			execute(t, Config{Dialer: s, Every: tick}, u)
			check(t, m, c.status, c.reason)
		})
		t.Run("by the context: "+c.name, func(t *testing.T) {
			m, s := newMemory(), &script{steps: []step{c.step}}
			ctx, cancel := context.WithCancel(t.Context())
			u := unit(m, 2, limits(3, 0))
			m.before = func(r job.Result) error {
				if r.Status == job.ResultRunning {
					m.control.Canceled = true
					cancel()
				}
				return nil
			}
			_, _ = New(Config{Dialer: s}).Execute(ctx, u)
			check(t, m, c.status, c.reason)
		})
	}
}

// check looks at a run of two devices that was stopped at the first.
func check(t *testing.T, m *memory, status job.ResultStatus, reason string) {
	t.Helper()
	r := m.rows[0]
	if r.Status != status || r.Reason != reason || r.Claim != nil || r.Attempts != 1 {
		t.Errorf("%+v, want %s %q", r, status, reason)
	}
	if _, ok := m.rows[1]; ok {
		t.Errorf("the second device was claimed: %+v", m.rows[1])
	}
}

func TestExecute_CancelWhileDialing(t *testing.T) {
	m := newMemory()
	m.control.Canceled = true
	u := unit(m, 1, limits(3, 0))
	u.Control.Canceled = false
	execute(t, Config{Dialer: hang{}, Every: tick}, u)
	if r := m.rows[0]; r.Status != job.ResultCanceled || r.Reason != job.ReasonNeverStarted {
		t.Errorf("%+v", r)
	}
}

// hang is a device that does not answer.
type hang struct{}

func (hang) Dial(ctx context.Context, _ device.Endpoint) (device.Session, error) {
	<-ctx.Done()
	return nil, &device.Error{Phase: device.PhaseConnect, Msg: "no answer", Err: ctx.Err()}
}

func TestExecute_ConnectingIsBounded(t *testing.T) {
	m := newMemory()
	execute(t, Config{Dialer: hang{}, Connect: tick}, unit(m, 1, limits(0, 0)))
	if r := m.rows[0]; r.Status != job.ResultUnreachable || r.Reason != job.ReasonConnect {
		t.Errorf("%+v", r)
	}
}

func TestExecute_RunDeadlineStopsTheCommand(t *testing.T) {
	m, s := newMemory(), &script{steps: []step{killed(true)}}
	m.control.Deadline = time.Now().Add(50 * time.Millisecond)
	execute(t, Config{Dialer: s}, unit(m, 2, limits(3, 0)))
	check(t, m, job.ResultTimedOut, job.ReasonDeadline)
}

func TestExecute_InvocationEnds(t *testing.T) {
	m, s := newMemory(), &script{steps: []step{killed(true)}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, _ = New(Config{Dialer: s}).Execute(ctx, unit(m, 1, limits(3, 0)))
	check(t, m, job.ResultTimedOut, job.ReasonTimeLimit)
}

func TestExecute_Shutdown(t *testing.T) {
	for _, c := range []struct {
		name   string
		dialer device.Dialer
		on     job.OnUnknown
		want   job.ResultStatus
	}{
		{"command runs", &script{steps: []step{killed(true)}}, job.OnUnknownReport, job.ResultUnknown},
		{"command runs, repeat", &script{steps: []step{killed(true)}}, job.OnUnknownRepeat, job.ResultPending},
		{"not sent", hang{}, job.OnUnknownReport, job.ResultPending},
	} {
		m := newMemory()
		ctx, cancel := context.WithCancel(t.Context())
		l := limits(0, 0)
		l.OnUnknown = c.on
		m.before = func(job.Result) error { cancel(); return nil }
		_, err := New(Config{Dialer: c.dialer}).Execute(ctx, unit(m, 1, l))
		if r := m.rows[0]; job.CodeOf(err) != job.Canceled || r.Status != c.want || r.Claim != nil {
			t.Errorf("%s: %v, %+v, want %s", c.name, err, r, c.want)
		}
		// Whoever comes next goes on.
		m.before = nil
		s := &script{steps: []step{{}}}
		execute(t, Config{Dialer: s}, unit(m, 1, l))
		if ran := m.rows[0].Status == job.ResultSucceeded; ran != (c.want == job.ResultPending) {
			t.Errorf("%s: then %+v", c.name, m.rows[0])
		}
	}
}

func TestExecute_ShutdownBetweenAttempts(t *testing.T) {
	for _, canceled := range []bool{false, true} {
		m, s := newMemory(), &script{steps: []step{{dial: refused(device.PhaseConnect, "", false)}}}
		ctx, cancel := context.WithCancel(t.Context())
		m.before = func(job.Result) error {
			time.AfterFunc(tick, func() {
				if canceled {
					m.cancel()
				}
				cancel()
			})
			return nil
		}
		_, err := New(Config{Dialer: s}).Execute(ctx, unit(m, 1, limits(1, 20*time.Second)))
		r := m.rows[0]
		if canceled && (r.Status != job.ResultCanceled || r.Reason != job.ReasonStopped) {
			t.Errorf("canceled: %v, %+v", err, r)
		}
		if !canceled && (job.CodeOf(err) != job.Canceled || r.Status != job.ResultPending || r.Claim != nil) {
			t.Errorf("shutdown: %v, %+v", err, r)
		}
	}
}

func TestExecute_FollowedOutput(t *testing.T) {
	m := newMemory()
	shown := make(chan string, 100)
	m.before = func(r job.Result) error {
		if r.Status == job.ResultRunning && r.Output.StdoutBytes > 0 {
			shown <- r.Output.Stdout
		}
		return nil
	}
	s := &script{steps: []step{{run: func(ctx context.Context, cmd device.Command) (device.Exit, error) {
		cmd.Follow(1, []byte("one\nhun"))
		if got := <-shown; got != "one\n" {
			t.Errorf("shown first: %q", got)
		}
		cmd.Follow(1, []byte("ter22\ntwo\n"))
		if got := <-shown; got != "one\n********\ntwo\n" {
			t.Errorf("shown then: %q", got)
		}
		long := strings.Repeat("0123456789abcdef hunter22\n", 100_000)
		for len(long) > 0 {
			n := min(777, len(long))
			cmd.Follow(1, []byte(long[:n]))
			long = long[n:]
		}
		for got := range shown {
			if strings.Contains(got, "hunter") {
				t.Error("a secret was shown")
			}
			if len(got) > followBytes || len(got) == 0 {
				t.Errorf("%d bytes shown", len(got))
			}
			if strings.HasSuffix(got, "\n") && len(got) > 100 {
				break
			}
		}
		return device.Exit{Stdout: []byte("all")}, nil
	}}}}
	u := unit(m, 1, limits(0, 0))
	plain := u.Work
	u.Work = func(ctx context.Context, i int) (Work, error) {
		w, err := plain(ctx, i)
		w.Redact = NewRedactor("hunter22")
		return w, err
	}
	execute(t, Config{Dialer: s, Every: tick}, u)
	if r := m.rows[0]; r.Status != job.ResultSucceeded || r.Output.Stdout != "all" {
		t.Errorf("%+v", r)
	}
}

func TestExecute_LateResultIsDropped(t *testing.T) {
	m := newMemory()
	s := &script{steps: []step{{run: func(context.Context, device.Command) (device.Exit, error) {
		r := m.rows[0]
		r.Status, r.Claim, r.Reason = job.ResultUnknown, nil, job.ReasonLost
		if _, err := m.Write(context.Background(), r); err != nil {
			t.Error(err)
		}
		return device.Exit{}, nil
	}}}}
	execute(t, Config{Dialer: s}, unit(m, 1, limits(3, 0)))
	if r := m.rows[0]; r.Status != job.ResultUnknown || s.runs != 1 {
		t.Errorf("%+v after %d commands", r, s.runs)
	}
}

func TestExecute_LostClaimStopsTheCommand(t *testing.T) {
	m := newMemory()
	s := &script{steps: []step{{run: func(ctx context.Context, cmd device.Command) (device.Exit, error) {
		m.mu.Lock()
		r := m.rows[0]
		r.Rev, r.Status, r.Claim = "other", job.ResultUnknown, nil
		m.rows[0] = r
		m.mu.Unlock()
		cmd.Follow(1, []byte("x"))
		return killed(true).run(ctx, cmd)
	}}}}
	execute(t, Config{Dialer: s, Every: tick}, unit(m, 1, limits(3, 0)))
	if r := m.rows[0]; r.Rev != "other" || s.runs != 1 {
		t.Errorf("%+v after %d commands", r, s.runs)
	}
}

// A host that grants a session so late that the claim is over gets no command.
func TestExecute_ClaimIsOverBeforeTheCommandIsSent(t *testing.T) {
	var ahead time.Duration
	m := newMemory()
	s := &script{steps: []step{{run: func(_ context.Context, cmd device.Command) (device.Exit, error) {
		ahead += time.Hour
		if cmd.Sent == nil || cmd.Sent() == nil {
			t.Error("the command was sent")
		}
		return device.Exit{Status: -1}, &device.Error{Phase: device.PhaseStart, Msg: "not sent"}
	}}}}
	execute(t, Config{Dialer: s, Every: time.Minute, Clock: func() time.Time { return time.Now().Add(ahead) }}, unit(m, 1, limits(1, 0)))
	if r := m.rows[0]; r.Status != job.ResultUnreachable {
		t.Errorf("%+v", r)
	}
}

func TestExecute_RecordingSurvivesAFailingStore(t *testing.T) {
	m, s := newMemory(), &script{steps: []step{{}}}
	fails := 2
	m.before = func(r job.Result) error {
		if r.Status == job.ResultSucceeded && fails > 0 {
			fails--
			return job.Errorf(job.Unavailable, "disk full")
		}
		return nil
	}
	execute(t, Config{Dialer: s}, unit(m, 1, limits(0, 0)))
	if r := m.rows[0]; r.Status != job.ResultSucceeded || s.runs != 1 {
		t.Errorf("%+v after %d commands", r, s.runs)
	}
}

// An answer that got lost makes a driver write twice: the second write meets the
// first.
func TestExecute_OwnClaimInTheWay(t *testing.T) {
	m, s := newMemory(), &script{steps: []step{{}}}
	var once sync.Once
	m.before = func(r job.Result) error {
		once.Do(func() {
			r.Rev = "first"
			m.rows[r.Index] = r
		})
		return nil
	}
	execute(t, Config{Dialer: s}, unit(m, 1, limits(0, 0)))
	if r := m.rows[0]; r.Status != job.ResultSucceeded || r.Attempts != 1 || s.runs != 1 {
		t.Errorf("%+v after %d commands", r, s.runs)
	}
}

func TestExecute_ManyAtOnceRunOneCommand(t *testing.T) {
	m, s := newMemory(), &script{steps: []step{{}}}
	var g errgroup.Group
	for i := range 20 {
		u := unit(m, 5, limits(3, 0))
		u.Owner = strings.Repeat("x", i+1)
		g.Go(func() error { _, err := New(Config{Dialer: s}).Execute(t.Context(), u); return err })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if s.runs != 5 {
		t.Errorf("%d commands on 5 devices", s.runs)
	}
}

// A write of followed output whose answer got lost leaves a revision that is not
// known here; the claim is ours all the same.
func TestExecute_AnswerOfAFollowingWriteIsLost(t *testing.T) {
	m := newMemory()
	flushed := make(chan struct{})
	var once sync.Once
	m.before = func(r job.Result) error {
		if r.Status != job.ResultRunning || r.Output.StdoutBytes == 0 {
			return nil
		}
		once.Do(func() {
			r.Rev = "unknown here"
			m.rows[r.Index] = r
			close(flushed)
		})
		return job.Errorf(job.Unavailable, "no answer")
	}
	s := &script{steps: []step{{run: func(_ context.Context, cmd device.Command) (device.Exit, error) {
		cmd.Follow(1, []byte("x"))
		<-flushed
		return device.Exit{Stdout: []byte("x")}, nil
	}}}}
	execute(t, Config{Dialer: s, Every: tick}, unit(m, 1, limits(0, 0)))
	if r := m.rows[0]; r.Status != job.ResultSucceeded || r.Output.Stdout != "x" {
		t.Errorf("%+v", r)
	}
}

// Following goes on after such an answer: the command is not stopped for a claim
// that nobody else has.
func TestExecute_FollowingSurvivesALostAnswer(t *testing.T) {
	m := newMemory()
	var once sync.Once
	shown := make(chan string, 10)
	m.before = func(r job.Result) error {
		if r.Status != job.ResultRunning || r.Output.StdoutBytes == 0 {
			return nil
		}
		lost := false
		once.Do(func() {
			r.Rev = "unknown here"
			m.rows[r.Index] = r
			lost = true
		})
		if lost || m.rows[r.Index].Rev != r.Rev {
			shown <- ""
		} else {
			shown <- r.Output.Stdout
		}
		if lost {
			return job.Errorf(job.Unavailable, "no answer")
		}
		return nil
	}
	s := &script{steps: []step{{run: func(ctx context.Context, cmd device.Command) (device.Exit, error) {
		cmd.Follow(1, []byte("one\n"))
		<-shown
		cmd.Follow(1, []byte("two\n"))
		for {
			select {
			case got := <-shown:
				if got == "one\ntwo\n" {
					return device.Exit{Stdout: []byte("done")}, nil
				}
			case <-ctx.Done():
				return device.Exit{Killed: true, KillConfirmed: true}, nil
			}
		}
	}}}}
	execute(t, Config{Dialer: s, Every: tick}, unit(m, 1, limits(0, 0)))
	if r := m.rows[0]; r.Status != job.ResultSucceeded || r.Output.Stdout != "done" {
		t.Errorf("%+v", r)
	}
}

// A wait that the claim does not cover is stored, so that nobody takes the claim
// for dead.
func TestExecute_WaitLongerThanTheClaim(t *testing.T) {
	m := newMemory()
	var ahead atomic.Int64
	s := &script{steps: []step{{run: func(context.Context, device.Command) (device.Exit, error) {
		ahead.Add(int64(89 * time.Second))
		return device.Exit{Status: 1}, nil
	}}, {}}}
	u := unit(m, 1, limits(1, 1500*time.Millisecond))
	execute(t, Config{Dialer: s, Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}, u)
	var states []job.ResultStatus
	for _, w := range m.writes {
		states = append(states, w.Status)
	}
	want := []job.ResultStatus{job.ResultRunning, job.ResultPending, job.ResultRunning, job.ResultSucceeded}
	if !slices.Equal(states, want) {
		t.Errorf("%v, want %v", states, want)
	}
}

// A claim is given up when the call turns out to have no time for the attempt.
func TestStep_GivesUpItsClaim(t *testing.T) {
	m := newMemory()
	m.rows[0] = job.Result{Rev: "x", Status: job.ResultRunning, Attempts: 1, Claim: &job.Claim{Owner: "me", Until: time.Now().Add(time.Minute)}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	w, _ := work(limits(1, 0))(ctx, 0)
	d := &deviceCall{call: &call{Executor: New(Config{}), Unit: unit(m, 1, limits(1, 0)), begun: true}, w: w, r: m.rows[0], mine: true,
		last: job.Result{Attempts: 1, Reason: job.ReasonConnect}}
	wait, again, err := d.step(ctx)
	if r := m.rows[0]; err != nil || again || wait != time.Second || r.Status != job.ResultPending || r.Claim != nil || r.Reason != job.ReasonConnect {
		t.Errorf("%s %v %v, %+v", wait, again, err, r)
	}
}
