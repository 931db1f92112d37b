package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/blob"
	"drover/internal/blob/folderblob"
	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/secret"
	"drover/internal/store"
	"drover/internal/store/boltstore"
)

var (
	admin    = job.Principal{Tenant: job.DefaultTenant, Name: "admin", Role: job.Admin}
	operator = job.Principal{Tenant: job.DefaultTenant, Name: "ops", Role: job.Operator}
	viewer   = job.Principal{Tenant: job.DefaultTenant, Name: "eye", Role: job.Viewer}
	other    = job.Principal{Tenant: "acme", Name: "wile", Role: job.Admin}
)

// bench is a Dispatcher over the real one-machine drivers. The workflow is a
// recorder: what the executions do is the task package's to test.
type bench struct {
	*dispatch.Dispatcher
	store *store.Store
	blobs blob.Bucket
	key   string

	mu      sync.Mutex
	now     time.Time
	started []string
	stopped []string
	startErr,
	stopErr,
	endedErr error
	ended  map[string]bool // executions that are over
	settle func(ctx context.Context, tenant, run string) (bool, error)
}

func (b *bench) Start(_ context.Context, _, run string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started = append(b.started, run)
	return b.startErr
}

func (b *bench) Stop(_ context.Context, _, run, _ string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = append(b.stopped, run)
	return b.stopErr
}

func (b *bench) Ended(_ context.Context, _, run string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended[run], b.endedErr
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// end makes a run terminal, as the Finish task does.
func (b *bench) end(ctx context.Context, tenant, id string, status job.Status) (bool, error) {
	run, err := b.store.Run(ctx, tenant, id)
	if err != nil {
		return false, err
	}
	next := run
	now := b.clock()
	next.Status, next.Ended = status, &now
	return true, b.store.UpdateRun(ctx, run, next, job.AuditEntry{})
}

func newBench(t testing.TB) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), key: filepath.Join(dir, "key")}
	d, err := boltstore.Open(filepath.Join(dir, "drover.db"), boltstore.Options{Clock: b.clock})
	must(t, err)
	b.store = store.New(d, store.Options{Clock: b.clock, Keep: time.Hour})
	t.Cleanup(func() { _ = b.store.Close() })
	box, err := secret.OpenKeyFile(b.key)
	must(t, err)
	b.blobs, err = folderblob.Open(filepath.Join(dir, "blobs"))
	must(t, err)
	b.settle = func(ctx context.Context, tenant, run string) (bool, error) {
		return b.end(ctx, tenant, run, job.StatusCanceled)
	}
	b.Dispatcher = dispatch.New(dispatch.Config{
		Store: b.store, Workflow: b, Box: box, Blobs: b.blobs, Log: slog.New(slog.DiscardHandler), Local: true,
		Settle: func(ctx context.Context, tenant, run string) (bool, error) { return b.settle(ctx, tenant, run) },
	})
	t.Cleanup(b.Close)
	// Who makes a schedule must be there when it makes its runs.
	for _, p := range []job.Principal{admin, operator} {
		must(t, b.store.PutUser(t.Context(), &job.User{Meta: job.Meta{Tenant: p.Tenant, Name: p.Name}, Role: p.Role, PasswordHash: secret.NobodysHash()}))
	}
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code job.Code) {
	t.Helper()
	if got := job.CodeOf(err); got != code {
		t.Fatalf("error %v has code %q, want %q", err, got, code)
	}
}

func ptr[T any](v T) *T { return &v }

// fleet loads three devices, a static and a dynamic pool and a service.
func (b *bench) fleet(t testing.TB, p job.Principal) {
	t.Helper()
	ctx := context.Background()
	b.saved(t)(b.SaveCredentials(ctx, p, []inventory.CredentialInput{{Name: "lab", Username: ptr("drover"), Password: ptr(job.Secret("canary-pw"))}}))
	b.saved(t)(b.SavePools(ctx, p, []inventory.PoolInput{
		{Name: "Static"}, {Name: "Empty"},
		{Name: "Edge", Match: &[]job.Criterion{{Field: "labels.site", Op: job.OpEquals, Value: "lab"}}},
	}))
	var devs []inventory.DeviceInput
	for i := 1; i <= 3; i++ {
		in := inventory.DeviceInput{Name: fmt.Sprintf("R%d", i), Address: ptr(fmt.Sprintf("127.1.0.%d", i)), Credential: ptr("lab")}
		if i < 3 {
			in.Pools = &[]string{"Static"}
		} else {
			in.Labels = &map[string]string{"site": "lab"}
			in.Jump = ptr("R1")
		}
		devs = append(devs, in)
	}
	slices.Reverse(devs) // R3 names R1, which is created by the same call
	b.saved(t)(b.SaveDevices(ctx, p, devs))
	b.saved(t)(b.SaveServices(ctx, p, []inventory.ServiceInput{
		{Name: "hello", Body: ptr("echo hi"), Pools: &[]string{"Static"}, Payload: ptr(json.RawMessage(`{"a":1,"b":2}`))},
	}))
}

