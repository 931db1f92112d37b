package foreman_test

import (
	"fmt"
	"net/http"
	"testing"

	"drover/internal/api/apitest"
)

func TestInputs(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	tpl := makeTemplate(t, s, "tpl", nil)
	path := "/api/templates/" + id(tpl) + "/template_inputs"
	in := func(o object) object { return object{"template_input": o} }
	made := want(t, s, http.StatusCreated, post(path, in(object{"name": "word", "input_type": "user", "description": "what", "required": "true",
		"options": []string{"a", " b "}, "default": "b", "hidden_value": 1, "advanced": true})))
	for key, value := range (object{
		"name": "word", "input_type": "user", "template_id": tpl["id"], "fact_name": nil, "variable_name": nil, "puppet_parameter_name": nil,
		"puppet_class_name": nil, "description": "what", "required": true, "default": "********", "hidden_value": true, "options": []any{"a", "b"},
		"advanced": true, "value_type": "plain", "resource_type": nil,
	}) {
		if got, there := made[key]; !there || fmt.Sprint(got) != fmt.Sprint(value) {
			t.Errorf("%s is %v, want %v", key, got, value)
		}
	}
	fact := want(t, s, http.StatusCreated, post(path, in(object{"name": "os", "input_type": "fact", "fact_name": "kernel", "variable_name": "ignored"})))
	if fact["fact_name"] != "kernel" || fact["variable_name"] != nil || fact["options"] != nil || fact["default"] != nil {
		t.Errorf("%v", fact)
	}
	variable := want(t, s, http.StatusOK, put(path+"/"+id(fact), in(object{"input_type": "variable", "variable_name": "site"})))
	if variable["variable_name"] != "site" || variable["fact_name"] != nil || variable["name"] != "os" {
		t.Errorf("%v", variable)
	}
	all := want(t, s, http.StatusOK, get(path+"?per_page=all"))
	if names(all, "name") != "word,os" || all["total"] != 2.0 {
		t.Errorf("%v", all)
	}
	if one := want(t, s, http.StatusOK, get(path+"?search=input_type+%3D+variable")); names(one, "name") != "os" {
		t.Errorf("%v", one)
	}
	lines := want(t, s, http.StatusOK, put(path+"/word", in(object{"options": "x\r\n y \n\nz", "default": nil})))
	if fmt.Sprint(lines["options"]) != "[x y z]" || lines["default"] != nil {
		t.Errorf("%v", lines)
	}
	gone := want(t, s, http.StatusOK, del(path+"/"+id(made)))
	if gone["options"] != "x\ny\nz" || !isos.MatchString(fmt.Sprint(gone["created_at"])) || !isos.MatchString(fmt.Sprint(gone["updated_at"])) {
		t.Errorf("%v", gone)
	}
	wantBody(t, s, 404, `{"error":{"message":"Resource template_input not found by id '`+id(made)+`'"}}`, get(path+"/"+id(made)))
	wantBody(t, s, 404, `{"error":{"message":"Resource template not found by id '77'"}}`, get("/api/templates/77/template_inputs"))
}

func TestInputs_Invalid(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	tpl := makeTemplate(t, s, "tpl", nil)
	path := "/api/templates/" + id(tpl) + "/template_inputs"
	had := want(t, s, http.StatusCreated, post(path, object{"template_input": object{"name": "had", "input_type": "user"}}))
	for _, c := range []struct {
		attrs object
		full  string
	}{
		{object{}, "Name can't be blank; Input type can't be blank"},
		{object{"name": "had", "input_type": "user"}, "Name has already been taken"},
		{object{"name": "x", "input_type": "zz"}, "Input type is not included in the list"},
		{object{"name": "x", "input_type": "fact"}, "Fact name can't be blank"},
		{object{"name": "x", "input_type": "variable", "fact_name": "y"}, "Variable name can't be blank"},
		{object{"name": "x", "input_type": "user", "options": "a\nb", "default": "c"}, "Default is not included in the list"},
		{object{"name": "x", "input_type": "user", "value_type": "zz"}, "Value type is not included in the list"},
	} {
		e, _ := want(t, s, http.StatusUnprocessableEntity, post(path, object{"template_input": c.attrs}))["error"].(object)
		if joined(e["full_messages"]) != c.full || e["id"] != nil {
			t.Errorf("%v: %v", c.attrs, e)
		}
	}
	e, _ := want(t, s, http.StatusUnprocessableEntity, put(path+"/had", object{"template_input": object{"name": ""}}))["error"].(object)
	if e["id"] != had["id"] || joined(e["full_messages"]) != "Name can't be blank" {
		t.Errorf("%v", e)
	}
	want(t, s, http.StatusUnprocessableEntity, post(path, object{"template_input": object{"name": object{}, "input_type": "user"}}))
}

