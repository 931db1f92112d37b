// Package executor wires the task Execute of the state machine.
package executor

import (
	"context"
	"crypto/rand"
	"os"

	"drover/internal/cloud"
	"drover/internal/cloud/bus"
	"drover/internal/cloud/depot"
	"drover/internal/device/sshdevice"
	"drover/internal/task"
)

// Config is what the executor needs.
type Config struct {
	cloud.Base
	depot.Config
	bus.Events
}

// Open wires the executor. Claims carry a name that no other process has ever
// had.
func Open(ctx context.Context) (*task.Functions, error) {
	var cfg Config
	if err := cloud.Read(&cfg, os.Getenv); err != nil {
		return nil, err
	}
	clients, err := cfg.Connect(ctx, "executor")
	if err != nil {
		return nil, err
	}
	events, err := cfg.Sink(clients)
	if err != nil {
		return nil, err
	}
	blobs, box, err := cfg.Config.Open(ctx, clients)
	if err != nil {
		return nil, err
	}
	return task.New(task.Config{
		Store: clients.Store, Blobs: blobs, Box: box, Events: events, Log: clients.Log,
		Dialer: sshdevice.New(sshdevice.Config{Log: clients.Log}),
		Owner:  rand.Text(),
		Limits: task.Deployment{Invocation: cloud.Invocation, Throttled: true},
	}), nil
}
