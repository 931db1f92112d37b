package foreman

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/inventory"
	"drover/internal/job"
)

// templateChange returns what the attributes in a request make of a template;
// was is the template as it is now, the zero value for a new one.
func (s *server) templateChange(c *call, was job.Template) (func(*job.Template) error, error) {
	o, err := c.root("job_template")
	if err != nil {
		return nil, err
	}
	var taken problems
	if name, err := o.get("name").text(); err == nil && o.has("name") && name != was.Name {
		if err := s.checkName(c, &taken, name, was.ID); err != nil {
			return nil, err
		}
		taken = slices.DeleteFunc(taken, func(p problem) bool { return p.message != "has already been taken" })
	}
	return func(t *job.Template) error {
		ps := slices.Clone(taken)
		if err := changeTemplate(t, o, &ps); err != nil {
			return err
		}
		return ps.asError(t.ID)
	}, nil
}

// changeTemplate applies attributes to a template and collects what is wrong
// with the result.
func changeTemplate(t *job.Template, o object, ps *problems) error {
	x := templateExtraOf(*t)
	if t.ID == 0 {
		t.Language, x.Provider = job.LanguageERB, ""
	}
	r := &reader{object: o}
	r.text("name", &t.Name)
	r.nullable("description", &t.Description, &x.Empty)
	r.nullable("job_category", &t.Category, &x.Empty)
	r.nullable("description_format", &t.DescriptionFormat, &x.Empty)
	r.text("provider_type", &x.Provider)
	r.flag("snippet", &t.Snippet)
	r.flag("locked", &t.Locked)
	if r.has("template") {
		r.text("template", &t.Body)
		t.Body = strings.ReplaceAll(t.Body, "\r", "")
		t.Language = job.LanguageERB
	}
	if r.has("execution_timeout_interval") {
		var n int64
		r.integer("execution_timeout_interval", &n)
		if n < 0 || n > int64(maxInterval/time.Second) {
			ps.add("execution_timeout_interval", "must be between 0 and %d", int64(maxInterval/time.Second))
			n = 0
		}
		t.Limits.Timeout = time.Duration(n) * time.Second
	}
	changeStopAfter(t, o.get("stop_after"), ps)
	changeEffectiveUser(t, r, &x)
	x.Locations = taxonomyIDs(r, theLocation, x.Locations)
	x.Organizations = taxonomyIDs(r, theOrganization, x.Organizations)
	inputs, sets := r.nested("template_inputs_attributes"), r.nested("foreign_input_sets_attributes")
	if r.err != nil {
		return r.err
	}
	for _, in := range inputs {
		if err := changeInputs(t, in, ps); err != nil {
			return err
		}
	}
	for _, set := range sets {
		if err := changeSets(t, set, ps); err != nil {
			return err
		}
	}
	setExtra(t, x)
	checkTemplate(*t, x, ps)
	return nil
}

// changeStopAfter reads our own attribute: a number of failed hosts after which
// a job starts no more of them, or a percentage ("10%"); null, "" and 0: never.
func changeStopAfter(t *job.Template, v value, ps *problems) {
	if !v.present() {
		return
	}
	stop, err := stopAfter(v)
	if err != nil {
		ps.add("stop_after", "%s", job.MessageOf(err))
		return
	}
	t.Limits.StopAfter = stop
}

func stopAfter(v value) (job.StopAfter, error) {
	s, err := v.text()
	if err != nil {
		return job.StopAfter{}, job.Errorf(job.Invalid, "is neither a number nor a percentage")
	}
	stop, err := inventory.ParseStopAfter("", strings.TrimSpace(s))
	return stop, err
}

// maxInterval is the longest time limit of a script.
const maxInterval = 7 * 24 * time.Hour

// checkTemplate collects what is wrong with a template's own attributes.
func checkTemplate(t job.Template, x templateExtra, ps *problems) {
	ps.blank("name", t.Name)
	ps.short("name", t.Name)
	ps.blank("template", t.Body)
	if !t.Snippet {
		ps.blank("job_category", t.Category)
	}
	ps.short("job_category", t.Category)
	ps.short("description_format", t.DescriptionFormat)
	ps.blank("provider_type", x.Provider)
	if p := x.Provider; p != "" && !strings.EqualFold(p, providerScript) && !strings.EqualFold(p, providerSSH) {
		ps.add("provider_type", "is not included in the list")
	}
	if twice := duplicates(t.Inputs); len(twice) > 0 {
		ps.add("base", "Duplicated inputs detected: %s", encode(twice))
	}
}

func duplicates(inputs []job.Input) []string {
	seen := map[string]int{}
	var out []string
	for _, in := range inputs {
		if seen[in.Name]++; seen[in.Name] == 2 {
			out = append(out, in.Name)
		}
	}
	return out
}

// changeEffectiveUser applies effective_user_attributes.
func changeEffectiveUser(t *job.Template, r *reader, x *templateExtra) {
	v := r.get("effective_user_attributes")
	if v.blank() || r.err != nil {
		return
	}
	o, err := v.object()
	if err != nil {
		r.err = err
		return
	}
	inner := &reader{object: o}
	overridable := !t.BecomeFixed
	if inner.has("value") {
		inner.text("value", &t.Become.User)
		inner.remember("effective_user", t.Become.User == "" && !inner.get("value").null(), &x.Empty)
		if t.Become.User == "" {
			t.Become.Method = ""
		}
	}
	if !inner.get("overridable").blank() {
		inner.flag("overridable", &overridable)
	}
	inner.flag("current_user", &t.BecomeCaller)
	t.BecomeFixed = !overridable
	r.err = inner.err
}

// taxonomyIDs reads <kind>_ids or <kind>_names. There is one of each kind; what
// it is not is refused.
func taxonomyIDs(r *reader, t taxonomy, was []int64) []int64 {
	for _, key := range []string{t.kind + "_ids", t.kind + "_names"} {
		if !r.has(key) || r.err != nil {
			continue
		}
		v := r.get(key)
		given, err := v.texts()
		if err != nil {
			r.err = err
			return was
		}
		ids := []int64{}
		for _, s := range given {
			if s != strconv.FormatInt(t.id, 10) && s != t.name {
				r.err = unprocessable("Couldn't find %s with 'id'=%s", t.title, clipRunes(s, maxString))
				return was
			}
			ids = []int64{t.id}
		}
		was = ids
		if v.null() {
			was = nil
		}
	}
	return was
}
