// Package standalone wires the whole service into one process on one machine:
// an embedded store, a workflow in plain Go, blobs in a folder, secrets under a
// key file. It decides nothing that the cloud's wiring does not decide too;
// what differs is which driver stands behind a port.
//
// Everything lies in one folder: drover.db (the data file), drover.key (the key
// that seals secrets), blobs/ (large outputs).
package standalone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"drover/internal/api"
	"drover/internal/api/enms"
	"drover/internal/api/foreman"
	"drover/internal/auth"
	"drover/internal/blob/folderblob"
	"drover/internal/console"
	"drover/internal/device/sshdevice"
	"drover/internal/dispatch"
	"drover/internal/event"
	"drover/internal/event/eventlog"
	"drover/internal/event/webhook"
	"drover/internal/job"
	"drover/internal/metrics"
	"drover/internal/schedule/localschedule"
	"drover/internal/secret"
	"drover/internal/store"
	"drover/internal/store/boltstore"
	"drover/internal/task"
	"drover/internal/workflow/localworkflow"
)

// The files of the data folder.
const (
	DataFile = "drover.db"
	KeyFile  = "drover.key"
	BlobDir  = "blobs"
)

// Config adjusts an App. Data is required; the zero value of all else is
// usable.
type Config struct {
	Data    string // folder; made when there is none
	Version string
	Log     *slog.Logger

	// AdminPassword is the password of the user admin that the first start
	// makes; empty: a random one (App.GeneratedPassword).
	AdminPassword job.Secret

	Keep          time.Duration // retention of runs after their end; 0: for ever
	Concurrency   int           // devices at once over all runs; 0: DefaultConcurrency
	ConnsPerSec   float64       // new SSH connections per second; 0: no limit
	SyncTimeout   time.Duration // longest synchronous answer; 0: as long as the caller waits
	AsyncDefault  bool          // eNMS: run_service without "async" is asynchronous
	Trigger       string        // eNMS: the word for runs started through its API
	EffectiveUser string        // Foreman: who a script runs as when nothing says; see its package
	WebhookURL    string        // told when a run ends; may be empty
	WebhookSecret job.Secret    // signs what is sent there
	WebhookGrace  time.Duration // how long Drain waits for it; 0: DefaultWebhookGrace
	TrustProxy    bool          // take the caller's address from X-Forwarded-For

	Clock func() time.Time // nil: time.Now
}

// DefaultConcurrency is how many devices the process works on at once.
const DefaultConcurrency = 500

// DefaultWebhookGrace is how long a drain waits for the receiver of the events:
// it may be down for hours, and nothing is answered meanwhile.
const DefaultWebhookGrace = 10 * time.Second

// sweepEvery is how often overdue and unstarted runs are looked for.
const sweepEvery = 5 * time.Second

// App is the service. Handler answers as soon as Open has returned; runs make
// progress while Run is running.
type App struct {
	cfg       Config
	log       *slog.Logger
	bolt      *boltstore.Store
	store     *store.Store
	dispatch  *dispatch.Dispatcher
	tasks     *task.Functions
	workflow  *localworkflow.Workflow
	alarms    *localschedule.Alarms
	metrics   *metrics.Metrics
	webhook   *webhook.Sink
	handler   http.Handler
	generated job.Secret
	open      atomic.Int64 // accepted runs that are not over, as last counted
	closing   sync.Once
	closeErr  error
}

