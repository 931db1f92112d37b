package metrics

import (
	"net/http"
	"time"
)

// HTTP counts and times the requests that next answers, for an API family. The
// route is the pattern that an http.ServeMux within next chose for this very
// request value: middleware between the two must not replace the request, or
// must report by Request itself. A request without pattern has route "none".
func (m *Metrics) HTTP(family string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		ended := false
		defer func() {
			if !ended && !rec.wrote { // it panicked: net/http drops the connection
				rec.status = http.StatusInternalServerError
			}
			m.Request(family, r.Pattern, rec.status, time.Since(started))
		}()
		next.ServeHTTP(rec, r)
		ended = true
	})
}

// Request counts and times one answered request. family and route are names of
// the program, never what a caller sent.
func (m *Metrics) Request(family, route string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	family, route = m.known(family, route)
	m.httpRequests.WithLabelValues(family, route, statusClass(status)).Inc()
	m.httpDuration.WithLabelValues(family, route).Observe(took.Seconds())
}

// known bounds the number of routes.
func (m *Metrics) known(family, route string) (string, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := [2]string{family, route}
	if !m.routes[key] {
		if len(m.routes) >= maxRoutes {
			return other, other
		}
		m.routes[key] = true
	}
	return family, route
}

func statusClass(status int) string {
	switch status / 100 {
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	case 5:
		return "5xx"
	}
	return other
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote && status >= 200 { // 1xx are followed by the real one
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.wrote = true
	return r.ResponseWriter.Write(p)
}

// Flush sends what is buffered, where the writer below can.
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
