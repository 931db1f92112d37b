package storetest

import (
	"fmt"
	"strings"

	"drover/internal/job"
	"drover/internal/store"
)

func opPut(k store.Key, value string, c store.Cond) store.Op {
	return store.Op{Kind: store.OpPut, Row: row(k, value), Cond: c}
}

func opDelete(k store.Key, c store.Cond) store.Op {
	return store.Op{Kind: store.OpDelete, Row: store.Row{Key: k}, Cond: c}
}

func opCheck(k store.Key, c store.Cond) store.Op {
	return store.Op{Kind: store.OpCheck, Row: store.Row{Key: k}, Cond: c}
}

var groupLaws = []law{
	{"Atomic_DoesAll", func(e *env) {
		a, b, c, d := key("p", "a"), key("p", "b"), key("q", "c"), key("q", "d")
		rev := e.put(a, "1")
		e.put(b, "1")
		e.put(d, "1")
		err := e.d.Atomic(e.ctx,
			opPut(a, "2", store.IfRev(rev)), opDelete(b, store.IfExists()), opPut(c, "2", store.IfMissing()), opCheck(d, store.IfExists()))
		if err != nil {
			e.Fatal(err)
		}
		e.wantValue(a, "2")
		e.wantMissing(b)
		e.wantValue(c, "2")
		e.wantValue(d, "1")
		if got := e.get(a).Rev; got == rev || got == "" {
			e.Fatalf("the revision after a group is %q", got)
		}
	}},
	{"Atomic_OrNothing", func(e *env) {
		a, b, c := key("p", "a"), key("p", "b"), key("q", "c")
		revA := e.put(a, "1")
		revB := e.put(b, "1")
		for what, refused := range map[string]store.Op{
			"create of what is there":  opPut(b, "2", store.IfMissing()),
			"put of an old revision":   opPut(b, "2", store.IfRev(revA+"x")),
			"put of what is missing":   opPut(key("q", "x"), "2", store.IfExists()),
			"delete of an old one":     opDelete(b, store.IfRev(revA+"x")),
			"delete of what's missing": opDelete(key("q", "x"), store.IfExists()),
			"check: missing":           opCheck(key("q", "x"), store.IfExists()),
			"check: there":             opCheck(b, store.IfMissing()),
			"check: revision":          opCheck(b, store.IfRev(revA+"x")),
		} {
			others := []store.Op{opPut(a, "2", store.IfRev(revA)), opPut(c, "2", store.Always()), opDelete(key("q", "y"), store.Always())}
			for at := range len(others) + 1 {
				var ops []store.Op
				ops = append(ops, others[:at]...)
				ops = append(ops, refused)
				ops = append(ops, others[at:]...)
				e.wantCode(fmt.Sprintf("group with a %s at %d", what, at), e.d.Atomic(e.ctx, ops...), job.Conflict)
			}
			e.wantValue(a, "1")
			e.wantValue(b, "1")
			e.wantMissing(c)
		}
		if e.get(a).Rev != revA || e.get(b).Rev != revB {
			e.Fatal("a refused group changed a revision")
		}
	}},
	{"Atomic_ChecksAloneWriteNothing", func(e *env) {
		k := key("p", "a")
		rev := e.put(k, "1")
		if err := e.d.Atomic(e.ctx, opCheck(k, store.IfRev(rev)), opCheck(key("p", "b"), store.IfMissing()), opCheck(key("p", "c"), store.Always())); err != nil {
			e.Fatal(err)
		}
		if e.get(k).Rev != rev {
			e.Fatal("a check changed the row")
		}
		e.wantMissing(key("p", "b"))
		e.wantMissing(key("p", "c"))
		if err := e.d.Atomic(e.ctx, opCheck(key("p", "c"), store.Always())); err != nil {
			e.Fatalf("a group of one check that always holds: %v", err)
		}
	}},
	{"Atomic_OfNothingSucceeds", func(e *env) {
		if err := e.d.Atomic(e.ctx); err != nil {
			e.Fatal(err)
		}
	}},
	{"Atomic_ARowAppearsOnce", func(e *env) {
		k := key("p", "a")
		rev := e.put(k, "1")
		for what, ops := range map[string][]store.Op{
			"put, put":      {opPut(k, "2", store.Always()), opPut(k, "3", store.Always())},
			"check, put":    {opCheck(k, store.IfRev(rev)), opPut(k, "2", store.Always())},
			"put, delete":   {opPut(k, "2", store.Always()), opDelete(k, store.Always())},
			"check, check":  {opCheck(k, store.IfExists()), opCheck(k, store.IfExists())},
			"apart":         {opPut(k, "2", store.Always()), opPut(key("p", "b"), "2", store.Always()), opDelete(k, store.Always())},
			"unknown kind":  {{Kind: 99, Row: row(k, "2")}},
			"negative kind": {{Kind: -1, Row: row(k, "2")}},
		} {
			e.wantCode(what, e.d.Atomic(e.ctx, ops...), job.Invalid)
		}
		e.wantValue(k, "1")
		e.wantMissing(key("p", "b"))
	}},
	{"Atomic_FullGroup", func(e *env) {
		var ops []store.Op
		for i := range store.MaxAtomic {
			ops = append(ops, opPut(key(fmt.Sprint("p", i%7), fmt.Sprint(i)), strings.Repeat("x", 40_000), store.IfMissing()))
		}
		if err := e.d.Atomic(e.ctx, ops...); err != nil {
			e.Fatal(err)
		}
		for _, op := range ops {
			if r := e.get(op.Row.Key); r == nil || len(r.Value) != 40_000 {
				e.Fatalf("%s is missing or cut", name(op.Row.Key))
			}
		}
		e.wantCode("the same creates again", e.d.Atomic(e.ctx, ops...), job.Conflict)
	}},
}
