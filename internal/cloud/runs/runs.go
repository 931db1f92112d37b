// Package runs wires package dispatch to the state machine, for the functions
// that answer requests and for the sweeper.
package runs

import (
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"drover/internal/cloud"
	"drover/internal/dispatch"
	"drover/internal/event/eventlog"
	"drover/internal/task"
	"drover/internal/workflow/sfnworkflow"
)

// Machine is what is needed to start, stop and settle runs.
type Machine struct {
	ARN string `env:"DROVER_STATE_MACHINE_ARN"`
}

// Dispatcher returns the use cases over the state machine. c holds what else
// they need; a sweeper needs nothing.
func (m Machine) Dispatcher(clients cloud.Clients, c dispatch.Config) (*dispatch.Dispatcher, error) {
	workflow, err := sfnworkflow.New(sfn.NewFromConfig(clients.AWS), m.ARN)
	if err != nil {
		return nil, err
	}
	tasks := task.New(task.Config{Store: clients.Store, Events: eventlog.New(clients.Log), Log: clients.Log})
	c.Store, c.Workflow, c.Log, c.LongestAttempt = clients.Store, workflow, clients.Log, cloud.LongestAttempt
	c.Settle = func(ctx context.Context, tenant, run string) (bool, error) {
		f, err := tasks.Finish(ctx, task.RunRef{V: task.Version, Tenant: tenant, Run: run})
		return f.Settled, err
	}
	return dispatch.New(c), nil
}

// SweeperConfig is what the sweeper needs.
type SweeperConfig struct {
	cloud.Base
	Machine
}

// Sweeper returns the function that is called every minute, with whatever
// event. It fails when a run could not be looked after, so that the failure
// shows; the next minute tries again.
func Sweeper(ctx context.Context) (func(context.Context) (dispatch.Swept, error), error) {
	var cfg SweeperConfig
	if err := cloud.Read(&cfg, os.Getenv); err != nil {
		return nil, err
	}
	clients, err := cfg.Connect(ctx, "sweeper")
	if err != nil {
		return nil, err
	}
	d, err := cfg.Dispatcher(clients, dispatch.Config{})
	if err != nil {
		return nil, err
	}
	return d.Sweep, nil
}
