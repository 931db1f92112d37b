// Package dispatch holds the use cases: submit, read, cancel, change the fleet,
// sweep. Every API family and the console call it and nothing below it. It
// decides who may do what (roles), what is visible (tenants), and in which
// order things are written so that an accepted run always ends.
//
// Every method takes the principal it acts for. What that principal may not do
// is job.Forbidden; what it may not see is job.NotFound, exactly as if it were
// not there.
package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"drover/internal/blob"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/schedule"
	"drover/internal/secret"
	"drover/internal/store"
	"drover/internal/workflow"
)

// Config is what a Dispatcher needs. Store, Workflow, Box, Blobs, Settle and
// Log are required.
type Config struct {
	Store    *store.Store
	Workflow workflow.Workflow
	Box      *secret.Box
	Blobs    blob.Bucket
	Log      *slog.Logger

	// Settle ends a run if nothing works on it any more; it is the Finish
	// task, handed in as a value. It reports whether the run is over now.
	Settle func(ctx context.Context, tenant, run string) (settled bool, err error)

	// Alarms calls Fire when a schedule is due. Nil: nothing does, and the
	// sweeper starts what is due a little later.
	Alarms schedule.Alarms

	// LongestAttempt is the longest time limit of a service that can be
	// kept here; 0 means no bound.
	LongestAttempt time.Duration

	// Defaults are what every tenant begins with; nil: nothing.
	Defaults *Defaults

	// Local says that the whole service is this one process: waiters are
	// woken by Notify, a cancel is settled in the background, and blobs of
	// expired runs are deleted by Sweep (elsewhere a life-cycle rule does).
	Local bool

	// StartWithin is how long an accepted run may wait for its start
	// before it ends as timed out; 0 means an hour.
	StartWithin time.Duration
}

// Dispatcher is safe for use by many goroutines at once.
type Dispatcher struct {
	Config

	given    sync.Map // tenants that have their Defaults
	mu       sync.Mutex
	waiting  map[store.RunRef][]chan struct{}
	progress map[store.RunRef]progressAt
	tasks    sync.WaitGroup
	ctx      context.Context
	stop     context.CancelFunc
}

// New returns a Dispatcher. Close ends its background work.
func New(c Config) *Dispatcher {
	if c.StartWithin == 0 {
		c.StartWithin = time.Hour
	}
	d := &Dispatcher{Config: c, waiting: map[store.RunRef][]chan struct{}{}, progress: map[store.RunRef]progressAt{}}
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d
}

// Close stops what runs in the background and waits for it. Runs go on.
func (d *Dispatcher) Close() {
	d.stop()
	d.tasks.Wait()
}

// background runs f unless the dispatcher is closed.
func (d *Dispatcher) background(f func(ctx context.Context)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return
	}
	d.tasks.Add(1)
	go func() {
		defer d.tasks.Done()
		f(d.ctx)
	}()
}

func allow(p job.Principal, a job.Action) error {
	if !p.Role.Allows(a) {
		return job.Errorf(job.Forbidden, "the role %q does not allow this (%s)", p.Role, a)
	}
	return nil
}

// In returns the principal acting in another tenant. Only administrators of
// the default tenant, who look after the installation, may act in a tenant that
// is not their own; for all others it looks as if the tenant were not there.
func In(p job.Principal, tenant string) (job.Principal, error) {
	if tenant == "" || tenant == p.Tenant {
		return p, nil
	}
	if err := inventory.ValidTenant("tenant", tenant); err != nil {
		return p, err
	}
	if p.Tenant != job.DefaultTenant || p.Role != job.Admin {
		return p, job.Errorf(job.NotFound, "no tenant %q", tenant)
	}
	p.Tenant = tenant
	return p, nil
}

func (d *Dispatcher) entry(p job.Principal, action, object, detail string) job.AuditEntry {
	return job.AuditEntry{Time: d.Store.Now(), Tenant: p.Tenant, User: p.Name, Address: p.Address,
		Action: action, Object: object, Detail: detail}
}
