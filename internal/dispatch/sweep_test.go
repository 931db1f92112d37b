package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/blob"
	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/store"
)

// stored puts a run into the store as a task left it.
func (b *bench) stored(t testing.TB, id string, change func(*job.Run)) {
	t.Helper()
	now := b.clock()
	r := job.Run{ID: id, JobID: id, Tenant: job.DefaultTenant, ServiceName: "hello", Status: job.Running, Created: now, Started: &now, Total: 1, Shards: 1}
	deadline := now.Add(time.Hour)
	r.Deadline, r.Due = &deadline, deadline
	change(&r)
	_, _, err := b.store.CreateRun(context.Background(), store.NewRun{Job: job.Job{ID: id, Tenant: r.Tenant}, Run: r})
	must(t, err)
}

// A Finish that met a live claim leaves the run due when that claim is over. The
// map has ended: nobody but the sweeper comes back.
func TestSweep_SettlesWhatFinishLeft(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.stored(t, "left", func(r *job.Run) { r.Due = b.clock().Add(30 * time.Second) })
	b.stored(t, "going", func(r *job.Run) {
		// Due within the millisecond of the sweep, and not yet over.
		at := b.clock().Add(31*time.Second + 900*time.Microsecond)
		r.Deadline, r.Due = &at, at
	})
	live := true
	b.settle = func(ctx context.Context, tenant, run string) (bool, error) {
		if run != "left" {
			t.Errorf("%s is settled while it goes on", run)
		}
		if live {
			return false, nil
		}
		return b.end(ctx, tenant, run, job.Succeeded)
	}
	b.advance(31 * time.Second)
	if s, err := b.Sweep(ctx); err != nil || s.Waiting != 1 {
		t.Fatalf("swept %+v, %v", s, err)
	}
	live = false
	if s, err := b.Sweep(ctx); err != nil || s.Settled != 1 {
		t.Fatalf("swept %+v, %v", s, err)
	}
	if len(b.stopped) != 0 {
		t.Errorf("stopped %v", b.stopped)
	}
}

// A run whose execution was ended from outside before it began is over at the
// next sweep: its name stays taken, and no start begins it again. One of which
// that cannot be known is started as before.
func TestSweep_ExecutionEndedBeforeItBegan(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	for _, id := range []string{"ended", "unheard-of", "begun"} {
		b.stored(t, id, func(r *job.Run) {
			r.Status, r.Started, r.Due = job.Queued, nil, b.clock().Add(time.Minute)
			if id == "begun" { // since the row was read: a later due time is its own
				now := b.clock()
				r.Status, r.Started = job.Running, &now
			}
		})
	}
	b.ended = map[string]bool{"ended": true, "begun": true}
	b.settle = func(ctx context.Context, tenant, id string) (bool, error) {
		run, err := b.store.Run(ctx, tenant, id)
		must(t, err)
		if id != "begun" && (run.Reason != job.ReasonAborted || run.Status != job.Queued) {
			t.Errorf("%s is settled as %s %q", id, run.Status, run.Reason)
		}
		return b.end(ctx, tenant, id, job.Failed)
	}
	b.advance(2 * time.Minute)
	if s, err := b.Sweep(ctx); err != nil || s.Started != 1 || s.Settled != 2 {
		t.Fatalf("swept %+v, %v", s, err)
	}
	if !slices.Equal(b.started, []string{"unheard-of"}) || len(b.stopped) != 0 {
		t.Errorf("started %v, stopped %v", b.started, b.stopped)
	}

	b.endedErr = job.Errorf(job.Unavailable, "no answer")
	b.advance(2 * time.Minute)
	if s, err := b.Sweep(ctx); err != nil || s.Started != 1 {
		t.Fatalf("where it cannot be known: swept %+v, %v", s, err)
	}
}

// An execution that cannot be stopped does not keep its run from ending: a
// closed run grants no claim.
func TestSweep_SettlesAlthoughItCannotStop(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.stored(t, "r", func(*job.Run) {})
	b.stopErr = job.Errorf(job.Unavailable, "no answer")
	b.advance(2 * time.Hour)
	if s, err := b.Sweep(ctx); err != nil || s.Settled != 1 {
		t.Fatalf("swept %+v, %v", s, err)
	}
}

// However many runs fail, those behind them have their turn.
func TestSweep_FailingRunsHideNoOthers(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	for i := range 205 { // more than a page
		b.stored(t, fmt.Sprintf("r%03d", i), func(r *job.Run) {
			at := b.clock().Add(time.Duration(i) * time.Second)
			r.Deadline, r.Due = &at, at
		})
	}
	b.settle = func(ctx context.Context, tenant, run string) (bool, error) {
		if run != "r204" {
			return false, job.Errorf(job.Corrupt, "cannot be read")
		}
		return b.end(ctx, tenant, run, job.TimedOut)
	}
	b.advance(time.Hour)
	s, err := b.Sweep(ctx)
	wantCode(t, err, job.Corrupt)
	if s.Settled != 1 {
		t.Fatalf("swept %+v", s)
	}
}

// spiteful refuses to delete one prefix, and remembers what it holds.
type spiteful struct {
	blob.Bucket
	mu      sync.Mutex
	refuses string
	names   map[string]bool
}

func (s *spiteful) Put(ctx context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]bool{}
	}
	s.names[name] = true
	return s.Bucket.Put(ctx, name, data)
}

func (s *spiteful) DeletePrefix(ctx context.Context, prefix string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if prefix == s.refuses {
		return 0, job.Errorf(job.Unavailable, "permission denied")
	}
	for n := range s.names {
		if strings.HasPrefix(n, prefix) {
			delete(s.names, n)
		}
	}
	return s.Bucket.DeletePrefix(ctx, prefix)
}

