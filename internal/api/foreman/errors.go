package foreman

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"drover/internal/job"
	"drover/internal/search"
)

// refusal is an error with a status and a body of its own. The numbers E1 to
// E20 in this file are those of the table of errors in docs/foreman.md.
type refusal struct {
	status int
	body   any
}

// Error is for the log.
func (e *refusal) Error() string { return fmt.Sprintf("refused with %d: %s", e.status, encode(e.body)) }

// object literals of answers.
type fields = map[string]any

func withMessage(message string) fields { return fields{"error": fields{"message": message}} }

func refuse(status int, body any) error { return &refusal{status: status, body: body} }

// errNoRoute is for paths that nothing is at.
func errNoRoute() error {
	return refuse(http.StatusNotFound, withMessage("The resource you were looking for does not exist."))
}

// errForbidden is E4.
func errForbidden(permission string) error {
	if permission == "" {
		permission = "admin"
	}
	return refuse(http.StatusForbidden, fields{"error": fields{
		"message":             "Access denied",
		"details":             "Missing one of the required permissions: " + permission,
		"missing_permissions": []string{permission},
	}})
}

// notFound is E5: no such thing under the id that the path gives.
func notFound(resource, id string) error {
	return refuse(http.StatusNotFound, withMessage(fmt.Sprintf("Resource %s not found by id '%s'", resource, id)))
}

// orNotFound turns an error that says that something is missing into E5.
func orNotFound(err error, resource, id string) error {
	if job.CodeOf(err) == job.NotFound {
		return notFound(resource, id)
	}
	return err
}

// errTaxonomy is E10.
func errTaxonomy(title, id string) error {
	return refuse(http.StatusNotFound, fields{"message": fmt.Sprintf("%s with id %s not found", title, id)})
}

// errMediaType is E11.
func errMediaType(given string) error {
	return refuse(http.StatusUnsupportedMediaType, withMessage(fmt.Sprintf("Media type in 'Content-Type: %s' is unsupported in API v2 for POST and PUT requests. "+
		"Please use 'Content-Type: application/json'.", given)))
}

// errJSON is E12.
func errJSON(detail string) error {
	return refuse(http.StatusBadRequest, fields{"status": http.StatusBadRequest, "error": "There was a problem in the JSON you submitted: " + detail})
}

// errMissing is for a change that says nothing.
func errMissing(root string) error {
	return unprocessable("param is missing or the value is empty: %s", root)
}

// errSearch is E13: a search or an order that cannot be understood.
func errSearch(message string) error {
	return refuse(http.StatusBadRequest, fields{"error": fields{"message": message, "class": "ScopedSearch::QueryNotSupported"}})
}

// problem is what is wrong with one attribute of an object; the attribute
// "base" stands for the object itself.
type problem struct{ attribute, message string }

// problems are collected so that all are told at once.
type problems []problem

func (ps *problems) add(attribute, format string, args ...any) {
	*ps = append(*ps, problem{attribute, fmt.Sprintf(format, args...)})
}

// blank tells of a required attribute that has no value.
func (ps *problems) blank(attribute, v string) {
	if strings.TrimSpace(v) == "" {
		ps.add(attribute, "can't be blank")
	}
}

// asError is E14 for the object with this id (0: a new one), or nil when
// nothing is wrong.
func (ps problems) asError(id int64) error {
	if len(ps) == 0 {
		return nil
	}
	return validationFailed(id, ps...)
}

// validationFailed is E14.
func validationFailed(id int64, ps ...problem) error {
	byAttribute := map[string][]string{}
	full := make([]string, len(ps))
	for i, p := range ps {
		byAttribute[p.attribute] = append(byAttribute[p.attribute], p.message)
		full[i] = p.full()
	}
	var shown any
	if id != 0 {
		shown = id
	}
	return refuse(http.StatusUnprocessableEntity, fields{"error": fields{"id": shown, "errors": byAttribute, "full_messages": full}})
}

// full is the message with the name of the attribute, as people write it.
func (p problem) full() string {
	if p.attribute == "base" {
		return p.message
	}
	return humanize(p.attribute) + " " + p.message
}

// humanize is the name of an attribute in a sentence: template_inputs.fact_name
// is "Template inputs fact name".
func humanize(attribute string) string {
	name := strings.ReplaceAll(strings.TrimSuffix(attribute, "_id"), ".", "_")
	return title(strings.ToLower(name))
}

// unprocessable is what upstream raises while it handles a request (E15, E17,
// E18), with 422 whatever upstream answers.
func unprocessable(format string, args ...any) error {
	return refuse(http.StatusUnprocessableEntity, withMessage(fmt.Sprintf(format, args...)))
}

// defectBody is E19.
func defectBody() any {
	return withMessage("Internal Server Error: the server was unable to finish the request. " +
		"This may be caused by unavailability of some required service, incorrect API call or a server-side bug. " +
		"There may be more information in the server's logs.")
}

// statuses is the one table from the code of an error to the status of the
// answer, for errors that no handler gave a body.
var statuses = map[job.Code]int{
	job.Invalid:         http.StatusUnprocessableEntity,
	job.Unsupported:     http.StatusUnprocessableEntity,
	job.Disabled:        http.StatusUnprocessableEntity,
	job.AlreadyExists:   http.StatusUnprocessableEntity,
	job.KeyReused:       http.StatusUnprocessableEntity,
	job.Unauthenticated: http.StatusUnauthorized,
	job.Forbidden:       http.StatusForbidden,
	job.NotFound:        http.StatusNotFound,
	job.Conflict:        http.StatusConflict,
	job.TooLarge:        http.StatusRequestEntityTooLarge,
	job.Exhausted:       http.StatusTooManyRequests,
	job.Unavailable:     http.StatusServiceUnavailable,
	job.Canceled:        http.StatusServiceUnavailable,
	job.Corrupt:         http.StatusInternalServerError,
	job.Internal:        http.StatusInternalServerError,
}

// statusHungUp is for the log: the caller is gone, and no answer reaches it.
const statusHungUp = 499

// maxLogin is how much of a login name an answer repeats.
const maxLogin = 255

// fail writes the answer to an error and logs it when it is ours. Every error
// leaves here.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, body := s.refusalOf(r, err)
	if status >= http.StatusInternalServerError {
		s.Log.ErrorContext(r.Context(), "request failed", "family", "foreman", "path", r.URL.Path, "err", err)
	}
	writeJSON(w, status, body)
}

func (s *server) refusalOf(r *http.Request, err error) (status int, body any) {
	var known *refusal
	if errors.As(err, &known) {
		return known.status, known.body
	}
	if errors.Is(r.Context().Err(), context.Canceled) {
		return statusHungUp, defectBody()
	}
	var query *search.Error
	if errors.As(err, &query) {
		errors.As(errSearch(query.Message), &known)
		return known.status, known.body
	}
	code := job.CodeOf(err)
	status, ok := statuses[code]
	switch {
	case !ok, status == http.StatusInternalServerError:
		return http.StatusInternalServerError, defectBody()
	case status == http.StatusUnauthorized: // E1
		login, _, _ := r.BasicAuth()
		return status, withMessage("Unable to authenticate user " + clipRunes(login, maxLogin))
	case status == http.StatusForbidden:
		errors.As(errForbidden(""), &known)
		return known.status, known.body
	case status == http.StatusServiceUnavailable: // E20
		return status, fields{"message": job.MessageOf(err)}
	}
	return status, withMessage(job.MessageOf(err))
}

// clipRunes cuts a text to at most n characters.
func clipRunes(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}
