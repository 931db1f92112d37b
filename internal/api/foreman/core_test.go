package foreman_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"drover/internal/api/apitest"
)

func TestCore(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	wantBody(t, s, 200, `{"api_version":2,"result":"ok","status":200,"version":"3.9.0"}`, get("/api/status"))
	wantBody(t, s, 200, `{"api_version":2,"result":"ok","status":200,"version":"3.9.0"}`, get("/api/v2/status?page=1&per_page=250"))
	ping := get("/api/ping")
	ping.User = ""
	wantBody(t, s, 200, `{"results":{"foreman":{"database":{"active":true,"duration_ms":"0"}}}}`, ping)
	if o := want(t, s, 200, get("/api/statuses")); !strings.Contains(fmt.Sprint(o), "foreman_remote_execution") {
		t.Errorf("%v", o)
	}
	if o := want(t, s, 200, get("/api")); !strings.Contains(fmt.Sprint(o), "/api/job_templates") {
		t.Errorf("%v", o)
	}
}

func TestErrors(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	with := func(q apitest.Request, name, value string) apitest.Request {
		q.Header[name] = value
		return q
	}
	as := func(q apitest.Request, user string) apitest.Request { q.User = user; return q }
	plainText := post("/api/bookmarks", "x=1")
	plainText.Header["Content-Type"] = "text/plain"
	noType := post("/api/bookmarks", "{}")
	delete(noType.Header, "Content-Type")
	const media = "is unsupported in API v2 for POST and PUT requests. Please use 'Content-Type: application/json'.\"}}"
	for _, c := range []struct {
		name   string
		q      apitest.Request
		status int
		body   string
	}{
		{"E1 no credentials", as(get("/api/status"), ""), 401, `{"error":{"message":"Unable to authenticate user "}}`},
		{"E1 wrong password", with(as(get("/api/hosts"), ""), "Authorization", "Basic bm9ib2R5Ong="), 401, `{"error":{"message":"Unable to authenticate user nobody"}}`},
		{"E1 before the path", as(get("/api/zz"), ""), 401, `{"error":{"message":"Unable to authenticate user "}}`},
		{"E4", as(post(templates, object{}), apitest.Viewer), 403,
			`{"error":{"details":"Missing one of the required permissions: create_job_templates","message":"Access denied","missing_permissions":["create_job_templates"]}}`},
		{"E4 before the media type", as(plainText, apitest.Viewer), 403,
			`{"error":{"details":"Missing one of the required permissions: create_bookmarks","message":"Access denied","missing_permissions":["create_bookmarks"]}}`},
		{"E10 before E5", get("/api/hosts/77?location_id=5"), 404, `{"message":"Location with id 5 not found"}`},
		{"E10 before E11", func() apitest.Request { q := plainText; q.Path += "?location_id=5"; return q }(), 404, `{"message":"Location with id 5 not found"}`},
		{"E11", plainText, 415, `{"error":{"message":"Media type in 'Content-Type: text/plain' ` + media},
		{"E11 none", noType, 415, `{"error":{"message":"Media type in 'Content-Type: ' ` + media},
		{"E12", post("/api/bookmarks", `{"bookmark":`), 400, `{"error":"There was a problem in the JSON you submitted: The body is not valid JSON.","status":400}`},
		{"E12 no object", post("/api/bookmarks", `[]`), 400, `{"error":"There was a problem in the JSON you submitted: The body is not an object.","status":400}`},
		{"no such path", get("/api/zz"), 404, `{"error":{"message":"The resource you were looking for does not exist."}}`},
		{"no such method", request("PATCH", "/api/hosts/1", "{}"), 404, `{"error":{"message":"The resource you were looking for does not exist."}}`},
		{"charset is fine", with(post("/api/bookmarks", "{}"), "Content-Type", "application/json; charset=utf-8"), 422, ""},
		{"a type on GET is not looked at", with(get("/api/status"), "Content-Type", "text/plain"), 200, ""},
		{"an odd Accept is JSON", with(get("/api/status"), "Accept", "text/html"), 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.Do(c.q)
			if a.Status != c.status || c.body != "" && a.Body != c.body {
				t.Errorf("%d %s\nwant %d %s", a.Status, a.Body, c.status, c.body)
			}
			if got := a.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
				t.Errorf("the answer is %s", got)
			}
			if a.Header.Get("Apipie-Checksum") == "" || a.Header.Get("Foreman_version") != "3.9.0" || a.Header.Get("Foreman_api_version") != "2" ||
				a.Header.Get("Foreman_current_location") != "; ANY" || a.Header.Get("Foreman_current_organization") != "; ANY" {
				t.Errorf("headers are missing: %v", a.Header)
			}
		})
	}
	big := s.Do(post("/api/bookmarks", `{"bookmark":{"name":"`+strings.Repeat("x", 5<<20)+`"}}`))
	if big.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", big.Status)
	}
}

