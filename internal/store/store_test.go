package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/boltstore"
)

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t testing.TB, keep time.Duration) (*store.Store, *clock) {
	t.Helper()
	c := newClock()
	d, err := boltstore.Open(filepath.Join(t.TempDir(), "drover.db"), boltstore.Options{Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(d, store.Options{Clock: c.Now, Keep: keep})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, c
}

func wantCode(t testing.TB, err error, code job.Code) {
	t.Helper()
	if got := job.CodeOf(err); got != code {
		t.Fatalf("error %v has code %q, want %q", err, got, code)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func device(tenant, name, addr string, pools ...int64) *job.Device {
	return &job.Device{Meta: job.Meta{Tenant: tenant, Name: name}, Address: addr, Port: 22, PoolIDs: pools}
}

func TestDevice_IsFoundByIDNameAndAddressUntilDeleted(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, 0)
	d := device("a", "R1", "10.0.0.1", 7)
	must(t, s.PutDevice(ctx, nil, d))
	if d.ID != 1 {
		t.Fatalf("first id is %d", d.ID)
	}
	got, err := s.DeviceByName(ctx, "a", "R1")
	must(t, err)
	id, err := s.DeviceIDByAddress(ctx, "a", "10.0.0.1")
	must(t, err)
	members, err := s.Members(ctx, "a", 7)
	must(t, err)
	if got.ID != 1 || id != 1 || !slices.Equal(members, []int64{1}) {
		t.Fatalf("got %+v, address %d, members %v", got, id, members)
	}
	_, err = s.DeviceByName(ctx, "b", "R1")
	wantCode(t, err, job.NotFound)

	// A rename, another address and another pool move every row.
	next := got
	next.Name, next.Address, next.PoolIDs = "R1b", "10.0.0.2", []int64{8}
	must(t, s.PutDevice(ctx, &got, &next))
	_, err = s.DeviceByName(ctx, "a", "R1")
	wantCode(t, err, job.NotFound)
	_, err = s.DeviceIDByAddress(ctx, "a", "10.0.0.1")
	wantCode(t, err, job.NotFound)
	if m, err := s.Members(ctx, "a", 7); err != nil || len(m) != 0 {
		t.Fatalf("old pool still has %v, %v", m, err)
	}
	// The old revision is refused.
	wantCode(t, s.PutDevice(ctx, &got, &next), job.Conflict)

	got, err = s.DeviceByName(ctx, "a", "R1b")
	must(t, err)
	must(t, s.PutHostKey(ctx, "a", job.HostKey{DeviceID: got.ID, Key: "k"}))
	must(t, s.DeleteDevice(ctx, got))
	for _, err := range []error{
		second(s.Device(ctx, "a", 1)), second(s.DeviceByName(ctx, "a", "R1b")),
		second(s.DeviceIDByAddress(ctx, "a", "10.0.0.2")), second(s.HostKey(ctx, "a", 1)),
	} {
		wantCode(t, err, job.NotFound)
	}
	if m, err := s.Members(ctx, "a", 8); err != nil || len(m) != 0 {
		t.Fatalf("pool of a deleted device has %v, %v", m, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestDevice_NameIsUniqueInItsTenant(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, 0)
	must(t, s.PutDevice(ctx, nil, device("a", "R1", "10.0.0.1")))
	wantCode(t, s.PutDevice(ctx, nil, device("a", "R1", "10.0.0.9")), job.AlreadyExists)
	must(t, s.PutDevice(ctx, nil, device("b", "R1", "10.0.0.1")))
	must(t, s.PutDevice(ctx, nil, device("a", "R2", "10.0.0.2")))
	r2, err := s.DeviceByName(ctx, "a", "R2")
	must(t, err)
	next := r2
	next.Name = "R1"
	wantCode(t, s.PutDevice(ctx, &r2, &next), job.AlreadyExists)
	if _, err := s.DeviceByName(ctx, "a", "R2"); err != nil {
		t.Fatal("a refused rename has changed something: ", err)
	}
}

func TestDeviceIDByAddress_LowestIDWinsAndPrefixesDiffer(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, 0)
	must(t, s.PutDevice(ctx, nil, device("a", "x", "10.0.0.11")))
	must(t, s.PutDevice(ctx, nil, device("a", "y", "10.0.0.1")))
	must(t, s.PutDevice(ctx, nil, device("a", "z", "10.0.0.1")))
	id, err := s.DeviceIDByAddress(ctx, "a", "10.0.0.1")
	must(t, err)
	if id != 2 {
		t.Fatalf("device %d, want 2", id)
	}
	_, err = s.DeviceIDByAddress(ctx, "a", "10.0.0")
	wantCode(t, err, job.NotFound)
}

func TestUser_NameIsUniqueInTheInstallation(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, 0)
	u := job.User{Meta: job.Meta{Tenant: "a", Name: "ops"}, Role: job.Viewer}
	must(t, s.PutUser(ctx, &u))
	other := job.User{Meta: job.Meta{Tenant: "b", Name: "ops"}}
	wantCode(t, s.PutUser(ctx, &other), job.AlreadyExists)
	got, err := s.User(ctx, "ops")
	must(t, err)
	got.Role = job.Admin
	must(t, s.PutUser(ctx, &got))
	us, _, err := s.Users(ctx, "a", store.PageQuery{})
	must(t, err)
	if len(us) != 1 || us[0].Role != job.Admin || us[0].ID != u.ID {
		t.Fatalf("users %+v", us)
	}
	must(t, s.DeleteUser(ctx, us[0]))
	_, err = s.User(ctx, "ops")
	wantCode(t, err, job.NotFound)
}

func newRun(c *clock, id string, n int) store.NewRun {
	targets := make([]job.Target, n)
	for i := range targets {
		targets[i] = job.Target{ID: int64(i + 1), Name: fmt.Sprintf("d%05d", i)}
	}
	now := c.Now()
	return store.NewRun{
		Job: job.Job{ID: id, Tenant: "a", Body: "echo"},
		Run: job.Run{ID: id, Tenant: "a", JobID: id, ServiceName: "hello", Status: job.Queued, Created: now,
			Due: now.Add(15 * time.Second), Total: n, Shards: store.ShardsFor(n)},
		Targets: targets,
		Audit:   job.AuditEntry{Time: now, Tenant: "a", Action: "run.submit", Object: id},
	}
}

func TestCreateRun_CreationTimesAreUniqueUnderConcurrency(t *testing.T) {
	ctx := context.Background()
	s, c := open(t, 0)
	const n = 40
	var wg sync.WaitGroup
	created := make([]time.Time, n)
	for i := range n {
		wg.Go(func() {
			run, _, err := s.CreateRun(ctx, newRun(c, fmt.Sprintf("r%d", i), 1))
			if err != nil {
				t.Error(err)
			}
			created[i] = run.Created
		})
	}
	wg.Wait()
	seen := map[time.Time]bool{}
	for i, at := range created {
		if seen[at] {
			t.Fatalf("two runs created at %s", at)
		}
		seen[at] = true
		run, err := s.RunByCreated(ctx, "a", at)
		must(t, err)
		if run.ID != fmt.Sprintf("r%d", i) || !run.Created.Equal(at) {
			t.Fatalf("run at %s is %s created %s", at, run.ID, run.Created)
		}
	}
	log, _, err := s.AuditLog(ctx, "a", store.PageQuery{})
	must(t, err)
	if len(log) != n {
		t.Fatalf("%d audit entries, want %d", len(log), n)
	}
}

func TestCreateRun_IdempotencyKeyMakesOneRun(t *testing.T) {
	ctx := context.Background()
	s, c := open(t, 0)
	key := store.Idempotency{Principal: "ops", Path: "/x", Key: "k", BodyHash: sha256.Sum256([]byte("body"))}
	const n = 20
	ids := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			nr := newRun(c, fmt.Sprintf("r%d", i), 3)
			nr.Idempotency = &key
			run, _, err := s.CreateRun(ctx, nr)
			if err != nil {
				t.Error(err)
			}
			ids[i] = run.ID
		})
	}
	wg.Wait()
	if slices.Sort(ids); ids[0] != ids[n-1] {
		t.Fatalf("one key made several runs: %v", slices.Compact(ids))
	}
	runs, _, err := s.Runs(ctx, "a", store.RunQuery{})
	must(t, err)
	if len(runs) != 1 {
		t.Fatalf("%d runs are listed", len(runs))
	}
	other := newRun(c, "other", 1)
	k2 := key
	k2.BodyHash = sha256.Sum256([]byte("another body"))
	other.Idempotency = &k2
	_, _, err = s.CreateRun(ctx, other)
	wantCode(t, err, job.KeyReused)
	// Another principal's or path's key is another key, and so is this one
	// after a day.
	for i, k := range []store.Idempotency{{Principal: "eve", Path: "/x", Key: "k"}, {Principal: "ops", Path: "/y", Key: "k"}, {Principal: "ops/x", Path: "", Key: "k"}} {
		nr := newRun(c, fmt.Sprintf("s%d", i), 1)
		nr.Idempotency = &k
		if _, replayed, err := s.CreateRun(ctx, nr); err != nil || replayed {
			t.Fatalf("key %+v: replayed %v, %v", k, replayed, err)
		}
	}
	c.Add(store.IdempotencyTTL + time.Second)
	other.Run.Created = c.Now()
	if _, replayed, err := s.CreateRun(ctx, other); err != nil || replayed {
		t.Fatalf("after a day: replayed %v, %v", replayed, err)
	}
}