func (b *bench) saved(t testing.TB) func([]dispatch.Outcome, error) {
	return func(os []dispatch.Outcome, err error) {
		t.Helper()
		must(t, err)
		for _, o := range os {
			if o.Err != nil {
				t.Fatalf("%s: %v", o.Name, o.Err)
			}
		}
	}
}

func (b *bench) targetNames(t testing.TB, run job.Run) string {
	t.Helper()
	ts, err := b.store.Targets(context.Background(), run.Tenant, run.ID, 0, 1000)
	must(t, err)
	var names []string
	for _, x := range ts {
		names = append(names, x.Name)
	}
	return strings.Join(names, " ")
}

func TestSubmit_Targets(t *testing.T) {
	b := newBench(t)
	b.fleet(t, admin)
	for _, c := range []struct {
		name                 string
		devices, addrs, pool []string
		ignore               bool
		want                 string // names of the run's targets in order
		unknown              string
	}{
		{name: "none: the service's own", want: "R2 R1"},
		{name: "devices replace them", devices: []string{"R3"}, want: "R3"},
		{name: "request order, each once", devices: []string{"R3", "R1", "R3"}, addrs: []string{"127.1.0.1", "127.1.0.2"}, pool: []string{"Static", "Edge"}, want: "R3 R1 R2"},
		{name: "dynamic pool", pool: []string{"Edge"}, want: "R3"},
		{name: "an empty pool does not fall back", pool: []string{"Empty"}, want: ""},
		{name: "unknown ones, in order, as often as named", devices: []string{"x", "R1", "x"}, addrs: []string{"9.9.9.9"}, pool: []string{"p"}, unknown: "device:x device:x address:9.9.9.9 pool:p"},
		{name: "ignored", devices: []string{"x", "R1"}, ignore: true, want: "R1", unknown: "device:x"},
		{name: "all unknown runs nothing, ignored or not", devices: []string{"x"}, ignore: true, unknown: "device:x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(b.started)
			got, err := b.Submit(context.Background(), operator, dispatch.Submission{
				Service: "hello", Devices: c.devices, Addresses: c.addrs, Pools: c.pool, IgnoreInvalid: c.ignore})
			var unknown []string
			for _, u := range got.Unknown {
				unknown = append(unknown, u.Kind+":"+u.Value)
			}
			if s := strings.Join(unknown, " "); s != c.unknown {
				t.Errorf("unknown %q, want %q", s, c.unknown)
			}
			if c.unknown != "" && c.want == "" {
				wantCode(t, err, job.Invalid)
				if len(b.started) != before {
					t.Error("a refused submit started something")
				}
				return
			}
			must(t, err)
			if s := b.targetNames(t, got.Run); s != c.want {
				t.Errorf("targets %q, want %q", s, c.want)
			}
			if len(b.started) != before+1 {
				t.Error("not started")
			}
		})
	}
}

func TestSubmit_Refusals(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	b.saved(t)(b.SaveServices(ctx, admin, []inventory.ServiceInput{{Name: "off", Body: ptr("x"), Disabled: ptr(true)}}))
	for _, c := range []struct {
		name string
		p    job.Principal
		sub  dispatch.Submission
		want job.Code
	}{
		{"a viewer may not run", viewer, dispatch.Submission{Service: "hello"}, job.Forbidden},
		{"no such service", operator, dispatch.Submission{Service: "nope"}, job.NotFound},
		{"another tenant's service", other, dispatch.Submission{Service: "hello"}, job.NotFound},
		{"disabled", operator, dispatch.Submission{Service: "off"}, job.Disabled},
		{"payload is no object", operator, dispatch.Submission{Service: "hello", Payload: json.RawMessage(`[1]`)}, job.Invalid},
		{"payload too large", operator, dispatch.Submission{Service: "hello", Payload: json.RawMessage(`{"x":"` + strings.Repeat("x", dispatch.MaxPayload) + `"}`)}, job.TooLarge},
		{"key too long", operator, dispatch.Submission{Service: "hello", IdempotencyKey: strings.Repeat("k", 256)}, job.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.Submit(ctx, c.p, c.sub)
			wantCode(t, err, c.want)
		})
	}
	if runs, _, err := b.Runs(ctx, viewer, dispatch.RunQuery{}); err != nil || len(runs) != 0 {
		t.Fatalf("refused submits left %d runs, %v", len(runs), err)
	}
}

