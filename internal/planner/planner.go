// Package planner decides how a run is carried out: how many devices one unit
// holds, how the units are mapped over, how many of them run at once, and by
// when the run must be over. It is pure: values in, values out.
package planner

import (
	"time"

	"drover/internal/job"
)

// Map is the way in which a run's units are mapped over.
type Map string

// The maps. Their words travel in the state machine's data.
const (
	None     Map = "none"     // no unit: straight to the end
	Inline   Map = "inline"   // in the execution itself
	Express  Map = "express"  // distributed, Express children
	Standard Map = "standard" // distributed, Standard children
)

// What the state machine and its service bound.
const (
	// MaxInline is how many units an inline map takes: as many as it runs at once.
	MaxInline = 40
	// MaxHistory is how many history events an inline map, in a child too, may
	// come to. The service ends an execution at 25,000.
	MaxHistory = 18_000
	// EventsPerRound is how many history events one call of Execute makes,
	// with its choice and its wait.
	EventsPerRound = 9
	// MaxExpress is how long a unit on an Express child may take; the service
	// ends such a child at 300 s.
	MaxExpress = 240 * time.Second
	// ThrottleAllowance is how long the retries of a throttled call may take:
	// 30 attempts, at most 20 s apart.
	ThrottleAllowance = 30 * 20 * time.Second
	// AttemptOverhead is how long an attempt may take beyond its time limit:
	// 30 s for connecting and killing, 5 s for recording.
	AttemptOverhead = 35 * time.Second
	// Margin is added to every deadline.
	Margin = 2 * time.Minute
	// MaxRun is the longest that a deadline is away, whatever the formula
	// says. Rows of a run are kept at least that long.
	MaxRun = 7 * 24 * time.Hour
)

// Deployment is what the place where units run can do.
type Deployment struct {
	// Concurrency bounds the units of one run at once; 0: only the job does.
	Concurrency int
	// Invocation is how long one call of Execute may work; 0: without end.
	Invocation time.Duration
	// HeldWait is the longest wait between two attempts that Execute holds
	// itself; for a longer one it answers "again".
	HeldWait time.Duration
	// Throttled says that calls may be throttled, which the deadline allows for.
	Throttled bool
}

// Input is all that a plan depends on.
type Input struct {
	Devices    int // of the run
	Limits     job.Limits
	RunLimit   time.Duration // of the job on the whole run; 0: none
	Detached   bool          // commands run apart from the calls of Execute that look after them
	Deployment Deployment
	Now        time.Time
}

// Output is the plan.
type Output struct {
	Map            Map
	Units          int
	DevicesPerUnit int // the last unit may hold fewer
	Concurrency    int // units at once, at least 1
	Batching           // of a distributed map; zero for the others
	Deadline       time.Time
}

// Plan makes the plan of a run.
//
// Up to 10,000 devices a unit is one device; above that units hold as many
// devices as keep the units at 10,000 or fewer, in target order.
//
// The map is inline for at most MaxInline units whose worst case stays under
// MaxHistory events; otherwise distributed: Express children when the attempts
// and waits of a unit, worst case, take less than MaxExpress, Standard children
// otherwise. Children work on batches of units, see Batching.
//
// The deadline is
//
//	now + min(RunLimit, ceil(units/concurrency) × devices per unit × worst) + 2 min
//
// where worst is the worst case of one device:
//
//	attempts × (time limit + 35 s) + (attempts − 1) × wait + throttling
//
// (15 min more for an attempt that runs detached: a device that is away for a moment
// is waited for, and its end may be seen a whole spacing later) with attempts from job.Limits.MaxAttempts, and throttling 10 min where calls
// may be throttled and 0 elsewhere. It is at most MaxRun (7 days) away.
func Plan(in Input) Output {
	if in.Devices <= 0 {
		return Output{Map: None, DevicesPerUnit: 1, Concurrency: 1, Deadline: in.Now.Add(Margin)}
	}
	out := Output{DevicesPerUnit: ceil(in.Devices, job.MaxUnits)}
	out.Units = ceil(in.Devices, out.DevicesPerUnit)
	out.Concurrency = concurrency(in, out.Units)
	out.Map = chooseMap(in, out)
	if out.Map != Inline {
		out.Batching = batch(out.Map, out.Units, out.Concurrency, scale(deviceTime(in), out.DevicesPerUnit), unitEvents(in, out))
	}
	out.Deadline = deadline(in, out)
	return out
}

