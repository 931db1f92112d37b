// Package bus opens what tells others of events, for the functions that have
// something to tell.
package bus

import (
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"drover/internal/cloud"
	"drover/internal/event"
	"drover/internal/event/busevents"
	"drover/internal/event/eventlog"
)

// Events says who is told.
type Events struct {
	Bus string `env:"DROVER_EVENT_BUS,optional"` // none: only the log
}

// Sink returns the log and, if there is one, the bus. It calls nothing.
func (cfg Events) Sink(c cloud.Clients) (event.Sink, error) {
	log := eventlog.New(c.Log)
	if cfg.Bus == "" {
		return log, nil
	}
	bus, err := busevents.New(busevents.Config{Client: eventbridge.NewFromConfig(c.AWS), Bus: cfg.Bus})
	if err != nil {
		return nil, err
	}
	return event.Multi(log, bus), nil
}
