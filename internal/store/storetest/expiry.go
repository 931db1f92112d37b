package storetest

import (
	"fmt"
	"slices"
	"time"

	"drover/internal/job"
	"drover/internal/store"
)

// in returns a row that expires d from now.
func (e *env) in(d time.Duration, k store.Key, value string) store.Row {
	r := row(k, value)
	r.Expires = e.clock.Now().Add(d)
	return r
}

var expiryLaws = []law{
	{"Expires_ComesBackInWholeSeconds", func(e *env) {
		k := key("p", "a")
		r := e.in(time.Hour+700*time.Millisecond, k, "1")
		e.putRow(r, store.Always())
		if got, want := e.get(k).Expires, r.Expires.Truncate(time.Second); !got.Equal(want) {
			e.Fatalf("got %v; want %v", got, want)
		}
		e.put(k, "2")
		if got := e.get(k).Expires; !got.IsZero() {
			e.Fatalf("a write without expiry left %v", got)
		}
	}},
	{"Expired_ReadsAsMissingBeforeItIsSwept", func(e *env) {
		k, other := key("p", "b"), key("p", "c")
		e.putRow(e.in(10*time.Second, k, "1"), store.Always())
		e.put(other, "stays")
		e.clock.Advance(9 * time.Second)
		e.wantValue(k, "1")
		e.clock.Advance(time.Second) // from its second on
		e.wantMissing(k)
		if rows, err := e.d.Get(e.ctx, k, other); err != nil || len(rows) != 1 {
			e.Fatalf("batch: %v, %v", rows, err)
		}
		if got := e.sorts(store.Query{Partition: "p"}); !slices.Equal(got, []string{"c"}) {
			e.Fatalf("Query: %q", got)
		}
		e.clock.Advance(100 * 365 * 24 * time.Hour)
		e.wantMissing(k)
		e.wantValue(other, "stays")
	}},
	{"Expired_WrittenInThePast", func(e *env) {
		for i, at := range []time.Time{e.clock.Now().Add(-time.Hour), time.Unix(0, 0), time.Unix(-5, 0), time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)} {
			k := key("p", fmt.Sprint(i))
			e.putRow(store.Row{Key: k, Expires: at}, store.Always())
			e.wantMissing(k)
		}
	}},
	{"Expired_IsMissingForConditions", func(e *env) {
		fresh := func(s string) (store.Key, string) {
			k := key("p", s)
			rev := e.putRow(e.in(5*time.Second, k, "old"), store.Always())
			e.clock.Advance(5 * time.Second)
			return k, rev
		}
		k, rev := fresh("a")
		_, err := e.d.Put(e.ctx, row(k, "x"), store.IfRev(rev))
		e.wantCode("put at its revision", err, job.Conflict)
		_, err = e.d.Put(e.ctx, row(k, "x"), store.IfExists())
		e.wantCode("put if exists", err, job.Conflict)
		e.wantCode("delete at its revision", e.d.Delete(e.ctx, k, store.IfRev(rev)), job.Conflict)
		e.wantCode("delete if exists", e.d.Delete(e.ctx, k, store.IfExists()), job.Conflict)
		e.wantCode("check in a group", e.d.Atomic(e.ctx, opCheck(k, store.IfRev(rev)), opPut(key("p", "z"), "", store.Always())), job.Conflict)
		e.wantMissing(key("p", "z"))
		if err := e.d.Atomic(e.ctx, opCheck(k, store.IfMissing())); err != nil {
			e.Fatalf("check that it is missing: %v", err)
		}
		e.putRow(row(k, "new"), store.IfMissing())
		e.wantValue(k, "new")

		k, _ = fresh("b")
		if err := e.d.Atomic(e.ctx, opPut(k, "new", store.IfMissing())); err != nil {
			e.Fatalf("create over it in a group: %v", err)
		}
		e.wantValue(k, "new")

		k, _ = fresh("c")
		if err := e.d.Delete(e.ctx, k, store.IfMissing()); err != nil {
			e.Fatalf("delete if missing: %v", err)
		}
		if err := e.d.Delete(e.ctx, k, store.Always()); err != nil {
			e.Fatalf("delete: %v", err)
		}
		e.wantMissing(k)
	}},
	{"Expired_DoesNotShortenPages", func(e *env) {
		var want []string
		for i := range 60 {
			k := key("p", fmt.Sprintf("%02d", i))
			if i%10 == 4 {
				e.put(k, "")
				want = append(want, k.Sort)
			} else {
				e.putRow(e.in(time.Second, k, ""), store.Always())
			}
		}
		e.clock.Advance(time.Second)
		for _, reverse := range []bool{false, true} {
			q := store.Query{Partition: "p", Limit: 4, Reverse: reverse}
			page, err := e.d.Query(e.ctx, q)
			if err != nil || len(page.Rows) != 4 || page.Next == "" {
				e.Fatalf("%d rows, cursor %q, %v; want 4 and more", len(page.Rows), page.Next, err)
			}
			if got := e.sorts(q); !slices.Equal(got, want) {
				e.Fatalf("got %q; want %q", got, want)
			}
			slices.Reverse(want)
		}
		q := store.Query{Partition: "p", From: "40", Limit: 2} // 44, 54, then expired rows only
		if page, err := e.d.Query(e.ctx, q); err != nil || len(page.Rows) != 2 || page.Next != "" {
			e.Fatalf("got %+v, %v; want the last page to know that it is", page, err)
		}
	}},
	{"Sweep_RemovesWhatExpired", func(e *env) {
		s := e.sweeper()
		if s == nil {
			return
		}
		for i := range 10 {
			e.putRow(e.in(time.Duration(i+1)*time.Second, key("p", fmt.Sprint(i)), ""), store.Always())
		}
		e.put(key("p", "stays"), "")
		moved, gone := key("p", "moved"), key("p", "gone")
		e.putRow(e.in(time.Second, moved, "1"), store.Always())
		e.putRow(e.in(time.Hour, moved, "2"), store.Always()) // a later expiry replaces the earlier
		e.putRow(e.in(time.Second, gone, ""), store.Always())
		if err := e.d.Delete(e.ctx, gone, store.Always()); err != nil {
			e.Fatal(err)
		}
		if _, err := e.d.Add(e.ctx, key("p", "0"), 1, e.clock.Now().Add(time.Second)); err != nil {
			e.Fatal(err)
		}
		sweep := func(limit, want int) {
			e.Helper()
			if n, err := s.Sweep(e.ctx, e.clock.Now(), limit); err != nil || n != want {
				e.Fatalf("Sweep removed %d, %v; want %d", n, err, want)
			}
		}
		sweep(100, 0)
		e.clock.Advance(6 * time.Second) // rows 0 to 5 and the counter
		sweep(0, 0)
		sweep(4, 4)
		sweep(100, 3)
		sweep(100, 0)
		if got := e.sorts(store.Query{Partition: "p"}); !slices.Equal(got, []string{"6", "7", "8", "9", "moved", "stays"}) {
			e.Fatalf("left: %q", got)
		}
		e.wantValue(moved, "2")
		e.putRow(row(key("p", "0"), "again"), store.IfMissing())
		e.wantValue(key("p", "0"), "again")
	}},
	{"Sweep_LargeBacklog", func(e *env) {
		s := e.sweeper()
		if s == nil {
			return
		}
		for i := range 12 {
			var ops []store.Op
			for j := range store.MaxAtomic {
				op := opPut(key("p", fmt.Sprintf("%02d/%02d", i, j)), "", store.Always())
				op.Row.Expires = e.clock.Now().Add(time.Second)
				ops = append(ops, op)
			}
			if err := e.d.Atomic(e.ctx, ops...); err != nil {
				e.Fatal(err)
			}
		}
		e.clock.Advance(time.Second)
		if n, err := s.Sweep(e.ctx, e.clock.Now(), 1_100); err != nil || n != 1_100 {
			e.Fatalf("Sweep removed %d, %v; want 1100", n, err)
		}
		if n, err := s.Sweep(e.ctx, e.clock.Now(), 1_100); err != nil || n != 100 {
			e.Fatalf("Sweep removed %d, %v; want the last 100", n, err)
		}
	}},
}