// Open opens the data folder and wires the service. Errors say what a person
// can do: the folder is not writable, another process has it open, the data
// file is corrupt or newer, the key file is readable by others.
func Open(ctx context.Context, cfg Config) (_ *App, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = DefaultConcurrency
	}
	if cfg.WebhookGrace <= 0 {
		cfg.WebhookGrace = DefaultWebhookGrace
	}
	a := &App{cfg: cfg, log: cfg.Log, metrics: metrics.New(cfg.Version)}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, job.Wrap(job.Unavailable, err, "cannot make the data folder")
	}
	if a.bolt, err = boltstore.Open(filepath.Join(cfg.Data, DataFile), boltstore.Options{Clock: cfg.Clock, Log: cfg.Log, Committed: a.metrics.Commit}); err != nil {
		return nil, err
	}
	a.store = store.New(a.bolt, store.Options{Clock: cfg.Clock, Keep: cfg.Keep})
	defer func() {
		if err != nil {
			_ = a.store.Close()
		}
	}()
	if err := a.wire(ctx); err != nil {
		return nil, err
	}
	_, a.generated, err = auth.BootstrapAdmin(ctx, a.store, cfg.AdminPassword)
	return a, err
}

func (a *App) wire(ctx context.Context) error {
	box, err := a.openKey()
	if err != nil {
		return err
	}
	blobs, err := folderblob.Open(filepath.Join(a.cfg.Data, BlobDir))
	if err != nil {
		return err
	}
	events, err := a.events()
	if err != nil {
		return err
	}
	// The dispatcher settles through the tasks, and the tasks wake those
	// who wait at the dispatcher: it exists before any task can run.
	tasks := task.New(task.Config{
		Store: a.store, Blobs: blobs, Box: box, Events: events, Clock: a.cfg.Clock, Log: a.log,
		Dialer: sshdevice.New(sshdevice.Config{NewConnsPerSecond: a.cfg.ConnsPerSec, Observer: a.metrics, Log: a.log}),
		Owner:  ulid.Make().String(), SoleOwner: true, Limits: task.Deployment{Concurrency: a.cfg.Concurrency},
		Observer: a.metrics,
		Settled:  func(tenant, run string) { a.dispatch.Notify(tenant, run) },
	})
	a.tasks = tasks
	a.workflow = localworkflow.New(localworkflow.Config{
		Plan: tasks.Plan, Execute: tasks.Execute, Finish: tasks.Finish, MaxConcurrency: a.cfg.Concurrency, Log: a.log})
	if a.alarms, err = localschedule.Open(ctx, localschedule.Config{Store: a.store, Log: a.log,
		Fire: func(ctx context.Context, tenant string, id int64, planned time.Time) error {
			return a.dispatch.Fire(ctx, tenant, id, planned)
		}}); err != nil {
		return err
	}
	defaults := foreman.Defaults()
	a.dispatch = dispatch.New(dispatch.Config{
		Store: a.store, Workflow: a.workflow, Alarms: a.alarms, Defaults: &defaults, Box: box, Blobs: blobs, Log: a.log, Local: true,
		Settle: func(ctx context.Context, tenant, run string) (bool, error) {
			f, err := tasks.Finish(ctx, task.RunRef{V: task.Version, Tenant: tenant, Run: run})
			return f.Settled, err
		},
	})
	a.metrics.SetQueue(func() float64 { return float64(a.open.Load()) }, func() float64 { return float64(a.workflow.Waiting()) })
	return a.serveHTTP()
}

// openKey opens the key file. A data file with sealed secrets whose key file is
// gone must not silently get a new key.
func (a *App) openKey() (*secret.Box, error) {
	path := filepath.Join(a.cfg.Data, KeyFile)
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := a.store.Setting(context.Background(), "key_file"); err == nil {
			return nil, job.Errorf(job.NotFound, "the key file %s is gone: without it no stored secret can be read; put it back from where it was backed up", path)
		} else if job.CodeOf(err) != job.NotFound {
			return nil, err
		}
	}
	box, err := secret.OpenKeyFile(path)
	if err != nil {
		return nil, err
	}
	_, err = a.store.PutSettingIfMissing(context.Background(), "key_file", []byte(KeyFile))
	return box, err
}

func (a *App) events() (event.Sink, error) {
	sinks := []event.Sink{eventlog.New(a.log)}
	if a.cfg.WebhookURL != "" {
		var err error
		if a.webhook, err = webhook.Open(webhook.Config{URL: a.cfg.WebhookURL, Secret: a.cfg.WebhookSecret, Log: a.log, Observe: a.metrics.Webhook}); err != nil {
			return nil, err
		}
		sinks = append(sinks, a.webhook)
	}
	return event.Multi(sinks...), nil
}

