package costtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"drover/internal/auth"
	"drover/internal/blob/folderblob"
	"drover/internal/cloud"
	"drover/internal/device/sshdevice"
	"drover/internal/device/sshsim"
	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/secret"
	"drover/internal/secret/kmssecret"
	"drover/internal/store"
	"drover/internal/store/dynamostore"
	"drover/internal/store/dynamotest"
	"drover/internal/task"
)

const (
	tenant     = job.DefaultTenant
	adminWord  = "an administrator's password"
	deviceWord = "a device's password"
)

var admin = job.Principal{Tenant: tenant, Name: "admin", Role: job.Admin}

// lab is an installation in the cloud's shape: the tasks and use cases that the
// functions call, over DynamoDB Local, with everything that leaves them counted.
// The first devices of its inventory answer; the others are rows.
type lab struct {
	t       *testing.T
	meter   *meter
	store   *store.Store
	bucket  bucket
	fleet   *sshsim.Fleet
	front   *dispatch.Dispatcher
	auth    *auth.Authenticator
	devices []int64
}

// respond is how a device answers: a script says how long it takes and how large
// its output is. Large ones do not compress.
func respond(in sshsim.Invocation) sshsim.Reply {
	var seconds, bytes int
	if _, err := fmt.Sscanf(strings.TrimSpace(in.Script), "work %d %d", &seconds, &bytes); err != nil {
		return sshsim.Reply{Stderr: []byte(in.Script), Status: 127}
	}
	b := make([]byte, bytes/2)
	_, _ = rand.Read(b)
	return sshsim.Reply{Stdout: []byte(hex.EncodeToString(b)), Delay: time.Duration(seconds) * time.Second}
}

func newLab(t *testing.T, devices, answering int) *lab {
	l := &lab{t: t, meter: newMeter()}
	client, table := dynamotest.Table(t, dynamostore.TableSpec, l.meter.table)
	driver, err := dynamostore.Open(dynamostore.Options{Client: client, Table: table})
	l.must(err)
	l.store = store.New(driver, store.Options{Clock: time.Now, Keep: 90 * 24 * time.Hour})
	t.Cleanup(func() { _ = l.store.Close() })
	folder, err := folderblob.Open(t.TempDir())
	l.must(err)
	l.bucket = bucket{folder, l.meter}
	l.fleet, err = sshsim.Start(sshsim.Config{Devices: answering, OneHostKey: true, Password: deviceWord,
		Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{Respond: respond} }})
	l.must(err)
	t.Cleanup(func() { _ = l.fleet.Close() })
	box := l.box()
	tasks := l.tasks(box)
	l.front = dispatch.New(dispatch.Config{Store: l.store, Workflow: elsewhere{}, Box: box, Blobs: l.bucket, Log: l.log(),
		Settle: func(ctx context.Context, tenant, run string) (bool, error) {
			f, err := tasks.Finish(ctx, task.RunRef{Tenant: tenant, Run: run})
			return f.Settled, err
		}})
	t.Cleanup(l.front.Close)
	l.auth = auth.New(auth.Config{Users: l.store, Counters: l.store, Log: l.log()})
	hash, err := secret.HashPassword(adminWord)
	l.must(err)
	l.must(l.store.PutUser(t.Context(), &job.User{Meta: job.Meta{Tenant: tenant, Name: "admin"}, Role: job.Admin, PasswordHash: hash}))
	l.inventory(box, devices)
	return l
}

// elsewhere starts executions: the test makes their calls itself.
type elsewhere struct{}

func (elsewhere) Start(context.Context, string, string) error         { return nil }
func (elsewhere) Stop(context.Context, string, string, string) error  { return nil }
func (elsewhere) Ended(context.Context, string, string) (bool, error) { return false, nil }

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) log() *slog.Logger {
	return slog.New(slog.NewJSONHandler(logWriter{l.meter}, nil)).With("function", "executor")
}

// box is what a process does when it starts: it reads the keyset and has KMS
// unwrap it.
func (l *lab) box() *secret.Box {
	l.t.Helper()
	box, err := kmssecret.Open(l.t.Context(), keys{l.meter}, "key", l.store.SettingAt("keyset"))
	l.must(err)
	return box
}

