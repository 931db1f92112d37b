package dispatch

import (
	"context"

	"drover/internal/inventory"
	"drover/internal/job"
)

// HostKeys lists the pinned host keys in order of device id.
func (d *Dispatcher) HostKeys(ctx context.Context, p job.Principal, q Page) ([]job.HostKey, string, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, "", err
	}
	return d.Store.HostKeys(ctx, p.Tenant, q.query())
}

// AcceptHostKey pins the key that a device offered and was refused for, or,
// when key is given (authorized_keys form), that key. It returns what is pinned
// now.
func (d *Dispatcher) AcceptHostKey(ctx context.Context, p job.Principal, device, key string) (job.HostKey, error) {
	if err := allow(p, job.ActChange); err != nil {
		return job.HostKey{}, err
	}
	dev, err := d.Store.DeviceByName(ctx, p.Tenant, device)
	if err != nil {
		return job.HostKey{}, err
	}
	if key == "" {
		k, err := d.Store.HostKey(ctx, p.Tenant, dev.ID)
		if err != nil && job.CodeOf(err) != job.NotFound {
			return k, err
		}
		if k.Offered == "" {
			return k, job.Errorf(job.NotFound, "the device %q has not offered another key; give the key to accept", device)
		}
		key = k.Offered
	}
	if key, err = inventory.ParseHostKey(key); err != nil {
		return job.HostKey{}, err
	}
	if _, err := d.pin(ctx, p, dev, key); err != nil {
		return job.HostKey{}, err
	}
	return d.Store.HostKey(ctx, p.Tenant, dev.ID)
}

// ForgetHostKey removes a pin: a device with policy accept-new pins the next
// key it shows.
func (d *Dispatcher) ForgetHostKey(ctx context.Context, p job.Principal, device string) error {
	if err := allow(p, job.ActChange); err != nil {
		return err
	}
	dev, err := d.Store.DeviceByName(ctx, p.Tenant, device)
	if err != nil {
		return err
	}
	if err := d.Store.DeleteHostKey(ctx, p.Tenant, dev.ID); err != nil {
		return err
	}
	return d.Store.Audit(ctx, d.entry(p, "host_key.forget", device, ""))
}

// pin makes key the pinned key of a device and forgets what was refused.
func (d *Dispatcher) pin(ctx context.Context, p job.Principal, dev job.Device, key string) (changed bool, err error) {
	for try := 0; ; try++ {
		k, err := d.Store.HostKey(ctx, p.Tenant, dev.ID)
		if err != nil && job.CodeOf(err) != job.NotFound {
			return false, err
		}
		if k.Key == key && k.Offered == "" {
			return false, nil
		}
		k.DeviceID, k.Device, k.Key = dev.ID, dev.Name, key
		k.Pinned, k.PinnedBy = d.Store.Now(), p.Name
		k.Offered, k.OfferedAt = "", nil
		err = d.Store.PutHostKey(ctx, p.Tenant, k)
		if job.CodeOf(err) == job.Conflict && try < 4 {
			continue
		}
		if err != nil {
			return false, err
		}
		return true, d.Store.Audit(ctx, d.entry(p, "host_key.accept", dev.Name, ""))
	}
}
