package foreman_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"drover/internal/api/apitest"
)

const file = `<%#
name: Restart a service
kind: job_template
model: JobTemplate
job_category: Services
description: restarts
description_format: "Restart %{service}"
provider_type: script
snippet: false
feature: puppet_run_host
unknown: ignored
template_inputs:
- name: service
  input_type: user
  required: true
  options: "ssh\ncron"
  default: cron
- name: site
  input_type: variable
  variable_name: site
  hidden_value: true
foreign_input_sets:
- template: Run Command - Script Default
  include_all: true
  exclude: other
%>

systemctl restart <%= input("service") %>
`

func importing(text string, more object) apitest.Request {
	o := object{"template": text}
	for k, v := range more {
		o[k] = v
	}
	return post(templates+"/import", o)
}

func TestImport(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	made := want(t, s, http.StatusCreated, importing(file, nil))
	for key, value := range (object{"name": "Restart a service", "job_category": "Services", "description": "restarts", "description_format": "Restart %{service}",
		"provider_type": "script", "snippet": false, "locked": false, "template": `systemctl restart <%= input("service") %>`}) {
		if made[key] != value {
			t.Errorf("%s is %q, want %q", key, made[key], value)
		}
	}
	inputs := results(want(t, s, http.StatusOK, get("/api/templates/"+id(made)+"/template_inputs")))
	if len(inputs) != 2 || fmt.Sprint(inputs[0]["options"]) != "[ssh cron]" || inputs[0]["default"] != "cron" || inputs[0]["required"] != true ||
		inputs[1]["variable_name"] != "site" || inputs[1]["hidden_value"] != true {
		t.Errorf("%v", inputs)
	}
	if sets := want(t, s, http.StatusOK, get("/api/templates/"+id(made)+"/foreign_input_sets")); names(sets, "target_template_name") != "Run Command - Script Default" {
		t.Errorf("%v", sets)
	}
	if f := want(t, s, http.StatusOK, get("/api/remote_execution_features/puppet_run_host")); f["job_template_name"] != "Restart a service" {
		t.Errorf("the feature is %v", f)
	}
	e := want(t, s, http.StatusUnprocessableEntity, importing(file, nil))["error"].(object)
	if joined(e["full_messages"]) != "Name has already been taken" {
		t.Errorf("%v", e)
	}
}

func TestImport_Overwrites(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	made := want(t, s, http.StatusCreated, importing(file, object{"options": object{"lock": true}}))
	inputs := "/api/templates/" + id(made) + "/template_inputs"
	had := results(want(t, s, http.StatusOK, get(inputs)))
	second := strings.NewReplacer("job_category: Services", "job_category: Other", "- name: site", "- name: place", "restart <%=", "reload <%=").Replace(file)
	if made["locked"] != true {
		t.Error("not locked")
	}
	e := want(t, s, http.StatusUnprocessableEntity, importing(second, object{"overwrite": true}))["error"].(object)
	if !strings.Contains(joined(e["full_messages"]), "This template is locked.") {
		t.Errorf("%v", e)
	}
	now := want(t, s, http.StatusCreated, importing(second, object{"overwrite": true, "options": object{"force": "true"}}))
	if id(now) != id(made) || now["job_category"] != "Other" || now["locked"] != false || now["template"] != `systemctl reload <%= input("service") %>` {
		t.Errorf("%v", now)
	}
	have := results(want(t, s, http.StatusOK, get(inputs)))
	if len(have) != 2 || have[0]["id"] != had[0]["id"] || have[1]["name"] != "place" || have[1]["id"] == had[1]["id"] {
		t.Errorf("inputs %v, were %v", have, had)
	}
}