func (a *App) serveHTTP() error {
	authenticator := auth.New(auth.Config{Users: a.store, Counters: a.store, Clock: a.cfg.Clock, Log: a.log, LockedOut: a.metrics.LockedOut})
	families, err := api.Mux(map[string]http.Handler{
		api.FamilyENMS: a.metrics.HTTP(api.FamilyENMS, enms.New(enms.Config{
			Dispatch: a.dispatch, Auth: authenticator, Clock: a.cfg.Clock, Log: a.log, TrustProxy: a.cfg.TrustProxy,
			AsyncDefault: a.cfg.AsyncDefault, Trigger: a.cfg.Trigger, SyncTimeout: a.cfg.SyncTimeout})),
		api.FamilyForeman: a.metrics.HTTP(api.FamilyForeman, foreman.New(foreman.Config{
			Dispatch: a.dispatch, Auth: authenticator, Clock: a.cfg.Clock, Log: a.log, TrustProxy: a.cfg.TrustProxy,
			EffectiveUser: a.cfg.EffectiveUser})),
		api.FamilyConsole: a.metrics.HTTP(api.FamilyConsole, console.New(console.Config{
			Dispatch: a.dispatch, Auth: authenticator, Log: a.log, TrustProxy: a.cfg.TrustProxy, Version: a.cfg.Version, Backup: a.Backup})),
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.metrics.Handler())
	mux.Handle("/", families)
	// Cleaned here too: this mux would redirect, and lose the body.
	a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, api.CleanPath(r)) })
	return nil
}

// Handler serves every API family, the console's API, /healthz and /metrics.
func (a *App) Handler() http.Handler { return a.handler }

// Dispatcher is for callers in the same process: the demo and tests.
func (a *App) Dispatcher() *dispatch.Dispatcher { return a.dispatch }

// GeneratedPassword is the random password of the user admin, if this start
// made it; it is told nowhere else and never again.
func (a *App) GeneratedPassword() job.Secret { return a.generated }

// Run resumes the runs that an earlier process left, starts what is scheduled when
// it is due, and sweeps, until ctx ends.
func (a *App) Run(ctx context.Context) error {
	n, err := a.dispatch.Resume(ctx)
	if ctx.Err() != nil { // told to stop before it had begun
		return nil
	}
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if n > 0 {
		a.log.InfoContext(ctx, "resumed the runs of an earlier process", "runs", n)
	}
	var ringing sync.WaitGroup
	defer ringing.Wait()
	ringing.Go(func() { a.alarms.Run(ctx) })
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		if _, err := a.dispatch.Sweep(ctx); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "sweep", "err", err)
		}
		// Starting what runs already does nothing; what was given up
		// because the disk was full, say, goes on now.
		if n, err := a.dispatch.Resume(ctx); err == nil {
			a.open.Store(int64(n))
		} else if ctx.Err() == nil {
			a.log.ErrorContext(ctx, "resume", "err", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Drain lets the devices that are being worked on finish, starts no others,
// and returns when none is left or ctx ends; what is left then is cut off and
// resumed by the next start. Commands that run detached are left to it at once. Events that the webhook does not take within its
// grace are logged and dropped, which is no error.
func (a *App) Drain(ctx context.Context) error {
	a.tasks.Leave()
	err := a.workflow.Close(ctx)
	a.dispatch.Close()
	if a.webhook != nil {
		grace, cancel := context.WithTimeout(ctx, a.cfg.WebhookGrace)
		defer cancel()
		_ = a.webhook.Close(grace) // what it drops it logs
	}
	return err
}

// Close closes the data file. Call Drain before; without it everything is cut
// off at once, as by a crash, which loses nothing that was accepted.
func (a *App) Close() error {
	a.closing.Do(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.Drain(now)
		a.closeErr = a.store.Close()
	})
	return a.closeErr
}
