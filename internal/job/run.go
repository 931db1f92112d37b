package job

import (
	"encoding/json"
	"time"
)

// Job is a request to run a service on targets, frozen at submit: a later
// change of the service does not touch it.
type Job struct {
	ID          string       `json:"id"`
	Tenant      string       `json:"tenant"`
	ServiceID   int64        `json:"service_id"`
	ServiceName string       `json:"service_name"`
	Type        TemplateType `json:"type"`
	Limits      Limits       `json:"limits"`
	Become      Become       `json:"become"`
	// CredentialID replaces the devices' own; 0: each device's own.
	CredentialID int64 `json:"credential_id,omitempty"`

	// Body and Payload are inline up to InlineSpecBytes together, else one
	// blob holds them (SpecBlob; both fields are empty then).
	Body     string          `json:"body,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"`
	SpecBlob string          `json:"spec_blob,omitempty"`

	Creator string    `json:"creator"`
	Created time.Time `json:"created"`
}

// InlineSpecBytes is how much of body and payload a job row holds itself.
const InlineSpecBytes = 5 << 10

// Spec is what SpecBlob holds, as JSON.
type Spec struct {
	Body    string          `json:"body"`
	Payload json.RawMessage `json:"payload,omitempty"`
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
	Output    Output       `json:"output"`

	Rev string `json:"-"`
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

	// Packed holds both streams compressed, or Blob names the object that
	// does; both are the store's business and empty in what callers see.
	Packed []byte `json:"packed,omitempty"`
	Blob   string `json:"blob,omitempty"`
}

// RunBlobPrefix is where the blobs of a run lie: its long specification and
// its large outputs.
func RunBlobPrefix(tenant, run string) string { return "runs/" + tenant + "/" + run + "/" }