func TestImport_Refuses(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	for name, text := range map[string]string{
		"nothing": "", "no header": "echo", "no name": "<%#\nkind: job_template\n%>\necho", "another kind": strings.Replace(file, "kind: job_template", "kind: ptable", 1),
		"no YAML": "<%#\nname: [\n%>\necho", "another provider": strings.Replace(file, "provider_type: script", "provider_type: Ansible", 1),
		"input type": strings.Replace(file, "input_type: user", "input_type: zz", 1), "not closed": "<%#\nname: x\n", "no body": "<%#\nname: x\njob_category: y\n%>",
		"a set of nothing": strings.Replace(file, "template: Run Command - Script Default", "template: nobody", 1),
		"a call":           strings.Replace(file, "<%= input", "<%= system", 1),
	} {
		if a := s.Do(importing(text, nil)); a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, "full_messages") {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
}

func TestExport_ImportsAgain(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	made := want(t, s, http.StatusCreated, importing(file, nil))
	a := s.Do(get(templates + "/" + id(made) + "/export"))
	if a.Status != 200 || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" || a.Header.Get("Content-Disposition") != `attachment; filename="restart_a_service.erb"` {
		t.Fatalf("%d %v %s", a.Status, a.Header, a.Body)
	}
	if !strings.HasPrefix(a.Body, "<%#\n") || !strings.HasSuffix(a.Body, "%>\n\nsystemctl restart <%= input(\"service\") %>") {
		t.Errorf("%s", a.Body)
	}
	inputs := func(o object) string {
		var all []string
		for _, sub := range []string{"/template_inputs", "/foreign_input_sets"} {
			for _, row := range results(want(t, s, http.StatusOK, get("/api/templates/"+id(o)+sub))) {
				delete(row, "id")
				delete(row, "template_id")
				all = append(all, fmt.Sprint(row))
			}
		}
		return strings.Join(all, "\n")
	}
	before := inputs(made)
	want(t, s, http.StatusOK, del(templates+"/"+id(made)))
	again := want(t, s, http.StatusCreated, importing(a.Body, nil))
	if got := inputs(again); got != before {
		t.Errorf("%s\nwas\n%s", got, before)
	}
	for _, o := range []object{made, again} {
		for _, key := range []string{"id", "created_at", "updated_at", "template_inputs"} {
			delete(o, key)
		}
	}
	if fmt.Sprint(again) != fmt.Sprint(made) {
		t.Errorf("%v\nwas\n%v", again, made)
	}
}

// The default of a hidden input is no part of a file, and outlives one.
func TestImport_HiddenDefaultStays(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	const canary = "cAnArY-default"
	made := makeTemplate(t, s, "hides", object{"template_inputs_attributes": []object{{"name": "key", "input_type": "user", "hidden_value": true, "default": canary}}})
	exported := s.Do(get(templates + "/" + id(made) + "/export")).Body
	if strings.Contains(exported, canary) || strings.Contains(exported, "default:") {
		t.Errorf("%s", exported)
	}
	want(t, s, http.StatusCreated, importing(strings.Replace(exported, "required: false", "required: true", 1), object{"overwrite": true}))
	inputs := results(want(t, s, http.StatusOK, get("/api/templates/"+id(made)+"/template_inputs")))
	if len(inputs) != 1 || inputs[0]["required"] != true || inputs[0]["default"] != "********" {
		t.Errorf("%v", inputs)
	}
	// What is shown can be sent back.
	want(t, s, http.StatusOK, put("/api/templates/"+id(made)+"/template_inputs/key", object{"template_input": inputs[0]}))
	again := results(want(t, s, http.StatusOK, get("/api/templates/"+id(made)+"/template_inputs")))
	if fmt.Sprint(again) != fmt.Sprint(inputs) {
		t.Errorf("%v, was %v", again, inputs)
	}
	if strings.Contains(string(s.Stored()), canary) {
		t.Error("the default is in clear in the data folder")
	}
}

func TestFeatures(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	all := want(t, s, http.StatusOK, get("/api/remote_execution_features"))
	if names(all, "label") != "run_script,puppet_run_host" || names(all, "job_template_name") != "Run Command - Script Default,<nil>" || all["total"] != 2.0 {
		t.Errorf("%v", all)
	}
	script := results(all)[0]
	for _, ref := range []string{id(script), "run_script"} {
		if f := want(t, s, http.StatusOK, get("/api/remote_execution_features/"+ref)); fmt.Sprint(f) != fmt.Sprint(script) {
			t.Errorf("%v", f)
		}
	}
	change := func(template any) apitest.Request {
		return put("/api/remote_execution_features/puppet_run_host", object{"remote_execution_feature": object{"job_template_id": template}})
	}
	other := makeTemplate(t, s, "other", nil)
	if f := want(t, s, http.StatusOK, change(id(other))); f["job_template_id"] != other["id"] || f["job_template_name"] != "other" || f["host_action_button"] != true {
		t.Errorf("%v", f)
	}
	if found := want(t, s, http.StatusOK, get(templates+"?search=feature.label+%3D+puppet_run_host")); names(found, "name") != "other" {
		t.Errorf("%v", found)
	}
	wantBody(t, s, 422, `{"error":{"errors":{"job_template_id":["there is no template 777"]},"full_messages":["Job template there is no template 777"],"id":2}}`, change(777))
	snippet := makeTemplate(t, s, "snippet", object{"snippet": true})
	want(t, s, http.StatusUnprocessableEntity, change(snippet["id"]))
	if f := want(t, s, http.StatusOK, change(nil)); f["job_template_id"] != nil {
		t.Errorf("%v", f)
	}
	wantBody(t, s, 404, `{"error":{"message":"Resource remote_execution_feature not found by id 'zz'"}}`, get("/api/remote_execution_features/zz"))
	a := s.Do(get("/api/hosts/R1/available_remote_execution_features"))
	if a.Status != 200 || !strings.HasPrefix(a.Body, "[{") || strings.Contains(a.Body, "run_script") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
