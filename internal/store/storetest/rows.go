package storetest

import (
	"bytes"
	"slices"
	"strings"

	"drover/internal/job"
	"drover/internal/store"
)

var rowLaws = []law{
	{"Get_ReturnsWhatWasPut", func(e *env) {
		k := key("tenant/a", "device/1")
		rev := e.put(k, "one")
		r := e.get(k)
		if r == nil || string(r.Value) != "one" || r.Rev != rev || !r.Expires.IsZero() {
			e.Fatalf("got %+v; want value one, revision %q, no expiry", r, rev)
		}
	}},
	{"Get_LeavesOutMissingRows", func(e *env) {
		a, b, c := key("p", "a"), key("p", "b"), key("q", "a")
		e.put(a, "1")
		e.put(c, "3")
		rows, err := e.d.Get(e.ctx, a, b, c)
		if err != nil || len(rows) != 2 {
			e.Fatalf("got %v, %v; want the two rows that are there", rows, err)
		}
		got := map[store.Key]string{}
		for _, r := range rows {
			got[r.Key] = string(r.Value)
		}
		if got[a] != "1" || got[c] != "3" {
			e.Fatalf("got %v", got)
		}
	}},
	{"Get_AnswersARepeatedKeyOnce", func(e *env) {
		k := key("p", "a")
		e.put(k, "1")
		rows, err := e.d.Get(e.ctx, k, k, k)
		if err != nil || len(rows) != 1 {
			e.Fatalf("got %v, %v; want one row", rows, err)
		}
	}},
	{"Get_OfNothingIsNothing", func(e *env) {
		if rows, err := e.d.Get(e.ctx); err != nil || len(rows) != 0 {
			e.Fatalf("got %v, %v", rows, err)
		}
	}},
	{"Get_FullBatch", func(e *env) {
		var keys []store.Key
		big := strings.Repeat("x", 60<<10) // more than one answer of any medium holds
		for i := range store.MaxBatch {
			k := key("p", string(rune('A'+i)))
			keys = append(keys, k)
			e.put(k, big)
		}
		rows, err := e.d.Get(e.ctx, keys...)
		if err != nil || len(rows) != store.MaxBatch {
			e.Fatalf("got %d rows, %v; want %d", len(rows), err, store.MaxBatch)
		}
		for _, r := range rows {
			if len(r.Value) != len(big) {
				e.Fatalf("%s holds %d bytes", name(r.Key), len(r.Value))
			}
		}
	}},
	{"Put_EmptyValueIsNotMissing", func(e *env) {
		for _, value := range [][]byte{nil, {}} {
			k := key("p", "empty")
			e.putRow(store.Row{Key: k, Value: value}, store.Always())
			if r := e.get(k); r == nil || len(r.Value) != 0 {
				e.Fatalf("got %v; want a row with an empty value", r)
			}
			if err := e.d.Delete(e.ctx, k, store.IfExists()); err != nil {
				e.Fatalf("Delete: %v", err)
			}
			e.wantMissing(k)
		}
	}},
	{"Put_EveryByteSurvives", func(e *env) {
		value := make([]byte, 256)
		for i := range value {
			value[i] = byte(i)
		}
		k := key(string(value[:255]), string(value))
		e.put(k, string(value))
		e.wantValue(k, string(value))
		if got := e.sorts(store.Query{Partition: k.Partition}); !slices.Equal(got, []string{k.Sort}) {
			e.Fatalf("Query answered %q", got)
		}
	}},
	{"Put_NewRevisionEveryTime", func(e *env) {
		k, seen := key("p", "a"), map[string]bool{}
		for range 5 {
			for range 3 { // the same value is a write all the same
				rev := e.put(k, "same")
				if seen[rev] {
					e.Fatalf("revision %q came twice", rev)
				}
				seen[rev] = true
				if got := e.get(k).Rev; got != rev {
					e.Fatalf("Put answered revision %q, Get shows %q", rev, got)
				}
			}
			if err := e.d.Delete(e.ctx, k, store.Always()); err != nil { // nor does a new row take up an old one's
				e.Fatal(err)
			}
		}
	}},
	{"Put_IgnoresTheRowsOwnRevision", func(e *env) {
		k := key("p", "a")
		rev := e.putRow(store.Row{Key: k, Value: []byte("1"), Rev: "chosen"}, store.Always())
		if rev == "chosen" || e.get(k).Rev != rev {
			e.Fatalf("the driver took over the caller's revision")
		}
	}},
	{"Values_AreCopies", func(e *env) {
		k := key("p", "a")
		for i := range 20 { // media treat a handful of small rows apart
			e.put(key("other", string(rune('a'+i))), strings.Repeat("x", 2000))
		}
		in := []byte("before")
		e.putRow(store.Row{Key: k, Value: in}, store.Always())
		copy(in, "XXXXXX")
		e.wantValue(k, "before")
		copy(e.get(k).Value, "YYYYYY")
		e.wantValue(k, "before")
		page, err := e.d.Query(e.ctx, store.Query{Partition: "p"})
		if err != nil {
			e.Fatal(err)
		}
		copy(page.Rows[0].Value, "ZZZZZZ")
		_ = append(page.Rows[0].Value, bytes.Repeat([]byte("Z"), 64)...)
		e.wantValue(k, "before")

		if err := e.d.Atomic(e.ctx, store.Op{Kind: store.OpPut, Row: store.Row{Key: k, Value: in}}); err != nil {
			e.Fatal(err)
		}
		copy(in, "------")
		e.wantValue(k, "XXXXXX")
	}},
	{"Delete_MissingRowSucceeds", func(e *env) {
		k := key("p", "a")
		for range 2 {
			if err := e.d.Delete(e.ctx, k, store.Always()); err != nil {
				e.Fatalf("Delete of a missing row: %v", err)
			}
		}
		e.put(k, "1")
		if err := e.d.Delete(e.ctx, k, store.Always()); err != nil {
			e.Fatal(err)
		}
		e.wantMissing(k)
	}},
	{"Keys_ArePairs", func(e *env) { // and not one string of both parts
		for i, k := range []store.Key{key("ab", "c"), key("a", "bc"), key("abc", "\x00"), key("a", "\x00bc"), key("a\x00", "bc"), key("A", "bc")} {
			e.wantMissing(k)
			e.put(k, string(rune('0'+i)))
		}
		e.wantValue(key("ab", "c"), "0")
		e.wantValue(key("a", "bc"), "1")
		if got := e.sorts(store.Query{Partition: "a"}); !slices.Equal(got, []string{"\x00bc", "bc"}) {
			e.Fatalf("partition a holds %q", got)
		}
	}},
}

