package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// Edge is what stands around a family's handler.
type Edge struct {
	Family string
	Log    *slog.Logger
	Clock  func() time.Time
	// TrustForwarded takes the caller's address from X-Forwarded-For. Only
	// for a process that nothing but a proxy can reach.
	TrustForwarded bool
	// Failed writes the family's body for a defect of ours (status 500).
	Failed func(w http.ResponseWriter)
}

// Wrap returns h with a cleaned path, a bounded body, a request id (also in
// the answer's header), one line in the access log per request, and panics
// turned into Failed and a log entry. The log has neither headers, nor
// queries, nor bodies: those are where secrets are.
func (e Edge) Wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := e.Clock()
		q := newRequest(r, e.TrustForwarded)
		r = CleanPath(r.WithContext(context.WithValue(r.Context(), requestKey{}, q)))
		a := &answer{ResponseWriter: w}
		if r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		}
		w.Header().Set(requestIDHeader, q.id)
		defer func() {
			p := recover()
			if p == http.ErrAbortHandler {
				panic(p)
			}
			if p != nil {
				e.Log.Error("handler panicked", "family", e.Family, "request_id", q.id,
					"method", clip(r.Method), "path", clip(r.URL.Path), "err", fmt.Sprint(p), "stack", string(debug.Stack()))
				if a.status == 0 {
					e.Failed(a)
				}
			}
			e.log(r, q, a, e.Clock().Sub(start))
		}()
		h.ServeHTTP(a, r)
	})
}

func (e Edge) log(r *http.Request, q *request, a *answer, took time.Duration) {
	level := slog.LevelInfo
	if a.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	e.Log.Log(r.Context(), level, "request", "family", e.Family, "request_id", q.id,
		"tenant", q.tenant, "user", q.user, "address", q.address,
		"method", clip(r.Method), "path", clip(r.URL.Path),
		"status", a.status, "bytes", a.bytes, "ms", took.Milliseconds())
}

// clip bounds what a caller can make the log hold.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// answer remembers what was written.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader remembers the status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
