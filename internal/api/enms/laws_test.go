package enms_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"drover/internal/api"
	"drover/internal/api/apitest"
)

func post(path string, body any) apitest.Request {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return apitest.Request{Method: http.MethodPost, Path: "/rest/" + path, Body: string(b)}
}

func get(path string) apitest.Request {
	return apitest.Request{Method: http.MethodGet, Path: "/rest/" + path}
}

func del(path string) apitest.Request {
	return apitest.Request{Method: http.MethodDelete, Path: "/rest/" + path}
}

// object is a JSON object, decoded.
type object = map[string]any

func decoded(a apitest.Answer) object {
	var o object
	if err := json.Unmarshal([]byte(a.Body), &o); err != nil {
		return object{"not an object": a.Body}
	}
	return o
}

func runtimeOf(a apitest.Answer) string {
	s, _ := decoded(a)["runtime"].(string)
	return s
}

func family() apitest.Family {
	return apitest.Family{
		Submit: func(service, device string) apitest.Request {
			return post("run_service", object{"name": service, "devices": []string{device}})
		},
		RunOf: runtimeOf,
		Reads: func(service, run string) []apitest.Request {
			return []apitest.Request{
				get("instance/device/R1"), get("instance/pool/all"), get("instance/credential/lab"), get("instance/user/ops"),
				get("instance/service/" + service), get("instance/unix_shell_script_service/" + service),
				get("run_log/" + url.PathEscape(run)), get("result/" + service + "/" + url.PathEscape(run)),
			}
		},
		Changes: []apitest.Request{
			post("instance/device", object{"name": "R1", "vendor": "changed"}),
			post("instance/pool", []object{{"name": "all", "description": "changed"}}),
			post("instance/credential", object{"name": "lab", "description": "changed"}),
			post("instance/unix_shell_script_service", object{"name": "hello", "description": "changed"}),
			post("instance/user", object{"name": "ops", "email": "changed"}),
			del("instance/device/R1"), del("instance/pool/all"), del("instance/credential/lab"), del("instance/service/hello"), del("instance/user/ops"),
		},
		Runs: []apitest.Request{{Method: http.MethodPost, Path: "/rest/stop_run/2026-11-21%2020:43:28.697722"}},
		Secrets: func(name string, secrets map[string]string) apitest.Request {
			o := object{"name": name, "username": "drover"}
			for field, value := range secrets {
				if field == "become_password" {
					field = "enable_password"
				}
				o[field] = value
			}
			return post("instance/credential", o)
		},
		Bad: []apitest.Request{
			post("run_service", object{}), post("run_service", object{"name": "nobody"}), post("run_service", object{"name": 5}),
			post("run_service", object{"name": "hello", "devices": []any{object{}}}), post("run_service", object{"name": "hello", "pools": 7}),
			post("run_service", object{"name": "hello", "devices": []string{"R1"}, "form": []int{1}}),
			post("run_service", object{"name": "hello", "devices": []string{"R1"}, "labels": strings.Repeat("l", 5000)}),
			post("run_service", object{"name": "hello", "devices": []string{"R1"}, "form": object{"name": strings.Repeat("n", 5000)}}),
			post("run_service", object{"name": "hello", "devices": []string{"nobody"}}),
			post("run_service", object{"name": "hello", "devices": []string{"R1", "' OR 1=1 --", strings.Repeat("x", 5000), "\x00"}}),
			post("run_service", object{"name": "hello", "ip_addresses": []string{"999.1.1.1", "", "::"}}),
			post("run_service", object{"name": "hello", "devices": []string{"R1"}, "big": strings.Repeat("x", 2<<20)}),
			post("instance/device", object{"name": "a/b", "ip_address": "10.0.0.1"}), post("instance/device", object{"name": "x"}),
			post("instance/device", object{"name": "x", "ip_address": "10.0.0.1", "port": 0}), post("instance/device", object{"name": "x", "ip_address": "http://x"}),
			post("instance/device", object{"name": "x", "ip_address": "10.0.0.1", "pools": []string{"nobody"}}),
			post("instance/device", object{"name": "x", "ip_address": "10.0.0.1", "platform": "vms"}),
			post("instance/device", object{"name": "x", "ip_address": "10.0.0.1", "owners": []string{"ops"}}),
			post("instance/device", object{"name": "x\x00", "ip_address": "10.0.0.1"}), post("instance/device", object{"name": strings.Repeat("x", 5000), "ip_address": "10.0.0.1"}),
			post("instance/device", []any{}), post("instance/device", []any{5}), post("instance/device", []any{nil}), post("instance/device", nil),
			post("instance/pool", object{"name": "x", "device_name": "(", "device_name_match": "regex"}),
			post("instance/pool", object{"name": "all", "devices": []string{"nobody"}}),
			post("instance/credential", object{"name": "x"}), post("instance/credential", object{"name": "x", "username": "u", "private_key": "no key"}),
			post("instance/service", object{"name": "x", "source_code": "echo"}),
			post("instance/unix_shell_script_service", object{"name": "x"}),
			post("instance/unix_shell_script_service", object{"name": "x", "source_code": "{{ open( }}"}),
			post("instance/unix_shell_script_service", object{"name": "x", "source_code": "echo", "run_method": "once"}),
			post("instance/unix_shell_script_service", object{"name": "x", "source_code": "echo", "named_credential": "nobody"}),
			post("instance/user", object{"name": "x"}), post("instance/user", object{"name": "x", "password": ""}), post("instance/user", object{"name": "stranger", "email": "x"}),
			post("instance/zz", object{"name": "x"}), post("instance/netmiko_commands_service", object{"name": "x"}), post("search", object{"type": "device"}),
			post("run_task/1", object{}), post("topology/import", object{}), post("migrate/export", object{}), post("xyz", object{}),
			get("xyz"), get("query/device"), get("configuration/R1"), get("workers"), get("token"), get("instance/zz/x"), get("instance/device"), get("result/x"),
			get("result/hello/not-a-time"), get("run_service"), del("run_service"), del("instance/device"), {Method: http.MethodGet, Path: "/rest"}, {Method: http.MethodGet, Path: "/rest/"},
			del("instance/user/admin"), del("instance/device/nobody"),
		},
		// eNMS says no with 200 where targets are unknown and in bulk.
		Refused: func(a apitest.Answer) bool {
			o := decoded(a)
			_, alert := o["alert"]
			_, failure := o["failure"]
			_, success := o["success"]
			_, errs := o["errors"]
			_, run := o["runtime"]
			_, refused := o["error"]
			return a.Status >= 400 && a.Status <= 499 || a.Status == 200 && !alert && (failure && !success || errs && !run || refused || a.Body == "{}\n" || a.Body == "null\n")
		},
	}
}

