package faulttest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/blob"
	"drover/internal/blob/folderblob"
	"drover/internal/device/sshdevice"
	"drover/internal/device/sshsim"
	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/secret"
	"drover/internal/store"
	"drover/internal/store/boltstore"
	"drover/internal/task"
	"drover/internal/workflow/localworkflow"
)

const (
	tenant = job.DefaultTenant
	word   = "a device's password"
	// Time passes as usual while an Execute is under way, which has its own limits
	// by the wall's clock, and in leaps while none is: claims, graces, deadlines
	// and waits of the workflow are over soon.
	leap      = 2 * time.Second
	leapEvery = 20 * time.Millisecond
	// invocation is the longest call of Execute, and slack what it keeps of it.
	invocation = 6 * time.Second
	slack      = time.Second
)

var admin = job.Principal{Tenant: tenant, Name: "admin", Role: job.Admin}

// world is an installation in the cloud's shape.
type world struct {
	t      *testing.T
	ahead  atomic.Int64 // of the world's clock
	gate   sync.RWMutex // held by every Execute, so that time does not leap
	base   store.Driver
	own    func() store.Driver // what a process gets
	box    *secret.Box
	blobs  blob.Bucket
	fleet  *sshsim.Fleet
	front  *dispatch.Dispatcher
	store  *store.Store // untouched by faults: the judge's
	flow   *localworkflow.Workflow
	flow2  *localworkflow.Workflow // a second execution of the same run, as if the event came twice
	fault  fault
	hits   atomic.Int64   // faults that were injected
	number atomic.Int64   // of processes
	beside sync.WaitGroup // the sweeper, and time
	stop   chan struct{}
}

// fault is what goes wrong. Nil functions do not.
type fault struct {
	// table is asked before and after each request to the table. op is what it
	// does: get with the first row's partition, put, query or atomic.
	table func(w *world, op string, after bool) error
	// put is asked before each object is written.
	put func(w *world) error
	// lives says after how many requests to the table the process of a call of
	// Execute dies; 0: it does not.
	lives func(w *world) int
	// start may swallow a start.
	start func(w *world) (swallowed bool, err error)
	// aborts has every execution ended from outside when it is to plan.
	aborts bool
	// twice has everything called twice at once.
	twice bool
	// during is run beside each run.
	during func(w *world, run string)
	// open returns the table, and how a process comes to its own connection to
	// it; nil: the table is a file.
	open func(w *world) (store.Driver, func() store.Driver)
	// sweep is the wall's time between two sweeps; 0: 200 ms.
	sweep time.Duration
	// large has devices answer with outputs that become objects.
	large bool
	// detached has commands run detached.
	detached bool
	// fails has all commands fail.
	fails bool
}

// now is the world's time.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// pass lets time pass.
func (w *world) pass() {
	tick := time.NewTicker(leapEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			if w.gate.TryLock() {
				w.ahead.Add(int64(leap))
				w.gate.Unlock()
			}
		}
	}
}

