// Package blobtest is the conformance suite of blob.Bucket: the laws in that
// interface's comments as tests.
package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"drover/internal/blob"
	"drover/internal/job"
)

// Open opens an empty bucket, or the same one again with what it holds.
type Open func(t testing.TB) blob.Bucket

// Run runs the suite. newBucket is called once per test and returns how to
// open one bucket of the test's own.
func Run(t *testing.T, newBucket func(t testing.TB) Open) {
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			open := newBucket(t)
			l.test(&env{T: t, ctx: t.Context(), open: open, b: open(t)})
		})
	}
}

type env struct {
	*testing.T
	ctx  context.Context
	open Open
	b    blob.Bucket
}

func (e *env) put(name, data string) {
	e.Helper()
	if err := e.b.Put(e.ctx, name, []byte(data)); err != nil {
		e.Fatalf("Put %.60q: %v", name, err)
	}
}

func (e *env) want(name, data string) {
	e.Helper()
	got, err := e.b.Get(e.ctx, name)
	if err != nil || !bytes.Equal(got, []byte(data)) {
		e.Fatalf("Get %.60q: %d bytes %.40q, %v; want %d bytes %.40q", name, len(got), got, err, len(data), data)
	}
}

func (e *env) wantCode(what string, err error, code job.Code) {
	e.Helper()
	if got := job.CodeOf(err); got != code {
		e.Fatalf("%s: error %v has code %q; want %q", what, err, got, code)
	}
}

func (e *env) wantMissing(name string) {
	e.Helper()
	_, err := e.b.Get(e.ctx, name)
	e.wantCode("Get "+name, err, job.NotFound)
}

func (e *env) deletePrefix(prefix string, want int) {
	e.Helper()
	if n, err := e.b.DeletePrefix(e.ctx, prefix); err != nil || n != want {
		e.Fatalf("DeletePrefix %q: %d, %v; want %d", prefix, n, err, want)
	}
}

// everyCall makes each call that takes a name.
func (e *env) everyCall(name string) map[string]error {
	_, get := e.b.Get(e.ctx, name)
	_, prefix := e.b.DeletePrefix(e.ctx, name+"/")
	return map[string]error{
		"Put": e.b.Put(e.ctx, name, []byte("x")), "Get": get,
		"Delete": e.b.Delete(e.ctx, name), "DeletePrefix": prefix,
	}
}

