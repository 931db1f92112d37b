package dispatch

import (
	"context"
	"reflect"
	"slices"

	"golang.org/x/sync/errgroup"

	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/secret"
)

// What a save did to an object.
const (
	Created   = "created"
	Updated   = "updated"
	Unchanged = "unchanged"
)

// Outcome is what became of one input. Name is the name after a rename.
type Outcome struct {
	Name   string
	Action string
	Err    error
}

// maxMentions is how often one call may name the same object: such inputs are
// saved one after another.
const maxMentions = 100

// saveWidth is how many objects are written at once.
const saveWidth = 16

// input is what all inputs of package inventory have.
type input[T any] interface {
	References() inventory.References
}

// saver saves one kind of object.
type saver[I input[T], T any] struct {
	kind  string
	names func(I) (name string, newName *string)
	find  func(ctx context.Context, name string) (T, error)
	meta  func(*T) *job.Meta
	apply func(ctx context.Context, in I, base T, create bool, refs inventory.Refs) (T, error)
	put   func(ctx context.Context, prev, next *T, audit ...job.AuditEntry) error
	// unordered says that ids need not follow the order of the inputs.
	unordered bool
	// after runs when the object is stored and reports whether it changed
	// anything more; may be nil.
	after func(ctx context.Context, in I, stored T, refs inventory.Refs) (changed bool, err error)
}

// saveAll saves inputs, several at once, each on its own. Inputs that mention
// objects which other inputs of the same call create wait for those; inputs of
// the same name keep their order.
func saveAll[I input[T], T any](ctx context.Context, d *Dispatcher, p job.Principal, s saver[I, T], inputs []I) ([]Outcome, error) {
	if err := allow(p, job.ActChange); err != nil {
		return nil, err
	}
	out := make([]Outcome, len(inputs))
	pending := make([]int, 0, len(inputs))
	mentions := map[string]int{}
	for i := range inputs {
		name, _ := s.names(inputs[i])
		if mentions[name]++; mentions[name] > maxMentions {
			out[i] = Outcome{Name: name, Err: job.FieldErrorf("name", "is the name of more than %d items of this call", maxMentions)}
			continue
		}
		pending = append(pending, i)
	}
	for len(pending) > 0 {
		var all inventory.References
		for _, i := range pending {
			all = all.Merge(inputs[i].References())
		}
		refs, err := d.refs(ctx, p.Tenant, all)
		if err != nil {
			return nil, err
		}
		waits := func(r inventory.References) bool { return !refs.Missing(r).Empty() }
		ready, later := split(s, inputs, pending, waits)
		if len(ready) == 0 { // nothing left to wait for: let Apply say what is missing
			ready, later = split(s, inputs, pending, func(inventory.References) bool { return false })
		}
		met := meet(ctx, d, p, s, inputs, ready)
		var g errgroup.Group
		g.SetLimit(saveWidth)
		for n, i := range ready {
			g.Go(func() error {
				out[i] = saveOne(ctx, d, p, s, inputs[i], refs, met[n])
				return nil
			})
		}
		_ = g.Wait()
		if err := ctx.Err(); err != nil {
			return nil, job.Wrap(job.Canceled, err, "saving was interrupted; what was saved stays")
		}
		pending = later
	}
	return out, nil
}

// split divides pending inputs into those that can be saved now and the rest:
// those that wait for what they refer to, or for an earlier one of their name.
func split[I input[T], T any](s saver[I, T], inputs []I, pending []int, waits func(inventory.References) bool) (ready, later []int) {
	taken := map[string]bool{}
	for _, i := range pending {
		name, newName := s.names(inputs[i])
		wait := taken[name] || newName != nil && taken[*newName] || waits(inputs[i].References())
		taken[name] = true
		if newName != nil {
			taken[*newName] = true
		}
		if wait {
			later = append(later, i)
		} else {
			ready = append(ready, i)
		}
	}
	return ready, later
}

// met is what an input finds in the store.
type met[T any] struct {
	base   T
	create bool
	err    error
}

func look[I input[T], T any](ctx context.Context, p job.Principal, s saver[I, T], name string) (m met[T]) {
	m.base, m.err = s.find(ctx, name)
	if m.create = job.CodeOf(m.err) == job.NotFound; m.create {
		m.err = nil
		s.meta(&m.base).Tenant = p.Tenant
	}
	return m
}

