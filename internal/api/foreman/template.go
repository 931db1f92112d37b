package foreman

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/search"
)

// extraKey is the family's key in what objects keep for it.
const extraKey = "foreman"

// templateExtra is what only Foreman knows of a template.
type templateExtra struct {
	Provider string `json:"provider_type,omitempty"` // as it was sent; "": script
	Default  bool   `json:"default,omitempty"`       // came with the installation
	// Locations and Organizations are the ids that it was given; null: the one
	// that there is.
	Locations     []int64 `json:"locations"`
	Organizations []int64 `json:"organizations"`
	// Empty are the attributes that are "" and not null.
	Empty []string `json:"empty,omitempty"`
}

func templateExtraOf(t job.Template) templateExtra {
	var x templateExtra
	if raw, ok := t.Extra[extraKey]; ok && json.Unmarshal(raw, &x) != nil {
		x = templateExtra{}
	}
	if x.Provider == "" {
		x.Provider = providerScript
	}
	return x
}

func setExtra(t *job.Template, x templateExtra) {
	if t.Extra == nil {
		t.Extra = map[string]json.RawMessage{}
	}
	t.Extra[extraKey] = encode(x)
}

// The providers. SSH is what older versions call script.
const (
	providerScript = "script"
	providerSSH    = "SSH"
)

// maxString is the longest text of an attribute that is a line.
const maxString = 255

func templateRoutes() []route {
	const path = "/api/job_templates"
	one := []string{path + "/:id"}
	create := templateParams(true)
	return []route{
		{method: http.MethodGet, paths: []string{path, "/api/locations/:location_id/job_templates", "/api/organizations/:organization_id/job_templates"},
			resource: "job_templates", action: "index", short: "List job templates", needs: job.ActRead, permission: "view_job_templates",
			params: pageParams(), handle: (*server).listTemplates},
		{method: http.MethodGet, paths: one, resource: "job_templates", action: "show", short: "Show job template details",
			needs: job.ActRead, permission: "view_job_templates", params: []param{identifier("id")}, handle: (*server).showTemplate},
		{method: http.MethodPost, paths: []string{path}, resource: "job_templates", action: "create", short: "Create a job template",
			needs: job.ActChange, permission: "create_job_templates", params: []param{hash("job_template", "", create...).must()}, handle: (*server).createTemplate},
		{method: http.MethodPut, paths: one, resource: "job_templates", action: "update", short: "Update a job template",
			needs: job.ActChange, permission: "edit_job_templates",
			params: []param{identifier("id"), hash("job_template", "", templateParams(false)...).must()}, handle: (*server).updateTemplate},
		{method: http.MethodDelete, paths: one, resource: "job_templates", action: "destroy", short: "Delete a job template",
			needs: job.ActChange, permission: "destroy_job_templates", params: []param{identifier("id")}, handle: (*server).deleteTemplate},
		{method: http.MethodPost, paths: []string{path + "/:id/clone"}, resource: "job_templates", action: "clone", short: "Clone a provision template",
			needs: job.ActChange, permission: "create_job_templates",
			params: []param{identifier("id"), hash("job_template", "", str("name", "Template name").must()).must()}, handle: (*server).cloneTemplate},
		{method: http.MethodPost, paths: []string{path + "/import"}, resource: "job_templates", action: "import", short: "Import a job template from ERB",
			needs: job.ActChange, permission: "create_job_templates",
			params: []param{str("template", "Template ERB").must(), boolean("overwrite", "Overwrite template if it already exists"),
				hash("options", "Additional options", boolean("force", "use if you want update locked templates"), boolean("lock", "lock imported templates (false by default)"),
					boolean("default", "makes the template default meaning it will be automatically associated with newly created organizations and locations (false by default)"),
					str("associate", "determines when the template should associate objects based on metadata").oneOf("new", "always", "never"))},
			handle: (*server).importTemplate},
		{method: http.MethodGet, paths: []string{path + "/:id/export"}, resource: "job_templates", action: "export", short: "Export a job template to ERB",
			needs: job.ActRead, permission: "view_job_templates", params: []param{identifier("id")}, handle: (*server).exportTemplate},
	}
}

