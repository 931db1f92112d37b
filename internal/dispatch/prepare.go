package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/schedule"
	"drover/internal/secret"
)

// order is a submission that was checked. What it brings in secret is not in
// the job yet: secrets are sealed to the job's id.
type order struct {
	job     job.Job
	hidden  map[string]job.Secret
	targets []job.Target
	unknown []inventory.Unknown
	// unresolved says that the devices are found when a run starts.
	unresolved bool
	first      time.Time // of a scheduled job: when its first run is to start
}

// MaxHidden is the most that hidden inputs and the login of a job hold together,
// in bytes: they lie in the job's row.
const MaxHidden = 128 << 10

// MaxInputValues is the most that the values of all inputs take, in bytes as JSON.
const MaxInputValues = 5 << 20

// prepare validates a submission, says what it is to do, and finds its devices.
func (d *Dispatcher) prepare(ctx context.Context, p job.Principal, sub *Submission) (order, error) {
	o, own, err := d.work(ctx, p, sub)
	if err != nil {
		return o, err
	}
	if sub.Trigger == "" {
		sub.Trigger = job.TriggerAPI
	}
	if len(sub.Name) > 255 {
		return o, job.FieldErrorf("name", "is longer than 255 bytes")
	}
	if len(sub.Labels) > 1024 {
		return o, job.FieldErrorf("labels", "is longer than 1024 bytes")
	}
	if err := boundExtra(sub.Extra); err != nil {
		return o, err
	}
	if err := inventory.ValidText("description", sub.Description, inventory.MaxDescription); err != nil {
		return o, err
	}
	o.job.Description, o.job.Creator, o.job.Tenant = sub.Description, p.Name, p.Tenant
	if err := override(&o.job, sub); err != nil {
		return o, err
	}
	if err := d.checkTimes(sub, &o); err != nil {
		return o, err
	}
	if err := d.choose(ctx, p, sub, own, &o); err != nil {
		return o, err
	}
	if len(o.targets) > job.MaxTargets {
		return o, job.Errorf(job.TooLarge, "%d devices are more than the %d that one run may have", len(o.targets), job.MaxTargets)
	}
	return o, d.checkFollowed(ctx, &o)
}

// work is what a submission runs: a service with its own targets, or a template.
func (d *Dispatcher) work(ctx context.Context, p job.Principal, sub *Submission) (order, job.Targets, error) {
	if sub.TemplateID != 0 {
		o, err := d.templateWork(ctx, p, sub)
		return o, job.Targets{}, err
	}
	svc, err := d.Store.ServiceByName(ctx, p.Tenant, sub.Service)
	if err != nil {
		return order{}, job.Targets{}, err
	}
	if svc.Disabled {
		return order{}, job.Targets{}, job.Errorf(job.Disabled, "the service %q is disabled", svc.Name)
	}
	if len(sub.Inputs) > 0 {
		return order{}, job.Targets{}, job.FieldErrorf("inputs", "a service takes a payload, not inputs")
	}
	payload, err := mergePayload(svc.Payload, sub.Payload)
	return order{job: job.Job{
		ServiceID: svc.ID, ServiceName: svc.Name, Type: svc.Type, Limits: svc.Limits, Become: svc.Become,
		CredentialID: svc.CredentialID, Body: svc.Body, Payload: payload,
	}}, svc.Targets, err
}

func (d *Dispatcher) templateWork(ctx context.Context, p job.Principal, sub *Submission) (order, error) {
	if err := d.defaults(ctx, p.Tenant); err != nil {
		return order{}, err
	}
	t, err := d.Store.Template(ctx, p.Tenant, sub.TemplateID)
	if err != nil {
		return order{}, err
	}
	if t.Snippet {
		return order{}, job.FieldErrorf("template", "%q is a snippet, which cannot be run", t.Name)
	}
	if len(sub.Payload) > 0 {
		return order{}, job.FieldErrorf("payload", "a template takes inputs, not a payload")
	}
	included, err := d.Store.Included(ctx, t)
	if err != nil {
		return order{}, err
	}
	inputs, err := d.Box.OpenDefaults(p.Tenant, job.EffectiveInputs(t, included))
	if err != nil {
		return order{}, err
	}
	o := order{job: job.Job{
		TemplateID: t.ID, ServiceName: t.Name, Type: t.Type, Language: t.Language, Limits: t.Limits, Become: t.Become,
		Body: t.Body, Inputs: inputs,
	}}
	if o.job.Limits.OnUnknown == "" {
		o.job.Limits.OnUnknown = job.OnUnknownReport
	}
	if t.BecomeCaller {
		o.job.Become.User = p.Name
	}
	fixed := t.BecomeFixed && o.job.Become.User != ""
	if fixed && sub.Become != nil && sub.Become.User != o.job.Become.User {
		return o, fieldUnsupported("become", "the template %q says itself as which user it runs", t.Name)
	}
	return o, o.fill(sub.Inputs)
}