// sleep waits by the world's clock.
func (w *world) sleep(ctx context.Context, d time.Duration) error {
	tick := time.NewTicker(leapEvery)
	defer tick.Stop()
	for end := w.now().Add(d); w.now().Before(end); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// hit counts an injected fault with a probability, and says whether it is one.
func (w *world) hit(probability float64) bool {
	if rand.Float64() >= probability {
		return false
	}
	w.hits.Add(1)
	return true
}

func newWorld(t *testing.T, devices int, f fault) *world {
	w := &world{t: t, fault: f, stop: make(chan struct{})}
	if f.open != nil {
		w.base, w.own = f.open(w)
	} else {
		db, err := boltstore.Open(filepath.Join(t.TempDir(), "data"), boltstore.Options{Clock: w.now})
		w.must(err)
		w.base, w.own = db, func() store.Driver { return db }
	}
	w.store = store.New(w.base, store.Options{Clock: w.now, Keep: 90 * 24 * time.Hour})
	t.Cleanup(func() { _ = w.store.Close() })
	folder, err := folderblob.Open(t.TempDir())
	w.must(err)
	w.blobs = bucket{folder, w}
	key, err := secret.NewKeyset()
	w.must(err)
	w.box, err = secret.NewBox(key)
	w.must(err)
	w.fleet, err = sshsim.Start(sshsim.Config{Devices: devices, OneHostKey: true, Password: word,
		Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{Respond: w.respond} }})
	w.must(err)
	t.Cleanup(func() { _ = w.fleet.Close() })
	w.flow, w.flow2 = w.newFlow(), w.newFlow()
	w.front = dispatch.New(dispatch.Config{Store: w.store, Workflow: starter{w}, Box: w.box, Blobs: folder, Log: slog.New(slog.DiscardHandler),
		StartWithin: 10 * time.Minute,
		Settle: func(ctx context.Context, tenant, run string) (bool, error) {
			f, err := w.process(false).tasks.Finish(ctx, task.RunRef{V: task.Version, Tenant: tenant, Run: run})
			return f.Settled, err
		}})
	w.inventory()
	every := 200 * time.Millisecond
	if f.sweep > 0 {
		every = f.sweep
	}
	w.beside.Go(w.pass)
	w.beside.Go(func() { w.sweep(every) })
	t.Cleanup(func() {
		close(w.stop)
		w.beside.Wait()
		w.front.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what is still under way is cut short
		_ = w.flow.Close(ctx)
		_ = w.flow2.Close(ctx)
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// respond takes a moment, so that there is a middle to be killed in.
func (w *world) respond(in sshsim.Invocation) sshsim.Reply {
	out := strings.Repeat("all is well\n", 3)
	if w.fault.large {
		b := make([]byte, 16<<10)
		for i := range b {
			b[i] = byte('!' + rand.IntN(90))
		}
		out = string(b)
	}
	status := 0
	if w.fault.fails {
		status = 1
	}
	return sshsim.Reply{Stdout: []byte(out), Status: status, Delay: time.Duration(20+rand.IntN(100)) * time.Millisecond}
}

// newFlow is a Step Functions of this world's: the order of calls and the retries
// of the state machine, waits by the world's clock.
func (w *world) newFlow() *localworkflow.Workflow {
	return localworkflow.New(localworkflow.Config{
		Plan: func(ctx context.Context, ref task.RunRef) (task.Planned, error) {
			if w.fault.aborts {
				w.hits.Add(1)
				_ = w.flow.Stop(ctx, ref.Tenant, ref.Run, "somebody")
				return task.Planned{}, ctx.Err()
			}
			return both(w, func() (task.Planned, error) { return w.process(false).tasks.Plan(ctx, ref) })
		},
		Execute: func(ctx context.Context, ref task.UnitRef) (task.Executed, error) {
			return both(w, func() (task.Executed, error) { return w.execute(ctx, ref) })
		},
		Finish: func(ctx context.Context, ref task.RunRef) (task.Finished, error) {
			return both(w, func() (task.Finished, error) { return w.process(false).tasks.Finish(ctx, ref) })
		},
		Sleep: w.sleep,
	})
}

// both calls once, or twice at the same time where the fault says so: the answer
// is that of one of them.
func both[T any](w *world, call func() (T, error)) (T, error) {
	if !w.fault.twice {
		return call()
	}
	w.hits.Add(1)
	var again sync.WaitGroup
	again.Go(func() { _, _ = call() })
	defer again.Wait()
	return call()
}

// diedError is what Step Functions learns of a process that died.
type diedError struct{}

func (diedError) Error() string { return "the process died" }

// execute calls Execute in a process of its own.
func (w *world) execute(ctx context.Context, ref task.UnitRef) (task.Executed, error) {
	p := w.process(true)
	w.gate.RLock()
	defer w.gate.RUnlock()
	// A function's call is not ended by the end of its execution.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), invocation)
	defer cancel()
	p.kill = cancel
	out, err := p.tasks.Execute(ctx, ref)
	if p.dead.Load() {
		return task.Executed{}, diedError{}
	}
	return out, err
}

// process is one process of a function.
type process struct {
	store.Driver
	w     *world
	tasks *task.Functions
	lives atomic.Int64 // requests until it dies; below 0: it does not
	dead  atomic.Bool
	kill  context.CancelFunc
}

func (w *world) process(mortal bool) *process {
	p := &process{Driver: w.own(), w: w}
	p.lives.Store(-1)
	if mortal && w.fault.lives != nil {
		if n := w.fault.lives(w); n > 0 {
			p.lives.Store(int64(n))
		}
	}
	var detachAfter time.Duration
	if w.fault.detached {
		detachAfter = time.Second
	}
	p.tasks = task.New(task.Config{
		DetachAfter: detachAfter, Hold: 60 * time.Millisecond,
		Store: store.New(p, store.Options{Clock: w.now, Keep: 90 * 24 * time.Hour}), Blobs: w.blobs, Box: w.box, Clock: w.now,
		Dialer: sshdevice.New(sshdevice.Config{KillTimeout: time.Second}), Every: 100 * time.Millisecond,
		Owner: fmt.Sprintf("process-%d", w.number.Add(1)), Limits: task.Deployment{Invocation: invocation, Slack: slack},
	})
	return p
}

var errDead = errors.New("the process is dead")

// request makes one request to the table, with what may go wrong around it.
func (p *process) request(op string, do func() error) error {
	if n := p.lives.Add(-1); n == 0 {
		// Dead from here on: half of the time the request was carried out.
		p.w.hits.Add(1)
		p.dead.Store(true)
		if rand.IntN(2) == 0 {
			_ = do()
		}
		p.kill()
	}
	if p.dead.Load() {
		return job.Wrap(job.Internal, errDead, "the process is dead")
	}
	if f := p.w.fault.table; f != nil {
		if err := f(p.w, op, false); err != nil {
			return err
		}
	}
	err := do()
	if f := p.w.fault.table; f != nil && err == nil {
		err = f(p.w, op, true)
	}
	return err
}

func (p *process) Get(ctx context.Context, keys ...store.Key) (rows []store.Row, err error) {
	err = p.request("get "+keys[0].Partition, func() (err error) { rows, err = p.Driver.Get(ctx, keys...); return err })
	return rows, err
}

func (p *process) Put(ctx context.Context, row store.Row, cond store.Cond) (rev string, err error) {
	err = p.request("put", func() (err error) { rev, err = p.Driver.Put(ctx, row, cond); return err })
	return rev, err
}

func (p *process) Query(ctx context.Context, q store.Query) (page store.Page, err error) {
	err = p.request("query", func() (err error) { page, err = p.Driver.Query(ctx, q); return err })
	return page, err
}

func (p *process) Atomic(ctx context.Context, ops ...store.Op) error {
	return p.request("atomic", func() error { return p.Driver.Atomic(ctx, ops...) })
}

// bucket fails as the fault says.
type bucket struct {
	blob.Bucket
	w *world
}

func (b bucket) Put(ctx context.Context, name string, data []byte) error {
	if f := b.w.fault.put; f != nil {
		if err := f(b.w); err != nil {
			return err
		}
	}
	return b.Bucket.Put(ctx, name, data)
}

// starter starts executions, unless the fault has the start lost.
type starter struct{ w *world }

func (s starter) Start(ctx context.Context, tenant, run string) error {
	if f := s.w.fault.start; f != nil {
		if swallowed, err := f(s.w); swallowed || err != nil {
			return err
		}
	}
	if s.w.fault.twice {
		_ = s.w.flow2.Start(ctx, tenant, run)
	}
	return s.w.flow.Start(ctx, tenant, run)
}

func (s starter) Stop(ctx context.Context, tenant, run, reason string) error {
	return errors.Join(s.w.flow.Stop(ctx, tenant, run, reason), s.w.flow2.Stop(ctx, tenant, run, reason))
}

func (s starter) Ended(ctx context.Context, tenant, run string) (bool, error) {
	return s.w.flow.Ended(ctx, tenant, run)
}

// sweep is the sweeper, which is called again and again.
func (w *world) sweep(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			n := 1
			if w.fault.twice {
				n = 2
			}
			var g sync.WaitGroup
			for range n {
				g.Go(func() { _, _ = w.front.Sweep(context.Background()) })
			}
			g.Wait()
		}
	}
}

// inventory stores the fleet and the service.
func (w *world) inventory() {
	w.t.Helper()
	ctx := w.t.Context()
	id, err := w.store.NextCredentialID(ctx, tenant)
	w.must(err)
	sealed, err := w.box.Seal(word, secret.AAD(tenant, "credential", id, "password"))
	w.must(err)
	w.must(w.store.PutNewCredential(ctx, job.Credential{Meta: job.Meta{ID: id, Tenant: tenant, Name: "fleet"}, Username: "drover", Password: sealed}))
	var ids []int64
	for _, d := range w.fleet.Devices {
		dev := job.Device{Meta: job.Meta{Tenant: tenant, Name: d.Name}, Address: d.Address, Port: d.Port,
			Platform: job.PlatformLinux, HostKey: job.HostKeyAcceptNew, CredentialID: id}
		w.must(w.store.PutDevice(ctx, nil, &dev))
		ids = append(ids, dev.ID)
	}
	w.must(w.store.PutService(ctx, nil, &job.Service{Meta: job.Meta{Tenant: tenant, Name: "work"}, Type: job.TypeScript,
		Body: `work {{ payload["n"] }}`, Targets: job.Targets{DeviceIDs: ids},
		Limits: job.Limits{Timeout: 5 * time.Second, Concurrency: 4, OnUnknown: job.OnUnknownReport}}))
}