// Range returns the devices of a unit: indexes from first up to but not
// including end.
func Range(unit, devicesPerUnit, devices int) (first, end int) {
	first = unit * devicesPerUnit
	return min(first, devices), min(first+devicesPerUnit, devices)
}

func concurrency(in Input, units int) int {
	n := units
	if c := in.Limits.Concurrency; c > 0 {
		n = min(n, c)
	}
	if c := in.Deployment.Concurrency; c > 0 {
		n = min(n, c)
	}
	return max(1, n)
}

func chooseMap(in Input, out Output) Map {
	if out.Units <= MaxInline && out.Units*unitEvents(in, out)+EventsPerMap < MaxHistory {
		return Inline
	}
	if scale(deviceTime(in), out.DevicesPerUnit) < MaxExpress {
		return Express
	}
	return Standard
}

// unitEvents is how many history events one unit may make.
func unitEvents(in Input, out Output) int {
	return out.DevicesPerUnit*rounds(in)*EventsPerRound + EventsPerUnit
}

// deviceTime is the worst case of one device's attempts and waits.
func deviceTime(in Input) time.Duration {
	n := in.Limits.MaxAttempts()
	return add(scale(attemptTime(in), n), scale(max(0, in.Limits.Retries.Wait), n-1))
}

func attemptTime(in Input) time.Duration {
	t := add(max(0, in.Limits.Timeout), AttemptOverhead)
	if in.Detached {
		t = add(t, job.DetachGrace+lastSpacing)
	}
	return t
}

// rounds is how many calls of Execute one device can need. Attempts share a call
// as far as its time and the waits allow. An executor that is lost leaves a
// claim behind that is waited for by rounds of growing length; that happens once
// where it ends the device's work, and for every attempt where unknown attempts
// are repeated. A command that runs detached is looked at in rounds of the same
// lengths.
func rounds(in Input) int {
	l := in.Limits
	attempts := min(l.MaxAttempts(), MaxHistory) // more is over the limit anyway
	if in.Detached {
		return scaleInt(attempts, 1+polls(attemptTime(in)))
	}
	perCall := attempts
	if l.Retries.Wait > in.Deployment.HeldWait {
		perCall = 1
	} else if in.Deployment.Invocation > 0 {
		each := add(attemptTime(in), max(0, l.Retries.Wait))
		perCall = int(max(1, min(int64(attempts), int64(in.Deployment.Invocation/each))))
	}
	lost := 1
	if l.OnUnknown == job.OnUnknownRepeat {
		lost = attempts
	}
	return ceil(attempts, perCall) + lost*polls(attemptTime(in))
}

// polls is how many rounds it takes to wait for d.
func polls(d time.Duration) int {
	n := 0
	for d > 0 && n < MaxHistory {
		d -= Spacing(n)
		n++
	}
	return n
}

// The spacing of rounds that wait for somebody else's claim.
const (
	firstSpacing = 20 * time.Second
	lastSpacing  = 300 * time.Second
)

// Spacing is the wait after round n (from 0) when nothing says how long to
// wait: 20 s, then 1.5 times more each time, up to 300 s.
func Spacing(n int) time.Duration {
	s := firstSpacing
	for range min(n, 20) {
		s = min(s*3/2, lastSpacing)
	}
	return s
}

func deadline(in Input, out Output) time.Time {
	device := deviceTime(in)
	if in.Deployment.Throttled {
		device = add(device, ThrottleAllowance)
	}
	worst := scale(device, ceil(out.Units, out.Concurrency)*out.DevicesPerUnit)
	if in.RunLimit > 0 {
		worst = min(worst, in.RunLimit)
	}
	return in.Now.Add(min(add(worst, Margin), MaxRun))
}

func ceil(a, b int) int { return (a + b - 1) / b }

// add and scale stop at the longest duration instead of turning negative.
func add(a, b time.Duration) time.Duration {
	if a > maxDuration-b {
		return maxDuration
	}
	return a + b
}

func scale(d time.Duration, n int) time.Duration {
	if n <= 0 || d <= 0 {
		return 0
	}
	if d > maxDuration/time.Duration(n) {
		return maxDuration
	}
	return d * time.Duration(n)
}

// scaleInt multiplies numbers of rounds: more than MaxHistory is over the limit
// anyway.
func scaleInt(a, b int) int { return min(a, MaxHistory) * min(b, MaxHistory) }

const maxDuration = time.Duration(1<<63 - 1)
