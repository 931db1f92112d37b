package planner

import (
	"testing"
	"time"

	"drover/internal/job"

	"pgregory.net/rapid"
)

func TestPlan_Batches(t *testing.T) {
	for _, c := range []struct {
		name    string
		devices int
		limits  job.Limits
		want    Batching
	}{
		{"inline", 40, limits(time.Minute, 0, 0), Batching{}},
		{"nothing to do", 0, limits(time.Minute, 0, 0), Batching{}},
		{"a thousand, two rounds in a child", 1000, limits(time.Minute, 0, 0), Batching{Batches: 100, Children: 10, Inner: 5}},
		{"a thousand, one round in a child", 1000, limits(200*time.Second, 0, 0), Batching{Batches: 100, Children: 5, Inner: 10}},
		{"a thousand long ones", 1000, limits(5*time.Minute, 0, 0), Batching{Batches: 50, Children: 50, Inner: 1}},
		{"ten thousand", 10_000, wide(limits(time.Minute, 0, 0), 1000), Batching{Batches: 1000, Children: 200, Inner: 5}},
		{"all at once", 200, wide(limits(time.Minute, 0, 0), 500), Batching{Batches: 20, Children: 20, Inner: 10}},
		{"one after another", 100, wide(limits(time.Minute, 0, 0), 1), Batching{Batches: 50, Children: 1, Inner: 1}},
		{"a history of its own for each", 50, limits(time.Second, 1<<40, time.Hour), Batching{Batches: 50, Children: 50, Inner: 1}},
	} {
		d := cloud()
		d.Concurrency = 0
		if got := Plan(Input{Devices: c.devices, Limits: c.limits, Deployment: d, Now: start}); got.Batching != c.want {
			t.Errorf("%s: %s %+v, want %+v", c.name, got.Map, got.Batching, c.want)
		}
	}
}

func wide(l job.Limits, concurrency int) job.Limits {
	l.Concurrency = concurrency
	return l
}

// What the pricing of the budgets rests on: a thousand devices at a service's
// default take a hundred children at most, whatever their time limit.
func TestPlan_FewChildrenByDefault(t *testing.T) {
	for seconds := 1; seconds < 1000; seconds++ {
		got := Plan(Input{Devices: 1000, Limits: limits(time.Duration(seconds)*time.Second, 0, 0), Deployment: cloud(), Now: start})
		if got.Batches > 100 {
			t.Fatalf("%d s: %s %+v", seconds, got.Map, got.Batching)
		}
	}
}

// The laws of batches, for all that a plan may be asked.
func TestBatches_Laws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := Input{
			Devices: rapid.IntRange(1, 25_000).Draw(t, "devices"),
			Limits: job.Limits{
				Timeout:     time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "timeout")),
				Concurrency: rapid.IntRange(1, 12_000).Draw(t, "concurrency"),
				Retries: job.Retries{
					Count: rapid.SampledFrom([]int{0, 0, 1, 3, 100, 5000}).Draw(t, "retries"),
					Wait:  rapid.SampledFrom([]time.Duration{0, 5 * time.Second, time.Minute, time.Hour}).Draw(t, "wait"),
				},
				OnUnknown: rapid.SampledFrom([]job.OnUnknown{job.OnUnknownReport, job.OnUnknownRepeat}).Draw(t, "unknown"),
			},
			Deployment: Deployment{Concurrency: rapid.IntRange(0, 2000).Draw(t, "deployment"), Invocation: 14 * time.Minute, HeldWait: 30 * time.Second},
			Now:        start,
		}
		out := Plan(in)
		if out.Map == Inline {
			if out.Batching != (Batching{}) {
				t.Fatalf("batches of an inline map: %+v", out.Batching)
			}
			return
		}

		// Every unit once, in order, and no batch empty or over its size.
		next, largest := 0, 0
		var sizes []int
		for b := range out.Batches {
			first, end := out.Batch(b, out.Units)
			if first != next || end <= first || end-first > MaxBatch {
				t.Fatalf("batch %d holds [%d,%d) after %d", b, first, end, next)
			}
			next, largest = end, max(largest, end-first)
			sizes = append(sizes, end-first)
		}
		if next != out.Units {
			t.Fatalf("batches end at %d of %d units", next, out.Units)
		}

		// Never more at once than the limit; 95 % of it where there are units.
		if out.Inner < 1 || out.Inner > MaxBatch || out.Children < 1 || out.Children*out.Inner > out.Concurrency {
			t.Fatalf("%+v with a limit of %d", out.Batching, out.Concurrency)
		}
		if least := leastOf(sizes, out.Children, out.Inner); 100*least < 95*min(out.Concurrency, out.Units) {
			t.Fatalf("%d at once of %d units with a limit of %d: %+v", least, out.Units, out.Concurrency, out.Batching)
		}

		// A child ends before its service ends it.
		if out.Map == Express {
			if took := time.Duration(ceil(largest, out.Inner)*out.DevicesPerUnit) * deviceTime(in); took >= MaxExpress {
				t.Fatalf("a batch of %d may take %s, %d units at once", largest, took, out.Inner)
			}
		} else if events := largest*unitEvents(in, out) + EventsPerMap; events >= MaxHistory && largest > 1 {
			t.Fatalf("a batch of %d may make %d events", largest, events)
		}
	})
}

// leastOf is how many units run at once in the least busy moment in which every
// child has a new batch.
func leastOf(sizes []int, children, inner int) int {
	least := 1 << 30
	for first := 0; first+children <= len(sizes); first++ {
		n := 0
		for _, size := range sizes[first : first+children] {
			n += min(size, inner)
		}
		least = min(least, n)
	}
	return least
}
