package foreman_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"drover/internal/api/apitest"
)

// object is a JSON object, decoded.
type object = map[string]any

// request is a request by the administrator as clients make it. A body that is
// no string is encoded.
func request(method, path string, body any) apitest.Request {
	q := apitest.Request{Method: method, Path: path, User: apitest.Admin, Header: map[string]string{"Accept": "application/json;version=2"}}
	switch b := body.(type) {
	case nil:
	case string:
		q.Body = b
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			panic(err)
		}
		q.Body = string(encoded)
	}
	if method == http.MethodPost || method == http.MethodPut {
		q.Header["Content-Type"] = "application/json"
	}
	return q
}

func get(path string) apitest.Request            { return request(http.MethodGet, path, nil) }
func post(path string, body any) apitest.Request { return request(http.MethodPost, path, body) }
func put(path string, body any) apitest.Request  { return request(http.MethodPut, path, body) }
func del(path string) apitest.Request            { return request(http.MethodDelete, path, nil) }

// decoded is the body of an answer as an object.
func decoded(a apitest.Answer) object {
	var o object
	if err := json.Unmarshal([]byte(a.Body), &o); err != nil {
		return object{"not an object": a.Body}
	}
	return o
}

// want makes a request and returns the decoded answer, which must have this status.
func want(t *testing.T, s *apitest.Service, status int, q apitest.Request) object {
	t.Helper()
	a := s.Do(q)
	if a.Status != status {
		t.Fatalf("%s %s: %d, want %d: %s", q.Method, q.Path, a.Status, status, a.Body)
	}
	return decoded(a)
}

// wantBody makes a request whose answer must be exactly this.
func wantBody(t *testing.T, s *apitest.Service, status int, body string, q apitest.Request) {
	t.Helper()
	if a := s.Do(q); a.Status != status || a.Body != body {
		t.Errorf("%s %s: %d %s\nwant %d %s", q.Method, q.Path, a.Status, a.Body, status, body)
	}
}

// id is the id of an answered object, for paths.
func id(o object) string { return fmt.Sprintf("%.0f", o["id"]) }

// results are the rows of an answered collection.
func results(o object) []object {
	var out []object
	rows, _ := o["results"].([]any)
	for _, r := range rows {
		out = append(out, r.(object))
	}
	return out
}

// names are the values of one key in the rows of a collection.
func names(o object, key string) string {
	var all []string
	for _, r := range results(o) {
		all = append(all, fmt.Sprint(r[key]))
	}
	return strings.Join(all, ",")
}

var (
	stamps = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`)
	isos   = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)
)

// plain replaces what differs from run to run.
func plain(body string) string {
	return isos.ReplaceAllString(stamps.ReplaceAllString(body, "T"), "ISO")
}