// The password's place may hold a token.
func TestToken(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	_, token, err := s.App.Dispatcher().AddToken(background, apitest.AdminPrincipal(), "playbooks", 0)
	if err != nil {
		t.Fatal(err)
	}
	q := get("/api/hosts")
	q.User = ""
	for password, status := range map[string]int{token.Reveal(): 200, token.Reveal() + "x": 401} {
		q.Header["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(apitest.Admin+":"+password))
		want(t, s, status, q)
	}
}

func TestMethods(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	head := s.Do(request(http.MethodHead, "/api/hosts", nil))
	if head.Status != 200 || head.Body != "" || head.Header.Get("Content-Type") == "" {
		t.Errorf("HEAD: %v", head)
	}
	options := s.Do(apitest.Request{Method: http.MethodOptions, Path: "/api/job_templates/1"})
	if options.Status != http.StatusNoContent || options.Header.Get("Allow") != "DELETE, GET, HEAD, PUT, OPTIONS" {
		t.Errorf("OPTIONS: %d %v", options.Status, options.Header)
	}
	if a := s.Do(apitest.Request{Method: http.MethodOptions, Path: "/api/zz"}); a.Status != 404 {
		t.Errorf("OPTIONS of nothing: %v", a)
	}
}

// A change that says nothing is a mistake, but first the thing to change must be
// there.
func TestChangesThatSayNothing(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	want(t, s, 201, post("/api/bookmarks", object{"bookmark": object{"name": "m", "controller": "hosts", "query": "name = R1"}}))
	for path, root := range map[string]string{"/api/job_templates/": "job_template", "/api/bookmarks/": "bookmark", "/api/hosts/": "host",
		"/api/remote_execution_features/": "remote_execution_feature", "/api/templates/1/template_inputs/": "template_input"} {
		for _, body := range []object{{}, {root: nil}, {root: object{}}} {
			wantBody(t, s, 422, `{"error":{"message":"param is missing or the value is empty: `+root+`"}}`, put(path+"1", body))
			wantBody(t, s, 404, `{"error":{"message":"Resource `+root+` not found by id '999'"}}`, put(path+"999", body))
		}
	}
	wantBody(t, s, 404, `{"error":{"message":"Resource recurring_logic not found by id '999'"}}`, put("/foreman_tasks/api/recurring_logics/999", object{}))
}

// The number of a page and the size of one may be larger than any number.
func TestPages_OfAnySize(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	for query, rows := range map[string]string{"per_page=99999999999999999999": "R1,R2", "page=99999999999999999999": "", "page=9223372036854775807&per_page=9223372036854775807": "",
		"page=1&per_page=0009007199254740992": "R1,R2"} {
		if got := want(t, s, 200, get("/api/hosts?"+query)); names(got, "name") != rows {
			t.Errorf("%s: %v", query, got)
		}
	}
	for _, query := range []string{"per_page=0", "page=-99999999999999999999", "page=1e99", "per_page=x"} {
		want(t, s, 422, get("/api/hosts?"+query))
	}
}
