// Package planner wires the task Plan of the state machine.
package planner

import (
	"context"
	"os"

	"drover/internal/cloud"
	"drover/internal/task"
)

// Config is what the planner needs.
type Config struct {
	cloud.Base
	Concurrency int `env:"DROVER_CONCURRENCY"` // most units of a run at once
}

// Open wires the planner.
func Open(ctx context.Context) (*task.Functions, error) {
	var cfg Config
	if err := cloud.Read(&cfg, os.Getenv); err != nil {
		return nil, err
	}
	clients, err := cfg.Connect(ctx, "planner")
	if err != nil {
		return nil, err
	}
	return task.New(task.Config{Store: clients.Store, Log: clients.Log,
		Limits: task.Deployment{Invocation: cloud.Invocation, Throttled: true, Concurrency: cfg.Concurrency}}), nil
}
