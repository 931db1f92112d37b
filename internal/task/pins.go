package task

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strconv"

	"drover/internal/event"
	"drover/internal/job"
)

// pins are the host keys of a tenant's devices in the store.
type pins struct {
	f      *Functions
	tenant string
	// read are keys as they were read with the unit, "" for none. Each
	// serves one connection: a further attempt looks again, because
	// somebody may have accepted another key meanwhile.
	read map[int64]string
}

// Pinned implements device.Pins.
func (p *pins) Pinned(ctx context.Context, id int64) (string, error) {
	if key, ok := p.read[id]; ok {
		delete(p.read, id)
		return key, nil
	}
	k, err := p.f.cfg.Store.HostKey(ctx, p.tenant, id)
	if job.CodeOf(err) == job.NotFound {
		return "", nil
	}
	return k.Key, err
}

// Pin implements device.Pins.
func (p *pins) Pin(ctx context.Context, id int64, name, key string) (string, error) {
	err := p.f.cfg.Store.PutHostKey(ctx, p.tenant, job.HostKey{DeviceID: id, Device: name, Key: key, Pinned: p.f.now()})
	if job.CodeOf(err) == job.Conflict {
		return p.Pinned(ctx, id)
	}
	return key, err
}

// Refused implements device.Pins. The key is kept, so that it can be looked at
// and accepted; the event is raised once for each other key.
func (p *pins) Refused(ctx context.Context, id int64, name, offered string) error {
	for try := 0; ; try++ {
		k, err := p.f.cfg.Store.HostKey(ctx, p.tenant, id)
		if job.CodeOf(err) == job.NotFound {
			return nil // forgotten meanwhile
		}
		if err != nil || k.Offered == offered {
			return err
		}
		now := p.f.now()
		k.Offered, k.OfferedAt = offered, &now
		err = p.f.cfg.Store.PutHostKey(ctx, p.tenant, k)
		if job.CodeOf(err) == job.Conflict && try < conflictTries {
			continue
		}
		if err != nil {
			return err
		}
		p.changed(ctx, id, name, offered)
		return nil
	}
}

func (p *pins) changed(ctx context.Context, id int64, name, offered string) {
	p.f.cfg.Log.WarnContext(ctx, "host key changed: the device is refused", "tenant", p.tenant, "device", name)
	if p.f.cfg.Events == nil {
		return
	}
	sum := sha256.Sum256([]byte(offered))
	print := base64.RawURLEncoding.EncodeToString(sum[:])
	err := p.f.cfg.Events.Publish(ctx, event.Event{
		ID: p.tenant + "/" + strconv.FormatInt(id, 10) + "/" + print, Kind: event.HostKeyChanged, Time: p.f.now(), Tenant: p.tenant,
		Device: name, Detail: "the device showed another host key than the pinned one: " + offered,
	})
	if err != nil {
		p.f.cfg.Log.WarnContext(ctx, "event not handed over", "tenant", p.tenant, "device", name, "err", err)
	}
}
