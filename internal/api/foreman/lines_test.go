package foreman

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"drover/internal/job"
)

func ptr[T any](v T) *T { return &v }

var linesStart = time.Unix(1_701_116_100, 0).UTC()

func finished(o job.Output, exit int) job.Result {
	return job.Result{Status: job.ResultSucceeded, Exit: &exit, Started: &linesStart, Ended: ptr(linesStart.Add(10 * time.Second)), Output: o}
}

func at(seconds float64) int64 { return linesStart.UnixMilli() + int64(seconds*1000) }

type wantLine struct {
	typ, text string
	after     float64 // seconds after linesStart
}

func checkLines(t *testing.T, got []lineSet, want []wantLine) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d line sets, want %d: %+v", len(got), len(want), got)
	}
	for i, w := range want {
		after := got[i].At - epoch(linesStart)
		if got[i].Type != w.typ || got[i].text != w.text || after-w.after > 1e-5 || w.after-after > 1e-5 {
			t.Errorf("set %d: %s %q at %f, want %+v", i, got[i].Type, got[i].text, after, w)
		}
	}
}

func TestLineSets(t *testing.T) {
	for _, c := range []struct {
		name string
		r    job.Result
		want []wantLine
	}{
		{"nothing printed", finished(job.Output{}, 0), []wantLine{{"stdout", "Exit status: 0", 10}}},
		{"no marks", finished(job.Output{Stdout: "a\nb\n", Stderr: "e\n"}, 3),
			[]wantLine{{"stdout", "a\nb\n", 10}, {"stderr", "e\n", 10}, {"stdout", "Exit status: 3", 10.001}}},
		{"marks", finished(job.Output{Stdout: "a\nb\n", Stderr: "e\n", Marks: []job.Mark{{At: at(1), Stdout: 2}, {At: at(2), Stdout: 2, Stderr: 2}, {At: at(3), Stdout: 4, Stderr: 2}}}, 0),
			[]wantLine{{"stdout", "a\n", 1}, {"stderr", "e\n", 2}, {"stdout", "b\n", 3}, {"stdout", "Exit status: 0", 10}}},
		{"both streams of a moment", finished(job.Output{Stdout: "a", Stderr: "e", Marks: []job.Mark{{At: at(1), Stdout: 1, Stderr: 1}}}, 0),
			[]wantLine{{"stdout", "a", 1}, {"stderr", "e", 1}, {"stdout", "Exit status: 0", 10}}},
		{"marks of one moment", finished(job.Output{Stdout: "ab", Marks: []job.Mark{{At: at(1), Stdout: 1}, {At: at(1), Stdout: 2}}}, 0),
			[]wantLine{{"stdout", "a", 1}, {"stdout", "b", 1.001}, {"stdout", "Exit status: 0", 10}}},
		{"a mark within a character", finished(job.Output{Stdout: "aü", Marks: []job.Mark{{At: at(1), Stdout: 2}, {At: at(2), Stdout: 3}}}, 0),
			[]wantLine{{"stdout", "a", 1}, {"stdout", "ü", 2}, {"stdout", "Exit status: 0", 10}}},
		{"marks that do not cover all", finished(job.Output{Stdout: "ab", Marks: []job.Mark{{At: at(1), Stdout: 1}}}, 0),
			[]wantLine{{"stdout", "a", 1}, {"stdout", "b", 10}, {"stdout", "Exit status: 0", 10.001}}},
		{"marks beyond the text", finished(job.Output{Stdout: "a", Marks: []job.Mark{{At: at(1), Stdout: 5}, {At: at(2), Stdout: 3}}}, 0),
			[]wantLine{{"stdout", "a", 1}, {"stdout", "Exit status: 0", 10}}},
		{"a clock that went back", finished(job.Output{Stdout: "ab", Marks: []job.Mark{{At: at(20), Stdout: 1}, {At: at(15), Stdout: 2}}}, 0),
			[]wantLine{{"stdout", "a", 20}, {"stdout", "b", 20.001}, {"stdout", "Exit status: 0", 20.002}}},
		{"running", job.Result{Status: job.ResultRunning, Started: &linesStart, Output: job.Output{Stdout: "a", Marks: []job.Mark{{At: at(1), Stdout: 1}}}},
			[]wantLine{{"stdout", "a", 1}}},
		{"never begun", job.Result{Status: job.ResultPending}, nil},
		{"unreachable", job.Result{Status: job.ResultUnreachable, Reason: job.ReasonConnect, Message: "no route", Started: &linesStart, Ended: ptr(linesStart.Add(time.Second))},
			[]wantLine{{"debug", "no route\n", 1}, {"stdout", "Exit status: EXCEPTION", 1.001}}},
		{"time limit", job.Result{Status: job.ResultTimedOut, Reason: job.ReasonTimeLimit, Started: &linesStart, Ended: ptr(linesStart.Add(time.Second)),
			Output: job.Output{Stdout: "a", Marks: []job.Mark{{At: at(0.5), Stdout: 1}}}},
			[]wantLine{{"stdout", "a", 0.5}, {"debug", msgTimeout + "\n", 1}, {"stdout", "Exit status: EXCEPTION", 1.001}}},
		{"nobody waited", job.Result{Status: job.ResultCanceled, Reason: job.ReasonStopUnsure, Message: job.MessageAborted, Started: &linesStart, Ended: &linesStart},
			[]wantLine{{"debug", msgAborted + "\n", 0}, {"stdout", "Exit status: EXCEPTION", 0.001}}},
		{"exit status says it", job.Result{Status: job.ResultFailed, Reason: job.ReasonExitStatus, Exit: ptr(1), Started: &linesStart, Ended: &linesStart},
			[]wantLine{{"stdout", "Exit status: 1", 0}}},
	} {
		t.Run(c.name, func(t *testing.T) { checkLines(t, lineSets(c.r), c.want) })
	}
}

