package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"drover/internal/api"
	"drover/internal/job"
)

func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, name+" "+r.Method+" "+r.URL.EscapedPath())
	})
}

func TestRoutes_HaveNoOverlap(t *testing.T) {
	all := map[string]http.Handler{}
	for _, r := range api.Routes() {
		all[r.Family] = named(r.Family)
	}
	if _, err := api.Mux(all); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Mux(map[string]http.Handler{"nobody": named("x")}); err == nil {
		t.Error("a handler without a route was accepted")
	}
}

func TestMux_HandsOnWithoutRedirect(t *testing.T) {
	mux, err := api.Mux(map[string]http.Handler{api.FamilyENMS: named("enms"), api.FamilyConsole: named("console")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, want string }{
		{"POST", "/rest/run_service", "enms POST /rest/run_service"},
		{"POST", "//rest///run_service", "enms POST /rest/run_service"},
		{"POST", "/x/../rest/./run_service", "enms POST /rest/run_service"},
		{"POST", "/rest/run_service/", "enms POST /rest/run_service/"},
		{"PUT", "/rest/run_service", "enms PUT /rest/run_service"},
		{"GET", "/rest", "enms GET /rest"},
		{"GET", "/rest/", "enms GET /rest/"},
		{"GET", "/rest/result/a%2Fb/2026-11-21%2020:43:28.697722", "enms GET /rest/result/a%2Fb/2026-11-21%2020:43:28.697722"},
		{"GET", "/drover/v1/runs", "console GET /drover/v1/runs"},
		{"GET", "/healthz", "console GET /healthz"},
		{"GET", "/nothing", "404"},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		got := w.Body.String()
		if w.Code != http.StatusOK {
			got = http.StatusText(w.Code)
			if w.Code == http.StatusNotFound {
				got = "404"
			}
		}
		if got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.method, c.path, got, c.want)
		}
	}
}

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		ok   bool
	}{
		"object":        {`{"a": 1}`, true},
		"space around":  {" {\"a\": 1}\n ", true},
		"last one wins": {`{"a": 1, "a": 2}`, true},
		"empty":         {``, false},
		"blank":         {" \n", false},
		"list":          {`[1]`, false},
		"two values":    {`{} {}`, false},
		"trailing":      {`{}x`, false},
		"trailing ]":    {`{}]`, false},
		"broken":        {`{"a":`, false},
		"not UTF-8":     {"{\"a\": \"\xff\"}", false},
		"NaN":           {`{"a": NaN}`, false},
		"deep enough":   {strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64), true},
		"too deep":      {strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), false},
		"deep in text":  {`{"a": "` + strings.Repeat("[", 1000) + `\"{"}`, true},
	} {
		var v map[string]any
		err := api.Decode([]byte(c.body), &v)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && job.CodeOf(err) != job.Invalid {
			t.Errorf("%s: code %s", name, job.CodeOf(err))
		}
	}
	var v map[string]any
	if err := api.Decode([]byte(`{"n": 12345678901234567890, "n2": 1.50}`), &v); err != nil || v["n"] != json.Number("12345678901234567890") || v["n2"] != json.Number("1.50") {
		t.Errorf("numbers: %v %v", v, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"\""}]}`, `[[[[`, `{"a":1}{`, "\xff", `"\ud800"`, `{"a":1e999}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v any
		err := api.Decode(body, &v)
		if err == nil && !json.Valid(body) {
			t.Error("accepted what is not JSON")
		}
		if err != nil && job.CodeOf(err) != job.Invalid {
			t.Errorf("code %s", job.CodeOf(err))
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	for name, c := range map[string]struct {
		keys []string
		want string
		ok   bool
	}{
		"none":       {nil, "", true},
		"plain":      {[]string{"k-1"}, "k-1", true},
		"longest":    {[]string{strings.Repeat("k", 255)}, strings.Repeat("k", 255), true},
		"too long":   {[]string{strings.Repeat("k", 256)}, "", false},
		"empty":      {[]string{""}, "", false},
		"twice":      {[]string{"a", "a"}, "", false},
		"control":    {[]string{"a\x01"}, "", false},
		"not ASCII":  {[]string{"é"}, "", false},
		"with blank": {[]string{"a b"}, "a b", true},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header["Idempotency-Key"] = c.keys
		got, err := api.IdempotencyKey(r)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func edge(log io.Writer, trust bool) api.Edge {
	return api.Edge{
		Family: "f", Log: slog.New(slog.NewTextHandler(log, nil)), Clock: time.Now, TrustForwarded: trust,
		Failed: func(w http.ResponseWriter) { w.WriteHeader(500); _, _ = io.WriteString(w, "vendor's words") },
	}
}

func TestEdge_BoundsTheBody(t *testing.T) {
	h := edge(io.Discard, false).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := api.ReadBody(r)
		if err != nil {
			w.WriteHeader(413)
			_, _ = io.WriteString(w, string(job.CodeOf(err)))
			return
		}
		_, _ = io.WriteString(w, http.StatusText(200)+string(b[:1]))
	}))
	for _, c := range []struct {
		size    int
		chunked bool
		status  int
	}{{api.MaxBody, false, 200}, {api.MaxBody, true, 200}, {api.MaxBody + 1, false, 413}, {api.MaxBody + 1, true, 413}} {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(make([]byte, c.size)))
		if c.chunked {
			r.ContentLength = -1
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%+v: %d %s", c, w.Code, w.Body)
		}
		if c.status == 413 && w.Body.String() != string(job.TooLarge) {
			t.Errorf("%+v: code %s", c, w.Body)
		}
	}
}

func TestEdge_TurnsAPanicIntoTheVendorsAnswer(t *testing.T) {
	var log bytes.Buffer
	h := edge(&log, false).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
	if w.Code != 500 || w.Body.String() != "vendor's words" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "status=500") {
		t.Errorf("log: %s", log.String())
	}
}

func TestEdge_LogsWhoAndWhatButNoSecrets(t *testing.T) {
	var log bytes.Buffer
	h := edge(&log, true).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.SetPrincipal(r.Context(), job.Principal{Tenant: "t1", Name: "ops"})
		_, _ = io.WriteString(w, api.RequestID(r.Context())+" "+api.Address(r.Context()))
	}))
	r := httptest.NewRequest("POST", "/rest/run_service?token=CANARY", strings.NewReader("CANARY"))
	r.SetBasicAuth("ops", "CANARY")
	r.Header.Set("X-Request-Id", "abc-1")
	r.Header.Set("X-Forwarded-For", "10.9.9.9, 192.0.2.7")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Body.String(); got != "abc-1 192.0.2.7" || w.Header().Get("X-Request-Id") != "abc-1" {
		t.Errorf("got %q", got)
	}
	for _, want := range []string{"tenant=t1", "user=ops", "path=/rest/run_service", "status=200", "request_id=abc-1", "address=192.0.2.7"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %s: %s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "CANARY") {
		t.Errorf("secret in the log: %s", log.String())
	}
}

