package foreman

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/job"
)

func TestPhaseOf(t *testing.T) {
	at := time.Now()
	for _, c := range []struct {
		name string
		run  job.Run
		want phase
	}{
		{"scheduled", job.Run{Status: job.Scheduled}, phase{2, "queued", "scheduled", "pending"}},
		{"paused", job.Run{Status: job.Scheduled, Reason: job.ReasonPaused}, phase{2, "queued", "scheduled", "pending"}},
		{"awaiting approval", job.Run{Status: job.AwaitingApproval}, phase{2, "queued", "scheduled", "pending"}},
		{"accepted", job.Run{Status: job.Queued}, phase{3, "running", "planned", "pending"}},
		{"running", job.Run{Status: job.Running, Started: &at}, phase{3, "running", "running", "pending"}},
		{"canceling", job.Run{Status: job.Running, Reason: job.ReasonCanceling, Started: &at}, phase{3, "running", "running", "pending"}},
		{"succeeded", job.Run{Status: job.Succeeded, Started: &at}, phase{0, "succeeded", "stopped", "success"}},
		{"a device failed", job.Run{Status: job.Failed, Reason: job.ReasonDevices, Started: &at}, phase{1, "failed", "stopped", "warning"}},
		{"not planned", job.Run{Status: job.Failed, Reason: job.ReasonInternal, Started: &at}, phase{1, "failed", "stopped", "error"}},
		{"no targets found", job.Run{Status: job.Failed, Reason: job.ReasonTargets}, phase{1, "failed", "stopped", "error"}},
		{"overdue", job.Run{Status: job.TimedOut, Started: &at}, phase{1, "failed", "stopped", "warning"}},
		{"never started in time", job.Run{Status: job.TimedOut}, phase{1, "failed", "stopped", "error"}},
		{"canceled while running", job.Run{Status: job.StatusCanceled, Started: &at}, phase{4, "cancelled", "stopped", "warning"}},
		{"canceled before", job.Run{Status: job.StatusCanceled}, phase{4, "cancelled", "stopped", "cancelled"}},
		{"too late", job.Run{Status: job.Missed, Reason: job.ReasonTooLate}, phase{4, "cancelled", "stopped", "error"}},
	} {
		if got := phaseOf(c.run); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// Every status of a run has a number, and searching for a label finds exactly
// the jobs that show it; "running" finds those that wait too.
func TestLabels_BothWays(t *testing.T) {
	for _, s := range job.Statuses() {
		if _, ok := codes[s]; !ok {
			t.Errorf("no number for %s", s)
		}
		p := phaseOf(job.Run{Status: s})
		for _, l := range labels {
			shows := p.label == l || l == "running" && p.state != taskStopped
			if finds := slices.Contains(statusesOf(l), s); finds != shows {
				t.Errorf("status = %s finds %s: %v, want %v", l, s, finds, shows)
			}
			if slices.Contains(matchedLabels(s), l) != shows {
				t.Errorf("%s is found by %v", s, matchedLabels(s))
			}
		}
	}
	if got := statusesOf("odd"); got != nil {
		t.Errorf("an unknown label finds %v", got)
	}
}

func TestHostResults_BothWays(t *testing.T) {
	seen := map[job.ResultStatus]bool{}
	for _, word := range []string{resultPending, resultSuccess, resultError, resultCancelled} {
		for _, s := range resultsOf(word) {
			if hostResults[s] != word || seen[s] {
				t.Errorf("%s stands for %s, which is %s", word, s, hostResults[s])
			}
			seen[s] = true
		}
	}
	if len(seen) != len(job.ResultStatuses()) {
		t.Errorf("%d of %d results have a word", len(seen), len(job.ResultStatuses()))
	}
	if got := resultsOf("odd"); got != nil {
		t.Errorf("an unknown word stands for %v", got)
	}
}

func TestJobStatus(t *testing.T) {
	at := time.Now()
	started := job.Run{Status: job.Running, Started: &at}
	for _, c := range []struct {
		run    job.Run
		result job.ResultStatus
		want   string
	}{
		{job.Run{Status: job.Scheduled}, job.ResultPending, "N/A"},
		{job.Run{Status: job.Queued}, job.ResultPending, "N/A"},
		{started, job.ResultPending, "planned"},
		{started, job.ResultRunning, "running"},
		{started, job.ResultSucceeded, "success"},
		{started, job.ResultFailed, "error"},
		{started, job.ResultUnreachable, "error"},
		{started, job.ResultTimedOut, "error"},
		{started, job.ResultUnknown, "error"},
		{started, job.ResultCanceled, "cancelled"},
		{started, job.ResultSkipped, "cancelled"},
		{job.Run{Status: job.StatusCanceled}, job.ResultCanceled, "cancelled"},
		{job.Run{Status: job.StatusCanceled, Started: &at}, job.ResultCanceled, "cancelled"},
		{job.Run{Status: job.Missed}, job.ResultSkipped, "cancelled"},
	} {
		got := jobStatus(c.run, c.result)
		if got != c.want {
			t.Errorf("%s in a %s run: %s, want %s", c.result, c.run.Status, got, c.want)
		}
	}
}

func TestCountersOf(t *testing.T) {
	at := time.Now()
	counts := job.Counts{Total: 9, Succeeded: 2, Failed: 1, Unreachable: 1, TimedOut: 1, Unknown: 1, Canceled: 1, Skipped: 1, Pending: 1}
	for _, c := range []struct {
		name string
		run  job.Run
		want counters
	}{
		{"scheduled", job.Run{Status: job.Scheduled, Total: 9}, counters{"N/A", "N/A", "N/A", "N/A", 9, 0}},
		{"scheduled, not resolved", job.Run{Status: job.Scheduled, Unresolved: true}, counters{"N/A", "N/A", "N/A", "N/A", "N/A", 0}},
		{"accepted", job.Run{Status: job.Queued, Total: 9}, counters{"N/A", "N/A", "N/A", 9, 9, 0}},
		{"running", job.Run{Status: job.Running, Total: 9, Started: &at}, counters{2, 4, 1, 9, 9, 2}},
		{"over", job.Run{Status: job.Failed, Total: 9, Started: &at}, counters{2, 4, 1, 9, 9, 2}},
	} {
		if d := cmp.Diff(c.want, countersOf(c.run, counts), cmp.AllowUnexported(counters{})); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
	none := countersOf(job.Run{Status: job.Succeeded, Started: &at}, job.Counts{})
	if d := cmp.Diff(counters{0, 0, 0, 0, 0, 0}, none, cmp.AllowUnexported(counters{})); d != "" {
		t.Errorf("no host: %s", d)
	}
}

func TestScheduleStates_EveryStateHasOneWord(t *testing.T) {
	words := map[string]bool{}
	for _, s := range []job.ScheduleState{job.ScheduleActive, job.SchedulePaused, job.ScheduleFinished, job.ScheduleCanceled, job.ScheduleFailed} {
		word := scheduleStates[s]
		if word == "" || words[word] {
			t.Errorf("%s is %q", s, word)
		}
		words[word] = true
	}
}