// meet finds what the inputs change, and reserves ids for what they create:
// listings are in order of id, and that is the order of the inputs.
func meet[I input[T], T any](ctx context.Context, d *Dispatcher, p job.Principal, s saver[I, T], inputs []I, ready []int) []met[T] {
	all := make([]met[T], len(ready))
	var g errgroup.Group
	g.SetLimit(saveWidth)
	for n, i := range ready {
		g.Go(func() error {
			name, _ := s.names(inputs[i])
			all[n] = look(ctx, p, s, name)
			return nil
		})
	}
	_ = g.Wait()
	var creates []int
	for n, m := range all {
		if m.create && !s.unordered {
			creates = append(creates, n)
		}
	}
	if len(creates) == 0 {
		return all
	}
	first, err := d.Store.ReserveIDs(ctx, p.Tenant, s.kind, len(creates))
	for k, n := range creates {
		all[n].err = err
		s.meta(&all[n].base).ID = first + int64(k)
	}
	return all
}

// saveTries is how often an input is tried when others write the same object:
// each failure is somebody else's success.
const saveTries = 3 * saveWidth

func saveOne[I input[T], T any](ctx context.Context, d *Dispatcher, p job.Principal, s saver[I, T], in I, refs inventory.Refs, m met[T]) Outcome {
	name, newName := s.names(in)
	for try := 1; ; try++ {
		o := Outcome{Name: name}
		if newName != nil {
			o.Name = *newName
		}
		o.Action, o.Err = saveTry(ctx, d, p, s, in, refs, m)
		code := job.CodeOf(o.Err)
		// What another caller has just created is there to be updated.
		again := code == job.Conflict || code == job.AlreadyExists && m.create
		if !again || try == saveTries {
			if o.Err != nil {
				o.Name = name
			}
			return o
		}
		m = look(ctx, p, s, name)
	}
}

func saveTry[I input[T], T any](ctx context.Context, d *Dispatcher, p job.Principal, s saver[I, T], in I, refs inventory.Refs, m met[T]) (string, error) {
	if m.err != nil {
		return "", m.err
	}
	next, err := s.apply(ctx, in, m.base, m.create, refs)
	if err != nil {
		return "", err
	}
	action := Unchanged
	entry := func() job.AuditEntry {
		verb := map[string]string{Created: ".create", Updated: ".update"}[action]
		return d.entry(p, s.kind+verb, s.meta(&next).Name, "")
	}
	if m.create || !reflect.DeepEqual(m.base, next) {
		action = Updated
		to := s.meta(&next)
		to.Updated, to.UpdatedBy = d.Store.Now(), p.Name
		prev := &m.base
		if m.create {
			action, prev = Created, nil
			to.Created, to.CreatedBy = to.Updated, p.Name
		}
		if err := s.put(ctx, prev, &next, entry()); err != nil {
			return "", err
		}
	}
	if s.after == nil {
		return action, nil
	}
	changed, err := s.after(ctx, in, next, refs)
	if err != nil {
		return "", err
	}
	if !changed || action != Unchanged {
		return action, nil
	}
	action = Updated
	return action, d.Store.Audit(ctx, entry())
}

// refs looks names up.
func (d *Dispatcher) refs(ctx context.Context, tenant string, names inventory.References) (inventory.Refs, error) {
	var r inventory.Refs
	var err error
	if r.Devices, err = d.Store.DeviceIDs(ctx, tenant, names.Devices); err != nil {
		return r, err
	}
	if r.Credentials, err = d.Store.CredentialIDs(ctx, tenant, names.Credentials); err != nil {
		return r, err
	}
	if r.Pools, err = d.Store.PoolIDs(ctx, tenant, names.Pools); err != nil {
		return r, err
	}
	ids := make([]int64, 0, len(r.Pools))
	for _, id := range r.Pools {
		ids = append(ids, id)
	}
	pools, err := d.Store.PoolsByID(ctx, tenant, ids)
	r.Dynamic = map[int64]bool{}
	for _, p := range pools {
		if p.Dynamic() {
			r.Dynamic[p.ID] = true
		}
	}
	return r, err
}

// Check returns those of the names that stand for nothing.
func (d *Dispatcher) Check(ctx context.Context, p job.Principal, names inventory.References) (inventory.References, error) {
	if err := allow(p, job.ActRead); err != nil {
		return inventory.References{}, err
	}
	refs, err := d.refs(ctx, p.Tenant, names)
	return refs.Missing(names), err
}

// SaveDevices creates or updates devices. The i-th outcome is of the i-th input.
func (d *Dispatcher) SaveDevices(ctx context.Context, p job.Principal, inputs []inventory.DeviceInput) ([]Outcome, error) {
	return saveAll(ctx, d, p, saver[inventory.DeviceInput, job.Device]{
		kind:  "device",
		names: func(in inventory.DeviceInput) (string, *string) { return in.Name, in.NewName },
		find: func(ctx context.Context, name string) (job.Device, error) {
			return d.Store.DeviceByName(ctx, p.Tenant, name)
		},
		meta: func(v *job.Device) *job.Meta { return &v.Meta },
		apply: func(_ context.Context, in inventory.DeviceInput, base job.Device, create bool, refs inventory.Refs) (job.Device, error) {
			return in.Apply(base, create, refs)
		},
		put: d.Store.PutDevice,
		after: func(ctx context.Context, in inventory.DeviceInput, dev job.Device, _ inventory.Refs) (bool, error) {
			key, given, err := in.PinnedKey()
			if err != nil || !given {
				return false, err
			}
			return d.pin(ctx, p, dev, key)
		},
	}, inputs)
}

