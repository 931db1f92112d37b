package e2etest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"drover/internal/standalone"
)

// TestOneMachine runs the cases against the one process. Package cloudtest runs
// the same ones against the functions.
func TestOneMachine(t *testing.T) {
	const (
		password = "canary-admin-password"
		patience = 10 * time.Second
	)
	m := &machine{config: standalone.Config{
		Data: t.TempDir(), AdminPassword: password, SyncTimeout: patience, Log: slog.New(slog.DiscardHandler),
	}}
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(m)
	t.Cleanup(func() {
		server.Close()
		if err := m.stop(); err != nil {
			t.Error(err)
		}
	})
	Cases(t, Target{URL: server.URL, User: "admin", Password: password, Settle: 30 * time.Second, Patience: patience,
		Restart: func() error { return errors.Join(m.stop(), m.start()) }})
}

// machine is the one process, which can be stopped and started again on its data.
type machine struct {
	config standalone.Config
	mu     sync.RWMutex // of app: requests read it
	app    *standalone.App
	end    context.CancelFunc
	ended  chan error
}

func (m *machine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.RLock()
	app := m.app
	m.mu.RUnlock()
	app.Handler().ServeHTTP(w, r)
}

func (m *machine) start() error {
	ctx, end := context.WithCancel(context.Background())
	app, err := standalone.Open(ctx, m.config)
	if err != nil {
		end()
		return err
	}
	m.mu.Lock()
	m.app, m.end, m.ended = app, end, make(chan error, 1)
	m.mu.Unlock()
	go func() { m.ended <- app.Run(ctx) }()
	return nil
}

func (m *machine) stop() error {
	m.end()
	return errors.Join(<-m.ended, m.app.Close())
}
