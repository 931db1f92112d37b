// Package event is the port through which the service tells others what
// happened. Delivery is at least once and best effort: a sink that fails is
// logged and never holds up or fails a run.
package event

import (
	"context"
	"time"

	"drover/internal/job"
)

// Kinds of events.
const (
	RunEnded       = "run.ended"
	HostKeyChanged = "host_key.changed"
)

// Event is one thing that happened. It holds no secret and no device output.
type Event struct {
	ID      string      `json:"id"` // the same when delivered again
	Kind    string      `json:"kind"`
	Time    time.Time   `json:"time"`
	Tenant  string      `json:"tenant"`
	Run     string      `json:"run,omitempty"`
	Service string      `json:"service,omitempty"`
	Status  job.Status  `json:"status,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Counts  *job.Counts `json:"counts,omitempty"`
	Device  string      `json:"device,omitempty"`
	Detail  string      `json:"detail,omitempty"`
}

// Sink takes events. Publish returns when the event is handed over.
type Sink interface {
	Publish(ctx context.Context, e Event) error
}
