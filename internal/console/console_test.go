package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"drover/internal/api/apitest"
	"drover/internal/auth"
	"drover/internal/console"
	"drover/internal/job"
)

// book is the document as the service serves it.
type book struct {
	doc    *openapi3.T
	router routers.Router
	met    map[string]bool // operations that answered with a success
}

func openBook(t *testing.T, s *apitest.Service) *book {
	t.Helper()
	a := s.Do(apitest.Request{Method: http.MethodGet, Path: "/drover/v1/openapi.json"})
	doc, err := openapi3.NewLoader().LoadFromData([]byte(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	openapi3filter.RegisterBodyDecoder("application/x-tar", openapi3filter.FileBodyDecoder)
	return &book{doc, router, map[string]bool{}}
}

// caller makes calls of one user and holds every answer to the document.
type caller struct {
	t    *testing.T
	s    *apitest.Service
	book *book
	user string
}

func (c caller) as(user string) caller { c.user = user; return c }

// do makes a call and expects a status.
func (c caller) do(status int, method, path string, body any, header ...string) map[string]any {
	c.t.Helper()
	var sent []byte
	switch b := body.(type) {
	case nil:
	case string:
		sent = []byte(b)
	default:
		sent, _ = json.Marshal(b)
	}
	r := httptest.NewRequest(method, "/drover/v1/"+strings.TrimPrefix(path, "/drover/v1/"), bytes.NewReader(sent))
	if sent != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if c.user != "" {
		r.SetBasicAuth(c.user, apitest.Password)
	}
	w := httptest.NewRecorder()
	c.s.App.Handler().ServeHTTP(w, r)
	if w.Code != status {
		c.t.Fatalf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, status)
	}
	c.check(r, w)
	var out map[string]any
	if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
		}
	}
	return out
}

