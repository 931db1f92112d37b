package auth

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/job"
)

func TestLockout_RefusesTheRightPasswordForItsTimeOnly(t *testing.T) {
	s := newShared()
	s.add("ops", "right", job.Operator)
	p := newProcess(t, s)
	p.accepts("ops", "right", "a") // remembered: no way around the lock-out
	for i := range lockAfter {
		p.refuses("ops", fmt.Sprint("wrong", i), "a")
	}
	if p.locks.Load() != 1 || !strings.Contains(p.log.String(), "locked out") {
		t.Errorf("%d lock-outs told; log:\n%s", p.locks.Load(), p.log)
	}
	writes, verifications := s.writes, p.verifications()
	p.refuses("ops", "right", "a")
	p.refuses("ops", "wrong", "a")
	if s.writes != writes {
		t.Error("a failure during the lock-out is counted: it would never end")
	}
	if got := p.verifications() - verifications; got != 2 {
		t.Errorf("%d verifications for two refusals, want 2: the time tells of the lock-out", got)
	}
	p.accepts("ops", "right", "b") // another address
	s.jump(lockFor - time.Second)
	p.refuses("ops", "right", "a")
	s.jump(time.Second)
	p.accepts("ops", "right", "a")
}

func TestLockout_UnknownUsersToo(t *testing.T) {
	s := newShared()
	p := newProcess(t, s)
	for i := range lockAfter {
		p.refuses("hunter2", fmt.Sprint("wrong", i), "a")
	}
	if p.locks.Load() != 1 {
		t.Error("an unknown user is not locked out: that tells it from a known one")
	}
	if strings.Contains(p.log.String(), "hunter2") {
		t.Errorf("the log holds a name that is nobody's, perhaps a password:\n%s", p.log)
	}
	s.add("hunter2", "right", job.Viewer)
	p.refuses("hunter2", "right", "a")
}

func TestLockout_CountsFiveMinutes(t *testing.T) {
	tests := []struct {
		name   string
		every  time.Duration
		fails  int
		locked bool
	}{
		{"nine at once", 0, 9, false},
		{"ten at once", 0, 10, true},
		{"ten in 4.5 minutes", 30 * time.Second, 10, true},
		{"one a minute for hours", time.Minute, 200, false},
		{"one every 40 s for hours", 40 * time.Second, 200, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newShared()
			s.now = s.now.Truncate(time.Minute)
			s.add("ops", "right", job.Operator)
			p := newProcess(t, s)
			for i := range tt.fails {
				if i > 0 {
					s.jump(tt.every)
				}
				p.refuses("ops", "wrong", "a")
			}
			if tt.locked {
				p.refuses("ops", "right", "a")
			} else {
				p.accepts("ops", "right", "a")
			}
		})
	}
}

func TestLockout_IsSharedByProcesses(t *testing.T) {
	s := newShared()
	s.add("ops", "right", job.Operator)
	p, q, late := newProcess(t, s), newProcess(t, s), newProcess(t, s)
	q.accepts("ops", "right", "a") // q knows for lockFresh that there is no lock-out
	for i := range lockAfter {
		one := p
		if i%2 == 1 {
			one = q
		}
		one.refuses("ops", fmt.Sprint("wrong", i), "a")
	}
	if n := p.locks.Load() + q.locks.Load(); n != 1 {
		t.Errorf("%d lock-outs told, want 1", n)
	}
	late.refuses("ops", "right", "a")
	q.refuses("ops", "right", "a")
	s.jump(lockFresh)
	for _, one := range []*process{p, q, late} {
		one.refuses("ops", "right", "a")
	}
	s.jump(lockFor - lockFresh - time.Second)
	for _, one := range []*process{p, q, late} {
		one.refuses("ops", "right", "a")
	}
	s.jump(lockFresh) // a process that only read of it may be late by this
	for _, one := range []*process{p, q, late} {
		one.accepts("ops", "right", "a")
	}
}

func TestLockout_ManyGuessesAtOnce(t *testing.T) {
	s := newShared()
	s.add("ops", "right", job.Operator)
	p := newProcess(t, s)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() { p.refuses("ops", fmt.Sprint("wrong", i), "a") })
	}
	wg.Wait()
	if most := lockAfter + cap(p.verifying); s.writes > most+2 { // and the lock's own
		t.Errorf("%d guesses were weighed, want %d at most", s.writes, most)
	}
	p.refuses("ops", "right", "a")
}

func TestPairOf_TellsPairsApart(t *testing.T) {
	seen := map[pair][2]string{}
	for _, p := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"1:a", ""}, {"a", "b/c"}, {"a/b", "c"}} {
		key := pairOf(p[0], p[1])
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %q share counters", p, other)
		}
		seen[key] = p
	}
	if n := len(pairOf(strings.Repeat("x", MaxCredential), strings.Repeat("y", 1<<20))); n > 64 {
		t.Errorf("a counter's name has %d bytes", n)
	}
}