// templateParams are the attributes of a template that clients may send.
func templateParams(create bool) []param {
	must := func(p param) param { p.required = create; return p }
	return []param{
		must(str("name", "Template name")), str("description", "").null(), must(str("job_category", "Job category")),
		str("description_format", "This template is used to generate the description. Input values can be used using the syntax %{package}.").null(),
		must(str("template", "")), must(str("provider_type", "").oneOf(providerScript, providerSSH)), boolean("snippet", "").null(),
		str("audit_comment", "").null(), boolean("locked", "Whether or not the template is locked for editing").null(),
		num("execution_timeout_interval", "Seconds after which a script is stopped").null(),
		str("stop_after", "Drover: the number of failed hosts, or the percentage of all (10%), after which no more are started").null(),
		hash("effective_user_attributes", "Effective user options", str("value", "What user should be used to run the script (using sudo-like mechanisms)").null(),
			boolean("overridable", "Whether it should be allowed to override the effective user from the job invocation form.").null(),
			boolean("current_user", "Whether the current user login should be used as the effective user").null()).null(),
		array("location_ids", "REPLACE locations with given ids").null(), array("organization_ids", "REPLACE organizations with given ids.").null(),
	}
}

// templateRow is a template in lists, with what searches ask of it.
type templateRow struct {
	job.Template
	extra    templateExtra
	features []job.Feature // that it does
}

