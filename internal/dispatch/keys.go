package dispatch

import (
	"context"
	"io"

	"drover/internal/job"
)

// RotateKeys adds a fresh key to the keyset that seals secrets; what is sealed
// from now on is sealed with it, and what is sealed already still opens. It
// returns how many keys there are. The keyset is every tenant's: it is for
// administrators of the default tenant. The audit entry is written first, so that
// no rotation is without one.
func (d *Dispatcher) RotateKeys(ctx context.Context, p job.Principal) (int, error) {
	if err := allow(p, job.ActChange); err != nil {
		return 0, err
	}
	if p.Tenant != job.DefaultTenant {
		return 0, job.Errorf(job.Forbidden, "the keys seal every tenant's secrets: they are for administrators of the tenant %q", job.DefaultTenant)
	}
	if err := d.Store.Audit(ctx, d.entry(p, "keys.rotate", "", "")); err != nil {
		return 0, err
	}
	if err := d.Box.Rotate(ctx); err != nil {
		return 0, err
	}
	return d.Box.Keys(), nil
}

// Backup has a backup of the whole installation written to w, after an audit
// entry that says who took it. It is for administrators of the default tenant.
func (d *Dispatcher) Backup(ctx context.Context, p job.Principal, w io.Writer, write func(context.Context, io.Writer) error) error {
	if !p.Role.Allows(job.ActChange) || p.Tenant != job.DefaultTenant {
		return job.Errorf(job.Forbidden, "a backup holds every tenant's data: it is for administrators of the tenant %q", job.DefaultTenant)
	}
	if write == nil {
		return job.Errorf(job.Unsupported, "backups are made by the storage service here")
	}
	if err := d.Store.Audit(ctx, d.entry(p, "backup", "", "")); err != nil {
		return err
	}
	return write(ctx, w)
}
