package e2etest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"drover/internal/standalone"
)

// TestOneMachine runs the cases against the one process. Package cloudtest runs
// the same ones against the functions.
func TestOneMachine(t *testing.T) {
	const password = "canary-admin-password"
	app, err := standalone.Open(t.Context(), standalone.Config{
		Data: t.TempDir(), AdminPassword: password, SyncTimeout: 28 * time.Second, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- app.Run(ctx) }()
	server := httptest.NewServer(app.Handler())
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	})
	Cases(t, Target{URL: server.URL, User: "admin", Password: password, Settle: 30 * time.Second})
}
