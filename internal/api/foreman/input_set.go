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

func inputSetRoutes() []route {
	const path = "/api/templates/:template_id/foreign_input_sets"
	parent := identifier("template_id")
	one := []string{path + "/:id"}
	return []route{
		{method: http.MethodGet, paths: []string{path}, resource: "foreign_input_sets", action: "index", short: "List foreign input sets",
			needs: job.ActRead, permission: "view_job_templates", params: withPage(parent), handle: (*server).listSets},
		{method: http.MethodGet, paths: one, resource: "foreign_input_sets", action: "show", short: "Show foreign input set details",
			needs: job.ActRead, permission: "view_job_templates", params: []param{parent, identifier("id")}, handle: (*server).showSet},
		{method: http.MethodPost, paths: []string{path}, resource: "foreign_input_sets", action: "create", short: "Create a foreign input set",
			needs: job.ActChange, permission: "edit_job_templates",
			params: []param{parent, hash("foreign_input_set", "", setParams(true)...).must()}, handle: (*server).createSet},
		{method: http.MethodPut, paths: one, resource: "foreign_input_sets", action: "update", short: "Update a foreign input set",
			needs: job.ActChange, permission: "edit_job_templates",
			params: []param{parent, identifier("id"), hash("foreign_input_set", "", setParams(false)...).must()}, handle: (*server).updateSet},
		{method: http.MethodDelete, paths: one, resource: "foreign_input_sets", action: "destroy", short: "Delete a foreign input set",
			needs: job.ActChange, permission: "edit_job_templates", params: []param{parent, identifier("id")}, handle: (*server).deleteSet},
	}
}

func setParams(create bool) []param {
	target := str("target_template_id", "Target template ID")
	target.required = create
	return []param{target, boolean("include_all", "Include all inputs from the foreign template").null(),
		str("include", "A comma separated list of input names to be included from the foreign template.").null(),
		str("exclude", "A comma separated list of input names to be excluded from the foreign template.").null()}
}

// setFields is what a search can ask of a foreign input set.
var setFields = search.Schema{
	{Name: "id", Type: search.Integer, ID: true, Get: func(v any, _ string) []string { return []string{strconv.FormatInt(v.(job.Include).ID, 10)} }},
	{Name: "target_template_id", Type: search.Integer, ID: true, Get: func(v any, _ string) []string {
		return []string{strconv.FormatInt(v.(job.Include).TemplateID, 10)}
	}},
}

func (s *server) listSets(c *call) (answer, error) {
	t, err := s.template(c, "template_id", "template")
	if err != nil {
		return answer{}, err
	}
	return collection(s, c, t.Includes, setFields, "id", func(inc job.Include) any { return setRow(t, inc) })
}

// set returns the template and the foreign input set that a path names.
func (s *server) set(c *call) (dispatch.TemplateView, job.Include, error) {
	t, err := s.template(c, "template_id", "template")
	if err != nil {
		return t, job.Include{}, err
	}
	n, _ := c.leadingNumber("id")
	i := slices.IndexFunc(t.Includes, func(inc job.Include) bool { return inc.ID == n })
	if i < 0 {
		return t, job.Include{}, notFound("foreign_input_set", c.path("id"))
	}
	return t, t.Includes[i], nil
}

func (s *server) showSet(c *call) (answer, error) {
	t, inc, err := s.set(c)
	return ok(setRow(t, inc)), err
}

func (s *server) createSet(c *call) (answer, error) {
	t, err := s.template(c, "template_id", "template")
	if err != nil {
		return answer{}, err
	}
	row, err := s.editSet(c, t.ID, 0)
	return created(row), err
}

func (s *server) updateSet(c *call) (answer, error) {
	t, inc, err := s.set(c)
	if err != nil {
		return answer{}, err
	}
	row, err := s.editSet(c, t.ID, inc.ID)
	return ok(row), err
}

// editSet applies a request to the foreign input set id of a template, 0 for a
// new one, and returns it.
func (s *server) editSet(c *call, template, id int64) (fields, error) {
	o, err := c.root("foreign_input_set")
	if err != nil {
		return nil, err
	}
	at := 0
	v, err := s.Dispatch.EditTemplate(c.ctx(), c.who, template, unlessLocked(func(t *job.Template) error {
		var ps problems
		at = slices.IndexFunc(t.Includes, func(inc job.Include) bool { return inc.ID == id })
		switch {
		case id == 0:
			t.Includes = append(t.Includes, job.Include{All: true})
			at = len(t.Includes) - 1
		case at < 0:
			return notFound("foreign_input_set", c.path("id"))
		}
		if err := changeSet(&t.Includes[at], o, "", &ps); err != nil {
			return err
		}
		return ps.asError(id)
	}))
	if err != nil {
		return nil, templateError(orNotFound(err, "template", c.path("template_id")), id)
	}
	if at >= len(v.Includes) { // somebody was faster and removed it
		return nil, notFound("foreign_input_set", c.path("id"))
	}
	return setRow(v, v.Includes[at]), nil
}

func (s *server) deleteSet(c *call) (answer, error) {
	t, inc, err := s.set(c)
	if err != nil {
		return answer{}, err
	}
	_, err = s.Dispatch.EditTemplate(c.ctx(), c.who, t.ID, unlessLocked(func(t *job.Template) error {
		t.Includes = slices.DeleteFunc(t.Includes, func(o job.Include) bool { return o.ID == inc.ID })
		return nil
	}))
	return ok(setRow(t, inc)), templateError(orNotFound(err, "template", c.path("template_id")), inc.ID)
}

// changeSets applies one entry of foreign_input_sets_attributes.
func changeSets(t *job.Template, o object, ps *problems) error {
	r := &reader{object: o}
	var id int64
	var destroy bool
	r.integer("id", &id)
	r.flag("_destroy", &destroy)
	if r.err != nil {
		return r.err
	}
	i := slices.IndexFunc(t.Includes, func(inc job.Include) bool { return inc.ID == id })
	switch {
	case id == 0 && destroy:
		return nil
	case id == 0:
		t.Includes = append(t.Includes, job.Include{All: true})
		i = len(t.Includes) - 1
	case i < 0:
		return unprocessable("Couldn't find ForeignInputSet with ID=%d for JobTemplate with ID=%d", id, t.ID)
	case destroy:
		t.Includes = slices.Delete(t.Includes, i, i+1)
		return nil
	}
	return changeSet(&t.Includes[i], o, "foreign_input_sets.", ps)
}

// changeSet applies attributes to a foreign input set and collects what is wrong.
func changeSet(inc *job.Include, o object, prefix string, ps *problems) error {
	r := &reader{object: o}
	only, except := strings.Join(inc.Only, ","), strings.Join(inc.Except, ",")
	r.integer("target_template_id", &inc.TemplateID)
	r.flag("include_all", &inc.All)
	r.text("include", &only)
	r.text("exclude", &except)
	if r.err != nil {
		return r.err
	}
	inc.Only, inc.Except = split(only, ","), split(except, ",")
	if inc.TemplateID == 0 {
		ps.add(prefix+"target_template_id", "can't be blank")
	}
	return nil
}

// setRow is a foreign input set of a template.
func setRow(t dispatch.TemplateView, inc job.Include) fields {
	return fields{
		"id": inc.ID, "template_id": t.ID, "target_template_id": inc.TemplateID, "target_template_name": orNull(t.IncludeNames[inc.TemplateID]),
		"include_all": inc.All, "include": orNull(strings.Join(inc.Only, ",")), "exclude": orNull(strings.Join(inc.Except, ",")),
	}
}
