package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
)

// An object is a row under its id, and a row under its name that holds the id.
// Both change in one group, so a name never leads nowhere.
type kind[T any] struct {
	name string
	meta func(*T) *job.Meta
}

var (
	devices     = kind[job.Device]{"device", func(v *job.Device) *job.Meta { return &v.Meta }}
	pools       = kind[job.Pool]{"pool", func(v *job.Pool) *job.Meta { return &v.Meta }}
	credentials = kind[job.Credential]{"credential", func(v *job.Credential) *job.Meta { return &v.Meta }}
	services    = kind[job.Service]{"service", func(v *job.Service) *job.Meta { return &v.Meta }}
)

func idSort(id int64) string { return fmt.Sprintf("%016d", id) }

func (k kind[T]) key(tenant string, id int64) Key {
	return Key{tenant + "/" + k.name, idSort(id)}
}

func (k kind[T]) nameKey(tenant, name string) Key {
	return Key{tenant + "/" + k.name + "/name", name}
}

func (k kind[T]) decode(r Row) (T, error) {
	v, err := decode[T](r)
	if err == nil {
		k.meta(&v).Rev = r.Rev
	}
	return v, err
}

func (k kind[T]) missing(what any) error {
	return job.Errorf(job.NotFound, "no %s %v", k.name, what)
}

func (k kind[T]) byID(ctx context.Context, s *Store, tenant string, id int64) (T, error) {
	var zero T
	r, err := s.get(ctx, k.key(tenant, id))
	if job.CodeOf(err) == job.NotFound {
		return zero, k.missing(id)
	}
	if err != nil {
		return zero, err
	}
	return k.decode(r)
}

func (k kind[T]) byIDs(ctx context.Context, s *Store, tenant string, ids []int64) ([]T, error) {
	keys := make([]Key, len(ids))
	for i, id := range ids {
		keys[i] = k.key(tenant, id)
	}
	slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a.Sort, b.Sort) })
	keys = slices.Compact(keys)
	found, err := s.getAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(ids))
	for _, id := range ids {
		if r, ok := found[k.key(tenant, id)]; ok {
			v, err := k.decode(r)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
	}
	return out, nil
}

func (k kind[T]) byName(ctx context.Context, s *Store, tenant, name string) (T, error) {
	var zero T
	if name == "" || len(name) > MaxKeyBytes {
		return zero, k.missing(strconv.Quote(name))
	}
	// A rename between the two reads leaves a name row of another object
	// or none: the name that the record itself carries decides.
	r, err := s.get(ctx, k.nameKey(tenant, name))
	if job.CodeOf(err) == job.NotFound {
		return zero, k.missing(strconv.Quote(name))
	}
	if err != nil {
		return zero, err
	}
	id, err := decode[int64](r)
	if err != nil {
		return zero, err
	}
	v, err := k.byID(ctx, s, tenant, id)
	if job.CodeOf(err) == job.NotFound || err == nil && k.meta(&v).Name != name {
		return zero, k.missing(strconv.Quote(name))
	}
	return v, err
}

// idsByName returns the ids of those names that exist.
func (k kind[T]) idsByName(ctx context.Context, s *Store, tenant string, names []string) (map[string]int64, error) {
	keys := make([]Key, 0, len(names))
	seen := map[string]bool{}
	for _, n := range names {
		if n != "" && len(n) <= MaxKeyBytes && !seen[n] {
			seen[n] = true
			keys = append(keys, k.nameKey(tenant, n))
		}
	}
	found, err := s.getAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]int64, len(found))
	for key, r := range found {
		id, err := decode[int64](r)
		if err != nil {
			return nil, err
		}
		ids[key.Sort] = id
	}
	return ids, nil
}

func (k kind[T]) list(ctx context.Context, s *Store, tenant string, q PageQuery) ([]T, string, error) {
	page, err := s.d.Query(ctx, Query{Partition: tenant + "/" + k.name, Limit: q.limit(), After: q.After})
	if err != nil {
		return nil, "", err
	}
	out := make([]T, 0, len(page.Rows))
	for _, r := range page.Rows {
		v, err := k.decode(r)
		if err != nil {
			return nil, "", err
		}
		out = append(out, v)
	}
	return out, page.Next, nil
}