// SavePools creates or updates pools. Static members are written device by
// device after the pool: a call that is interrupted can be repeated.
func (d *Dispatcher) SavePools(ctx context.Context, p job.Principal, inputs []inventory.PoolInput) ([]Outcome, error) {
	return saveAll(ctx, d, p, saver[inventory.PoolInput, job.Pool]{
		kind:  "pool",
		names: func(in inventory.PoolInput) (string, *string) { return in.Name, in.NewName },
		find: func(ctx context.Context, name string) (job.Pool, error) {
			return d.Store.PoolByName(ctx, p.Tenant, name)
		},
		meta: func(v *job.Pool) *job.Meta { return &v.Meta },
		apply: func(ctx context.Context, in inventory.PoolInput, base job.Pool, create bool, refs inventory.Refs) (job.Pool, error) {
			next, err := in.Apply(base, create, refs)
			if err == nil && next.Dynamic() && !base.Dynamic() && !create && in.Devices == nil {
				err = d.refuseStaticMembers(ctx, p.Tenant, next)
			}
			return next, err
		},
		put: d.Store.PutPool,
		after: func(ctx context.Context, in inventory.PoolInput, pool job.Pool, refs inventory.Refs) (bool, error) {
			want, given, err := in.MemberIDs(refs)
			if err != nil || !given {
				return false, err
			}
			return d.setMembers(ctx, p, pool, want)
		},
	}, inputs)
}

func (d *Dispatcher) refuseStaticMembers(ctx context.Context, tenant string, pool job.Pool) error {
	ids, err := d.Store.Members(ctx, tenant, pool.ID)
	if err != nil || len(ids) == 0 {
		return err
	}
	return job.FieldErrorf("match", "the pool %q has %d devices of its own; take them out before it gets criteria", pool.Name, len(ids))
}

