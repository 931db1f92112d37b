// Package runs wires package dispatch to the state machine, for the functions
// that answer requests and for the sweeper.
package runs

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"drover/internal/cloud"
	"drover/internal/cloud/bus"
	"drover/internal/dispatch"
	"drover/internal/task"
	"drover/internal/workflow/sfnworkflow"
)

// Machine is what is needed to start, stop and settle runs.
type Machine struct {
	ARN string `env:"DROVER_STATE_MACHINE_ARN"`
	bus.Events
}

// Dispatcher returns the use cases over the state machine. c holds what else
// they need; a sweeper needs nothing.
func (m Machine) Dispatcher(clients cloud.Clients, c dispatch.Config) (*dispatch.Dispatcher, error) {
	workflow, err := sfnworkflow.New(sfn.NewFromConfig(clients.AWS), m.ARN)
	if err != nil {
		return nil, err
	}
	events, err := m.Sink(clients)
	if err != nil {
		return nil, err
	}
	tasks := task.New(task.Config{Store: clients.Store, Events: events, Log: clients.Log})
	c.Store, c.Workflow, c.Log, c.LongestAttempt = clients.Store, workflow, clients.Log, cloud.LongestAttempt
	c.Settle = func(ctx context.Context, tenant, run string) (bool, error) {
		f, err := tasks.Finish(ctx, task.RunRef{V: task.Version, Tenant: tenant, Run: run})
		return f.Settled, err
	}
	return dispatch.New(c), nil
}
