package foreman_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"drover/internal/api/apitest"
)

const templates = "/api/job_templates"

// aTemplate are the attributes of a template that is right.
func aTemplate(name string, more object) object {
	o := object{"name": name, "template": "echo <%= input(\"word\") %>\n", "job_category": "Commands", "provider_type": "script"}
	for k, v := range more {
		o[k] = v
	}
	return object{"job_template": o}
}

func makeTemplate(t *testing.T, s *apitest.Service, name string, more object) object {
	t.Helper()
	return want(t, s, http.StatusCreated, post(templates, aTemplate(name, more)))
}

func TestTemplates_CreateShowUpdateDelete(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	made := makeTemplate(t, s, "Say it", object{"description": "says", "description_format": "Say %{word}", "locked": false,
		"execution_timeout_interval": 60, "effective_user_attributes": object{"value": "bob", "overridable": false, "current_user": false},
		"template": "<%#\nname: Say it\n%>\r\necho\r\n", "location_ids": []int{2}, "organization_ids": []string{"1"},
		"template_inputs_attributes": []object{{"name": "word", "input_type": "user", "required": true}}})
	for key, value := range (object{
		"name": "Say it", "job_category": "Commands", "provider_type": "script", "snippet": false, "description_format": "Say %{word}",
		"description": "says", "template": "<%#\nname: Say it\n%>\necho\n", "locked": false, "cloned_from_id": nil, "audit_comment": nil,
		"execution_timeout_interval": 60.0,
	}) {
		if v, there := made[key]; !there || v != value {
			t.Errorf("%s is %v, want %v", key, v, value)
		}
	}
	for key, value := range map[string]string{
		"effective_user":  "map[current_user:false overridable:false value:bob]",
		"locations":       "[map[description:<nil> id:2 name:Default Location title:Default Location]]",
		"organizations":   "[map[description:<nil> id:1 name:Default Organization title:Default Organization]]",
		"template_inputs": "[map[id:3 input_type:user name:word]]", // two came with the installation
	} {
		if got := fmt.Sprint(made[key]); got != value {
			t.Errorf("%s is %s, want %s", key, got, value)
		}
	}
	for _, ref := range []string{id(made), id(made) + "-say-it", "Say%20it", id(made) + ".json"} {
		if got := want(t, s, http.StatusOK, get(templates+"/"+ref)); fmt.Sprint(got) != fmt.Sprint(made) {
			t.Errorf("%s shows %v, want %v", ref, got, made)
		}
	}
	changed := want(t, s, http.StatusOK, put(templates+"/"+id(made), object{"job_template": object{"description": nil, "job_category": "Other"}}))
	if changed["description"] != nil || changed["job_category"] != "Other" || changed["name"] != "Say it" {
		t.Errorf("a partial update makes %v", changed)
	}
	gone := want(t, s, http.StatusOK, del(templates+"/"+id(made)))
	for _, key := range []string{"id", "name", "template", "snippet", "template_kind_id", "created_at", "updated_at", "locked", "default", "vendor",
		"os_family", "job_category", "provider_type", "description_format", "execution_timeout_interval"} {
		if _, there := gone[key]; !there {
			t.Errorf("the deleted record has no %s: %v", key, gone)
		}
	}
	if !isos.MatchString(gone["created_at"].(string)) {
		t.Errorf("the record's created_at is %v", gone["created_at"])
	}
	wantBody(t, s, http.StatusNotFound, `{"error":{"message":"Resource job_template not found by id '`+id(made)+`'"}}`, get(templates+"/"+id(made)))
	wantBody(t, s, http.StatusNotFound, `{"error":{"message":"Resource job_template not found by id 'nobody'"}}`, del(templates+"/nobody"))
}

// What is sent twice comes back as it is stored, so that a second run of a
// playbook changes nothing.
func TestTemplates_ComeBackAsSent(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	for _, sent := range []object{
		{"provider_type": "SSH"}, {"description": ""}, {"description_format": ""}, {"description": nil}, {"snippet": true, "job_category": ""},
		{"location_ids": []int{}}, {"template": "  leading\n\n"}, {"description": " a \n b "}, {"effective_user_attributes": object{"value": "", "overridable": true, "current_user": true}},
	} {
		made := makeTemplate(t, s, "same", sent)
		for key, value := range sent {
			switch key {
			case "location_ids":
				key, value = "locations", []any{}
			case "effective_user_attributes":
				key = "effective_user"
			}
			if got := fmt.Sprint(made[key]); got != fmt.Sprint(value) {
				t.Errorf("%s: sent %q, shown %q", key, fmt.Sprint(value), got)
			}
		}
		if again := want(t, s, http.StatusOK, put(templates+"/"+id(made), aTemplate("same", sent))); again["updated_at"] != made["updated_at"] {
			t.Errorf("%v: the same again changes it", sent)
		}
		want(t, s, http.StatusOK, del(templates+"/"+id(made)))
	}
}

