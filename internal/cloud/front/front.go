// Package front wires the functions that answer requests. They start and stop
// executions of the state machine; they never reach a device.
package front

import (
	"context"
	"net/http"
	"os"
	"time"

	"drover/internal/api"
	"drover/internal/auth"
	"drover/internal/cloud"
	"drover/internal/cloud/depot"
	"drover/internal/cloud/runs"
	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/lambdahttp"
)

// gatewayTimeout is when a request through the gateway has nobody left to
// answer: the function may go on for longer, for its own URL.
const gatewayTimeout = 29500 * time.Millisecond

// SyncTimeout is how long a synchronous call through the gateway, which gives
// up after 30 s, waits for its run.
const SyncTimeout = 28 * time.Second

// Config is what the functions need that answer requests.
type Config struct {
	cloud.Base
	runs.Machine
	depot.Config
	Admin job.Secret `env:"DROVER_ADMIN_PASSWORD_HASH,optional"`
}

// Front is what a function that answers requests is made of.
type Front struct {
	cloud.Clients
	Dispatch *dispatch.Dispatcher
	Auth     *auth.Authenticator
}

// Open wires a function that answers requests. On the installation's first
// start it makes the user admin, if there is a hash for its password.
func Open(ctx context.Context, function string) (*Front, error) {
	var cfg Config
	if err := cloud.Read(&cfg, os.Getenv); err != nil {
		return nil, err
	}
	clients, err := cfg.Connect(ctx, function)
	if err != nil {
		return nil, err
	}
	f := &Front{Clients: clients}
	blobs, box, err := cfg.Config.Open(ctx, clients)
	if err != nil {
		return nil, err
	}
	if f.Dispatch, err = cfg.Dispatcher(clients, dispatch.Config{Box: box, Blobs: blobs}); err != nil {
		return nil, err
	}
	f.Auth = auth.New(auth.Config{Users: f.Store, Counters: f.Store, Log: f.Log})
	if cfg.Admin != "" {
		if _, err := auth.BootstrapAdminHash(ctx, f.Store, cfg.Admin.Reveal()); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Serve returns what the Lambda runtime is to call for an API family. Requests
// that come through the gateway are answered by gateway, others by patient.
func (f *Front) Serve(family string, gateway, patient http.Handler) (*lambdahttp.Handler, error) {
	viaGateway, err := api.Mux(map[string]http.Handler{family: limited(gateway, gatewayTimeout)})
	if err != nil {
		return nil, err
	}
	viaURL, err := api.Mux(map[string]http.Handler{family: patient})
	if err != nil {
		return nil, err
	}
	return lambdahttp.New(viaGateway, viaURL, f.Log), nil
}

// limited ends the context of requests after a while.
func limited(h http.Handler, after time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), after)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}
