package trigger

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"drover/internal/job"
	"drover/internal/schedule/ebschedule"
)

// TestOpen_NamesWhatIsMissing: nothing is called before the configuration is
// complete, and the error names all that is not there.
func TestOpen_NamesWhatIsMissing(t *testing.T) {
	t.Setenv("DROVER_TABLE", "")
	t.Setenv("DROVER_KEEP", "")
	_, err := Open(t.Context())
	const want = "missing in the environment: DROVER_TABLE, DROVER_KEEP, DROVER_STATE_MACHINE_ARN, " +
		"DROVER_SCHEDULE_GROUP, DROVER_TRIGGER_ARN, DROVER_SCHEDULER_ROLE_ARN, DROVER_DEAD_LETTERS_ARN"
	if job.CodeOf(err) != job.Invalid || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// A bubble's clock begins here.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestRing(t *testing.T) {
	event := func(planned string) ebschedule.Event {
		return ebschedule.Event{V: 1, Tenant: "a", Schedule: 7, Time: planned}
	}
	stamp := func(d time.Duration) string { return start.Add(d).Format(time.RFC3339) }
	soon, failure := start.Add(3*time.Second), errors.New("the table does not answer")
	for _, tt := range []struct {
		why    string
		event  ebschedule.Event
		stored job.Schedule
		err    error // of reading the schedule
		want   string
		waits  time.Duration
		code   job.Code
	}{
		{why: "its time", event: event(stamp(-time.Minute)), want: "a/7 -1m0s"},
		{why: "a clock that is ahead", event: event(stamp(2 * time.Second)), want: "a/7 2s", waits: 2 * time.Second},
		{why: "far too early", event: event(stamp(time.Hour)), want: "a/7 1h0m0s"},
		{why: "the emulator does not say when", event: event("<aws.scheduler.scheduled-time>"), stored: job.Schedule{Next: &soon}, want: "a/7 3s", waits: 3 * time.Second},
		{why: "no time at all", event: event(""), stored: job.Schedule{Next: &soon}, want: "a/7 3s", waits: 3 * time.Second},
		{why: "finished", event: event("")},
		{why: "gone", event: event(""), err: job.Errorf(job.NotFound, "gone")},
		{why: "not readable", event: event(""), err: job.Wrap(job.Unavailable, failure, "read"), code: job.Unavailable},
		{why: "a later version", event: ebschedule.Event{V: 2, Tenant: "a", Schedule: 7, Time: stamp(0)}, code: job.Invalid},
		{why: "not an alarm", code: job.Invalid},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := ""
			h := handler{now: time.Now,
				schedule: func(context.Context, string, int64) (job.Schedule, error) { return tt.stored, tt.err },
				fire: func(_ context.Context, tenant string, id int64, planned time.Time) error {
					got = fmt.Sprintf("%s/%d %s", tenant, id, planned.Sub(start))
					return nil
				}}
			err := h.ring(t.Context(), tt.event)
			if waited := time.Since(start); got != tt.want || job.CodeOf(err) != tt.code || waited != tt.waits {
				t.Errorf("%s: %q, %v after %s; want %q, %q after %s", tt.why, got, err, waited, tt.want, tt.code, tt.waits)
			}
		})
	}
}
