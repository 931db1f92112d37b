package storetest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"drover/internal/job"
	"drover/internal/store"

	"pgregory.net/rapid"
)

// modelRow is what the model knows of a row.
type modelRow struct {
	value   string
	rev     string // "" when a group wrote it: read before it is compared
	expires time.Time
}

// model is the simplest thing that keeps the laws: maps, and no medium.
type model struct {
	rows     map[store.Key]modelRow
	counters map[store.Key]modelCounter
}

type modelCounter struct {
	value   int64
	expires time.Time
}

func expired(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// testModel runs random sequences of calls against the driver and the model,
// which must agree on every answer. Each sequence has partitions of its own.
func testModel(e *env) {
	sequence := 0
	rapid.Check(e.T, func(t *rapid.T) {
		sequence++
		m := &modelRun{env: e, t: t, model: model{rows: map[store.Key]modelRow{}, counters: map[store.Key]modelCounter{}}}
		for _, p := range []string{"", "\x00", "x"} {
			m.partitions = append(m.partitions, fmt.Sprint(sequence, "/", p))
		}
		t.Repeat(map[string]func(*rapid.T){
			"put":     m.put,
			"delete":  m.delete,
			"group":   m.group,
			"add":     m.add,
			"advance": m.advance,
			"get":     m.get,
			"query":   m.query,
		})
	})
}

type modelRun struct {
	*env
	model
	t          *rapid.T
	partitions []string
}

var modelSorts = []string{"a", "a\x00", "ab", "b", "\x00", "\xff", "\xff\xff", "é"}

func (m *modelRun) key(t *rapid.T) store.Key {
	return key(rapid.SampledFrom(m.partitions).Draw(t, "partition"), rapid.SampledFrom(modelSorts).Draw(t, "sort"))
}

func (m *modelRun) expiry(t *rapid.T) time.Time {
	d := rapid.SampledFrom([]time.Duration{0, 0, -time.Second, time.Second, 5 * time.Second}).Draw(t, "expires in")
	if d == 0 {
		return time.Time{}
	}
	return m.now().Add(d)
}

func (m *modelRun) now() time.Time { return m.clock.Now().Truncate(time.Second) }

// cond draws a condition and says whether it holds in the model.
func (m *modelRun) cond(t *rapid.T, k store.Key) (store.Cond, bool) {
	r, there := m.rows[k]
	there = there && !expired(r.expires, m.now())
	switch rapid.IntRange(0, 4).Draw(t, "condition") {
	case 0:
		return store.IfMissing(), !there
	case 1:
		return store.IfExists(), there
	case 2: // the right revision, also of a row that has expired
		return store.IfRev(cmp.Or(r.rev, "none")), there
	case 3:
		return store.IfRev("another"), false
	}
	return store.Always(), true
}

func (m *modelRun) agree(t *rapid.T, what string, err error, holds bool) {
	want := job.Code("")
	if !holds {
		want = job.Conflict
	}
	if got := job.CodeOf(err); got != want {
		t.Fatalf("%s: %v; the model says %q", what, err, want)
	}
}

func (m *modelRun) put(t *rapid.T) {
	k := m.key(t)
	r := store.Row{Key: k, Value: rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "value"), Expires: m.expiry(t)}
	cond, holds := m.cond(t, k)
	rev, err := m.d.Put(m.ctx, r, cond)
	m.agree(t, "Put", err, holds)
	if holds {
		if rev == "" || rev == m.rows[k].rev {
			t.Fatalf("Put answered revision %q after %q", rev, m.rows[k].rev)
		}
		m.rows[k] = modelRow{string(r.Value), rev, r.Expires}
	}
}

func (m *modelRun) delete(t *rapid.T) {
	k := m.key(t)
	cond, holds := m.cond(t, k)
	m.agree(t, "Delete", m.d.Delete(m.ctx, k, cond), holds)
	if holds {
		delete(m.rows, k)
	}
}

