package foreman_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/api/apitest"
	"drover/internal/device/sshsim"
	"drover/internal/job"
)

var command = job.Input{Name: "command", Kind: job.InputUser, Required: true}

// The documented request gets the documented answer, but for numbers, moments
// and ids. Later versions added keys; of the documented ones none may differ.
func TestCreate_DocumentedExample(t *testing.T) {
	l := newLab(t, apitest.Options{})
	hosts := l.devices("host137", "host138")
	template := l.template(job.Template{Meta: job.Meta{Name: "Job template 181"}, Category: "Job name 186",
		Inputs: []job.Input{{Name: "Template input 59", Kind: job.InputUser}}})
	if _, err := l.App.Dispatcher().MapFeature(background, apitest.AdminPrincipal(), "run_script", template); err != nil {
		t.Fatal(err)
	}
	got := want(t, l.Service, 201, post(jobsPath, object{"job_invocation": object{"feature": "run_script", "host_ids": hosts}}))
	text, err := os.ReadFile("testdata/documented_create.json")
	if err != nil {
		t.Fatal(err)
	}
	var documented object
	if err := json.Unmarshal(text, &documented); err != nil {
		t.Fatal(err)
	}
	task := dig(got, "dynflow_task", "id")
	documented["id"], documented["targeting_id"], documented["start_at"] = got["id"], got["targeting_id"], got["start_at"]
	documented["task"].(object)["id"], documented["dynflow_task"].(object)["id"] = task, task
	documented["targeting"].(object)["user_id"] = dig(got, "targeting", "user_id")
	for i, h := range documented["targeting"].(object)["hosts"].([]any) {
		h.(object)["id"] = float64(hosts[i])
	}
	for key, value := range documented {
		if key == "targeting" {
			continue
		}
		if d := cmp.Diff(value, got[key]); d != "" {
			t.Errorf("%s: %s", key, d)
		}
	}
	targeting := got["targeting"].(object)
	delete(targeting, "bookmark_name")
	if d := cmp.Diff(documented["targeting"], any(targeting)); d != "" {
		t.Error(d)
	}
	later := map[string]bool{"concurrency_level": true, "execution_timeout_interval": true, "template_id": true, "template_name": true,
		"effective_user": true, "cancelled": true, "total_hosts": true}
	for key := range got {
		if _, ok := documented[key]; !ok && !later[key] {
			t.Errorf("undocumented key %s", key)
		}
	}
	for _, key := range []string{"id", "targeting_id"} {
		if n, ok := got[key].(float64); !ok || n < 1 {
			t.Errorf("%s is %v", key, got[key])
		}
	}
	if !stamps.MatchString(fmt.Sprint(got["start_at"])) || dig(got, "targeting", "user_id") == nil {
		t.Errorf("start_at %v, user_id %v", got["start_at"], dig(got, "targeting", "user_id"))
	}
}

