package finisher

import (
	"testing"
	"time"

	"drover/internal/job"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *time.Time { t := now.Add(d); return &t }

func running(total int) job.Run {
	return job.Run{ID: "r", Status: job.Running, Total: total, Started: at(-time.Minute), Deadline: at(time.Hour)}
}

func with(r job.Run, f func(*job.Run)) job.Run { f(&r); return r }

func canceling(r job.Run) job.Run {
	return with(r, func(r *job.Run) { r.CancelAsked = at(-time.Minute) })
}

func overdue(r job.Run) job.Run {
	return with(r, func(r *job.Run) { r.Deadline = at(-time.Minute) })
}

func late(r *job.Run) { r.StartBefore = at(0) }

func stopping(r job.Run) job.Run {
	return with(r, func(r *job.Run) { r.Stopped, r.Reason = at(-time.Minute), job.ReasonStopAfter })
}

func TestSettle_Outcome(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     Input
		status job.Status
		reason string
		counts job.Counts
	}{
		{"all succeeded", Input{Run: running(2), Counts: job.Counts{Succeeded: 2}}, job.Succeeded, "", job.Counts{Total: 2, Succeeded: 2}},
		{"all succeeded, cancel came late", Input{Run: canceling(running(2)), Counts: job.Counts{Succeeded: 2}}, job.Succeeded, "", job.Counts{Total: 2, Succeeded: 2}},
		{"one failed", Input{Run: running(2), Counts: job.Counts{Succeeded: 1, Failed: 1}}, job.Failed, job.ReasonDevices, job.Counts{Total: 2, Succeeded: 1, Failed: 1}},
		{"canceled", Input{Run: canceling(running(3)), Counts: job.Counts{Succeeded: 1, Canceled: 1}}, job.StatusCanceled, job.ReasonCanceled, job.Counts{Total: 3, Succeeded: 1, Canceled: 2}},
		{"canceled before the start", Input{Run: canceling(job.Run{Status: job.Queued, Total: 3})}, job.StatusCanceled, job.ReasonCanceled, job.Counts{Total: 3, Canceled: 3}},
		{"overdue, devices unreached", Input{Run: overdue(running(3)), Counts: job.Counts{Succeeded: 1}}, job.TimedOut, job.ReasonDeadline, job.Counts{Total: 3, Succeeded: 1, Skipped: 2}},
		{"overdue, killed", Input{Run: overdue(running(1)), Counts: job.Counts{TimedOut: 1}, DeadlineKills: 1}, job.TimedOut, job.ReasonDeadline, job.Counts{Total: 1, TimedOut: 1}},
		{"overdue, all have results", Input{Run: overdue(running(1)), Counts: job.Counts{Failed: 1}}, job.Failed, job.ReasonDevices, job.Counts{Total: 1, Failed: 1}},
		{"ended early", Input{Run: running(3), Counts: job.Counts{Succeeded: 2}}, job.Failed, job.ReasonCapacity, job.Counts{Total: 3, Succeeded: 2, Skipped: 1}},
		{"no target", Input{Run: running(0)}, job.Succeeded, "", job.Counts{}},
		{"no target, needed", Input{Run: with(running(0), func(r *job.Run) { r.NeedsTargets = true })}, job.Failed, job.ReasonNoTargets, job.Counts{}},
		{"not started in time", Input{Run: overdue(job.Run{Status: job.Queued, Total: 2}), Grace: time.Hour}, job.TimedOut, job.ReasonDeadline, job.Counts{Total: 2, Skipped: 2}},
		{"too late to begin", Input{Run: with(job.Run{Status: job.Queued, Total: 2}, late)}, job.Missed, job.ReasonTooLate, job.Counts{Total: 2, Skipped: 2}},
		{"too late to begin, and overdue", Input{Run: with(overdue(job.Run{Status: job.Queued, Total: 2}), late)}, job.Missed, job.ReasonTooLate, job.Counts{Total: 2, Skipped: 2}},
		{"too late to begin, and canceled", Input{Run: with(canceling(job.Run{Status: job.Queued, Total: 2}), late)}, job.StatusCanceled, job.ReasonCanceled, job.Counts{Total: 2, Canceled: 2}},
		{"its devices could not be found", Input{Run: with(overdue(job.Run{Status: job.Queued}), func(r *job.Run) { r.Reason = job.ReasonTargets })}, job.Failed, job.ReasonTargets, job.Counts{}},
		{"scheduled, and canceled", Input{Run: canceling(job.Run{Status: job.Scheduled, Total: 2})}, job.StatusCanceled, job.ReasonCanceled, job.Counts{Total: 2, Canceled: 2}},
		{"begun in time", Input{Run: with(running(2), late), Counts: job.Counts{Failed: 2}}, job.Failed, job.ReasonDevices, job.Counts{Total: 2, Failed: 2}},
		{"stopped after failures", Input{Run: stopping(running(9)), Counts: job.Counts{Succeeded: 1, Failed: 3}}, job.Failed, job.ReasonStopAfter, job.Counts{Total: 9, Succeeded: 1, Failed: 3, Skipped: 5}},
		{"stopped after failures, none left", Input{Run: stopping(running(3)), Counts: job.Counts{Failed: 3}}, job.Failed, job.ReasonStopAfter, job.Counts{Total: 3, Failed: 3}},
		{"stopped after failures, and overdue", Input{Run: stopping(overdue(running(3))), Counts: job.Counts{Failed: 2}}, job.Failed, job.ReasonStopAfter, job.Counts{Total: 3, Failed: 2, Skipped: 1}},
		{"stopped after failures, and canceled", Input{Run: stopping(canceling(running(3))), Counts: job.Counts{Failed: 2}}, job.StatusCanceled, job.ReasonCanceled, job.Counts{Total: 3, Failed: 2, Canceled: 1}},
		{"its execution ended before it began", Input{Run: job.Run{Status: job.Queued, Reason: job.ReasonAborted, Total: 2}}, job.Failed, job.ReasonAborted, job.Counts{Total: 2, Skipped: 2}},
		{"no plan", Input{Run: job.Run{Status: job.Queued, Total: 2}}, job.Failed, job.ReasonInternal, job.Counts{Total: 2, Skipped: 2}},
	} {
		c.in.Now = now
		d := Settle(c.in)
		if !d.Settled || d.Run.Status != c.status || d.Run.Reason != c.reason || d.Run.Counts != c.counts {
			t.Errorf("%s: settled %v, %s %q %+v, want %s %q %+v", c.name, d.Settled, d.Run.Status, d.Run.Reason, d.Run.Counts, c.status, c.reason, c.counts)
		}
		if (d.Run.Message != "") != (c.reason == job.ReasonInternal || c.reason == job.ReasonAborted) {
			t.Errorf("%s: message %q", c.name, d.Run.Message)
		}
		if d.Run.Ended == nil || !d.Run.Due.IsZero() {
			t.Errorf("%s: ended %v, due %v", c.name, d.Run.Ended, d.Run.Due)
		}
	}
}

