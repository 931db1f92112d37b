package task

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/device/sshdevice"
	"drover/internal/device/sshsim"
	"drover/internal/event"
	"drover/internal/job"
	"drover/internal/secret"
	"drover/internal/store"
	"drover/internal/store/boltstore"

	"golang.org/x/sync/errgroup"
)

const tenant = "default"

// lab is a store with a fleet of pretend devices.
type lab struct {
	t      *testing.T
	driver *counted
	store  *store.Store
	fleet  *sshsim.Fleet
	box    *secret.Box
	bucket *bucket
	events *events
	ahead  atomic.Int64 // of the clock
	runs   int
	ids    []int64
	leave  func() // of the process under test
}

func newLab(t *testing.T, devices int, behave func(i int) sshsim.Behaviour) *lab {
	t.Helper()
	l := &lab{t: t, bucket: &bucket{objects: map[string][]byte{}}, events: &events{}}
	db, err := boltstore.Open(filepath.Join(t.TempDir(), "data"), boltstore.Options{Clock: l.now})
	l.must(err)
	l.driver = &counted{Driver: db}
	l.store = store.New(l.driver, store.Options{Clock: l.now})
	t.Cleanup(func() { l.must(l.store.Close()) })
	key, err := secret.NewKeyset()
	l.must(err)
	l.box, err = secret.NewBox(key)
	l.must(err)
	l.fleet, err = sshsim.Start(sshsim.Config{Devices: devices, OneHostKey: true, Password: "dr0ver-pw", Behave: behave})
	l.must(err)
	t.Cleanup(func() { _ = l.fleet.Close() })
	cred := l.credential("lab", "dr0ver-pw")
	for _, d := range l.fleet.Devices {
		l.ids = append(l.ids, l.device(job.Device{Meta: job.Meta{Name: d.Name}, Address: d.Address, Port: d.Port, CredentialID: cred}))
	}
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) now() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }

func (l *lab) credential(name string, password job.Secret) int64 {
	l.t.Helper()
	id, err := l.store.NextCredentialID(l.t.Context(), tenant)
	l.must(err)
	sealed, err := l.box.Seal(password, secret.AAD(tenant, "credential", id, "password"))
	l.must(err)
	l.must(l.store.PutNewCredential(l.t.Context(), job.Credential{Meta: job.Meta{ID: id, Tenant: tenant, Name: name}, Username: "drover", Password: sealed}))
	return id
}

func (l *lab) device(d job.Device) int64 {
	l.t.Helper()
	d.Tenant = tenant
	if d.Platform == "" {
		d.Platform = job.PlatformLinux
	}
	if d.HostKey == "" {
		d.HostKey = job.HostKeyAcceptNew
	}
	l.must(l.store.PutDevice(l.t.Context(), nil, &d))
	return d.ID
}

// functions returns the tasks of a process of their own.
func (l *lab) functions(change func(*Config)) *Functions {
	c := Config{
		Store: l.store, Blobs: l.bucket, Box: l.box, Events: l.events, Clock: l.now, SoleOwner: true, Every: 20 * time.Millisecond,
		Dialer: sshdevice.New(sshdevice.Config{KillTimeout: 2 * time.Second}),
		Owner:  fmt.Sprintf("process-%d", processes.Add(1)),
	}
	if change != nil {
		change(&c)
	}
	return New(c)
}

var processes atomic.Int64

type jobSpec struct {
	body     string
	payload  string
	limits   job.Limits
	targets  []job.Target // nil: the fleet
	specBlob bool
	change   func(*job.Run, *job.Job)
}

func quick() job.Limits {
	return job.Limits{Timeout: 20 * time.Second, Concurrency: 50, OnUnknown: job.OnUnknownReport}
}

