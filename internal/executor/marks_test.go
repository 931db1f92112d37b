package executor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"drover/internal/device"
	"drover/internal/job"

	"pgregory.net/rapid"
)

// The marks of a followed output let a reader take it in parts, whatever was
// redacted, replaced or cut: what it has read by a mark is the beginning of what
// is there in the end.
func TestExecute_Marks(t *testing.T) {
	m := newMemory()
	seen := make(chan struct{}, 100)
	m.before = func(r job.Result) error {
		if r.Status == job.ResultRunning && r.Output.StdoutBytes+r.Output.StderrBytes > 0 {
			seen <- struct{}{}
		}
		return nil
	}
	chunks := []string{"one\nhun", "ter22\ncaf\xc3", "\xa9 \xff\xfe", "\xfd end\n", "last\n"}
	s := &script{steps: []step{{run: func(_ context.Context, cmd device.Command) (device.Exit, error) {
		cmd.Follow(2, []byte("oops\n"))
		for _, c := range chunks[:len(chunks)-1] {
			cmd.Follow(1, []byte(c))
			<-seen
		}
		cmd.Follow(1, []byte(chunks[len(chunks)-1]))
		all := []byte(strings.Join(chunks, ""))
		return device.Exit{Stdout: all, Stderr: []byte("oops\n"), StdoutBytes: int64(len(all)), StderrBytes: 5}, nil
	}}}}
	u := unit(m, 1, limits(0, 0))
	plain := u.Work
	u.Work = func(ctx context.Context, i int) (Work, error) {
		w, err := plain(ctx, i)
		w.Redact = NewRedactor("hunter22")
		return w, err
	}
	// A clock that stands still: marks differ all the same.
	still := time.UnixMilli(1_000_000)
	execute(t, Config{Dialer: s, Every: tick, Clock: func() time.Time { return still }}, u)
	final := m.rows[0].Output
	if want := "one\n********\ncafé \uFFFD end\nlast\n"; final.Stdout != want {
		t.Fatalf("%q, want %q", final.Stdout, want)
	}
	var parts []string
	out, last := 0, int64(0)
	for _, k := range final.Marks {
		parts = append(parts, final.Stdout[out:k.Stdout])
		out = k.Stdout
		if k.At <= last || k.At < 1_000_000 || k.Stderr != 5 {
			t.Errorf("%+v after %d", k, last)
		}
		last = k.At
	}
	if got, want := fmt.Sprintf("%q", parts), `["one\n" "********\ncaf" "é �" " end\n" "last\n"]`; got != want {
		t.Errorf("parts %s, want %s", got, want)
	}
	for _, w := range m.writes {
		if k := w.Output.Marks; w.Status == job.ResultRunning && len(k) > 0 {
			if text := w.Output.Stdout[:k[len(k)-1].Stdout]; text != w.Output.Stdout || !strings.HasPrefix(final.Stdout, text) {
				t.Errorf("followed %q, marked up to %q", w.Output.Stdout, text)
			}
		}
	}
	if n := len(m.writes[0].Output.Marks); n != 0 {
		t.Errorf("the claim has %d marks", n)
	}
}

func TestExecute_MarksOfAShortCommand(t *testing.T) {
	for out, want := range map[string]int{"": 0, "hello\n": 1} {
		m := newMemory()
		execute(t, Config{Dialer: &script{steps: []step{{exit: device.Exit{Stdout: []byte(out)}}}}}, unit(m, 1, limits(0, 0)))
		if k := m.rows[0].Output.Marks; len(k) != want || want > 0 && (k[0].Stdout != len(out) || k[0].At == 0) || len(m.writes) != 2 {
			t.Errorf("output %q: marks %+v in %d writes", out, k, len(m.writes))
		}
	}
}

func TestMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m marks
		var all []job.Mark // none merged
		now, ends := time.UnixMilli(1), [2]int{}
		for range rapid.IntRange(1, 300).Draw(t, "writes") {
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			ends[0] += rapid.IntRange(0, 50).Draw(t, "out")
			ends[1] += rapid.IntRange(0, 2).Draw(t, "err")
			m.add(now, ends)
			if n := len(m); n > 0 && (n > job.MaxMarks || m[n-1].Stdout != ends[0] || m[n-1].Stderr != ends[1]) {
				t.Fatalf("%d marks, the last is %+v of %v", n, m[n-1], ends)
			}
			if n := len(m); n > 0 && (len(all) == 0 || all[len(all)-1] != m[n-1]) {
				all = append(all, m[n-1])
			}
		}
		// A reader that was here at one of the last marks has lost nothing and
		// reads nothing twice.
		for back := range min(len(m), job.MaxMarks/2) {
			if a, b := m[len(m)-1-back], all[len(all)-1-back]; a != b {
				t.Fatalf("%d before the last: %+v, was %+v", back, a, b)
			}
		}
		for i := 1; i < len(m); i++ {
			if m[i].At <= m[i-1].At || m[i].Stdout < m[i-1].Stdout || m[i].Stderr < m[i-1].Stderr {
				t.Fatalf("%+v after %+v", m[i], m[i-1])
			}
		}
		dropped := rapid.IntRange(0, ends[0]).Draw(t, "dropped")
		for _, k := range m.since(dropped, 0) {
			if k.Stdout < 0 || k.Stdout > ends[0]-dropped {
				t.Fatalf("%+v of %d bytes", k, ends[0]-dropped)
			}
		}
		kept := rapid.IntRange(0, ends[0]).Draw(t, "kept")
		o := job.Output{Stdout: strings.Repeat("x", kept), Stderr: strings.Repeat("x", ends[1])}
		if last := m.last(o, now); len(last) > job.MaxMarks || len(last) > 0 && (last[len(last)-1].Stdout != kept || last[len(last)-1].Stderr != ends[1]) {
			t.Fatalf("%d marks, the last %+v of %d bytes", len(last), last[len(last)-1], kept)
		}
	})
}

// Text is made of an output in parts as it is of the whole.
func TestFollower_TextIsTheBeginningOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRedactor("hunter22")
		piece := rapid.SampledFrom([]string{"hunter22", "hunt", "a", "é", "\xff", "\xc3", "\xf0\x9f", "\x98\x80", "\n"})
		var f follower
		var raw []byte
		for range rapid.IntRange(0, 40).Draw(t, "pieces") {
			p := []byte(piece.Draw(t, "piece"))
			raw = append(raw, p...)
			f.add(r, p)
			if rapid.Bool().Draw(t, "look") {
				var changed bool
				text, bytes, _, end := f.text(r, &changed)
				whole := valid(r.Bytes(append(raw, "     and more"...), false))
				if !strings.HasPrefix(whole, text) || end != len(text) || bytes != int64(len(raw)) {
					t.Fatalf("%q of %q, which is %q", text, raw, whole)
				}
			}
		}
	})
}