func TestSubmit_FreezesServiceAndMergesPayload(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	long := strings.Repeat("# long\n", 2000)
	for _, body := range []string{"echo hi", long} {
		b.saved(t)(b.SaveServices(ctx, admin, []inventory.ServiceInput{{Name: "hello", Body: &body}}))
		got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello", Payload: json.RawMessage(`{"b":{"c":3},"z":null}`)})
		must(t, err)
		b.saved(t)(b.SaveServices(ctx, admin, []inventory.ServiceInput{{Name: "hello", Body: ptr("changed")}}))
		j, err := b.Job(ctx, viewer, got.Run)
		must(t, err)
		if j.Body != body || string(j.Payload) != `{"a":1,"b":{"c":3},"z":null}` {
			t.Errorf("job has body %.20q and payload %s", j.Body, j.Payload)
		}
	}
}

func TestSubmit_SameKeySameRun(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	sub := dispatch.Submission{Service: "hello", IdempotencyKey: "k", Path: "/rest", Body: []byte("1")}
	first, err := b.Submit(ctx, operator, sub)
	must(t, err)
	// Even when the service is gone.
	_, err = b.DeleteService(ctx, admin, "hello")
	must(t, err)
	again, err := b.Submit(ctx, operator, sub)
	must(t, err)
	if !again.Replayed || again.Run.ID != first.Run.ID || len(b.started) != 1 {
		t.Fatalf("replayed %v, run %s, first %s, %d starts", again.Replayed, again.Run.ID, first.Run.ID, len(b.started))
	}
	sub.Body = []byte("2")
	_, err = b.Submit(ctx, operator, sub)
	wantCode(t, err, job.KeyReused)
}

func TestSubmit_ARepeatedAnswerNamesTheUnknownTargetsToo(t *testing.T) {
	b := newBench(t)
	b.fleet(t, admin)
	sub := dispatch.Submission{Service: "hello", Devices: []string{"R1", "x"}, IgnoreInvalid: true, IdempotencyKey: "k"}
	for i, replayed := range []bool{false, true, true} {
		got, err := b.Submit(context.Background(), operator, sub)
		must(t, err)
		if got.Replayed != replayed || len(got.Unknown) != 1 || got.Unknown[0].Value != "x" {
			t.Errorf("answer %d: %+v", i, got)
		}
	}
}

func TestSubmit_AFailedStartIsTheSweepers(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	b.startErr = job.Errorf(job.Exhausted, "throttled")
	got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello"})
	must(t, err)
	b.startErr = nil
	if s, err := b.Sweep(ctx); err != nil || s.Started != 0 {
		t.Fatalf("swept too early: %+v, %v", s, err)
	}
	b.advance(16 * time.Second)
	s, err := b.Sweep(ctx)
	must(t, err)
	if s.Started != 1 || b.started[len(b.started)-1] != got.Run.ID {
		t.Fatalf("swept %+v, started %v", s, b.started)
	}
	// Not again before it is due again.
	if s, err := b.Sweep(ctx); err != nil || s.Started != 0 {
		t.Fatalf("swept %+v, %v", s, err)
	}
}

func TestSweep_WhatNeverStartsEnds(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello"})
	must(t, err)
	b.settle = func(ctx context.Context, tenant, run string) (bool, error) {
		return b.end(ctx, tenant, run, job.TimedOut)
	}
	settled := 0
	for range 70 {
		b.advance(time.Minute)
		s, err := b.Sweep(ctx)
		must(t, err)
		settled += s.Settled
	}
	run, err := b.Run(ctx, viewer, got.Run.ID)
	must(t, err)
	if settled != 1 || run.Status != job.TimedOut || !slices.Contains(b.stopped, run.ID) {
		t.Fatalf("settled %d times, status %s, stopped %v", settled, run.Status, b.stopped)
	}
}

func TestSweep_DropsRowsWithoutARunAndWhatRetentionLeaves(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello"})
	must(t, err)
	name := job.RunBlobPrefix(got.Run.Tenant, got.Run.ID) + "out"
	must(t, b.blobs.Put(ctx, name, []byte("x")))
	_, err = b.end(ctx, got.Run.Tenant, got.Run.ID, job.Succeeded)
	must(t, err)
	b.advance(2 * time.Hour)
	s, err := b.Sweep(ctx)
	must(t, err)
	if s.Expired != 1 || s.Rows == 0 {
		t.Fatalf("swept %+v", s)
	}
	_, err = b.blobs.Get(ctx, name)
	wantCode(t, err, job.NotFound)
	_, err = b.Run(ctx, viewer, got.Run.ID)
	wantCode(t, err, job.NotFound)
}

