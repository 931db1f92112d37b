package dispatch

import (
	"context"
	"strconv"

	"drover/internal/job"
)

// Features returns all features in order of id.
func (d *Dispatcher) Features(ctx context.Context, p job.Principal) ([]job.Feature, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, err
	}
	if err := d.defaults(ctx, p.Tenant); err != nil {
		return nil, err
	}
	return d.Store.Features(ctx, p.Tenant)
}

// Feature returns a feature by its label.
func (d *Dispatcher) Feature(ctx context.Context, p job.Principal, label string) (job.Feature, error) {
	if err := allow(p, job.ActRead); err != nil {
		return job.Feature{}, err
	}
	if err := d.defaults(ctx, p.Tenant); err != nil {
		return job.Feature{}, err
	}
	return d.Store.Feature(ctx, p.Tenant, label)
}

// MapFeature says which template does a feature; 0: none. A template that is
// not there, or is a snippet, is Invalid, field "template".
func (d *Dispatcher) MapFeature(ctx context.Context, p job.Principal, label string, template int64) (job.Feature, error) {
	if err := allow(p, job.ActChange); err != nil {
		return job.Feature{}, err
	}
	for try := 1; ; try++ {
		prev, err := d.Feature(ctx, p, label)
		if err != nil || prev.TemplateID == template {
			return prev, err
		}
		if template != 0 {
			t, err := d.Store.Template(ctx, p.Tenant, template)
			if job.CodeOf(err) == job.NotFound {
				return prev, job.FieldErrorf("template", "there is no template %d", template)
			}
			if err != nil {
				return prev, err
			}
			if t.Snippet {
				return prev, job.FieldErrorf("template", "%q is a snippet, which cannot be run", t.Name)
			}
		}
		next := prev
		next.TemplateID, next.Updated, next.UpdatedBy = template, d.Store.Now(), p.Name
		err = d.Store.PutFeature(ctx, &prev, &next, d.entry(p, "feature.update", label, "template "+strconv.FormatInt(template, 10)))
		if job.CodeOf(err) == job.Conflict && try < saveTries {
			continue
		}
		if err != nil {
			return prev, err
		}
		return d.Store.Feature(ctx, p.Tenant, label)
	}
}
