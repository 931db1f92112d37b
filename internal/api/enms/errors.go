package enms

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"drover/internal/job"
)

// statuses is the one table from the code of an error to the status of the
// answer. What does not exist, or is not visible, is 403 in eNMS.
var statuses = map[job.Code]int{
	job.Invalid:         http.StatusBadRequest,
	job.Unsupported:     http.StatusBadRequest,
	job.Unauthenticated: http.StatusUnauthorized,
	job.Forbidden:       http.StatusForbidden,
	job.NotFound:        http.StatusForbidden,
	job.Disabled:        http.StatusForbidden,
	job.AlreadyExists:   http.StatusConflict,
	job.Conflict:        http.StatusConflict,
	job.TooLarge:        http.StatusRequestEntityTooLarge,
	job.KeyReused:       http.StatusUnprocessableEntity,
	job.Exhausted:       http.StatusTooManyRequests,
	job.Unavailable:     http.StatusServiceUnavailable,
	job.Canceled:        http.StatusServiceUnavailable,
	job.Corrupt:         http.StatusInternalServerError,
	job.Internal:        http.StatusInternalServerError,
}

// fixedWords are the reasons that eNMS gives, whatever the cause.
var fixedWords = map[int]string{
	http.StatusUnauthorized:        "Wrong Credentials.",
	http.StatusForbidden:           "Not Authorized.",
	http.StatusNotFound:            "Not Found.",
	http.StatusInternalServerError: "Internal Server Error.",
}

// statusHungUp is for the log: the caller is gone, and no answer reaches it.
const statusHungUp = 499

// fail writes the answer to an error and logs it when it is ours.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, ok := statuses[job.CodeOf(err)]
	switch {
	case errors.Is(r.Context().Err(), context.Canceled):
		status = statusHungUp
	case errors.Is(r.Context().Err(), context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
		err = job.Wrap(job.Canceled, err, "The answer takes longer than this way of asking allows.")
	case !ok:
		status = http.StatusInternalServerError
	}
	if status >= http.StatusInternalServerError {
		s.Log.ErrorContext(r.Context(), "request failed", "family", "enms", "path", r.URL.Path, "err", err)
	}
	writeAlert(w, status, job.MessageOf(err))
}

// writeAlert writes eNMS's body of an error.
func writeAlert(w http.ResponseWriter, status int, reason string) {
	if fixed, ok := fixedWords[status]; ok {
		reason = fixed
	}
	writeBody(w, status, mustEncode(map[string]any{"alert": fmt.Sprintf("Error %d - %s", status, reason)}))
}

// allowed is eNMS's list of methods under /rest.
const allowed = "DELETE, OPTIONS, HEAD, POST, GET"

// writeMethodNotAllowed writes the one error that is not JSON in eNMS.
func writeMethodNotAllowed(w http.ResponseWriter) {
	w.Header().Set("Allow", allowed)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusMethodNotAllowed)
	_, _ = w.Write([]byte("<!doctype html>\n<html lang=en>\n<title>405 Method Not Allowed</title>\n" +
		"<h1>Method Not Allowed</h1>\n<p>The method is not allowed for the requested URL.</p>\n"))
}
