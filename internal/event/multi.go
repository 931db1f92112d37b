package event

import (
	"context"
	"errors"
)

// Multi returns a sink that hands every event to all sinks, in order. One that
// fails does not keep the event from the others; Publish joins their errors.
func Multi(sinks ...Sink) Sink { return multi(sinks) }

type multi []Sink

func (m multi) Publish(ctx context.Context, e Event) error {
	var errs []error
	for _, s := range m {
		errs = append(errs, s.Publish(ctx, e))
	}
	return errors.Join(errs...)
}
