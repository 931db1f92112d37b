// Package storetest is the conformance suite of store.Driver: the laws in that
// interface's comments as tests. A driver that passes may stand under
// store.Store; two drivers that pass cannot be told apart by it.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"drover/internal/job"
	"drover/internal/store"
)

// Capability is something that not every driver can do.
type Capability string

// The capabilities.
const (
	Sweep  Capability = "sweep"  // is a store.Sweeper: its medium keeps expired rows until told
	Backup Capability = "backup" // is a store.Backuper
)

// Harness is one empty store on which one test runs.
type Harness struct {
	// Open opens the store with the suite's clock. After Close it may be
	// called again and gives the same store with the same content.
	Open func(t testing.TB, clock func() time.Time) store.Driver

	// Without names the capabilities that the driver does not have, each
	// with the reason, which the skipped test prints.
	Without map[Capability]string
}

// Clock is a clock that stands still until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands in a year far enough ahead that no
// medium with a clock of its own takes the suite's rows for expired.
func NewClock() *Clock {
	return &Clock{now: time.Date(2040, 2, 29, 12, 0, 0, 500, time.UTC)}
}

// Now returns where the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Run runs the suite. newHarness is called once per test.
func Run(t *testing.T, newHarness func(t testing.TB) Harness) {
	for _, group := range [][]law{rowLaws, conditionLaws, queryLaws, groupLaws, expiryLaws, counterLaws, limitLaws, concurrencyLaws, lifeLaws} {
		for _, l := range group {
			t.Run(l.name, func(t *testing.T) { l.test(newEnv(t, newHarness(t))) })
		}
	}
	t.Run("BehavesLikeTheModel", func(t *testing.T) { testModel(newEnv(t, newHarness(t))) })
}

type law struct {
	name string
	test func(*env)
}

// env is what one test works with.
type env struct {
	*testing.T
	ctx     context.Context
	clock   *Clock
	harness Harness
	d       store.Driver
}

func newEnv(t *testing.T, h Harness) *env {
	e := &env{T: t, ctx: t.Context(), clock: NewClock(), harness: h}
	e.d = h.Open(t, e.clock.Now)
	t.Cleanup(func() {
		if err := e.d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

// reopen closes the store and opens it again.
func (e *env) reopen() {
	e.Helper()
	if err := e.d.Close(); err != nil {
		e.Fatalf("Close: %v", err)
	}
	e.d = e.harness.Open(e.T, e.clock.Now)
}

func key(partition, sort string) store.Key { return store.Key{Partition: partition, Sort: sort} }

func row(k store.Key, value string) store.Row { return store.Row{Key: k, Value: []byte(value)} }

// put writes a row that must be accepted and returns its revision.
func (e *env) put(k store.Key, value string) string {
	e.Helper()
	return e.putRow(row(k, value), store.Always())
}

func (e *env) putRow(r store.Row, cond store.Cond) string {
	e.Helper()
	rev, err := e.d.Put(e.ctx, r, cond)
	if err != nil {
		e.Fatalf("Put %s: %v", name(r.Key), err)
	}
	if rev == "" {
		e.Fatalf("Put %s: the revision is empty", name(r.Key))
	}
	return rev
}

// get returns a row, or nil when it is missing.
func (e *env) get(k store.Key) *store.Row {
	e.Helper()
	rows, err := e.d.Get(e.ctx, k)
	if err != nil {
		e.Fatalf("Get %s: %v", name(k), err)
	}
	if len(rows) == 0 {
		return nil
	}
	if len(rows) > 1 || rows[0].Key != k {
		e.Fatalf("Get %s: answered %v", name(k), rows)
	}
	return &rows[0]
}

// wantValue demands a row with this value.
func (e *env) wantValue(k store.Key, value string) {
	e.Helper()
	switch r := e.get(k); {
	case r == nil:
		e.Fatalf("%s is missing; want %q", name(k), value)
	case !bytes.Equal(r.Value, []byte(value)):
		e.Fatalf("%s holds %q; want %q", name(k), r.Value, value)
	}
}

func (e *env) wantMissing(k store.Key) {
	e.Helper()
	if r := e.get(k); r != nil {
		e.Fatalf("%s is there: %q; want it missing", name(k), r.Value)
	}
}

// wantCode demands an error of a code, of the module's own type.
func (e *env) wantCode(what string, err error, code job.Code) {
	e.Helper()
	if got := job.CodeOf(err); got != code {
		e.Fatalf("%s: error %v has code %q; want %q", what, err, got, code)
	}
}

// sorts follows a query to its end and returns the sort keys of all pages.
func (e *env) sorts(q store.Query) []string {
	e.Helper()
	var all []string
	for pages := 0; ; pages++ {
		page, err := e.d.Query(e.ctx, q)
		if err != nil {
			e.Fatalf("Query %+v: %v", q, err)
		}
		for _, r := range page.Rows {
			if r.Key.Partition != q.Partition {
				e.Fatalf("Query of %q answered a row of %q", q.Partition, r.Key.Partition)
			}
			all = append(all, r.Key.Sort)
		}
		if page.Next == "" {
			return all
		}
		if len(page.Rows) == 0 || pages > 10_000 {
			e.Fatalf("Query %+v: a page that is not the last one is empty, or there is no end", q)
		}
		q.After = page.Next
	}
}

func name(k store.Key) string { return fmt.Sprintf("%.40q/%.40q", k.Partition, k.Sort) }
