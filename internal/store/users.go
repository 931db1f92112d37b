package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"drover/internal/job"
)

// A user's row lies under its name in one partition for the installation,
// because names are unique in it; a list row lies with its tenant.

func userKey(name string) Key { return Key{"user", name} }

func userListKey(tenant, name string) Key { return Key{tenant + "/user", name} }

// User returns a user by name, whatever the tenant.
func (s *Store) User(ctx context.Context, name string) (job.User, error) {
	if name == "" || len(name) > MaxKeyBytes {
		return job.User{}, job.Errorf(job.NotFound, "no such user")
	}
	r, err := s.get(ctx, userKey(name))
	if job.CodeOf(err) == job.NotFound {
		return job.User{}, job.Errorf(job.NotFound, "no user %s", strconv.Quote(name))
	}
	if err != nil {
		return job.User{}, err
	}
	u, err := decode[job.User](r)
	u.Rev = r.Rev
	return u, err
}

// Users lists a tenant's users in order of name.
func (s *Store) Users(ctx context.Context, tenant string, q PageQuery) ([]job.User, string, error) {
	page, err := s.d.Query(ctx, Query{Partition: tenant + "/user", Limit: min(q.limit(), MaxBatch), After: q.After})
	if err != nil {
		return nil, "", err
	}
	keys := make([]Key, len(page.Rows))
	for i, r := range page.Rows {
		keys[i] = userKey(r.Key.Sort)
	}
	found, err := s.getAll(ctx, keys)
	if err != nil {
		return nil, "", err
	}
	users := make([]job.User, 0, len(keys))
	for _, k := range keys {
		if r, ok := found[k]; ok {
			u, err := decode[job.User](r)
			if err != nil {
				return nil, "", err
			}
			u.Rev = r.Rev
			users = append(users, u)
		}
	}
	return users, page.Next, nil
}

// PutUser creates a user (Rev ""; its ID is set; AlreadyExists when the name is
// taken in any tenant) or replaces the revision that was read. Name and tenant
// of a user do not change.
func (s *Store) PutUser(ctx context.Context, u *job.User) error { return s.PutUserAudited(ctx, u) }

// PutUserAudited is PutUser with entries for the audit record, which are written
// with the user or not at all.
func (s *Store) PutUserAudited(ctx context.Context, u *job.User, audit ...job.AuditEntry) error {
	cond := IfRev(u.Rev)
	if u.Rev == "" {
		cond = IfMissing()
		n, err := s.d.Add(ctx, Key{"user", "id"}, 1, time.Time{})
		if err != nil {
			return err
		}
		u.ID = n
	}
	ops := append(s.auditOps(audit),
		Op{Kind: OpPut, Row: Row{Key: userKey(u.Name), Value: encode(u)}, Cond: cond},
		Op{Kind: OpPut, Row: Row{Key: userListKey(u.Tenant, u.Name), Value: []byte("1")}})
	err := s.d.Atomic(ctx, ops...)
	if job.CodeOf(err) == job.Conflict && u.Rev == "" {
		return job.Errorf(job.AlreadyExists, "there is already a user with the name %q", u.Name)
	}
	return err
}

// DeleteUser removes a user.
func (s *Store) DeleteUser(ctx context.Context, u job.User, audit ...job.AuditEntry) error {
	ops := append(s.auditOps(audit),
		Op{Kind: OpDelete, Row: Row{Key: userKey(u.Name)}, Cond: IfRev(u.Rev)},
		Op{Kind: OpDelete, Row: Row{Key: userListKey(u.Tenant, u.Name)}})
	return s.d.Atomic(ctx, ops...)
}

func hostKeyKey(tenant string, device int64) Key {
	return Key{tenant + "/hostkey", idSort(device)}
}

// HostKey returns the key pinned for a device.
func (s *Store) HostKey(ctx context.Context, tenant string, device int64) (job.HostKey, error) {
	r, err := s.get(ctx, hostKeyKey(tenant, device))
	if job.CodeOf(err) == job.NotFound {
		return job.HostKey{}, job.Errorf(job.NotFound, "no host key is pinned for device %d", device)
	}
	if err != nil {
		return job.HostKey{}, err
	}
	k, err := decode[job.HostKey](r)
	k.Rev = r.Rev
	return k, err
}

// HostKeys lists pinned keys in order of device id.
func (s *Store) HostKeys(ctx context.Context, tenant string, q PageQuery) ([]job.HostKey, string, error) {
	page, err := s.d.Query(ctx, Query{Partition: tenant + "/hostkey", Limit: q.limit(), After: q.After})
	if err != nil {
		return nil, "", err
	}
	keys := make([]job.HostKey, 0, len(page.Rows))
	for _, r := range page.Rows {
		k, err := decode[job.HostKey](r)
		if err != nil {
			return nil, "", err
		}
		k.Rev = r.Rev
		keys = append(keys, k)
	}
	return keys, page.Next, nil
}

// PutHostKey pins a key (Rev "": Conflict when another one is pinned already)
// or replaces the revision that was read.
func (s *Store) PutHostKey(ctx context.Context, tenant string, k job.HostKey) error {
	cond := IfRev(k.Rev)
	if k.Rev == "" {
		cond = IfMissing()
	}
	_, err := s.d.Put(ctx, Row{Key: hostKeyKey(tenant, k.DeviceID), Value: encode(k)}, cond)
	return err
}

// DeleteHostKey removes a pin; a missing one is no error.
func (s *Store) DeleteHostKey(ctx context.Context, tenant string, device int64) error {
	return s.d.Delete(ctx, hostKeyKey(tenant, device), Always())
}

// auditKeep is how long an audit entry stays at least.
const auditKeep = 400 * 24 * time.Hour

// Audit appends an entry to the tenant's audit record.
func (s *Store) Audit(ctx context.Context, e job.AuditEntry) error {
	op := s.auditOp(e)
	_, err := s.d.Put(ctx, op.Row, op.Cond)
	return err
}

func (s *Store) auditOps(entries []job.AuditEntry) []Op {
	var ops []Op
	for _, e := range entries {
		ops = append(ops, s.auditOp(e))
	}
	return ops
}

func (s *Store) auditOp(e job.AuditEntry) Op {
	return Op{Kind: OpPut, Row: Row{
		Key:     Key{e.Tenant + "/audit", fmt.Sprintf("%016d/%016x", e.Time.UnixMicro(), rand.Uint64())},
		Value:   encode(e),
		Expires: e.Time.Add(max(auditKeep, s.keep)),
	}, Cond: IfMissing()}
}

// AuditLog lists a tenant's audit record, newest first.
func (s *Store) AuditLog(ctx context.Context, tenant string, q PageQuery) ([]job.AuditEntry, string, error) {
	page, err := s.d.Query(ctx, Query{Partition: tenant + "/audit", Reverse: true, Limit: q.limit(), After: q.After})
	if err != nil {
		return nil, "", err
	}
	es := make([]job.AuditEntry, 0, len(page.Rows))
	for _, r := range page.Rows {
		e, err := decode[job.AuditEntry](r)
		if err != nil {
			return nil, "", err
		}
		es = append(es, e)
	}
	return es, page.Next, nil
}
