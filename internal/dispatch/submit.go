package dispatch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/store"
)

// Submission is a request to run a service or a template, now or on a schedule.
type Submission struct {
	Service string // by name
	// TemplateID is the template to run instead of a service, Inputs the values
	// of its inputs; see job.FillInputs. An unknown name is Invalid, field
	// "inputs.<name>".
	TemplateID int64
	Inputs     map[string]*string

	// Select, when not nil, says what to run on instead of the fields below.
	// Queries are read strictly. A query that finds no device is accepted.
	Select *job.Selection

	// Schedule, when not nil, makes runs later instead of one now: see
	// Submitted.Schedule. Purpose as in job.Schedule. AlreadyExists, field
	// "purpose", when it is taken.
	Schedule *job.Recurrence
	Purpose  string
	// StartBefore is the moment after which the run is missed instead of begun.
	// Only for runs that are made once.
	StartBefore *time.Time

	// What replaces the service's or template's own; nil or empty: nothing.
	Become      *job.Become // Unsupported by templates with BecomeFixed
	Login       *Login
	Timeout     time.Duration // per device
	RunTimeout  time.Duration
	Concurrency int
	StopAfter   job.StopAfter

	Description string
	// Space, when set, gives the run a number; see job.Run.Number.
	Space string

	// Targets by name and address. When all three are empty the service's
	// own targets are used, else only these.
	Devices   []string
	Addresses []string
	Pools     []string
	// IgnoreInvalid runs on the known targets although others are unknown.
	// When all are unknown nothing runs.
	IgnoreInvalid bool

	Payload      json.RawMessage // a JSON object, laid over the service's own, key by key; may be nil
	NeedsTargets bool            // without any device the run fails (ReasonNoTargets) instead of succeeding
	Trigger      string          // job.TriggerAPI if empty
	Name         string          // the caller's own name of the run, unique in the tenant; optional
	Labels       string

	// IdempotencyKey makes one run of all submits of this principal to
	// this Path with this key; Body is what must be equal.
	IdempotencyKey string
	Path           string
	Body           []byte

	Extra map[string]json.RawMessage
}

// Login replaces parts of the devices' credentials for one job.
type Login struct {
	Username       string
	Password       job.Secret
	Passphrase     job.Secret
	BecomePassword job.Secret
}

// Submitted is the answer to a submit.
type Submitted struct {
	Run      job.Run // the first one, scheduled, where Schedule is set
	Schedule *job.Schedule
	Unknown  []inventory.Unknown // targets that do not exist
	Replayed bool                // the run was made by an earlier submit with this key
}

// MaxIdempotencyKey is the longest idempotency key, in bytes.
const MaxIdempotencyKey = 255

// MaxPayload is the largest merged payload, in bytes.
const MaxPayload = 1 << 20

// MaxExtra is the most of Submission.Extra, in bytes as JSON.
const MaxExtra = 16 << 10

// Submit accepts a run: when it returns, the run is stored and will end.
//
// Errors: Forbidden; NotFound for the service; Disabled; Invalid with
// Submitted.Unknown set for unknown targets (nothing is stored); Invalid for a
// payload that is no object; AlreadyExists for a name that is taken; KeyReused
// for an idempotency key that came with another body; TooLarge; Unsupported for
// a time limit that cannot be kept here.
func (d *Dispatcher) Submit(ctx context.Context, p job.Principal, sub Submission) (Submitted, error) {
	if err := allow(p, job.ActRun); err != nil {
		return Submitted{}, err
	}
	idem, err := idempotency(p, sub)
	if err != nil {
		return Submitted{}, err
	}
	if idem != nil {
		// First, so that a repeated submit gets its run even when the
		// service has changed since.
		again, err := d.replayed(ctx, p, *idem)
		if job.CodeOf(err) != job.NotFound {
			return again, err
		}
	}
	svc, targets, unknown, err := d.prepare(ctx, p, &sub)
	if err != nil {
		return Submitted{Unknown: unknown}, err
	}
	now := d.Store.Now()
	id := ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String()
	j := job.Job{
		ID: id, Tenant: p.Tenant, ServiceID: svc.ID, ServiceName: svc.Name, Type: svc.Type,
		Limits: svc.Limits, Become: svc.Become, CredentialID: svc.CredentialID,
		Body: svc.Body, Payload: sub.Payload, Creator: p.Name,
	}
	if err := d.outlineSpec(ctx, &j); err != nil {
		return Submitted{}, err
	}
	deadline := now.Add(d.StartWithin)
	run := job.Run{
		ID: id, Tenant: p.Tenant, JobID: id, ServiceID: svc.ID, ServiceName: svc.Name,
		Status: job.Queued, Creator: p.Name, Trigger: sub.Trigger, Name: sub.Name, Labels: sub.Labels,
		Created: now, Deadline: &deadline, Due: now.Add(startGrace),
		Total: len(targets), Shards: store.ShardsFor(len(targets)), NeedsTargets: sub.NeedsTargets, Extra: sub.Extra,
	}
	if idem != nil && len(unknown) > 0 {
		if idem.Note, err = json.Marshal(unknown); err != nil {
			return Submitted{}, job.Wrap(job.Internal, err, "encode the unknown targets")
		}
	}
	run, replayed, err := d.Store.CreateRun(ctx, store.NewRun{
		Job: j, Run: run, Targets: targets, Idempotency: idem,
		Audit: d.entry(p, "run.submit", id, "service "+svc.Name),
	})
	if code := job.CodeOf(err); j.SpecBlob != "" && (replayed || code == job.AlreadyExists || code == job.KeyReused || code == job.Conflict) {
		d.dropSpec(ctx, j)
	}
	if err != nil {
		return Submitted{}, err
	}
	if replayed {
		return d.replayed(ctx, p, *idem)
	}
	d.start(ctx, run)
	return Submitted{Run: run, Unknown: unknown}, nil
}