// all calls f for every object of the tenant, in order of id.
func (k kind[T]) all(ctx context.Context, s *Store, tenant string, f func(T) error) error {
	q := PageQuery{Limit: MaxPageRows}
	for {
		vs, next, err := k.list(ctx, s, tenant, q)
		if err != nil {
			return err
		}
		for _, v := range vs {
			if err := f(v); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		q.After = next
	}
}

// ReserveIDs takes n ids for new objects of a kind ("device", "pool",
// "credential", "service") out of use and returns the first: they are ascending
// without a gap, and no other object will ever have them.
func (s *Store) ReserveIDs(ctx context.Context, tenant, kind string, n int) (first int64, err error) {
	last, err := s.d.Add(ctx, Key{tenant + "/" + kind, "id"}, int64(n), time.Time{})
	return last - int64(n) + 1, err
}

// put creates next (prev nil) or replaces prev by it, with further operations
// and audit entries in the same group. On creation it sets next's ID unless one
// was reserved for it.
func (k kind[T]) put(ctx context.Context, s *Store, prev, next *T, audit []job.AuditEntry, more func(prev, next *T) []Op) error {
	m := k.meta(next)
	var ops []Op
	id := func() []byte { return encode(m.ID) }
	if prev == nil {
		if m.ID == 0 {
			n, err := s.ReserveIDs(ctx, m.Tenant, k.name, 1)
			if err != nil {
				return err
			}
			m.ID = n
		}
		ops = append(ops,
			Op{Kind: OpPut, Row: Row{Key: k.key(m.Tenant, m.ID), Value: encode(next)}, Cond: IfMissing()},
			Op{Kind: OpPut, Row: Row{Key: k.nameKey(m.Tenant, m.Name), Value: id()}, Cond: IfMissing()})
	} else {
		p := k.meta(prev)
		m.ID = p.ID
		ops = append(ops, Op{Kind: OpPut, Row: Row{Key: k.key(m.Tenant, m.ID), Value: encode(next)}, Cond: IfRev(p.Rev)})
		if p.Name != m.Name {
			ops = append(ops,
				Op{Kind: OpDelete, Row: Row{Key: k.nameKey(m.Tenant, p.Name)}},
				Op{Kind: OpPut, Row: Row{Key: k.nameKey(m.Tenant, m.Name), Value: id()}, Cond: IfMissing()})
		}
	}
	if more != nil {
		ops = append(ops, more(prev, next)...)
	}
	err := s.d.Atomic(ctx, append(ops, s.auditOps(audit)...)...)
	if job.CodeOf(err) == job.Conflict {
		if got, gerr := k.byName(ctx, s, m.Tenant, m.Name); gerr == nil && k.meta(&got).ID != m.ID {
			return job.Errorf(job.AlreadyExists, "there is already a %s with the name %q", k.name, m.Name)
		}
	}
	return err
}

func (k kind[T]) delete(ctx context.Context, s *Store, v T, audit []job.AuditEntry, more ...Op) error {
	m := k.meta(&v)
	ops := append([]Op{
		{Kind: OpDelete, Row: Row{Key: k.key(m.Tenant, m.ID)}, Cond: IfRev(m.Rev)},
		{Kind: OpDelete, Row: Row{Key: k.nameKey(m.Tenant, m.Name)}},
	}, more...)
	return s.d.Atomic(ctx, append(ops, s.auditOps(audit)...)...)
}

// Device returns a device by id.
func (s *Store) Device(ctx context.Context, tenant string, id int64) (job.Device, error) {
	return devices.byID(ctx, s, tenant, id)
}

// DeviceByName returns a device by name.
func (s *Store) DeviceByName(ctx context.Context, tenant, name string) (job.Device, error) {
	return devices.byName(ctx, s, tenant, name)
}

// DevicesByID returns those of the devices that exist, in the order asked for.
func (s *Store) DevicesByID(ctx context.Context, tenant string, ids []int64) ([]job.Device, error) {
	return devices.byIDs(ctx, s, tenant, ids)
}

// DeviceIDs returns the ids of those names that exist.
func (s *Store) DeviceIDs(ctx context.Context, tenant string, names []string) (map[string]int64, error) {
	return devices.idsByName(ctx, s, tenant, names)
}

// Devices lists devices in order of id.
func (s *Store) Devices(ctx context.Context, tenant string, q PageQuery) ([]job.Device, string, error) {
	return devices.list(ctx, s, tenant, q)
}

// AllDevices calls f for every device of the tenant until it returns an error.
func (s *Store) AllDevices(ctx context.Context, tenant string, f func(job.Device) error) error {
	return devices.all(ctx, s, tenant, f)
}

func addressPartition(tenant string) string { return tenant + "/device/address" }

func memberPartition(tenant string, pool int64) string {
	return tenant + "/pool/" + idSort(pool) + "/member"
}

// DeviceIDByAddress returns the lowest id among the devices with an address.
func (s *Store) DeviceIDByAddress(ctx context.Context, tenant, address string) (int64, error) {
	if address == "" || len(address) > 512 {
		return 0, devices.missing("with address " + strconv.Quote(address))
	}
	page, err := s.d.Query(ctx, Query{Partition: addressPartition(tenant), From: address + "/", To: address + "0", Limit: 1})
	if err != nil {
		return 0, err
	}
	if len(page.Rows) == 0 {
		return 0, devices.missing("with address " + strconv.Quote(address))
	}
	_, id, _ := strings.Cut(page.Rows[0].Key.Sort, "/")
	return strconv.ParseInt(id, 10, 64)
}

// MaxPoolsPerDevice bounds static memberships, so that a device and its
// membership rows fit one atomic group.
const MaxPoolsPerDevice = 40

// PutDevice creates a device (prev nil; its ID is set) or replaces prev by
// next, and keeps the address and membership rows in step. Like every Put and
// Delete of an object it takes entries for the audit record, which are written
// with the object or not at all.
func (s *Store) PutDevice(ctx context.Context, prev, next *job.Device, audit ...job.AuditEntry) error {
	if len(next.PoolIDs) > MaxPoolsPerDevice {
		return job.FieldErrorf("pools", "a device may name at most %d pools", MaxPoolsPerDevice)
	}
	return devices.put(ctx, s, prev, next, audit, func(prev, next *job.Device) []Op {
		var old job.Device
		if prev != nil {
			old = *prev
		}
		return deviceRows(&old, next)
	})
}

// deviceRows are the operations that turn old's secondary rows into next's;
// a zero device stands for none.
func deviceRows(old, next *job.Device) []Op {
	var ops []Op
	addr := func(d *job.Device) Key { return Key{addressPartition(d.Tenant), d.Address + "/" + idSort(d.ID)} }
	if old.ID != 0 && (old.Address != next.Address || next.ID == 0) {
		ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: addr(old)}})
	}
	if next.ID != 0 && (old.Address != next.Address || old.ID == 0) {
		ops = append(ops, Op{Kind: OpPut, Row: Row{Key: addr(next), Value: []byte("1")}})
	}
	for _, p := range old.PoolIDs {
		if !slices.Contains(next.PoolIDs, p) {
			ops = append(ops, Op{Kind: OpDelete, Row: Row{Key: Key{memberPartition(old.Tenant, p), idSort(old.ID)}}})
		}
	}
	for _, p := range next.PoolIDs {
		if !slices.Contains(old.PoolIDs, p) {
			ops = append(ops, Op{Kind: OpPut, Row: Row{Key: Key{memberPartition(next.Tenant, p), idSort(next.ID)}, Value: []byte("1")}})
		}
	}
	return ops
}

