package foreman_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"drover/internal/api"
	"drover/internal/api/apitest"
)

// family is this family for the laws. What they call a service is a template
// here, whose id a submit needs.
func family() apitest.Family {
	ids := map[string]any{"nobody": 777}
	submit := func(name, device string, more object) apitest.Request {
		template := ids[name]
		if template == nil {
			template = 777
		}
		o := object{"job_template_id": template, "targeting_type": "static_query", "search_query": "name = " + device}
		for k, v := range more {
			o[k] = v
		}
		return post("/api/job_invocations", object{"job_invocation": o})
	}
	bookmark := func(name, query string) object {
		return object{"bookmark": object{"name": name, "controller": "hosts", "query": query, "public": true}}
	}
	return apitest.Family{
		Prepare: func(s *apitest.Service, name, script string) {
			s.T.Helper()
			o := object{"name": name, "job_category": "Laws", "provider_type": "script", "template": script,
				"effective_user_attributes":  object{"value": "drover"}, // who logs in
				"template_inputs_attributes": []object{{"name": "hidden", "input_type": "user", "hidden_value": true}}}
			a := s.Do(post(templates, object{"job_template": o}))
			if a.Status != http.StatusCreated {
				s.T.Fatalf("%d %s", a.Status, a.Body)
			}
			ids[name] = decoded(a)["id"]
			if a := s.Do(post("/api/bookmarks", bookmark("of "+name, "name = R1"))); a.Status != http.StatusCreated {
				s.T.Fatalf("%d %s", a.Status, a.Body)
			}
		},
		Submit: func(name, device string) apitest.Request { return submit(name, device, nil) },
		SubmitSecrets: func(name, device string, secrets map[string]string) apitest.Request {
			return submit(name, device, object{"password": secrets["password"], "key_passphrase": secrets["passphrase"], "ssh": object{"effective_user": "root",
				"effective_user_password": secrets["become_password"]}, "inputs": object{"hidden": secrets["password"]}, "description_format": "with %{hidden}"})
		},
		Later: true, Accepted: http.StatusCreated, Slash: true, Login: true,
		RunOf: func(a apitest.Answer) string {
			if o := decoded(a); a.Status == http.StatusCreated && o["targeting_id"] != nil {
				return id(o)
			}
			return ""
		},
		Reads: func(name, run string) []apitest.Request {
			jobs := "/api/job_invocations/" + run
			return []apitest.Request{
				get("/api/hosts/R1"), get("/api/hosts/R1/facts"), get(templates + "/" + name), get(templates + "/" + name + "/export"),
				get("/api/templates/" + name + "/template_inputs"), get("/api/templates/" + name + "/foreign_input_sets"),
				get("/api/bookmarks/of%20" + name), get("/api/hosts/R1/available_remote_execution_features"),
				get(jobs + "?host_status=true"), get(jobs + "/hosts/1"), get(jobs + "/hosts/1/raw"), get(jobs + "/outputs"), get(jobs + "/hosts"),
				get(jobs + "/template_invocations"),
			}
		},
		Changes: []apitest.Request{
			post(templates, aTemplate("another", nil)), put(templates+"/hello", object{"job_template": object{"description": "changed"}}),
			post(templates+"/hello/clone", object{"job_template": object{"name": "clone"}}), post(templates+"/import", object{"template": file}),
			post("/api/templates/hello/template_inputs", object{"template_input": object{"name": "x", "input_type": "user"}}),
			put("/api/templates/hello/template_inputs/hidden", object{"template_input": object{"required": true}}),
			post("/api/templates/hello/foreign_input_sets", object{"foreign_input_set": object{"target_template_id": 1}}),
			del("/api/templates/hello/template_inputs/hidden"),
			put("/api/remote_execution_features/puppet_run_host", object{"remote_execution_feature": object{"job_template_id": nil}}),
			put("/api/hosts/R1", object{"host": object{"comment": "changed"}}), del(templates + "/hello"),
		},
		Runs: []apitest.Request{
			post("/api/bookmarks", bookmark("new", "name = R2")), put("/api/bookmarks/of%20hello", bookmark("of hello", "name = R2")), del("/api/bookmarks/of%20hello"),
			post("/api/job_invocations/777/cancel", object{}), post("/api/job_invocations/777/rerun", object{}),
			post("/foreman_tasks/api/recurring_logics/777/cancel", object{}),
		},
		Bad: []apitest.Request{
			post("/api/job_invocations", object{}), post("/api/job_invocations", object{"job_invocation": nil}), post("/api/job_invocations", object{"job_invocation": "x"}),
			submit("nobody", "R1", nil), submit("hello", "(", nil), submit("hello", "R1", object{"inputs": object{"zz": 1}}), submit("hello", "R1", object{"inputs": []int{1}}),
			submit("hello", "R1", object{"targeting_type": "zz"}), submit("hello", "R1", object{"recurrence": object{"cron_line": "foo"}}),
			submit("hello", "R1", object{"scheduling": object{"start_at": "then"}}), submit("hello", strings.Repeat("x", 100_000), nil), submit("hello", "\x00", nil),
			post(templates, object{}), post(templates, object{"job_template": []int{}}), post(templates, aTemplate("\x00", nil)), post(templates, aTemplate("x", object{"template": "\x00"})),
			post(templates, aTemplate("x", object{"template": strings.Repeat("x", 1<<20)})), post(templates, aTemplate("x", object{"description": strings.Repeat("x", 1<<20)})),
			post(templates, aTemplate("x", object{"template_inputs_attributes": 5})), post(templates, aTemplate("x", object{"template_inputs_attributes": []any{nil}})),
			post(templates, aTemplate("x", object{"foreign_input_sets_attributes": []object{{"target_template_id": 1 << 40}}})),
			post(templates, aTemplate("x", object{"effective_user_attributes": object{"value": "-x"}})), post(templates, aTemplate("x", object{"location_ids": []any{object{}}})),
			post(templates, aTemplate("x", object{"execution_timeout_interval": 1 << 60})), post(templates, aTemplate("x", object{"execution_timeout_interval": "soon"})),
			post(templates+"/import", object{}), post(templates+"/import", object{"template": object{}}), post(templates+"/hello/clone", object{}),
			post("/api/bookmarks", object{}), post("/api/bookmarks", bookmark(strings.Repeat("x", 5000), "x")), post("/api/bookmarks", bookmark("x\x00", "x")),
			post("/api/bookmarks", bookmark("x", strings.Repeat("x", 1<<17))),
			put("/api/hosts/R1", object{"host": object{"comment": "x\x00"}}), put("/api/hosts/R1", object{"host": 5}), put("/api/hosts/R1", object{"": 0}), put("/api/hosts/R1", object{"host": object{"name": "R2"}}),
			put("/api/remote_execution_features/run_script", object{"remote_execution_feature": object{"job_template_id": "x"}}),
			put("/api/remote_execution_features/zz", object{"remote_execution_feature": object{"job_template_id": 1}}),
			get("/api/zz"), get("/api/hosts/R1/zz"), get("/foreman_tasks/api/zz"), get("/ansible/zz"), get("/apidoc/zz"), get("/api/hosts?page=x"), get("/api/hosts?order=zz"),
			get("/api/hosts?search=zz+%3D+1"), get("/api/hosts?location_id=77"), get("/api/job_invocations/0"), get("/api/job_invocations/99999999999999999999"),
			get("/foreman_tasks/api/tasks/x"), get("/foreman_tasks/api/recurring_logics/x"), del("/api/job_invocations/1"), del("/api/hosts/R1"), post("/api/hosts", object{}),
		},
		Lists: func(s *apitest.Service) (met []string, want int) {
			for page := 1; ; page++ {
				rows := results(decoded(s.Do(get(fmt.Sprintf("/api/hosts?per_page=10&page=%d", page)))))
				if len(rows) == 0 {
					return met, 57 + 2
				}
				for _, r := range rows {
					met = append(met, r["name"].(string))
				}
			}
		},
	}
}