// setMembers makes want (ascending) the static members of a pool.
func (d *Dispatcher) setMembers(ctx context.Context, p job.Principal, pool job.Pool, want []int64) (changed bool, err error) {
	have, err := d.Store.Members(ctx, p.Tenant, pool.ID)
	if err != nil {
		return false, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(saveWidth)
	move := func(id int64, in bool) {
		changed = true
		g.Go(func() error { return d.setMember(gctx, p, id, pool.ID, in) })
	}
	for _, id := range want {
		if _, in := slices.BinarySearch(have, id); !in {
			move(id, true)
		}
	}
	for _, id := range have {
		if _, stays := slices.BinarySearch(want, id); !stays {
			move(id, false)
		}
	}
	return changed, g.Wait()
}

// setMember puts a device into a pool or takes it out.
func (d *Dispatcher) setMember(ctx context.Context, p job.Principal, device, pool int64, in bool) error {
	for try := 0; ; try++ {
		dev, err := d.Store.Device(ctx, p.Tenant, device)
		if job.CodeOf(err) == job.NotFound {
			return nil // deleted meanwhile: it is in no pool
		}
		if err != nil {
			return err
		}
		next := dev
		next.PoolIDs = slices.DeleteFunc(slices.Clone(dev.PoolIDs), func(id int64) bool { return id == pool })
		if in {
			next.PoolIDs = append(next.PoolIDs, pool)
			slices.Sort(next.PoolIDs)
		}
		next.Updated, next.UpdatedBy = d.Store.Now(), p.Name
		err = d.Store.PutDevice(ctx, &dev, &next)
		if job.CodeOf(err) != job.Conflict || try == saveTries {
			return err
		}
	}
}

// SaveServices creates or updates services.
func (d *Dispatcher) SaveServices(ctx context.Context, p job.Principal, inputs []inventory.ServiceInput) ([]Outcome, error) {
	return saveAll(ctx, d, p, saver[inventory.ServiceInput, job.Service]{
		kind:  "service",
		names: func(in inventory.ServiceInput) (string, *string) { return in.Name, in.NewName },
		find: func(ctx context.Context, name string) (job.Service, error) {
			return d.Store.ServiceByName(ctx, p.Tenant, name)
		},
		meta: func(v *job.Service) *job.Meta { return &v.Meta },
		apply: func(_ context.Context, in inventory.ServiceInput, base job.Service, create bool, refs inventory.Refs) (job.Service, error) {
			next, err := in.Apply(base, create, refs)
			if err != nil || next.Body == base.Body {
				return next, err
			}
			return next, checkBody(next.Body)
		},
		put: d.Store.PutService,
	}, inputs)
}

// SaveCredentials creates or updates credentials and seals their secrets.
func (d *Dispatcher) SaveCredentials(ctx context.Context, p job.Principal, inputs []inventory.CredentialInput) ([]Outcome, error) {
	return saveAll(ctx, d, p, saver[inventory.CredentialInput, job.Credential]{
		kind:  "credential",
		names: func(in inventory.CredentialInput) (string, *string) { return in.Name, in.NewName },
		find: func(ctx context.Context, name string) (job.Credential, error) {
			return d.Store.CredentialByName(ctx, p.Tenant, name)
		},
		meta: func(v *job.Credential) *job.Meta { return &v.Meta },
		apply: func(ctx context.Context, in inventory.CredentialInput, base job.Credential, create bool, refs inventory.Refs) (job.Credential, error) {
			next, changes, err := in.Apply(base, create, refs)
			if err != nil {
				return next, err
			}
			if create && next.ID == 0 { // a secret is sealed to its place
				if next.ID, err = d.Store.NextCredentialID(ctx, p.Tenant); err != nil {
					return next, err
				}
			}
			for _, c := range changes {
				if err := d.seal(&next, c); err != nil {
					return next, err
				}
			}
			return next, nil
		},
		put: func(ctx context.Context, prev, next *job.Credential, audit ...job.AuditEntry) error {
			if prev == nil {
				return d.Store.PutNewCredential(ctx, *next, audit...)
			}
			return d.Store.PutCredential(ctx, prev, next, audit...)
		},
	}, inputs)
}

// seal puts a secret into its place, unless the same one is there already.
func (d *Dispatcher) seal(c *job.Credential, change inventory.SecretChange) error {
	place := change.Sealed(c)
	aad := secret.AAD(c.Tenant, "credential", c.ID, change.Field)
	if place.Set() && change.Value != "" {
		if old, err := d.Box.Open(*place, aad); err == nil && old == change.Value {
			return nil
		}
	}
	sealed, err := d.Box.Seal(change.Value, aad)
	if err != nil {
		return err
	}
	*place = sealed
	return nil
}

// SaveUsers creates or updates users. Only administrators of the default tenant
// may name another tenant than their own.
func (d *Dispatcher) SaveUsers(ctx context.Context, p job.Principal, inputs []inventory.UserInput) ([]Outcome, error) {
	if err := allow(p, job.ActChange); err != nil {
		return nil, err
	}
	out := make([]Outcome, 0, len(inputs))
	for _, in := range inputs {
		as, err := In(p, in.Tenant)
		if err != nil {
			out = append(out, Outcome{Name: in.Name, Err: err})
			continue
		}
		o, err := d.saveUser(ctx, as, in)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func (d *Dispatcher) saveUser(ctx context.Context, p job.Principal, in inventory.UserInput) (Outcome, error) {
	outs, err := saveAll(ctx, d, p, saver[inventory.UserInput, job.User]{
		kind:  "user",
		names: func(in inventory.UserInput) (string, *string) { return in.Name, nil },
		find: func(ctx context.Context, name string) (job.User, error) {
			u, err := d.Store.User(ctx, name)
			if err == nil && u.Tenant != p.Tenant {
				return job.User{}, job.Errorf(job.AlreadyExists, "the name %q is taken", name)
			}
			return u, err
		},
		meta: func(v *job.User) *job.Meta { return &v.Meta },
		apply: func(_ context.Context, in inventory.UserInput, base job.User, create bool, refs inventory.Refs) (job.User, error) {
			next, err := in.Apply(base, create, refs)
			if err == nil && !create && base.Name == p.Name && base.Role == job.Admin && next.Role != job.Admin {
				// As with deleting: an installation keeps its last administrator.
				err = job.FieldErrorf("role", "an administrator cannot take the role away from himself")
			}
			if err != nil || in.Password == nil || secret.VerifyPassword(base.PasswordHash, *in.Password) {
				return next, err
			}
			// Who sets another password wants nobody to come in by what was
			// given out under the one before.
			next.Tokens = nil
			next.PasswordHash, err = secret.HashPassword(*in.Password)
			return next, err
		},
		put: func(ctx context.Context, _, next *job.User, audit ...job.AuditEntry) error {
			return d.Store.PutUserAudited(ctx, next, audit...)
		},
		unordered: true,
	}, []inventory.UserInput{in})
	if err != nil {
		return Outcome{}, err
	}
	return outs[0], nil
}
