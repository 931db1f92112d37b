package job

import (
	"encoding/json"
	"time"
)

// Job is a request to run a service or a template on targets, frozen at submit: a
// later change of either does not touch it. (What a body includes of other
// templates while it is rendered is read then.)
type Job struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	// ServiceID and ServiceName name the service; of a template TemplateID is
	// set, ServiceID is 0 and ServiceName is the template's name.
	ServiceID   int64        `json:"service_id"`
	ServiceName string       `json:"service_name"`
	TemplateID  int64        `json:"template_id,omitempty"`
	Type        TemplateType `json:"type"`
	Language    Language     `json:"language,omitempty"`
	Limits      Limits       `json:"limits"`
	Become      Become       `json:"become"`
	// CredentialID replaces the devices' own; 0: each device's own.
	CredentialID int64 `json:"credential_id,omitempty"`

	// Body and Payload are inline up to InlineSpecBytes together, else one
	// blob holds them (SpecBlob; both fields are empty then).
	Body     string          `json:"body,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"` // of a template: its inputs' values by name, hidden ones left out
	Inputs   []Input         `json:"inputs,omitempty"`  // a template's, those it includes too; goes with Body
	SpecBlob string          `json:"spec_blob,omitempty"`

	// Hidden holds the values of hidden inputs by name. See SecretPlace.
	Hidden map[string]Sealed `json:"hidden,omitempty"`
	// Login replaces parts of the devices' credentials. Its secrets are erased
	// when the job's only run ends, or its schedule does.
	Login Login `json:"login,omitzero"`

	Select Selection `json:"select,omitzero"`
	// StartBefore is the moment by which a run must have begun; one that comes
	// later is missed. Only for jobs that run once.
	StartBefore *time.Time `json:"start_before,omitempty"`
	ScheduleID  int64      `json:"schedule_id,omitempty"` // 0: runs once, at submit
	Description string     `json:"description,omitempty"`

	Creator string    `json:"creator"`
	Created time.Time `json:"created"`

	Rev string `json:"-"`
}

// Login replaces parts of a credential for one job.
type Login struct {
	Username       string `json:"username,omitempty"`
	Password       Sealed `json:"password,omitempty"`
	Passphrase     Sealed `json:"passphrase,omitempty"`
	BecomePassword Sealed `json:"become_password,omitempty"`
}

// Secret reports whether the login brings a secret.
func (l Login) Secret() bool {
	return l.Password.Set() || l.Passphrase.Set() || l.BecomePassword.Set()
}

// SecretKind is the kind of object that a job's secrets are sealed to; the field
// is "login.password" and so on, or "input." and the name. A job has no number:
// the place's id is 0 and its kind this with the job's id.
func (j Job) SecretKind() string { return "job/" + j.ID }

// InlineSpecBytes is how much of body and payload a job row holds itself.
const InlineSpecBytes = 5 << 10

// Spec is what SpecBlob holds, as JSON.
type Spec struct {
	Body    string          `json:"body"`
	Payload json.RawMessage `json:"payload,omitempty"`
	Inputs  []Input         `json:"inputs,omitempty"`
}

// Counts are the results of a run by status. Total is the number of devices.
type Counts struct {
	Total       int `json:"total"`
	Pending     int `json:"pending"`
	Running     int `json:"running"`
	Succeeded   int `json:"succeeded"`
	Failed      int `json:"failed"`
	Unreachable int `json:"unreachable"`
	Canceled    int `json:"canceled"`
	Skipped     int `json:"skipped"`
	TimedOut    int `json:"timed_out"`
	Unknown     int `json:"unknown"`
}

// Add counts n more results of a status. It does not touch Total.
func (c *Counts) Add(s ResultStatus, n int) {
	switch s {
	case ResultPending:
		c.Pending += n
	case ResultRunning:
		c.Running += n
	case ResultSucceeded:
		c.Succeeded += n
	case ResultFailed:
		c.Failed += n
	case ResultUnreachable:
		c.Unreachable += n
	case ResultCanceled:
		c.Canceled += n
	case ResultSkipped:
		c.Skipped += n
	case ResultTimedOut:
		c.TimedOut += n
	case ResultUnknown:
		c.Unknown += n
	}
}

