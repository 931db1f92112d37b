package foreman

import (
	"net/http"
	"slices"
	"strings"

	"drover/internal/dispatch"
	"drover/internal/job"
)

// kindOfTemplates and modelOfTemplates stand in the header of every template's file.
const (
	kindOfTemplates  = "job_template"
	modelOfTemplates = "JobTemplate"
)

// importOptions say how a template's file is taken in.
type importOptions struct {
	overwrite bool   // a template of the name that is there
	force     bool   // even a locked one
	lock      bool   // the result
	byDefault bool   // the result is one that came with the installation
	associate string // when locations and organizations are taken: new, always, never
}

func (c *call) importOptions() (importOptions, error) {
	var in importOptions
	v, err := c.param("options").object()
	if err != nil {
		return in, err
	}
	root, r := &reader{object: c.body}, &reader{object: v}
	root.flag("overwrite", &in.overwrite)
	r.flag("force", &in.force)
	r.flag("lock", &in.lock)
	r.flag("default", &in.byDefault)
	r.text("associate", &in.associate)
	if root.err != nil {
		return in, root.err
	}
	return in, r.err
}

// importTemplate makes a template of a file, or makes one what a file says.
func (s *server) importTemplate(c *call) (answer, error) {
	opts, err := c.importOptions()
	if err != nil {
		return answer{}, err
	}
	text, err := c.param("template").text()
	if err != nil {
		return answer{}, err
	}
	m, body, err := parseMetadata(text)
	if err != nil {
		return answer{}, validationFailed(0, problem{"base", job.MessageOf(err)})
	}
	if m.Name == "" {
		m.Name = c.text("name")
	}
	id, err := s.importInto(c, m, opts)
	if err != nil {
		return answer{}, err
	}
	includes, err := s.includesOf(c, m)
	if err != nil {
		return answer{}, err
	}
	change := func(t *job.Template) error { return fromMetadata(t, m, body, includes, opts) }
	if !opts.force {
		change = unlessLocked(change)
	}
	v, err := s.Dispatch.EditTemplate(c.ctx(), c.who, id, change)
	if err != nil {
		return answer{}, templateError(err, id)
	}
	if err := s.giveFeature(c, m.Feature, v); err != nil {
		return answer{}, err
	}
	return created(detail(v)), nil
}

// importInto returns the id of the template that a file is about, 0 for a new one.
func (s *server) importInto(c *call, m metadata, opts importOptions) (int64, error) {
	if strings.TrimSpace(m.Name) == "" || len(m.Name) > 4*maxString {
		return 0, nil
	}
	v, err := s.Dispatch.TemplateByName(c.ctx(), c.who, m.Name)
	switch {
	case job.CodeOf(err) == job.NotFound:
		return 0, nil
	case err == nil && !opts.overwrite:
		return 0, validationFailed(0, problem{"name", "has already been taken"})
	}
	return v.ID, err
}

// includesOf finds the templates whose inputs a file takes.
func (s *server) includesOf(c *call, m metadata) ([]job.Include, error) {
	var out []job.Include
	for _, set := range m.Sets {
		v, err := s.Dispatch.TemplateByName(c.ctx(), c.who, set.Template)
		if job.CodeOf(err) == job.NotFound {
			return nil, validationFailed(0, problem{"foreign_input_sets", "need the template " + clipRunes(set.Template, maxString) + ", which is not there"})
		}
		if err != nil {
			return nil, err
		}
		out = append(out, job.Include{TemplateID: v.ID, All: set.All, Only: split(set.Include, ","), Except: split(set.Exclude, ",")})
	}
	return out, nil
}

// fromMetadata makes a template what its file says.
func fromMetadata(t *job.Template, m metadata, body string, includes []job.Include, opts importOptions) error {
	var ps problems
	x := templateExtraOf(*t)
	fresh := t.ID == 0
	t.Name, t.Category, t.Description, t.DescriptionFormat = m.Name, m.Category, m.Description, m.DescriptionFormat
	t.Body, t.Language, t.Snippet = body, job.LanguageERB, m.Snippet
	x.Empty = slices.DeleteFunc(slices.Clone(x.Empty), func(s string) bool { return s != "effective_user" })
	if x.Provider = m.Provider; m.Provider == "" {
		x.Provider = providerScript
	}
	if m.Kind != "" && m.Kind != kindOfTemplates {
		ps.add("base", "The file is a %s, not a %s", clipRunes(m.Kind, maxString), kindOfTemplates)
	}
	was := t.Inputs
	t.Inputs = nil
	for _, in := range m.Inputs {
		next := inputFromMetadata(was, in)
		checkInput(next, "template_inputs.", &ps)
		t.Inputs = append(t.Inputs, next)
	}
	had := t.Includes
	t.Includes = nil
	for _, inc := range includes {
		if i := slices.IndexFunc(had, func(o job.Include) bool { return o.TemplateID == inc.TemplateID }); i >= 0 {
			inc.ID = had[i].ID
			had = slices.Delete(slices.Clone(had), i, i+1)
		}
		t.Includes = append(t.Includes, inc)
	}
	if opts.associate == "always" || fresh && opts.associate != "never" {
		x.Locations, x.Organizations = theLocation.named(m.Locations), theOrganization.named(m.Organizations)
	}
	t.Locked = t.Locked && !opts.force || opts.lock
	x.Default = x.Default || opts.byDefault
	setExtra(t, x)
	checkTemplate(*t, x, &ps)
	return ps.asError(t.ID)
}

