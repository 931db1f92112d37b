package dispatch

import (
	"context"
	"crypto/sha256"
	"encoding/json"
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
	Become  *job.Become // Unsupported by templates with BecomeFixed
	Login   *Login
	Timeout time.Duration // per device
	// DefaultTimeout is the time limit of a device when nobody gave one: neither
	// Timeout nor the service or template. 0: job.DefaultTimeout.
	DefaultTimeout time.Duration
	RunTimeout     time.Duration
	Concurrency    int
	StopAfter      job.StopAfter

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

	rerunOf string
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
	o, err := d.prepare(ctx, p, &sub)
	if err != nil {
		return Submitted{Unknown: o.unknown}, err
	}
	if idem != nil && len(o.unknown) > 0 {
		if idem.Note, err = json.Marshal(o.unknown); err != nil {
			return Submitted{}, job.Wrap(job.Internal, err, "encode the unknown targets")
		}
	}
	n, err := d.newRun(ctx, p, sub, &o)
	if err != nil {
		return Submitted{}, err
	}
	n.Idempotency = idem
	return d.create(ctx, p, n, o.unknown)
}

func newID(now time.Time) string {
	return ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String()
}

// newRun is what an accepted submission stores. A long specification is written
// by then.
func (d *Dispatcher) newRun(ctx context.Context, p job.Principal, sub Submission, o *order) (store.NewRun, error) {
	now := d.Store.Now()
	id := newID(now)
	j := &o.job
	j.ID = id
	if sub.Schedule != nil {
		j.ID = newID(now)
	}
	if err := d.sealSecrets(j, o.hidden, sub.Login); err != nil {
		return store.NewRun{}, err
	}
	deadline := now.Add(d.StartWithin)
	run := job.Run{
		ID: id, Tenant: p.Tenant, JobID: j.ID, ServiceID: j.ServiceID, TemplateID: j.TemplateID, ServiceName: j.ServiceName,
		Status: job.Queued, Creator: p.Name, Trigger: sub.Trigger, Name: sub.Name, Labels: sub.Labels, Description: sub.Description,
		Created: now, Deadline: &deadline, Due: now.Add(startGrace), StartBefore: j.StartBefore, Space: sub.Space, RerunOf: sub.rerunOf,
		Total: len(o.targets), Shards: store.ShardsFor(len(o.targets)), NeedsTargets: sub.NeedsTargets, Extra: sub.Extra,
		HasLogin: j.Login.Secret(),
	}
	n := store.NewRun{Run: run, Targets: o.targets, Audit: d.entry(p, "run.submit", id, "service "+j.ServiceName)}
	if j.TemplateID != 0 {
		n.Audit.Detail = "template " + j.ServiceName
	}
	if sub.Schedule != nil {
		if err := d.planFirst(ctx, p, sub, o, &n); err != nil {
			return n, err
		}
	}
	if err := d.outlineSpec(ctx, j); err != nil {
		return n, err
	}
	n.Job = *j
	return n, nil
}

// create stores an accepted run and starts it.
func (d *Dispatcher) create(ctx context.Context, p job.Principal, n store.NewRun, unknown []inventory.Unknown) (Submitted, error) {
	var err error
	if n.Run.Space != "" {
		if n.Run.Number, err = d.Store.NextNumber(ctx, p.Tenant, n.Run.Space); err != nil {
			return Submitted{}, err
		}
		// A caller who goes away now must not leave a number that names no run.
		ctx = context.WithoutCancel(ctx)
	}
	run, replayed, err := d.Store.CreateRun(ctx, n)
	if code := job.CodeOf(err); replayed || code == job.AlreadyExists || code == job.KeyReused || code == job.Conflict || code == job.TooLarge {
		d.dropped(ctx, n)
	}
	if err != nil {
		return Submitted{}, err
	}
	if replayed {
		return d.replayed(ctx, p, *n.Idempotency)
	}
	out := Submitted{Run: run, Schedule: n.Schedule, Unknown: unknown}
	if n.Schedule != nil {
		d.setAlarm(ctx, *n.Schedule)
	} else {
		d.start(ctx, run)
	}
	return out, nil
}

// dropped gives back what a run took that was surely not stored.
func (d *Dispatcher) dropped(ctx context.Context, n store.NewRun) {
	ctx = context.WithoutCancel(ctx)
	if n.Job.SpecBlob != "" {
		d.dropSpec(ctx, n.Job)
	}
	if n.Run.Number != 0 {
		if err := d.Store.LoseNumber(ctx, n.Run.Tenant, n.Run.Space); err != nil {
			d.Log.WarnContext(ctx, "a number that names no run is counted as one", "tenant", n.Run.Tenant, "err", err)
		}
	}
}

// replayed is the answer to a submit that was made before under this key.
func (d *Dispatcher) replayed(ctx context.Context, p job.Principal, idem store.Idempotency) (Submitted, error) {
	run, note, err := d.Store.Replayed(ctx, p.Tenant, idem)
	if err != nil {
		return Submitted{}, err
	}
	again := Submitted{Run: run, Replayed: true}
	if run.ScheduleID != 0 {
		switch sc, err := d.Store.Schedule(ctx, p.Tenant, run.ScheduleID); {
		case err == nil:
			again.Schedule = &sc
		case job.CodeOf(err) != job.NotFound:
			return Submitted{}, err
		}
	}
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
