package dispatch

import (
	"context"
	"maps"
	"reflect"
	"slices"

	"drover/internal/job"
	"drover/internal/store"
)

// TemplateView is a template with what it refers to.
type TemplateView struct {
	job.Template
	// Effective are its own inputs and those that it includes, in order; each
	// name once. The default of a hidden one is job.Redacted.
	Effective []job.Input
	// IncludeNames are the names of the templates of Includes, by template id.
	IncludeNames map[int64]string
}

// Template returns a template by id.
func (d *Dispatcher) Template(ctx context.Context, p job.Principal, id int64) (TemplateView, error) {
	if err := allow(p, job.ActRead); err != nil {
		return TemplateView{}, err
	}
	if err := d.defaults(ctx, p.Tenant); err != nil {
		return TemplateView{}, err
	}
	t, err := d.Store.Template(ctx, p.Tenant, id)
	if err != nil {
		return TemplateView{}, err
	}
	return d.templateView(ctx, t)
}

// TemplateByName returns a template by name.
func (d *Dispatcher) TemplateByName(ctx context.Context, p job.Principal, name string) (TemplateView, error) {
	if err := allow(p, job.ActRead); err != nil {
		return TemplateView{}, err
	}
	if err := d.defaults(ctx, p.Tenant); err != nil {
		return TemplateView{}, err
	}
	t, err := d.Store.TemplateByName(ctx, p.Tenant, name)
	if err != nil {
		return TemplateView{}, err
	}
	return d.templateView(ctx, t)
}

func (d *Dispatcher) templateView(ctx context.Context, t job.Template) (TemplateView, error) {
	reached, err := d.Store.Included(ctx, t)
	if err != nil {
		return TemplateView{}, err
	}
	v := TemplateView{Template: t, Effective: job.EffectiveInputs(t, reached), IncludeNames: map[int64]string{}}
	for _, inc := range t.Includes {
		if o, ok := reached[inc.TemplateID]; ok {
			v.IncludeNames[o.ID] = o.Name
		}
	}
	return v, nil
}

// AllTemplates calls f for every template in order of id.
func (d *Dispatcher) AllTemplates(ctx context.Context, p job.Principal, f func(job.Template) error) error {
	if err := allow(p, job.ActRead); err != nil {
		return err
	}
	if err := d.defaults(ctx, p.Tenant); err != nil {
		return err
	}
	return d.Store.AllTemplates(ctx, p.Tenant, f)
}

// EditTemplate creates a template (id 0) or changes one: f gets it as it is
// stored and changes it, and is called again when somebody else was faster. New inputs and
// includes have the ID 0 and get one. The default of a hidden input that is
// job.Redacted stays as it is. Errors: those of f; Forbidden; NotFound;
// AlreadyExists for the name; Invalid with a field (name, body, inputs, includes,
// become, limits, …) for what could not be run.
func (d *Dispatcher) EditTemplate(ctx context.Context, p job.Principal, id int64, f func(t *job.Template) error) (TemplateView, error) {
	if err := allow(p, job.ActChange); err != nil {
		return TemplateView{}, err
	}
	if err := d.defaults(ctx, p.Tenant); err != nil {
		return TemplateView{}, err
	}
	for try := 1; ; try++ {
		saved, again, err := d.editTemplate(ctx, p, id, f)
		if again && try < saveTries {
			continue
		}
		if err != nil {
			return TemplateView{}, err
		}
		return d.Template(ctx, p, saved)
	}
}

// editTemplate is one try of EditTemplate. It returns the template's id, and
// whether somebody else was faster.
func (d *Dispatcher) editTemplate(ctx context.Context, p job.Principal, id int64, f func(t *job.Template) error) (saved int64, again bool, err error) {
	now := d.Store.Now()
	next := job.Template{Meta: job.Meta{Tenant: p.Tenant, Created: now, CreatedBy: p.Name, Updated: now, UpdatedBy: p.Name}}
	var prev *job.Template
	verb := "template.create"
	if id != 0 {
		had, err := d.Store.Template(ctx, p.Tenant, id)
		if err != nil {
			return 0, false, err
		}
		prev, next, verb = &had, cloneTemplate(had), "template.update"
	}
	meta := next.Meta
	if err := f(&next); err != nil {
		return 0, false, err
	}
	meta.Name, meta.Extra = next.Name, next.Extra
	next.Meta = meta
	if err := validTemplate(&next); err != nil {
		return 0, false, err
	}
	reached, err := d.checkIncludes(ctx, next)
	if err != nil {
		return 0, false, err
	}
	var had []job.Input
	if prev != nil {
		had = prev.Inputs
	}
	if err := d.Box.SealDefaults(p.Tenant, next.Inputs, had); err != nil {
		return 0, false, err
	}
	if prev != nil {
		if reflect.DeepEqual(*prev, next) {
			return id, false, nil
		}
		next.Updated, next.UpdatedBy = now, p.Name
	}
	if err := d.numberParts(ctx, prev, &next); err != nil {
		return 0, false, err
	}
	err = d.Store.PutTemplate(ctx, prev, &next, slices.Collect(maps.Values(reached)), d.entry(p, verb, next.Name, ""))
	return next.ID, job.CodeOf(err) == job.Conflict, err
}

