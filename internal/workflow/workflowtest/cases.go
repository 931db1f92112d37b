package workflowtest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"drover/internal/task"
)

// testCase is one law, shown by one run or two.
type testCase struct {
	name  string
	needs Capability // "" for none
	run   func(t *testing.T, s *suite)
}

// scripted is a case whose law is a script and the calls that it leads to.
func scripted(name string, x func() *script, w want) testCase {
	return testCase{name: name, run: func(t *testing.T, s *suite) {
		c := s.add(x())
		s.play(t, c)
		c.check(t, w)
	}}
}

// once is the want of a run without trouble.
var once = want{plans: 1, finishes: 1, others: []int{0}}

func repeat(round, times int) []int {
	rs := make([]int, times)
	for i := range rs {
		rs[i] = round
	}
	return rs
}

// first fails the first calls with err, or dies with it.
func first(times int, fail func() error) func(n int) error {
	return func(n int) error {
		if n < times {
			return fail()
		}
		return nil
	}
}

const always = 1 << 30

func throttle() error { return task.ThrottledError{Message: "scripted"} }
func invalid() error  { return task.InvalidInputError{Message: "scripted"} }
func newer() error    { return task.VersionError{Message: "scripted"} }
func internal() error { return task.InternalError{Message: "scripted"} }
func die() error      { panic("this task dies") }

func cases() []testCase {
	cs := []testCase{
		scripted("no unit", func() *script { return &script{maps: task.MapNone} }, want{plans: 1, finishes: 1}),
		scripted("a map that this version does not know", func() *script { return &script{units: 3, maps: "spiral"} },
			want{plans: 1, finishes: 1}),
	}
	for _, maps := range []string{task.MapInline, task.MapExpress, task.MapStandard} {
		for _, units := range []int{0, 1, 40, 41} {
			w := once
			if units == 0 {
				w.others = nil
			}
			cs = append(cs, scripted(fmt.Sprintf("%d units %s", units, maps),
				func() *script { return &script{units: units, maps: maps} }, w))
		}
		if maps != task.MapInline {
			cs = append(cs, scripted("12 units "+maps+", as planned before there were batches",
				func() *script { return &script{units: 12, maps: maps, unbatched: true} }, once))
		}
		cs = append(cs, inMap(maps)...)
	}
	return append(append(cs, aroundMap()...), stops()...)
}

// inMap are the laws of Execute's retries and rounds; they hold in every map.
func inMap(maps string) []testCase {
	// one has trouble in unit 1 of three.
	one := func(name string, trouble func(round, n int) (bool, error), rounds []int) testCase {
		return scripted(name+" "+maps, func() *script {
			return &script{units: 3, maps: maps, onExecute: func(unit, round, n int) (bool, error) {
				if unit != 1 {
					return false, nil
				}
				return trouble(round, n)
			}}
		}, want{plans: 1, finishes: 1, others: []int{0}, rounds: map[int][]int{1: rounds}})
	}
	failing := func(name string, times int, fail func() error, calls int) testCase {
		f := first(times, fail)
		return one(name, func(_, n int) (bool, error) { return false, f(n) }, repeat(0, calls))
	}
	return []testCase{
		one("again twice, then done", func(round, _ int) (bool, error) { return round < 2, nil }, []int{0, 1, 2}),
		one("again, throttled in every round", func(round, n int) (bool, error) {
			return round < 2, first(1, throttle)(n)
		}, []int{0, 0, 1, 1, 2, 2}),
		failing("throttled twice, then done", 2, throttle, 3),
		failing("throttled for ever", always, throttle, ThrottledCalls),
		failing("dies once", 1, die, 2),
		failing("dies always", always, die, CrashedCalls),
		failing("an unexpected error once", 1, internal, 2),
		failing("an error that no retry heals", always, invalid, 1),
		failing("a payload of a newer version", always, newer, 1),
		one("throttled between crashes: each is counted by itself", func(_, n int) (bool, error) {
			if n >= 8 {
				return false, nil
			}
			if n%2 == 0 {
				return false, throttle()
			}
			return false, internal()
		}, repeat(0, 9)),
		scripted("every unit fails "+maps, func() *script {
			return &script{units: 3, maps: maps, onExecute: func(int, int, int) (bool, error) { return false, invalid() }}
		}, once),
		{name: "concurrency " + maps, needs: BoundsConcurrency, run: func(t *testing.T, s *suite) {
			bounded(t, s, maps)
		}},
	}
}

// bounded: never more units at once than the limit, a unit between its rounds
// included, and as many as the limit.
func bounded(t *testing.T, s *suite, maps string) {
	const limit, units = 3, 10
	var (
		mu    sync.Mutex
		open  int
		peak  int
		full  = make(chan struct{})
		tally = func(by int) {
			mu.Lock()
			defer mu.Unlock()
			if open += by; open > peak {
				peak = open
				if peak == limit {
					close(full)
				}
			}
		}
	)
	x := s.add(&script{units: units, maps: maps, concurrency: limit, onExecute: func(_, round, _ int) (bool, error) {
		if round == 0 {
			tally(1)
			select {
			case <-full:
			case <-time.After(patience):
			}
			return true, nil
		}
		tally(-1)
		return false, nil
	}})
	s.play(t, x)
	x.check(t, want{plans: 1, finishes: 1, others: []int{0, 1}})
	if peak != limit {
		t.Errorf("%d units at once, want %d", peak, limit)
	}
}

