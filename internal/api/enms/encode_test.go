package enms

import (
	"encoding/json"
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"drover/internal/api"
	"drover/internal/job"
)

func TestEncode_AsENMSDoes(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{map[string]any{"runtime": "r", "errors": []string{}}, `{"errors":[],"runtime":"r"}` + "\n"},
		{"é 😀 <&>\x7f", `"\u00e9 \ud83d\ude00 <&>\u007f"` + "\n"},
		{nil, "null\n"},
		{true, "true\n"},
		{map[string]any{"a": json.RawMessage(`{"b": [1, 2]}`)}, `{"a":{"b":[1,2]}}` + "\n"},
	} {
		got, err := encode(c.v)
		if err != nil || string(got) != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestEncode_ASCIISaysTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		b, err := encode(s)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(s) && back != s {
			t.Fatalf("%q became %q", s, back)
		}
		for _, c := range b {
			if c >= 0x7f {
				t.Fatalf("not ASCII: %q", b)
			}
		}
	})
}

// The right column is what Python 3.11's json.dumps prints.
func TestPython_Numbers(t *testing.T) {
	for in, want := range map[string]string{
		"1": "1", "-0": "0", "12345678901234567890": "12345678901234567890",
		"1.50": "1.5", "10.0": "10.0", "1e2": "100.0", "1e16": "1e+16", "123456789012345680.0": "1.2345678901234568e+17",
		"0.0001": "0.0001", "0.00001": "1e-05", "-1.5e-7": "-1.5e-07", "0.0": "0.0", "1e400": `"inf"`, "-1e400": `"-inf"`,
	} {
		b, err := json.Marshal(python(json.Number(in)))
		if err != nil || string(b) != want {
			t.Errorf("%s: got %s, want %s", in, b, want)
		}
	}
	if got := pyFloat(math.NaN()); got != `"nan"` {
		t.Errorf("NaN: %s", got)
	}
}

func TestPython_ReachesEveryNumber(t *testing.T) {
	var v any
	if err := api.Decode([]byte(`{"a": [1.50, {"b": 2.0}], "c": 3}`), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(python(v))
	if err != nil || string(b) != `{"a":[1.5,{"b":2.0}],"c":3}` {
		t.Errorf("%s %v", b, err)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0:00:00", 999 * time.Millisecond: "0:00:00", time.Second: "0:00:01", -time.Second: "0:00:00",
		75 * time.Second: "0:01:15", 10 * time.Hour: "10:00:00", 24*time.Hour + 3*time.Second: "1 day, 0:00:03",
		49*time.Hour + time.Minute: "2 days, 1:01:00",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestRuntime_BothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")).UTC()
		s := runtime(at)
		if len(s) != len("2020-04-28 12:21:11.404910") {
			t.Fatalf("%q", s)
		}
		back, ok := parseRuntime(s)
		if !ok || !back.Equal(at) {
			t.Fatalf("%v became %v", at, back)
		}
	})
	if at, ok := parseRuntime("2020-04-28 12:21:11"); !ok || at.Nanosecond() != 0 {
		t.Error("without a fraction")
	}
	for _, s := range []string{"", "x", "2020-04-28", "2020-04-28T12:21:11.404910", "2020-13-28 12:21:11.404910", "2020-04-28 12:21:11.4049", "2020-04-28 12:21:11.4049100"} {
		if _, ok := parseRuntime(s); ok {
			t.Errorf("accepted %q", s)
		}
	}
}

func FuzzParseRuntime(f *testing.F) {
	f.Add("2020-04-28 12:21:11.404910")
	f.Add("2020-04-28 12:21:11,404910")
	f.Fuzz(func(t *testing.T, s string) {
		if at, ok := parseRuntime(s); ok && len(s) == len(runtimeLayout) {
			if again, ok := parseRuntime(runtime(at)); !ok || !again.Equal(at) {
				t.Errorf("%q", s)
			}
		}
	})
}

// Every status and every reason of ours has a word of theirs.
func TestWords_AreComplete(t *testing.T) {
	for _, s := range job.Statuses() {
		w, ok := runStatuses[s]
		if !ok || (w == statusRunning) == s.Terminal() {
			t.Errorf("status %s is %q", s, w)
		}
	}
	for _, reason := range []string{job.ReasonCapacity, job.ReasonInternal, job.ReasonLost, job.ReasonTimeLimit, job.ReasonKillUnsure,
		job.ReasonAuthentication, job.ReasonHostKeyChanged, job.ReasonHostKeyUnknown, job.ReasonConnect, job.ReasonJump, job.ReasonDeviceGone,
		job.ReasonUnsupported, job.ReasonDeadline} {
		if reasons[reason] == "" {
			t.Errorf("no words for %s", reason)
		}
	}
}

func TestFailureText(t *testing.T) {
	for name, c := range map[string]struct {
		r    job.Result
		want string
	}{
		"no credential": {job.Result{Device: "sim-001", Status: job.ResultFailed, Reason: job.ReasonNoCredential, Message: "x"}, "No matching credentials found for DEVICE 'sim-001'"},
		"rendering":     {job.Result{Status: job.ResultFailed, Reason: job.ReasonRendering, Message: "line 1: KeyError: 'aid'"}, "line 1: KeyError: 'aid'"},
		"stopped":       {job.Result{Status: job.ResultCanceled, Reason: job.ReasonStopped, Message: "m"}, "Aborted"},
		"password":      {job.Result{Status: job.ResultFailed, Reason: job.ReasonAuthentication, Message: "m"}, "Authentication to device failed.\nm"},
		"bare":          {job.Result{Status: job.ResultUnreachable, Reason: job.ReasonConnect}, reasons[job.ReasonConnect]},
		"a new reason":  {job.Result{Status: job.ResultFailed, Reason: "new", Message: "m"}, "m"},
		"no words":      {job.Result{Status: job.ResultFailed, Reason: "new"}, "The device's result is failed (new)."},
	} {
		if got := failureText(c.r); got != c.want {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestScopedName(t *testing.T) {
	for full, want := range map[string]string{"a": "a", "[Shared] a b": "a b", "[W] a] b": "a] b", "[x": "[x", "a [b] c": "a [b] c"} {
		if got := scopedName(full); got != want {
			t.Errorf("%q: got %q", full, got)
		}
	}
}

// Every code has a status, and only those of our own defects are 5xx.
func TestStatuses_AreComplete(t *testing.T) {
	ours := map[job.Code]bool{job.Unavailable: true, job.Canceled: true, job.Corrupt: true, job.Internal: true}
	for _, c := range []job.Code{job.Invalid, job.NotFound, job.AlreadyExists, job.Conflict, job.KeyReused, job.Unauthenticated, job.Forbidden,
		job.Disabled, job.TooLarge, job.Unsupported, job.Exhausted, job.Unavailable, job.Canceled, job.Corrupt, job.Internal} {
		status, ok := statuses[c]
		if !ok || (status >= 500) != ours[c] {
			t.Errorf("%s: %d", c, status)
		}
	}
}