var laws = []struct {
	name string
	test func(*env)
}{
	{"Get_ReturnsWhatWasPut", func(e *env) {
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		for name, data := range map[string]string{
			"a": "one", "runs/01J/7.gz": string(all), "deep/er/and/deep/er": "x", "empty": "",
			"A-Z_a.z=0": "signs", "..a": "dots", "a..": "dots", "large": strings.Repeat(string(all), 20<<10),
		} {
			e.put(name, data)
			e.want(name, data)
		}
		e.want("a", "one")
	}},
	{"Get_MissingIsNotFound", func(e *env) {
		e.put("a/b", "x")
		for _, name := range []string{"b", "a", "a/c", "a/b/c", "A/b"} {
			e.wantMissing(name)
		}
	}},
	{"Put_ReplacesWhole", func(e *env) {
		for _, data := range []string{"a longer first", "second", "", "third"} {
			e.put("a", data)
			e.want("a", data)
		}
	}},
	{"Put_ReadersSeeOldOrNew", func(e *env) {
		one, other := strings.Repeat("1", 200_000), strings.Repeat("2", 300_000)
		e.put("a", one)
		ctx, stop := context.WithCancel(e.ctx)
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for ctx.Err() == nil {
					got, err := e.b.Get(e.ctx, "a")
					if s := string(got); err != nil || (s != one && s != other) {
						e.Errorf("a reader saw %d bytes, %v", len(got), err)
						return
					}
				}
			})
		}
		var writers sync.WaitGroup
		for _, data := range []string{one, other} {
			writers.Go(func() {
				for range 10 {
					if err := e.b.Put(e.ctx, "a", []byte(data)); err != nil {
						e.Error(err)
					}
				}
			})
		}
		writers.Wait()
		stop()
		readers.Wait()
	}},
	{"Values_AreCopies", func(e *env) {
		data := []byte("before")
		if err := e.b.Put(e.ctx, "a", data); err != nil {
			e.Fatal(err)
		}
		copy(data, "XXXXXX")
		got, err := e.b.Get(e.ctx, "a")
		if err != nil {
			e.Fatal(err)
		}
		copy(got, "YYYYYY")
		e.want("a", "before")
	}},
	{"Names_AreNotFolders", func(e *env) { // an object may stand where others' names go on
		e.put("a/b", "child")
		e.put("a", "parent")
		e.put("a/b/c", "grandchild")
		e.want("a", "parent")
		e.want("a/b", "child")
		e.want("a/b/c", "grandchild")
		if err := e.b.Delete(e.ctx, "a/b"); err != nil {
			e.Fatal(err)
		}
		e.wantMissing("a/b")
		e.want("a", "parent")
		e.want("a/b/c", "grandchild")
	}},
	{"Names_BadOnesAreInvalid", func(e *env) {
		long := strings.Repeat("x", blob.MaxSegmentBytes)
		for _, name := range []string{
			"", "/", "/a", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "a b", "a\\b", "a\x00", "a\n", "é", "a:b", "~", "a@", "#a", "%2e%2e/a",
			long + "x", strings.Repeat("x/", blob.MaxNameBytes/2) + "x",
		} {
			for call, err := range e.everyCall(name) {
				e.wantCode(fmt.Sprintf("%s of %.40q", call, name), err, job.Invalid)
			}
		}
		e.wantCode("Put of a prefix", e.b.Put(e.ctx, "a/", nil), job.Invalid)
		for _, prefix := range []string{"", "a", "a/b", "/", "a//", "../"} {
			_, err := e.b.DeletePrefix(e.ctx, prefix)
			e.wantCode("DeletePrefix of "+prefix, err, job.Invalid)
		}
		longest := strings.Repeat(long[:blob.MaxSegmentBytes-1]+"/", blob.MaxNameBytes/blob.MaxSegmentBytes-1) + long
		e.put(longest, "fits")
		e.want(longest, "fits")
	}},
	{"Put_TooLarge", func(e *env) {
		e.wantCode("Put", e.b.Put(e.ctx, "a", make([]byte, blob.MaxBytes+1)), job.TooLarge)
		e.wantMissing("a")
	}},
	{"Delete_MissingSucceeds", func(e *env) {
		e.put("a/b", "x")
		for range 2 {
			if err := e.b.Delete(e.ctx, "a/b"); err != nil {
				e.Fatal(err)
			}
			e.wantMissing("a/b")
		}
		if err := e.b.Delete(e.ctx, "never/was/here"); err != nil {
			e.Fatal(err)
		}
		e.put("a/b", "again")
		e.want("a/b", "again")
	}},
	{"DeletePrefix_TakesWholeSegments", func(e *env) {
		for _, name := range []string{"a", "a/1", "a/2", "a/b/3", "ab/1", "a.b", "b/a/1"} {
			e.put(name, name)
		}
		e.deletePrefix("nothing/", 0)
		e.deletePrefix("a/", 3)
		e.deletePrefix("a/", 0)
		for _, name := range []string{"a/1", "a/2", "a/b/3"} {
			e.wantMissing(name)
		}
		for _, name := range []string{"a", "ab/1", "a.b", "b/a/1"} {
			e.want(name, name)
		}
		e.put("a/1", "again")
		e.deletePrefix("a/", 1)
		e.deletePrefix("b/a/", 1)
	}},
	{"DeletePrefix_Many", func(e *env) {
		const n, hands = 1_003, 17 // more than any medium lists at once
		var wg sync.WaitGroup
		for h := range hands {
			wg.Go(func() {
				for i := h; i < n; i += hands {
					if err := e.b.Put(e.ctx, fmt.Sprintf("many/%d", i), nil); err != nil {
						e.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		e.deletePrefix("many/", n)
		e.wantMissing("many/1")
	}},
	{"Reopen_KeepsEverything", func(e *env) {
		e.put("a/b", "x")
		e.b = e.open(e.T)
		e.want("a/b", "x")
		e.deletePrefix("a/", 1)
	}},
	{"Context_EndedCallsAreCanceled", func(e *env) {
		e.put("a", "x")
		live := e.ctx
		ctx, stop := context.WithCancel(live)
		stop()
		e.ctx = ctx
		for call, err := range e.everyCall("a") {
			e.wantCode(call+" with an ended context", err, job.Canceled)
		}
		e.ctx = live
		e.want("a", "x")
	}},
}