// sweeper returns the driver as a Sweeper, or skips or fails as declared.
func (e *env) sweeper() store.Sweeper {
	e.Helper()
	s, ok := e.d.(store.Sweeper)
	if reason, without := e.harness.Without[Sweep]; without {
		if ok {
			e.Fatalf("the harness says that the driver cannot sweep (%s), and it can", reason)
		}
		e.Skip("by the harness: ", reason)
	}
	if !ok {
		e.Fatal("the driver cannot sweep, and the harness does not say so")
	}
	return s
}

func (e *env) add(k store.Key, delta int64, expires time.Time, want int64) {
	e.Helper()
	got, err := e.d.Add(e.ctx, k, delta, expires)
	if err != nil || got != want {
		e.Fatalf("Add(%d): %d, %v; want %d", delta, got, err, want)
	}
}

var counterLaws = []law{
	{"Add_Counts", func(e *env) {
		k := key("count", "a")
		var never time.Time
		e.add(k, 1, never, 1)
		e.add(k, 41, never, 42)
		e.add(k, -50, never, -8)
		e.add(k, 0, never, -8)
		e.add(key("count", "b"), 7, never, 7)
		e.reopen()
		e.add(k, 1<<40, never, 1<<40-8)
	}},
	{"Add_CountersAreNotRows", func(e *env) {
		k := key("p", "a")
		e.add(k, 5, time.Time{}, 5)
		e.wantMissing(k)
		if got := e.sorts(store.Query{Partition: "p"}); len(got) != 0 {
			e.Fatalf("Query shows %q", got)
		}
		e.putRow(row(k, "row"), store.IfMissing())
		e.add(k, 1, time.Time{}, 6)
		e.wantValue(k, "row")
		if err := e.d.Delete(e.ctx, k, store.IfExists()); err != nil {
			e.Fatal(err)
		}
		e.add(k, 1, time.Time{}, 7)
	}},
	{"Add_Expires", func(e *env) {
		k := key("p", "window")
		e.add(k, 3, e.clock.Now().Add(10*time.Second), 3)
		e.clock.Advance(9 * time.Second)
		e.add(k, 1, e.clock.Now().Add(10*time.Second), 4) // every call sets the expiry anew
		e.clock.Advance(9 * time.Second)
		e.add(k, 1, e.clock.Now().Add(2*time.Second), 5)
		e.clock.Advance(2 * time.Second)
		e.add(k, 2, e.clock.Now().Add(time.Second), 2)
		e.add(k, 2, time.Time{}, 4)
		e.clock.Advance(time.Hour)
		e.add(k, 1, time.Time{}, 5)
	}},
	{"Add_NothingOnlyReads", func(e *env) {
		k, soon := key("p", "read"), e.clock.Now().Add(10*time.Second)
		e.add(k, 0, soon, 0)
		e.add(k, 3, soon, 3)
		e.clock.Advance(9 * time.Second)
		e.add(k, 0, e.clock.Now().Add(time.Hour), 3) // leaves the expiry as it is
		e.add(k, 0, time.Time{}, 3)
		e.clock.Advance(time.Second)
		e.add(k, 0, e.clock.Now().Add(time.Hour), 0)
	}},
}
