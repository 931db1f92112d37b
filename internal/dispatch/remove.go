package dispatch

import (
	"context"

	"drover/internal/job"
)

// DeleteDevice deletes a device and returns it as it was. A device that others
// reach through (jump) is in use: Conflict. Runs keep their results.
func (d *Dispatcher) DeleteDevice(ctx context.Context, p job.Principal, name string) (DeviceView, error) {
	if err := allow(p, job.ActChange); err != nil {
		return DeviceView{}, err
	}
	v, err := d.Device(ctx, p, name)
	if err != nil {
		return v, err
	}
	err = d.Store.AllDevices(ctx, p.Tenant, func(o job.Device) error {
		if o.JumpID == v.ID && o.ID != v.ID {
			return job.Errorf(job.Conflict, "the device %q is reached through %q", o.Name, v.Name)
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	return v, d.Store.DeleteDevice(ctx, v.Device, d.entry(p, "device.delete", name, ""))
}

// DeletePool deletes a pool and returns it as it was. Its static members leave
// it first; services that were for it are for the rest of their targets.
func (d *Dispatcher) DeletePool(ctx context.Context, p job.Principal, name string) (PoolView, error) {
	if err := allow(p, job.ActChange); err != nil {
		return PoolView{}, err
	}
	v, err := d.Pool(ctx, p, name)
	if err != nil {
		return v, err
	}
	if _, err := d.setMembers(ctx, p, v.Pool, nil); err != nil {
		return v, err
	}
	return v, d.Store.DeletePool(ctx, v.Pool, d.entry(p, "pool.delete", name, ""))
}

// DeleteCredential deletes a credential and returns it as it was, without
// secrets. One that a device or service logs in with is in use: Conflict.
func (d *Dispatcher) DeleteCredential(ctx context.Context, p job.Principal, name string) (CredentialView, error) {
	if err := allow(p, job.ActChange); err != nil {
		return CredentialView{}, err
	}
	c, err := d.Store.CredentialByName(ctx, p.Tenant, name)
	if err != nil {
		return CredentialView{}, err
	}
	v := credentialView(c)
	err = d.Store.AllDevices(ctx, p.Tenant, func(o job.Device) error {
		if o.CredentialID == c.ID {
			return job.Errorf(job.Conflict, "the device %q logs in with %q", o.Name, name)
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	err = d.Store.AllServices(ctx, p.Tenant, func(o job.Service) error {
		if o.CredentialID == c.ID {
			return job.Errorf(job.Conflict, "the service %q logs in with %q", o.Name, name)
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	return v, d.Store.DeleteCredential(ctx, c, d.entry(p, "credential.delete", name, ""))
}

// DeleteService deletes a service and returns it as it was. Runs that were
// made from it keep their copy.
func (d *Dispatcher) DeleteService(ctx context.Context, p job.Principal, name string) (ServiceView, error) {
	if err := allow(p, job.ActChange); err != nil {
		return ServiceView{}, err
	}
	v, err := d.Service(ctx, p, name)
	if err != nil {
		return v, err
	}
	return v, d.Store.DeleteService(ctx, v.Service, d.entry(p, "service.delete", name, ""))
}

// DeleteUser deletes a user and returns it as it was. Nobody can delete
// himself, so an installation never loses its last administrator this way.
func (d *Dispatcher) DeleteUser(ctx context.Context, p job.Principal, name string) (job.User, error) {
	if err := allow(p, job.ActChange); err != nil {
		return job.User{}, err
	}
	u, err := d.Store.User(ctx, name)
	if err != nil {
		return job.User{}, err
	}
	if u.Tenant != p.Tenant {
		return job.User{}, job.Errorf(job.NotFound, "no user %q", name)
	}
	if u.Name == p.Name {
		return job.User{}, job.Errorf(job.Conflict, "a user cannot delete himself")
	}
	if err := d.Store.DeleteUser(ctx, u, d.entry(p, "user.delete", name, "")); err != nil {
		return job.User{}, err
	}
	u.PasswordHash, u.Tokens = "", nil
	return u, nil
}
