package foreman

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/search"
)

func inputRoutes() []route {
	const path = "/api/templates/:template_id/template_inputs"
	parent := identifier("template_id")
	one := []string{path + "/:id"}
	return []route{
		{method: http.MethodGet, paths: []string{path}, resource: "template_inputs", action: "index", short: "List template inputs",
			needs: job.ActRead, permission: "view_job_templates", params: withPage(parent), handle: (*server).listInputs},
		{method: http.MethodGet, paths: one, resource: "template_inputs", action: "show", short: "Show template input details",
			needs: job.ActRead, permission: "view_job_templates", params: []param{parent, identifier("id")}, handle: (*server).showInput},
		{method: http.MethodPost, paths: []string{path}, resource: "template_inputs", action: "create", short: "Create a template input",
			needs: job.ActChange, permission: "edit_job_templates",
			params: []param{parent, hash("template_input", "", inputParams(true)...).must()}, handle: (*server).createInput},
		{method: http.MethodPut, paths: one, resource: "template_inputs", action: "update", short: "Update a template input",
			needs: job.ActChange, permission: "edit_job_templates",
			params: []param{parent, identifier("id"), hash("template_input", "", inputParams(false)...).must()}, handle: (*server).updateInput},
		{method: http.MethodDelete, paths: one, resource: "template_inputs", action: "destroy", short: "Delete a template input",
			needs: job.ActChange, permission: "edit_job_templates", params: []param{parent, identifier("id")}, handle: (*server).deleteInput},
	}
}

func inputParams(create bool) []param {
	must := func(p param) param { p.required = create; return p }
	return []param{
		must(str("name", "Input name")), str("description", "Input description").null(), boolean("required", "Input is required").null(),
		boolean("advanced", "Input is advanced").null(), must(str("input_type", "Input type").oneOf("user", "fact", "variable")),
		str("fact_name", "Fact name, used when input type is fact").null(), str("variable_name", "Variable name, used when input type is variable").null(),
		array("options", "Selectable values for user inputs").null(), str("default", "Default value for user input").null(),
		boolean("hidden_value", "The value contains sensitive information and should not be normally visible, useful e.g. for passwords").null(),
		str("value_type", "Value type, defaults to plain").oneOf(valueTypes...).null(), str("resource_type", "For values of type search, this is the resource the value searches in").null(),
	}
}

// valueTypes are hints for forms; the first is that of inputs that say nothing.
var valueTypes = []string{"plain", "search", "date", "resource"}

// inputFields is what a search can ask of an input.
var inputFields = search.Schema{
	{Name: "name", Default: true, Get: func(v any, _ string) []string { return []string{v.(job.Input).Name} }},
	{Name: "input_type", Get: func(v any, _ string) []string { return []string{string(v.(job.Input).Kind)} }},
	{Name: "id", Type: search.Integer, ID: true, Get: func(v any, _ string) []string { return []string{strconv.FormatInt(v.(job.Input).ID, 10)} }},
}

func (s *server) listInputs(c *call) (answer, error) {
	t, err := s.template(c, "template_id", "template")
	if err != nil {
		return answer{}, err
	}
	return collection(s, c, t.Inputs, inputFields, "id", func(in job.Input) any { return inputRow(t.ID, in) })
}

// input returns the template and the input that a path names, by id or name.
func (s *server) input(c *call) (dispatch.TemplateView, job.Input, error) {
	t, err := s.template(c, "template_id", "template")
	if err != nil {
		return t, job.Input{}, err
	}
	n, _ := c.leadingNumber("id")
	for _, by := range []func(job.Input) bool{
		func(in job.Input) bool { return in.ID == n },
		func(in job.Input) bool { return in.Name == c.path("id") },
	} {
		if i := slices.IndexFunc(t.Inputs, by); i >= 0 {
			return t, t.Inputs[i], nil
		}
	}
	return t, job.Input{}, notFound("template_input", c.path("id"))
}

func (s *server) showInput(c *call) (answer, error) {
	t, in, err := s.input(c)
	return ok(inputRow(t.ID, in)), err
}

func (s *server) createInput(c *call) (answer, error) {
	t, err := s.template(c, "template_id", "template")
	if err != nil {
		return answer{}, err
	}
	in, err := s.editInput(c, t.ID, 0)
	return created(inputRow(t.ID, in)), err
}

func (s *server) updateInput(c *call) (answer, error) {
	t, in, err := s.input(c)
	if err != nil {
		return answer{}, err
	}
	in, err = s.editInput(c, t.ID, in.ID)
	return ok(inputRow(t.ID, in)), err
}

// editInput applies a request to the input id of a template, 0 for a new one.
func (s *server) editInput(c *call, template, id int64) (job.Input, error) {
	o, err := c.root("template_input")
	if err != nil {
		return job.Input{}, err
	}
	name := ""
	v, err := s.Dispatch.EditTemplate(c.ctx(), c.who, template, unlessLocked(func(t *job.Template) error {
		var ps problems
		in := job.Input{ID: id}
		i := slices.IndexFunc(t.Inputs, func(in job.Input) bool { return in.ID == id })
		switch {
		case id == 0:
			t.Inputs = append(t.Inputs, in)
			i = len(t.Inputs) - 1
		case i < 0:
			return notFound("template_input", c.path("id"))
		}
		if err := changeInput(&t.Inputs[i], o, "", &ps); err != nil {
			return err
		}
		if len(duplicates(t.Inputs)) > 0 {
			ps.add("name", "has already been taken")
		}
		name = t.Inputs[i].Name
		return ps.asError(id)
	}))
	if err != nil {
		return job.Input{}, templateError(orNotFound(err, "template", c.path("template_id")), id)
	}
	i := slices.IndexFunc(v.Inputs, func(in job.Input) bool { return in.Name == name })
	if i < 0 { // somebody was faster and removed it
		return job.Input{}, notFound("template_input", name)
	}
	return v.Inputs[i], nil
}