// Whoever reads with the timestamp of the last set that it got sees every
// character once, at whatever moment it looks.
func TestSince_NothingIsLostOrTwice(t *testing.T) {
	text := strings.Repeat("line ü\n", 60)
	var marks []job.Mark
	for n := 0; n < len(text); n += 5 {
		marks = append(marks, job.Mark{At: at(float64(n / 15)), Stdout: min(n+5, len(text))})
	}
	whole := finished(job.Output{Stdout: text, Marks: marks}, 0)
	moment, seen := 0.0, ""
	for n := 1; n <= len(marks); n++ {
		r := job.Result{Status: job.ResultRunning, Started: &linesStart}
		r.Output = job.Output{Stdout: text[:boundary(text, marks[n-1].Stdout)], Marks: marks[:n]}
		if n == len(marks) {
			r = whole
		}
		got := since(lineSets(r), moment)
		seen += concatenated(got)
		if len(got) > 0 {
			moment = got[len(got)-1].At
		}
	}
	if want := text + "Exit status: 0"; seen != want {
		t.Errorf("read %d bytes, want %d", len(seen), len(want))
	}
	if got := since(lineSets(whole), moment); got != nil {
		t.Errorf("more after the end: %+v", got)
	}
}

func TestUpTo(t *testing.T) {
	set := func(text string, at float64) lineSet { return lineSet{text: text, At: at} }
	all := []lineSet{set("aa", 1), set("bb", 2), set("cc", 2), set("dd", 3)}
	for _, c := range []struct{ bytes, want int }{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {5, 1}, {6, 3}, {7, 3}, {8, 4}, {100, 4}} {
		some, more := upTo(all, c.bytes)
		if len(some) != c.want || more != (c.want < len(all)) {
			t.Errorf("%d bytes: %d sets, more %v; want %d", c.bytes, len(some), more, c.want)
		}
	}
	if some, more := upTo(nil, 5); len(some) != 0 || more {
		t.Error("of nothing there is more")
	}
}

func TestReasonTexts_SayEveryReasonOfAResult(t *testing.T) {
	for _, reason := range []string{job.ReasonNeverStarted, job.ReasonStopped, job.ReasonLost, job.ReasonTimeLimit, job.ReasonKillUnsure,
		job.ReasonCapacity, job.ReasonStopAfter, job.ReasonAuthentication, job.ReasonHostKeyChanged, job.ReasonHostKeyUnknown,
		job.ReasonNoCredential, job.ReasonConnect, job.ReasonJump, job.ReasonDeviceGone} {
		r := job.Result{Status: job.ResultFailed, Reason: reason, Started: &linesStart, Ended: &linesStart}
		got := lineSets(r)
		if !slices.ContainsFunc(got, func(l lineSet) bool { return l.Type == lineDebug && len(l.text) > 10 }) {
			t.Errorf("%s: nothing is said: %+v", reason, got)
		}
	}
}

// A millisecond more is a millisecond more, without the digits of a sum of floats.
func TestTicked(t *testing.T) {
	for moment, want := range map[float64]string{1795314684.314: "1795314684.315", 1795314847.08: "1795314847.081", 1795314803.807087: "1795314803.808087"} {
		if got := strconv.FormatFloat(ticked(moment), 'f', -1, 64); got != want {
			t.Errorf("%v: %s", moment, got)
		}
	}
}
