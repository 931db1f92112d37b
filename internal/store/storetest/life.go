package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"drover/internal/job"
	"drover/internal/store"
)

const writers = 50

// together calls f on many goroutines that start at the same time.
func together(n int, f func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// retry repeats a call as long as it is throttled: what a caller does.
func retry(f func() error) error {
	for {
		err := f()
		if job.CodeOf(err) != job.Exhausted {
			return err
		}
	}
}

var concurrencyLaws = []law{
	{"Concurrent_OneCreates", func(e *env) {
		k := key("p", "a")
		var won, lost atomic.Int64
		var winner atomic.Pointer[string]
		together(writers, func(i int) {
			value := fmt.Sprint("writer ", i)
			err := retry(func() error {
				_, err := e.d.Put(e.ctx, row(k, value), store.IfMissing())
				return err
			})
			switch job.CodeOf(err) {
			case "":
				won.Add(1)
				winner.Store(&value)
			case job.Conflict:
				lost.Add(1)
			default:
				e.Errorf("writer %d: %v", i, err)
			}
		})
		if won.Load() != 1 || lost.Load() != writers-1 {
			e.Fatalf("%d won and %d lost; want 1 and %d", won.Load(), lost.Load(), writers-1)
		}
		e.wantValue(k, *winner.Load())
	}},
	{"Concurrent_OneReplaces", func(e *env) {
		k := key("p", "a")
		rev := e.put(k, "start")
		for round := range 3 {
			var won atomic.Int64
			var next atomic.Pointer[string]
			together(writers, func(i int) {
				var got string
				err := retry(func() (err error) {
					if i%2 == 0 {
						got, err = e.d.Put(e.ctx, row(k, fmt.Sprint(i)), store.IfRev(rev))
						return err
					}
					return e.d.Atomic(e.ctx, opPut(k, fmt.Sprint(i), store.IfRev(rev)), opPut(key("q", fmt.Sprint(round, i)), "", store.Always()))
				})
				switch job.CodeOf(err) {
				case "":
					won.Add(1)
					next.Store(&got)
				case job.Conflict:
				default:
					e.Errorf("writer %d: %v", i, err)
				}
			})
			if won.Load() != 1 {
				e.Fatalf("round %d: %d writers won", round, won.Load())
			}
			if rev = e.get(k).Rev; *next.Load() != "" && *next.Load() != rev {
				e.Fatalf("round %d: the winner was told revision %q; the row has %q", round, *next.Load(), rev)
			}
		}
		if got := e.sorts(store.Query{Partition: "q"}); len(got) > 3 {
			e.Fatalf("losing groups left rows: %q", got)
		}
	}},
	{"Concurrent_RefusalsDoNotSpread", func(e *env) {
		taken := key("p", "taken")
		e.put(taken, "")
		together(writers, func(i int) {
			k := key("p", fmt.Sprint(i))
			if i%2 == 0 {
				err := retry(func() error { _, err := e.d.Put(e.ctx, row(taken, "x"), store.IfMissing()); return err })
				if job.CodeOf(err) != job.Conflict {
					e.Errorf("writer %d: %v; want its conflict", i, err)
				}
				return
			}
			if err := retry(func() error { _, err := e.d.Put(e.ctx, row(k, "x"), store.IfMissing()); return err }); err != nil {
				e.Errorf("writer %d suffers for another: %v", i, err)
			}
		})
		e.wantValue(taken, "")
		if got := e.sorts(store.Query{Partition: "p"}); len(got) != 1+writers/2 {
			e.Fatalf("%d rows; want %d", len(got), 1+writers/2)
		}
	}},
	{"Concurrent_AddLosesNothing", func(e *env) {
		k := key("p", "a")
		var mu sync.Mutex
		seen := map[int64]bool{}
		together(writers, func(i int) {
			for range 4 {
				var n int64
				err := retry(func() (err error) { n, err = e.d.Add(e.ctx, k, 1, time.Time{}); return err })
				mu.Lock()
				if err != nil || seen[n] {
					e.Errorf("Add: %d, %v (seen before: %v)", n, err, seen[n])
				}
				seen[n] = true
				mu.Unlock()
			}
		})
		e.add(k, 0, time.Time{}, writers*4)
	}},
	{"Concurrent_ReadersSeeWholeGroups", func(e *env) {
		a, b := key("p", "a"), key("p", "b")
		e.put(a, "0")
		e.put(b, "0")
		ctx, stop := context.WithCancel(e.ctx)
		defer stop()
		var wg sync.WaitGroup
		wg.Go(func() {
			defer stop()
			for i := range 100 {
				v := fmt.Sprint(i)
				if err := retry(func() error {
					return e.d.Atomic(e.ctx, opPut(a, v, store.Always()), opPut(b, v, store.Always()))
				}); err != nil {
					e.Error(err)
				}
			}
		})
		// A group is seen whole by reads that begin after its answer; what two
		// rows read while it is written show, only some media promise.
		for ctx.Err() == nil {
			rows, err := e.d.Get(e.ctx, a, b)
			if err != nil || len(rows) != 2 {
				e.Errorf("Get: %v, %v", rows, err)
				break
			}
		}
		wg.Wait()
		e.wantValue(a, "99")
		e.wantValue(b, "99")
	}},
}

var lifeLaws = []law{
	{"Reopen_KeepsEverything", func(e *env) {
		a, b := key("p", "a"), key("p", "\xff\x00")
		revA := e.put(a, "1")
		e.putRow(e.in(time.Minute, b, ""), store.Always())
		for range 3 {
			e.reopen()
			if r := e.get(a); r == nil || r.Rev != revA || string(r.Value) != "1" {
				e.Fatalf("after reopening: %+v", r)
			}
			if r := e.get(b); r == nil || !r.Expires.Equal(e.clock.Now().Add(time.Minute).Truncate(time.Second)) {
				e.Fatalf("after reopening: %+v", r)
			}
		}
		_, err := e.d.Put(e.ctx, row(a, "2"), store.IfMissing())
		e.wantCode("create after reopening", err, job.Conflict)
		if rev := e.putRow(row(a, "2"), store.IfRev(revA)); rev == revA {
			e.Fatal("the revision came again after reopening")
		}
		page, err := e.d.Query(e.ctx, store.Query{Partition: "p", Limit: 1})
		if err != nil {
			e.Fatal(err)
		}
		e.reopen()
		page, err = e.d.Query(e.ctx, store.Query{Partition: "p", Limit: 1, After: page.Next})
		if err != nil || len(page.Rows) != 1 || page.Rows[0].Key != b {
			e.Fatalf("a cursor after reopening: %+v, %v", page, err)
		}
	}},
	{"Close_EndsCalls", func(e *env) {
		k := key("p", "a")
		e.put(k, "1")
		if err := e.d.Close(); err != nil {
			e.Fatal(err)
		}
		if err := e.d.Close(); err != nil {
			e.Fatalf("a second Close: %v", err)
		}
		for call, err := range e.everyCall(k) {
			e.wantCode(call+" after Close", err, job.Unavailable)
		}
		_, err := e.d.Query(e.ctx, store.Query{Partition: "p"})
		e.wantCode("Query after Close", err, job.Unavailable)
		e.d = e.harness.Open(e.T, e.clock.Now)
		e.wantValue(k, "1")
	}},
	{"Context_EndedCallsAreCanceled", func(e *env) {
		k := key("p", "a")
		e.put(k, "1")
		live := e.ctx
		past, stop := context.WithTimeout(live, -time.Second)
		defer stop()
		canceled, cancel := context.WithCancelCause(live)
		cancel(errors.New("the caller went away"))
		for _, ctx := range []context.Context{past, canceled} {
			e.ctx = ctx
			for call, err := range e.everyCall(k) {
				e.wantCode(call+" with an ended context", err, job.Canceled)
			}
			_, err := e.d.Query(ctx, store.Query{Partition: "p"})
			e.wantCode("Query with an ended context", err, job.Canceled)
		}
		e.ctx = live
		e.wantValue(k, "1")
		e.wantMissing(key("p", "fine"))
		e.add(k, 1, time.Time{}, 1)
	}},
	{"Backup_IsWhole", func(e *env) {
		b, ok := e.d.(store.Backuper)
		if reason, without := e.harness.Without[Backup]; without {
			if ok {
				e.Fatalf("the harness says that the driver has no backup (%s), and it has", reason)
			}
			e.Skip("by the harness: ", reason)
		}
		if !ok {
			e.Fatal("the driver has no backup, and the harness does not say so")
		}
		e.put(key("p", "a"), "1")
		var out bytes.Buffer
		n, err := b.Backup(e.ctx, &out)
		if err != nil || n != int64(out.Len()) || n == 0 {
			e.Fatalf("Backup: %d of %d bytes, %v", n, out.Len(), err)
		}
		_, err = b.Backup(e.ctx, failingWriter{})
		e.wantCode("backup into a full place", err, job.Unavailable)
		ctx, stop := context.WithCancel(e.ctx)
		stop()
		_, err = b.Backup(ctx, &out)
		e.wantCode("backup with an ended context", err, job.Canceled)
	}},
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("no room") }
