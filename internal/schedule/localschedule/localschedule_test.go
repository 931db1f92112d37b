package localschedule_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"drover/internal/job"
	"drover/internal/schedule"
	"drover/internal/schedule/localschedule"
	"drover/internal/schedule/scheduletest"
	"drover/internal/store"
	"drover/internal/store/boltstore"
)

// harness is a data file. The clock is that of the test's bubble.
type harness struct{ path string }

func (h *harness) Late() time.Duration { return 500 * time.Millisecond }

func (h *harness) Lacks() map[scheduletest.Capability]string { return nil }

func (h *harness) Open(t *testing.T, fire schedule.Fire) (schedule.Alarms, func()) {
	t.Helper()
	driver, err := boltstore.Open(h.path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(driver, store.Options{})
	alarms, err := localschedule.Open(t.Context(), localschedule.Config{Store: s, Fire: fire, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		alarms.Run(ctx)
	}()
	return alarms, func() {
		cancel()
		<-over
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestConforms(t *testing.T) {
	scheduletest.Run(t, synctest.Test, func(t *testing.T) scheduletest.Harness {
		return &harness{filepath.Join(t.TempDir(), "drover.db")}
	})
}

// TestRun_BoundsItsCalls: no more at once than it was told.
func TestRun_BoundsItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver, err := boltstore.Open(filepath.Join(t.TempDir(), "drover.db"), boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := store.New(driver, store.Options{})
		defer s.Close()
		var now, peak, all atomic.Int64
		alarms, err := localschedule.Open(t.Context(), localschedule.Config{Store: s, Log: slog.New(slog.DiscardHandler), Concurrency: 3,
			Fire: func(context.Context, string, int64, time.Time) error {
				peak.Store(max(peak.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
				all.Add(1)
				return nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		for id := range int64(10) {
			at := s.Now()
			if err := alarms.Set(t.Context(), schedule.Alarm{Tenant: "a", ID: id, Next: at, Recurrence: job.Recurrence{At: &at}}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		alarms.Run(ctx)
		if peak.Load() != 3 || all.Load() != 10 {
			t.Errorf("%d calls, %d at once; want 10 and 3", all.Load(), peak.Load())
		}
	})
}

// TestRun_NoticesThatTheClockWasSet: an alarm hours away rings within a minute of
// the machine's clock being set to its time.
func TestRun_NoticesThatTheClockWasSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		driver, err := boltstore.Open(filepath.Join(t.TempDir(), "drover.db"), boltstore.Options{Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		s := store.New(driver, store.Options{Clock: clock})
		defer s.Close()
		rang := make(chan struct{})
		alarms, err := localschedule.Open(t.Context(), localschedule.Config{Store: s, Log: slog.New(slog.DiscardHandler),
			Fire: func(context.Context, string, int64, time.Time) error { close(rang); return nil }})
		if err != nil {
			t.Fatal(err)
		}
		if err := alarms.Set(t.Context(), schedule.Alarm{Tenant: "a", ID: 1, Next: s.Now().Add(5 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { defer close(over); alarms.Run(ctx) }()
		time.Sleep(90 * time.Second)
		ahead.Store(int64(5 * time.Hour))
		select {
		case <-rang:
		case <-time.After(time.Minute):
			t.Error("it does not ring")
		}
		cancel()
		<-over
	})
}
