package costtest

import (
	"encoding/json"
	"testing"

	"drover/statemachines"
)

// way is how many states an execution of the definition enters when nothing goes
// wrong: itself, outside of its maps; in each child of a Distributed Map, beside
// its units; and for each unit.
type way struct{ outside, child, unit int }

// path follows the definition.
func path(t *testing.T, maps string) (w way) {
	t.Helper()
	var machine struct {
		StartAt string
		States  map[string]state
	}
	if err := json.Unmarshal([]byte(statemachines.Run), &machine); err != nil {
		t.Fatal(err)
	}
	units := func(s state) {
		if s.Type == "Map" {
			w.unit = follow(t, s.ItemProcessor.States, s.ItemProcessor.StartAt, maps, func(state) {})
		}
	}
	w.outside = follow(t, machine.States, machine.StartAt, maps, func(s state) {
		if s.Type == "Map" && s.ItemProcessor.ProcessorConfig.Mode == "DISTRIBUTED" {
			w.child = follow(t, s.ItemProcessor.States, s.ItemProcessor.StartAt, maps, units)
		} else {
			units(s)
		}
	})
	if w.unit == 0 {
		t.Fatalf("the way through a run with the map %q enters no map over units", maps)
	}
	return w
}

type state struct {
	Type, Next, Default string
	Choices             []struct {
		Next string
		And  []struct{ Variable, StringEquals string }
	}
	ItemProcessor struct {
		StartAt         string
		States          map[string]state
		ProcessorConfig struct{ Mode string }
	}
}

// follow counts the states from start on. A choice by the map's word is made; all
// others take their default, which is: not again.
func follow(t *testing.T, states map[string]state, start, maps string, entered func(state)) int {
	t.Helper()
	n := 0
	for name := start; name != ""; n++ {
		s, ok := states[name]
		if !ok || n > 20 {
			t.Fatalf("the definition's way leads to %q after %d states", name, n)
		}
		entered(s)
		name = s.Next
		if s.Type == "Choice" {
			name = s.Default
			for _, c := range s.Choices {
				for _, and := range c.And {
					if and.Variable == "$.map" && and.StringEquals == maps {
						name = c.Next
					}
				}
			}
		}
	}
	return n
}
