package dispatch

import (
	"context"
	"encoding/json"
	"sync"

	"drover/internal/erb"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/render"
)

// checkBody refuses a template that can be seen to be wrong without values.
func checkBody(body string) error {
	if err := render.Check(body); err != nil {
		return job.FieldErrorf("body", "%s", job.MessageOf(err))
	}
	return nil
}

// Preview is what a run would send to one device.
type Preview struct {
	Device  string
	Address string
	Text    string
	Err     string // why the template cannot be rendered for this device; "" if it can
}

// MaxPreview is the most devices that one preview renders.
const MaxPreview = 1000

// Preview resolves and renders a submission without storing it or touching a
// device: the first limit devices of total, or fewer where their texts are long
// (as in a page of results). Its errors are those of Submit.
func (d *Dispatcher) Preview(ctx context.Context, p job.Principal, sub Submission, limit int) (rows []Preview, total int, unknown []inventory.Unknown, err error) {
	if err := allow(p, job.ActRun); err != nil {
		return nil, 0, nil, err
	}
	o, err := d.prepare(ctx, p, &sub)
	targets, unknown := o.targets, o.unknown
	if err != nil {
		return nil, 0, unknown, err
	}
	if limit <= 0 || limit > MaxPreview {
		limit = MaxPreview
	}
	ids := make([]int64, min(limit, len(targets)))
	for i := range ids {
		ids[i] = targets[i].ID
	}
	devs, err := d.Store.DevicesByID(ctx, p.Tenant, ids)
	if err != nil {
		return nil, 0, unknown, err
	}
	all := sync.OnceValues(func() ([]job.Device, error) {
		ids := make([]int64, len(targets))
		for i, t := range targets {
			ids[i] = t.ID
		}
		return d.Store.DevicesByID(ctx, p.Tenant, ids)
	})
	size := 0
	for _, dev := range devs {
		row := Preview{Device: dev.Name, Address: dev.Address}
		row.Text, err = d.rendered(ctx, p, o, dev, all)
		if err != nil {
			if ctx.Err() != nil {
				return nil, 0, unknown, job.Wrap(job.Canceled, ctx.Err(), "preview interrupted")
			}
			row.Err = job.MessageOf(err)
		}
		if size += len(row.Text); size > maxPageOutput && len(rows) > 0 {
			break
		}
		rows = append(rows, row)
	}
	return rows, len(targets), unknown, nil
}

// rendered is what an order sends to a device. Hidden inputs are shown as such.
func (d *Dispatcher) rendered(ctx context.Context, p job.Principal, o order, dev job.Device, all func() ([]job.Device, error)) (string, error) {
	j := o.job
	if j.TemplateID == 0 {
		return render.Template(ctx, j.Body, render.Env{Device: &dev, Devices: all, Payload: j.Payload, User: render.User{Name: p.Name}})
	}
	values := map[string]string{}
	if err := json.Unmarshal(j.Payload, &values); err != nil {
		return "", job.Wrap(job.Internal, err, "decode the inputs")
	}
	for name := range o.hidden {
		values[name] = job.Redacted
	}
	if j.Language != job.LanguageERB {
		payload, err := json.Marshal(values)
		if err != nil {
			return "", job.Wrap(job.Internal, err, "encode the inputs")
		}
		return render.Template(ctx, j.Body, render.Env{Device: &dev, Devices: all, Payload: payload, User: render.User{Name: p.Name}})
	}
	return erb.Render(ctx, j.Body, erb.Env{
		Device: &dev, Params: inventory.Params(dev), Facts: inventory.Facts(dev), Inputs: j.Inputs, Values: values,
		Template: j.ServiceName, User: p.Name, Now: d.Store.Now(), Preview: true,
		Groups: func(ctx context.Context) ([]string, error) {
			pools, err := d.Store.PoolsByID(ctx, dev.Tenant, dev.PoolIDs)
			names := make([]string, len(pools))
			for i, pool := range pools {
				names[i] = pool.Name
			}
			return names, err
		},
		Lookup: func(ctx context.Context, name string) (erb.Included, error) {
			t, err := d.Store.TemplateByName(ctx, p.Tenant, name)
			if err != nil {
				return erb.Included{}, err
			}
			below, err := d.Store.Included(ctx, t) // hidden defaults stay so
			return erb.Included{Body: t.Body, Inputs: job.EffectiveInputs(t, below), Snippet: t.Snippet}, err
		},
	})
}