func TestCreateRun_NameIsTakenOnce(t *testing.T) {
	ctx := context.Background()
	s, c := open(t, 0)
	nr := newRun(c, "r1", 1)
	nr.Run.Name = "nightly"
	_, _, err := s.CreateRun(ctx, nr)
	must(t, err)
	nr = newRun(c, "r2", 1)
	nr.Run.Name = "nightly"
	_, _, err = s.CreateRun(ctx, nr)
	wantCode(t, err, job.AlreadyExists)
	_, err = s.Run(ctx, "a", "r2")
	wantCode(t, err, job.NotFound)
}

func TestTargets_AnyRangeOfAnyNumber(t *testing.T) {
	ctx := context.Background()
	s, c := open(t, 0)
	for _, n := range []int{0, 1, 127, 128, 129, 5000} {
		nr := newRun(c, fmt.Sprintf("n%d", n), n)
		_, _, err := s.CreateRun(ctx, nr)
		must(t, err)
		rapid.Check(t, func(rt *rapid.T) {
			from, k := rapid.IntRange(-1, n+300).Draw(rt, "from"), rapid.IntRange(0, 600).Draw(rt, "k")
			got, err := s.Targets(ctx, "a", nr.Run.ID, from, k)
			if err != nil {
				rt.Fatal(err)
			}
			var want []job.Target
			if from >= 0 && from < n && k > 0 {
				want = nr.Targets[from:min(n, from+k)]
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("targets %d+%d of %d: got %d, want %d", from, k, n, len(got), len(want))
			}
		})
	}
}