// tasks are the tasks of one process, limited as the functions are.
func (l *lab) tasks(box *secret.Box) *task.Functions {
	return task.New(task.Config{Store: l.store, Blobs: l.bucket, Box: box, Log: l.log(), Dialer: sshdevice.New(sshdevice.Config{}),
		Limits: task.Deployment{Invocation: cloud.Invocation, Throttled: true, Concurrency: 200}})
}

// inventory stores a pool of all devices and one of the first 40, host keys
// pinned, as they are after the first run.
func (l *lab) inventory(box *secret.Box, devices int) {
	l.t.Helper()
	ctx := l.t.Context()
	id, err := l.store.NextCredentialID(ctx, tenant)
	l.must(err)
	sealed, err := box.Seal(deviceWord, secret.AAD(tenant, "credential", id, "password"))
	l.must(err)
	l.must(l.store.PutNewCredential(ctx, job.Credential{Meta: job.Meta{ID: id, Tenant: tenant, Name: "fleet"}, Username: "drover", Password: sealed}))
	all, few := job.Pool{Meta: job.Meta{Tenant: tenant, Name: "all"}}, job.Pool{Meta: job.Meta{Tenant: tenant, Name: "few"}}
	l.must(l.store.PutPool(ctx, nil, &all))
	l.must(l.store.PutPool(ctx, nil, &few))
	l.devices = make([]int64, devices)
	var g errgroup.Group
	g.SetLimit(8)
	for i := range devices {
		g.Go(func() error {
			d := job.Device{Meta: job.Meta{Tenant: tenant, Name: fmt.Sprintf("edge-router-%04d", i)}, Address: "127.0.0.1", Port: 9,
				Platform: job.PlatformLinux, HostKey: job.HostKeyAcceptNew, CredentialID: id, PoolIDs: []int64{all.ID},
				Labels: map[string]string{"site": "berlin-1", "role": "edge"}}
			if i < 40 {
				d.PoolIDs = append(d.PoolIDs, few.ID)
			}
			real := l.fleet.Devices[min(i, len(l.fleet.Devices)-1)]
			d.Address, d.Port = real.Address, real.Port
			if err := l.store.PutDevice(ctx, nil, &d); err != nil {
				return err
			}
			l.devices[i] = d.ID
			return l.store.PutHostKey(ctx, tenant, job.HostKey{DeviceID: d.ID, Device: d.Name, Key: real.HostKey(), Pinned: time.Now()})
		})
	}
	l.must(g.Wait())
}

// service stores what a scenario runs.
func (l *lab) service(name, pool, body string) {
	l.t.Helper()
	p, err := l.store.PoolByName(l.t.Context(), tenant, pool)
	l.must(err)
	l.must(l.store.PutService(l.t.Context(), nil, &job.Service{Meta: job.Meta{Tenant: tenant, Name: name}, Type: job.TypeScript, Body: body,
		Targets: job.Targets{PoolIDs: []int64{p.ID}},
		Limits:  job.Limits{Timeout: job.DefaultTimeout, Concurrency: job.DefaultConcurrency, OnUnknown: job.OnUnknownReport}}))
}

// request is what each request to the API costs before its use case.
func (l *lab) request() {
	l.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.SetBasicAuth("admin", adminWord)
	if _, err := l.auth.Basic(l.t.Context(), r, "203.0.113.10"); err != nil {
		l.t.Fatal(err)
	}
	l.meter.add(Requests, 1)
	l.meter.add(LogBytes, lines(gatewayLine))
}

// invoked counts an invocation that took so long.
func (l *lab) invoked(took time.Duration, megabytes float64) {
	l.meter.add(Invocations, 1)
	l.meter.add(Compute, took.Seconds()*megabytes/1024)
	l.meter.add(LogBytes, lines(platformStart, platformEnd, platformReport)+sampled*lines(platformTrace))
}

const (
	// sampled is the share of requests that are traced.
	sampled = 0.05
	// initialising is how long a process is taken to start, and billed for.
	initialising = 250 * time.Millisecond
	// The functions' memory, as infra's table has it.
	small, large = 256, 512
)