func TestSettle_LeavesAScheduledRunAlone(t *testing.T) {
	r := with(job.Run{Status: job.Scheduled, Total: 2, Due: now}, late)
	if d := Settle(Input{Run: r, Now: now}); d.Settled || d.Run.Status != job.Scheduled {
		t.Errorf("settled %v as %s", d.Settled, d.Run.Status)
	}
}

func TestSettle_Waits(t *testing.T) {
	const grace = 10 * time.Second
	for _, c := range []struct {
		name   string
		in     Input
		reason string
		due    time.Duration
	}{
		{"live claim", Input{Run: running(2), Counts: job.Counts{Running: 1}, LiveUntil: now.Add(30 * time.Second)}, "", 30 * time.Second},
		{"live claim, canceled", Input{Run: canceling(running(2)), Counts: job.Counts{Running: 1}, LiveUntil: now.Add(30 * time.Second)}, job.ReasonCanceling, 30 * time.Second},
		{"live claim, overdue", Input{Run: overdue(running(2)), Counts: job.Counts{Running: 1}, LiveUntil: now.Add(time.Hour)}, job.ReasonOverdue, Recheck},
		{"busy", Input{Run: canceling(running(2)), Busy: true}, job.ReasonCanceling, time.Second},
		{"canceled just now", Input{Run: with(running(2), func(r *job.Run) { r.CancelAsked = at(-time.Second) }), Grace: grace}, job.ReasonCanceling, 9 * time.Second},
		{"overdue just now", Input{Run: with(running(2), func(r *job.Run) { r.Deadline = at(-time.Second) }), Grace: grace}, job.ReasonOverdue, 9 * time.Second},
		{"ended early", Input{Run: running(2), Counts: job.Counts{Succeeded: 1}, Grace: grace}, job.ReasonCapacity, grace},
		{"stopped just now", Input{Run: with(stopping(running(2)), func(r *job.Run) { r.Stopped = at(-time.Second) }), Counts: job.Counts{Failed: 1}, Grace: grace}, job.ReasonStopAfter, 9 * time.Second},
		{"stopped, live claim", Input{Run: stopping(running(2)), Counts: job.Counts{Failed: 1, Running: 1}, LiveUntil: now.Add(30 * time.Second)}, job.ReasonStopAfter, 30 * time.Second},
	} {
		c.in.Now = now
		d := Settle(c.in)
		if d.Settled || d.Run.Status != job.Running || d.Run.Reason != c.reason || d.Run.Due.Sub(now) != c.due {
			t.Errorf("%s: settled %v, %s %q due after %s, want %q after %s", c.name, d.Settled, d.Run.Status, d.Run.Reason, d.Run.Due.Sub(now), c.reason, c.due)
		}
	}
}

