package costtest

import (
	"encoding/json"
	"testing"

	"drover/statemachines"
)

// path counts the states that an execution of the definition enters when nothing
// goes wrong: outside of its map, and inside for each unit.
func path(t *testing.T, maps string) (outside, inside int) {
	t.Helper()
	var machine struct {
		StartAt string
		States  map[string]state
	}
	if err := json.Unmarshal([]byte(statemachines.Run), &machine); err != nil {
		t.Fatal(err)
	}
	outside = follow(t, machine.States, machine.StartAt, maps, func(s state) {
		if s.Type == "Map" {
			inside = follow(t, s.ItemProcessor.States, s.ItemProcessor.StartAt, maps, func(state) {})
		}
	})
	if inside == 0 {
		t.Fatalf("the way through a run with the map %q enters no map", maps)
	}
	return outside, inside
}

type state struct {
	Type, Next, Default string
	Choices             []struct {
		Next string
		And  []struct{ Variable, StringEquals string }
	}
	ItemProcessor struct {
		StartAt string
		States  map[string]state
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
