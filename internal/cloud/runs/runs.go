// Package runs wires package dispatch to the state machine and to EventBridge
// Scheduler, for the functions that answer requests, the trigger and the sweeper.
package runs

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"drover/internal/cloud"
	"drover/internal/cloud/bus"
	"drover/internal/dispatch"
	"drover/internal/schedule/ebschedule"
	"drover/internal/task"
	"drover/internal/workflow/sfnworkflow"
)

// Machine is what is needed to start, stop and settle runs.
type Machine struct {
	ARN string `env:"DROVER_STATE_MACHINE_ARN"`
	bus.Events
	Alarms
}

// Alarms says where the alarms of schedules are set.
type Alarms struct {
	Group       string `env:"DROVER_SCHEDULE_GROUP"`
	Trigger     string `env:"DROVER_TRIGGER_ARN"`        // the function that alarms call
	Role        string `env:"DROVER_SCHEDULER_ROLE_ARN"` // the role that may call it
	DeadLetters string `env:"DROVER_DEAD_LETTERS_ARN"`
}

// Dispatcher returns the use cases over the state machine. c holds what else
// they need; a sweeper needs nothing.
func (m Machine) Dispatcher(clients cloud.Clients, c dispatch.Config) (*dispatch.Dispatcher, error) {
	workflow, err := sfnworkflow.New(sfn.NewFromConfig(clients.AWS), m.ARN)
	if err != nil {
		return nil, err
	}
	alarms, err := ebschedule.New(ebschedule.Config{Client: scheduler.NewFromConfig(clients.AWS), Group: m.Group, Target: m.Trigger, Role: m.Role,
		DeadLetters: m.DeadLetters, Clock: time.Now})
	if err != nil {
		return nil, err
	}
	events, err := m.Sink(clients)
	if err != nil {
		return nil, err
	}
	tasks := task.New(task.Config{Store: clients.Store, Events: events, Log: clients.Log})
	c.Store, c.Workflow, c.Alarms, c.Log, c.LongestAttempt = clients.Store, workflow, alarms, clients.Log, cloud.LongestAttempt
	c.Settle = func(ctx context.Context, tenant, run string) (bool, error) {
		f, err := tasks.Finish(ctx, task.RunRef{V: task.Version, Tenant: tenant, Run: run})
		return f.Settled, err
	}
	return dispatch.New(c), nil
}