// aroundMap are the laws of Plan and Finish.
func aroundMap() []testCase {
	plan := func(name string, times int, fail func() error, w want) testCase {
		return scripted("plan "+name, func() *script { return &script{units: 2, onPlan: first(times, fail)} }, w)
	}
	finish := func(name string, times int, fail func() error, calls int) testCase {
		return scripted("finish "+name, func() *script { return &script{units: 2, onFinish: first(times, fail)} },
			want{plans: 1, finishes: calls, others: []int{0}})
	}
	return []testCase{
		plan("throttled once", 1, throttle, want{plans: 2, finishes: 1, others: []int{0}}),
		plan("dies once", 1, die, want{plans: 2, finishes: 1, others: []int{0}}),
		plan("dies always", always, die, want{plans: CrashedCalls, finishes: 1}),
		plan("fails", always, invalid, want{plans: 1, finishes: 1}),
		finish("throttled once", 1, throttle, 2),
		finish("dies once", 1, die, 2),
		finish("dies always", always, die, CrashedCalls),
		finish("fails", always, invalid, 1),
	}
}

// stops are the laws of Start and Stop.
func stops() []testCase {
	return []testCase{
		{name: "start twice", run: func(t *testing.T, s *suite) {
			x := s.add(&script{units: 2})
			var starts sync.WaitGroup
			for range 4 {
				starts.Go(func() {
					if err := s.harness.Workflow().Start(t.Context(), x.tenant, x.run); err != nil {
						t.Errorf("start: %v", err)
					}
				})
			}
			starts.Wait()
			s.harness.Over(t, x.tenant, x.run)
			s.play(t, x) // once more, when it is over
			s.barrier(t)
			x.check(t, once)
		}},
		{name: "stop what is unknown or over", run: func(t *testing.T, s *suite) {
			x := s.add(&script{units: 1})
			s.stop(t, x)
			y := s.add(&script{units: 1})
			s.play(t, y)
			s.stop(t, y)
			s.stop(t, y)
			y.check(t, once)
		}},
		{name: "ended or not", run: func(t *testing.T, s *suite) {
			begun, release := make(chan struct{}), make(chan struct{})
			x := s.add(&script{units: 1, onExecute: func(int, int, int) (bool, error) {
				close(begun)
				<-release
				return false, nil
			}})
			s.ended(t, x, false) // not known
			s.start(t, x)
			await(t, begun, "the first call of Execute")
			s.ended(t, x, false)
			close(release)
			s.harness.Over(t, x.tenant, x.run)
			s.ended(t, x, true)

			y := s.add(&script{units: 1, onPlan: func(int) error { return invalid() }})
			s.play(t, y)
			s.ended(t, y, true)
		}},
		{name: "stop while planning", run: func(t *testing.T, s *suite) {
			begun, release := make(chan struct{}), make(chan struct{})
			x := s.add(&script{units: 2, onPlan: func(int) error {
				close(begun)
				<-release
				return nil
			}})
			s.start(t, x)
			await(t, begun, "the first call of Plan")
			s.stop(t, x)
			close(release)
			s.harness.Over(t, x.tenant, x.run)
			s.ended(t, x, true)
			s.barrier(t)
			x.check(t, want{plans: 1})
		}},
		{name: "stop while executing: no Finish", run: func(t *testing.T, s *suite) {
			begun, release := make(chan struct{}), make(chan struct{})
			x := s.add(&script{units: 1, onExecute: func(int, int, int) (bool, error) {
				close(begun)
				<-release
				return false, nil
			}})
			s.start(t, x)
			await(t, begun, "the first call of Execute")
			s.stop(t, x)
			close(release)
			s.harness.Over(t, x.tenant, x.run)
			s.barrier(t)
			x.check(t, want{plans: 1, others: []int{0}})
		}},
		{name: "stop while executing: no further unit, round or retry", needs: StopsUnits, run: func(t *testing.T, s *suite) {
			begun, release := make(chan struct{}, 100), make(chan struct{})
			x := s.add(&script{units: 6, concurrency: 3, onExecute: func(unit, _, _ int) (bool, error) {
				begun <- struct{}{}
				<-release
				if unit == 0 {
					return false, task.InternalError{Message: "scripted"}
				}
				return unit == 1, nil
			}})
			s.start(t, x)
			for range 3 {
				await(t, begun, "a call of Execute")
			}
			s.stop(t, x)
			close(release)
			s.harness.Over(t, x.tenant, x.run)
			s.barrier(t)
			if n := len(x.seen()); n != 1+3 {
				t.Errorf("%d calls, want Plan and the three of Execute that were under way: %v", n, x.seen())
			}
		}},
	}
}

func (s *suite) stop(t *testing.T, x *script) {
	t.Helper()
	if err := s.harness.Workflow().Stop(t.Context(), x.tenant, x.run, "the test says so"); err != nil {
		t.Fatalf("stop: %v", err)
	}
}

func (s *suite) ended(t *testing.T, x *script, want bool) {
	t.Helper()
	if ended, err := s.harness.Workflow().Ended(t.Context(), x.tenant, x.run); err != nil || ended != want {
		t.Errorf("ended: %v, %v; want %v", ended, err, want)
	}
}

// barrier plays a whole other run: whatever a driver was about to call before
// has been called when it is over.
func (s *suite) barrier(t *testing.T) {
	t.Helper()
	x := s.add(&script{units: 1, onExecute: func(_, round, _ int) (bool, error) { return round < 3, nil }})
	s.play(t, x)
	x.check(t, want{plans: 1, finishes: 1, others: []int{0, 1, 2, 3}})
}
