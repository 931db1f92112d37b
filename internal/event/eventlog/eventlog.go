// Package eventlog writes events to the log: one record each, at level info, or
// warn for a host key that changed.
package eventlog

import (
	"context"
	"log/slog"

	"drover/internal/event"
)

// Sink is an event.Sink. It never fails.
type Sink struct{ log *slog.Logger }

// New returns a sink that writes to log.
func New(log *slog.Logger) *Sink { return &Sink{log: log} }

// Publish writes one record, with the message "event" and the attributes kind,
// event (the ID), tenant, and those of run, service, status, reason, counts,
// device and detail that the event has.
func (s *Sink) Publish(ctx context.Context, e event.Event) error {
	level := slog.LevelInfo
	if e.Kind == event.HostKeyChanged {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("kind", e.Kind), slog.String("event", e.ID), slog.String("tenant", e.Tenant)}
	for _, a := range []slog.Attr{
		slog.String("run", e.Run), slog.String("service", e.Service), slog.String("status", string(e.Status)),
		slog.String("reason", e.Reason), slog.String("device", e.Device), slog.String("detail", e.Detail),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if e.Counts != nil {
		attrs = append(attrs, slog.Any("counts", *e.Counts))
	}
	s.log.LogAttrs(ctx, level, "event", attrs...)
	return nil
}
