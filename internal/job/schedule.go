package job

import "time"

// Recurrence says when the runs of a job are to start. Exactly one of At, Cron
// and Every is set. Package schedule computes with it.
type Recurrence struct {
	At    *time.Time    `json:"at,omitempty"`    // once
	Cron  string        `json:"cron,omitempty"`  // five fields, see package schedule
	Every time.Duration `json:"every,omitempty"` // from Start on; whole minutes
	// Zone is the IANA name of the time zone of Cron; "": UTC.
	Zone string `json:"zone,omitempty"`
	// Start is the earliest occurrence, End the moment from which on there is
	// none.
	Start *time.Time `json:"start,omitempty"`
	End   *time.Time `json:"end,omitempty"`
	// MaxRuns is how many runs there are at most; 0: no bound.
	MaxRuns int `json:"max_runs,omitempty"`
	// Grace is how late a run may start before it is missed; 0: DefaultGrace.
	Grace time.Duration `json:"grace,omitempty"`
}

// DefaultGrace is how late an occurrence may start.
const DefaultGrace = 15 * time.Minute

// ScheduleState is the state of a schedule.
type ScheduleState string

// The states. The first two are not final.
const (
	ScheduleActive   ScheduleState = "active"
	SchedulePaused   ScheduleState = "paused"
	ScheduleFinished ScheduleState = "finished" // no further occurrence
	ScheduleCanceled ScheduleState = "canceled"
	ScheduleFailed   ScheduleState = "failed" // its next run could not be made
)

// Final reports whether the schedule makes no further run.
func (s ScheduleState) Final() bool {
	return s != ScheduleActive && s != SchedulePaused
}

// Schedule makes the runs of one job. While it is active or paused there is
// exactly one run of it that is scheduled: the next one.
type Schedule struct {
	Meta                     // Name is made by the store
	Recurrence Recurrence    `json:"recurrence"`
	State      ScheduleState `json:"state"`
	JobID      string        `json:"job_id"`
	// Purpose is unique among the tenant's schedules that are not final; "":
	// none.
	Purpose string `json:"purpose,omitempty"`
	// Runs is how many runs were made so far, the next one included.
	Runs int `json:"runs"`
	// Last is when the latest run was to start, Next when the next one is; Next
	// is nil when the schedule is final.
	Last *time.Time `json:"last,omitempty"`
	Next *time.Time `json:"next,omitempty"`
	// NextRun is the run that is scheduled; LastRun the one before.
	NextRun string `json:"next_run,omitempty"`
	LastRun string `json:"last_run,omitempty"`
	Message string `json:"message,omitempty"` // why it failed

	ServiceName string `json:"service_name"` // of the job, or its template's name
}