// DeleteDevice removes a device with its secondary rows and its pinned key.
func (s *Store) DeleteDevice(ctx context.Context, d job.Device, audit ...job.AuditEntry) error {
	ops := append(deviceRows(&d, &job.Device{}), Op{Kind: OpDelete, Row: Row{Key: hostKeyKey(d.Tenant, d.ID)}})
	return devices.delete(ctx, s, d, audit, ops...)
}

// Members returns the ids of a pool's static members, ascending.
func (s *Store) Members(ctx context.Context, tenant string, pool int64) ([]int64, error) {
	var ids []int64
	q := Query{Partition: memberPartition(tenant, pool), Limit: MaxPageRows}
	for {
		page, err := s.d.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Rows {
			id, err := strconv.ParseInt(r.Key.Sort, 10, 64)
			if err != nil {
				return nil, job.Wrap(job.Corrupt, err, "membership row of pool %d", pool)
			}
			ids = append(ids, id)
		}
		if page.Next == "" {
			return ids, nil
		}
		q.After = page.Next
	}
}

// Pool returns a pool by id.
func (s *Store) Pool(ctx context.Context, tenant string, id int64) (job.Pool, error) {
	return pools.byID(ctx, s, tenant, id)
}

// PoolByName returns a pool by name.
func (s *Store) PoolByName(ctx context.Context, tenant, name string) (job.Pool, error) {
	return pools.byName(ctx, s, tenant, name)
}

