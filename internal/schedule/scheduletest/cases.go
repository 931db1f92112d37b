package scheduletest

import (
	"context"
	"fmt"
	"time"

	"drover/internal/job"
	"drover/internal/schedule"
)

var cases = []struct {
	name  string
	needs []Capability
	run   func(s *suite)
}{
	{"rings once", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		at := s.in(3 * time.Second)
		s.once("a", 1, at)
		s.await("a", 1, at)
		s.quiet(time.Now())
	}},
	{"a time that is past rings at once", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		past := s.in(-time.Hour)
		began := time.Now()
		s.once("a", 1, past)
		select {
		case got := <-s.rings:
			if !got.planned.Equal(past) {
				s.t.Errorf("%s rings, want its own time %s", got, past)
			}
		case <-time.After(s.h.Late()):
			s.t.Fatalf("does not ring within %s", time.Since(began))
		}
	}},
	{"set again, the later time counts", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		at := s.in(3 * time.Second)
		s.once("a", 1, at)
		s.once("a", 1, at.Add(time.Hour))
		s.quiet(at)
	}},
	{"set again, the earlier time counts", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		at := s.in(3 * time.Second)
		s.once("a", 1, at.Add(time.Hour))
		s.once("a", 1, at)
		s.await("a", 1, at)
	}},
	{"set twice the same, rings once", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		at := s.in(3 * time.Second)
		s.once("a", 1, at)
		s.once("a", 1, at)
		s.await("a", 1, at)
		s.quiet(time.Now())
	}},
	{"deleted, does not ring", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		at := s.in(3 * time.Second)
		s.once("a", 1, at)
		s.once("a", 2, at)
		s.delete("a", 1)
		s.await("a", 2, at)
		s.quiet(time.Now())
	}},
	{"what is not set can be deleted, again and again", nil, func(s *suite) {
		s.open()
		defer s.stop()
		s.delete("a", 1)
		s.once("a", 1, s.in(time.Hour))
		s.delete("a", 1)
		s.delete("a", 1)
		s.once("a", 1, s.in(time.Hour))
		s.delete("a", 1)
	}},
	{"tenants are apart", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		at := s.in(3 * time.Second)
		for i, tenant := range []string{"a", "b", "a/1"} {
			s.once(tenant, 1, at.Add(time.Duration(i)*s.h.Late()))
		}
		s.once("c", 1, at)
		s.delete("c", 1)
		for i, tenant := range []string{"a", "b", "a/1"} {
			s.await(tenant, 1, at.Add(time.Duration(i)*s.h.Late()))
		}
		s.quiet(time.Now())
	}},
	{"many at once", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		const many = 100
		at := s.in(10 * time.Second)
		for id := range int64(many) {
			s.once("a", id, at.Add(time.Duration(id%7)*time.Second))
		}
		seen := map[int64]int{}
		limit := time.After(time.Until(at) + 7*time.Second + s.h.Late())
		for len(seen) < many {
			select {
			case r := <-s.rings:
				if seen[r.id]++; seen[r.id] > 1 || !r.planned.Equal(at.Add(time.Duration(r.id%7)*time.Second)) {
					s.t.Errorf("%s rings, for the %d. time", r, seen[r.id])
				}
			case <-limit:
				s.t.Fatalf("%d of %d rang", len(seen), many)
			}
		}
		s.quiet(time.Now())
	}},
	{"a call that failed is made again", []Capability{Rings, Retries}, func(s *suite) {
		failures := 2
		s.fire = func(context.Context, string, int64, time.Time) error {
			if failures--; failures >= 0 {
				return errNotNow
			}
			return nil
		}
		s.open()
		defer s.stop()
		at := s.in(time.Second)
		s.once("a", 1, at)
		for range 3 {
			select {
			case r := <-s.rings:
				if !r.planned.Equal(at) {
					s.t.Errorf("%s rings, want the time that failed", r)
				}
			case <-time.After(10 * time.Minute):
				s.t.Fatal("the call is not made again")
			}
		}
		s.quiet(time.Now().Add(10 * time.Minute))
	}},
	{"set again by who was called", []Capability{Rings, Chains}, func(s *suite) {
		at := s.in(2 * time.Second)
		r := job.Recurrence{Cron: "0 0 13 * fri"} // not exact: each time is set by itself
		s.fire = func(ctx context.Context, tenant string, id int64, planned time.Time) error {
			return s.alarms.Set(ctx, schedule.Alarm{Tenant: tenant, ID: id, Next: planned.Add(5 * time.Second), Recurrence: r})
		}
		s.open()
		defer s.stop()
		s.set("a", 1, at, r)
		for i := range 4 {
			s.await("a", 1, at.Add(time.Duration(i)*5*time.Second))
		}
	}},
	{"repeats by itself", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		r := job.Recurrence{Cron: "* * * * *"}
		next, _ := schedule.Next(r, time.Now().Add(20*time.Second))
		s.set("a", 1, next, r)
		s.await("a", 1, next)
		s.await("a", 1, next.Add(time.Minute))
		s.delete("a", 1)
		if s.h.Late() < time.Second { // elsewhere it takes real minutes, and other cases delete too
			s.quiet(next.Add(2 * time.Minute))
		}
	}},
	{"repeats until its end", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		r := job.Recurrence{Cron: "* * * * *"}
		next, _ := schedule.Next(r, time.Now().Add(20*time.Second))
		end := next.Add(time.Minute)
		r.End = &end
		s.set("a", 1, next, r)
		s.await("a", 1, next)
		s.quiet(end)
	}},
	{"does not repeat before its next time", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		r := job.Recurrence{Every: time.Minute}
		next, _ := schedule.Next(r, time.Now().Add(70*time.Second))
		s.set("a", 1, next, r)
		s.await("a", 1, next)
	}},
	{"repeats, and its next time is past", []Capability{Rings}, func(s *suite) {
		s.open()
		defer s.stop()
		r := job.Recurrence{Cron: "* * * * *"}
		next, _ := schedule.Next(r, time.Now())
		past := next.Add(-time.Hour)
		s.set("a", 1, past, r)
		select {
		case got := <-s.rings:
			if !got.planned.Equal(past) {
				s.t.Errorf("%s rings, want %s", got, past)
			}
		case <-time.After(s.h.Late()):
			s.t.Fatal("the past time does not ring")
		}
		if got := <-s.rings; got.planned.Before(next) || time.Until(got.planned) > 0 {
			s.t.Errorf("then rings %s, want a time from %s on", got, next)
		}
	}},
	{"survives the end of the process", []Capability{Rings, Stops}, func(s *suite) {
		s.open()
		later := s.in(time.Hour)
		meanwhile := s.in(3 * time.Second)
		gone := s.in(2 * time.Hour)
		s.once("a", 1, later)
		s.once("a", 2, meanwhile)
		s.once("a", 3, gone)
		s.delete("a", 3)
		s.stop()
		s.quiet(meanwhile)
		s.open()
		defer s.stop()
		s.await("a", 2, meanwhile)
		s.await("a", 1, later)
		s.quiet(gone)
	}},
	{"a repeating one that slept rings once, and goes on", []Capability{Rings, Stops}, func(s *suite) {
		s.open()
		r := job.Recurrence{Cron: "*/5 * * * *"}
		next, _ := schedule.Next(r, time.Now().Add(time.Second))
		s.set("a", 1, next, r)
		s.stop()
		s.quiet(next.Add(31 * time.Minute))
		s.open()
		defer s.stop()
		s.await("a", 1, next)
		s.await("a", 1, next.Add(35*time.Minute))
	}},
	{"a call that was cut off is made again", []Capability{Rings, Stops}, func(s *suite) {
		cut := make(chan struct{})
		s.fire = func(ctx context.Context, _ string, _ int64, _ time.Time) error {
			close(cut)
			<-ctx.Done()
			return ctx.Err()
		}
		s.open()
		at := s.in(time.Second)
		s.once("a", 1, at)
		<-cut
		s.stop()
		<-s.rings
		s.fire = nil
		s.open()
		defer s.stop()
		s.await("a", 1, at)
	}},
	{"a call that hangs holds up no other", []Capability{Rings, Stops}, func(s *suite) {
		s.fire = func(ctx context.Context, _ string, id int64, _ time.Time) error {
			if id == 1 {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		s.open()
		defer s.stop()
		at := s.in(time.Second)
		s.once("a", 1, at)
		s.once("a", 2, at.Add(time.Second))
		s.await("a", 2, at.Add(time.Second))
	}},
	{"an ended context", nil, func(s *suite) {
		s.open()
		defer s.stop()
		ctx, cancel := context.WithCancel(s.t.Context())
		cancel()
		next := s.in(time.Hour)
		for what, err := range map[string]error{
			"Set":    s.alarms.Set(ctx, schedule.Alarm{Tenant: "a", ID: 1, Next: next, Recurrence: job.Recurrence{At: &next}}),
			"Delete": s.alarms.Delete(ctx, "a", 1),
		} {
			if job.CodeOf(err) != job.Canceled {
				s.t.Error(fmt.Errorf("%s: %w, want the code %q", what, err, job.Canceled))
			}
		}
	}},
}
