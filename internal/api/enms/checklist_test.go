package enms_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"drover/internal/api/apitest"
	"drover/internal/inventory"
	"drover/internal/standalone"
)

// The tests here are rows of the spec's checklist, by number, against the whole
// service. docs/enms.md says which row is proved where.

var (
	moments   = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}`)
	durations = regexp.MustCompile(`"duration":"0:00:0\d"`)
)

// plain returns a body with what differs from run to run replaced, and the
// service's properties, which have a test of their own, left out.
func plain(body string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return body
	}
	for _, o := range []any{v, inner(v)} {
		if m, ok := o.(object); ok && m["properties"] != nil {
			m["properties"] = object{}
		}
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return body
	}
	out := moments.ReplaceAllString(strings.TrimSuffix(b.String(), "\n"), "T")
	return durations.ReplaceAllString(out, `"duration":"D"`)
}

func inner(v any) any {
	if m, ok := v.(object); ok {
		return m["result"]
	}
	return nil
}

// start starts three devices and the services that the rows use.
func start(t *testing.T, o apitest.Options) *apitest.Service {
	t.Helper()
	if o.Devices == 0 {
		o.Devices = 3
	}
	s := apitest.Start(t, o)
	own := func(in *inventory.ServiceInput) { in.Devices = &[]string{"R3"} }
	s.Script("hello", "echo hi", own)
	s.Script("two words", "echo hi", nil)
	s.Script("aid", `echo {{ payload["aid"] }}`, nil)
	s.Script("bare", `echo {{ aid }}`, nil)
	s.Script("var", `echo {{ v }} {{ get_var("v") }}`, nil)
	s.Script("second", `{{ "exit 3" if device.name == "R2" else "echo fine" }}`, nil)
	s.Script("nested", `echo {{ payload["payload"]["k"] }} {{ payload["l"] }} {{ payload["d"]["k"] }}`, nil)
	s.Script("initial", `echo {{ payload["a"] }} {{ payload["b"] }}`, func(in *inventory.ServiceInput) {
		p := json.RawMessage(`{"a": 1, "b": 1}`)
		in.Payload = &p
	})
	s.Script("off", "echo hi", func(in *inventory.ServiceInput) { yes := true; in.Disabled = &yes })
	s.Script("slow", "echo begun\nsleep 60", nil)
	mustSave(t, s, "pool", `{"name": "first", "manually_defined": true, "devices": ["R1"]}`)
	mustSave(t, s, "pool", `{"name": "empty", "manually_defined": true, "devices": []}`)
	return s
}

func mustSave(t *testing.T, s *apitest.Service, model, body string) {
	t.Helper()
	a := s.Do(apitest.Request{Method: "POST", Path: "/rest/instance/" + model, Body: body, User: apitest.Admin})
	if a.Status != 200 || strings.Contains(a.Body, "failure") {
		t.Fatalf("%s %s: %d %s", model, body, a.Status, a.Body)
	}
}

func run(s *apitest.Service, body string) apitest.Answer {
	return s.Do(apitest.Request{Method: "POST", Path: "/rest/run_service", Body: body, User: apitest.Admin})
}

// good is the entry of a device that answered with text.
func good(device, text string) string {
	return fmt.Sprintf(`"%s":{"device_target":"%s","duration":"D","result":%q,"return_code":"0","runtime":"T","success":true}`, device, device, text)
}

// whole is the answer to a synchronous run.
func whole(devices, errors, payload, success string, failure ...string) string {
	ok := "true"
	if len(failure) > 0 {
		ok = "false"
	}
	failed := "[]"
	if len(failure) > 0 {
		b, _ := json.Marshal(failure)
		failed = string(b)
	}
	return `{"devices":{` + devices + `},"duration":"D","errors":` + errors + `,"payload":` + payload + `,"properties":{},"runtime":"T","success":` + ok +
		`,"summary":{"discard":[],"failure":` + failed + `,"success":` + success + `},"trigger":"REST"}`
}

const noTargets = `"The service 'Run method' is set to 'Per device' mode, but no targets have been selected (in Step 3 > Targets)"`

func TestChecklist_RunService(t *testing.T) {
	s := start(t, apitest.Options{})
	address := s.Fleet.Devices[0].Address // all pretend devices share one: the first wins
	for _, c := range []struct {
		rows   string
		body   string
		status int
		want   string
		runs   int // how many runs it makes
	}{
		{"1 34 35 47 48 49 50 51", `{"name":"hello","devices":["R1","R2"],"async":false}`, 200,
			whole(good("R1", "hi\n")+","+good("R2", "hi\n"), "[]", `{"async":false,"devices":["R1","R2"],"target_pools":[]}`, `["R1","R2"]`), 1},
		{"8", `{"name":"nobody","devices":["R1"]}`, 403, `{"alert":"Error 403 - Not Authorized."}`, 0},
		{"8 case", `{"name":"HELLO","devices":["R1"]}`, 403, `{"alert":"Error 403 - Not Authorized."}`, 0},
		{"8 number", `{"name":5,"devices":["R1"]}`, 403, `{"alert":"Error 403 - Not Authorized."}`, 0},
		{"11", `{"name":"off","devices":["R1"]}`, 200, `{"error":"The workflow is disabled."}`, 0},
		{"11 before targets", `{"name":"off","devices":["nobody"]}`, 200, `{"error":"The workflow is disabled."}`, 0},
		{"12", `{"devices":["R1"]}`, 400, `{"alert":"Error 400 - name: is missing"}`, 0},
		{"12 empty", ``, 400, `{"alert":"Error 400 - The body is empty; want JSON."}`, 0},
		{"12 list", `[]`, 400, `{"alert":"Error 400 - The body is not of the wanted type (array)."}`, 0},
		{"12 broken", `{"name":`, 400, `{"alert":"Error 400 - The body is not valid JSON."}`, 0},
		{"13 first", `{"name":"hello","form":{"name":"mine"}}`, 200, whole(good("R3", "hi\n"), "[]", `{"form":{"name":"mine"}}`, `["R3"]`), 1},
		{"13", `{"name":"hello","form":{"name":"mine"}}`, 200, `{"error":"There is already a run with the same name."}`, 0},
		{"14", `{"name":"hello","creator":"ops","trigger":"T","service":"x"}`, 200, whole(good("R3", "hi\n"), "[]", `{}`, `["R3"]`), 1},
		{"15 21", `{"name":"hello","devices":[],"pools":[],"ip_addresses":[]}`, 200, whole(good("R3", "hi\n"), "[]", `{"devices":[],"ip_addresses":[],"pools":[]}`, `["R3"]`), 1},
		{"15 null", `{"name":"hello","devices":null}`, 200, whole(good("R3", "hi\n"), "[]", `{"devices":null}`, `["R3"]`), 1},
		{"16", `{"name":"hello","devices":["R2"]}`, 200, whole(good("R2", "hi\n"), "[]", `{"devices":["R2"],"target_pools":[]}`, `["R2"]`), 1},
		{"16 bare", `{"name":"hello","devices":"R2"}`, 200, whole(good("R2", "hi\n"), "[]", `{"devices":"R2","target_pools":[]}`, `["R2"]`), 1},
		{"17", `{"name":"hello","pools":["first"]}`, 200, whole(good("R1", "hi\n"), "[]", `{"pools":["first"],"target_devices":[]}`, `["R1"]`), 1},
		{"18", `{"name":"hello","ip_addresses":["` + address + `"]}`, 200, whole(good("R1", "hi\n"), "[]", `{"ip_addresses":["`+address+`"],"target_pools":[]}`, `["R1"]`), 1},
		{"19 20", `{"name":"hello","devices":["R2","R1","R2"],"ip_addresses":["` + address + `"],"pools":["first","all"]}`, 200,
			whole(good("R1", "hi\n")+","+good("R2", "hi\n")+","+good("R3", "hi\n"), "[]",
				`{"devices":["R2","R1","R2"],"ip_addresses":["`+address+`"],"pools":["first","all"]}`, `["R2","R1","R3"]`), 1},
		{"23 27", `{"name":"hello","devices":["R1","sim-999"]}`, 200, `{"errors":["No device with the name 'sim-999'"]}`, 0},
		{"23 async", `{"name":"hello","devices":["R1","sim-999"],"async":true}`, 200, `{"errors":["No device with the name 'sim-999'"]}`, 0},
		{"24 25 26", `{"name":"hello","pools":["nopool","nopool2"],"ip_addresses":["10.9.9.9"],"devices":["x","y","x"]}`, 200,
			`{"errors":["No device with the name 'x'","No device with the name 'y'","No device with the name 'x'","No device with the IP address '10.9.9.9'","No pool with the name 'nopool'","No pool with the name 'nopool2'"]}`, 0},
		{"28", `{"name":"hello","devices":["R1","sim-999"],"ignore_invalid_targets":true}`, 200,
			whole(good("R1", "hi\n"), `["No device with the name 'sim-999'"]`, `{"devices":["R1","sim-999"],"ignore_invalid_targets":true,"target_pools":[]}`, `["R1"]`), 1},
		{"29", `{"name":"hello","devices":["nope"],"ignore_invalid_targets":true}`, 200, `{"errors":["No device with the name 'nope'"]}`, 0},
		{"30 54", `{"name":"hello","pools":["empty"]}`, 200,
			`{"devices":{},"duration":"D","errors":[],"payload":{"pools":["empty"],"target_devices":[]},"properties":{},"result":` + noTargets + `,"runtime":"T","success":false,"trigger":"REST"}`, 1},
		{"54", `{"name":"aid"}`, 200,
			`{"devices":{},"duration":"D","errors":[],"payload":{},"properties":{},"result":` + noTargets + `,"runtime":"T","success":false,"trigger":"REST"}`, 1},
		{"33", `{"name":"hello","async":true}`, 200, `{"errors":[],"runtime":"T"}`, 1},
		{"36", `{"name":"hello","async":"false"}`, 200, whole(good("R3", "hi\n"), "[]", `{"async":"false"}`, `["R3"]`), 1},
		{"40", `{"name":"aid","devices":["R1"],"aid":"1-2-3"}`, 200, whole(good("R1", "1-2-3\n"), "[]", `{"aid":"1-2-3","devices":["R1"],"target_pools":[]}`, `["R1"]`), 1},
		{"40 46", `{"name":"nested","devices":["R1"],"payload":{"k":"deep"},"l":[1,"x"],"d":{"k":true}}`, 200,
			whole(good("R1", "deep [1, x] True\n"), "[]", `{"d":{"k":true},"devices":["R1"],"l":[1,"x"],"payload":{"k":"deep"},"target_pools":[]}`, `["R1"]`), 1},
		{"41", `{"name":"initial","devices":["R1"],"b":2}`, 200, whole(good("R1", "1 2\n"), "[]", `{"a":1,"b":2,"devices":["R1"],"target_pools":[]}`, `["R1"]`), 1},
		{"42", `{"name":"hello","devices":["R1"],"k":{"z":1,"a":[1.50,10.0]}}`, 200,
			whole(good("R1", "hi\n"), "[]", `{"devices":["R1"],"k":{"a":[1.5,10.0],"z":1},"target_pools":[]}`, `["R1"]`), 1},
		{"44", `{"name":"var","devices":["R1"],"variables":{"v":77}}`, 200, whole(good("R1", "77 77\n"), "[]", `{"devices":["R1"],"target_pools":[],"variables":{"v":77}}`, `["R1"]`), 1},
		{"49 51 72", `{"name":"second","devices":["R1","R2"]}`, 200,
			whole(good("R1", "fine\n")+`,"R2":{"device_target":"R2","duration":"D","result":"","return_code":"3","runtime":"T","success":false}`, "[]",
				`{"devices":["R1","R2"],"target_pools":[]}`, `["R1"]`, "R2"), 1},
		{"413", `{"name":"hello","x":"` + strings.Repeat("x", 5<<20) + `"}`, 413, `{"alert":"Error 413 - The body is larger than 5 MiB."}`, 0},
	} {
		before := s.Runs()
		a := run(s, c.body)
		if a.Status != c.status {
			t.Errorf("row %s: status %d, want %d: %.300s", c.rows, a.Status, c.status, a.Body)
		}
		if got := plain(a.Body); got != c.want {
			t.Errorf("row %s:\n got %s\nwant %s", c.rows, got, c.want)
		}
		if !strings.HasSuffix(a.Body, "}\n") || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("row %s: body ends in %q, type %q", c.rows, a.Body[max(0, len(a.Body)-3):], a.Header.Get("Content-Type"))
		}
		if made := s.Runs() - before; made != c.runs {
			t.Errorf("row %s: %d runs made, want %d", c.rows, made, c.runs)
		}
	}
}

// 43 and 45: what fails on one device, in rendering, and how the text ends.
func TestChecklist_RenderingFailsTheDeviceOnly(t *testing.T) {
	s := start(t, apitest.Options{})
	s.Script("one", `echo {{ payload["aid"] if device.name == "R1" else "fine" }}`, nil)
	for _, c := range []struct{ rows, body, end string }{
		{"43", `{"name":"bare","devices":["R1"],"aid":"x"}`, "NameError: name 'aid' is not defined"},
		{"45", `{"name":"aid","devices":["R1"]}`, "KeyError: 'aid'"},
	} {
		o := decoded(run(s, c.body))
		r1, _ := o["devices"].(object)["R1"].(object)
		if text, _ := r1["result"].(string); r1["success"] != false || !strings.HasSuffix(text, c.end) {
			t.Errorf("row %s: %v", c.rows, r1)
		}
	}
	o := decoded(run(s, `{"name":"one","devices":["R1","R2"]}`))
	if got := fmt.Sprint(o["summary"]); got != "map[discard:[] failure:[R1] success:[R2]]" {
		t.Errorf("row 45: %s", got)
	}
	if n := s.Fleet.Executions(); n != 1 {
		t.Errorf("%d executions: what cannot be rendered must not be sent", n)
	}
}

// 2 to 7 and the spec's 1.2: methods, paths and who may.
func TestChecklist_MethodsAndPaths(t *testing.T) {
	s := start(t, apitest.Options{})
	const notFound, wrong, denied = `{"alert":"Error 404 - Not Found."}`, `{"alert":"Error 401 - Wrong Credentials."}`, `{"alert":"Error 403 - Not Authorized."}`
	for _, c := range []struct {
		rows, method, path, user, body string
		status                         int
		want                           string
	}{
		{"2", "POST", "run_service", "", `{}`, 401, wrong},
		{"3", "POST", "run_service", "nobody", `{}`, 401, wrong},
		{"5", "GET", "run_service", "", ``, 404, notFound},
		{"5", "DELETE", "run_service", "", ``, 404, notFound},
		{"6", "GET", "xyz", "", ``, 404, notFound},
		{"6", "POST", "xyz", apitest.Admin, `{}`, 404, notFound},
		{"6", "GET", "", "", ``, 404, notFound},
		{"7", "POST", "run_service", apitest.Viewer, `{`, 403, denied},
		{"extra segment", "POST", "run_service/x", apitest.Admin, `{}`, 404, notFound},
		{"slash at the end", "POST", "run_service/", apitest.Admin, `{}`, 404, notFound},
		{"extra segment, nobody", "POST", "run_service/x", "", `{}`, 401, wrong},
		{"one segment", "GET", "result/hello", apitest.Admin, ``, 404, notFound},
		{"80", "POST", "search", apitest.Viewer, `{}`, 400, `{"alert":"Error 400 - /rest/search is not available in this version."}`},
		{"80", "GET", "query/device?name=x", apitest.Viewer, ``, 400, `{"alert":"Error 400 - /rest/query is not available in this version."}`},
		{"80", "GET", "query/device", "", ``, 401, wrong},
		{"80", "POST", "run_task/5", apitest.Viewer, `{}`, 403, denied},
		{"80", "POST", "topology/import", apitest.Operator, `{}`, 403, denied},
		{"update_all_pools", "POST", "update_all_pools", apitest.Admin, `{}`, 200, `null`},
		{"88", "GET", "instance/device/nobody", apitest.Admin, ``, 403, denied},
		{"model", "GET", "instance/zz/x", apitest.Admin, ``, 400, `{"alert":"Error 400 - The model 'zz' is not available in this version."}`},
		{"61", "GET", "result/hello/2026-11-21%2020:43:28.697722", apitest.Admin, ``, 404,
			`{"error":"There are no results or on-going services for the requested service and runtime."}`},
		{"stop nothing", "POST", "stop_run/2026-11-21%2020:43:28.697722", apitest.Operator, ``, 200, `null`},
		{"null on GET", "GET", "instance/zz/x", apitest.Admin, `null`, 400, `{"alert":"Error 400 - The model 'zz' is not available in this version."}`},
	} {
		a := s.Do(apitest.Request{Method: c.method, Path: "/rest/" + c.path, User: c.user, Body: c.body})
		if a.Status != c.status || strings.TrimSuffix(a.Body, "\n") != c.want {
			t.Errorf("row %s, %s %s: %d %s", c.rows, c.method, c.path, a.Status, a.Body)
		}
		if a.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("row %s: WWW-Authenticate is set", c.rows)
		}
	}
	for _, method := range []string{"PUT", "PATCH", "FOO"} {
		a := s.Do(apitest.Request{Method: method, Path: "/rest/run_service"})
		if a.Status != 405 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || a.Header.Get("Allow") != "DELETE, OPTIONS, HEAD, POST, GET" {
			t.Errorf("%s: %d %v", method, a.Status, a.Header)
		}
	}
	if a := s.Do(apitest.Request{Method: "OPTIONS", Path: "/rest/run_service"}); a.Status != 200 || a.Body != "" {
		t.Errorf("OPTIONS: %d %q", a.Status, a.Body)
	}
	if a := s.Do(apitest.Request{Method: "HEAD", Path: "/rest/is_alive"}); a.Status != 200 || a.Body != "" {
		t.Errorf("HEAD: %d %q", a.Status, a.Body)
	}
	if a := s.Do(apitest.Request{Method: "POST", Path: "//rest/./run_service", Body: `{"name":"hello"}`, User: apitest.Admin}); a.Status != 200 {
		t.Errorf("a path that wants cleaning: %d %s", a.Status, a.Body)
	}
}

// 83.
func TestChecklist_IsAlive(t *testing.T) {
	s := start(t, apitest.Options{})
	for _, q := range []apitest.Request{
		{Method: "GET", Path: "/rest/is_alive"},
		{Method: "GET", Path: "/rest/is_alive?a=b", Body: `{"a": 1}`, Header: map[string]string{"Authorization": "Basic !!!"}},
	} {
		a := s.Do(q)
		if !regexp.MustCompile(`^{"cluster_id":true,"name":[1-9][0-9]*}\n$`).MatchString(a.Body) || a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
}

func resultPath(service, runtime string) string {
	return "/rest/result/" + url.PathEscape(service) + "/" + strings.ReplaceAll(runtime, " ", "%20")
}

// 57, 58, 60, 61: the result endpoint while it runs and after.
func TestChecklist_Result(t *testing.T) {
	s := start(t, apitest.Options{})
	sync := run(s, `{"name":"two words","devices":["R1","R2"]}`)
	at := runtimeOf(sync)
	get := func(service, at string) apitest.Answer {
		return s.Do(apitest.Request{Method: "GET", Path: resultPath(service, at), User: apitest.Viewer, Body: "null"})
	}
	a := get("two words", at)
	want := decoded(sync)
	delete(want, "errors")
	got := decoded(a)
	if a.Status != 200 || got["status"] != "Completed" || fmt.Sprint(got["result"]) != fmt.Sprint(want) {
		t.Errorf("row 58: %d %s", a.Status, a.Body)
	}
	for name, c := range map[string][2]string{"another service": {"hello", at}, "another moment": {"two words", "2020-01-01 00:00:00.000000"}, "no moment": {"two words", "now"}} {
		if a := get(c[0], c[1]); a.Status != 404 || a.Body != `{"error":"There are no results or on-going services for the requested service and runtime."}`+"\n" {
			t.Errorf("row 61, %s: %d %s", name, a.Status, a.Body)
		}
	}
	// Directly after the asynchronous answer the run is known (57, 61).
	async := run(s, `{"name":"slow","devices":["R1"],"async":true}`)
	a = get("slow", runtimeOf(async))
	if a.Status != 200 || a.Body != `{"result":"No results yet.","status":"Running"}`+"\n" {
		t.Errorf("row 57: %d %s", a.Status, a.Body)
	}
}

// 37 and 39: runtimes are unique and have six digits.
func TestChecklist_RuntimesAreUnique(t *testing.T) {
	s := start(t, apitest.Options{})
	const n = 40
	answers := make(chan apitest.Answer, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { answers <- run(s, `{"name":"hello","async":true}`) })
	}
	wg.Wait()
	close(answers)
	seen := map[string]bool{}
	for a := range answers {
		at := runtimeOf(a)
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$`).MatchString(at) {
			t.Errorf("%q in %s", at, a.Body)
		}
		seen[at] = true
	}
	if len(seen) != n {
		t.Errorf("%d runtimes for %d runs", len(seen), n)
	}
}

