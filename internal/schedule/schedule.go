// Package schedule computes when the runs of a recurrence are to start, and is
// the port to what calls at those times: EventBridge Scheduler in the cloud, a
// loop on one machine. The suite in package scheduletest states the port's laws.
package schedule

import (
	"context"
	"time"

	"drover/internal/job"
)

// Check reports what is wrong with a recurrence: job.Invalid with the field (cron,
// at, every, zone, start, end, max_runs) and a message.
func Check(r job.Recurrence) error { return nil }

// Next returns the first occurrence of a recurrence at or after a moment; ok is
// false when there is none. It knows nothing of MaxRuns. Occurrences are whole minutes.
func Next(r job.Recurrence, from time.Time) (next time.Time, ok bool) { return time.Time{}, false }

// Alarm is a call that is to be made at a time, again and again where
// Recurrence says so: Fire(Tenant, ID, time).
type Alarm struct {
	Tenant string
	ID     int64 // of the schedule
	// Next is the next time. Recurrence lets a driver ask for all times at once
	// where its service says exactly the same (see Exact); otherwise the alarm
	// rings once, at Next, and is set again by who was called.
	Next       time.Time
	Recurrence job.Recurrence
}

// Fire is called when an alarm rings; planned is the time that it was set for.
type Fire func(ctx context.Context, tenant string, id int64, planned time.Time) error

// Alarms is the port. Errors are *job.Error.
type Alarms interface {
	// Set sets an alarm, in place of one with the same tenant and id. A time
	// that is past rings at once.
	Set(ctx context.Context, a Alarm) error
	// Delete removes an alarm; deleting one that is not set succeeds. After it
	// returns Fire may still be called once, for a time before.
	Delete(ctx context.Context, tenant string, id int64) error
}