// PoolsByID returns those of the pools that exist, in the order asked for.
func (s *Store) PoolsByID(ctx context.Context, tenant string, ids []int64) ([]job.Pool, error) {
	return pools.byIDs(ctx, s, tenant, ids)
}

// PoolIDs returns the ids of those names that exist.
func (s *Store) PoolIDs(ctx context.Context, tenant string, names []string) (map[string]int64, error) {
	return pools.idsByName(ctx, s, tenant, names)
}

// Pools lists pools in order of id.
func (s *Store) Pools(ctx context.Context, tenant string, q PageQuery) ([]job.Pool, string, error) {
	return pools.list(ctx, s, tenant, q)
}

// PutPool creates a pool (prev nil) or replaces prev by next.
func (s *Store) PutPool(ctx context.Context, prev, next *job.Pool, audit ...job.AuditEntry) error {
	return pools.put(ctx, s, prev, next, audit, nil)
}

// DeletePool removes a pool. Its static members must have left it before.
func (s *Store) DeletePool(ctx context.Context, p job.Pool, audit ...job.AuditEntry) error {
	return pools.delete(ctx, s, p, audit)
}

// Credential returns a credential by id.
func (s *Store) Credential(ctx context.Context, tenant string, id int64) (job.Credential, error) {
	return credentials.byID(ctx, s, tenant, id)
}

// CredentialByName returns a credential by name.
func (s *Store) CredentialByName(ctx context.Context, tenant, name string) (job.Credential, error) {
	return credentials.byName(ctx, s, tenant, name)
}

// CredentialsByID returns those of the credentials that exist, in the order
// asked for.
func (s *Store) CredentialsByID(ctx context.Context, tenant string, ids []int64) ([]job.Credential, error) {
	return credentials.byIDs(ctx, s, tenant, ids)
}

// CredentialIDs returns the ids of those names that exist.
func (s *Store) CredentialIDs(ctx context.Context, tenant string, names []string) (map[string]int64, error) {
	return credentials.idsByName(ctx, s, tenant, names)
}

// Credentials lists credentials in order of id.
func (s *Store) Credentials(ctx context.Context, tenant string, q PageQuery) ([]job.Credential, string, error) {
	return credentials.list(ctx, s, tenant, q)
}

// NextCredentialID reserves an id, so that secrets can be sealed to their place
// before the credential is first stored with PutNewCredential.
func (s *Store) NextCredentialID(ctx context.Context, tenant string) (int64, error) {
	return s.ReserveIDs(ctx, tenant, credentials.name, 1)
}

// PutNewCredential creates a credential under an id of NextCredentialID.
func (s *Store) PutNewCredential(ctx context.Context, c job.Credential, audit ...job.AuditEntry) error {
	return credentials.put(ctx, s, nil, &c, audit, nil)
}

// PutCredential replaces prev by next.
func (s *Store) PutCredential(ctx context.Context, prev, next *job.Credential, audit ...job.AuditEntry) error {
	return credentials.put(ctx, s, prev, next, audit, nil)
}

// DeleteCredential removes a credential.
func (s *Store) DeleteCredential(ctx context.Context, c job.Credential, audit ...job.AuditEntry) error {
	return credentials.delete(ctx, s, c, audit)
}

// Service returns a service by id.
func (s *Store) Service(ctx context.Context, tenant string, id int64) (job.Service, error) {
	return services.byID(ctx, s, tenant, id)
}

// ServiceByName returns a service by name.
func (s *Store) ServiceByName(ctx context.Context, tenant, name string) (job.Service, error) {
	return services.byName(ctx, s, tenant, name)
}

// Services lists services in order of id.
func (s *Store) Services(ctx context.Context, tenant string, q PageQuery) ([]job.Service, string, error) {
	return services.list(ctx, s, tenant, q)
}

// AllServices calls f for every service of the tenant until it returns an error.
func (s *Store) AllServices(ctx context.Context, tenant string, f func(job.Service) error) error {
	return services.all(ctx, s, tenant, f)
}

// PutService creates a service (prev nil) or replaces prev by next.
func (s *Store) PutService(ctx context.Context, prev, next *job.Service, audit ...job.AuditEntry) error {
	return services.put(ctx, s, prev, next, audit, nil)
}

// DeleteService removes a service. Jobs that were made from it keep their copy.
func (s *Store) DeleteService(ctx context.Context, v job.Service, audit ...job.AuditEntry) error {
	return services.delete(ctx, s, v, audit)
}
