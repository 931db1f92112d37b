package dispatch_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/secret"
)

// ran is a run over R1, R2 and R3 of which R1 has succeeded and R2 failed; R3 was
// never begun.
func (b *bench) ran(t testing.TB, tpl int64, over bool) job.Run {
	t.Helper()
	ctx := context.Background()
	got, err := b.Submit(ctx, operator, dispatch.Submission{
		TemplateID: tpl, Inputs: map[string]*string{"what": ptr("x"), "key": ptr("canary-key")}, Select: byQuery("name ~ R"), Space: "s",
		Description: "first", Labels: "l", Concurrency: 3, Extra: map[string]json.RawMessage{"f": json.RawMessage(`1`)},
		Login: &dispatch.Login{Username: "root", Password: "canary-login"},
	})
	must(t, err)
	for i, s := range []job.ResultStatus{job.ResultSucceeded, job.ResultFailed} {
		_, err := b.store.PutResult(ctx, got.Run, job.Result{Index: i, Device: "R", DeviceID: int64(i), Status: s})
		must(t, err)
	}
	if over {
		_, err = b.end(ctx, got.Run.Tenant, got.Run.ID, job.StatusCanceled)
		must(t, err)
	}
	return got.Run
}

func TestRerun_Selects(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	tpl := b.deploy(t)
	over, open := b.ran(t, tpl.ID, true), b.ran(t, tpl.ID, false)
	r2, err := b.Device(ctx, viewer, "R2")
	must(t, err)
	for _, c := range []struct {
		name string
		run  job.Run
		a    dispatch.Again
		want string
	}{
		{"all", over, dispatch.Again{}, "R1 R2 R3"},
		{"what did not succeed", over, dispatch.Again{Unfinished: true}, "R2 R3"},
		{"what failed", over, dispatch.Again{Statuses: []job.ResultStatus{job.ResultFailed}}, "R2"},
		{"what was never begun", over, dispatch.Again{Statuses: []job.ResultStatus{job.ResultCanceled}}, "R3"},
		{"a mix", over, dispatch.Again{Statuses: []job.ResultStatus{job.ResultCanceled, job.ResultSucceeded}}, "R1 R3"},
		{"none", over, dispatch.Again{Statuses: []job.ResultStatus{job.ResultTimedOut}}, ""},
		{"no status at all", over, dispatch.Again{Statuses: []job.ResultStatus{}}, ""},
		{"these", over, dispatch.Again{DeviceIDs: []int64{r2.ID, 99}}, "R2"},
		{"all while it goes on", open, dispatch.Again{}, "R1 R2 R3"},
		{"what did not succeed while it goes on", open, dispatch.Again{Unfinished: true}, "R2"},
		{"what waits while it goes on", open, dispatch.Again{Statuses: []job.ResultStatus{job.ResultPending}}, ""},
	} {
		c.a.Run = c.run.ID
		got, err := b.Rerun(ctx, operator, c.a)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if s := b.targetNames(t, got.Run); s != c.want || got.Run.Total != len(strings.Fields(c.want)) {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
	}
}

func TestRerun_TakesTheJobAndNotItsLogin(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	tpl := b.deploy(t)
	first := b.ran(t, tpl.ID, true)
	_, err := b.DeleteTemplate(ctx, admin, tpl.ID, nil) // its jobs keep their copy
	must(t, err)
	a := dispatch.Again{Run: first.ID, Unfinished: true, Description: "second", IdempotencyKey: "k",
		Query: func(names []string) string { return "name ^ (" + strings.Join(names, ",") + ")" }}
	got, err := b.Rerun(ctx, operator, a)
	must(t, err)
	r := got.Run
	if r.RerunOf != first.ID || r.Number != 2 || r.Space != "s" || r.Description != "second" || r.Labels != "l" || string(r.Extra["f"]) != "1" ||
		r.HasLogin || r.JobID == first.JobID || r.Trigger != job.TriggerAPI || r.TemplateID != tpl.ID {
		t.Errorf("run %+v", r)
	}
	j, err := b.Job(ctx, viewer, r)
	must(t, err)
	if j.Login.Username != "root" || j.Login.Password.Set() || j.Limits.Concurrency != 3 || !strings.Contains(string(j.Payload), `"what":"x"`) ||
		j.Select.Query != "name ^ (R2,R3)" || j.Body != tpl.Body {
		t.Errorf("job %+v", j)
	}
	box, err := secret.OpenKeyFile(b.key)
	must(t, err)
	if v, err := box.Open(j.Hidden["key"], secret.AAD(j.Tenant, j.SecretKind(), 0, "input.key")); err != nil || v.Reveal() != "canary-key" {
		t.Errorf("the hidden input: %v", err)
	}
	again, err := b.Rerun(ctx, operator, a)
	must(t, err)
	if !again.Replayed || again.Run.ID != r.ID {
		t.Errorf("the same key: %+v", again)
	}
	a.IdempotencyKey = ""
	_, err = b.Rerun(ctx, viewer, a)
	wantCode(t, err, job.Forbidden)
	_, err = b.Rerun(ctx, other, a)
	wantCode(t, err, job.NotFound)
}

func TestRerun_FindsADynamicJobsDevicesAgain(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	tpl := b.template(t, "x", nil)
	got, err := b.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl.ID, Select: &job.Selection{Query: "name ~ R", Dynamic: true}})
	must(t, err)
	_, err = b.DeleteDevice(ctx, admin, "R2")
	must(t, err)
	again, err := b.Rerun(ctx, operator, dispatch.Again{Run: got.Run.ID})
	must(t, err)
	if s := b.targetNames(t, again.Run); s != "R1 R3" {
		t.Errorf("targets %q", s)
	}
}

