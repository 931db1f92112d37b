package dispatch

import (
	"context"

	"drover/internal/job"
	"drover/internal/store"
)

// Defaults are what every tenant holds from the first use of its templates or
// features on. They are given once: what is deleted later does not come back.
// Templates refer to nothing else.
type Defaults struct {
	Templates []job.Template
	Features  []FeatureDefault
}

// FeatureDefault is a feature that every tenant begins with. Template is the name
// of one of Defaults.Templates; "": none does it.
type FeatureDefault struct {
	Label, Title, Description, Template string
	Button                              bool
}

// defaults gives a tenant its defaults. This process asks the store once for each
// tenant.
func (d *Dispatcher) defaults(ctx context.Context, tenant string) error {
	if d.Defaults == nil {
		return nil
	}
	if _, known := d.given.Load(tenant); known {
		return nil
	}
	var to store.Defaults
	place := map[string]int64{}
	for i, t := range d.Defaults.Templates {
		if t.Type == "" {
			t.Type = job.TypeScript
		}
		to.Templates = append(to.Templates, t)
		place[t.Name] = int64(i) + 1
	}
	for _, f := range d.Defaults.Features {
		to.Features = append(to.Features, job.Feature{Meta: job.Meta{Name: f.Label}, Title: f.Title,
			Description: f.Description, Button: f.Button, TemplateID: place[f.Template]})
	}
	err := d.Store.PutDefaults(ctx, tenant, to)
	if err == nil {
		d.given.Store(tenant, true)
	}
	return err
}
