package storetest

import (
	"fmt"
	"strings"
	"time"

	"drover/internal/job"
	"drover/internal/store"
)

// everyCall makes each call of a driver that takes a key.
func (e *env) everyCall(k store.Key) map[string]error {
	_, get := e.d.Get(e.ctx, k)
	_, batch := e.d.Get(e.ctx, key("p", "fine"), k)
	_, put := e.d.Put(e.ctx, row(k, ""), store.Always())
	_, add := e.d.Add(e.ctx, k, 1, time.Time{})
	return map[string]error{
		"Get": get, "Get, batch": batch, "Put": put, "Add": add,
		"Delete":         e.d.Delete(e.ctx, k, store.Always()),
		"Atomic, put":    e.d.Atomic(e.ctx, opPut(key("p", "fine"), "", store.Always()), opPut(k, "", store.Always())),
		"Atomic, delete": e.d.Atomic(e.ctx, opDelete(k, store.Always())),
		"Atomic, check":  e.d.Atomic(e.ctx, opCheck(k, store.IfMissing())),
	}
}

var limitLaws = []law{
	{"Limits_Keys", func(e *env) {
		longest := strings.Repeat("\xff", store.MaxKeyBytes)
		for _, k := range []store.Key{key(longest, longest), key("p", longest), key(longest, "s")} {
			e.put(k, "1")
			e.wantValue(k, "1")
			for _, reverse := range []bool{false, true} {
				if got := e.sorts(store.Query{Partition: k.Partition, From: k.Sort, Reverse: reverse}); len(got) == 0 {
					e.Fatalf("Query does not find %s", name(k))
				}
			}
			e.add(k, 1, time.Time{}, 1)
		}
		for i := range 3 { // paging over the longest keys
			e.put(key("long", strings.Repeat(string(rune('a'+i)), store.MaxKeyBytes)), "")
		}
		for _, reverse := range []bool{false, true} {
			if got := e.sorts(store.Query{Partition: "long", Limit: 1, Reverse: reverse}); len(got) != 3 {
				e.Fatalf("paging over the longest keys found %d of 3", len(got))
			}
		}
		for _, k := range []store.Key{key("", "s"), key("p", ""), key("", "")} {
			for call, err := range e.everyCall(k) {
				e.wantCode(call+" with an empty part of the key", err, job.Invalid)
			}
		}
		for _, k := range []store.Key{key(longest+"x", "s"), key("p", longest+"x")} {
			for call, err := range e.everyCall(k) {
				e.wantCode(call+" with a key too long", err, job.TooLarge)
			}
		}
		_, err := e.d.Query(e.ctx, store.Query{Partition: longest + "x"})
		e.wantCode("Query with a partition too long", err, job.TooLarge)
		_, err = e.d.Query(e.ctx, store.Query{Partition: "p", To: longest + "x"})
		e.wantCode("Query with a bound too long", err, job.TooLarge)
		e.wantMissing(key("p", "fine"))
	}},
	{"Limits_Rows", func(e *env) {
		k := key(strings.Repeat("p", store.MaxKeyBytes), strings.Repeat("s", store.MaxKeyBytes))
		largest := strings.Repeat("v", store.MaxRowBytes)
		r := e.in(time.Hour, k, largest)
		e.putRow(r, store.Always())
		e.wantValue(k, largest)
		if err := e.d.Atomic(e.ctx, opPut(k, largest, store.IfExists())); err != nil {
			e.Fatalf("the largest row in a group: %v", err)
		}
		_, err := e.d.Put(e.ctx, row(k, largest+"x"), store.Always())
		e.wantCode("Put of a row too large", err, job.TooLarge)
		e.wantCode("Atomic with a row too large", e.d.Atomic(e.ctx, opPut(k, largest+"x", store.Always())), job.TooLarge)
		e.wantValue(k, largest)
	}},
	{"Limits_Counts", func(e *env) {
		var keys []store.Key
		var ops []store.Op
		for i := range max(store.MaxBatch, store.MaxAtomic) + 1 {
			k := key("p", fmt.Sprint(i))
			keys = append(keys, k)
			ops = append(ops, opPut(k, "", store.Always()))
		}
		_, err := e.d.Get(e.ctx, keys[:store.MaxBatch+1]...)
		e.wantCode("Get of too many", err, job.TooLarge)
		e.wantCode("Atomic of too many", e.d.Atomic(e.ctx, ops[:store.MaxAtomic+1]...), job.TooLarge)
		if got := e.sorts(store.Query{Partition: "p"}); len(got) != 0 {
			e.Fatalf("a refused group left %q", got)
		}
	}},
	{"Limits_GroupSize", func(e *env) {
		value := strings.Repeat("v", store.MaxRowBytes)
		var ops []store.Op
		for i := range store.MaxGroupSize/store.MaxRowBytes + 1 {
			ops = append(ops, opPut(key("p", fmt.Sprintf("%02d", i)), value, store.Always()))
		}
		e.wantCode("a group too large in all", e.d.Atomic(e.ctx, ops...), job.TooLarge)
		if got := e.sorts(store.Query{Partition: "p"}); len(got) != 0 {
			e.Fatalf("a refused group left %q", got)
		}
		if err := e.d.Atomic(e.ctx, ops[1:]...); err != nil {
			e.Fatalf("a group just small enough: %v", err)
		}
	}},
}
