// Package trigger wires the function that EventBridge Scheduler calls when an alarm rings.
package trigger

import (
	"context"
	"os"
	"time"

	"drover/internal/cloud"
	"drover/internal/cloud/runs"
	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/schedule"
	"drover/internal/schedule/ebschedule"
)

// Config is what the trigger needs.
type Config struct {
	cloud.Base
	runs.Machine
}

// Open returns the function. Where it fails Lambda calls it once more, and puts
// the event to the dead letters then; the sweeper starts the run.
func Open(ctx context.Context) (func(context.Context, ebschedule.Event) error, error) {
	var cfg Config
	if err := cloud.Read(&cfg, os.Getenv); err != nil {
		return nil, err
	}
	clients, err := cfg.Connect(ctx, "trigger")
	if err != nil {
		return nil, err
	}
	d, err := cfg.Dispatcher(clients, dispatch.Config{})
	if err != nil {
		return nil, err
	}
	return handler{fire: d.Fire, schedule: clients.Store.Schedule, now: clients.Store.Now}.ring, nil
}

type handler struct {
	fire     schedule.Fire
	schedule func(ctx context.Context, tenant string, id int64) (job.Schedule, error)
	now      func() time.Time
}

// ahead is how much the clock of Scheduler may be ahead of this function's.
const ahead = 5 * time.Second

func (h handler) ring(ctx context.Context, e ebschedule.Event) error {
	if e.V != ebschedule.Version || e.Tenant == "" || e.Schedule <= 0 {
		return job.Errorf(job.Invalid, "an event of version %d that this version does not understand", e.V)
	}
	planned, ok := e.Planned()
	if !ok {
		s, err := h.schedule(ctx, e.Tenant, e.Schedule)
		if job.CodeOf(err) == job.NotFound || err == nil && s.Next == nil {
			return nil // nothing is to come any more
		}
		if err != nil {
			return err
		}
		planned = *s.Next
	}
	if wait := planned.Sub(h.now()); wait > 0 && wait <= ahead {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return job.Wrap(job.Canceled, ctx.Err(), "wait for an occurrence")
		}
	}
	return h.fire(ctx, e.Tenant, e.Schedule, planned)
}
