// Package scheduletest is the conformance suite of package schedule's port: the
// laws in its comments as tests. It waits by the clock of package time, which a
// driver that keeps to it may let a test's bubble turn (testing/synctest).
package scheduletest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"drover/internal/job"
	"drover/internal/schedule"
)

// Capability is something that not every place where a driver runs can show.
type Capability string

// The capabilities.
const (
	// Rings: alarms ring at all.
	Rings Capability = "rings"
	// Retries: a call that failed is made again.
	Retries Capability = "retries"
	// Chains: an alarm that has rung and is set again rings again.
	Chains Capability = "chains"
	// Stops: the service can be closed while alarms are set.
	Stops Capability = "stops"
)

// Harness is a driver with what the suite needs to know of it. Each case has one
// of its own, with no alarms.
type Harness interface {
	// Open opens the driver over what it was set to before. fire may be called
	// from when Open is called until stop has returned.
	Open(t *testing.T, fire schedule.Fire) (alarms schedule.Alarms, stop func())
	// Late is how long after its time an alarm may ring here.
	Late() time.Duration
	// Lacks names what this place cannot show, each with the reason.
	Lacks() map[Capability]string
}

// Run runs the suite against one driver. within runs each case, in whatever the
// driver needs around it.
func Run(t *testing.T, within func(t *testing.T, test func(t *testing.T)), open func(t *testing.T) Harness) {
	// Cases wait more than they work, so all of them run at once: t.Parallel would
	// run as many as there are processors.
	var all sync.WaitGroup
	defer all.Wait()
	for _, c := range cases {
		all.Go(func() {
			t.Run(c.name, func(t *testing.T) {
				within(t, func(t *testing.T) {
					h := open(t)
					for _, need := range c.needs {
						if reason, lacks := h.Lacks()[need]; lacks {
							// Not a skip: the harness says why, and another shows it.
							t.Logf("not shown here, because %s", reason)
							return
						}
					}
					s := &suite{t: t, h: h, rings: make(chan ring, 10_000)}
					c.run(s)
				})
			})
		})
	}
}

// ring is one call of Fire.
type ring struct {
	tenant  string
	id      int64
	planned time.Time
}

func (r ring) String() string {
	return fmt.Sprintf("%s/%d for %s", r.tenant, r.id, r.planned.UTC().Format(time.RFC3339))
}

// suite is one case under way.
type suite struct {
	t      *testing.T
	h      Harness
	alarms schedule.Alarms
	stop   func()
	rings  chan ring

	mu   sync.Mutex
	fire schedule.Fire // what Fire does beside telling rings; may be nil
}

func (s *suite) open() {
	s.t.Helper()
	s.alarms, s.stop = s.h.Open(s.t, func(ctx context.Context, tenant string, id int64, planned time.Time) error {
		r := ring{tenant, id, planned.UTC()}
		if now := time.Now(); now.Before(planned) {
			s.t.Errorf("%s rings at %s, before its time", r, now.UTC())
		}
		s.mu.Lock()
		fire := s.fire
		s.mu.Unlock()
		var err error
		if fire != nil {
			err = fire(ctx, tenant, id, planned)
		}
		s.rings <- r
		return err
	})
}

func (s *suite) set(tenant string, id int64, next time.Time, r job.Recurrence) {
	s.t.Helper()
	if err := s.alarms.Set(s.t.Context(), schedule.Alarm{Tenant: tenant, ID: id, Next: next, Recurrence: r}); err != nil {
		s.t.Fatalf("Set: %v", err)
	}
}

// once sets an alarm that rings once.
func (s *suite) once(tenant string, id int64, next time.Time) {
	s.t.Helper()
	s.set(tenant, id, next, job.Recurrence{At: &next})
}

func (s *suite) delete(tenant string, id int64) {
	s.t.Helper()
	if err := s.alarms.Delete(s.t.Context(), tenant, id); err != nil {
		s.t.Fatalf("Delete: %v", err)
	}
}

// in is a moment in so many seconds, a whole second.
func (s *suite) in(d time.Duration) time.Time {
	return time.Now().UTC().Add(d + time.Second - 1).Truncate(time.Second)
}

// await waits for a ring, and fails the test when it is another or comes too late.
func (s *suite) await(tenant string, id int64, planned time.Time) {
	s.t.Helper()
	want := ring{tenant, id, planned.UTC()}
	select {
	case got := <-s.rings:
		if got.tenant != tenant || got.id != id || !got.planned.Equal(planned) {
			s.t.Fatalf("%s rings, want %s", got, want)
		}
	case <-time.After(max(time.Until(planned), 0) + s.h.Late()):
		s.t.Fatalf("%s does not ring", want)
	}
}

// quiet waits until what was planned for a moment would have rung.
func (s *suite) quiet(planned time.Time) {
	s.t.Helper()
	select {
	case got := <-s.rings:
		s.t.Fatalf("%s rings, want none", got)
	case <-time.After(time.Until(planned) + s.h.Late()):
	}
}

var errNotNow = errors.New("not now")