func TestTemplates_Invalid(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	taken := makeTemplate(t, s, "taken", nil)
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		name  string
		attrs object
		full  string // full_messages, joined by "; "
	}{
		{"everything at once", object{"name": "", "template": "", "job_category": " ", "provider_type": nil},
			"Name can't be blank; Template can't be blank; Job category can't be blank; Provider type can't be blank"},
		{"name taken", object{"name": "taken"}, "Name has already been taken"},
		{"name taken and more", object{"name": "taken", "template": ""}, "Name has already been taken; Template can't be blank"},
		{"long", object{"name": long, "description_format": long}, "Name is too long (maximum is 255 characters); Description format is too long (maximum is 255 characters)"},
		{"provider", object{"provider_type": "Ansible"}, "Provider type is not included in the list"},
		{"inputs twice", object{"template_inputs_attributes": []object{{"name": "a", "input_type": "user"}, {"name": "a", "input_type": "user"}}},
			`Duplicated inputs detected: ["a"]`},
		{"inputs", object{"template_inputs_attributes": []object{{"name": "", "input_type": "zz"}, {"name": "b"}, {"name": "c", "input_type": "fact"}}},
			"Template inputs name can't be blank; Template inputs input type is not included in the list; Template inputs input type can't be blank; Template inputs fact name can't be blank"},
		{"time limit", object{"execution_timeout_interval": -5}, "Execution timeout interval must be between 0 and 604800"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := decoded(s.Do(post(templates, aTemplate("fresh", c.attrs))))
			e, _ := o["error"].(object)
			if e == nil || e["id"] != nil || joined(e["full_messages"]) != c.full {
				t.Errorf("%v\nwant %s", o, c.full)
			}
		})
	}
	want(t, s, http.StatusUnprocessableEntity, post(templates, aTemplate("fresh", object{"template": "<% system('x') %>"})))
	want(t, s, http.StatusUnprocessableEntity, post(templates, aTemplate("fresh", object{"location_ids": []int{77}})))
	want(t, s, http.StatusUnprocessableEntity, post(templates, object{"job_template": "x"}))
	want(t, s, http.StatusUnprocessableEntity, post(templates, aTemplate("fresh", object{"locked": "perhaps"})))
	bad := want(t, s, http.StatusUnprocessableEntity, put(templates+"/"+id(taken), object{"job_template": object{"name": ""}}))
	if e := bad["error"].(object); e["id"] != taken["id"] || joined(e["full_messages"]) != "Name can't be blank" {
		t.Errorf("an invalid update: %v", bad)
	}
	want(t, s, http.StatusUnprocessableEntity, put(templates+"/"+id(taken), object{}))
	if n := want(t, s, http.StatusOK, get(templates+"?search=name+%3D+fresh")); n["subtotal"] != 0.0 {
		t.Errorf("what was refused is there: %v", n)
	}
}

func joined(v any) string {
	var all []string
	list, _ := v.([]any)
	for _, e := range list {
		all = append(all, fmt.Sprint(e))
	}
	return strings.Join(all, "; ")
}

func TestTemplates_Locked(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	made := makeTemplate(t, s, "locked", object{"locked": true, "template_inputs_attributes": []object{{"name": "a", "input_type": "user"}}})
	path := templates + "/" + id(made)
	inputs := "/api/templates/" + id(made) + "/template_inputs"
	const customize = "This template is locked. Please clone it to a new template to customize."
	for _, c := range []struct {
		q    apitest.Request
		full string
	}{
		{put(path, object{"job_template": object{"name": "other"}}), customize},
		{put(path, object{"job_template": object{"name": "other", "locked": true}}), customize},
		{del(path), "This template is locked and may not be removed."},
		{post(inputs, object{"template_input": object{"name": "b", "input_type": "user"}}), customize},
		{put(inputs+"/a", object{"template_input": object{"required": true}}), customize},
		{del(inputs + "/a"), customize},
	} {
		if e := want(t, s, http.StatusUnprocessableEntity, c.q)["error"].(object); joined(e["full_messages"]) != c.full {
			t.Errorf("%s %s: %v", c.q.Method, c.q.Path, e)
		}
	}
	want(t, s, http.StatusOK, put(path, object{"job_template": object{"name": "locked"}})) // changes nothing
	want(t, s, http.StatusOK, put(path, object{"job_template": object{"name": "open", "locked": false}}))
	want(t, s, http.StatusOK, put(path, object{"job_template": object{"name": "locked", "locked": true}}))
}