func TestUpdateRun_TerminalNeverChangesAndOpenRowFollows(t *testing.T) {
	ctx := context.Background()
	s, c := open(t, time.Hour)
	_, _, err := s.CreateRun(ctx, newRun(c, "r1", 1))
	must(t, err)
	due := func() int {
		rows, _, err := s.Due(ctx, c.Now(), store.PageQuery{})
		must(t, err)
		return len(rows)
	}
	if due() != 0 {
		t.Fatal("due before its time")
	}
	c.Add(15 * time.Second)
	if due() != 1 {
		t.Fatal("not due at its time")
	}
	run, job1, err := s.RunAndJob(ctx, "a", "r1")
	must(t, err)
	if job1.Body != "echo" {
		t.Fatalf("job %+v", job1)
	}
	next := run
	next.Status, next.Due = job.Running, c.Now().Add(time.Minute)
	must(t, s.UpdateRun(ctx, run, next, job.AuditEntry{}))
	if due() != 0 {
		t.Fatal("the old open row stayed")
	}
	wantCode(t, s.UpdateRun(ctx, run, next, job.AuditEntry{}), job.Conflict)
	running, _, err := s.Runs(ctx, "a", store.RunQuery{Status: job.Running})
	must(t, err)
	if len(running) != 1 {
		t.Fatalf("listed as running: %d", len(running))
	}

	end := running[0]
	end.Status = job.Succeeded
	must(t, s.UpdateRun(ctx, running[0], end, job.AuditEntry{}))
	c.Add(10 * time.Minute)
	if due() != 0 {
		t.Fatal("a terminal run is still open")
	}
	over, err := s.Run(ctx, "a", "r1")
	must(t, err)
	again := over
	again.Status = job.Failed
	wantCode(t, s.UpdateRun(ctx, over, again, job.AuditEntry{}), job.Conflict)

	// Retention is counted from the end.
	c.Add(time.Hour)
	_, err = s.Run(ctx, "a", "r1")
	wantCode(t, err, job.NotFound)
	_, err = s.RunByCreated(ctx, "a", over.Created)
	wantCode(t, err, job.NotFound)
	expired, _, err := s.Expired(ctx, c.Now(), store.PageQuery{})
	must(t, err)
	if len(expired) != 1 || expired[0].Run != "r1" {
		t.Fatalf("expired %+v", expired)
	}
	must(t, s.ForgetExpired(ctx, expired[0]))
	if expired, _, err = s.Expired(ctx, c.Now(), store.PageQuery{}); err != nil || len(expired) != 0 {
		t.Fatalf("expired %+v, %v", expired, err)
	}
}

