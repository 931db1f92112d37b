package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/boltstore"
)

// watched counts the rows that queries return, and does something before reads.
type watched struct {
	store.Driver
	rows    atomic.Int64
	puts    []store.Row // of groups
	heavy   int         // bytes of the heaviest group
	onceGot func(keys []store.Key)
}

func (d *watched) Query(ctx context.Context, q store.Query) (store.Page, error) {
	p, err := d.Driver.Query(ctx, q)
	d.rows.Add(int64(len(p.Rows)))
	return p, err
}

func (d *watched) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	rows, err := d.Driver.Get(ctx, keys...)
	if f := d.onceGot; f != nil {
		d.onceGot = nil
		f(keys)
	}
	return rows, err
}

func (d *watched) Atomic(ctx context.Context, ops ...store.Op) error {
	n := 0
	for _, op := range ops {
		n += len(op.Row.Value)
		if op.Kind == store.OpPut {
			d.puts = append(d.puts, op.Row)
		}
	}
	d.heavy = max(d.heavy, n)
	return d.Driver.Atomic(ctx, ops...)
}

func watch(t testing.TB, keep time.Duration) (*store.Store, *watched, *clock) {
	t.Helper()
	c := newClock()
	b, err := boltstore.Open(filepath.Join(t.TempDir(), "drover.db"), boltstore.Options{Clock: c.Now})
	must(t, err)
	d := &watched{Driver: b}
	s := store.New(d, store.Options{Clock: c.Now, Keep: keep})
	t.Cleanup(func() { _ = s.Close() })
	return s, d, c
}

// A service's name is 255 bytes at most; JSON writes some of them as six.
func TestListRow_StaysSmallWhateverTheName(t *testing.T) {
	ctx := context.Background()
	for _, char := range []string{"s", "<", "é", "\u2028", "世", "𝄞"} {
		s, c := open(t, 0)
		name := strings.Repeat(char, 255/len(char))
		for i, service := range []string{name, name[:len(name)-len(char)]} {
			nr := newRun(c, fmt.Sprintf("01JDABCDEFGHJKMNPQRSTVWXY%d", i), 1)
			nr.Run.ServiceName, nr.Run.Status = service, job.AwaitingApproval
			_, _, err := s.CreateRun(ctx, nr)
			must(t, err)
		}
		page, err := s.Driver().Query(ctx, store.Query{Partition: "a/runs"})
		must(t, err)
		for _, row := range page.Rows {
			if n := len(row.Value); n > 400 {
				t.Errorf("%q: a list row has %d bytes, more than 400", char, n)
			}
		}
		// What is cut off still tells services apart.
		runs, _, err := s.Runs(ctx, "a", store.RunQuery{Service: name})
		must(t, err)
		if len(runs) != 1 || runs[0].ServiceName != name {
			t.Errorf("%q: found %d runs", char, len(runs))
		}
	}
}

// Reading all results of a large run reads each of them about once.
func TestResults_ReadsWhatItReturns(t *testing.T) {
	ctx := context.Background()
	s, d, _ := watch(t, 0)
	const n = 2000
	run := job.Run{ID: "r", Tenant: "a", Total: n, Shards: store.MaxShards}
	for i := range n {
		_, err := s.PutResult(ctx, run, job.Result{Index: i, Status: job.ResultSucceeded})
		must(t, err)
	}
	got := 0
	for from := 0; ; {
		rs, err := s.Results(ctx, run, from, 100)
		must(t, err)
		if len(rs) == 0 {
			break
		}
		got += len(rs)
		from = rs[len(rs)-1].Index + 1
	}
	if read := d.rows.Load(); got != n || read > n*3/2 {
		t.Errorf("%d results of %d by reading %d rows", got, n, read)
	}
}

// However long the names are, no group is heavier than a group may be.
func TestCreateRun_TargetsWithTheLongestNames(t *testing.T) {
	ctx := context.Background()
	for _, n := range []int{2048, 12_800} {
		s, d, c := watch(t, 0)
		nr := newRun(c, "r1", n)
		for i := range nr.Targets {
			nr.Targets[i].Name = strings.Repeat("<", 250) + fmt.Sprintf("%05d", i)
		}
		_, _, err := s.CreateRun(ctx, nr)
		must(t, err)
		if d.heavy > store.MaxGroupSize*3/4 {
			t.Errorf("%d targets: a group of %d bytes", n, d.heavy)
		}
		for _, row := range d.puts {
			if len(row.Value) > 300<<10 {
				t.Errorf("%d targets: a row of %d bytes", n, len(row.Value))
			}
		}
		got, err := s.Targets(ctx, "a", "r1", n-1, 1)
		must(t, err)
		if len(got) != 1 || got[0] != nr.Targets[n-1] {
			t.Errorf("last of %d targets: %+v", n, got)
		}
	}
}