// check holds an answer to the document. Only what the document does not know
// at all is let through: unknown paths and methods.
func (c caller) check(r *http.Request, w *httptest.ResponseRecorder) {
	c.t.Helper()
	route, params, err := c.book.router.FindRoute(r)
	if err != nil {
		if w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed {
			c.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 w.Code, Header: w.Header(),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	in.SetBodyBytes(w.Body.Bytes())
	if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
		c.t.Errorf("%s %s: the answer is not as documented: %v", r.Method, r.URL, err)
	}
	if w.Code < 300 {
		c.book.met[r.Method+" "+route.Path] = true
	}
}

// wait follows a run to its end.
func (c caller) wait(id string) map[string]any {
	c.t.Helper()
	var run map[string]any
	c.s.Eventually("the run "+id+" is over", func() bool {
		run = c.do(200, "GET", "runs/"+id, nil)
		return run["ended"] != nil
	})
	return run
}

// submit runs a service to its end.
func (c caller) submit(body any, header ...string) string {
	c.t.Helper()
	got := c.do(201, "POST", "runs", body, header...)
	id := got["run"].(map[string]any)["id"].(string)
	c.wait(id)
	return id
}

type object = map[string]any

func start(t *testing.T) caller {
	t.Helper()
	s := apitest.Start(t, apitest.Options{})
	return caller{t, s, openBook(t, s), apitest.Admin}
}

func TestDocument_HasTheRoutes(t *testing.T) {
	c := start(t)
	want := console.Operations()
	for path, item := range c.book.doc.Paths.Map() {
		for method, op := range item.Operations() {
			query, ok := want[method+" "+path]
			if !ok {
				t.Errorf("%s %s is documented and does not exist", method, path)
			}
			delete(want, method+" "+path)
			var documented []string
			for _, p := range op.Parameters {
				if p.Value.In == "query" && p.Value.Name != "tenant" {
					documented = append(documented, p.Value.Name)
				}
			}
			query = slices.Clone(query)
			slices.Sort(query)
			slices.Sort(documented)
			if !slices.Equal(query, documented) {
				t.Errorf("%s %s takes %q; documented are %q", method, path, query, documented)
			}
		}
	}
	for op := range want {
		t.Errorf("%s is not documented", op)
	}
}

// TestAnswers_AreAsDocumented makes every operation succeed once.
func TestAnswers_AreAsDocumented(t *testing.T) {
	c := start(t)
	c.do(200, "GET", "openapi.json", nil)
	me := c.do(200, "GET", "me", nil)
	if me["name"] != apitest.Admin || me["tenant"] != "default" || me["role"] != "admin" {
		t.Errorf("%v", me)
	}
	f := object{
		"credentials": []any{object{"name": "c2", "username": "drover", "password": "drover"}},
		"pools":       []any{object{"name": "P"}, object{"name": "M", "match": []any{object{"field": "name", "op": "contains", "value": "D"}}}},
		"devices":     []any{object{"name": "D1", "address": "127.0.0.1", "port": 1, "pools": []string{"P"}, "labels": object{"a": "b"}}},
		"services": []any{object{"name": "echo", "body": `echo {{ payload["k"] }}`, "timeout": "10s", "targets": object{"devices": []string{"R1", "R2"}},
			"retries": object{"count": 1, "wait": "0s"}, "payload": object{"k": "v"}}},
		"users": []any{object{"name": "new", "role": "viewer", "password": "x"}},
	}
	if got := c.do(200, "POST", "import?check=true", f); len(got["outcomes"].([]any)) != 0 {
		t.Errorf("a check changed something: %v", got)
	}
	c.do(404, "GET", "devices/D1", nil)
	for _, action := range []string{"created", "unchanged"} {
		got := c.do(200, "POST", "import", f)
		if len(got["outcomes"].([]any)) != 6 || got["failed"] != 0.0 {
			t.Fatalf("%v", got)
		}
		for _, o := range got["outcomes"].([]any) {
			if o.(object)["action"] != action {
				t.Errorf("%v, want %s", o, action)
			}
		}
	}
	found := c.do(200, "POST", "import/references", object{"devices": []string{"D1", "nope"}, "users": []string{"new", "who"}, "static_pools": []string{"P", "M"}, "matched_pools": []string{"P", "M"}})
	if fmt.Sprint(found["devices"], found["users"], found["static_pools"], found["matched_pools"]) != "[nope] [who] [M] [P]" {
		t.Errorf("%v", found)
	}

	p := c.do(200, "POST", "preview", object{"service": "echo", "payload": object{"k": "1 2"}})
	if p["total"] != 2.0 || p["previews"].([]any)[0].(object)["text"] != "echo 1 2" || c.s.Fleet.Executions() != 0 {
		t.Errorf("%v", p)
	}
	id := c.submit(object{"service": "echo"})
	run := c.do(200, "GET", "runs/"+id, nil)
	if run["status"] != "succeeded" || run["counts"].(object)["succeeded"] != 2.0 {
		t.Errorf("%v", run)
	}
	first := c.do(200, "GET", "runs/"+id+"/results?limit=1", nil)
	second := c.do(200, "GET", "runs/"+id+"/results?limit=1&from="+fmt.Sprint(first["next"]), nil)
	for i, page := range []object{first, second} {
		r := page["results"].([]any)[0].(object)
		if r["device"] != fmt.Sprintf("R%d", i+1) || r["stdout"] != "v\n" || r["exit_status"] != 0.0 {
			t.Errorf("%v", r)
		}
	}
	if second["next"] != nil {
		t.Errorf("%v", second)
	}
	c.do(200, "GET", "runs?service=echo&status=succeeded", nil)
	c.do(200, "POST", "runs/"+id+"/cancel", nil)

	again := c.do(201, "POST", "runs/"+id+"/rerun", object{"statuses": []string{"succeeded"}})["run"].(object)
	if again["rerun_of"] != id || c.wait(again["id"].(string))["counts"].(object)["succeeded"] != 2.0 {
		t.Errorf("%v", again)
	}

	planned := c.do(201, "POST", "runs", object{"service": "echo", "schedule": object{"cron": "0 3 * * *", "zone": "Europe/Berlin", "grace": "5m"}, "purpose": "nightly",
		"query": "name = R1", "dynamic": true, "description": "every night", "stop_after": "10%", "run_timeout": "1h"})
	sched, next := planned["schedule"].(object), planned["run"].(object)
	if next["status"] != "scheduled" || next["planned"] != sched["next"] || next["schedule_id"] != sched["id"] || next["description"] != "every night" ||
		sched["state"] != "active" || sched["purpose"] != "nightly" || sched["next_run"] != next["id"] || sched["schedule"].(object)["cron"] != "0 3 * * *" {
		t.Errorf("%v", planned)
	}
	path := fmt.Sprintf("schedules/%.0f", sched["id"])
	if got := c.do(200, "GET", "schedules?limit=2", nil)["schedules"].([]any); len(got) != 1 || got[0].(object)["service"] != "echo" {
		t.Errorf("%v", got)
	}
	for _, step := range []struct{ do, state string }{{"pause", "paused"}, {"resume", "active"}, {"cancel", "canceled"}} {
		if got := c.do(200, "POST", path+"/"+step.do, nil); got["state"] != step.state {
			t.Errorf("%s: %v", step.do, got)
		}
	}
	if got := c.do(200, "GET", path, nil); got["next"] != nil || got["latest"].([]any)[0].(object)["status"] != "canceled" {
		t.Errorf("%v", got)
	}
	c.do(204, "DELETE", path, nil)
	c.do(404, "GET", path, nil)

	made := c.do(201, "POST", "tokens", object{"name": "ci", "lifetime": "720h"})
	if got := c.do(200, "GET", "tokens", nil)["tokens"].([]any); len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(made["token"]) {
		t.Errorf("%v, made as %v", got, made["token"])
	}
	c.do(204, "DELETE", "tokens/ci", nil)
	c.do(404, "DELETE", "tokens/ci", nil)

	for _, kind := range []string{"devices", "pools", "credentials", "services", "users", "hostkeys", "audit"} {
		c.do(200, "GET", kind+"?limit=2", nil)
	}
	keys := c.do(200, "GET", "hostkeys", nil)["hostkeys"].([]any)
	key := keys[0].(object)["key"]
	if got := c.do(200, "POST", "hostkeys", object{"keys": []any{object{"device": "D1", "key": key}, object{"device": "nope", "key": key}}}); got["failed"] != 1.0 {
		t.Errorf("%v", got)
	}
	c.do(200, "POST", "hostkeys/D1/accept", object{"key": key})
	c.do(404, "POST", "hostkeys/R2/accept", nil)
	c.do(204, "DELETE", "hostkeys/D1", nil)
	for _, path := range []string{"devices/D1", "pools/P", "credentials/c2", "services/echo", "users/new"} {
		c.do(200, "GET", path, nil)
		c.do(200, "DELETE", path, nil)
		c.do(404, "GET", path, nil)
	}
	c.do(200, "GET", "backup", nil)
	if got := c.do(200, "POST", "keys/rotate", nil)["keys"]; got != 2.0 {
		t.Errorf("%v keys", got)
	}
	log := fmt.Sprint(c.do(200, "GET", "audit", nil))
	if !strings.Contains(log, "keys.rotate") || !strings.Contains(log, "action:backup") {
		t.Errorf("who took a backup and who rotated the keys is not in the log: %s", log)
	}

	for op := range console.Operations() {
		if !c.book.met[op] && op != "GET /healthz" {
			t.Errorf("%s was never seen to succeed", op)
		}
	}
}

func TestSubmit_IsOnceForAKey(t *testing.T) {
	c := start(t)
	c.s.Script("hello", "echo hello", nil)
	body := object{"service": "hello", "devices": []string{"R1"}}
	id := c.submit(body, "Idempotency-Key", "k1")
	again := c.do(200, "POST", "runs", body, "Idempotency-Key", "k1")
	if again["replayed"] != true || again["run"].(object)["id"] != id {
		t.Errorf("%v", again)
	}
	c.do(422, "POST", "runs", object{"service": "hello", "devices": []string{"R2"}}, "Idempotency-Key", "k1")
	if n := c.s.Fleet.Executions(); n != 1 {
		t.Errorf("%d commands", n)
	}
	// Another user's key is another key.
	if other := c.as(apitest.Operator).submit(body, "Idempotency-Key", "k1"); other == id {
		t.Error("a run was shared between users")
	}
}

// Which devices a rerun is for, and that one key makes one.
func TestRerun(t *testing.T) {
	c := start(t)
	c.do(200, "POST", "import", object{"services": []any{object{"name": "half", "body": `exit {{ 3 if device.name == "R2" else 0 }}`, "targets": object{"pools": []string{"all"}},
		"stop_after": 5, "run_timeout": "2h"}}})
	if got := c.do(200, "GET", "services/half", nil); got["stop_after"] != 5.0 || got["run_timeout"] != "2h0m0s" {
		t.Errorf("%v", got)
	}
	id := c.submit(object{"service": "half"})
	for _, r := range []struct {
		body  any
		total float64
	}{{nil, 2}, {object{"unfinished": true}, 1}, {object{"statuses": []string{"succeeded"}}, 1}, {object{"statuses": []string{"failed", "succeeded"}}, 2}} {
		run := c.do(201, "POST", "runs/"+id+"/rerun", r.body)["run"].(object)
		if got := c.wait(run["id"].(string)); got["counts"].(object)["total"] != r.total || got["rerun_of"] != id {
			t.Errorf("%v: %v", r.body, got)
		}
	}
	first := c.do(201, "POST", "runs/"+id+"/rerun", object{"unfinished": true}, "Idempotency-Key", "k")
	second := c.do(200, "POST", "runs/"+id+"/rerun", object{"unfinished": true}, "Idempotency-Key", "k")
	if second["replayed"] != true || second["run"].(object)["id"] != first["run"].(object)["id"] {
		t.Errorf("%v, %v", first, second)
	}
	c.do(422, "POST", "runs/"+id+"/rerun", nil, "Idempotency-Key", "k")
	c.wait(first["run"].(object)["id"].(string))
}

// A query decides the devices: those that it finds, none of which is an error.
func TestSubmit_Query(t *testing.T) {
	c := start(t)
	c.s.Script("hello", "echo hello", nil)
	for query, total := range map[string]float64{"name = R1": 1, "name ~ R*": 2, "hostgroup = all and not name = R2": 1} {
		id := c.submit(object{"service": "hello", "query": query})
		if got := c.do(200, "GET", "runs/"+id, nil); got["counts"].(object)["total"] != total || got["status"] != "succeeded" {
			t.Errorf("%s: %v", query, got)
		}
	}
	id := c.submit(object{"service": "hello", "query": "name = nobody"})
	if got := c.do(200, "GET", "runs/"+id, nil); got["status"] != "failed" || got["reason"] != "no_targets" {
		t.Errorf("%v", got)
	}
	c.do(200, "POST", "import", object{"pools": []any{object{"name": "asked", "query": "name ^ (R2)"}}})
	if got := c.do(200, "GET", "pools/asked", nil); got["query"] != "name ^ (R2)" || fmt.Sprint(got["devices"]) != "[R2]" {
		t.Errorf("%v", got)
	}
	if p := c.do(200, "POST", "preview", object{"service": "hello", "query": "name = R2"}); p["total"] != 1.0 {
		t.Errorf("%v", p)
	}
}

func TestCancel_ByForce(t *testing.T) {
	c := start(t)
	c.s.Script("slow", "sleep 60", nil)
	id := c.do(201, "POST", "runs", object{"service": "slow", "devices": []string{"R1"}})["run"].(object)["id"].(string)
	c.s.Eventually("the command runs", func() bool { return c.s.Fleet.Executions() > 0 })
	c.do(200, "POST", "runs/"+id+"/cancel", object{"force": true})
	if got := c.wait(id); got["status"] != "canceled" {
		t.Errorf("%v", got)
	}
}

func TestBadInput_IsRefusedAndChangesNothing(t *testing.T) {
	c := start(t)
	c.s.Script("hello", "echo hello", nil)
	before := c.s.Objects()
	for _, b := range []struct {
		status       int
		method, path string
		body         any
		field        string
	}{
		{400, "POST", "runs", `{"service":`, ""},
		{400, "POST", "runs", `[]`, ""},
		{400, "POST", "runs", ``, ""},
		{400, "POST", "runs", `{}`, "service"},
		{400, "POST", "runs", `{"service":5}`, "service"},
		{400, "POST", "runs", `{"service":"hello","device":["R1"]}`, "device"},
		{400, "POST", "runs", `{"service":"hello","Devices":["R1"]}`, "Devices"},
		{400, "POST", "runs", `{"service":"hello","devices":"R1"}`, "devices"},
		{400, "POST", "runs", `{"service":"hello","devices":["nope"]}`, "targets"},
		{400, "POST", "runs", `{"service":"hello","payload":[1]}`, "payload"},
		{400, "POST", "runs", `{"service":"hello"} {}`, ""},
		{404, "POST", "runs", `{"service":"nope"}`, ""},
		{400, "POST", "runs?x=1", `{"service":"hello"}`, "x"},
		{413, "POST", "runs", `{"service":"` + strings.Repeat("x", 6<<20) + `"}`, ""},
		{400, "POST", "preview?limit=0", `{"service":"hello"}`, "limit"},
		{400, "GET", "runs?limit=1&limit=2", nil, "limit"},
		{400, "GET", "runs?limit=99999999999999999999", nil, "limit"},
		{400, "GET", "runs?status=done", nil, "status"},
		{400, "GET", "runs?after=garbage", nil, "after"},
		{400, "GET", "devices?after=garbage", nil, "after"},
		{404, "GET", "runs/nope", nil, ""},
		{404, "GET", "runs/nope/results", nil, ""},
		{404, "POST", "runs/nope/cancel", nil, ""},
		{404, "POST", "runs/nope/cancel", `{"force":true}`, ""},
		{400, "POST", "runs/nope/cancel", `{"force":1}`, "force"},
		{404, "POST", "runs/nope/rerun", nil, ""},
		{400, "POST", "runs/nope/rerun", `{"statuses":["running"]}`, "statuses"},
		{400, "POST", "runs/nope/rerun", `{"failed":true}`, "failed"},
		{400, "POST", "runs", `{"service":"hello","query":"name ="}`, "search"},
		{400, "POST", "runs", `{"service":"hello","query":"site = lab"}`, "search"},
		{400, "POST", "runs", `{"service":"hello","query":"name = R1","pools":["all"]}`, "query"},
		{400, "POST", "runs", `{"service":"hello","dynamic":true}`, "dynamic"},
		{400, "POST", "runs", `{"service":"hello","stop_after":"some"}`, "stop_after"},
		{400, "POST", "runs", `{"service":"hello","stop_after":1.5}`, "stop_after"},
		{400, "POST", "runs", `{"service":"hello","stop_after":[1]}`, "stop_after"},
		{400, "POST", "runs", `{"service":"hello","run_timeout":"soon"}`, "run_timeout"},
		{400, "POST", "runs", `{"service":"hello","run_timeout":"-1s"}`, "run_timeout"},
		{400, "POST", "runs", `{"service":"hello","run_timeout":"999h"}`, "run_timeout"},
		{400, "POST", "runs", `{"service":"hello","start_before":"later"}`, "start_before"},
		{400, "POST", "runs", `{"service":"hello","purpose":"p"}`, "purpose"},
		{400, "POST", "runs", `{"service":"hello","schedule":{"at":"tomorrow"}}`, "schedule.at"},
		{400, "POST", "runs", `{"service":"hello","schedule":{"at":"2001-01-01T00:00:00Z"}}`, "schedule"},
		{400, "POST", "runs", `{"service":"hello","schedule":{}}`, "cron"},
		{400, "POST", "runs", `{"service":"hello","schedule":{"cron":"foo"}}`, "cron"},
		{400, "POST", "runs", `{"service":"hello","schedule":{"cron":"0 3 * * *","zone":"Mars"}}`, "zone"},
		{400, "POST", "runs", `{"service":"hello","schedule":{"when":"now"}}`, "schedule.when"},
		{404, "GET", "schedules/1", nil, ""},
		{404, "GET", "schedules/x", nil, ""},
		{404, "POST", "schedules/99999999999999999999/pause", nil, ""},
		{404, "POST", "schedules/1/resume", nil, ""},
		{404, "POST", "schedules/1/cancel", nil, ""},
		{404, "DELETE", "schedules/1", nil, ""},
		{400, "POST", "tokens", nil, ""},
		{400, "POST", "tokens", `{}`, "name"},
		{400, "POST", "tokens", `{"name":""}`, "name"},
		{400, "POST", "tokens", `{"name":"a/b"}`, "name"},
		{400, "POST", "tokens", `{"name":"` + strings.Repeat("x", 256) + `"}`, "name"},
		{400, "POST", "tokens", `{"name":"x","lifetime":"30"}`, "lifetime"},
		{400, "POST", "tokens", `{"name":"x","lifetime":"-1h"}`, "lifetime"},
		{400, "POST", "tokens", `{"name":"x","lifetime":720}`, "lifetime"},
		{400, "POST", "tokens", `{"name":"x","secret":"drover_mine"}`, "secret"},
		{404, "DELETE", "tokens/nope", nil, ""},
		{405, "PUT", "tokens", `{}`, ""},
		{404, "GET", "nope", nil, ""},
		{404, "GET", "runs/", nil, ""},
		{404, "DELETE", "devices/nope", nil, ""},
		{404, "GET", "devices/%ff%00", nil, ""},
		{400, "GET", "me?tenant=" + strings.Repeat("x", 100), nil, "tenant"},
		{405, "PUT", "runs", `{}`, ""},
		{405, "DELETE", "me", nil, ""},
		{400, "POST", "import", `devices: []`, ""},
		{400, "POST", "import?check=maybe", `{}`, "check"},
		{400, "POST", "import", `{"devices":[{"name":"X","address":"10.0.0.1","prot":5}]}`, "devices[0].prot"},
		{400, "POST", "import", `{"devices":[{"name":"X","address":"10.0.0.1","port":"22"}]}`, "devices[0].port"},
		{400, "POST", "import", `{"devices":[{"name":"X","address":"10.0.0.1","jump":"nope"}]}`, "devices[0].jump"},
		{400, "POST", "import", `{"devices":[{"name":"X","address":"10.0.0.1"},{"name":"X","address":"10.0.0.2"}]}`, "devices[1].name"},
		{400, "POST", "import", `{"credentials":[{"name":"X","username":"u","password_env":"PATH"}]}`, "credentials[0].password_env"},
		{400, "POST", "import", `{"credentials":[{"name":"X","username":"u","password_file":"/etc/passwd"}]}`, "credentials[0].password_file"},
		{400, "POST", "import", `{"devices":[{"name":"X","address":"10.0.0.1"}],"services":[{"name":"s","body":"echo {{ (}}"}]}`, "services[0].body"},
		{400, "POST", "import", `{"users":[{"name":"nobody-yet","role":"viewer"}]}`, "users[0].password"},
		{400, "POST", "hostkeys", `{"keys":[{"device":"R1","kee":"x"}]}`, "keys.kee"},
		{400, "POST", "hostkeys/R1/accept", `{"key":"nonsense"}`, "host_key"},
	} {
		got := c.do(b.status, b.method, b.path, b.body)
		e := got["error"].(object)
		if e["field"] != b.field || e["message"] == "" {
			t.Errorf("%s %s %.80v: %v, want the field %q", b.method, b.path, b.body, e, b.field)
		}
	}
	if after := c.s.Objects(); after != before || c.s.Runs() != 0 {
		t.Errorf("something changed: %s, before %s", after, before)
	}
	if c.s.Fleet.Executions() != 0 {
		t.Error("a command ran")
	}
}

func TestRoles(t *testing.T) {
	c := start(t)
	c.s.Script("hello", "echo hello", nil)
	id := c.submit(object{"service": "hello", "devices": []string{"R1"}})
	before, runs := c.s.Objects(), c.s.Runs()
	change := object{"pools": []any{object{"name": "New"}}}
	for _, r := range []struct {
		method, path                    string
		body                            any
		nobody, viewer, operator, admin int
	}{
		{"GET", "me", nil, 401, 200, 200, 200},
		{"GET", "devices", nil, 401, 200, 200, 200},
		{"GET", "runs/" + id, nil, 401, 200, 200, 200},
		{"GET", "audit", nil, 401, 403, 403, 200},
		{"GET", "backup", nil, 401, 403, 403, 200},
		{"POST", "keys/rotate", nil, 401, 403, 403, 200},
		{"POST", "preview", object{"service": "hello", "devices": []string{"R1"}}, 401, 403, 200, 200},
		{"POST", "runs/" + id + "/cancel", nil, 401, 403, 200, 200},
		{"POST", "runs", object{"service": "hello"}, 401, 403, 0, 0},
		{"POST", "runs/" + id + "/rerun", nil, 401, 403, 0, 0},
		{"GET", "schedules", nil, 401, 200, 200, 200},
		{"GET", "schedules/1", nil, 401, 404, 404, 404},
		{"POST", "schedules/1/pause", nil, 401, 403, 404, 404},
		{"POST", "schedules/1/resume", nil, 401, 403, 404, 404},
		{"POST", "schedules/1/cancel", nil, 401, 403, 404, 404},
		{"DELETE", "schedules/1", nil, 401, 403, 404, 404},
		{"POST", "import?check=true", change, 401, 403, 403, 200},
		{"POST", "import", change, 401, 403, 403, 0},
		{"POST", "hostkeys", object{"keys": []any{}}, 401, 403, 403, 200},
		{"POST", "hostkeys/R1/accept", nil, 401, 403, 403, 404},
		{"DELETE", "hostkeys/R1", nil, 401, 403, 403, 0},
		{"DELETE", "devices/R1", nil, 401, 403, 403, 0},
		{"DELETE", "users/" + apitest.Viewer, nil, 401, 403, 403, 0},
		{"GET", "tokens", nil, 401, 200, 200, 200},
		{"POST", "tokens", object{"name": "x"}, 401, 0, 0, 0},
		{"DELETE", "tokens/x", nil, 401, 404, 404, 404},
	} {
		for user, status := range map[string]int{"": r.nobody, apitest.Viewer: r.viewer, apitest.Operator: r.operator, apitest.Admin: r.admin} {
			if status != 0 {
				c.as(user).do(status, r.method, r.path, r.body)
			}
		}
	}
	if c.s.Objects() != before || c.s.Runs() != runs {
		t.Error("a refused call changed something")
	}
}

func TestTenants_SeeOnlyThemselves(t *testing.T) {
	c := start(t)
	c.s.Script("hello", "echo hello", nil)
	id := c.submit(object{"service": "hello", "devices": []string{"R1"}})
	stranger := c.as(apitest.Stranger)
	for _, path := range []string{"devices/R1", "pools/all", "credentials/lab", "services/hello", "runs/" + id, "runs/" + id + "/results", "users/" + apitest.Viewer} {
		stranger.do(404, "GET", path, nil)
	}
	stranger.do(404, "POST", "runs/"+id+"/cancel", nil)
	stranger.do(404, "POST", "runs/"+id+"/rerun", nil)
	planned := c.do(201, "POST", "runs", object{"service": "hello", "devices": []string{"R1"}, "schedule": object{"cron": "0 3 * * *"}})
	path := fmt.Sprintf("schedules/%.0f", planned["schedule"].(object)["id"])
	stranger.do(404, "GET", path, nil)
	stranger.do(404, "POST", path+"/cancel", nil)
	stranger.do(404, "DELETE", path, nil)
	if got := stranger.do(200, "GET", "schedules", nil)["schedules"]; len(got.([]any)) != 0 {
		t.Errorf("schedules of a stranger: %v", got)
	}
	c.do(204, "DELETE", path, nil)
	stranger.do(404, "GET", "devices", nil, console.TenantHeader, "default")
	stranger.do(404, "GET", "devices?tenant=default", nil)
	stranger.do(403, "GET", "backup", nil)
	stranger.do(403, "POST", "keys/rotate", nil)
	stranger.do(400, "POST", "import", object{"devices": []any{object{"name": "X", "address": "10.0.0.1", "credential": "lab"}}})
	for _, kind := range []string{"devices", "pools", "credentials", "services", "hostkeys"} {
		if got := stranger.do(200, "GET", kind, nil)[kind]; len(got.([]any)) != 0 {
			t.Errorf("%s of a stranger: %v", kind, got)
		}
	}
	// An administrator of the installation looks after the other tenant.
	c.do(200, "POST", "import", object{"pools": []any{object{"name": "Theirs"}}}, console.TenantHeader, apitest.OtherTenant)
	stranger.do(200, "GET", "pools/Theirs", nil)
	c.do(404, "GET", "pools/Theirs", nil)
	c.do(400, "GET", "me?tenant=a", nil, console.TenantHeader, "b")
	// The name of another tenant's user is taken, and says no more than that.
	got := stranger.do(409, "POST", "import", object{"users": []any{object{"name": apitest.Viewer, "role": "admin", "password": "x"}}})
	if o := got["outcomes"].([]any)[0].(object)["error"].(object); o["code"] != "already_exists" {
		t.Errorf("%v", o)
	}
	c.as(apitest.Viewer).do(200, "GET", "me", nil)
}

func TestSecrets_AreNowhere(t *testing.T) {
	c := start(t)
	const canary = "cAnArY-9b1e"
	for _, name := range []string{"leaky", "in/valid"} {
		body := object{"credentials": []any{object{"name": name, "username": "u", "password": canary + "1", "become_password": canary + "2"}},
			"users": []any{object{"name": name + "-user", "role": "viewer", "password": canary + "3"}}}
		w := c.s.Do(apitest.Request{Method: "POST", Path: "/drover/v1/import", User: apitest.Admin, Body: mustJSON(t, body)})
		if strings.Contains(w.Body, canary) {
			t.Errorf("an answer holds a secret: %s", w.Body)
		}
	}
	// In the wrong place, of the wrong type, under a misspelt name.
	for _, body := range []string{
		`{"credentials":[{"name":"x","username":"u","pasword":"` + canary + `"}]}`,
		`{"credentials":[{"name":"x","username":"u","password":["` + canary + `"]}]}`,
		`{"credentials":[{"name":"x","username":"u","private_key":"` + canary + `"}]}`,
		`{"users":[{"name":"x","role":"viewer","password":{"is":"` + canary + `"}}]}`,
	} {
		if w := c.s.Do(apitest.Request{Method: "POST", Path: "/drover/v1/import", User: apitest.Admin, Body: body}); w.Status != 400 || strings.Contains(w.Body, canary) {
			t.Errorf("%d %s", w.Status, w.Body)
		}
	}
	for _, path := range []string{"credentials", "credentials/leaky", "users", "audit"} {
		if w := c.s.Do(apitest.Request{Method: "GET", Path: "/drover/v1/" + path, User: apitest.Admin}); w.Status != 200 || strings.Contains(w.Body, canary) {
			t.Errorf("%s: %d %s", path, w.Status, w.Body)
		}
	}
	if strings.Contains(c.s.Log(), canary) || bytes.Contains(c.s.Stored(), []byte(canary)) {
		t.Error("the log or the data folder holds a secret")
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPages_MeetEverythingOnce(t *testing.T) {
	c := start(t)
	var devices []any
	for i := range 25 {
		devices = append(devices, object{"name": fmt.Sprintf("N%02d", i), "address": fmt.Sprintf("10.0.0.%d", i+1)})
	}
	c.do(200, "POST", "import", object{"devices": devices})
	met := map[any]int{}
	after := ""
	for {
		page := c.do(200, "GET", "devices?limit=4&after="+after, nil)
		for _, d := range page["devices"].([]any) {
			met[d.(object)["name"]]++
		}
		if after = page["next"].(string); after == "" {
			break
		}
	}
	if len(met) != 27 {
		t.Errorf("%d devices", len(met))
	}
	for name, n := range met {
		if n != 1 {
			t.Errorf("%v came %d times", name, n)
		}
	}
}

// TestResults_LongOutputs: no answer is longer than 5 MiB, and whole results
// are only cut when one alone does not fit.
func TestResults_LongOutputs(t *testing.T) {
	c := start(t)
	c.do(200, "POST", "import", object{"services": []any{object{"name": "long", "body": "bytes 3000000", "output_limit": 4 << 20, "targets": object{"pools": []string{"all"}}}}})
	id := c.submit(object{"service": "long"})
	var whole []int
	for from := "0"; ; {
		a := c.s.Do(apitest.Request{Method: "GET", Path: "/drover/v1/runs/" + id + "/results?from=" + from, User: apitest.Admin})
		if a.Status != 200 || len(a.Body) > 5<<20 {
			t.Fatalf("%d, %d bytes", a.Status, len(a.Body))
		}
		var page struct {
			Results []struct{ Stdout string }
			Next    *int
		}
		if err := json.Unmarshal([]byte(a.Body), &page); err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Results {
			whole = append(whole, len(r.Stdout))
		}
		if page.Next == nil {
			break
		}
		from = fmt.Sprint(*page.Next)
	}
	if len(whole) != 2 || whole[0] < 3000000 || whole[1] != whole[0] {
		t.Errorf("outputs of %v bytes", whole)
	}
}

// authOf is an authenticator over the service's users.
func authOf(s *apitest.Service) *auth.Authenticator {
	st := s.App.Dispatcher().Store
	return auth.New(auth.Config{Users: st, Counters: st, Log: slog.New(slog.DiscardHandler)})
}

func TestBackup_WithoutOneIsUnsupported(t *testing.T) {
	c := start(t)
	h := console.New(console.Config{Dispatch: c.s.App.Dispatcher(), Auth: authOf(c.s), Log: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest("GET", "/drover/v1/backup", nil)
	r.SetBasicAuth(apitest.Admin, apitest.Password)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "unsupported") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestBackup_ThatBreaksOff is never taken for a whole one.
func TestBackup_ThatBreaksOff(t *testing.T) {
	c := start(t)
	for _, sent := range []string{"", "half of it"} {
		h := console.New(console.Config{Dispatch: c.s.App.Dispatcher(), Auth: authOf(c.s), Log: slog.New(slog.DiscardHandler),
			Backup: func(_ context.Context, w io.Writer) error {
				if sent != "" {
					_, _ = io.WriteString(w, sent)
				}
				return fmt.Errorf("disk full")
			}})
		srv := httptest.NewServer(h)
		r, _ := http.NewRequest("GET", srv.URL+"/drover/v1/backup", nil)
		r.SetBasicAuth(apitest.Admin, apitest.Password)
		resp, err := (&http.Client{Timeout: time.Minute}).Do(r)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == 500 {
				err = io.ErrUnexpectedEOF
			}
		}
		if err == nil {
			t.Errorf("after %q: the archive looks whole", sent)
		}
		srv.Close()
	}
}

// A body of nothing but unknown names must not make an answer of seven times
// its size.
func TestUnknownTargets_AreListedUpToALimit(t *testing.T) {
	c := start(t)
	c.s.Script("any", "echo", nil)
	names := make([]string, 50_000)
	for i := range names {
		names[i] = "x"
	}
	for _, path := range []string{"runs", "preview"} {
		out := c.do(400, "POST", path, map[string]any{"service": "any", "devices": names})
		if got, _ := out["unknown"].([]any); len(got) != 10_000 {
			t.Errorf("%s: %d unknown targets are listed", path, len(got))
		}
		if e, _ := out["error"].(map[string]any); !strings.Contains(fmt.Sprint(e["message"]), "50000") {
			t.Errorf("%s: %v", path, e)
		}
	}
}

func TestShown_NamesNoCauseButTheDisk(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "/secret/path", Err: syscall.ENOSPC}
	for _, c := range []struct {
		err  error
		want string
	}{
		{job.Wrap(job.Unavailable, full, "cannot write"), "cannot write: no space left on device"},
		{job.Wrap(job.Unavailable, syscall.EROFS, "cannot write"), "cannot write: read-only file system"},
		{job.Wrap(job.Unavailable, syscall.ECONNREFUSED, "no answer"), "no answer"},
		{job.Wrap(job.Internal, full, "broken"), "internal error"},
		{full, "internal error"},
	} {
		if got := console.Shown(c.err); got != c.want {
			t.Errorf("%v is shown as %q, want %q", c.err, got, c.want)
		}
	}
}
