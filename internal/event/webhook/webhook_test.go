package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/event"
	"drover/internal/event/webhook"
	"drover/internal/job"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// receiver answers with the statuses given, the last one for ever, and keeps
// what it got.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	got      []delivery
}

type delivery struct {
	Method, Path, Event, Type, Signature, User string
	Body                                       []byte
}

func receive(t *testing.T, statuses ...int) *receiver {
	r := &receiver{statuses: statuses}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	user, _, _ := req.BasicAuth()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, delivery{req.Method, req.URL.Path, req.Header.Get(webhook.HeaderEvent), req.Header.Get("Content-Type"),
		req.Header.Get(webhook.HeaderSignature), user, body})
	status := r.statuses[0]
	if len(r.statuses) > 1 {
		r.statuses = r.statuses[1:]
	}
	if status/100 == 3 {
		w.Header().Set("Location", r.URL+"/elsewhere")
	}
	w.WriteHeader(status)
}

// sender is a sink with a clock that sleeping moves, and notes.
type sender struct {
	*webhook.Sink
	mu      sync.Mutex
	log     bytes.Buffer
	pauses  []time.Duration
	results []string
}

func send(t *testing.T, c webhook.Config) *sender {
	t.Helper()
	s := &sender{}
	at := now
	c.Clock = func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return at }
	if c.Sleep == nil {
		c.Sleep = func(_ context.Context, d time.Duration) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			at, s.pauses = at.Add(d), append(s.pauses, d)
			return nil
		}
	}
	c.Observe = func(result string) { s.mu.Lock(); defer s.mu.Unlock(); s.results = append(s.results, result) }
	c.Log = slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if s.Sink, err = webhook.Open(c); err != nil {
		t.Fatal(err)
	}
	return s
}

