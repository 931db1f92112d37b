package dispatch

import (
	"context"
	"slices"

	"drover/internal/job"
	"drover/internal/store"
)

// The views are objects with their relations by name. Relations to objects
// that are gone are left out.

// DeviceView is a device with the names of what it refers to.
type DeviceView struct {
	job.Device
	Credential string
	Jump       string
	Pools      []string
}

// PoolView is a pool with the names of its members as they are now.
type PoolView struct {
	job.Pool
	Devices []string
}

// CredentialView is a credential without its secrets: only whether they are set.
type CredentialView struct {
	job.Meta
	Description       string
	Username          string
	HasPassword       bool
	HasPrivateKey     bool
	HasPassphrase     bool
	HasBecomePassword bool
}

// ServiceView is a service with the names of what it refers to.
type ServiceView struct {
	job.Service
	Devices    []string
	Pools      []string
	Credential string
}

// Page asks for part of a listing; see store.PageQuery.
type Page struct {
	Limit int
	After string
}

func (q Page) query() store.PageQuery { return store.PageQuery{Limit: q.Limit, After: q.After} }

// Device returns a device by name.
func (d *Dispatcher) Device(ctx context.Context, p job.Principal, name string) (DeviceView, error) {
	if err := allow(p, job.ActRead); err != nil {
		return DeviceView{}, err
	}
	dev, err := d.Store.DeviceByName(ctx, p.Tenant, name)
	return d.deviceView(ctx, dev, err)
}

// deviceView is the view of a device that was looked up.
func (d *Dispatcher) deviceView(ctx context.Context, dev job.Device, err error) (DeviceView, error) {
	if err != nil {
		return DeviceView{}, err
	}
	vs, err := d.deviceViews(ctx, dev.Tenant, []job.Device{dev})
	if err != nil {
		return DeviceView{}, err
	}
	return vs[0], nil
}

// Devices lists devices in order of id.
func (d *Dispatcher) Devices(ctx context.Context, p job.Principal, q Page) ([]DeviceView, string, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, "", err
	}
	devs, next, err := d.Store.Devices(ctx, p.Tenant, q.query())
	if err != nil {
		return nil, "", err
	}
	vs, err := d.deviceViews(ctx, p.Tenant, devs)
	return vs, next, err
}

func (d *Dispatcher) deviceViews(ctx context.Context, tenant string, devs []job.Device) ([]DeviceView, error) {
	var creds, jumps, pools idSet
	for _, dev := range devs {
		creds.add(dev.CredentialID)
		jumps.add(dev.JumpID)
		pools.add(dev.PoolIDs...)
	}
	credNames, err := d.credentialNames(ctx, tenant, creds)
	if err != nil {
		return nil, err
	}
	jumpNames, err := d.deviceNames(ctx, tenant, jumps)
	if err != nil {
		return nil, err
	}
	poolNames, err := d.poolNames(ctx, tenant, pools)
	if err != nil {
		return nil, err
	}
	vs := make([]DeviceView, len(devs))
	for i, dev := range devs {
		vs[i] = DeviceView{Device: dev, Credential: credNames[dev.CredentialID], Jump: jumpNames[dev.JumpID], Pools: pick(poolNames, dev.PoolIDs)}
	}
	return vs, nil
}

// Pool returns a pool by name.
func (d *Dispatcher) Pool(ctx context.Context, p job.Principal, name string) (PoolView, error) {
	if err := allow(p, job.ActRead); err != nil {
		return PoolView{}, err
	}
	pool, err := d.Store.PoolByName(ctx, p.Tenant, name)
	if err != nil {
		return PoolView{}, err
	}
	members, err := d.members(ctx, p.Tenant, []int64{pool.ID})
	if err != nil {
		return PoolView{}, err
	}
	v := PoolView{Pool: pool}
	for _, t := range members[pool.ID] {
		v.Devices = append(v.Devices, t.Name)
	}
	return v, nil
}

// Pools lists pools in order of id, without their members.
func (d *Dispatcher) Pools(ctx context.Context, p job.Principal, q Page) ([]job.Pool, string, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, "", err
	}
	return d.Store.Pools(ctx, p.Tenant, q.query())
}

func credentialView(c job.Credential) CredentialView {
	return CredentialView{Meta: c.Meta, Description: c.Description, Username: c.Username, HasPassword: c.Password.Set(),
		HasPrivateKey: c.PrivateKey.Set(), HasPassphrase: c.Passphrase.Set(), HasBecomePassword: c.BecomePassword.Set()}
}

// Credential returns a credential by name.
func (d *Dispatcher) Credential(ctx context.Context, p job.Principal, name string) (CredentialView, error) {
	if err := allow(p, job.ActRead); err != nil {
		return CredentialView{}, err
	}
	c, err := d.Store.CredentialByName(ctx, p.Tenant, name)
	return credentialView(c), err
}