func (s *server) listTemplates(c *call) (answer, error) {
	does := map[int64][]job.Feature{}
	if strings.Contains(c.text("search"), "feature") {
		all, err := s.Dispatch.Features(c.ctx(), c.who)
		if err != nil {
			return answer{}, err
		}
		for _, f := range all {
			does[f.TemplateID] = append(does[f.TemplateID], f)
		}
	}
	var rows []templateRow
	err := s.Dispatch.AllTemplates(c.ctx(), c.who, func(t job.Template) error {
		rows = append(rows, templateRow{t, templateExtraOf(t), does[t.ID]})
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	return collection(s, c, rows, templateFields, "name", func(r templateRow) any { return summary(r.Template) })
}

// templateFields is what a search can ask of a template.
var templateFields = func() search.Schema {
	field := func(name string, f search.Field, get func(templateRow) []string) search.Field {
		f.Name, f.Get = name, func(t any, _ string) []string { return get(t.(templateRow)) }
		return f
	}
	one := func(get func(templateRow) string) func(templateRow) []string {
		return func(r templateRow) []string { return []string{get(r)} }
	}
	each := func(get func(job.Feature) string) func(templateRow) []string {
		return func(r templateRow) []string {
			var all []string
			for _, f := range r.features {
				all = append(all, get(f))
			}
			return all
		}
	}
	text, searched, id := search.Field{}, search.Field{Default: true}, search.Field{Type: search.Integer, ID: true}
	truth, moment := search.Field{Type: search.Bool}, search.Field{Type: search.Time}
	within := func(t taxonomy, ids func(templateExtra) []int64, show func(taxonomy) string) func(templateRow) []string {
		return func(r templateRow) []string {
			if given := ids(r.extra); given != nil && len(given) == 0 {
				return nil
			}
			return []string{show(t)}
		}
	}
	locations := func(x templateExtra) []int64 { return x.Locations }
	organizations := func(x templateExtra) []int64 { return x.Organizations }
	name := func(t taxonomy) string { return t.name }
	number := func(t taxonomy) string { return strconv.FormatInt(t.id, 10) }
	return search.Schema{
		field("name", searched, one(func(r templateRow) string { return r.Name })),
		field("job_category", searched, one(func(r templateRow) string { return r.Category })),
		field("provider_type", text, one(func(r templateRow) string { return r.extra.Provider })),
		field("template", text, one(func(r templateRow) string { return r.Body })),
		field("description", text, one(func(r templateRow) string { return r.Description })),
		field("id", id, one(func(r templateRow) string { return strconv.FormatInt(r.ID, 10) })),
		field("locked", truth, one(func(r templateRow) string { return strconv.FormatBool(r.Locked) })),
		field("snippet", truth, one(func(r templateRow) string { return strconv.FormatBool(r.Snippet) })),
		field("default", truth, one(func(r templateRow) string { return strconv.FormatBool(r.extra.Default) })),
		field("created_at", moment, one(func(r templateRow) string { return r.Created.UTC().Format(time.RFC3339Nano) })),
		field("updated_at", moment, one(func(r templateRow) string { return r.Updated.UTC().Format(time.RFC3339Nano) })),
		field("feature.name", text, each(func(f job.Feature) string { return f.Title })),
		field("feature.label", text, each(func(f job.Feature) string { return f.Name })),
		field("location", text, within(theLocation, locations, name)),
		field("location_id", id, within(theLocation, locations, number)),
		field("organization", text, within(theOrganization, organizations, name)),
		field("organization_id", id, within(theOrganization, organizations, number)),
	}
}()

// template returns the template that a part of the path names: by id, by an id
// with a name behind it, or by name.
func (s *server) template(c *call, part, resource string) (dispatch.TemplateView, error) {
	if n, ok := c.leadingNumber(part); ok {
		v, err := s.Dispatch.Template(c.ctx(), c.who, n)
		if job.CodeOf(err) != job.NotFound {
			return v, err
		}
	}
	v, err := s.Dispatch.TemplateByName(c.ctx(), c.who, c.path(part))
	return v, orNotFound(err, resource, c.path(part))
}

func (s *server) showTemplate(c *call) (answer, error) {
	v, err := s.template(c, "id", "job_template")
	return ok(detail(v)), err
}

func (s *server) createTemplate(c *call) (answer, error) {
	change, err := s.templateChange(c, job.Template{})
	if err != nil {
		return answer{}, err
	}
	v, err := s.Dispatch.EditTemplate(c.ctx(), c.who, 0, change)
	return created(detail(v)), templateError(err, 0)
}

func (s *server) updateTemplate(c *call) (answer, error) {
	was, err := s.template(c, "id", "job_template")
	if err != nil {
		return answer{}, err
	}
	change, err := s.templateChange(c, was.Template)
	if err != nil {
		return answer{}, err
	}
	v, err := s.Dispatch.EditTemplate(c.ctx(), c.who, was.ID, unlessLocked(change))
	return ok(detail(v)), templateError(orNotFound(err, "job_template", c.path("id")), was.ID)
}

func (s *server) deleteTemplate(c *call) (answer, error) {
	was, err := s.template(c, "id", "job_template")
	if err != nil {
		return answer{}, err
	}
	t, err := s.Dispatch.DeleteTemplate(c.ctx(), c.who, was.ID, func(t job.Template) error {
		if t.Locked {
			return validationFailed(t.ID, problem{"base", "This template is locked and may not be removed."})
		}
		return nil
	})
	return ok(rawTemplate(t)), orNotFound(err, "job_template", c.path("id"))
}

func (s *server) cloneTemplate(c *call) (answer, error) {
	was, err := s.template(c, "id", "job_template")
	if err != nil {
		return answer{}, err
	}
	o, err := c.root("job_template")
	if err != nil {
		return answer{}, err
	}
	name, err := o.get("name").text()
	if err != nil {
		return answer{}, err
	}
	var ps problems
	if err := s.checkName(c, &ps, name, 0); err != nil {
		return answer{}, err
	}
	if err := ps.asError(0); err != nil {
		return answer{}, err
	}
	v, err := s.Dispatch.EditTemplate(c.ctx(), c.who, 0, func(t *job.Template) error {
		meta := t.Meta
		*t = was.Template
		t.Meta = meta
		t.Name, t.Extra, t.Locked, t.ClonedFrom = name, was.Extra, false, was.ID
		t.Inputs, t.Includes = slices.Clone(was.Inputs), slices.Clone(was.Includes)
		for i := range t.Inputs {
			t.Inputs[i].ID = 0
		}
		for i := range t.Includes {
			t.Includes[i].ID = 0
		}
		x := templateExtraOf(*t)
		x.Default = false
		setExtra(t, x)
		return nil
	})
	return created(detail(v)), templateError(err, 0)
}

// errLocked is the answer to a change of a locked template.
func errLocked(id int64) error {
	return validationFailed(id, problem{"base", "This template is locked. Please clone it to a new template to customize."})
}

// unlessLocked refuses what a change makes of a locked template, unless it
// changes the lock itself.
func unlessLocked(change func(*job.Template) error) func(*job.Template) error {
	return func(t *job.Template) error {
		was := *t
		was.Inputs, was.Includes = slices.Clone(t.Inputs), slices.Clone(t.Includes)
		was.Extra = map[string]json.RawMessage{extraKey: encode(templateExtraOf(was))}
		if err := change(t); err != nil || !was.Locked || !t.Locked {
			return err
		}
		now := *t
		now.Extra = map[string]json.RawMessage{extraKey: encode(templateExtraOf(now))}
		if !reflect.DeepEqual(was, now) {
			return errLocked(t.ID)
		}
		return nil
	}
}

// templateProblems says which attribute is meant by the field of an error of
// dispatch.
var templateProblems = []struct{ field, attribute string }{
	{"name", "name"}, {"category", "job_category"}, {"description_format", "description_format"}, {"description", "description"},
	{"become_user", "effective_user.value"}, {"timeout", "execution_timeout_interval"}, {"stop_after", "stop_after"}, {"includes", "base"},
}

// templateError is E14 for what dispatch finds wrong with a template.
func templateError(err error, id int64) error {
	var e *job.Error
	var done *refusal
	if err == nil || errors.As(err, &done) || !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == job.AlreadyExists:
		return validationFailed(id, problem{"name", "has already been taken"})
	case e.Code != job.Invalid && e.Code != job.Unsupported || e.Field == "":
		return err
	}
	for _, p := range templateProblems {
		if p.field == e.Field {
			return validationFailed(id, problem{p.attribute, e.Message})
		}
	}
	if e.Field == "body" {
		return validationFailed(id, problem{"base", "The template cannot be rendered: " + e.Message})
	}
	return validationFailed(id, problem{"base", e.Field + " " + e.Message})
}

// summary is a template in lists.
func summary(t job.Template) fields {
	x := templateExtraOf(t)
	return fields{
		"id": t.ID, "name": t.Name, "job_category": x.null("job_category", t.Category), "provider_type": x.Provider, "snippet": t.Snippet,
		"description_format": x.null("description_format", t.DescriptionFormat), "created_at": stamp(t.Created), "updated_at": stamp(t.Updated),
	}
}

// null is a text, or null when it is empty and was not given as such.
func (x templateExtra) null(attribute, s string) any {
	if s == "" && !slices.Contains(x.Empty, attribute) {
		return nil
	}
	return s
}

// detail is the whole of a template.
func detail(v dispatch.TemplateView) fields {
	x := templateExtraOf(v.Template)
	out := summary(v.Template)
	out["description"] = x.null("description", v.Description)
	out["template"] = v.Body
	out["locked"] = v.Locked
	out["cloned_from_id"] = positive(v.ClonedFrom)
	out["execution_timeout_interval"] = seconds(v.Limits.Timeout)
	out["stop_after"] = nullable(inventory.StopAfterText(v.Limits.StopAfter))
	out["audit_comment"] = nil
	out["effective_user"] = fields{"value": x.null("effective_user", v.Become.User), "current_user": v.BecomeCaller, "overridable": !v.BecomeFixed}
	out["template_inputs"] = shown(v.Inputs, func(in job.Input) any {
		return fields{"id": in.ID, "name": in.Name, "input_type": string(in.Kind)}
	})
	out["locations"] = theLocation.shortOf(x.Locations)
	out["organizations"] = theOrganization.shortOf(x.Organizations)
	return out
}

// rawTemplate is the record of a template.
func rawTemplate(t job.Template) fields {
	out := summary(t)
	x := templateExtraOf(t)
	out["template"], out["template_kind_id"], out["locked"], out["default"] = t.Body, nil, t.Locked, x.Default
	out["vendor"], out["os_family"], out["execution_timeout_interval"] = nil, nil, seconds(t.Limits.Timeout)
	out["created_at"], out["updated_at"] = iso(t.Created), iso(t.Updated)
	return out
}

// positive is an id, or null for none.
func positive(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

// seconds is a duration in whole seconds, or null for none.
func seconds(d time.Duration) any { return positive(int64(d / time.Second)) }

// checkName collects what is wrong with the name of the template id (0: a new one).
func (s *server) checkName(c *call, ps *problems, name string, id int64) error {
	ps.blank("name", name)
	ps.short("name", name)
	if strings.TrimSpace(name) == "" || len(name) > 4*maxString {
		return nil
	}
	switch other, err := s.Dispatch.TemplateByName(c.ctx(), c.who, name); {
	case err == nil && other.ID != id:
		ps.add("name", "has already been taken")
	case err != nil && job.CodeOf(err) != job.NotFound:
		return err
	}
	return nil
}

// short tells of a text that is too long for a line.
func (ps *problems) short(attribute, v string) {
	if len([]rune(v)) > maxString {
		ps.add(attribute, "is too long (maximum is %d characters)", maxString)
	}
}

// exportName is the file name of an exported template.
func exportName(name string) string {
	name = strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(name), "-", ""), " ", "_")
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\/;`, r) {
			return '_'
		}
		return r
	}, name)
	return fmt.Sprintf("%s.erb", clean)
}
