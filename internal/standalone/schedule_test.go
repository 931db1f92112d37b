package standalone_test

import (
	"encoding/json"
	"testing"
	"time"

	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/standalone"
)

// scheduled submits the service of the fleet for a time, and returns the run.
func (r *running) scheduled(t *testing.T, at time.Time) job.Run {
	t.Helper()
	p := job.Principal{Tenant: job.DefaultTenant, Name: "admin", Role: job.Admin}
	out, err := r.Dispatcher().Submit(t.Context(), p, dispatch.Submission{Service: "hello", Schedule: &job.Recurrence{At: &at}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Run
}

// succeeds waits for a run. The sweeper would start it half a minute after its time:
// what is over before was started by the alarm.
func (r *running) succeeds(t *testing.T, run job.Run, limit time.Duration) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		var got struct {
			Status  string    `json:"status"`
			Started time.Time `json:"started"`
		}
		if err := json.Unmarshal([]byte(r.ok(t, "GET", "/drover/v1/runs/"+run.ID, nil)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Status == "succeeded" {
			if got.Started.Before(*run.Planned) {
				t.Errorf("planned for %s and started at %s", run.Planned, got.Started)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("run %s is %s", run.ID, got.Status)
		}
	}
}

// TestSchedule_StartsAtItsTime: a run that is scheduled starts when its time comes,
// and at the next start of the process when that is later.
func TestSchedule_StartsAtItsTime(t *testing.T) {
	cfg := standalone.Config{Data: t.TempDir()}
	r := start(t, cfg)
	fleet := r.fleet(t, 1, "echo hello", nil)
	first := r.scheduled(t, time.Now().Add(2*time.Second).Truncate(time.Second))
	if first.Status != job.Scheduled {
		t.Fatalf("the run is %s", first.Status)
	}
	r.succeeds(t, first, 12*time.Second)
	second := r.scheduled(t, time.Now().Add(2*time.Second).Truncate(time.Second))
	r.stop()
	time.Sleep(time.Until(*second.Planned) + 100*time.Millisecond)
	r = start(t, cfg)
	r.succeeds(t, second, 12*time.Second)
	if n := fleet.Executions(); n != 2 {
		t.Errorf("%d commands were run, want 2", n)
	}
}