func TestInputs_NestedInATemplate(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	tpl := makeTemplate(t, s, "tpl", object{"template_inputs_attributes": object{
		"0": object{"name": "a", "input_type": "user"}, "1": object{"name": "b", "input_type": "user"}}})
	path := "/api/templates/" + id(tpl) + "/template_inputs"
	rows := results(want(t, s, http.StatusOK, get(path)))
	change := object{"job_template": object{"template_inputs_attributes": []object{
		{"id": rows[0]["id"], "required": true}, {"id": rows[1]["id"], "_destroy": "1"}, {"name": "c", "input_type": "user"}}}}
	want(t, s, http.StatusOK, put(templates+"/"+id(tpl), change))
	if now := want(t, s, http.StatusOK, get(path)); names(now, "name") != "a,c" || names(now, "required") != "true,false" {
		t.Errorf("%v", now)
	}
	other := makeTemplate(t, s, "other", nil)
	want(t, s, http.StatusUnprocessableEntity, put(templates+"/"+id(other), object{"job_template": object{"template_inputs_attributes": []object{{"id": rows[0]["id"], "name": "x"}}}}))
}

func TestInputSets(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	base := makeTemplate(t, s, "base", object{"template_inputs_attributes": []object{{"name": "a", "input_type": "user"}, {"name": "b", "input_type": "user"}}})
	tpl := makeTemplate(t, s, "tpl", nil)
	path := "/api/templates/" + id(tpl) + "/foreign_input_sets"
	set := func(o object) object { return object{"foreign_input_set": o} }
	made := want(t, s, http.StatusCreated, post(path, set(object{"target_template_id": id(base), "include_all": false, "include": "a, b", "exclude": "b"})))
	for key, value := range (object{"template_id": tpl["id"], "target_template_id": base["id"], "target_template_name": "base",
		"include_all": false, "include": "a,b", "exclude": "b"}) {
		if made[key] != value {
			t.Errorf("%s is %v, want %v", key, made[key], value)
		}
	}
	if shown := want(t, s, http.StatusOK, get(path+"/"+id(made))); fmt.Sprint(shown) != fmt.Sprint(made) {
		t.Errorf("%v", shown)
	}
	want(t, s, http.StatusOK, put(path+"/"+id(made), set(object{"include_all": true, "include": nil})))
	if all := want(t, s, http.StatusOK, get(path)); names(all, "include_all") != "true" || names(all, "include") != "<nil>" {
		t.Errorf("%v", all)
	}
	// Circles and templates that are not there.
	want(t, s, http.StatusUnprocessableEntity, post("/api/templates/"+id(base)+"/foreign_input_sets", set(object{"target_template_id": id(tpl)})))
	want(t, s, http.StatusUnprocessableEntity, post(path, set(object{"target_template_id": id(tpl)})))
	want(t, s, http.StatusUnprocessableEntity, post(path, set(object{"target_template_id": 777})))
	e := want(t, s, http.StatusUnprocessableEntity, post(path, set(object{})))["error"].(object)
	if joined(e["full_messages"]) != "Target template can't be blank" {
		t.Errorf("%v", e)
	}
	want(t, s, http.StatusOK, del(path+"/"+id(made)))
	want(t, s, http.StatusNotFound, get(path+"/"+id(made)))
}
