package dispatch

import (
	"context"
	"slices"

	"drover/internal/job"
	"drover/internal/store"
)

// DeviceNames returns the names of those devices that exist, by id.
func (d *Dispatcher) DeviceNames(ctx context.Context, p job.Principal, ids []int64) (map[int64]string, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, err
	}
	return d.deviceNames(ctx, p.Tenant, idSet(slices.Clone(ids)))
}

// DeviceIDs returns the ids of those devices that exist, by name.
func (d *Dispatcher) DeviceIDs(ctx context.Context, p job.Principal, names []string) (map[string]int64, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, err
	}
	return d.Store.DeviceIDs(ctx, p.Tenant, names)
}

// Replayed returns what an earlier submit with this idempotency key has made, for
// callers that check a request before they submit it: what has become wrong since
// does not matter to a request that is repeated. NotFound when there is none;
// KeyReused when it came with another body.
func (d *Dispatcher) Replayed(ctx context.Context, p job.Principal, path, key string, body []byte) (Submitted, error) {
	if err := allow(p, job.ActRun); err != nil {
		return Submitted{}, err
	}
	idem, err := idempotency(p, Submission{IdempotencyKey: key, Path: path, Body: body})
	if err != nil {
		return Submitted{}, err
	}
	if idem == nil {
		return Submitted{}, job.Errorf(job.NotFound, "no key was given")
	}
	return d.replayed(ctx, p, *idem)
}

// Outcomes is Results without the outputs, which are not read where they lie
// apart.
func (d *Dispatcher) Outcomes(ctx context.Context, p job.Principal, run job.Run, from, limit int) (ResultPage, error) {
	if err := allow(p, job.ActRead); err != nil {
		return ResultPage{}, err
	}
	if limit <= 0 || limit > store.MaxPageRows {
		limit = store.MaxPageRows
	}
	from, run.Tenant = max(from, 0), p.Tenant
	targets, err := d.Store.Targets(ctx, run.Tenant, run.ID, from, min(limit, run.Total-from))
	if err != nil {
		return ResultPage{}, err
	}
	rows, err := d.storedResults(ctx, run, from, from+len(targets))
	if err != nil {
		return ResultPage{}, err
	}
	page := ResultPage{Results: make([]job.Result, len(targets)), Next: -1}
	for i, t := range targets {
		r, ok := rows[from+i]
		if !ok {
			r = unclaimed(run, from+i, t)
		}
		r.Output = job.Output{}
		page.Results[i] = r
	}
	if len(targets) > 0 && from+len(targets) < run.Total {
		page.Next = from + len(targets)
	}
	return page, nil
}
