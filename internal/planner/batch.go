package planner

import "time"

// MaxBatch is how many units a child of a Distributed Map may hold. A child maps
// over them inline, and an inline map runs that many at once.
const MaxBatch = 40

// What else an execution's history holds beside the rounds of its units.
const (
	// EventsPerUnit: an iteration's start and end, and its last state.
	EventsPerUnit = 4
	// EventsPerMap: the execution and its map, entered, started and ended.
	EventsPerMap = 6
)

// Batching is how a Distributed Map works through units: its children take a
// batch of units each, so that a run pays for few children.
type Batching struct {
	Batches  int // one child each; 0: the units are not batched
	Children int // children at once
	Inner    int // units at once in one child
}

// Batch returns the units of a batch: from first up to but not including end.
// Batches differ by one unit at most and keep the units' order.
func (b Batching) Batch(batch, units int) (first, end int) {
	return batch * units / b.Batches, (batch + 1) * units / b.Batches
}

const (
	// batchWorth is a size under which a batch is too small for its price, where
	// a larger one can be had.
	batchWorth = 10
	// childPrice is what a child costs, in units: a start is a state transition,
	// and nearly three times what a unit of two seconds costs on an Express child.
	childPrice = 3
)

// batch divides units that run on children of a Distributed Map. worst is the
// longest that a unit takes, events what it may add to a history.
//
// Never more than limit units run at once, and at least 95 % of as many as limit
// and units allow. On Express children a batch is over within MaxExpress, on
// Standard ones its history stays under MaxHistory. Among the divisions that do
// so, those of batches of at least batchWorth units come first; then the one of
// which the product of time and price is smallest. A batch ends with its slowest
// unit, which the others' places wait for, so small batches of few units at once
// take less time and large ones cost less.
func batch(m Map, units, limit int, worst time.Duration, events int) Batching {
	rounds, most := MaxBatch, MaxBatch
	if m == Express {
		rounds = int(min((MaxExpress-1)/max(1, worst), MaxBatch))
	} else {
		most = min(most, (MaxHistory-1-EventsPerMap)/events)
	}
	rounds, most = max(1, rounds), max(1, most)

	var best Batching
	var bestSmall bool
	var bestScore int
	want := min(limit, units)
	for inner := min(most, want); inner >= 1; inner-- {
		for r := 1; r <= rounds && r*inner <= most; r++ {
			b := Batching{Batches: ceil(units, r*inner), Inner: inner}
			b.Children = min(limit/inner, b.Batches)
			if 100*b.reach(units) < 95*want {
				continue
			}
			small := units/b.Batches < batchWorth
			score := b.time(units) * (units + childPrice*b.Batches)
			if best.Batches == 0 || bestSmall && !small || small == bestSmall && score < bestScore {
				best, bestSmall, bestScore = b, small, score
			}
		}
	}
	return best
}

// time is how long the batches take, in tenths of what a unit does, where one
// unit in fifty takes five times longer.
func (b Batching) time(units int) int {
	size := ceil(units, b.Batches)
	return ceil(b.Batches, b.Children) * (10*ceil(size, b.Inner) + size)
}

// reach is how many units run at once, at least, while every child has a batch.
func (b Batching) reach(units int) int {
	small, larger := units/b.Batches, units%b.Batches // batches of one unit more
	larger = max(0, larger-(b.Batches-b.Children))    // of which the others may take as many
	return larger*min(small+1, b.Inner) + (b.Children-larger)*min(small, b.Inner)
}