// 35: the default is the deployment's.
func TestChecklist_AsyncDefault(t *testing.T) {
	s := start(t, apitest.Options{Adjust: func(c *standalone.Config) { c.AsyncDefault, c.Trigger = true, "REST API" }})
	if got := plain(run(s, `{"name":"hello"}`).Body); got != `{"errors":[],"runtime":"T"}` {
		t.Errorf("%s", got)
	}
	if got := decoded(run(s, `{"name":"hello","async":false}`))["trigger"]; got != "REST API" {
		t.Errorf("trigger %v", got)
	}
}

// 55 and 1.9: properties, and the same entry stored and answered (56).
func TestChecklist_Properties(t *testing.T) {
	s := start(t, apitest.Options{})
	a := decoded(run(s, `{"name":"hello"}`))
	p := a["properties"].(object)
	for key, want := range map[string]any{"name": "hello", "scoped_name": "hello", "type": "unix_shell_script_service", "run_method": "per_device",
		"source_code": "echo hi", "creator": "admin", "disabled": false} {
		if p[key] != want {
			t.Errorf("%s: %v", key, p[key])
		}
	}
	if p["last_run"] == "Never" || p["target_devices"] != nil {
		t.Errorf("last_run %v, target_devices %v", p["last_run"], p["target_devices"])
	}
	// They are what ran, not what the service became.
	s.Script("hello", "echo changed", nil)
	again := decoded(s.Do(apitest.Request{Method: "GET", Path: resultPath("hello", a["runtime"].(string)), User: apitest.Admin}))
	if got := again["result"].(object)["properties"].(object)["source_code"]; got != "echo hi" {
		t.Errorf("source_code of the run: %v", got)
	}
}

