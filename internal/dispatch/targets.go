package dispatch

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/search"
)

// choose finds what a submission is for. own are the targets of its service.
func (d *Dispatcher) choose(ctx context.Context, p job.Principal, sub *Submission, own job.Targets, o *order) error {
	if sub.Select != nil {
		return d.chooseSelected(ctx, p, *sub.Select, sub.Schedule != nil, o)
	}
	want := inventory.Wanted{Devices: sub.Devices, Addresses: sub.Addresses, Pools: sub.Pools}
	var err error
	if want.Empty() {
		if sub.TemplateID != 0 {
			return job.FieldErrorf("select", "nothing says on which devices to run")
		}
		o.targets, err = d.byID(ctx, p.Tenant, own)
		return err
	}
	found, err := d.find(ctx, p.Tenant, want)
	if err != nil {
		return err
	}
	targets, unknown := inventory.Targets(want, found)
	o.unknown = unknown
	resolved := len(want.Devices) + len(want.Addresses) + len(want.Pools) - len(unknown)
	if len(unknown) > 0 && (!sub.IgnoreInvalid || resolved == 0) {
		return job.FieldErrorf("targets", "%d of the targets are unknown", len(unknown))
	}
	o.targets = targets
	return nil
}

// maxKeptIDs is how many ids of devices and pools a job that finds its devices
// again may have.
const maxKeptIDs = 5000

// chooseSelected finds the devices of a selection, unless that is to be done
// later, and keeps of the selection what is of use then.
func (d *Dispatcher) chooseSelected(ctx context.Context, p job.Principal, sel job.Selection, later bool, o *order) error {
	if sel.DeviceIDs == nil && len(sel.PoolIDs) == 0 && sel.SavedQueryID == 0 && strings.TrimSpace(sel.Query) == "" {
		return job.FieldErrorf("select", "nothing says on which devices to run")
	}
	text := sel.Query
	if sel.DeviceIDs == nil {
		var err error
		if text, err = d.queryText(ctx, p, sel); err != nil {
			return err
		}
	}
	if err := inventory.ValidText("search", text, MaxQuery); err != nil {
		return err
	}
	sel.Query = text
	var err error
	var targets []job.Target
	switch {
	case sel.Dynamic && later:
		o.unresolved = true
		if sel.DeviceIDs == nil && text != "" {
			_, err = d.deviceQuery(p, text, search.Strict)
		}
	default:
		targets, err = d.selected(ctx, p, sel)
	}
	if err != nil {
		return err
	}
	o.targets = targets
	o.job.Select = sel
	switch {
	case !sel.Dynamic:
		o.job.Select.Targets = job.Targets{} // the run's own targets say it
	case len(sel.DeviceIDs)+len(sel.PoolIDs) > maxKeptIDs:
		return job.Errorf(job.TooLarge, "a dynamic selection may name %d devices and pools", maxKeptIDs)
	case later && sel.SavedQueryID != 0:
		o.job.Select.Query = "" // read again when it is time
	}
	return nil
}

// queryText is the text of a selection's query as it is now; "": there is none.
func (d *Dispatcher) queryText(ctx context.Context, p job.Principal, sel job.Selection) (string, error) {
	if sel.SavedQueryID == 0 {
		return strings.TrimSpace(sel.Query), nil
	}
	q, err := d.Store.SavedQuery(ctx, p.Tenant, sel.SavedQueryID)
	if job.CodeOf(err) == job.NotFound || err == nil && !sees(p, q) {
		return "", job.FieldErrorf("saved_query", "there is no saved query %d", sel.SavedQueryID)
	}
	return strings.TrimSpace(q.Query), err
}

// selected returns the devices of a selection whose Query holds the text to use:
// those named, then the members of the pools, then, where none is named, those
// that the query finds, by name.
func (d *Dispatcher) selected(ctx context.Context, p job.Principal, sel job.Selection) ([]job.Target, error) {
	targets, err := d.byID(ctx, p.Tenant, sel.Targets)
	if err != nil {
		return nil, err
	}
	if sel.DeviceIDs == nil && (sel.Query != "" || sel.SavedQueryID != 0) {
		q, err := d.deviceQuery(p, sel.Query, search.Strict)
		if err != nil {
			return nil, err
		}
		devs, err := d.foundDevices(ctx, p.Tenant, q)
		if err != nil {
			return nil, err
		}
		targets = inventory.Union(targets, targetsOf(devs))
	}
	if sel.Shuffle { // seeded by the system's source of randomness
		rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	}
	return targets, nil
}