func TestCancel(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	submit := func() job.Run {
		got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello"})
		must(t, err)
		return got.Run
	}
	t.Run("a viewer may not, another tenant sees nothing", func(t *testing.T) {
		r := submit()
		_, err := b.Cancel(ctx, viewer, r.ID)
		wantCode(t, err, job.Forbidden)
		_, err = b.Cancel(ctx, other, r.ID)
		wantCode(t, err, job.NotFound)
	})
	t.Run("is stored, stops, settles", func(t *testing.T) {
		r := submit()
		got, err := b.Cancel(ctx, operator, r.ID)
		must(t, err)
		if got.Status != job.StatusCanceled || got.CanceledBy != "ops" || !slices.Contains(b.stopped, r.ID) {
			t.Fatalf("run %+v, stopped %v", got, b.stopped)
		}
		again, err := b.Cancel(ctx, operator, r.ID)
		must(t, err)
		if again.Rev != got.Rev {
			t.Error("a cancel changed a run that was over")
		}
	})
	t.Run("a live claim: running until the sweeper or the background settles", func(t *testing.T) {
		r := submit()
		live := 3
		settle := b.settle
		defer func() { b.settle = settle }()
		var mu sync.Mutex
		b.settle = func(ctx context.Context, tenant, run string) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			if live--; live > 0 {
				return false, nil
			}
			return settle(ctx, tenant, run)
		}
		got, err := b.Cancel(ctx, operator, r.ID)
		must(t, err)
		if got.Status.Terminal() || !got.Canceling() {
			t.Fatalf("run %+v", got)
		}
		ctx, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		got, err = b.Wait(ctx, operator, r.ID)
		must(t, err)
		if got.Status != job.StatusCanceled {
			t.Fatalf("run %+v", got)
		}
	})
	t.Run("a stop that fails is the sweeper's", func(t *testing.T) {
		r := submit()
		b.stopErr = job.Errorf(job.Exhausted, "throttled")
		settle := b.settle
		b.settle = func(context.Context, string, string) (bool, error) { return false, nil }
		_, err := b.Cancel(ctx, operator, r.ID)
		must(t, err)
		b.Close() // no background
		b.stopErr, b.settle = nil, settle
		b.advance(6 * time.Second)
		s, err := b.Sweep(ctx)
		must(t, err)
		if s.Settled != 1 {
			t.Fatalf("swept %+v", s)
		}
	})
}

func TestResults_UnclaimedDevicesFollowTheRun(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello", Devices: []string{"R1", "R2", "R3"}})
	must(t, err)
	out, object := job.Output{Stdout: strings.Repeat("random", 10), StdoutBytes: 60}.Pack()
	if object != nil {
		t.Fatal("short output became an object")
	}
	_, err = b.store.PutResult(ctx, got.Run, job.Result{Index: 1, Device: "R2", DeviceID: 2, Status: job.ResultSucceeded, Output: out})
	must(t, err)
	statuses := func(limit int) string {
		var s []string
		for from := 0; from >= 0; {
			page, err := b.Results(ctx, viewer, got.Run.ID, from, limit)
			must(t, err)
			for _, r := range page.Results {
				s = append(s, r.Device+"="+string(r.Status))
				if r.Device == "R2" && r.Output.Stdout != strings.Repeat("random", 10) {
					t.Errorf("output %+v", r.Output)
				}
			}
			from = page.Next
		}
		return strings.Join(s, " ")
	}
	for limit := 1; limit <= 4; limit++ {
		if s := statuses(limit); s != "R1=pending R2=succeeded R3=pending" {
			t.Errorf("pages of %d: %s", limit, s)
		}
	}
	_, c, err := b.Progress(ctx, viewer, got.Run.ID)
	must(t, err)
	if c.Total != 3 || c.Pending != 2 || c.Succeeded != 1 {
		t.Errorf("progress %+v", c)
	}
	_, err = b.end(ctx, got.Run.Tenant, got.Run.ID, job.StatusCanceled)
	must(t, err)
	if s := statuses(2); s != "R1=canceled R2=succeeded R3=canceled" {
		t.Error(s)
	}
	_, err = b.Results(ctx, other, got.Run.ID, 0, 1)
	wantCode(t, err, job.NotFound)
}

func TestWait_IsWokenAndGivesUpWithItsContext(t *testing.T) {
	b := newBench(t)
	b.fleet(t, admin)
	got, err := b.Submit(context.Background(), operator, dispatch.Submission{Service: "hello"})
	must(t, err)
	gone, stop := context.WithCancel(context.Background())
	stop()
	_, err = b.Wait(gone, operator, got.Run.ID)
	wantCode(t, err, job.Canceled)

	done := make(chan job.Run)
	go func() {
		run, err := b.Wait(context.Background(), operator, got.Run.ID)
		if err != nil {
			t.Error(err)
		}
		done <- run
	}()
	_, err = b.end(context.Background(), got.Run.Tenant, got.Run.ID, job.Succeeded)
	must(t, err)
	b.Notify(got.Run.Tenant, got.Run.ID)
	if run := <-done; run.Status != job.Succeeded {
		t.Fatalf("run %+v", run)
	}
}
