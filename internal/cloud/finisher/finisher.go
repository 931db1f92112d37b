// Package finisher wires the task Finish of the state machine.
package finisher

import (
	"context"
	"os"

	"drover/internal/cloud"
	"drover/internal/cloud/bus"
	"drover/internal/task"
)

// Config is what the finisher needs.
type Config struct {
	cloud.Base
	bus.Events
}

// Open wires the finisher.
func Open(ctx context.Context) (*task.Functions, error) {
	var cfg Config
	if err := cloud.Read(&cfg, os.Getenv); err != nil {
		return nil, err
	}
	clients, err := cfg.Connect(ctx, "finisher")
	if err != nil {
		return nil, err
	}
	events, err := cfg.Sink(clients)
	if err != nil {
		return nil, err
	}
	return task.New(task.Config{Store: clients.Store, Events: events, Log: clients.Log,
		Limits: task.Deployment{Invocation: cloud.Invocation, Throttled: true}}), nil
}