// measured is what one scenario used: for the run as a whole, for each process
// that works on it and for each device.
type measured struct {
	run, process, device reading
	beside               time.Duration // what a device's invocation took beside its command, on average, here
}

// measure carries out a run of a service: submit, plan, execute, finish and one
// reading of all results. It fails when a device's run did. Devices that do not answer get the result of one that
// did, uncounted. Units are shared out over processes.
func (l *lab) measure(service string, processes, answering int, length time.Duration) (measured, error) {
	l.t.Helper()
	ctx := l.t.Context()
	var out measured
	l.meter.take()
	began := time.Now()
	lap := func(megabytes float64) {
		l.invoked(time.Since(began), megabytes)
		began = time.Now()
	}
	l.request()
	submitted, err := l.front.Submit(ctx, admin, dispatch.Submission{Service: service, Payload: []byte(`{"aid":"1-2-3"}`)})
	l.must(err)
	lap(large)
	ref := task.RunRef{V: task.Version, Tenant: tenant, Run: submitted.Run.ID}
	worker := l.tasks(nil)
	planned, err := worker.Plan(ctx, ref)
	l.must(err)
	lap(small)
	out.run = l.meter.take()

	boxes := make([]*secret.Box, processes)
	for i := range boxes {
		boxes[i] = l.box()
	}
	out.process = l.meter.take()
	for range processes {
		out.process.usage[LogBytes] += lines(platformInit)
		out.process.usage[Compute] += initialising.Seconds() * small / 1024
	}

	var mu sync.Mutex
	var g errgroup.Group
	each := (answering + processes - 1) / processes
	for p, box := range boxes {
		f := l.tasks(box)
		for u := p * each; u < min((p+1)*each, answering); u++ {
			g.Go(func() error {
				ctx, cancel := context.WithTimeout(ctx, cloud.Invocation)
				defer cancel()
				began := time.Now()
				e, err := f.Execute(ctx, task.UnitRef{V: task.Version, Tenant: tenant, Run: ref.Run, Unit: planned.Units[u]})
				if e.Again {
					err = fmt.Errorf("unit %d answers again", u)
				}
				took := time.Since(began)
				l.invoked(length, small)
				mu.Lock()
				defer mu.Unlock()
				out.beside += (took - length) / time.Duration(answering)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return out, err
	}
	out.device = l.meter.take()

	run, err := l.store.Run(ctx, tenant, ref.Run)
	l.must(err)
	l.fill(run, answering)
	l.meter.take()
	began = time.Now()
	finished, err := worker.Finish(ctx, ref)
	l.must(err)
	if finished.Status != string(job.Succeeded) {
		return out, fmt.Errorf("the run ended %+v", finished)
	}
	lap(large)
	l.meter.add(BusEvents, 1)
	l.request()
	n := 0
	for from := 0; from >= 0; {
		page, err := l.front.Results(ctx, admin, ref.Run, from, 0)
		l.must(err)
		n, from = n+len(page.Results), page.Next
	}
	if n != run.Total {
		l.t.Fatalf("%d results of %d", n, run.Total)
	}
	lap(large)
	end := l.meter.take()
	out.run.usage.Add(end.usage, 1)
	return out, nil
}

// fill gives the devices that do not answer their results.
func (l *lab) fill(run job.Run, from int) {
	l.t.Helper()
	ctx := l.t.Context()
	like, err := l.store.Result(ctx, run, from-1, "")
	l.must(err)
	var g errgroup.Group
	g.SetLimit(8)
	for i := from; i < run.Total; i++ {
		g.Go(func() error {
			r := like
			r.Index, r.DeviceID, r.Device, r.Rev = i, l.devices[i], fmt.Sprintf("edge-router-%04d", i), ""
			_, err := l.store.PutResult(ctx, run, r)
			return err
		})
	}
	l.must(g.Wait())
}

// sweep is what one call of the sweeper uses that finds nothing to do.
func (l *lab) sweep() reading {
	l.t.Helper()
	l.meter.take()
	began := time.Now()
	if _, err := l.front.Sweep(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	l.invoked(time.Since(began), small)
	l.meter.add(Schedules, 1)
	return l.meter.take()
}