var conditionLaws = []law{
	{"IfMissing_CreatesOnce", func(e *env) {
		k := key("p", "a")
		e.putRow(row(k, "first"), store.IfMissing())
		_, err := e.d.Put(e.ctx, row(k, "second"), store.IfMissing())
		e.wantCode("second create", err, job.Conflict)
		e.wantValue(k, "first")
		if err := e.d.Delete(e.ctx, k, store.IfRev(e.get(k).Rev)); err != nil {
			e.Fatal(err)
		}
		e.putRow(row(k, "third"), store.IfMissing())
	}},
	{"IfRev_ReplacesOnlyThatRevision", func(e *env) {
		k := key("p", "a")
		_, err := e.d.Put(e.ctx, row(k, "x"), store.IfRev("never"))
		e.wantCode("put on a missing row", err, job.Conflict)
		_, err = e.d.Put(e.ctx, row(k, "x"), store.IfRev(""))
		e.wantCode("put on the empty revision", err, job.Conflict)
		first := e.put(k, "1")
		second := e.putRow(row(k, "2"), store.IfRev(first))
		_, err = e.d.Put(e.ctx, row(k, "3"), store.IfRev(first))
		e.wantCode("put on an old revision", err, job.Conflict)
		e.wantCode("delete of an old revision", e.d.Delete(e.ctx, k, store.IfRev(first)), job.Conflict)
		e.wantValue(k, "2")
		if err := e.d.Delete(e.ctx, k, store.IfRev(second)); err != nil {
			e.Fatalf("delete at its revision: %v", err)
		}
		e.put(k, "4")
		_, err = e.d.Put(e.ctx, row(k, "5"), store.IfRev(second))
		e.wantCode("put on the revision of a deleted row", err, job.Conflict)
	}},
	{"IfExists_NeedsTheRow", func(e *env) {
		k := key("p", "a")
		_, err := e.d.Put(e.ctx, row(k, "x"), store.IfExists())
		e.wantCode("put", err, job.Conflict)
		e.wantCode("delete", e.d.Delete(e.ctx, k, store.IfExists()), job.Conflict)
		e.put(k, "1")
		e.putRow(row(k, "2"), store.IfExists())
		if err := e.d.Delete(e.ctx, k, store.IfExists()); err != nil {
			e.Fatal(err)
		}
		e.wantMissing(k)
	}},
	{"Delete_IfMissing", func(e *env) {
		k := key("p", "a")
		if err := e.d.Delete(e.ctx, k, store.IfMissing()); err != nil {
			e.Fatalf("on a missing row: %v", err)
		}
		e.put(k, "1")
		e.wantCode("on a row", e.d.Delete(e.ctx, k, store.IfMissing()), job.Conflict)
		e.wantValue(k, "1")
	}},
}
