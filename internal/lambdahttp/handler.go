package lambdahttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxResponse is the most bytes that Lambda takes as an answer, envelope
// included.
const MaxResponse = 6 << 20

// AlwaysFits is the size of a body that fits whatever is in it and whatever
// the client takes; text fits up to about 5 MiB.
const AlwaysFits = 4<<20 + 300<<10

// Handler serves the events of one function. It has the method that the
// Lambda runtime calls.
type Handler struct {
	gateway, url http.Handler
	log          *slog.Logger
	limit        int
}

// New returns a Handler. Requests through an API Gateway go to gateway, those
// through the function's URL to url; nil means the same handler.
func New(gateway, url http.Handler, log *slog.Logger) *Handler {
	if url == nil {
		url = gateway
	}
	return &Handler{gateway: gateway, url: url, log: log, limit: MaxResponse}
}

// response is an answer of payload format 2.0.
type response struct {
	Status   int               `json:"statusCode"`
	Headers  map[string]string `json:"headers"`
	Cookies  []string          `json:"cookies,omitempty"`
	Body     string            `json:"body"`
	IsBase64 bool              `json:"isBase64Encoded"`
}

// Invoke answers one event. It fails only where the payload is no HTTP event;
// a handler that panics makes a 500.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	r, source, err := Request(ctx, payload)
	if err != nil {
		return nil, err
	}
	next := h.gateway
	if source == FunctionURL {
		next = h.url
	}
	w := &recorder{header: http.Header{}}
	h.serve(next, w, r)
	return h.encode(r, w)
}

// serve calls the handler and turns a panic into a bare 500.
func (h *Handler) serve(next http.Handler, w *recorder, r *http.Request) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p != http.ErrAbortHandler {
			h.log.ErrorContext(r.Context(), "handler panicked", "err", fmt.Sprint(p), "stack", string(debug.Stack()),
				"request", r.Header.Get("X-Request-Id"))
		}
		w.fail("internal error")
	}()
	next.ServeHTTP(w, r)
}

// encode makes the answer, by the shortest way that fits.
func (h *Handler) encode(r *http.Request, w *recorder) ([]byte, error) {
	w.finish(r.Method)
	out, err := w.encode()
	if err != nil || len(out) <= h.limit {
		return out, err
	}
	if w.sent.Get("Content-Encoding") == "" && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		w.compress()
		if out, err = w.encode(); err != nil || len(out) <= h.limit {
			return out, err
		}
	}
	h.log.ErrorContext(r.Context(), "answer over the limit", "bytes", len(out), "limit", h.limit,
		"path", r.URL.Path, "request", r.Header.Get("X-Request-Id"))
	w.fail("the answer is larger than can be sent")
	return w.encode()
}

// acceptsGzip reports whether the header allows gzip by name.
func acceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		if !ok {
			return true
		}
		v, err := strconv.ParseFloat(q, 64)
		return err == nil && v > 0
	}
	return false
}

// recorder is the ResponseWriter. As in package net/http the header is fixed
// by the first write, and what has no body gets none.
type recorder struct {
	header http.Header // the handler's
	sent   http.Header // as it was at the first write
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status != 0 || status < 200 { // informational answers cannot be sent
		return
	}
	w.status, w.sent = status, w.header.Clone()
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if bodyless(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	return w.body.Write(p)
}

// Flush fixes the header; the body is sent when it is whole.
func (w *recorder) Flush() { w.WriteHeader(http.StatusOK) }

func bodyless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

// fail replaces whatever was written by a plain 500.
func (w *recorder) fail(message string) {
	w.status = http.StatusInternalServerError
	w.sent = http.Header{"Content-Type": {"application/json"}}
	w.body.Reset()
	fmt.Fprintf(&w.body, "{\"error\":%q}\n", message)
}

func (w *recorder) finish(method string) {
	w.WriteHeader(http.StatusOK)
	if w.sent.Get("Content-Type") == "" && w.body.Len() > 0 {
		w.sent.Set("Content-Type", http.DetectContentType(w.body.Bytes()))
	}
	if method == http.MethodHead {
		w.body.Reset()
	}
	// The gateway counts the bytes itself.
	w.sent.Del("Content-Length")
	w.sent.Del("Transfer-Encoding")
}

func (w *recorder) compress() {
	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	_, _ = z.Write(w.body.Bytes()) // into memory: cannot fail
	_ = z.Close()
	w.body = small
	w.sent.Set("Content-Encoding", "gzip")
	w.sent.Add("Vary", "Accept-Encoding")
}

// encode writes the body as text where that is possible and not longer than
// base64.
func (w *recorder) encode() ([]byte, error) {
	out := response{Status: w.status, Headers: make(map[string]string, len(w.sent))}
	for k, vs := range w.sent {
		switch {
		case k == "Set-Cookie":
			out.Cookies = vs
		case len(vs) > 0:
			out.Headers[k] = strings.Join(vs, ", ")
		}
	}
	body := w.body.Bytes()
	if w.sent.Get("Content-Encoding") == "" && utf8.Valid(body) && escapedLen(body) <= base64.StdEncoding.EncodedLen(len(body)) {
		out.Body = string(body)
	} else {
		out.Body, out.IsBase64 = base64.StdEncoding.EncodeToString(body), len(body) > 0
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// escapedLen returns about how long a text is inside a JSON string.
func escapedLen(p []byte) int {
	n := len(p)
	for _, c := range p {
		switch {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t':
			n++
		case c < 0x20:
			n += 5
		}
	}
	return n
}