func (l *lab) submit(s jobSpec) RunRef {
	l.t.Helper()
	l.runs++
	id := fmt.Sprintf("run-%d", l.runs)
	if s.targets == nil {
		for i, d := range l.fleet.Devices {
			s.targets = append(s.targets, job.Target{ID: l.ids[i], Name: d.Name})
		}
	}
	if s.limits.Timeout == 0 {
		s.limits = quick()
	}
	j := job.Job{ID: id, Tenant: tenant, ServiceName: "s", Type: job.TypeScript, Limits: s.limits, Body: s.body, Payload: json.RawMessage(s.payload), Creator: "ops"}
	if s.specBlob {
		data, err := json.Marshal(job.Spec{Body: j.Body, Payload: j.Payload})
		l.must(err)
		j.SpecBlob = job.RunBlobPrefix(tenant, id) + "spec.json"
		j.Body, j.Payload = "", nil
		l.must(l.bucket.Put(l.t.Context(), j.SpecBlob, data))
	}
	now := l.now()
	r := job.Run{ID: id, JobID: id, Tenant: tenant, ServiceName: "s", Status: job.Queued, Creator: "ops", Created: now, Due: now.Add(time.Minute),
		Total: len(s.targets), Shards: store.ShardsFor(len(s.targets))}
	if s.change != nil {
		s.change(&r, &j)
	}
	_, _, err := l.store.CreateRun(l.t.Context(), store.NewRun{Job: j, Run: r, Targets: s.targets})
	l.must(err)
	return RunRef{V: Version, Tenant: tenant, Run: id}
}

// putSpec writes the specification of a job anew, with its inputs.
func (l *lab) putSpec(j *job.Job) {
	l.t.Helper()
	var spec job.Spec
	data, err := l.bucket.Get(l.t.Context(), j.SpecBlob)
	l.must(err)
	l.must(json.Unmarshal(data, &spec))
	spec.Inputs, j.Inputs = j.Inputs, nil
	data, err = json.Marshal(spec)
	l.must(err)
	l.must(l.bucket.Put(l.t.Context(), j.SpecBlob, data))
}

// run carries a run out as a workflow does. Waits are jumped over.
func (l *lab) run(ctx context.Context, f *Functions, ref RunRef) error {
	p, err := f.Plan(ctx, ref)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(p.Concurrency)
	for _, u := range p.Units {
		g.Go(func() error { return l.unit(ctx, f, ref, u) })
	}
	err = g.Wait()
	if ctx.Err() == nil {
		if _, e := f.Finish(ctx, ref); err == nil {
			err = e
		}
	}
	return err
}

func (l *lab) unit(ctx context.Context, f *Functions, ref RunRef, u int) error {
	for round := 0; round < 100; {
		e, err := f.Execute(ctx, UnitRef{V: Version, Tenant: ref.Tenant, Run: ref.Run, Unit: u, Round: round})
		if err != nil || !e.Again {
			return err
		}
		if e.Wait < 1 || e.Round != round+1 {
			return fmt.Errorf("again in %d s, round %d after %d", e.Wait, e.Round, round)
		}
		round = e.Round
		l.ahead.Add(int64(e.Wait) * int64(time.Second))
	}
	return fmt.Errorf("unit %d is not done after 100 rounds", u)
}

func (l *lab) cancel(ref RunRef) {
	l.t.Helper()
	for {
		run := l.stored(ref)
		next, now := run, l.now()
		next.CancelAsked, next.Reason = &now, job.ReasonCanceling
		err := l.store.UpdateRun(context.Background(), run, next, job.AuditEntry{})
		if job.CodeOf(err) == job.Conflict {
			continue
		}
		l.must(err)
		return
	}
}

func (l *lab) stored(ref RunRef) job.Run {
	l.t.Helper()
	run, err := l.store.Run(context.Background(), ref.Tenant, ref.Run)
	l.must(err)
	return run
}