func TestPutResult_OneClaimWins(t *testing.T) {
	ctx := context.Background()
	s, c := open(t, 0)
	nr := newRun(c, "r1", 1)
	run, _, err := s.CreateRun(ctx, nr)
	must(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 20 {
		wg.Go(func() {
			_, err := s.PutResult(ctx, run, job.Result{Status: job.ResultRunning, Claim: &job.Claim{Owner: fmt.Sprint(i)}})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if job.CodeOf(err) != job.Conflict {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Fatalf("%d claims were granted", won)
	}
	r, err := s.Result(ctx, run, 0, "")
	must(t, err)
	old := r
	r.Status, r.Claim = job.ResultSucceeded, nil
	rev, err := s.PutResult(ctx, run, r)
	must(t, err)
	_, err = s.PutResult(ctx, run, old)
	wantCode(t, err, job.Conflict)
	r.Rev = rev
	if _, err := s.PutResult(ctx, run, r); err != nil {
		t.Fatal("the returned revision does not serve: ", err)
	}
}

// Whatever subset of devices has results, over however many shards, paging with
// any page size gives exactly those, in order, once.
func TestResults_PagingOverShards(t *testing.T) {
	ctx := context.Background()
	s, c := open(t, 0)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		run := job.Run{ID: fmt.Sprintf("p%d", round), Tenant: "a", Shards: rapid.IntRange(1, 5).Draw(rt, "shards")}
		indexes := rapid.SliceOfNDistinct(rapid.IntRange(0, 200), 0, 40, rapid.ID[int]).Draw(rt, "indexes")
		for _, i := range indexes {
			if _, err := s.PutResult(ctx, run, job.Result{Index: i, Status: job.ResultSucceeded}); err != nil {
				rt.Fatal(err)
			}
		}
		slices.Sort(indexes)
		var got []int
		limit := rapid.IntRange(1, 15).Draw(rt, "limit")
		for from := 0; ; {
			rs, err := s.Results(ctx, run, from, limit)
			if err != nil {
				rt.Fatal(err)
			}
			if len(rs) == 0 {
				break
			}
			if len(rs) > limit {
				rt.Fatalf("%d rows on a page of %d", len(rs), limit)
			}
			for _, r := range rs {
				got = append(got, r.Index)
			}
			from = got[len(got)-1] + 1
		}
		if !slices.Equal(got, indexes) {
			rt.Fatalf("got %v, want %v", got, indexes)
		}
	})
	_ = c
}

func TestListRow_StaysSmall(t *testing.T) {
	ctx := context.Background()
	s, c := open(t, 0)
	nr := newRun(c, "01JDABCDEFGHJKMNPQRSTVWXYZ", 1)
	nr.Run.ServiceName = string(make([]byte, 0, 255))
	for len(nr.Run.ServiceName) < 255 {
		nr.Run.ServiceName += "s"
	}
	_, _, err := s.CreateRun(ctx, nr)
	must(t, err)
	page, err := s.Driver().Query(ctx, store.Query{Partition: "a/runs"})
	must(t, err)
	if n := len(page.Rows[0].Value); n > 400 {
		t.Fatalf("a list row has %d bytes, more than 400", n)
	}
}

func TestSetting_FirstOneStays(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, 0)
	_, err := s.Setting(ctx, "keyset")
	wantCode(t, err, job.NotFound)
	for _, v := range []string{"one", "two"} {
		got, err := s.PutSettingIfMissing(ctx, "keyset", []byte(v))
		must(t, err)
		if string(got) != "one" {
			t.Fatalf("got %q", got)
		}
	}
}

func TestRun_HostileIDs(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, 0)
	for _, id := range []string{"", "a/b", "../x", string(make([]byte, 5000))} {
		_, err := s.Run(ctx, "a", id)
		wantCode(t, err, job.NotFound)
		var e *job.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
	}
}