// publish sends events and waits for their end.
func (s *sender) publish(t *testing.T, es ...event.Event) {
	t.Helper()
	for _, e := range es {
		if err := s.Publish(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

var ended = event.Event{ID: "e1", Kind: event.RunEnded, Time: now, Tenant: "default", Run: "r1", Service: "hello", Status: job.Failed,
	Reason: job.ReasonDevices, Counts: &job.Counts{Total: 2, Succeeded: 1, Failed: 1}}

func TestSink_PostsTheEventSigned(t *testing.T) {
	r := receive(t, 204)
	s := send(t, webhook.Config{URL: r.URL + "/hook", Secret: "s3cret"})
	s.publish(t, ended)
	if len(r.got) != 1 {
		t.Fatalf("%d deliveries, want 1", len(r.got))
	}
	d := r.got[0]
	if d.Method != "POST" || d.Path != "/hook" || d.Event != "e1" || d.Type != "application/json" {
		t.Errorf("delivery %+v", d)
	}
	var got event.Event
	if err := json.Unmarshal(d.Body, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ended, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !webhook.Verify("s3cret", d.Signature, d.Body, now, time.Minute) {
		t.Errorf("signature %q does not verify", d.Signature)
	}
	if !slices.Equal(s.results, []string{webhook.Delivered}) {
		t.Errorf("observed %q", s.results)
	}
}

func TestSink_WithoutSecretIsNotSigned(t *testing.T) {
	r := receive(t, 200)
	send(t, webhook.Config{URL: r.URL}).publish(t, ended)
	if len(r.got) != 1 || r.got[0].Signature != "" {
		t.Errorf("deliveries %+v", r.got)
	}
}

func TestSign(t *testing.T) {
	body := []byte(`{"id":"e1"}`)
	header := webhook.Sign("key", time.Unix(1_700_000_000, 0), body)
	// printf '1700000000.{"id":"e1"}' | openssl dgst -sha256 -hmac key
	const want = "t=1700000000,v1=bef8ad98fc8bc281e228c29d99d0b38086051703dbf3bbb8b3fee5b801ad1976"
	if header != want {
		t.Errorf("Sign = %q, want %q", header, want)
	}
	at := time.Unix(1_700_000_000, 0)
	if !webhook.Verify("key", header, body, at.Add(time.Minute), time.Minute) {
		t.Error("does not verify")
	}
	for name, bad := range map[string]bool{
		"other key":  webhook.Verify("kez", header, body, at, time.Minute),
		"other body": webhook.Verify("key", header, []byte(`{"id":"e2"}`), at, time.Minute),
		"too late":   webhook.Verify("key", header, body, at.Add(time.Minute+time.Second), time.Minute),
		"too early":  webhook.Verify("key", header, body, at.Add(-time.Minute-time.Second), time.Minute),
		"other time": webhook.Verify("key", strings.Replace(header, "t=17", "t=18", 1), body, at.Add(100_000_000*time.Second), time.Minute),
		"cut":        webhook.Verify("key", header[:len(header)-2], body, at, time.Minute),
		"empty":      webhook.Verify("key", "", body, at, time.Minute),
		"no time":    webhook.Verify("key", header[strings.Index(header, ",v1="):], body, at, time.Minute),
	} {
		if bad {
			t.Errorf("%s: verifies", name)
		}
	}
}

func TestSink_TriesAgainWhereThatCanHelp(t *testing.T) {
	tests := []struct {
		name     string
		statuses []int
		attempts int
		result   string
	}{
		{"at once", []int{200}, 1, webhook.Delivered},
		{"after server errors", []int{500, 503, 429, 408, 202}, 5, webhook.Delivered},
		{"never", []int{500}, webhook.DefaultAttempts, webhook.Failed},
		{"refused", []int{400}, 1, webhook.Failed},
		{"gone", []int{503, 410}, 2, webhook.Failed},
		{"moved, would lose the body", []int{302, 200}, 1, webhook.Failed},
		{"moved within the host", []int{307, 200}, 2, webhook.Delivered},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := receive(t, tt.statuses...)
			s := send(t, webhook.Config{URL: r.URL, Secret: "s3cret"})
			s.publish(t, ended)
			if len(r.got) != tt.attempts || !slices.Equal(s.results, []string{tt.result}) {
				t.Errorf("%d attempts, %q; want %d, %s", len(r.got), s.results, tt.attempts, tt.result)
			}
			for i, d := range r.got {
				if d.Event != "e1" || !bytes.Equal(d.Body, r.got[0].Body) {
					t.Errorf("attempt %d differs: %+v", i, d)
				}
			}
			if failed := strings.Contains(s.log.String(), "event not delivered"); failed != (tt.result == webhook.Failed) {
				t.Errorf("log:\n%s", &s.log)
			}
		})
	}
}

func TestSink_PausesGrowAndSignaturesAreFresh(t *testing.T) {
	r := receive(t, 500)
	jitter := 0.0
	s := send(t, webhook.Config{URL: r.URL, Secret: "s3cret", Attempts: 9, Jitter: func() float64 { return jitter }})
	s.publish(t, ended)
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
		30 * time.Second, 30 * time.Second}
	if !slices.Equal(s.pauses, want) {
		t.Errorf("pauses %v, want %v", s.pauses, want)
	}
	at := now
	for i, d := range r.got {
		if !webhook.Verify("s3cret", d.Signature, d.Body, at, time.Second) {
			t.Errorf("attempt %d has an old signature", i)
		}
		if i < len(want) {
			at = at.Add(want[i])
		}
	}

	jitter = 0.999
	s = send(t, webhook.Config{URL: r.URL, Jitter: func() float64 { return jitter }, Attempts: 2})
	s.publish(t, ended)
	if p := s.pauses[0]; p <= 990*time.Millisecond || p >= time.Second {
		t.Errorf("longest first pause %v", p)
	}
}

func TestSink_FollowsToNoOtherHost(t *testing.T) {
	other := receive(t, 200)
	r := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer r.Close()
	s := send(t, webhook.Config{URL: r.URL})
	s.publish(t, ended)
	if len(other.got) != 0 || !slices.Equal(s.results, []string{webhook.Failed}) {
		t.Errorf("the other host got %+v; %q", other.got, s.results)
	}
}

func TestSink_AReceiverThatHangsTimesOut(t *testing.T) {
	hang := make(chan struct{})
	r := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer r.Close()
	defer close(hang)
	s := send(t, webhook.Config{URL: r.URL, Timeout: 10 * time.Millisecond, Attempts: 2})
	s.publish(t, ended)
	if !slices.Equal(s.results, []string{webhook.Failed}) || len(s.pauses) != 1 {
		t.Errorf("%q after %d pauses", s.results, len(s.pauses))
	}
}

func TestSink_SecretsOfTheURLAreNotLogged(t *testing.T) {
	for _, bad := range []string{"", "hook", "ftp://h/", "file:///etc/passwd", "http://", "https:///x", "://", "http://u:hunter2@h:port/", "http://u:hunter2@[::1/",
		"mailto:hunter2@example.org"} {
		_, err := webhook.Open(webhook.Config{URL: bad})
		if job.CodeOf(err) != job.Invalid {
			t.Errorf("%q: code %q, want invalid", bad, job.CodeOf(err))
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error holds the password", bad)
		}
	}
	r := receive(t, 500)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, base := range []string{r.URL, gone.URL} {
		s := send(t, webhook.Config{URL: strings.Replace(base, "http://", "http://hook:hunter2@", 1) + "/t0ken?key=t0ken", Secret: "s3cret", Attempts: 2})
		s.publish(t, ended)
		if log := s.log.String(); strings.Contains(log, "hunter2") || strings.Contains(log, "t0ken") || strings.Contains(log, "s3cret") ||
			!strings.Contains(log, "not delivered") {
			t.Errorf("log:\n%s", log)
		}
	}
	if len(r.got) == 0 || r.got[0].User != "hook" {
		t.Errorf("the credentials were not sent: %+v", r.got)
	}
}

func TestSink_AFullQueueDrops(t *testing.T) {
	entered, release := make(chan struct{}, 10), make(chan struct{})
	r := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-release }))
	defer r.Close()
	s := send(t, webhook.Config{URL: r.URL, Queue: 2})
	publish := func(id string) job.Code { return job.CodeOf(s.Publish(t.Context(), event.Event{ID: id})) }
	if c := publish("e0"); c != "" {
		t.Error(c)
	}
	<-entered // e0 is under way
	for i, want := range []job.Code{"", "", job.Exhausted, job.Exhausted} {
		if got := publish(fmt.Sprint("e", i+1)); got != want {
			t.Errorf("event %d: code %q, want %q", i+1, got, want)
		}
	}
	close(release)
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if c := publish("late"); c != job.Unavailable {
		t.Errorf("after Close: code %q", c)
	}
	slices.Sort(s.results)
	if want := []string{webhook.Delivered, webhook.Delivered, webhook.Delivered, webhook.Dropped, webhook.Dropped, webhook.Dropped}; !slices.Equal(s.results, want) {
		t.Errorf("observed %q", s.results)
	}
	if n := strings.Count(s.log.String(), "event dropped"); n != 3 {
		t.Errorf("%d drops logged, want 3:\n%s", n, &s.log)
	}
}

func TestSink_CloseWaitsNoLongerThanItsContext(t *testing.T) {
	r := receive(t, 500)
	pausing := make(chan struct{})
	s := send(t, webhook.Config{URL: r.URL, Sleep: func(ctx context.Context, _ time.Duration) error {
		close(pausing)
		<-ctx.Done()
		return ctx.Err()
	}})
	for i := range 3 {
		if err := s.Publish(t.Context(), event.Event{ID: fmt.Sprint("e", i)}); err != nil {
			t.Fatal(err)
		}
	}
	<-pausing
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Close(ctx)
	if job.CodeOf(err) != job.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("Close = %v", err)
	}
	if want := []string{webhook.Failed, webhook.Dropped, webhook.Dropped}; !slices.Equal(s.results, want) {
		t.Errorf("observed %q, want %q", s.results, want)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
