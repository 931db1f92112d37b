package dispatch

import (
	"context"

	"drover/internal/job"
)

// FindDevices returns the devices that meet a query of the search language
// (inventory.DeviceFields; lenient reading unless strict), ordered by name, as
// views. An empty query finds all, unless strict.
func (d *Dispatcher) FindDevices(ctx context.Context, p job.Principal, query string, strict bool) ([]DeviceView, error) {
	return nil, errNotYet
}

// CheckQuery refuses a device query that would be refused by a submit.
func (d *Dispatcher) CheckQuery(ctx context.Context, p job.Principal, query string) error {
	return errNotYet
}

// DeviceByID returns a device by id.
func (d *Dispatcher) DeviceByID(ctx context.Context, p job.Principal, id int64) (DeviceView, error) {
	return DeviceView{}, errNotYet
}

// Targets returns the devices of a run with from <= index < from+limit, in order.
func (d *Dispatcher) Targets(ctx context.Context, p job.Principal, run job.Run, from, limit int) ([]job.Target, error) {
	return nil, errNotYet
}

// Result returns the result of one device of a run, with its output unpacked;
// NotFound when the device is not among its targets.
func (d *Dispatcher) Result(ctx context.Context, p job.Principal, run job.Run, device int64) (job.Result, error) {
	return job.Result{}, errNotYet
}

// RunByNumber returns the run with a number in a space.
func (d *Dispatcher) RunByNumber(ctx context.Context, p job.Principal, space string, number int64) (job.Run, error) {
	return job.Run{}, errNotYet
}

// RunsByNumber lists the runs of a space, newest first: skip of them are left out,
// at most limit are returned. total is how many there are. Only the rows of the
// page are read (and those that skip passes over, as keys).
func (d *Dispatcher) RunsByNumber(ctx context.Context, p job.Principal, space string, skip, limit int) (runs []job.Run, total int, err error) {
	return nil, 0, errNotYet
}
