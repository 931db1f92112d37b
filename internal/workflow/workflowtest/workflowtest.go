// Package workflowtest is the conformance suite of package workflow. It demands
// the same task calls of every driver: Plan, then every unit's rounds in order,
// then Finish, with the same retries.
//
// A driver is opened once, with tasks that the suite scripts for each run. The
// suite's waits are of a second and retries back off for minutes; a harness
// arranges that its driver does not really wait that long.
package workflowtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"drover/internal/task"
	"drover/internal/workflow"
)

// Tasks are the task functions that a harness has its driver call. They return
// the errors of package task, and panic where the task is to die, which a harness makes a crash of
// whatever process its tasks run in.
type Tasks struct {
	Plan    func(context.Context, task.RunRef) (task.Planned, error)
	Execute func(context.Context, task.UnitRef) (task.Executed, error)
	Finish  func(context.Context, task.RunRef) (task.Finished, error)
}

// Retries of one call, by kind of error: how often a task is called for a
// failure that stays. They are in statemachines/run.asl.json.
const (
	ThrottledCalls = 1 + 30
	CrashedCalls   = 1 + 4
)

// Capability is something that not every place where a driver runs can show.
type Capability string

// The capabilities.
const (
	// BoundsConcurrency: never more units of a run at once than Plan said.
	BoundsConcurrency Capability = "bounds concurrency"
	// StopsUnits: a stop also ends the rounds of units under way.
	StopsUnits Capability = "stops units"
)

// Harness is a driver with what the suite needs to watch it.
type Harness interface {
	Workflow() workflow.Workflow
	// Over waits until the execution of a run is over, and fails the test
	// when that takes too long.
	Over(t *testing.T, tenant, run string)
	// Lacks names what this place cannot show, each with the reason.
	Lacks() map[Capability]string
}

// patience is how long the suite waits for something that must happen.
const patience = 60 * time.Second

// Run runs the suite against one driver.
func Run(t *testing.T, open func(t *testing.T, tasks Tasks) Harness) {
	s := &suite{scripts: map[string]*script{}}
	s.harness = open(t, Tasks{Plan: s.plan, Execute: s.execute, Finish: s.finish})
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases() {
			t.Run(c.name, func(t *testing.T) {
				if reason, lacks := s.harness.Lacks()[c.needs]; lacks {
					// Not a skip: the harness says why, and the other
					// harnesses show it.
					t.Logf("not shown here, because %s", reason)
					return
				}
				t.Parallel()
				c.run(t, s)
			})
		}
	})
}

// suite routes the calls of a driver to the script of the run they are for.
type suite struct {
	harness Harness
	mu      sync.Mutex
	scripts map[string]*script
}

func (s *suite) script(tenant, run string) (*script, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.scripts[tenant+"/"+run]
	if x == nil {
		return nil, fmt.Errorf("no case has run %s of tenant %s", run, tenant)
	}
	return x, nil
}

func (s *suite) plan(_ context.Context, ref task.RunRef) (task.Planned, error) {
	x, err := s.script(ref.Tenant, ref.Run)
	if err != nil {
		return task.Planned{}, err
	}
	n := x.begin(Call{Task: "Plan"}, ref.V)
	defer x.finished()
	if x.onPlan != nil {
		if err := x.onPlan(n); err != nil {
			return task.Planned{}, err
		}
	}
	units := make([]int, x.units)
	for i := range units {
		units[i] = i
	}
	p := task.Planned{V: task.Version, Tenant: ref.Tenant, Run: ref.Run, Map: x.maps, Units: units, Concurrency: x.concurrency}
	if !x.unbatched && (x.maps == task.MapExpress || x.maps == task.MapStandard) {
		p.Batches = slices.Collect(slices.Chunk(units, batch))
		p.Inner = min(2, x.concurrency)
		p.Children = x.concurrency / p.Inner
	}
	return p, nil
}

// batch is how many units a child of a Distributed Map is given.
const batch = 5

func (s *suite) execute(_ context.Context, ref task.UnitRef) (task.Executed, error) {
	x, err := s.script(ref.Tenant, ref.Run)
	if err != nil {
		return task.Executed{}, err
	}
	n := x.begin(Call{Task: "Execute", Unit: ref.Unit, Round: ref.Round}, ref.V)
	defer x.finished()
	out := task.Executed{V: task.Version, Tenant: ref.Tenant, Run: ref.Run, Unit: ref.Unit, Round: ref.Round + 1}
	if x.onExecute != nil {
		again, err := x.onExecute(ref.Unit, ref.Round, n)
		if err != nil {
			return task.Executed{}, err
		}
		if again {
			out.Again, out.Wait = true, 1
		}
	}
	return out, nil
}