func TestCreate_Checklist(t *testing.T) {
	l := newLab(t, apitest.Options{})
	plain := l.template(job.Template{Meta: job.Meta{Name: "Plain"}, Category: "Cats"})
	inputs := l.template(job.Template{Meta: job.Meta{Name: "Inputs"}, DescriptionFormat: "<%{a}|%{b}>", Inputs: []job.Input{
		{Name: "a", Kind: job.InputUser, Default: ptr("x")}, {Name: "b", Kind: job.InputUser, Options: []string{"one", "two"}}}})
	mark := l.bookmark("ones", "name = R1")
	r1, r2 := l.device("R1"), l.device("R2")
	if _, err := l.App.Dispatcher().MapFeature(background, apitest.AdminPrincipal(), "run_script", plain); err != nil {
		t.Fatal(err)
	}
	feature := func(o object) object {
		o["job_template_id"], o["targeting_type"], o["feature"] = absent, absent, "run_script"
		if o["search_query"] == nil {
			o["search_query"] = absent
		}
		return o
	}
	for _, c := range []struct {
		name     string
		template int64
		change   object
		path     []any
		want     any
	}{
		{"the template's category", plain, nil, []any{"job_category"}, "Cats"},
		{"a category that is sent is ignored", plain, object{"job_category": "Mine"}, []any{"job_category"}, "Cats"},
		{"the id as text", plain, object{"job_template_id": fmt.Sprint(plain)}, []any{"template_id"}, float64(plain)},
		{"at once: no mode", plain, nil, []any{"mode"}, nil},
		{"status", plain, nil, []any{"status"}, 3.0},
		{"counters", plain, nil, []any{"succeeded"}, "N/A"},
		{"total", plain, nil, []any{"total"}, 2.0},
		{"task", plain, nil, []any{"task", "state"}, "planned"},
		{"no template invocations yet", plain, nil, []any{"template_invocations"}, nil},
		{"literal format", plain, object{"description_format": "format"}, []any{"description"}, "format"},
		{"a query that finds nothing", plain, object{"search_query": "name = nobody"}, []any{"total"}, 0.0},
		{"the query verbatim", plain, object{"search_query": "  name = R1 "}, []any{"targeting", "search_query"}, "  name = R1 "},
		{"a bookmark's query", plain, object{"search_query": absent, "bookmark_id": mark}, []any{"targeting", "search_query"}, "name = R1"},
		{"a bookmark and a blank query", plain, object{"search_query": " ", "bookmark_id": mark}, []any{"targeting", "bookmark_id"}, float64(mark)},
		{"a bookmark's hosts", plain, object{"search_query": absent, "bookmark_id": fmt.Sprint(mark)}, []any{"targeting", "hosts", 0, "name"}, "R1"},
		{"default of an input", inputs, nil, []any{"description"}, "<x|''>"},
		{"explicit blank", inputs, object{"inputs": object{"a": ""}}, []any{"description"}, "<|''>"},
		{"an option", inputs, object{"inputs": object{"b": " two "}}, []any{"description"}, "<x| two >"},
		{"a number", inputs, object{"inputs": object{"a": 12.5}}, []any{"description"}, "<12.5|''>"},
		{"a boolean", inputs, object{"inputs": object{"a": true}}, []any{"description"}, "<true|''>"},
		{"host ids", plain, object{"search_query": absent, "host_ids": []any{r2, fmt.Sprint(r1)}}, []any{"targeting", "search_query"}, "name ^ (R2, R1)"},
		{"one host id", plain, object{"search_query": nil, "host_ids": []any{r1}}, []any{"targeting", "search_query"}, "name ^ (R1)"},
		{"a bare number as host_ids", plain, object{"search_query": "", "host_ids": r1}, []any{"targeting", "search_query"}, "name ^ (R1)"},
		{"host names", plain, object{"search_query": "", "host_ids": []any{"R2"}}, []any{"targeting", "hosts", 0, "name"}, "R2"},
		{"host ids as a query", plain, object{"search_query": "", "host_ids": "name = R2"}, []any{"targeting", "search_query"}, "name = R2"},
		{"a query wins over host ids", plain, object{"search_query": "name = R1", "host_ids": []any{r2}}, []any{"targeting", "search_query"}, "name = R1"},
		{"a host twice", plain, object{"search_query": "", "host_ids": []any{r1, "R1", r1}}, []any{"total"}, 1.0},
		{"feature and host names", plain, feature(object{"host_ids": []any{"R1"}}), []any{"total"}, 1.0},
		{"feature and host ids", plain, feature(object{"host_ids": []any{r1, r2}}), []any{"total"}, 2.0},
		{"feature and a query as host ids", plain, feature(object{"host_ids": "name = R1"}), []any{"total"}, 1.0},
		{"feature and query", plain, feature(object{"search_query": "name = R1"}), []any{"targeting", "targeting_type"}, "static_query"},
		{"feature makes it static", plain, func() object {
			o := feature(object{"search_query": "name = R1"})
			o["targeting_type"] = "dynamic_query"
			return o
		}(), []any{"targeting", "targeting_type"}, "static_query"},
		{"dynamic", plain, object{"targeting_type": "dynamic_query"}, []any{"targeting", "targeting_type"}, "dynamic_query"},
		{"dynamic at once is resolved", plain, object{"targeting_type": "dynamic_query"}, []any{"targeting", "hosts", 1, "name"}, "R2"},
		{"ordering not given", plain, nil, []any{"targeting", "randomized_ordering"}, nil},
		{"ordering off", plain, object{"randomized_ordering": false}, []any{"targeting", "randomized_ordering"}, false},
		{"ordering on", plain, object{"randomized_ordering": "1"}, []any{"targeting", "randomized_ordering"}, true},
		{"concurrency", plain, object{"concurrency_control": object{"concurrency_level": "2", "time_span": 5}}, []any{"concurrency_level"}, 2.0},
		{"no concurrency", plain, nil, []any{"concurrency_level"}, nil},
		{"timeout", plain, object{"execution_timeout_interval": 60}, []any{"execution_timeout_interval"}, 60.0},
		{"no timeout", plain, nil, []any{"execution_timeout_interval"}, nil},
		{"time to pickup", plain, object{"time_to_pickup": 5}, []any{"time_to_pickup"}, 5.0},
		{"ssh user", plain, object{"ssh_user": "bob"}, []any{"ssh_user"}, "bob"},
		{"hammer's empty objects", plain, object{"ssh": object{}, "recurrence": object{}, "scheduling": object{}, "concurrency_control": object{}, "ansible": object{}},
			[]any{"mode"}, nil},
		{"empty texts and nulls", plain, object{"ssh": "", "recurrence": nil, "scheduling": "", "concurrency_control": nil, "inputs": nil,
			"description_format": nil, "execution_timeout_interval": "", "time_to_pickup": nil, "ssh_user": "", "password": nil, "feature": "", "bookmark_id": ""},
			[]any{"status"}, 3.0},
		{"unknown keys", plain, object{"odd": object{"x": []any{1}}}, []any{"status"}, 3.0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l.t = t
			got := l.create(c.template, "name ~ R", c.change)
			if d := cmp.Diff(c.want, dig(got, c.path...)); d != "" {
				t.Errorf("%v: %s", c.path, d)
			}
			if targets := dig(got, "targeting", "hosts"); targets == nil {
				t.Error("no hosts")
			}
			for _, key := range []string{"action", "state", "started_at"} {
				if _, ok := got[key]; ok {
					t.Errorf("the job has a key %s: clients would take it for a task", key)
				}
			}
		})
	}
}