func TestSettle_ClosedRunIsSettledAfterTheGrace(t *testing.T) {
	first := Settle(Input{Run: running(2), Counts: job.Counts{Succeeded: 1}, Grace: 10 * time.Second, Now: now})
	second := Settle(Input{Run: first.Run, Counts: job.Counts{Succeeded: 1}, Grace: 10 * time.Second, Now: first.Run.Due})
	if first.Settled || !second.Settled || second.Run.Status != job.Failed || second.Run.Reason != job.ReasonCapacity {
		t.Fatalf("first %+v\nthen %+v", first, second)
	}
}

func TestClose(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     job.Result
		cause  Cause
		status job.ResultStatus
		reason string
	}{
		{"dead claim", job.Result{Status: job.ResultRunning, Attempts: 1, Claim: &job.Claim{}}, Finished, job.ResultUnknown, job.ReasonLost},
		{"dead claim, canceled", job.Result{Status: job.ResultRunning, Attempts: 1, Claim: &job.Claim{}}, Canceled, job.ResultUnknown, job.ReasonLost},
		{"detached, canceled", job.Result{Status: job.ResultRunning, Attempts: 1, Claim: &job.Claim{}, Detached: &job.Detached{}}, Canceled, job.ResultCanceled, job.ReasonStopUnsure},
		{"detached, overdue", job.Result{Status: job.ResultRunning, Attempts: 1, Claim: &job.Claim{}, Detached: &job.Detached{}}, Overdue, job.ResultTimedOut, job.ReasonDeadline},
		{"detached, given up", job.Result{Status: job.ResultRunning, Attempts: 1, Claim: &job.Claim{}, Detached: &job.Detached{}}, Finished, job.ResultUnknown, job.ReasonLost},
		{"between attempts, stopped after failures", job.Result{Status: job.ResultPending, Attempts: 1, Reason: job.ReasonConnect}, StopAfter, job.ResultUnreachable, job.ReasonConnect},
		{"between attempts, canceled", job.Result{Status: job.ResultPending, Attempts: 1, Reason: job.ReasonConnect}, Canceled, job.ResultCanceled, job.ReasonStopped},
		{"before the first attempt, canceled", job.Result{Status: job.ResultPending}, Canceled, job.ResultCanceled, job.ReasonNeverStarted},
		{"before the first attempt", job.Result{Status: job.ResultPending}, Overdue, job.ResultSkipped, job.ReasonCapacity},
		{"between attempts, unreachable", job.Result{Status: job.ResultPending, Attempts: 1, Reason: job.ReasonJump}, Overdue, job.ResultUnreachable, job.ReasonJump},
		{"between attempts, failed", job.Result{Status: job.ResultPending, Attempts: 1, Reason: job.ReasonExitStatus}, Finished, job.ResultFailed, job.ReasonExitStatus},
		{"between attempts, unknown", job.Result{Status: job.ResultPending, Attempts: 1, Reason: job.ReasonLost}, Finished, job.ResultUnknown, job.ReasonLost},
	} {
		got, changed := Close(c.in, c.cause, now)
		if !changed || got.Status != c.status || got.Reason != c.reason || got.Claim != nil || got.Detached != nil || got.NotBefore != nil || got.Ended == nil {
			t.Errorf("%s: %+v, want %s %q", c.name, got, c.status, c.reason)
		}
	}
	for _, s := range job.ResultStatuses() {
		if s.Terminal() {
			if got, changed := Close(job.Result{Status: s}, Canceled, now); changed || got.Status != s {
				t.Errorf("a result %s became %s", s, got.Status)
			}
		}
	}
}

