package main

import (
	"slices"
	"testing"

	"drover/internal/cloud"
	"drover/internal/cloud/executor"
	"drover/internal/cloud/finisher"
	"drover/internal/cloud/front"
	"drover/internal/cloud/planner"
	"drover/internal/cloud/runs"
	"drover/internal/cloud/trigger"
)

// TestDeclaredNeeds compares the variables that the template gives to each
// function with those that its config struct declares.
func TestDeclaredNeeds(t *testing.T) {
	needs := map[string]any{
		"enms": &front.Config{}, "console": &front.Config{},
		"foreman": &struct {
			front.Config
			EffectiveUser string `env:"DROVER_FOREMAN_EFFECTIVE_USER,optional"` // as in its main.go
		}{},
		"planner": &planner.Config{}, "finisher": &finisher.Config{},
		"executor": &executor.Config{}, "sweeper": &runs.SweeperConfig{}, "trigger": &trigger.Config{},
	}
	for _, f := range functions() {
		want := slices.Sorted(slices.Values(cloud.Variables(needs[f.name])))
		if got := slices.Sorted(slices.Values(f.env)); !slices.Equal(got, want) {
			t.Errorf("%s gets %v and needs %v", f.name, got, want)
		}
		if f.name == "executor" && f.seconds != cloud.Invocation.Seconds() {
			t.Errorf("an invocation of the executor ends after %g s, the code counts on %s", f.seconds, cloud.Invocation)
		}
	}
	if len(needs) != len(functions()) {
		t.Errorf("%d functions, %d with declared needs", len(functions()), len(needs))
	}
}