func (s *server) deleteInput(c *call) (answer, error) {
	t, in, err := s.input(c)
	if err != nil {
		return answer{}, err
	}
	_, err = s.Dispatch.EditTemplate(c.ctx(), c.who, t.ID, unlessLocked(func(t *job.Template) error {
		t.Inputs = slices.DeleteFunc(t.Inputs, func(o job.Input) bool { return o.ID == in.ID })
		return nil
	}))
	return ok(rawInput(t.ID, in)), templateError(orNotFound(err, "template", c.path("template_id")), in.ID)
}

// changeInputs applies one entry of template_inputs_attributes.
func changeInputs(t *job.Template, o object, ps *problems) error {
	r := &reader{object: o}
	var id int64
	var destroy bool
	r.integer("id", &id)
	r.flag("_destroy", &destroy)
	if r.err != nil {
		return r.err
	}
	i := slices.IndexFunc(t.Inputs, func(in job.Input) bool { return in.ID == id })
	switch {
	case id == 0 && destroy:
		return nil
	case id == 0:
		t.Inputs = append(t.Inputs, job.Input{})
		i = len(t.Inputs) - 1
	case i < 0:
		return unprocessable("Couldn't find TemplateInput with ID=%d for JobTemplate with ID=%d", id, t.ID)
	case destroy:
		t.Inputs = slices.Delete(t.Inputs, i, i+1)
		return nil
	}
	return changeInput(&t.Inputs[i], o, "template_inputs.", ps)
}

// changeInput applies attributes to an input and collects what is wrong with it.
func changeInput(in *job.Input, o object, prefix string, ps *problems) error {
	r := &reader{object: o}
	kind, was := string(in.Kind), in.Kind
	r.text("name", &in.Name)
	r.text("input_type", &kind)
	if in.Kind = job.InputKind(kind); in.Kind != was {
		in.Source = ""
	}
	if key := sourceKeys[in.Kind]; key != "" {
		r.text(key, &in.Source)
	}
	r.text("description", &in.Description)
	r.flag("required", &in.Required)
	r.flag("advanced", &in.Advanced)
	r.flag("hidden_value", &in.Hidden)
	r.lines("options", &in.Options)
	if r.has("default") {
		var d string
		if r.text("default", &d); r.get("default").null() {
			in.Default = nil
		} else {
			in.Default = &d
		}
	}
	r.text("value_type", &in.ValueType)
	r.text("resource_type", &in.Resource)
	if r.err != nil {
		return r.err
	}
	checkInput(*in, prefix, ps)
	return nil
}

// sourceKeys are the attributes that say where a value comes from.
var sourceKeys = map[job.InputKind]string{job.InputFact: "fact_name", job.InputVariable: "variable_name"}

func checkInput(in job.Input, prefix string, ps *problems) {
	ps.blank(prefix+"name", in.Name)
	ps.short(prefix+"name", in.Name)
	switch in.Kind {
	case job.InputUser, job.InputFact, job.InputVariable:
	case "":
		ps.add(prefix+"input_type", "can't be blank")
	default:
		ps.add(prefix+"input_type", "is not included in the list")
	}
	if key := sourceKeys[in.Kind]; key != "" {
		ps.blank(prefix+key, in.Source)
	}
	if in.Default != nil && *in.Default != "" && in.Kind == job.InputUser && !in.Offers(*in.Default) {
		ps.add(prefix+"default", "is not included in the list")
	}
	if in.ValueType != "" && !slices.Contains(valueTypes, in.ValueType) {
		ps.add(prefix+"value_type", "is not included in the list")
	}
}

// inputRow is an input.
func inputRow(template int64, in job.Input) fields {
	var options any
	if len(in.Options) > 0 {
		options = in.Options
	}
	return fields{
		"id": in.ID, "name": in.Name, "input_type": string(in.Kind), "template_id": template,
		"fact_name": sourceOf(in, job.InputFact), "variable_name": sourceOf(in, job.InputVariable), "puppet_parameter_name": nil, "puppet_class_name": nil,
		"description": orNull(in.Description), "required": in.Required, "advanced": in.Advanced, "default": in.Default, "hidden_value": in.Hidden,
		"options": options, "value_type": orPlain(in.ValueType), "resource_type": orNull(in.Resource),
	}
}

// sourceOf is where an input of this kind takes its value from; null for others.
func sourceOf(in job.Input, kind job.InputKind) any {
	if in.Kind != kind {
		return nil
	}
	return orNull(in.Source)
}

// rawInput is the record of an input.
func rawInput(template int64, in job.Input) fields {
	out := inputRow(template, in)
	out["options"] = orNull(strings.Join(in.Options, "\n"))
	out["created_at"], out["updated_at"] = iso(in.Created), iso(in.Updated)
	return out
}

func orPlain(valueType string) string {
	if valueType == "" {
		return valueTypes[0]
	}
	return valueType
}

// orNull is a text, or null for none.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