// Of returns the number of results in a status.
func (c Counts) Of(s ResultStatus) int {
	switch s {
	case ResultPending:
		return c.Pending
	case ResultRunning:
		return c.Running
	case ResultSucceeded:
		return c.Succeeded
	case ResultFailed:
		return c.Failed
	case ResultUnreachable:
		return c.Unreachable
	case ResultCanceled:
		return c.Canceled
	case ResultSkipped:
		return c.Skipped
	case ResultTimedOut:
		return c.TimedOut
	case ResultUnknown:
		return c.Unknown
	}
	return 0
}

// Run is one execution of a job.
type Run struct {
	ID          string `json:"id"` // also the name of the workflow execution
	Tenant      string `json:"tenant"`
	JobID       string `json:"job_id"`
	ServiceID   int64  `json:"service_id"`
	ServiceName string `json:"service_name"`
	Status      Status `json:"status"`
	Reason      string `json:"reason,omitempty"`
	Message     string `json:"message,omitempty"` // for a person, where Reason is not enough

	Creator string `json:"creator"`
	Trigger string `json:"trigger"`          // TriggerAPI and so on
	Name    string `json:"name,omitempty"`   // the caller's own name for it, unique in the tenant; optional
	Labels  string `json:"labels,omitempty"` // the caller's own words

	// Number counts the runs that were submitted with the same Space, from 1 on:
	// it is how an API family names them that knows runs by numbers.
	Space  string `json:"space,omitempty"`
	Number int64  `json:"number,omitempty"`

	TemplateID  int64  `json:"template_id,omitempty"`
	Description string `json:"description,omitempty"`

	// Planned is when a scheduled run is to start, ScheduleID what makes it do
	// so. StartBefore is the moment after which it is missed.
	Planned     *time.Time `json:"planned,omitempty"`
	ScheduleID  int64      `json:"schedule_id,omitempty"`
	StartBefore *time.Time `json:"start_before,omitempty"`
	// Unresolved says that the devices are found when the run starts.
	Unresolved bool `json:"unresolved,omitempty"`
	// RerunOf is the run that this one repeats.
	RerunOf string `json:"rerun_of,omitempty"`

	// Created is unique within the tenant to the microsecond, in UTC.
	Created time.Time  `json:"created"`
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	// Deadline is set at the start; nothing starts after it.
	Deadline *time.Time `json:"deadline,omitempty"`

	Total          int  `json:"total"`                   // devices
	DevicesPerUnit int  `json:"devices_per_unit"`        // set at plan time
	Units          int  `json:"units"`                   // set at plan time
	Shards         int  `json:"shards"`                  // result partitions; set at submit
	NeedsTargets   bool `json:"needs_targets,omitempty"` // with no device the run fails

	// Counts are final in a terminal run and zero before.
	Counts Counts `json:"counts"`

	CancelAsked *time.Time `json:"cancel_asked,omitempty"`
	CanceledBy  string     `json:"canceled_by,omitempty"`
	// CancelForce does not wait for devices to confirm.
	CancelForce bool `json:"cancel_force,omitempty"`
	// Stopped is when too many devices had failed: see ReasonStopAfter.
	Stopped *time.Time `json:"stopped,omitempty"`
	// Detaches says that commands may run on devices while nobody is connected
	// to them; set at plan time.
	Detaches bool `json:"detaches,omitempty"`

	// HasLogin says that the job brings secrets of a login, which are erased when
	// they are of no use any more.
	HasLogin bool `json:"has_login,omitempty"`

	// Due is when the sweeper looks at the run next; it is the key of the
	// open row. Zero in a terminal run.
	Due time.Time `json:"due,omitzero"`

	// Extra as in Meta.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`

	Rev string `json:"-"`
}

// Triggers: why a run exists.
const (
	TriggerAPI      = "api"
	TriggerSchedule = "schedule"
)