func TestEdge_CleansThePathAndKeepsTheBody(t *testing.T) {
	h := edge(io.Discard, false).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := api.ReadBody(r)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.EscapedPath()+"?"+r.URL.RawQuery+" "+string(b)+" "+string(job.CodeOf(err)))
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "//rest/x/../a%2Fb/./c?q=1", strings.NewReader("body")))
	if got := w.Body.String(); got != "POST /rest/a%2Fb/c?q=1 body " {
		t.Errorf("got %q", got)
	}
}

func TestEdge_DoesNotBelieveForwardedUnlessTold(t *testing.T) {
	h := edge(io.Discard, false).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, api.Address(r.Context())+" "+api.RequestID(r.Context()))
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "198.51.100.1:999"
	r.Header.Set("X-Forwarded-For", "10.0.0.1")
	r.Header.Set("X-Request-Id", "line\nbreak")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	got := strings.Fields(w.Body.String())
	if len(got) != 2 || got[0] != "198.51.100.1" || strings.Contains(got[1], "line") {
		t.Errorf("got %q", got)
	}
}

func TestTexts_CutTheLongestFirst(t *testing.T) {
	var ts api.Texts
	short, long, longer := ts.Add(strings.Repeat("s", 10)), ts.Add(strings.Repeat("l", 1000)), ts.Add(strings.Repeat("L", 5000))
	if n := ts.Cut(810); n != 2 {
		t.Errorf("%d texts cut", n)
	}
	if short.String() != strings.Repeat("s", 10) {
		t.Errorf("the short text was cut: %s", short)
	}
	if want := strings.Repeat("l", 400) + "\n[cut: 600 of 1000 bytes are left out]"; long.String() != want {
		t.Errorf("got %q", long)
	}
	if want := strings.Repeat("L", 400) + "\n[cut: 4600 of 5000 bytes are left out]"; longer.String() != want {
		t.Errorf("got %q", longer)
	}
}

func TestTexts_FitKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ts api.Texts
		tree := map[string]any{}
		total := 0
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 3000), 0, 20).Draw(t, "sizes") {
			s := strings.Repeat(rapid.SampledFrom([]string{"a", "é", "\n", "\x00", "😀"}).Draw(t, "letter"), n)
			tree[strings.Repeat("k", i+1)] = ts.Add(s)
			total += n
		}
		limit := rapid.IntRange(4000, 20000).Draw(t, "limit")
		encode := func() ([]byte, error) { return json.Marshal(tree) }
		whole, _ := encode()
		body, cut, err := ts.Fit(limit, encode)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > limit || !json.Valid(body) || !utf8.Valid(body) {
			t.Fatalf("%d bytes for a limit of %d", len(body), limit)
		}
		if (cut > 0) != (len(whole) > limit) {
			t.Fatalf("%d cut, whole %d, limit %d", cut, len(whole), limit)
		}
	})
}

func TestTexts_FitSaysWhenNothingHelps(t *testing.T) {
	var ts api.Texts
	ts.Add("abc")
	_, _, err := ts.Fit(10, func() ([]byte, error) { return make([]byte, 11), nil })
	if job.CodeOf(err) != job.TooLarge {
		t.Errorf("got %v", err)
	}
}

func TestTexts_TreeTakesLongStringsOnly(t *testing.T) {
	var ts api.Texts
	long := strings.Repeat("x", 5000)
	v := ts.Tree(map[string]any{"a": "short", "b": []any{long, json.Number("1")}, "c": long})
	if n := ts.Cut(100); n != 2 {
		t.Errorf("%d cut", n)
	}
	b, err := json.Marshal(v)
	if err != nil || !strings.Contains(string(b), `"a":"short"`) || len(b) > 400 {
		t.Errorf("%s %v", b, err)
	}
}
