package task

import (
	"context"
	"slices"

	"drover/internal/erb"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/render"
)

// script renders what a device is to run.
func (u *unitWork) script(ctx context.Context, d job.Device) (string, error) {
	j := u.known.job
	if j.Language != job.LanguageERB {
		return render.Template(ctx, j.Body, render.Env{
			Device:  &d,
			Devices: func() ([]job.Device, error) { return u.known.allDevices(ctx, u.f) },
			Payload: u.known.own.payload(j),
			User:    render.User{Name: j.Creator},
			Server:  u.f.cfg.Server,
		})
	}
	return erb.Render(ctx, j.Body, erb.Env{
		Device:   &d,
		Params:   inventory.Params(d),
		Facts:    inventory.Facts(d),
		Groups:   func(ctx context.Context) ([]string, error) { return u.groups(ctx, d) },
		Inputs:   j.Inputs,
		Values:   u.known.own.values,
		Template: j.ServiceName,
		User:     j.Creator,
		Server:   erb.Server{Name: u.f.cfg.Server.Name, URL: u.f.cfg.Server.URL},
		Now:      u.f.now(),
		Lookup:   u.included,
	})
}

// groups returns the names of a device's pools.
func (u *unitWork) groups(ctx context.Context, d job.Device) ([]string, error) {
	pools, err := u.f.cfg.Store.PoolsByID(ctx, d.Tenant, d.PoolIDs)
	names := make([]string, len(pools))
	for i, p := range pools {
		names[i] = p.Name
	}
	return names, err
}

// included returns another template of the tenant, read once per run and
// process. Its hidden inputs have no defaults: whoever cleans the output of
// secrets knows those of the job and no others.
func (u *unitWork) included(ctx context.Context, name string) (erb.Included, error) {
	k := u.known
	k.mu.Lock()
	defer k.mu.Unlock()
	if part, ok := k.parts[name]; ok {
		return part, nil
	}
	part, err := u.f.readPart(ctx, k.id.tenant, name)
	if err != nil {
		return erb.Included{}, err
	}
	if k.parts == nil {
		k.parts = map[string]erb.Included{}
	}
	k.parts[name] = part
	return part, nil
}

func (f *Functions) readPart(ctx context.Context, tenant, name string) (erb.Included, error) {
	t, err := f.cfg.Store.TemplateByName(ctx, tenant, name)
	if err != nil {
		return erb.Included{}, err
	}
	below, err := f.cfg.Store.Included(ctx, t)
	if err != nil {
		return erb.Included{}, err
	}
	inputs := slices.Clone(job.EffectiveInputs(t, below))
	for i := range inputs {
		if inputs[i].Hidden {
			inputs[i].Default, inputs[i].DefaultSealed = nil, nil
		}
	}
	return erb.Included{Body: t.Body, Inputs: inputs, Snippet: t.Snippet}, nil
}