// Credentials lists credentials in order of id.
func (d *Dispatcher) Credentials(ctx context.Context, p job.Principal, q Page) ([]CredentialView, string, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, "", err
	}
	cs, next, err := d.Store.Credentials(ctx, p.Tenant, q.query())
	vs := make([]CredentialView, len(cs))
	for i, c := range cs {
		vs[i] = credentialView(c)
	}
	return vs, next, err
}

// Service returns a service by name.
func (d *Dispatcher) Service(ctx context.Context, p job.Principal, name string) (ServiceView, error) {
	if err := allow(p, job.ActRead); err != nil {
		return ServiceView{}, err
	}
	svc, err := d.Store.ServiceByName(ctx, p.Tenant, name)
	if err != nil {
		return ServiceView{}, err
	}
	vs, err := d.serviceViews(ctx, p.Tenant, []job.Service{svc})
	if err != nil {
		return ServiceView{}, err
	}
	return vs[0], nil
}

// Services lists services in order of id.
func (d *Dispatcher) Services(ctx context.Context, p job.Principal, q Page) ([]ServiceView, string, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, "", err
	}
	svcs, next, err := d.Store.Services(ctx, p.Tenant, q.query())
	if err != nil {
		return nil, "", err
	}
	vs, err := d.serviceViews(ctx, p.Tenant, svcs)
	return vs, next, err
}

func (d *Dispatcher) serviceViews(ctx context.Context, tenant string, svcs []job.Service) ([]ServiceView, error) {
	var devs, pools, creds idSet
	for _, s := range svcs {
		devs.add(s.Targets.DeviceIDs...)
		pools.add(s.Targets.PoolIDs...)
		creds.add(s.CredentialID)
	}
	devNames, err := d.deviceNames(ctx, tenant, devs)
	if err != nil {
		return nil, err
	}
	poolNames, err := d.poolNames(ctx, tenant, pools)
	if err != nil {
		return nil, err
	}
	credNames, err := d.credentialNames(ctx, tenant, creds)
	if err != nil {
		return nil, err
	}
	vs := make([]ServiceView, len(svcs))
	for i, s := range svcs {
		vs[i] = ServiceView{Service: s, Devices: pick(devNames, s.Targets.DeviceIDs), Pools: pick(poolNames, s.Targets.PoolIDs),
			Credential: credNames[s.CredentialID]}
	}
	return vs, nil
}

// User returns a user of the principal's tenant, without the password's hash.
func (d *Dispatcher) User(ctx context.Context, p job.Principal, name string) (job.User, error) {
	if err := allow(p, job.ActRead); err != nil {
		return job.User{}, err
	}
	u, err := d.Store.User(ctx, name)
	if err != nil {
		return job.User{}, err
	}
	if u.Tenant != p.Tenant {
		return job.User{}, job.Errorf(job.NotFound, "no user %q", name)
	}
	u.PasswordHash, u.Tokens = "", nil
	return u, nil
}

// Users lists the users of the principal's tenant in order of name.
func (d *Dispatcher) Users(ctx context.Context, p job.Principal, q Page) ([]job.User, string, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, "", err
	}
	us, next, err := d.Store.Users(ctx, p.Tenant, q.query())
	for i := range us {
		us[i].PasswordHash, us[i].Tokens = "", nil
	}
	return us, next, err
}

// Audit lists the tenant's audit record, newest first. It is for
// administrators: who did what is not for everybody.
func (d *Dispatcher) Audit(ctx context.Context, p job.Principal, q Page) ([]job.AuditEntry, string, error) {
	if err := allow(p, job.ActChange); err != nil {
		return nil, "", err
	}
	return d.Store.AuditLog(ctx, p.Tenant, q.query())
}

// idSet collects ids to look up.
type idSet []int64

func (s *idSet) add(ids ...int64) {
	for _, id := range ids {
		if id != 0 {
			*s = append(*s, id)
		}
	}
}

func (s idSet) unique() []int64 {
	slices.Sort(s)
	return slices.Compact(s)
}

func pick(names map[int64]string, ids []int64) []string {
	var out []string
	for _, id := range ids {
		if n, ok := names[id]; ok {
			out = append(out, n)
		}
	}
	return out
}

func (d *Dispatcher) deviceNames(ctx context.Context, tenant string, ids idSet) (map[int64]string, error) {
	vs, err := d.Store.DevicesByID(ctx, tenant, ids.unique())
	names := make(map[int64]string, len(vs))
	for _, v := range vs {
		names[v.ID] = v.Name
	}
	return names, err
}

func (d *Dispatcher) poolNames(ctx context.Context, tenant string, ids idSet) (map[int64]string, error) {
	vs, err := d.Store.PoolsByID(ctx, tenant, ids.unique())
	names := make(map[int64]string, len(vs))
	for _, v := range vs {
		names[v.ID] = v.Name
	}
	return names, err
}

func (d *Dispatcher) credentialNames(ctx context.Context, tenant string, ids idSet) (map[int64]string, error) {
	vs, err := d.Store.CredentialsByID(ctx, tenant, ids.unique())
	names := make(map[int64]string, len(vs))
	for _, v := range vs {
		names[v.ID] = v.Name
	}
	return names, err
}
