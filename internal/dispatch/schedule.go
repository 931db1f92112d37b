package dispatch

import (
	"context"
	"time"

	"drover/internal/job"
)

var errNotYet = job.Errorf(job.Unsupported, "not available yet")

// Schedule returns a schedule by id.
func (d *Dispatcher) Schedule(ctx context.Context, p job.Principal, id int64) (job.Schedule, error) {
	return job.Schedule{}, errNotYet
}

// Schedules lists schedules, in order of id.
func (d *Dispatcher) Schedules(ctx context.Context, p job.Principal, q Page) ([]job.Schedule, string, error) {
	return nil, "", errNotYet
}

// ScheduleRuns returns the runs that a schedule has made and that are kept,
// oldest first.
func (d *Dispatcher) ScheduleRuns(ctx context.Context, p job.Principal, id int64) ([]job.Run, error) {
	return nil, errNotYet
}

// PauseSchedule keeps a schedule's next run from starting. Conflict when the
// schedule is final. Pausing a paused one does nothing.
func (d *Dispatcher) PauseSchedule(ctx context.Context, p job.Principal, id int64) (job.Schedule, error) {
	return job.Schedule{}, errNotYet
}

// ResumeSchedule lets it start again: at its time, or at the next occurrence when
// that is past. Conflict when the schedule is final.
func (d *Dispatcher) ResumeSchedule(ctx context.Context, p job.Principal, id int64) (job.Schedule, error) {
	return job.Schedule{}, errNotYet
}

// CancelSchedule ends a schedule and cancels its scheduled run; runs that have
// begun go on. Canceling a final one does nothing.
func (d *Dispatcher) CancelSchedule(ctx context.Context, p job.Principal, id int64) (job.Schedule, error) {
	return job.Schedule{}, errNotYet
}

// DeleteSchedule cancels a schedule if it is not final, and forgets it. Its runs stay.
func (d *Dispatcher) DeleteSchedule(ctx context.Context, p job.Principal, id int64) error {
	return errNotYet
}

// Fire starts the run of a schedule that is due at planned, and makes the next
// one. It is safe to call twice, early, late, and for schedules that are gone:
// an occurrence makes one run.
func (d *Dispatcher) Fire(ctx context.Context, tenant string, id int64, planned time.Time) error {
	return errNotYet
}