func TestTemplates_Clone(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	made := makeTemplate(t, s, "first", object{"locked": true, "description": "d", "location_ids": []int{}, "provider_type": "SSH",
		"template_inputs_attributes": []object{{"name": "a", "input_type": "user", "default": "x"}}})
	path := templates + "/" + id(made) + "/clone"
	for _, name := range []any{"", nil, "first"} {
		want(t, s, http.StatusUnprocessableEntity, post(path, object{"job_template": object{"name": name}}))
	}
	clone := want(t, s, http.StatusCreated, post(path, object{"job_template": object{"name": "second"}}))
	if clone["locked"] != false || clone["cloned_from_id"] != made["id"] || clone["id"] == made["id"] {
		t.Errorf("the clone is %v", clone)
	}
	for _, key := range []string{"template", "job_category", "description", "provider_type", "locations", "effective_user"} {
		if fmt.Sprint(clone[key]) != fmt.Sprint(made[key]) {
			t.Errorf("%s is not copied: %v", key, clone[key])
		}
	}
	inputs := want(t, s, http.StatusOK, get("/api/templates/"+id(clone)+"/template_inputs"))
	if names(inputs, "name") != "a" || names(inputs, "default") != "x" || names(inputs, "id") == "1" {
		t.Errorf("the clone's inputs are %v", inputs)
	}
}

func TestTemplates_Index(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	for i := range 25 {
		makeTemplate(t, s, fmt.Sprintf("many %02d", 24-i), object{"job_category": "Bulk", "snippet": i%2 == 0})
	}
	search := func(query string) object {
		t.Helper()
		return want(t, s, http.StatusOK, get(templates+"?"+query))
	}
	first := search("search=job_category+%3D+Bulk")
	if first["subtotal"] != 25.0 || first["page"] != 1.0 || first["per_page"] != 20.0 || first["search"] != "job_category = Bulk" || len(results(first)) != 20 {
		t.Errorf("%v", first)
	}
	if names(first, "name")[:15] != "many 00,many 01" {
		t.Errorf("not in order of name: %s", names(first, "name"))
	}
	row := results(first)[0]
	for _, key := range []string{"id", "name", "job_category", "provider_type", "snippet", "description_format", "created_at", "updated_at"} {
		if _, there := row[key]; !there || len(row) != 8 {
			t.Errorf("the row is %v", row)
		}
	}
	for query, want := range map[string]string{
		"search=job_category+%3D+Bulk&page=2&per_page=20":                    "many 20,many 21,many 22,many 23,many 24",
		"search=job_category+%3D+Bulk&page=3":                                "",
		"search=many&order=name+DESC&per_page=2":                             "many 24,many 23",
		"search=name%3D%22many+07%22&per_page=4294967296":                    "many 07",
		"search=snippet+%3D+false+and+name+~+many&per_page=2":                "many 01,many 03",
		"search=name+%3D+%22many+03%22+and+locked+%3D+false&per_page=all":    "many 03",
		"search=name+%3D+%22many+03%22&location_id=2&organization_id=1&page": "many 03",
	} {
		if got := names(search(query), "name"); got != want {
			t.Errorf("%s finds %s, want %s", query, got, want)
		}
	}
	if all := search("per_page=all"); all["per_page"] != all["total"] || len(results(all)) != int(all["total"].(float64)) {
		t.Errorf("per_page=all: %v of %v", all["per_page"], all["total"])
	}
	if sorted := search("order=name"); fmt.Sprint(sorted["sort"]) != "map[by:name order:ASC]" || sorted["search"] != nil {
		t.Errorf("sort is %v", sorted["sort"])
	}
	for _, path := range []string{"/api/locations/2/job_templates", "/api/organizations/1/job_templates", "/api/v2/job_templates", "/api/v1/job_templates/", templates + ".json"} {
		if got := want(t, s, http.StatusOK, get(path)); got["total"] != first["total"] {
			t.Errorf("%s lists %v", path, got["total"])
		}
	}
	for query, status := range map[string]int{"search=zz+%3D+1": 400, "order=zz": 400, "search=id+%3D+x": 400, "page=0": 422, "per_page=x": 422, "per_page=-1": 422} {
		a := s.Do(get(templates + "?" + query))
		if a.Status != status || status == 400 && !strings.Contains(a.Body, `"class":"ScopedSearch::QueryNotSupported"`) {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
	wantBody(t, s, 400, `{"error":{"class":"ScopedSearch::QueryNotSupported","message":"Field 'zz' not recognized for searching!"}}`, get(templates+"?search=zz+%3D+1"))
}