// fill gives a template's inputs their values.
func (o *order) fill(given map[string]*string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(o.job.Inputs, func(in job.Input) bool { return in.Name == name }) {
			return job.FieldErrorf("inputs."+name, "the template %q has no such input", o.job.ServiceName)
		}
	}
	values, problems := job.FillInputs(o.job.Inputs, given)
	for _, p := range problems {
		what := map[string]string{
			job.InputMissing: "a value is required", job.InputBlank: "the value must not be blank", job.InputNoOption: "the value is none of the options"}[p.What]
		return job.FieldErrorf("inputs."+p.Input, "%s", what)
	}
	for _, in := range o.job.Inputs {
		v, ok := values[in.Name]
		if !ok {
			continue
		}
		if err := inventory.ValidText("inputs."+in.Name, v, MaxInputValues); err != nil {
			return err
		}
		if in.Hidden {
			if o.hidden == nil {
				o.hidden = map[string]job.Secret{}
			}
			o.hidden[in.Name] = job.Secret(v)
			delete(values, in.Name)
		}
	}
	o.job.Inputs = slices.Clone(o.job.Inputs)
	for i := range o.job.Inputs {
		if in := &o.job.Inputs[i]; in.Hidden {
			in.Default = nil // it is a value by now
		}
	}
	payload, err := json.Marshal(values)
	if err != nil {
		return job.Wrap(job.Internal, err, "encode the inputs")
	}
	if len(payload) > MaxInputValues {
		return job.Errorf(job.TooLarge, "the inputs have %d bytes, more than %d", len(payload), MaxInputValues)
	}
	o.job.Payload = payload
	return nil
}

// override lays what a submission says of its own over the service's or
// template's.
func override(j *job.Job, sub *Submission) error {
	if sub.Become != nil {
		j.Become = *sub.Become
	}
	// A service's were checked when it was saved, by rules of its own.
	if sub.Become != nil || j.TemplateID != 0 {
		if err := validBecome(&j.Become); err != nil {
			return err
		}
	}
	l := &j.Limits
	if sub.Timeout != 0 {
		l.Timeout = sub.Timeout
	}
	if sub.RunTimeout != 0 {
		l.RunTimeout = sub.RunTimeout
	}
	if sub.Concurrency != 0 {
		l.Concurrency = sub.Concurrency
	}
	if sub.StopAfter != (job.StopAfter{}) {
		l.StopAfter = sub.StopAfter
	}
	if l.Timeout == 0 {
		l.Timeout = job.DefaultTimeout
		if sub.DefaultTimeout > 0 {
			l.Timeout, l.DefaultTimeout = sub.DefaultTimeout, true
		}
	}
	if err := validLimits(*l); err != nil {
		return err
	}
	if sub.Login == nil {
		return nil
	}
	if !userName(sub.Login.Username) {
		return job.FieldErrorf("login.username", "is not a user name")
	}
	j.Login.Username = sub.Login.Username
	return nil
}

// checkTimes checks when the job is to run.
func (d *Dispatcher) checkTimes(sub *Submission, o *order) error {
	o.first = d.Store.Now()
	if sub.Schedule == nil {
		if sub.Purpose != "" {
			return job.FieldErrorf("purpose", "is for schedules")
		}
	} else if err := d.checkSchedule(sub, o); err != nil {
		return err
	}
	if sub.StartBefore == nil {
		return nil
	}
	if sub.Schedule != nil && sub.Schedule.At == nil {
		return job.FieldErrorf("start_before", "is for jobs that run once")
	}
	if sub.StartBefore.Before(o.first) {
		return job.FieldErrorf("start_before", "is before the start")
	}
	at := sub.StartBefore.UTC()
	o.job.StartBefore = &at
	return nil
}

// checkSchedule finds the first occurrence.
func (d *Dispatcher) checkSchedule(sub *Submission, o *order) error {
	r := *sub.Schedule
	if err := schedule.Check(r); err != nil {
		return err
	}
	if err := validLine("purpose", sub.Purpose, inventory.MaxName, false); err != nil {
		return err
	}
	next, ok := nextOccurrence(r, o.first)
	if !ok {
		return job.FieldErrorf("schedule", "there is no time at which it could run")
	}
	o.first = next
	return nil
}