func cloneTemplate(t job.Template) job.Template {
	t.Inputs, t.Includes = slices.Clone(t.Inputs), slices.Clone(t.Includes)
	for i := range t.Inputs {
		t.Inputs[i].Options = slices.Clone(t.Inputs[i].Options)
	}
	for i := range t.Includes {
		t.Includes[i].Only, t.Includes[i].Except = slices.Clone(t.Includes[i].Only), slices.Clone(t.Includes[i].Except)
	}
	t.Extra = maps.Clone(t.Extra)
	return t
}

// numberParts gives new inputs and includes their ids, and changed inputs their
// time.
func (d *Dispatcher) numberParts(ctx context.Context, prev, next *job.Template) error {
	had := map[int64]job.Input{}
	included := map[int64]bool{}
	if prev != nil {
		for _, in := range prev.Inputs {
			had[in.ID] = in
		}
		for _, inc := range prev.Includes {
			included[inc.ID] = true
		}
	}
	now := d.Store.Now()
	var inputs, includes []*int64
	for i := range next.Inputs {
		in := &next.Inputs[i]
		old, ok := had[in.ID]
		switch {
		case !ok: // new, or under an id that is not its own
			in.Created, in.Updated = now, now
			inputs = append(inputs, &in.ID)
		case !reflect.DeepEqual(old, *in):
			in.Created, in.Updated = old.Created, now
		}
	}
	for i := range next.Includes {
		if inc := &next.Includes[i]; !included[inc.ID] {
			includes = append(includes, &inc.ID)
		}
	}
	if err := d.reserve(ctx, next.Tenant, store.KindInput, inputs); err != nil {
		return err
	}
	return d.reserve(ctx, next.Tenant, store.KindInclude, includes)
}

func (d *Dispatcher) reserve(ctx context.Context, tenant, kind string, to []*int64) error {
	if len(to) == 0 {
		return nil
	}
	first, err := d.Store.ReserveIDs(ctx, tenant, kind, len(to))
	for i, id := range to {
		*id = first + int64(i)
	}
	return err
}

// checkIncludes refuses includes of templates that are not there and circles.
func (d *Dispatcher) checkIncludes(ctx context.Context, t job.Template) (map[int64]job.Template, error) {
	reached, err := d.Store.Included(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, inc := range t.Includes {
		if _, ok := reached[inc.TemplateID]; !ok {
			return nil, job.FieldErrorf("includes", "there is no template %d", inc.TemplateID)
		}
	}
	if _, circle := reached[t.ID]; circle && t.ID != 0 {
		return nil, job.FieldErrorf("includes", "the template would include itself")
	}
	return reached, nil
}

// DeleteTemplate removes a template and returns it as it was. check may refuse it; may be nil. Jobs made from it
// keep their copy; features that it did lose it.
func (d *Dispatcher) DeleteTemplate(ctx context.Context, p job.Principal, id int64, check func(job.Template) error) (job.Template, error) {
	if err := allow(p, job.ActChange); err != nil {
		return job.Template{}, err
	}
	for try := 1; ; try++ {
		// Features first: who maps one to this template meanwhile changes it,
		// and who does so later finds no template.
		all, err := d.Features(ctx, p)
		if err != nil {
			return job.Template{}, err
		}
		t, err := d.Store.Template(ctx, p.Tenant, id)
		if err != nil {
			return job.Template{}, err
		}
		if check != nil {
			if err := check(t); err != nil {
				return t, err
			}
		}
		err = d.Store.DeleteTemplate(ctx, t, all, d.entry(p, "template.delete", t.Name, ""))
		if job.CodeOf(err) != job.Conflict || try == saveTries {
			return t, err
		}
	}
}