// Nothing of a run stays for ever once its retention is over.
func TestRetention_LeavesNothing(t *testing.T) {
	ctx := context.Background()
	s, d, c := watch(t, 24*time.Hour)
	nr := newRun(c, "r1", 3)
	nr.Run.Name = "nightly"
	nr.Idempotency = &store.Idempotency{Principal: "ops", Key: "k"}
	_, _, err := s.CreateRun(ctx, nr)
	must(t, err)
	run, err := s.Run(ctx, "a", "r1")
	must(t, err)
	_, err = s.PutResult(ctx, run, job.Result{Index: 0, Status: job.ResultSucceeded})
	must(t, err)
	end := run
	end.Status = job.Succeeded
	must(t, s.UpdateRun(ctx, run, end, job.AuditEntry{}))

	// As long as the run is kept, so is all that belongs to it.
	c.Add(24*time.Hour - time.Second)
	_, _, err = s.RunAndJob(ctx, "a", "r1")
	must(t, err)
	if ts, err := s.Targets(ctx, "a", "r1", 0, 3); err != nil || len(ts) != 3 {
		t.Fatalf("targets %v, %v", ts, err)
	}

	c.Add(30 * 24 * time.Hour)
	var keys []store.Key
	for _, row := range d.puts {
		if !strings.HasSuffix(row.Key.Partition, "/audit") && row.Key.Partition != "expired" {
			keys = append(keys, row.Key)
		}
	}
	rows, err := s.Driver().Get(ctx, keys...)
	must(t, err)
	for _, r := range rows {
		t.Errorf("still there: %s | %s", r.Key.Partition, r.Key.Sort)
	}
}

// A key is good for one run in its day, also when that run is not kept so long.
func TestCreateRun_KeyOutlivesItsRun(t *testing.T) {
	ctx := context.Background()
	s, c := open(t, time.Hour)
	key := &store.Idempotency{Principal: "ops", Path: "/x", Key: "k", BodyHash: sha256.Sum256([]byte("body"))}
	nr := newRun(c, "r1", 1)
	nr.Idempotency = key
	_, _, err := s.CreateRun(ctx, nr)
	must(t, err)
	run, err := s.Run(ctx, "a", "r1")
	must(t, err)
	end := run
	end.Status = job.Succeeded
	must(t, s.UpdateRun(ctx, run, end, job.AuditEntry{}))
	c.Add(2 * time.Hour)
	_, err = s.Run(ctx, "a", "r1")
	wantCode(t, err, job.NotFound)

	_, _, err = s.Replayed(ctx, "a", *key)
	wantCode(t, err, job.Conflict)
	nr = newRun(c, "r2", 1)
	nr.Idempotency = key
	_, _, err = s.CreateRun(ctx, nr)
	wantCode(t, err, job.Conflict)
	_, err = s.Run(ctx, "a", "r2")
	wantCode(t, err, job.NotFound)
}

// A name that was given to another object, or to none, while it was looked up
// does not lead to the object that had it before.
func TestByName_RenamedMeanwhile(t *testing.T) {
	ctx := context.Background()
	s, d, _ := watch(t, 0)
	dev := device("a", "R1", "10.0.0.1")
	must(t, s.PutDevice(ctx, nil, dev))
	d.onceGot = func([]store.Key) {
		old, err := s.Device(ctx, "a", dev.ID)
		must(t, err)
		next := old
		next.Name = "R2"
		must(t, s.PutDevice(ctx, &old, &next))
	}
	got, err := s.DeviceByName(ctx, "a", "R1")
	if job.CodeOf(err) != job.NotFound {
		t.Errorf("%+v, %v", got, err)
	}
}

// A change and its audit entry are written together or not at all.
func TestAudit_GoesWithItsChange(t *testing.T) {
	ctx := context.Background()
	s, c := open(t, 0)
	entry := job.AuditEntry{Time: c.Now(), Tenant: "a", Action: "device.create", Object: "R1"}
	dev := device("a", "R1", "10.0.0.1")
	must(t, s.PutDevice(ctx, nil, dev, entry))
	wantCode(t, s.PutDevice(ctx, nil, device("a", "R1", "10.0.0.1"), entry), job.AlreadyExists)
	old := *dev
	old.Rev = "another"
	wantCode(t, s.PutDevice(ctx, &old, dev, entry), job.Conflict)
	wantCode(t, s.DeleteDevice(ctx, old, entry), job.Conflict)
	log, _, err := s.AuditLog(ctx, "a", store.PageQuery{})
	must(t, err)
	if len(log) != 1 || log[0].Object != "R1" {
		t.Errorf("%+v", log)
	}
}