// nextOccurrence is the first occurrence at or after a moment that a recurrence
// allows.
func nextOccurrence(r job.Recurrence, from time.Time) (time.Time, bool) {
	if r.Start != nil && r.Start.After(from) {
		from = *r.Start
	}
	next, ok := schedule.Next(r, from)
	if !ok || r.End != nil && !next.Before(*r.End) {
		return time.Time{}, false
	}
	return next.UTC(), true
}

// checkFollowed refuses a command that could not be followed to its end here. On
// linux a long one is detached and looked at now and then.
func (d *Dispatcher) checkFollowed(ctx context.Context, o *order) error {
	if d.LongestAttempt <= 0 || o.job.Limits.Timeout <= d.LongestAttempt || len(o.targets) == 0 {
		return nil
	}
	ids := make([]int64, len(o.targets))
	for i, t := range o.targets {
		ids[i] = t.ID
	}
	devs, err := d.Store.DevicesByID(ctx, o.job.Tenant, ids)
	if err != nil {
		return err
	}
	for _, dev := range devs {
		if dev.Platform == job.PlatformLinux {
			continue
		}
		if o.job.Limits.DefaultTimeout { // nobody asked for so much
			o.job.Limits.Timeout = d.LongestAttempt
			return nil
		}
		return fieldUnsupported("timeout", "the time limit of %s is longer than the %s that a command can be followed here on %q, which is %s",
			o.job.Limits.Timeout, d.LongestAttempt, dev.Name, dev.Platform)
	}
	return nil
}

// sealSecrets puts what an order brings in secret into its job.
func (d *Dispatcher) sealSecrets(j *job.Job, hidden map[string]job.Secret, login *Login) error {
	size := 0
	seal := func(field string, v job.Secret, to *job.Sealed) error {
		if size += len(v); size > MaxHidden {
			return job.Errorf(job.TooLarge, "the hidden inputs and the login have more than %d bytes", MaxHidden)
		}
		var err error
		*to, err = d.Box.Seal(v, secret.AAD(j.Tenant, j.SecretKind(), 0, field))
		return err
	}
	for name, v := range hidden {
		var sealed job.Sealed
		if err := seal("input."+name, v, &sealed); err != nil {
			return err
		}
		if j.Hidden == nil {
			j.Hidden = map[string]job.Sealed{}
		}
		j.Hidden[name] = sealed
	}
	if login == nil {
		return nil
	}
	for _, s := range []struct {
		field string
		value job.Secret
		to    *job.Sealed
	}{
		{"login.password", login.Password, &j.Login.Password},
		{"login.passphrase", login.Passphrase, &j.Login.Passphrase},
		{"login.become_password", login.BecomePassword, &j.Login.BecomePassword},
	} {
		if err := seal(s.field, s.value, s.to); err != nil {
			return err
		}
	}
	return nil
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

// maxHeldSpec is how much of a scheduled job's body, payload and inputs is kept:
// they lie in its row, because objects go after a while and schedules stay.
const maxHeldSpec = 256 << 10

// outlineSpec moves a long body, payload and inputs into a blob.
func (d *Dispatcher) outlineSpec(ctx context.Context, j *job.Job) error {
	inputs := 0
	if len(j.Inputs) > 0 {
		b, err := json.Marshal(j.Inputs)
		if err != nil {
			return job.Wrap(job.Internal, err, "encode the inputs")
		}
		inputs = len(b)
	}
	if len(j.Body)+len(j.Payload)+inputs <= job.InlineSpecBytes {
		return nil
	}
	data, err := json.Marshal(job.Spec{Body: j.Body, Payload: j.Payload, Inputs: j.Inputs})
	if err != nil {
		return job.Wrap(job.Internal, err, "encode the job")
	}
	if j.ScheduleID != 0 {
		if len(data) > maxHeldSpec {
			return job.Errorf(job.TooLarge, "a scheduled job may have %d bytes of script and inputs; this one has %d", maxHeldSpec, len(data))
		}
		return nil
	}
	name := job.RunBlobPrefix(j.Tenant, j.ID) + "spec.json"
	if err := d.Blobs.Put(ctx, name, data); err != nil {
		return err
	}
	j.Body, j.Payload, j.Inputs, j.SpecBlob = "", nil, nil, name
	return nil
}