func TestRerun_OfAScheduledRunIsAtOnceAndOfNoSchedule(t *testing.T) {
	ctx := context.Background()
	b, d, _, tpl := timed(t)
	got, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: byQuery("name = R1"), Schedule: hourly()})
	must(t, err)
	must(t, d.Fire(ctx, "default", got.Schedule.ID, noon))
	b.started = nil
	again, err := d.Rerun(ctx, operator, dispatch.Again{Run: got.Run.ID})
	must(t, err)
	if r := again.Run; r.Status != job.Queued || r.ScheduleID != 0 || r.Planned != nil || r.StartBefore != nil || len(b.started) != 1 || again.Schedule != nil {
		t.Errorf("rerun %+v", r)
	}
	dyn, err := d.Submit(ctx, operator, dispatch.Submission{TemplateID: tpl, Select: &job.Selection{Query: "name = R1", Dynamic: true}, Schedule: hourly()})
	must(t, err)
	_, err = d.Rerun(ctx, operator, dispatch.Again{Run: dyn.Run.ID, Unfinished: true})
	wantCode(t, err, job.Conflict)
}

func TestCancelNow_AsksHarder(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	b.settle = func(context.Context, string, string) (bool, error) { return false, nil }
	got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello"})
	must(t, err)
	r, err := b.Cancel(ctx, operator, got.Run.ID)
	must(t, err)
	if r.CancelForce || !r.Canceling() {
		t.Fatalf("canceled %+v", r)
	}
	asked := *r.CancelAsked
	b.advance(1)
	mate := job.Principal{Tenant: operator.Tenant, Name: "mate", Role: job.Operator}
	r, err = b.CancelNow(ctx, mate, got.Run.ID)
	must(t, err)
	if !r.CancelForce || r.CanceledBy != "ops" || !r.CancelAsked.Equal(asked) {
		t.Fatalf("canceled by force %+v", r)
	}
	_, err = b.CancelNow(ctx, viewer, got.Run.ID)
	wantCode(t, err, job.Forbidden)
}