func TestSweep_OneThatCannotBeRemovedKeepsNoOthers(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	blobs := &spiteful{Bucket: b.blobs, refuses: job.RunBlobPrefix(job.DefaultTenant, "r1")}
	b.Blobs = blobs
	for _, id := range []string{"r1", "r2"} {
		b.stored(t, id, func(*job.Run) {})
		must(t, blobs.Put(ctx, job.RunBlobPrefix(job.DefaultTenant, id)+"out", []byte("x")))
		_, err := b.end(ctx, job.DefaultTenant, id, job.Succeeded)
		must(t, err)
		b.advance(time.Second)
	}
	b.advance(2 * time.Hour)
	s, err := b.Sweep(ctx)
	wantCode(t, err, job.Unavailable)
	if s.Expired != 1 || len(blobs.names) != 1 {
		t.Fatalf("swept %+v, left %v", s, blobs.names)
	}
	blobs.refuses = ""
	if s, err := b.Sweep(ctx); err != nil || s.Expired != 1 || len(blobs.names) != 0 {
		t.Fatalf("swept %+v, %v, left %v", s, err, blobs.names)
	}
}

// A run that could not be written any more could not end either.
func TestSubmit_ExtraIsBounded(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	extra := func(n int) map[string]json.RawMessage {
		return map[string]json.RawMessage{"vendor": append(append([]byte{'"'}, bytes.Repeat([]byte("x"), n)...), '"')}
	}
	_, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello", Extra: extra(store.MaxRowBytes - 1024)})
	wantCode(t, err, job.TooLarge)
	_, err = b.Submit(ctx, operator, dispatch.Submission{Service: "hello", Extra: map[string]json.RawMessage{"vendor": json.RawMessage("{")}})
	wantCode(t, err, job.Invalid)
	_, err = b.Submit(ctx, operator, dispatch.Submission{Service: "hello", Extra: extra(1000)})
	must(t, err)
}

// What a submit wrote ahead goes when the submit is refused.
func TestSubmit_RefusedLeavesNothing(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	blobs := &spiteful{Bucket: b.blobs}
	b.Blobs = blobs
	b.saved(t)(b.SaveServices(ctx, admin, []inventory.ServiceInput{{Name: "hello", Body: ptr(strings.Repeat("# long\n", 2000))}}))
	first, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello", Name: "nightly"})
	must(t, err)
	_, err = b.Submit(ctx, operator, dispatch.Submission{Service: "hello", Name: "nightly"})
	wantCode(t, err, job.AlreadyExists)
	if len(blobs.names) != 1 {
		t.Errorf("left %v", blobs.names)
	}
	// A lost specification does not make the run look as if it were not there.
	for name := range blobs.names {
		must(t, blobs.Delete(ctx, name))
	}
	_, err = b.Job(ctx, viewer, first.Run)
	wantCode(t, err, job.Corrupt)
}

// The same fleet imported by many at once is one fleet, and nobody is refused.
func TestSave_ManyAtOnce(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			os, err := b.SaveDevices(ctx, admin, []inventory.DeviceInput{{Name: "R1", Address: ptr(fmt.Sprintf("10.0.0.%d", i))}})
			if err != nil || os[0].Err != nil {
				t.Errorf("%+v, %v", os, err)
			}
		})
	}
	wg.Wait()
	devs, _, err := b.Devices(ctx, viewer, dispatch.Page{})
	must(t, err)
	if len(devs) != 1 {
		t.Errorf("%d devices", len(devs))
	}
}

// Listings are in order of id, and that is the order of the file.
func TestSave_KeepsTheOrderOfTheInputs(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	var in []inventory.DeviceInput
	var want []string
	for i := range 60 {
		name := fmt.Sprintf("R%d", 60-i)
		want = append(want, name)
		in = append(in, inventory.DeviceInput{Name: name, Address: ptr("10.0.0.1")})
	}
	b.saved(t)(b.SaveDevices(ctx, admin, in[20:30]))
	b.saved(t)(b.SaveDevices(ctx, admin, in))
	devs, _, err := b.Devices(ctx, viewer, dispatch.Page{})
	must(t, err)
	want = slices.Concat(want[20:30], want[:20], want[30:])
	for i, d := range devs {
		if d.Name != want[i] || d.ID != int64(i+1) {
			t.Fatalf("device %d is %s with id %d, want %s", i, d.Name, d.ID, want[i])
		}
	}
	log, _, err := b.Audit(ctx, admin, dispatch.Page{Limit: 1000})
	must(t, err)
	if len(log) != len(in) {
		t.Errorf("%d audit entries for %d devices", len(log), len(in))
	}
}

// The execution of a run with detached commands is what ends them: a cancel and the
// run's deadline leave it alone, unless nobody is to wait.
func TestCancel_LeavesAnExecutionWithDetachedCommands(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.settle = func(context.Context, string, string) (bool, error) { return false, nil }
	for _, id := range []string{"detached", "overdue"} {
		b.stored(t, id, func(r *job.Run) { r.Detaches = true })
	}
	if _, err := b.Cancel(ctx, operator, "detached"); err != nil {
		t.Fatal(err)
	}
	b.advance(2 * time.Hour)
	if s, err := b.Sweep(ctx); err != nil || s.Waiting != 2 {
		t.Errorf("swept %+v, %v", s, err)
	}
	if len(b.stopped) != 0 {
		t.Errorf("stopped %v", b.stopped)
	}
	if _, err := b.CancelNow(ctx, operator, "detached"); err != nil {
		t.Fatal(err)
	}
	if len(b.stopped) == 0 {
		t.Error("a forced cancel waits")
	}
}
