package dispatch

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/search"
	"drover/internal/store"
)

// deviceQuery compiles a query over devices.
func (d *Dispatcher) deviceQuery(p job.Principal, query string, mode search.Mode) (*search.Query, error) {
	if err := inventory.ValidText("search", query, MaxQuery); err != nil {
		return nil, err
	}
	return search.Compile(query, inventory.DeviceFields(), mode, search.Env{Now: d.Store.Now(), User: p.Name})
}

// foundDevices returns the devices that meet a query, ordered by name, then id.
func (d *Dispatcher) foundDevices(ctx context.Context, tenant string, q *search.Query) ([]job.Device, error) {
	var pools map[int64]string // read when a device is in one
	var found []job.Device
	err := d.Store.AllDevices(ctx, tenant, func(dev job.Device) error {
		if q == nil {
			found = append(found, dev)
			return ctx.Err()
		}
		if pools == nil && len(dev.PoolIDs) > 0 {
			var err error
			if pools, err = d.allPoolNames(ctx, tenant); err != nil {
				return err
			}
		}
		if q.Match(inventory.Candidate{Device: dev, Pools: pick(pools, dev.PoolIDs)}) {
			found = append(found, dev)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b job.Device) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return found, nil
}

func (d *Dispatcher) allPoolNames(ctx context.Context, tenant string) (map[int64]string, error) {
	names := map[int64]string{}
	for q := (store.PageQuery{Limit: store.MaxPageRows}); ; {
		pools, next, err := d.Store.Pools(ctx, tenant, q)
		if err != nil {
			return nil, err
		}
		for _, p := range pools {
			names[p.ID] = p.Name
		}
		if next == "" {
			return names, nil
		}
		q.After = next
	}
}

// FindDevices returns the devices that meet a query of the search language
// (inventory.DeviceFields; lenient reading unless strict), ordered by name, as
// views. An empty query finds all, unless strict.
func (d *Dispatcher) FindDevices(ctx context.Context, p job.Principal, query string, strict bool) ([]DeviceView, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, err
	}
	mode := search.Lenient
	if strict {
		mode = search.Strict
	}
	var q *search.Query
	if strict || strings.TrimSpace(query) != "" {
		var err error
		if q, err = d.deviceQuery(p, query, mode); err != nil {
			return nil, err
		}
	}
	found, err := d.foundDevices(ctx, p.Tenant, q)
	if err != nil {
		return nil, err
	}
	return d.deviceViews(ctx, p.Tenant, found)
}

// CheckQuery refuses a device query that would be refused by a submit.
func (d *Dispatcher) CheckQuery(ctx context.Context, p job.Principal, query string) error {
	if err := allow(p, job.ActRead); err != nil {
		return err
	}
	_, err := d.deviceQuery(p, query, search.Strict)
	return err
}

// DeviceByID returns a device by id.
func (d *Dispatcher) DeviceByID(ctx context.Context, p job.Principal, id int64) (DeviceView, error) {
	if err := allow(p, job.ActRead); err != nil {
		return DeviceView{}, err
	}
	dev, err := d.Store.Device(ctx, p.Tenant, id)
	return d.deviceView(ctx, dev, err)
}

// Targets returns the devices of a run with from <= index < from+limit, in order.
func (d *Dispatcher) Targets(ctx context.Context, p job.Principal, run job.Run, from, limit int) ([]job.Target, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, err
	}
	from = max(from, 0)
	return d.Store.Targets(ctx, p.Tenant, run.ID, from, min(limit, run.Total-from))
}

// targetPage is how many targets are read at once when one is looked for.
const targetPage = 64 * job.TargetsPerChunk

// Result returns the result of one device of a run, with its output unpacked;
// NotFound when the device is not among its targets.
func (d *Dispatcher) Result(ctx context.Context, p job.Principal, run job.Run, device int64) (job.Result, error) {
	for from := 0; from < run.Total; from += targetPage {
		targets, err := d.Targets(ctx, p, run, from, targetPage)
		if err != nil {
			return job.Result{}, err
		}
		i := slices.IndexFunc(targets, func(t job.Target) bool { return t.ID == device })
		if i < 0 {
			continue
		}
		run.Tenant = p.Tenant
		r, err := d.Store.Result(ctx, run, from+i, "")
		if job.CodeOf(err) == job.NotFound {
			return unclaimed(run, from+i, targets[i]), nil
		}
		if err != nil {
			return r, err
		}
		rs := []job.Result{r}
		err = d.unpack(ctx, rs)
		return rs[0], err
	}
	if err := allow(p, job.ActRead); err != nil {
		return job.Result{}, err
	}
	return job.Result{}, job.Errorf(job.NotFound, "the run %s has no device %d", run.ID, device)
}

// RunByNumber returns the run with a number in a space.
func (d *Dispatcher) RunByNumber(ctx context.Context, p job.Principal, space string, number int64) (job.Run, error) {
	if err := allow(p, job.ActRead); err != nil {
		return job.Run{}, err
	}
	return d.Store.RunByNumber(ctx, p.Tenant, space, number)
}

// RunsByNumber lists the runs of a space, newest first: skip of them are left out,
// at most limit are returned. total is how many there are. Only the rows of the
// page are read (and those that skip passes over, as keys).
func (d *Dispatcher) RunsByNumber(ctx context.Context, p job.Principal, space string, skip, limit int) (runs []job.Run, total int, err error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, 0, err
	}
	return d.Store.RunsByNumber(ctx, p.Tenant, space, skip, limit)
}

// RunsBelow lists the runs of a space whose numbers are below one (0: all), newest
// first; next is what to go on below, 0 when there are no more. It is how to read
// all of them.
func (d *Dispatcher) RunsBelow(ctx context.Context, p job.Principal, space string, below int64, limit int) (runs []job.Run, next int64, err error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, 0, err
	}
	return d.Store.RunsBelow(ctx, p.Tenant, space, below, limit)
}