func TestSettle_Properties(t *testing.T) {
	small := rapid.IntRange(0, 5)
	rapid.Check(t, func(t *rapid.T) {
		c := job.Counts{
			Succeeded: small.Draw(t, "succeeded"), Failed: small.Draw(t, "failed"), Unreachable: small.Draw(t, "unreachable"),
			Canceled: small.Draw(t, "canceled"), Skipped: small.Draw(t, "skipped"), TimedOut: small.Draw(t, "timed out"),
			Unknown: small.Draw(t, "unknown"), Running: small.Draw(t, "running"),
		}
		r := running(c.Done() + c.Running + small.Draw(t, "unreached"))
		if rapid.Bool().Draw(t, "cancel") {
			r.CancelAsked = at(time.Duration(rapid.IntRange(-60, 0).Draw(t, "asked")) * time.Second)
		}
		r.Deadline = at(time.Duration(rapid.IntRange(-60, 60).Draw(t, "deadline")) * time.Second)
		r.NeedsTargets = rapid.Bool().Draw(t, "needs")
		in := Input{
			Run: r, Counts: c, DeadlineKills: rapid.IntRange(0, c.TimedOut).Draw(t, "kills"), Busy: rapid.Bool().Draw(t, "busy"), Now: now,
			Grace: time.Duration(rapid.IntRange(0, 20).Draw(t, "grace")) * time.Second, LiveUntil: now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "until")) * time.Second),
		}
		d := Settle(in)
		if d.Settled != d.Run.Status.Terminal() {
			t.Fatalf("settled %v as %s", d.Settled, d.Run.Status)
		}
		if !d.Settled {
			if !d.Run.Due.After(now) {
				t.Fatalf("due at once: %v", d.Run.Due)
			}
			return
		}
		if c.Running > 0 || in.Busy {
			t.Fatal("settled under a live claim")
		}
		got := d.Run.Counts
		if got.Total != r.Total || got.Done() != r.Total || got.Running+got.Pending != 0 {
			t.Fatalf("counts %+v of %d devices", got, r.Total)
		}
		for _, s := range job.ResultStatuses() {
			if got.Of(s) < c.Of(s) {
				t.Fatalf("%d %s of %d stored", got.Of(s), s, c.Of(s))
			}
		}
		if (d.Run.Status == job.Succeeded) != (got.Succeeded == r.Total && !(r.Total == 0 && (r.NeedsTargets || r.Canceling()))) {
			t.Fatalf("%s with %+v", d.Run.Status, got)
		}
		if again := Settle(Input{Run: d.Run, Now: now.Add(time.Hour)}); again.Run.Status != d.Run.Status || again.Run.Counts != got {
			t.Fatalf("a terminal run changed: %+v", again.Run)
		}
	})
}
