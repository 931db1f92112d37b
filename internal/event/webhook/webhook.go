// Package webhook tells an HTTP server what happened: each event is sent by
// POST as JSON, the form of event.Event.
//
// Delivery is at least once while the process lives: an answer of status 2xx
// ends it, an error of the network and the statuses 408, 429 and 5xx are tried
// again with growing pauses, any other answer is final. The receiver tells
// repetitions apart by the header Drover-Event, the event's ID. Events are sent
// one after another in the order in which they were published; what does not
// fit into the queue, or fails for good, is dropped and logged.
//
// With a secret, the header Drover-Signature is "t=<seconds>,v1=<hex>": the Unix
// time of this attempt and the HMAC-SHA256 of "<seconds>.<body>" (see Sign).
// Receivers should refuse times more than a few minutes off.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"drover/internal/event"
	"drover/internal/job"
)

// Headers of a delivery.
const (
	HeaderEvent     = "Drover-Event"
	HeaderSignature = "Drover-Signature"
)

// Defaults of Config.
const (
	DefaultTimeout  = 10 * time.Second
	DefaultAttempts = 6
	DefaultQueue    = 1000
)

// The pauses between attempts: random, up to a ceiling that doubles.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// Results of a delivery, for Config.Observe.
const (
	Delivered = "delivered"
	Failed    = "failed"  // given up
	Dropped   = "dropped" // the queue was full, or the sink was closed first
)

// Config says where events go and how. URL is required.
type Config struct {
	URL      string     // http or https; may hold a user name and password
	Secret   job.Secret // signs; empty: not signed
	Timeout  time.Duration
	Attempts int // per event, the first one included
	Queue    int // events that wait
	Log      *slog.Logger
	Clock    func() time.Time
	// Sleep waits, or returns ctx's error when that ends first; nil: a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// Jitter returns a number in [0,1); nil: math/rand.
	Jitter    func() float64
	Transport http.RoundTripper // nil: http.DefaultTransport
	// Observe is told the result of every event; may be nil.
	Observe func(result string)
}

// Sink is an event.Sink. Close releases it.
type Sink struct {
	c      Config
	url    *url.URL
	client *http.Client
	ctx    context.Context // ends when the sink must stop at once
	stop   context.CancelFunc
	queue  chan event.Event
	done   chan struct{}

	mu     sync.RWMutex // of closed, and of sending on queue
	closed bool
}

// Open checks the configuration and starts the sink.
func Open(c Config) (*Sink, error) {
	u, err := url.Parse(c.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		// Neither the URL nor the parser's words are shown: they may hold a password.
		return nil, job.Errorf(job.Invalid, "the webhook's URL must be of the form http://host/path or https://host/path")
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Attempts <= 0 {
		c.Attempts = DefaultAttempts
	}
	if c.Queue <= 0 {
		c.Queue = DefaultQueue
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.Observe == nil {
		c.Observe = func(string) {}
	}
	s := &Sink{
		c:      c,
		url:    u,
		client: &http.Client{Transport: c.Transport, Timeout: c.Timeout, CheckRedirect: sameHost},
		queue:  make(chan event.Event, c.Queue),
		done:   make(chan struct{}),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	go s.deliverAll()
	return s, nil
}

// sameHost follows redirects that keep the body (307, 308) within the host.
// Others are answers, and final ones: events are for this receiver only.
func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 5 || next.Method != first.Method || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// Publish queues an event. It never waits: when the queue is full or the sink is
// closed the event is dropped, which is logged and returned as job.Exhausted or
// job.Unavailable.
func (s *Sink) Publish(ctx context.Context, e event.Event) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return s.drop(ctx, e, job.Errorf(job.Unavailable, "the webhook is closed"))
	}
	select {
	case s.queue <- e:
		return nil
	default:
		return s.drop(ctx, e, job.Errorf(job.Exhausted, "the webhook's queue is full"))
	}
}

func (s *Sink) drop(ctx context.Context, e event.Event, why error) error {
	s.c.Log.WarnContext(ctx, "webhook: event dropped", attrs(e, why)...)
	s.c.Observe(Dropped)
	return why
}

// Close takes no more events and returns when those in the queue are delivered
// or given up, or ctx ends: what is left then is dropped and counted in the
// error, which is job.Canceled. A second Close waits for the same.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.queue)
	}
	s.mu.Unlock()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	left := len(s.queue)
	s.stop()
	<-s.done
	return job.Wrap(job.Canceled, ctx.Err(), "the webhook was closed with %d events in its queue", left)
}

func (s *Sink) deliverAll() {
	defer close(s.done)
	defer s.stop()
	for e := range s.queue {
		if s.ctx.Err() != nil {
			_ = s.drop(s.ctx, e, job.Errorf(job.Canceled, "the webhook was closed")) // logged there
			continue
		}
		if err := s.deliver(e); err != nil {
			s.c.Log.ErrorContext(s.ctx, "webhook: event not delivered", attrs(e, err)...)
			s.c.Observe(Failed)
			continue
		}
		s.c.Observe(Delivered)
	}
}

func (s *Sink) deliver(e event.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		again, err := s.post(e.ID, body)
		if err == nil || !again || attempt == s.c.Attempts {
			return err
		}
		s.c.Log.DebugContext(s.ctx, "webhook: will try again", append(attrs(e, err), "attempt", attempt)...)
		ceiling := min(firstPause<<(attempt-1), maxPause)
		// Half of the pause is certain, half is chance.
		pause := ceiling/2 + time.Duration(s.c.Jitter()*float64(ceiling/2))
		if s.c.Sleep(s.ctx, pause) != nil {
			return err
		}
	}
}

// post makes one attempt; again says whether another one can help.
func (s *Sink) post(id string, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.url.String(), bytes.NewReader(body))
	if err != nil {
		return false, withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "drover")
	req.Header.Set(HeaderEvent, id)
	if s.c.Secret != "" {
		req.Header.Set(HeaderSignature, Sign(s.c.Secret, s.c.Clock(), body))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return s.ctx.Err() == nil, withoutURL(err)
	}
	// Reading a little lets the connection be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10)
	_ = resp.Body.Close()
	code := resp.StatusCode
	if code/100 == 2 {
		return false, nil
	}
	again = code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500
	return again, fmt.Errorf("the receiver answered with status %d", code)
}

// withoutURL takes away what net/http puts around an error: the URL, which may
// hold a password or a token.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// Sign returns the value of HeaderSignature for a body sent at a time.
func Sign(key job.Secret, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(signature(key, t, body))
}

func signature(key job.Secret, t string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(key.Reveal()))
	_, _ = io.WriteString(h, t+".")
	_, _ = h.Write(body)
	return h.Sum(nil)
}

// Verify reports whether a signature header is right for a body and made within
// tolerance of now. It is what a receiver does.
func Verify(key job.Secret, header string, body []byte, now time.Time, tolerance time.Duration) bool {
	t, sum, ok := strings.Cut(header, ",v1=")
	seconds, isTime := strings.CutPrefix(t, "t=")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if !ok || !isTime || err != nil || now.Sub(time.Unix(at, 0)).Abs() > tolerance {
		return false
	}
	got, err := hex.DecodeString(sum)
	return err == nil && hmac.Equal(got, signature(key, seconds, body))
}

func attrs(e event.Event, err error) []any {
	return []any{"event", e.ID, "kind", e.Kind, "tenant", e.Tenant, "run", e.Run, "err", err}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
