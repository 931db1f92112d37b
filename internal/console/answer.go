package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"syscall"

	"drover/internal/fleet"
	"drover/internal/inventory"
	"drover/internal/job"
)

// errorBody is the body of every answer that is not a success. Problems,
// Unknown and Outcomes say more where there is more to say.
type errorBody struct {
	Error    wireError       `json:"error"`
	Problems []fleet.Problem `json:"problems,omitempty"`
	Unknown  []wireUnknown   `json:"unknown,omitempty"`
	Outcomes []wireOutcome   `json:"outcomes,omitempty"`
}

type wireError struct {
	Code    job.Code `json:"code"`
	Message string   `json:"message"`
	Field   string   `json:"field"`
}

// wireUnknown is a target that does not exist.
type wireUnknown struct {
	Kind  string `json:"kind"` // device, address or pool
	Value string `json:"value"`
}

// maxUnknowns keeps an answer that is all unknown targets within its limit; the
// message counts them all.
const maxUnknowns = 10_000

func wireUnknowns(us []inventory.Unknown) []wireUnknown {
	us = us[:min(len(us), maxUnknowns)]
	out := make([]wireUnknown, len(us))
	for i, u := range us {
		out[i] = wireUnknown{u.Kind, u.Value}
	}
	return out
}

// statusOf is the one table from codes to statuses.
func statusOf(code job.Code) int {
	switch code {
	case job.Invalid, job.Unsupported:
		return http.StatusBadRequest
	case job.Unauthenticated:
		return http.StatusUnauthorized
	case job.Forbidden:
		return http.StatusForbidden
	case job.NotFound:
		return http.StatusNotFound
	case job.AlreadyExists, job.Conflict, job.Disabled:
		return http.StatusConflict
	case job.TooLarge:
		return http.StatusRequestEntityTooLarge
	case job.KeyReused:
		return http.StatusUnprocessableEntity
	case job.Exhausted:
		return http.StatusTooManyRequests
	case job.Unavailable, job.Canceled:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// shown is what a caller is told of an error: never its cause, except that the
// disk is full or read-only, which somebody has to mend.
func shown(err error) wireError {
	e := wireError{Code: job.CodeOf(err), Message: "internal error"}
	var of *job.Error
	if errors.As(err, &of) && of.Code != job.Internal {
		e.Message, e.Field = of.Message, of.Field
	}
	for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS} {
		if e.Code == job.Unavailable && errors.Is(err, cause) {
			e.Message += ": " + cause.Error()
		}
	}
	return e
}

func writeError(w http.ResponseWriter, err error) { writeErrorWith(w, err, nil) }

func writeErrorWith(w http.ResponseWriter, err error, more any) {
	body := errorBody{Error: shown(err)}
	switch m := more.(type) {
	case []fleet.Problem:
		body.Problems = m
	case []wireUnknown:
		body.Unknown = m
	case wireOutcomes:
		body.Outcomes = m.Outcomes
	}
	writeJSON(w, statusOf(body.Error.Code), body)
}

// encode is json.Marshal that leaves <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, job.Wrap(job.Internal, err, "encode the answer")
	}
	return b.Bytes(), nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, ok := v.(encoded)
	if !ok {
		var err error
		if body, err = encode(v); err != nil {
			status, body = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"internal error","field":""}}`)
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// encoded is an answer that is JSON already.
type encoded []byte

// listing answers with a page that list reads with a limit. A page that would
// be larger than an answer may be is read again with half as many.
func (c call) listing(most int, list func(limit int, after string) (body any, err error)) (answer, error) {
	limit, err := c.number("limit", most/2, 1, most)
	if err != nil {
		return answer{}, err
	}
	after := c.URL.Query().Get("after")
	for {
		v, err := list(limit, after)
		if err != nil {
			return answer{}, err
		}
		body, err := encode(v)
		if err != nil || len(body) <= c.room || limit == 1 {
			return answer{body: encoded(body)}, err
		}
		limit = max(limit/2, 1)
	}
}

// number reads a query parameter.
func (c call) number(name string, fallback, least, most int) (int, error) {
	q := c.URL.Query()
	if !q.Has(name) {
		return fallback, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < least || n > most {
		return 0, job.FieldErrorf(name, "want a number from %d to %d", least, most)
	}
	return n, nil
}

// flag reads a query parameter that is true or false.
func (c call) flag(name string) (bool, error) {
	switch v := c.URL.Query().Get(name); v {
	case "true":
		return true, nil
	case "", "false":
		return false, nil
	}
	return false, job.FieldErrorf(name, "want true or false")
}