func TestCreate_IncludeHosts(t *testing.T) {
	l := newLab(t, apitest.Options{})
	body := invocation(l.template(job.Template{}), "name ~ R", nil)
	body["include_hosts"] = false
	got := want(t, l.Service, 201, post(jobsPath, body))
	if targeting := got["targeting"].(object); targeting["hosts"] != nil || got["total"] != 2.0 {
		t.Errorf("%v", got)
	}
	shown := l.show(got, "?include_hosts=false&host_status=true")
	if dig(shown, "targeting", "hosts") != nil || shown["template_invocations"] != nil {
		t.Errorf("%v", shown)
	}
}

func TestCreate_Refusals(t *testing.T) {
	l := newLab(t, apitest.Options{})
	plain := l.template(job.Template{Meta: job.Meta{Name: "Plain"}})
	snippet := l.template(job.Template{Meta: job.Meta{Name: "Part"}, Snippet: true})
	needs := l.template(job.Template{Meta: job.Meta{Name: "Run_It - Default"}, Inputs: []job.Input{
		command, {Name: "Other_Input", Kind: job.InputUser, Required: true}, {Name: "opt", Kind: job.InputUser, Options: []string{"1", "2"}},
		{Name: "must", Kind: job.InputUser, Required: true, Default: ptr("d"), Options: []string{"d", ""}}}})
	other := l.template(job.Template{Meta: job.Meta{Name: "Trying1"}, Inputs: []job.Input{{Name: "Input_3", Kind: job.InputUser, Required: true}}})
	mark := l.bookmark("ones", "name = R1")
	const failed = "Validation failed: "
	const tmpl = failed + "Template run it - default: "
	for _, c := range []struct {
		name     string
		template int64
		change   object
		status   int
		want     string
	}{
		{"no template", 0, object{"job_template_id": absent}, 404, "Template with id '' was not found"},
		{"unknown template", 12345, nil, 404, "Template with id '12345' was not found"},
		{"a name as template", 0, object{"job_template_id": "Plain"}, 404, "Template with id 'Plain' was not found"},
		{"a snippet", snippet, nil, 404, fmt.Sprintf("Template with id '%d' was not found", snippet)},
		{"unknown feature", 0, object{"job_template_id": absent, "feature": "odd"}, 404, "Template with id '' was not found"},
		{"a feature that nothing does", 0, object{"job_template_id": absent, "feature": "puppet_run_host"}, 404, "Template with id '' was not found"},
		{"feature and template", plain, object{"feature": "run_script"}, 422, "Only one of feature or job_template_id can be specified"},
		{"unknown input", plain, object{"inputs": object{"x": "1"}}, 422, "Unknown input x for template Plain"},
		{"another template's input", plain, object{"inputs": object{"command": "1"}}, 422, "Unknown input command for template Plain"},
		{"unknown host", plain, object{"search_query": "", "host_ids": []any{999}}, 422, "Couldn't find Host::Managed with 'id'=999"},
		{"unknown host name", plain, object{"search_query": "", "host_ids": []any{"R1", "R9"}}, 422, "Couldn't find Host::Managed with 'id'=R9"},
		{"bookmark and query", plain, object{"bookmark_id": mark}, 422, "ERF42-9522 [Foreman::Exception]: Cannot specify both bookmark_id and search_query"},
		{"bookmark and hosts", plain, object{"search_query": "", "host_ids": []any{"R1"}, "bookmark_id": mark}, 422,
			"ERF42-9522 [Foreman::Exception]: Cannot specify both bookmark_id and search_query"},
		{"neither", plain, object{"search_query": absent}, 422, failed + "Targeting: Bookmark Must select a bookmark or enter a search query, Search query Must select a bookmark or enter a search query"},
		{"unknown bookmark", plain, object{"search_query": absent, "bookmark_id": 999}, 422, failed + "Targeting: Bookmark Must select a bookmark or enter a search query, Search query Must select a bookmark or enter a search query"},
		{"no hosts", plain, object{"search_query": "", "host_ids": []any{}}, 422, failed + "Targeting: Bookmark Must select a bookmark or enter a search query, Search query Must select a bookmark or enter a search query"},
		{"no type", plain, object{"targeting_type": absent}, 422, failed + "Targeting: Targeting type can't be blank, Targeting type is not included in the list"},
		{"odd type", plain, object{"targeting_type": "odd"}, 422, failed + "Targeting: Targeting type is not included in the list"},
		{"a query that is no text", plain, object{"search_query": "name = R1 or name = \x00"}, 400, ""},
		{"a query that is too long", plain, object{"search_query": "name ^ (" + strings.Repeat("a,", 64<<10) + "b)"}, 400, ""},
		{"syntax", plain, object{"search_query": "name = "}, 400, ""},
		{"empty list", plain, object{"search_query": "name ^ ()"}, 400, ""},
		{"parentheses", plain, object{"search_query": "(name = R1"}, 400, ""},
		{"unknown field", plain, object{"search_query": "foo = 1"}, 400, "Field 'foo' not recognized for searching!"},
		{"concurrency 0", plain, object{"concurrency_control": object{"concurrency_level": 0}}, 422, failed + "Concurrency level: must be greater than 0"},
		{"concurrency below 0", plain, object{"concurrency_control": object{"concurrency_level": "-1"}}, 422, failed + "Concurrency level: must be greater than 0"},
		{"concurrency no number", plain, object{"concurrency_control": object{"concurrency_level": "x"}}, 422, failed + "Concurrency level: must be greater than 0"},
		{"timeout 0", plain, object{"execution_timeout_interval": 0}, 422, failed + "Execution timeout interval: must be greater than 0"},
		{"timeout no number", plain, object{"execution_timeout_interval": "soon"}, 422, failed + "Execution timeout interval: must be greater than 0"},
		{"all that is wrong", plain, object{"targeting_type": "odd", "concurrency_control": object{"concurrency_level": 0}, "execution_timeout_interval": 0}, 422,
			failed + "Targeting: Targeting type is not included in the list, Concurrency level: must be greater than 0, Execution timeout interval: must be greater than 0"},
		{"missing inputs", needs, nil, 422, tmpl + "Not all required inputs have values. Missing inputs: command, Other_Input"},
		{"null", needs, object{"inputs": object{"command": nil, "Other_Input": "x"}}, 422, tmpl + "Input command: Value can't be blank"},
		{"blank", needs, object{"inputs": object{"command": "x", "Other_Input": " "}}, 422, tmpl + "Input other input: Value can't be blank"},
		{"upstream's example", other, object{"inputs": object{"Input_3": nil}}, 422, failed + "Template trying1: Input input 3: Value can't be blank"},
		{"no option", needs, object{"inputs": object{"command": "x", "Other_Input": "y", "opt": "3"}}, 422, tmpl + "Input opt: Value is not included in the list"},
		{"blank of a required one with options", needs, object{"inputs": object{"command": "x", "Other_Input": "y", "must": ""}}, 422, tmpl + "Input must: Value can't be blank"},
		{"a list as a value", needs, object{"inputs": object{"command": []any{1}}}, 422, tmpl + "Input command: Value must be a string"},
		{"an object as a value", needs, object{"inputs": object{"command": object{}}}, 422, tmpl + "Input command: Value must be a string"},
		{"targeting before inputs", needs, object{"targeting_type": "odd", "inputs": object{"command": "x"}}, 422,
			failed + "Targeting: Targeting type is not included in the list, Template run it - default: Not all required inputs have values. Missing inputs: Other_Input"},
		{"triggering alone", needs, object{"targeting_type": "odd", "recurrence": object{"cron_line": "foo"}}, 422, failed + "Triggering: Cronline foo is not valid format of cron line"},
		{"inputs that are a list", plain, object{"inputs": []any{}}, 422, "job_invocation.inputs: must be a hash"},
		{"a template that is a list", plain, object{"job_template_id": []any{1}}, 422, ""},
		{"ssh that is a text", plain, object{"ssh": "bob"}, 422, ""},
		{"an effective user that is a command", plain, object{"ssh": object{"effective_user": "root; reboot"}}, 422, failed + "Effective user: "},
		{"a login that is an option", plain, object{"ssh_user": "-oX"}, 422, failed + "Ssh user: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			l.t = t
			got := l.refused(c.status, invocation(c.template, "name ~ R", c.change))
			switch {
			case strings.HasSuffix(c.want, ": ") && strings.HasPrefix(got, c.want):
			case strings.HasPrefix(c.want, "Unknown input") && strings.HasSuffix(got, c.want) && strings.HasPrefix(got, "ERF42-"):
			case c.want == "" && got != "" && got != "<nil>":
			case got != c.want:
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A refusal of E17 tells everything once more as a list; E13 names upstream's class.
func TestCreate_BodiesOfRefusals(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{})
	wantBody(t, l.Service, 422, `{"error":{"full_messages":["Targeting: Targeting type is not included in the list","Concurrency level: must be greater than 0"],`+
		`"message":"Validation failed: Targeting: Targeting type is not included in the list, Concurrency level: must be greater than 0"}}`,
		post(jobsPath, invocation(tm, "name = R1", object{"targeting_type": "x", "concurrency_control": object{"concurrency_level": 0}})))
	wantBody(t, l.Service, 400, `{"error":{"class":"ScopedSearch::QueryNotSupported","message":"Field 'foo' not recognized for searching!"}}`,
		post(jobsPath, invocation(tm, "foo = 1", nil)))
	wantBody(t, l.Service, 404, `{"error":{"message":"Template with id '999' was not found"}}`, post(jobsPath, invocation(999, "name = R1", nil)))
	q := post(jobsPath, invocation(tm, "name = R1", nil))
	q.Header["Content-Type"] = "text/plain"
	wantBody(t, l.Service, 415, `{"error":{"message":"Media type in 'Content-Type: text/plain' is unsupported in API v2 for POST and PUT requests. `+
		`Please use 'Content-Type: application/json'."}}`, q)
	q = post(jobsPath, invocation(tm, "name = R1", nil))
	q.User = apitest.Viewer
	wantBody(t, l.Service, 403, `{"error":{"details":"Missing one of the required permissions: create_job_invocations","message":"Access denied",`+
		`"missing_permissions":["create_job_invocations"]}}`, q)
	l.t = t
	if got := l.refused(404, object{"location_id": 9, "job_invocation": object{}}); got != "Location with id 9 not found" {
		t.Error(got)
	}
}

func TestCreate_LargeValues(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	tm := l.template(job.Template{Inputs: []job.Input{command}, Body: "echo ok\n# <%= input('command').size %>"})
	big := strings.Repeat("x", 4<<20)
	done := l.run(tm, "name = R1", object{"inputs": object{"command": big}})
	if done["status"] != 0.0 || len(done["description"].(string)) != 255 {
		t.Errorf("status %v, description of %d", done["status"], len(done["description"].(string)))
	}
	if got := dig(done, "template_invocations", 0, "template_invocation_input_values", 0, "value").(string); got[:10] != big[:10] {
		t.Errorf("value %.20s", got)
	}
	if got := l.refused(413, invocation(tm, "name = R1", object{"inputs": object{"command": strings.Repeat("x", 5<<20)}})); got == "" {
		t.Error("no message")
	}
}

func TestCreate_EffectiveUser(t *testing.T) {
	l := newLab(t, apitest.Options{})
	makes := 0
	for _, c := range []struct {
		name  string
		t     job.Template
		given any
		want  any
	}{
		{"the setting", job.Template{}, nil, "root"},
		{"given", job.Template{}, "bob", "bob"},
		{"blank", job.Template{}, " ", "root"},
		{"the template's", job.Template{Become: job.Become{User: "app"}}, nil, "app"},
		{"given over the template's", job.Template{Become: job.Become{User: "app"}}, "bob", "bob"},
		{"not overridable", job.Template{Become: job.Become{User: "app"}, BecomeFixed: true}, "bob", "app"},
		{"not overridable, no user", job.Template{BecomeFixed: true}, "bob", "root"},
		{"the caller", job.Template{BecomeCaller: true}, nil, "admin"},
		{"given over the caller", job.Template{BecomeCaller: true}, "bob", "bob"},
		{"the caller, not overridable", job.Template{BecomeCaller: true, BecomeFixed: true}, "bob", "admin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l.t = t
			makes++
			c.t.Name = fmt.Sprint("Become ", makes)
			got := l.create(l.template(c.t), "name = R1", object{"ssh": object{"effective_user": c.given}})
			if got["effective_user"] != c.want {
				t.Errorf("%v, want %v", got["effective_user"], c.want)
			}
			l.over(got)
			execs := l.Fleet.Devices[0].Executions()
			if last := execs[len(execs)-1]; last.User != c.want {
				t.Errorf("ran as %s, want %v", last.User, c.want)
			}
		})
	}
}

// Secrets reach the device and nothing else.
func TestCreate_Secrets(t *testing.T) {
	const pw, become, hidden, phrase = "cAnArY-login", "cAnArY-become", "cAnArY-input", "cAnArY-phrase"
	l := newLab(t, apitest.Options{Devices: 1, Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{BecomePassword: become} }})
	tm := l.template(job.Template{Inputs: []job.Input{{Name: "token", Kind: job.InputUser, Hidden: true}}, Body: "echo '<%= input('token') %>'",
		DescriptionFormat: "with %{token}"})
	q := invocation(tm, "name = R1", object{"password": "drover", "ssh_user": "drover", "key_passphrase": phrase,
		"ssh": object{"effective_user": "root", "effective_user_password": become}, "inputs": object{"token": hidden}})
	a := l.Do(post(jobsPath, q))
	if a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	o := decoded(a)
	if o["description"] != "with ***" {
		t.Errorf("description %v", o["description"])
	}
	done := l.over(o)
	if done["status"] != 0.0 {
		t.Errorf("%v: %s", done, l.Do(get(jobsPath+"/"+id(o)+"/hosts/1")).Body)
	}
	if got := dig(done, "template_invocations", 0, "template_invocation_input_values", 0, "value"); got != "*****" {
		t.Errorf("a hidden value is shown as %v", got)
	}
	wrong := l.run(tm, "name = R1", object{"password": pw, "ssh_user": "drover"})
	if wrong["status"] != 1.0 {
		t.Errorf("the job's password did not win: %v", wrong["status"])
	}
	var seen strings.Builder
	for _, path := range []string{"", "/" + id(o), "/" + id(o) + "?host_status=true", "/" + id(o) + "/outputs", "/" + id(wrong) + "/outputs", "/" + id(o) + "/template_invocations",
		"/" + id(o) + "/hosts"} {
		seen.WriteString(l.Do(get(jobsPath + path)).Body)
	}
	seen.WriteString(l.Do(get("/foreman_tasks/api/tasks/" + dig(o, "task", "id").(string))).Body)
	seen.WriteString(a.Body + l.Do(post(jobsPath+"/"+id(o)+"/rerun", object{})).Body + l.Log())
	seen.Write(l.Stored())
	for _, secret := range []string{pw, become, hidden, phrase} {
		if i := strings.Index(seen.String(), secret); i >= 0 {
			t.Errorf("%s is in clear: %.200s", secret, seen.String()[max(0, i-80):])
		}
	}
}

// The default of a hidden input is not told, and used.
func TestCreate_HiddenDefault(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	tm := l.template(job.Template{Body: "echo <%= input('token').size %>", DescriptionFormat: "%{token}",
		Inputs: []job.Input{{Name: "token", Kind: job.InputUser, Hidden: true, Required: true, Default: ptr("four"), Options: []string{"four", "three"}}}})
	done := l.run(tm, "name = R1", nil)
	if out := l.output(done, "R1", ""); dig(out, "output", 0, "output") != "4\n" || done["description"] != "***" {
		t.Errorf("%v, %v", out, done)
	}
	if msg := l.refused(422, invocation(tm, "name = R1", object{"inputs": object{"token": "five"}})); strings.Contains(msg, "five") || !strings.Contains(msg, "not included") {
		t.Error(msg)
	}
}

func TestCreate_Idempotency(t *testing.T) {
	l := newLab(t, apitest.Options{})
	tm := l.template(job.Template{})
	q := post(jobsPath, invocation(tm, "name ~ R", nil))
	q.Header["Idempotency-Key"] = "k1"
	first := l.Do(q)
	l.over(decoded(first))
	if again := l.Do(q); again.Status != 201 || again.Body != first.Body {
		t.Errorf("%d %s\nwas %s", again.Status, again.Body, first.Body)
	}
	q.Path = "/api/v2/job_invocations"
	if again := l.Do(q); again.Body != first.Body {
		t.Errorf("by the other path: %d %s", again.Status, again.Body)
	}
	q.Body = strings.Replace(q.Body, "name ~ R", "name = R1", 1)
	if a := l.Do(q); a.Status != 422 {
		t.Errorf("another body: %d %s", a.Status, a.Body)
	}
	if n := l.Fleet.Executions(); n != 2 {
		t.Errorf("%d executions", n)
	}
}