func TestLaws(t *testing.T) { apitest.Run(t, family()) }

// Every route of the service's table leads to this family's own answers.
func TestRoutes_AreThoseOfTheTable(t *testing.T) {
	s := apitest.Start(t, apitest.Options{Devices: 1})
	n := 0
	for _, r := range api.Routes() {
		if r.Family != api.FamilyForeman {
			continue
		}
		n++
		path := strings.Replace(r.Path, "{rest...}", "zz", 1)
		if a := s.Do(get(path)); a.Header.Get("Apipie-Checksum") == "" {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	if n != 5 {
		t.Errorf("%d routes", n)
	}
}

// No request makes a 5xx or a panic, whatever is asked for.
func FuzzRequests(f *testing.F) {
	s := apitest.Start(f, apitest.Options{Devices: 1})
	fam := family()
	fam.Prepare(s, "hello", "echo hello")
	for _, q := range append(append(fam.Bad, fam.Changes...), append(fam.Runs, fam.Reads("hello", "1")...)...) {
		if u, err := url.Parse(q.Path); err == nil && len(q.Body) < 1000 {
			f.Add(q.Method, u.Path, u.RawQuery, q.Body)
		}
	}
	for _, q := range []string{"search=name+~+R*&order=id+DESC&page=2&per_page=all", "thin=1&include[]=parameters", "host_status=true&since=1.5&raw=1", "location_id[]=2&search[]=x"} {
		f.Add("GET", "/api/hosts", q, "")
		f.Add("GET", "/api/job_invocations", q, "")
		f.Add("GET", "/foreman_tasks/api/tasks", q, "")
	}
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if !validMethod(method) || !strings.HasPrefix(path, "/") {
			return
		}
		q := request(method, (&url.URL{Path: path, RawQuery: query}).String(), body)
		if _, err := url.ParseRequestURI(q.Path); err != nil || strings.ContainsFunc(q.Path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return // no such request can come
		}
		q.Header["Content-Type"] = "application/json"
		if a := s.Do(q); a.Status >= 500 {
			t.Errorf("%s %s %q: %d %s", method, q.Path, body, a.Status, a.Body)
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