// 84 to 88, 91, 92.
func TestChecklist_Instances(t *testing.T) {
	s := start(t, apitest.Options{})
	do := func(method, path, body string) apitest.Answer {
		return s.Do(apitest.Request{Method: method, Path: "/rest/instance/" + path, Body: body, User: apitest.Admin})
	}
	for _, c := range []struct{ rows, method, path, body, want string }{
		{"84", "POST", "device", `{"name":"D1","ip_address":"10.0.0.1","netmiko_driver":"arista_eos"}`, `{"success":["D1"]}`},
		{"84 bulk", "POST", "device", `[{"name":"D2","ip_address":"10.0.0.2","pools":["empty"]},{"name":"D3","ip_address":"10.0.0.3","gateways":["D1"]}]`, `{"success":["D2","D3"]}`},
		{"84 update", "POST", "device", `{"name":"D1","vendor":"Arista"}`, `{"success":["D1"]}`},
		{"84 new_name", "POST", "device", `{"name":"D1","new_name":"D9"}`, `{"success":["D9"]}`},
		{"85", "POST", "device", `{"ip_address":"1.1.1.1"}`, `{"failure":[[{"ip_address":"1.1.1.1"},"Name is missing"]]}`},
		{"86", "POST", "device", `{"name":"D2","pools":["nobody"]}`, `{"failure":[[{"name":"D2","pools":["nobody"]},"pools: there is no pool named \"nobody\""]]}`},
		{"87", "POST", "device", `[{"name":"a/b","ip_address":"10.0.0.1"},{"name":"D2","model":"M"}]`,
			`{"failure":[[{"ip_address":"10.0.0.1","name":"a/b"},"Names cannot contain a slash or a quote."]],"success":["D2"]}`},
		{"93", "POST", "credential", `{"name":"a/b","username":"u","password":"p"}`, `{"failure":[[{"name":"a/b","password":"********","username":"u"},"Names cannot contain a slash or a quote."]]}`},
		{"80", "POST", "unix_shell_script_service", `{"name":"x","source_code":"echo","run_method":"once"}`,
			`{"failure":[[{"name":"x","run_method":"once","source_code":"echo"},"run_method: this type of service runs on a device; want per_device"]]}`},
		{"rights", "POST", "service", `[{"name":"hello","description":"d"},{"name":"hello","owners":["ops"]}]`, `{"alert":"Error 400 - owners: per-object rights are not available in this version"}`},
		{"92 dynamic", "POST", "pool", `{"name":"dyn","device_name":"^D","device_name_match":"regex","device_vendor":"arista"}`, `{"success":["dyn"]}`},
		{"92 nothing", "POST", "pool", `{"name":"none","manually_defined":false}`, `{"success":["none"]}`},
		{"user", "POST", "user", `{"name":"new","password":"secret-word","email":"e"}`, `{"success":["new"]}`},
		{"in use", "DELETE", "credential/lab", ``, `{"delete_aborted":true,"log":"the device \"R1\" logs in with \"lab\"","log_level":"error"}`},
	} {
		if got := strings.TrimSuffix(do(c.method, c.path, c.body).Body, "\n"); got != c.want {
			t.Errorf("row %s:\n got %s\nwant %s", c.rows, got, c.want)
		}
	}
	for _, c := range []struct {
		rows, path string
		want       object
	}{
		{"84", "device/D9", object{"name": "D9", "ip_address": "10.0.0.1", "port": 22.0, "vendor": "Arista", "netmiko_driver": "arista_eos", "icon": "router", "pools": []any{}, "type": "device", "creator": "admin"}},
		{"88", "device/D2", object{"pools": []any{"empty"}, "model": "M", "gateways": []any{}}},
		{"88 jump", "device/D3", object{"gateways": []any{"D9"}}},
		{"92 dynamic", "pool/dyn", object{"devices": []any{"D9"}, "device_number": 1.0, "manually_defined": false, "device_name": "^D", "device_name_match": "regex", "device_vendor_match": "inclusion"}},
		{"92 manual", "pool/first", object{"devices": []any{"R1"}, "manually_defined": true}},
		{"92 nothing", "pool/none", object{"devices": []any{}, "device_number": 0.0, "manually_defined": false}},
		{"user", "user/new", object{"name": "new", "is_admin": false, "role": "operator", "email": "e", "type": "user"}},
		{"user admin", "user/admin", object{"is_admin": true}},
		{"rights", "service/hello", object{"description": "", "target_devices": []any{"R3"}, "type": "unix_shell_script_service"}},
	} {
		got := decoded(do("GET", c.path, "null"))
		for k, want := range c.want {
			if fmt.Sprint(got[k]) != fmt.Sprint(want) {
				t.Errorf("row %s, %s: %s is %v, want %v", c.rows, c.path, k, got[k], want)
			}
		}
	}
	gone := do("DELETE", "device/D2", "")
	if decoded(gone)["name"] != "D2" || gone.Status != 200 {
		t.Errorf("row 91: %d %s", gone.Status, gone.Body)
	}
	for _, a := range []apitest.Answer{do("GET", "device/D2", ""), do("DELETE", "device/D2", ""), do("DELETE", "user/admin", "")} {
		if a.Status != 403 || a.Body != `{"alert":"Error 403 - Not Authorized."}`+"\n" {
			t.Errorf("row 91: %d %s", a.Status, a.Body)
		}
	}
}
