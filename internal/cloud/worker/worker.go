// Package worker wires the tasks of the state machine that reach no device: Plan
// and Finish.
package worker

import (
	"context"
	"os"

	"drover/internal/cloud"
	"drover/internal/event/eventlog"
	"drover/internal/task"
)

// PlannerConfig is what the planner needs.
type PlannerConfig struct {
	cloud.Base
	Concurrency int `env:"DROVER_CONCURRENCY"` // most units of a run at once
}

// FinisherConfig is what the finisher needs.
type FinisherConfig struct{ cloud.Base }

// OpenPlanner wires the planner.
func OpenPlanner(ctx context.Context) (*task.Functions, error) {
	var cfg PlannerConfig
	if err := cloud.Read(&cfg, os.Getenv); err != nil {
		return nil, err
	}
	clients, err := cfg.Connect(ctx, "planner")
	if err != nil {
		return nil, err
	}
	t := tasks(clients)
	t.Limits.Concurrency = cfg.Concurrency
	return task.New(t), nil
}

// OpenFinisher wires the finisher.
func OpenFinisher(ctx context.Context) (*task.Functions, error) {
	var cfg FinisherConfig
	if err := cloud.Read(&cfg, os.Getenv); err != nil {
		return nil, err
	}
	clients, err := cfg.Connect(ctx, "finisher")
	if err != nil {
		return nil, err
	}
	return task.New(tasks(clients)), nil
}

func tasks(c cloud.Clients) task.Config {
	return task.Config{Store: c.Store, Events: eventlog.New(c.Log), Log: c.Log,
		Limits: task.Deployment{Invocation: cloud.Invocation, Throttled: true}}
}