// Canceling reports whether a cancel was asked.
func (r Run) Canceling() bool { return r.CancelAsked != nil }

// Target is one device of a run, frozen at submit.
type Target struct {
	ID   int64  `json:"i"`
	Name string `json:"n"`
}

// TargetsPerChunk is how many targets one stored chunk holds.
const TargetsPerChunk = 128

// MaxTargets is the most devices that one run may have.
const MaxTargets = 100_000

// MaxUnits is the most units of a run; above it units hold several devices.
const MaxUnits = 10_000

// Claim is the right to work on a device in a run until a moment. It is held
// by one executor invocation and recorded before the device is touched.
type Claim struct {
	Owner string    `json:"owner"`
	Until time.Time `json:"until"`
}

// Result is what (run, device, step) has returned so far. It is the claim
// while Status is running.
type Result struct {
	Index     int          `json:"index"` // the device's place among the run's targets, from 0
	Step      string       `json:"step,omitempty"`
	DeviceID  int64        `json:"device_id"`
	Device    string       `json:"device"`
	Status    ResultStatus `json:"status"`
	Reason    string       `json:"reason,omitempty"`
	Message   string       `json:"message,omitempty"` // for a person; holds no secret
	Attempts  int          `json:"attempts"`          // how many were begun
	Exit      *int         `json:"exit,omitempty"`    // exit status of the last attempt's command
	Signal    string       `json:"signal,omitempty"`  // the signal that ended it, e.g. "KILL"
	Started   *time.Time   `json:"started,omitempty"` // first attempt
	Ended     *time.Time   `json:"ended,omitempty"`
	NotBefore *time.Time   `json:"not_before,omitempty"` // the next attempt waits until then
	Claim     *Claim       `json:"claim,omitempty"`
	// Detached is set while the command runs, or may run, apart from any
	// connection. The claim then has no owner between two looks at it.
	Detached *Detached `json:"detached,omitempty"`
	Output   Output    `json:"output"`

	Rev string `json:"-"`
}

// Detached is a command that runs apart from the connection that started it.
type Detached struct {
	Begun   time.Time  `json:"begun"`             // before anything was sent
	Started *time.Time `json:"started,omitempty"` // the device said so; nil: not known
	// Deadline is when nobody looks for its end any more.
	Deadline time.Time `json:"deadline"`
	// Stdout and Stderr are how many bytes of the streams lie before those that
	// Output holds.
	Stdout int `json:"o,omitempty"`
	Stderr int `json:"e,omitempty"`
}

// Output is what a command printed, UTF-8 with invalid bytes replaced, secrets
// redacted, each stream cut to the output limit.
type Output struct {
	Stdout      string `json:"stdout,omitempty"`
	Stderr      string `json:"stderr,omitempty"`
	StdoutBytes int64  `json:"stdout_bytes,omitempty"` // as the device sent it, before the cut
	StderrBytes int64  `json:"stderr_bytes,omitempty"`
	StdoutCut   bool   `json:"stdout_cut,omitempty"`
	StderrCut   bool   `json:"stderr_cut,omitempty"`

	// Marks tell when the output had grown to which length, oldest first. The
	// last one covers all of it.
	Marks []Mark `json:"marks,omitempty"`

	// Packed holds both streams compressed, or Blob names the object that
	// does; both are the store's business and empty in what callers see.
	Packed []byte `json:"packed,omitempty"`
	Blob   string `json:"blob,omitempty"`
}

// Mark is how long an output was at a moment, in bytes of what is stored.
type Mark struct {
	At     int64 `json:"t"` // milliseconds since 1970
	Stdout int   `json:"o,omitempty"`
	Stderr int   `json:"e,omitempty"`
}

// MaxMarks is how many marks an output has at most. When there are more, older
// ones are merged: a reader that has read up to the last one loses nothing.
const MaxMarks = 48

// RunBlobPrefix is where the blobs of a run lie: its long specification and
// its large outputs.
func RunBlobPrefix(tenant, run string) string { return "runs/" + tenant + "/" + run + "/" }