func (s *suite) finish(_ context.Context, ref task.RunRef) (task.Finished, error) {
	x, err := s.script(ref.Tenant, ref.Run)
	if err != nil {
		return task.Finished{}, err
	}
	n := x.begin(Call{Task: "Finish"}, ref.V)
	defer x.finished()
	if x.onFinish != nil {
		if err := x.onFinish(n); err != nil {
			return task.Finished{}, err
		}
	}
	return task.Finished{V: task.Version, Settled: true, Status: "succeeded"}, nil
}

// Call is one call of a task, as the suite records it.
type Call struct {
	Task        string
	Unit, Round int
}

// script is what the tasks answer for one run, and what was called.
type script struct {
	tenant, run string

	units       int
	maps        string
	concurrency int
	unbatched   bool // as plans were before there were batches
	// The n-th call (of that unit and round), from 0. A nil function answers
	// with success at once.
	onPlan    func(n int) error
	onExecute func(unit, round, n int) (again bool, err error)
	onFinish  func(n int) error

	mu       sync.Mutex
	calls    []Call
	counts   map[Call]int
	underWay int
	overlaps []Call // Plan or Finish while anything else was under way
	versions map[int]bool
}

// add makes a run with this script known to the tasks.
func (s *suite) add(x *script) *script {
	x.tenant, x.run = "tenant", "wt-"+rand.Text()
	x.counts, x.versions = map[Call]int{}, map[int]bool{}
	if x.maps == "" {
		x.maps = task.MapInline
	}
	if x.concurrency == 0 {
		x.concurrency = 40
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[x.tenant+"/"+x.run] = x
	return x
}

func (x *script) begin(c Call, version int) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c.Task != "Execute" && x.underWay > 0 {
		x.overlaps = append(x.overlaps, c)
	}
	x.underWay++
	x.versions[version] = true
	x.calls = append(x.calls, c)
	x.counts[c]++
	return x.counts[c] - 1
}

func (x *script) finished() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.underWay--
}

// seen returns the calls so far.
func (x *script) seen() []Call {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.calls)
}

// want is what a run's calls must be.
type want struct {
	plans, finishes int
	rounds          map[int][]int // of units that differ from others
	others          []int         // the rounds of every other unit
}

// check compares the calls of a run that is over.
func (x *script) check(t *testing.T, w want) {
	t.Helper()
	calls := x.seen()
	if len(x.overlaps) > 0 {
		t.Errorf("called while another task of the run was under way: %v", x.overlaps)
	}
	if len(x.versions) != 1 || !x.versions[task.Version] {
		t.Errorf("payload versions %v, want %d only", x.versions, task.Version)
	}
	var order []string // tasks, repetitions left out
	plans, finishes := 0, 0
	rounds := map[int][]int{}
	for _, c := range calls {
		if len(order) == 0 || order[len(order)-1] != c.Task {
			order = append(order, c.Task)
		}
		switch c.Task {
		case "Plan":
			plans++
		case "Finish":
			finishes++
		default:
			rounds[c.Unit] = append(rounds[c.Unit], c.Round)
		}
	}
	var wantOrder []string
	if w.plans > 0 {
		wantOrder = append(wantOrder, "Plan")
	}
	if len(w.others) > 0 && x.units > 0 {
		wantOrder = append(wantOrder, "Execute")
	}
	if w.finishes > 0 {
		wantOrder = append(wantOrder, "Finish")
	}
	if !slices.Equal(order, wantOrder) {
		t.Errorf("order of tasks %v, want %v", order, wantOrder)
	}
	if plans != w.plans || finishes != w.finishes {
		t.Errorf("%d calls of Plan and %d of Finish, want %d and %d", plans, finishes, w.plans, w.finishes)
	}
	if len(w.others) == 0 {
		if len(rounds) > 0 {
			t.Errorf("units were executed: %v", rounds)
		}
		return
	}
	for unit := range x.units {
		wanted, ok := w.rounds[unit]
		if !ok {
			wanted = w.others
		}
		if !slices.Equal(rounds[unit], wanted) {
			t.Errorf("rounds of unit %d: %v, want %v", unit, rounds[unit], wanted)
		}
		delete(rounds, unit)
	}
	if len(rounds) > 0 {
		t.Errorf("units that were not planned: %v", rounds)
	}
}

// start starts a run.
func (s *suite) start(t *testing.T, x *script) {
	t.Helper()
	if err := s.harness.Workflow().Start(t.Context(), x.tenant, x.run); err != nil {
		t.Fatalf("start: %v", err)
	}
}

// play starts a run and waits until it is over.
func (s *suite) play(t *testing.T, x *script) {
	t.Helper()
	s.start(t, x)
	s.harness.Over(t, x.tenant, x.run)
}

// await waits for a moment of a script.
func await(t *testing.T, moment <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-moment:
	case <-time.After(patience):
		t.Fatalf("%s did not happen within %v", what, patience)
	}
}