// replayed is the answer to a submit that was made before under this key.
func (d *Dispatcher) replayed(ctx context.Context, p job.Principal, idem store.Idempotency) (Submitted, error) {
	run, note, err := d.Store.Replayed(ctx, p.Tenant, idem)
	if err != nil {
		return Submitted{}, err
	}
	again := Submitted{Run: run, Replayed: true}
	if len(note) > 0 {
		if err := json.Unmarshal(note, &again.Unknown); err != nil {
			return Submitted{}, job.Wrap(job.Corrupt, err, "the note of an idempotency key")
		}
	}
	return again, nil
}

// dropSpec removes the specification of a job that was surely not stored.
func (d *Dispatcher) dropSpec(ctx context.Context, j job.Job) {
	if _, err := d.Blobs.DeletePrefix(context.WithoutCancel(ctx), job.RunBlobPrefix(j.Tenant, j.ID)); err != nil {
		d.Log.WarnContext(ctx, "the specification of a refused submit stays", "tenant", j.Tenant, "run", j.ID, "err", err)
	}
}

// startGrace is when the sweeper looks whether an accepted run has started.
const startGrace = 15 * time.Second

// start starts an accepted run. A failure is not the caller's: the run is
// stored, and the sweeper starts it.
func (d *Dispatcher) start(ctx context.Context, run job.Run) {
	if err := d.Workflow.Start(context.WithoutCancel(ctx), run.Tenant, run.ID); err != nil {
		d.Log.WarnContext(ctx, "run not started yet; the sweeper will try", "tenant", run.Tenant, "run", run.ID, "err", err)
	}
}

func idempotency(p job.Principal, sub Submission) (*store.Idempotency, error) {
	if sub.IdempotencyKey == "" {
		return nil, nil
	}
	if len(sub.IdempotencyKey) > MaxIdempotencyKey {
		return nil, job.FieldErrorf("Idempotency-Key", "is longer than %d bytes", MaxIdempotencyKey)
	}
	return &store.Idempotency{Principal: p.Name, Path: sub.Path, Key: sub.IdempotencyKey, BodyHash: sha256.Sum256(sub.Body)}, nil
}

// prepare validates a submission, resolves its targets and merges its payload
// in place.
func (d *Dispatcher) prepare(ctx context.Context, p job.Principal, sub *Submission) (job.Service, []job.Target, []inventory.Unknown, error) {
	svc, err := d.Store.ServiceByName(ctx, p.Tenant, sub.Service)
	if err != nil {
		return svc, nil, nil, err
	}
	if svc.Disabled {
		return svc, nil, nil, job.Errorf(job.Disabled, "the service %q is disabled", svc.Name)
	}
	if d.LongestAttempt > 0 && svc.Limits.Timeout > d.LongestAttempt {
		return svc, nil, nil, job.Errorf(job.Unsupported, "the service's time limit of %s is longer than the %s that a command can be followed here",
			svc.Limits.Timeout, d.LongestAttempt)
	}
	if sub.Trigger == "" {
		sub.Trigger = job.TriggerAPI
	}
	if len(sub.Name) > 255 {
		return svc, nil, nil, job.FieldErrorf("name", "is longer than 255 bytes")
	}
	if len(sub.Labels) > 1024 {
		return svc, nil, nil, job.FieldErrorf("labels", "is longer than 1024 bytes")
	}
	if err := boundExtra(sub.Extra); err != nil {
		return svc, nil, nil, err
	}
	if sub.Payload, err = mergePayload(svc.Payload, sub.Payload); err != nil {
		return svc, nil, nil, err
	}
	targets, unknown, err := d.targets(ctx, p.Tenant, svc, *sub)
	if err != nil {
		return svc, nil, unknown, err
	}
	if len(targets) > job.MaxTargets {
		return svc, nil, nil, job.Errorf(job.TooLarge, "%d devices are more than the %d that one run may have", len(targets), job.MaxTargets)
	}
	return svc, targets, unknown, nil
}