func (d *Dispatcher) find(ctx context.Context, tenant string, want inventory.Wanted) (inventory.Found, error) {
	f := inventory.Found{Devices: map[string]job.Target{}, Addresses: map[string]job.Target{}, Pools: map[string][]job.Target{}}
	ids, err := d.Store.DeviceIDs(ctx, tenant, want.Devices)
	if err != nil {
		return f, err
	}
	for name, id := range ids {
		f.Devices[name] = job.Target{ID: id, Name: name}
	}
	for _, addr := range want.Addresses {
		if _, done := f.Addresses[addr]; done {
			continue
		}
		id, err := d.Store.DeviceIDByAddress(ctx, tenant, addr)
		if job.CodeOf(err) == job.NotFound {
			continue
		}
		if err != nil {
			return f, err
		}
		dev, err := d.Store.Device(ctx, tenant, id)
		if job.CodeOf(err) == job.NotFound {
			continue
		}
		if err != nil {
			return f, err
		}
		f.Addresses[addr] = job.Target{ID: id, Name: dev.Name}
	}
	poolIDs, err := d.Store.PoolIDs(ctx, tenant, want.Pools)
	if err != nil {
		return f, err
	}
	if len(poolIDs) == 0 {
		return f, nil
	}
	var order []int64
	for _, name := range want.Pools {
		if id, ok := poolIDs[name]; ok && !slices.Contains(order, id) {
			order = append(order, id)
		}
	}
	members, err := d.members(ctx, tenant, order)
	if err != nil {
		return f, err
	}
	for name, id := range poolIDs {
		f.Pools[name] = members[id]
	}
	return f, nil
}

// members returns the members of each pool that exists, as targets. Membership
// of a dynamic pool is computed now.
func (d *Dispatcher) members(ctx context.Context, tenant string, poolIDs []int64) (map[int64][]job.Target, error) {
	pools, err := d.Store.PoolsByID(ctx, tenant, poolIDs)
	if err != nil {
		return nil, err
	}
	out := map[int64][]job.Target{}
	dynamic := map[int64]inventory.CompiledPool{}
	for _, pool := range pools {
		out[pool.ID] = nil
		if pool.Dynamic() {
			if dynamic[pool.ID], err = inventory.CompilePool(pool, d.Store.Now()); err != nil {
				return nil, err
			}
			continue
		}
		ids, err := d.Store.Members(ctx, tenant, pool.ID)
		if err != nil {
			return nil, err
		}
		if out[pool.ID], err = d.named(ctx, tenant, ids); err != nil {
			return nil, err
		}
	}
	if len(dynamic) == 0 {
		return out, nil
	}
	err = d.Store.AllDevices(ctx, tenant, func(dev job.Device) error {
		for id, c := range dynamic {
			if c.Contains(dev) {
				out[id] = append(out[id], job.Target{ID: dev.ID, Name: dev.Name})
			}
		}
		return nil
	})
	return out, err
}

func targetsOf(devs []job.Device) []job.Target {
	out := make([]job.Target, len(devs))
	for i, dev := range devs {
		out[i] = job.Target{ID: dev.ID, Name: dev.Name}
	}
	return out
}

// named turns ids into targets, leaving out devices that are gone.
func (d *Dispatcher) named(ctx context.Context, tenant string, ids []int64) ([]job.Target, error) {
	devs, err := d.Store.DevicesByID(ctx, tenant, ids)
	return targetsOf(devs), err
}

// byID returns the devices and the members of the pools, each once.
func (d *Dispatcher) byID(ctx context.Context, tenant string, ids job.Targets) ([]job.Target, error) {
	named, err := d.named(ctx, tenant, ids.DeviceIDs)
	if err != nil {
		return nil, err
	}
	lists := [][]job.Target{named}
	if len(ids.PoolIDs) > 0 {
		members, err := d.members(ctx, tenant, ids.PoolIDs)
		if err != nil {
			return nil, err
		}
		for _, id := range ids.PoolIDs {
			lists = append(lists, members[id])
		}
	}
	return inventory.Union(lists...), nil
}
