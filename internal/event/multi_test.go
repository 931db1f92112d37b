package event_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"drover/internal/event"
)

type sink struct {
	name string
	err  error
	got  *[]string
}

func (s sink) Publish(_ context.Context, e event.Event) error {
	*s.got = append(*s.got, s.name+" "+e.ID)
	return s.err
}

func TestMulti_AFailingSinkDoesNotHoldUpTheOthers(t *testing.T) {
	var got []string
	full, down := errors.New("full"), errors.New("down")
	m := event.Multi(sink{"a", full, &got}, sink{"b", nil, &got}, sink{"c", down, &got})
	err := m.Publish(t.Context(), event.Event{ID: "e1"})
	if !errors.Is(err, full) || !errors.Is(err, down) {
		t.Errorf("Publish = %v, want both errors", err)
	}
	if want := []string{"a e1", "b e1", "c e1"}; !slices.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
	if err := event.Multi().Publish(t.Context(), event.Event{}); err != nil {
		t.Errorf("no sinks: %v", err)
	}
}