// results returns the stored results of a run, unpacked.
func (l *lab) results(ref RunRef) map[int]job.Result {
	l.t.Helper()
	run := l.stored(ref)
	all := map[int]job.Result{}
	for from := 0; from < run.Total; {
		rows, err := l.store.Results(context.Background(), run, from, 0)
		l.must(err)
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			var object []byte
			if r.Output.Blob != "" {
				object, err = l.bucket.Get(context.Background(), r.Output.Blob)
				l.must(err)
			}
			r.Output, err = r.Output.Unpack(object)
			l.must(err)
			all[r.Index] = r
		}
		from = rows[len(rows)-1].Index + 1
	}
	return all
}

// settled checks what holds for every run that is over.
func (l *lab) settled(ref RunRef) (job.Run, map[int]job.Result) {
	l.t.Helper()
	run, rows := l.stored(ref), l.results(ref)
	if !run.Status.Terminal() || run.Ended == nil {
		l.t.Fatalf("run is %s %q, due %s", run.Status, run.Reason, run.Due)
	}
	var c job.Counts
	for _, r := range rows {
		if !r.Status.Terminal() || r.Claim != nil || r.Ended == nil {
			l.t.Errorf("result of a run that is over: %+v", r)
		}
		c.Add(r.Status, 1)
	}
	status, _ := run.Unreached()
	c.Add(status, run.Total-len(rows))
	c.Total = run.Total
	if c != run.Counts || c.Done() != c.Total {
		l.t.Errorf("counts %+v, results %+v", run.Counts, c)
	}
	return run, rows
}

// bucket keeps objects in memory.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	puts    int
}

func (b *bucket) Put(_ context.Context, name string, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.puts++
	b.objects[name] = data
	return nil
}

func (b *bucket) Get(_ context.Context, name string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.objects[name]
	if !ok {
		return nil, job.Errorf(job.NotFound, "no object %s", name)
	}
	return data, nil
}

func (b *bucket) Delete(_ context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, name)
	return nil
}

func (b *bucket) DeletePrefix(context.Context, string) (int, error) { return 0, nil }

// events remembers what was published.
type events struct {
	mu   sync.Mutex
	seen []event.Event
}

func (e *events) Publish(_ context.Context, v event.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, v)
	return nil
}

func (e *events) of(kind string) (found []event.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, v := range e.seen {
		if v.Kind == kind {
			found = append(found, v)
		}
	}
	return found
}

// counted counts what a driver is asked for, and fails when told to.
type counted struct {
	store.Driver
	mu         sync.Mutex
	puts       []store.Row
	gets       []int // bytes of each batch read
	keys       []int // rows of each batch read
	groups     int
	fail       func(op string, row store.Row) error
	afterwards func(op string, row store.Row) error // the write happened, and the answer is this error
}

func (d *counted) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.puts, d.gets, d.keys, d.groups = nil, nil, nil, 0
}

func (d *counted) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	rows, err := d.Driver.Get(ctx, keys...)
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, r := range rows {
		n += len(r.Value)
	}
	d.gets, d.keys = append(d.gets, n), append(d.keys, len(keys))
	return rows, err
}

func (d *counted) Put(ctx context.Context, row store.Row, cond store.Cond) (string, error) {
	d.mu.Lock()
	d.puts = append(d.puts, row)
	fail, afterwards := d.fail, d.afterwards
	d.mu.Unlock()
	if fail != nil {
		if err := fail("put", row); err != nil {
			return "", err
		}
	}
	rev, err := d.Driver.Put(ctx, row, cond)
	if err == nil && afterwards != nil {
		if e := afterwards("put", row); e != nil {
			return "", e
		}
	}
	return rev, err
}

func (d *counted) Atomic(ctx context.Context, ops ...store.Op) error {
	d.mu.Lock()
	d.groups++
	d.mu.Unlock()
	return d.Driver.Atomic(ctx, ops...)
}

func isResult(row store.Row) bool { return strings.Contains(row.Key.Partition, "/results/") }
