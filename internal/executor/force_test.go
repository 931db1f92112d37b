package executor

import (
	"context"
	"testing"
	"time"

	"drover/internal/device"
	"drover/internal/job"
)

// stubborn takes its time to die; it says when it is left.
func stubborn(left chan<- struct{}, more ...string) step {
	return step{run: func(ctx context.Context, cmd device.Command) (device.Exit, error) {
		for _, s := range more {
			cmd.Follow(1, []byte(s))
		}
		<-ctx.Done()
		<-left2(left)
		return device.Exit{Status: -1, Killed: true, KillConfirmed: true}, nil
	}}
}

func left2(left chan<- struct{}) <-chan time.Time {
	if left != nil {
		left <- struct{}{}
	}
	return time.After(time.Minute)
}

// A forced cancel ends a device at once, whatever its command does: before any
// kill, or while a graceful one takes its time.
func TestExecute_ForcedCancel(t *testing.T) {
	t.Run("by the flag", func(t *testing.T) {
		m, s := newMemory(), &script{steps: []step{stubborn(nil, "so far\n")}}
		u := unit(m, 2, limits(3, 0))
		m.control.Canceled, m.control.Force = true, true
		execute(t, Config{Dialer: s, Every: tick}, u)
		check(t, m, job.ResultCanceled, job.ReasonStopUnsure)
		if r := m.rows[0]; r.Message != job.MessageAborted || r.Output.Stdout != "so far\n" || len(r.Output.Marks) != 1 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("while a graceful one waits", func(t *testing.T) {
		left := make(chan struct{}, 1)
		m, s := newMemory(), &script{steps: []step{stubborn(left)}}
		u := unit(m, 2, limits(3, 0))
		m.cancel()
		go func() {
			<-left
			m.mu.Lock()
			m.control.Force = true
			m.mu.Unlock()
		}()
		execute(t, Config{Dialer: s, Every: tick}, u)
		check(t, m, job.ResultCanceled, job.ReasonStopUnsure)
	})
	t.Run("by the context, while it runs", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := newMemory()
		s := &script{steps: []step{{run: func(ctx context.Context, cmd device.Command) (device.Exit, error) {
			m.mu.Lock()
			m.control.Canceled, m.control.Force = true, true
			m.mu.Unlock()
			cancel()
			return stubborn(nil).run(ctx, cmd)
		}}}}
		_, _ = New(Config{Dialer: s}).Execute(ctx, unit(m, 2, limits(3, 0)))
		check(t, m, job.ResultCanceled, job.ReasonStopUnsure)
	})
	t.Run("while dialing", func(t *testing.T) {
		m := newMemory()
		m.control.Canceled, m.control.Force = true, true
		u := unit(m, 1, limits(3, 0))
		u.Control.Canceled = false
		execute(t, Config{Dialer: hang{}, Every: tick}, u)
		check(t, m, job.ResultCanceled, job.ReasonNeverStarted)
	})
}

// A run that too many failures have stopped begins no device, and lets what runs
// go on to its end.
func TestExecute_Stopped(t *testing.T) {
	l := limits(0, 0)
	l.StopAfter.Count = 2
	t.Run("in the middle of a unit", func(t *testing.T) {
		m, s := newMemory(), &script{steps: []step{{exit: device.Exit{Status: 1}}}}
		m.stopAfter = 2
		if out := execute(t, Config{Dialer: s}, unit(m, 5, l)); out.Again || len(m.rows) != 2 || s.runs != 2 {
			t.Errorf("%+v, %d results, %d commands", out, len(m.rows), s.runs)
		}
	})
	t.Run("only last failures count", func(t *testing.T) {
		m, s := newMemory(), &script{steps: []step{{exit: device.Exit{Status: 1}}, {exit: device.Exit{Status: 1}}, {}}}
		r := l
		r.Retries.Count = 2
		execute(t, Config{Dialer: s}, unit(m, 1, r))
		if m.failures != 0 || m.rows[0].Status != job.ResultSucceeded {
			t.Errorf("%d failures counted, %+v", m.failures, m.rows[0])
		}
	})
	t.Run("what cannot be tried counts", func(t *testing.T) {
		m, s := newMemory(), &script{steps: []step{{}}}
		u := unit(m, 1, l)
		u.Work = func(ctx context.Context, i int) (Work, error) {
			w, err := work(l)(ctx, i)
			w.Refused = &Refusal{Status: job.ResultFailed, Reason: job.ReasonNoCredential}
			return w, err
		}
		execute(t, Config{Dialer: s}, u)
		if m.failures != 1 {
			t.Errorf("%d failures counted", m.failures)
		}
	})
	t.Run("without a limit nothing is counted", func(t *testing.T) {
		m, s := newMemory(), &script{steps: []step{{exit: device.Exit{Status: 1}}}}
		execute(t, Config{Dialer: s}, unit(m, 3, limits(0, 0)))
		if m.failures != 0 {
			t.Errorf("%d failures counted", m.failures)
		}
	})
	t.Run("what runs goes on, what waits for a retry ends", func(t *testing.T) {
		m := newMemory()
		looked := make(chan struct{})
		s := &script{steps: []step{{run: func(ctx context.Context, _ device.Command) (device.Exit, error) {
			m.mu.Lock()
			m.control.Stopped = true
			m.mu.Unlock()
			go func() {
				for m.looks() < 3 {
					time.Sleep(tick)
				}
				close(looked)
			}()
			select {
			case <-ctx.Done():
			case <-looked:
			}
			return device.Exit{Status: 4}, ctx.Err()
		}}}}
		r := l
		r.Retries = job.Retries{Count: 3, Wait: tick}
		execute(t, Config{Dialer: s, Every: tick}, unit(m, 2, r))
		check(t, m, job.ResultFailed, job.ReasonExitStatus)
	})
}