func TestLaws(t *testing.T) { apitest.Run(t, family()) }

// Every route of the table leads to an endpoint, and every endpoint is in it.
func TestRoutes_AreThoseOfTheTable(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	for _, r := range api.Routes() {
		if r.Family != api.FamilyENMS || r.Method == api.AnyMethod {
			continue
		}
		path := strings.NewReplacer("{", "", "}", "").Replace(r.Path)
		a := s.Do(apitest.Request{Method: r.Method, Path: path, User: apitest.Admin, Body: "{}"})
		if a.Status == http.StatusNotFound && !strings.Contains(a.Body, "no results") || a.Status == http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", r, a.Status, a.Body)
		}
	}
}

func FuzzRequests(f *testing.F) {
	s := apitest.Start(f, apitest.Options{Devices: 1})
	for _, q := range family().Bad {
		if len(q.Body) < 1000 {
			f.Add(q.Method, strings.TrimPrefix(q.Path, "/rest/"), q.Body)
		}
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		u := url.URL{Path: "/rest/" + path}
		if strings.ContainsAny(method, " \t\r\n") || !validMethod(method) {
			return
		}
		q := apitest.Request{Method: method, Path: u.EscapedPath(), Body: body, User: apitest.Admin}
		if a := s.Do(q); a.Status >= 500 {
			t.Errorf("%s %s %q: %d %s", method, path, body, a.Status, a.Body)
		}
	})
}

func validMethod(m string) bool {
	for _, c := range []byte(m) {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return m != "" && m != http.MethodConnect
}
