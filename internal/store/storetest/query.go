package storetest

import (
	"fmt"
	"slices"
	"strings"

	"drover/internal/job"
	"drover/internal/store"
)

// odd sort keys, in byte order, which is not the order of any locale nor of
// UTF-16: U+FFFD sorts below U+1F600 as bytes.
var odd = []string{
	"\x00", "\x00\x00", "\x00\xff", "\x01", "0", "10", "2", "A", "A\x00", "A\x00b", "AA", "Z", "a", "a/", "a/b", "a0", "z",
	"\x7f", "\x80", "\x80\x00", "é", "\u4e16", "\ufffd", "\U0001f600", "\xfe", "\xff", "\xff\x00", "\xff\xff",
}

var queryLaws = []law{
	{"Query_ByteOrderBothWays", func(e *env) {
		for _, i := range []int{17, 3, 25, 9, 0, 12, 27, 1, 20, 6, 14, 23, 11, 5, 26, 2, 19, 8, 22, 16, 10, 4, 24, 13, 7, 21, 15, 18} {
			e.put(key("p", odd[i]), "")
		}
		e.put(key("o", "zz"), "")
		e.put(key("q", "\x00"), "")
		e.put(key("p\x00", "a"), "")
		if !slices.IsSorted(odd) {
			e.Fatal("the suite's own keys are out of order")
		}
		for limit := range 5 {
			if got := e.sorts(store.Query{Partition: "p", Limit: limit}); !slices.Equal(got, odd) {
				e.Fatalf("ascending, limit %d: got %q; want %q", limit, got, odd)
			}
			down := slices.Clone(odd)
			slices.Reverse(down)
			if got := e.sorts(store.Query{Partition: "p", Limit: limit, Reverse: true}); !slices.Equal(got, down) {
				e.Fatalf("descending, limit %d: got %q; want %q", limit, got, down)
			}
		}
	}},
	{"Query_Ranges", func(e *env) {
		for _, s := range odd {
			e.put(key("p", s), "")
		}
		bounds := append([]string{"", "A\x00a", "b", strings.Repeat("\xff", 5)}, odd...)
		for _, from := range bounds {
			for _, to := range bounds {
				var want []string
				for _, s := range odd {
					if s >= from && (to == "" || s < to) {
						want = append(want, s)
					}
				}
				q := store.Query{Partition: "p", From: from, To: to, Limit: 9}
				if got := e.sorts(q); !slices.Equal(got, want) {
					e.Fatalf("from %q to %q: got %q; want %q", from, to, got, want)
				}
				slices.Reverse(want)
				q.Reverse = true
				if got := e.sorts(q); !slices.Equal(got, want) {
					e.Fatalf("from %q to %q, descending: got %q; want %q", from, to, got, want)
				}
			}
		}
	}},
	{"Query_EmptyPartition", func(e *env) {
		e.put(key("a", "1"), "")
		e.put(key("c", "1"), "")
		for _, reverse := range []bool{false, true} {
			page, err := e.d.Query(e.ctx, store.Query{Partition: "b", Reverse: reverse})
			if err != nil || len(page.Rows) != 0 || page.Next != "" {
				e.Fatalf("got %+v, %v; want an empty page", page, err)
			}
		}
	}},
	{"Query_CarriesWholeRows", func(e *env) {
		rev := e.put(key("p", "a"), "value")
		page, err := e.d.Query(e.ctx, store.Query{Partition: "p"})
		if err != nil || len(page.Rows) != 1 {
			e.Fatalf("got %+v, %v", page, err)
		}
		if r := page.Rows[0]; string(r.Value) != "value" || r.Rev != rev || !r.Expires.IsZero() {
			e.Fatalf("got %+v", r)
		}
	}},
	{"Query_LastPageHasNoCursor", func(e *env) {
		for i := range 6 {
			e.put(key("p", fmt.Sprint(i)), "")
		}
		for _, reverse := range []bool{false, true} {
			q := store.Query{Partition: "p", Limit: 3, Reverse: reverse}
			first, err := e.d.Query(e.ctx, q)
			if err != nil || len(first.Rows) != 3 || first.Next == "" {
				e.Fatalf("first page: %+v, %v", first, err)
			}
			q.After = first.Next
			second, err := e.d.Query(e.ctx, q)
			if err != nil || len(second.Rows) != 3 || second.Next != "" {
				e.Fatalf("the last page, exactly full: %d rows, cursor %q, %v", len(second.Rows), second.Next, err)
			}
		}
	}},
	{"Query_LimitsOfAPage", func(e *env) {
		const n = store.MaxPageRows + 5
		var want []string
		for i := 0; i < n; {
			var ops []store.Op
			for ; i < n && len(ops) < store.MaxAtomic; i++ {
				k := key("p", fmt.Sprintf("%05d", i))
				want = append(want, k.Sort)
				ops = append(ops, store.Op{Kind: store.OpPut, Row: row(k, "")})
			}
			if err := e.d.Atomic(e.ctx, ops...); err != nil {
				e.Fatal(err)
			}
		}
		for _, limit := range []int{0, store.MaxPageRows, store.MaxPageRows + 1, 1 << 30} {
			page, err := e.d.Query(e.ctx, store.Query{Partition: "p", Limit: limit})
			if err != nil || len(page.Rows) != store.MaxPageRows || page.Next == "" {
				e.Fatalf("limit %d: %d rows, %v", limit, len(page.Rows), err)
			}
		}
		if got := e.sorts(store.Query{Partition: "p"}); !slices.Equal(got, want) {
			e.Fatalf("%d rows; want %d in order", len(got), len(want))
		}
		_, err := e.d.Query(e.ctx, store.Query{Partition: "p", Limit: -1})
		e.wantCode("negative limit", err, job.Invalid)
		_, err = e.d.Query(e.ctx, store.Query{})
		e.wantCode("no partition", err, job.Invalid)
	}},
	{"Query_PagesAreBoundedInBytes", func(e *env) {
		const n = 15
		var want []string
		for i := range n {
			k := key("p", fmt.Sprintf("%02d", i))
			e.put(k, strings.Repeat("x", 300<<10))
			want = append(want, k.Sort)
		}
		for _, reverse := range []bool{false, true} {
			page, err := e.d.Query(e.ctx, store.Query{Partition: "p", Reverse: reverse})
			if err != nil || len(page.Rows) < 2 || len(page.Rows) > 6 || page.Next == "" {
				e.Fatalf("%d rows of 300 KiB on a page of about 1 MiB, %v", len(page.Rows), err)
			}
			if got := e.sorts(store.Query{Partition: "p", Reverse: reverse}); !slices.Equal(got, want) {
				e.Fatalf("got %q; want %q", got, want)
			}
			slices.Reverse(want)
		}
	}},
	{"Query_WritesWhilePagingHideNothing", func(e *env) {
		for _, reverse := range []bool{false, true} {
			p := fmt.Sprint("p", reverse)
			for i := range 20 {
				e.put(key(p, fmt.Sprintf("m%02d", i)), "")
			}
			q := store.Query{Partition: p, Limit: 3, Reverse: reverse}
			seen := map[string]int{}
			for i := 0; ; i++ {
				page, err := e.d.Query(e.ctx, q)
				if err != nil {
					e.Fatal(err)
				}
				for _, r := range page.Rows {
					seen[r.Key.Sort]++
				}
				if page.Next == "" {
					break
				}
				last := page.Rows[len(page.Rows)-1].Key
				e.put(key(p, fmt.Sprintf("a%02d", i)), "") // before all
				e.put(key(p, fmt.Sprintf("z%02d", i)), "") // after all
				e.put(last, "written again")
				if err := e.d.Delete(e.ctx, last, store.Always()); err != nil { // the cursor's own row
					e.Fatal(err)
				}
				q.After = page.Next
			}
			for i := range 20 {
				if s := fmt.Sprintf("m%02d", i); seen[s] != 1 {
					e.Fatalf("reverse %v: row %s was seen %d times", reverse, s, seen[s])
				}
			}
		}
	}},
	{"Query_ForeignCursorIsRefused", func(e *env) {
		for i := range 9 {
			e.put(key("p", fmt.Sprint("a", i)), "")
			e.put(key("q", fmt.Sprint("a", i)), "")
		}
		q := store.Query{Partition: "p", From: "a1", To: "a8", Limit: 2}
		page, err := e.d.Query(e.ctx, q)
		if err != nil || page.Next == "" {
			e.Fatalf("got %+v, %v", page, err)
		}
		own := q
		own.After, own.Limit = page.Next, 1 // another page size is the same query
		if next, err := e.d.Query(e.ctx, own); err != nil || next.Rows[0].Key.Sort != "a3" {
			e.Fatalf("own cursor: %+v, %v", next, err)
		}
		for what, change := range map[string]func(*store.Query){
			"partition": func(q *store.Query) { q.Partition = "q" },
			"from":      func(q *store.Query) { q.From = "a0" },
			"no from":   func(q *store.Query) { q.From = "" },
			"to":        func(q *store.Query) { q.To = "a7" },
			"direction": func(q *store.Query) { q.Reverse = true },
			"garbage":   func(q *store.Query) { q.After = "garbage" },
			"not text":  func(q *store.Query) { q.After = "\x00\xff" },
			"cut":       func(q *store.Query) { q.After = q.After[:len(q.After)-4] + "!" },
			"a key":     func(q *store.Query) { q.After = "a2" },
			"too long":  func(q *store.Query) { q.After = strings.Repeat("A", 1<<16) },
		} {
			other := q
			other.After = page.Next
			change(&other)
			_, err := e.d.Query(e.ctx, other)
			e.wantCode("cursor of another query ("+what+")", err, job.Invalid)
		}
	}},
}