// inputFromMetadata is an input as a file describes it, with the id of the one
// of its name that is there. Files do not hold the defaults of hidden inputs: the
// one that is there stays.
func inputFromMetadata(was []job.Input, in metadataInput) job.Input {
	out := job.Input{}
	if i := slices.IndexFunc(was, func(o job.Input) bool { return o.Name == in.Name }); i >= 0 {
		out = job.Input{ID: was[i].ID, Created: was[i].Created, Updated: was[i].Updated}
		if in.Hidden && in.Default == nil && was[i].Hidden {
			in.Default, out.DefaultSealed = was[i].Default, was[i].DefaultSealed
		}
	}
	out.Name, out.Kind, out.Description = in.Name, job.InputKind(in.Type), in.Description
	switch out.Kind {
	case "":
		out.Kind = job.InputUser
	case job.InputFact:
		out.Source = in.Fact
	case job.InputVariable:
		out.Source = in.Variable
	}
	out.Required, out.Advanced, out.Hidden = in.Required, in.Advanced, in.Hidden
	out.Options, out.Default, out.ValueType, out.Resource = split(in.Options, "\n"), in.Default, in.ValueType, in.Resource
	return out
}

// named are the ids of the taxonomy if it is among the names; nil, which means
// the same, when none are given.
func (t taxonomy) named(names []string) []int64 {
	switch {
	case len(names) == 0:
		return nil
	case slices.Contains(names, t.name):
		return []int64{t.id}
	}
	return []int64{}
}

// giveFeature lets an imported template do the feature that its file names, if
// there is one that no template does yet.
func (s *server) giveFeature(c *call, label string, v dispatch.TemplateView) error {
	if label == "" || v.Snippet || len(label) > maxString {
		return nil
	}
	f, err := s.Dispatch.Feature(c.ctx(), c.who, label)
	if job.CodeOf(err) == job.NotFound || err == nil && f.TemplateID != 0 {
		return nil
	}
	if err == nil {
		_, err = s.Dispatch.MapFeature(c.ctx(), c.who, label, v.ID)
	}
	return err
}

// exportTemplate answers with a template's file.
func (s *server) exportTemplate(c *call) (answer, error) {
	v, err := s.template(c, "id", "job_template")
	if err != nil {
		return answer{}, err
	}
	x := templateExtraOf(v.Template)
	m := metadata{
		Name: v.Name, Kind: kindOfTemplates, Model: modelOfTemplates, Category: v.Category, Description: v.Description,
		DescriptionFormat: v.DescriptionFormat, Provider: x.Provider, Snippet: v.Snippet,
	}
	for _, in := range v.Inputs {
		out := metadataInput{Name: in.Name, Type: string(in.Kind), Description: in.Description, Options: strings.Join(in.Options, "\n"), Default: in.Default,
			ValueType: in.ValueType, Resource: in.Resource, Required: in.Required, Advanced: in.Advanced, Hidden: in.Hidden}
		switch in.Kind {
		case job.InputFact:
			out.Fact = in.Source
		case job.InputVariable:
			out.Variable = in.Source
		}
		if in.Hidden {
			out.Default = nil
		}
		m.Inputs = append(m.Inputs, out)
	}
	for _, inc := range v.Includes {
		if name := v.IncludeNames[inc.TemplateID]; name != "" {
			m.Sets = append(m.Sets, metadataSet{Template: name, All: inc.All, Include: strings.Join(inc.Only, ","), Exclude: strings.Join(inc.Except, ",")})
		}
	}
	return answer{status: http.StatusOK, body: exportTemplate(m, v.Body), file: exportName(v.Name)}, nil
}