func (m *modelRun) group(t *rapid.T) {
	var ops []store.Op
	all := true
	for _, k := range rapid.SliceOfNDistinct(rapid.Custom(m.key), 0, 5, rapid.ID[store.Key]).Draw(t, "keys") {
		op := store.Op{Kind: rapid.SampledFrom([]store.OpKind{store.OpPut, store.OpDelete, store.OpCheck}).Draw(t, "kind"), Row: store.Row{Key: k}}
		if op.Kind == store.OpPut {
			op.Row.Value, op.Row.Expires = []byte(rapid.StringN(0, 3, 8).Draw(t, "value")), m.expiry(t)
		}
		var holds bool
		op.Cond, holds = m.cond(t, k)
		all = all && holds
		ops = append(ops, op)
	}
	m.agree(t, "Atomic", m.d.Atomic(m.ctx, ops...), all)
	if !all {
		return
	}
	for _, op := range ops {
		switch op.Kind {
		case store.OpPut:
			w := modelRow{value: string(op.Row.Value), expires: op.Row.Expires}
			if !expired(w.expires, m.now()) {
				w.rev = m.env.get(op.Row.Key).Rev
			}
			m.rows[op.Row.Key] = w
		case store.OpDelete:
			delete(m.rows, op.Row.Key)
		}
	}
}

func (m *modelRun) add(t *rapid.T) {
	k, delta, expires := m.key(t), rapid.Int64Range(-3, 3).Draw(t, "delta"), m.expiry(t)
	c := m.counters[k]
	if expired(c.expires, m.now()) {
		c.value = 0
	}
	if delta != 0 { // 0 only reads
		c = modelCounter{c.value + delta, expires}
		m.counters[k] = c
	}
	if got, err := m.d.Add(m.ctx, k, delta, expires); err != nil || got != c.value {
		t.Fatalf("Add: %d, %v; the model says %d", got, err, c.value)
	}
}

func (m *modelRun) advance(t *rapid.T) {
	m.clock.Advance(time.Duration(rapid.IntRange(1, 3).Draw(t, "seconds")) * time.Second)
	if s, ok := m.d.(store.Sweeper); ok && rapid.Bool().Draw(t, "sweep") {
		if _, err := s.Sweep(m.ctx, m.clock.Now(), 100); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *modelRun) live(k store.Key) (modelRow, bool) {
	r, ok := m.rows[k]
	return r, ok && !expired(r.expires, m.now())
}

func (m *modelRun) get(t *rapid.T) {
	keys := rapid.SliceOfN(rapid.Custom(m.key), 0, 6).Draw(t, "keys")
	rows, err := m.d.Get(m.ctx, keys...)
	if err != nil {
		t.Fatal(err)
	}
	got := map[store.Key]store.Row{}
	for _, r := range rows {
		got[r.Key] = r
	}
	if len(got) != len(rows) {
		t.Fatalf("Get answered a row twice: %v", rows)
	}
	for _, k := range keys {
		want, there := m.live(k)
		r, ok := got[k]
		if ok != there || (ok && !m.same(r, want)) {
			t.Fatalf("Get %s: %+v, %v; the model says %+v, %v", name(k), r, ok, want, there)
		}
	}
}

func (m *modelRun) same(r store.Row, want modelRow) bool {
	return bytes.Equal(r.Value, []byte(want.value)) && r.Rev == want.rev && r.Expires.Equal(want.expires)
}

func (m *modelRun) query(t *rapid.T) {
	bound := rapid.SampledFrom(append([]string{"", "", "a\x00\x00", "c"}, modelSorts...))
	q := store.Query{
		Partition: rapid.SampledFrom(m.partitions).Draw(t, "partition"),
		From:      bound.Draw(t, "from"),
		To:        bound.Draw(t, "to"),
		Reverse:   rapid.Bool().Draw(t, "reverse"),
		Limit:     rapid.IntRange(0, 3).Draw(t, "limit"),
	}
	var want []store.Key
	for k := range m.rows {
		if _, ok := m.live(k); ok && k.Partition == q.Partition && k.Sort >= q.From && (q.To == "" || k.Sort < q.To) {
			want = append(want, k)
		}
	}
	slices.SortFunc(want, func(a, b store.Key) int {
		if q.Reverse {
			a, b = b, a
		}
		return cmp.Compare(a.Sort, b.Sort)
	})
	for first := true; first || q.After != ""; first = false {
		page, err := m.d.Query(m.ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		if q.Limit > 0 && len(page.Rows) > q.Limit || len(page.Rows) > len(want) {
			t.Fatalf("Query %+v: %d rows on a page; %d are left", q, len(page.Rows), len(want))
		}
		for i, r := range page.Rows {
			if r.Key != want[i] || !m.same(r, m.rows[r.Key]) {
				t.Fatalf("Query %+v: %+v; the model says %s %+v", q, r, name(want[i]), m.rows[want[i]])
			}
		}
		want, q.After = want[len(page.Rows):], page.Next
	}
	if len(want) > 0 {
		t.Fatalf("Query %+v did not answer %v", q, want)
	}
}
