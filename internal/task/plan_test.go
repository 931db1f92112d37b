package task

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"drover/internal/job"
)

// TestPlan_Batches: a distributed plan holds every unit once as a unit and once
// in a batch, and even the largest stays well within what a state machine
// carries from state to state, 256 KiB.
func TestPlan_Batches(t *testing.T) {
	l := newLab(t, 1, nil)
	f := l.functions(nil)
	targets := make([]job.Target, job.MaxUnits)
	for i := range targets {
		targets[i] = job.Target{ID: l.ids[0], Name: fmt.Sprintf("device-%d", i)}
	}
	for _, c := range []struct {
		devices, concurrency int
		timeout              time.Duration
		want                 string
	}{
		{40, 50, time.Minute, MapInline},
		{41, 50, time.Minute, MapExpress},
		{41, 50, time.Hour, MapStandard},
		{job.MaxUnits, 1, 239*time.Second - 35*time.Second, MapExpress}, // a unit to a batch: the longest plan
		{job.MaxUnits, 1000, time.Minute, MapExpress},
	} {
		limits := quick()
		limits.Timeout, limits.Concurrency = c.timeout, c.concurrency
		p, err := f.Plan(t.Context(), l.submit(jobSpec{body: "echo", targets: targets[:c.devices], limits: limits}))
		l.must(err)
		text, err := json.Marshal(p)
		l.must(err)
		if len(text) > 200<<10 {
			t.Errorf("%d devices: the plan has %d bytes", c.devices, len(text))
		}
		if p.Map != c.want || len(p.Units) != c.devices {
			t.Errorf("%d devices: map %s over %d units, want %s", c.devices, p.Map, len(p.Units), c.want)
		}
		if p.Map == MapInline {
			if p.Batches != nil || p.Children != 0 || p.Inner != 0 {
				t.Errorf("batches of an inline map: %+v", p)
			}
			continue
		}
		if !slices.Equal(slices.Concat(p.Batches...), p.Units) {
			t.Errorf("%d devices: the batches hold other units: %v", c.devices, p.Batches)
		}
		if p.Children*p.Inner > p.Concurrency || p.Children < 1 || p.Inner < 1 {
			t.Errorf("%d devices: %d children of %d units each, at most %d units at once", c.devices, p.Children, p.Inner, p.Concurrency)
		}
	}
}