// boundExtra keeps what a family adds to a run small: every executor reads the
// run, and a run whose row is full could never be written to its end.
func boundExtra(extra map[string]json.RawMessage) error {
	if len(extra) == 0 {
		return nil
	}
	b, err := json.Marshal(extra)
	if err != nil {
		return job.FieldErrorf("extra", "is not JSON")
	}
	if len(b) > MaxExtra {
		return job.Errorf(job.TooLarge, "what comes with the run has %d bytes, more than %d", len(b), MaxExtra)
	}
	return nil
}

// mergePayload lays over on base, key by key.
func mergePayload(base, over json.RawMessage) (json.RawMessage, error) {
	if len(over) == 0 || bytes.Equal(bytes.TrimSpace(over), []byte("null")) {
		if len(base) == 0 {
			return json.RawMessage("{}"), nil
		}
		return base, nil
	}
	merged := map[string]json.RawMessage{}
	if len(base) > 0 {
		if err := json.Unmarshal(base, &merged); err != nil {
			return nil, job.Wrap(job.Corrupt, err, "the service's payload")
		}
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(over, &top); err != nil {
		return nil, job.FieldErrorf("payload", "must be a JSON object")
	}
	for k, v := range top {
		merged[k] = v
	}
	out, err := json.Marshal(merged)
	if err != nil {
		return nil, job.FieldErrorf("payload", "must be a JSON object")
	}
	if len(out) > MaxPayload {
		return nil, job.Errorf(job.TooLarge, "the payload has %d bytes, more than %d", len(out), MaxPayload)
	}
	return out, nil
}

// outlineSpec moves a long body and payload into a blob.
func (d *Dispatcher) outlineSpec(ctx context.Context, j *job.Job) error {
	if len(j.Body)+len(j.Payload) <= job.InlineSpecBytes {
		return nil
	}
	data, err := json.Marshal(job.Spec{Body: j.Body, Payload: j.Payload})
	if err != nil {
		return job.Wrap(job.Internal, err, "encode the job")
	}
	name := job.RunBlobPrefix(j.Tenant, j.ID) + "spec.json"
	if err := d.Blobs.Put(ctx, name, data); err != nil {
		return err
	}
	j.Body, j.Payload, j.SpecBlob = "", nil, name
	return nil
}

// targets resolves what a submission is for.
func (d *Dispatcher) targets(ctx context.Context, tenant string, svc job.Service, sub Submission) ([]job.Target, []inventory.Unknown, error) {
	want := inventory.Wanted{Devices: sub.Devices, Addresses: sub.Addresses, Pools: sub.Pools}
	if want.Empty() {
		own, err := d.ownTargets(ctx, tenant, svc)
		return own, nil, err
	}
	found, err := d.find(ctx, tenant, want)
	if err != nil {
		return nil, nil, err
	}
	targets, unknown := inventory.Targets(want, found)
	resolved := len(want.Devices) + len(want.Addresses) + len(want.Pools) - len(unknown)
	if len(unknown) > 0 && (!sub.IgnoreInvalid || resolved == 0) {
		return nil, unknown, job.FieldErrorf("targets", "%d of the targets are unknown", len(unknown))
	}
	return targets, unknown, nil
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
			if dynamic[pool.ID], err = inventory.CompilePool(pool); err != nil {
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

// named turns ids into targets, leaving out devices that are gone.
func (d *Dispatcher) named(ctx context.Context, tenant string, ids []int64) ([]job.Target, error) {
	devs, err := d.Store.DevicesByID(ctx, tenant, ids)
	if err != nil {
		return nil, err
	}
	out := make([]job.Target, len(devs))
	for i, dev := range devs {
		out[i] = job.Target{ID: dev.ID, Name: dev.Name}
	}
	return out, nil
}

func (d *Dispatcher) ownTargets(ctx context.Context, tenant string, svc job.Service) ([]job.Target, error) {
	named, err := d.named(ctx, tenant, svc.Targets.DeviceIDs)
	if err != nil {
		return nil, err
	}
	lists := [][]job.Target{named}
	if len(svc.Targets.PoolIDs) > 0 {
		members, err := d.members(ctx, tenant, svc.Targets.PoolIDs)
		if err != nil {
			return nil, err
		}
		for _, id := range svc.Targets.PoolIDs {
			lists = append(lists, members[id])
		}
	}
	return inventory.Union(lists...), nil
}
