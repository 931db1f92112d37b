package dispatch

import (
	"context"
	"sync"

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
	svc, targets, unknown, err := d.prepare(ctx, p, &sub)
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
		row.Text, err = render.Template(ctx, svc.Body, render.Env{
			Device: &dev, Devices: all, Payload: sub.Payload, User: render.User{Name: p.Name}})
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
