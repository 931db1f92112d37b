package faulttest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"

	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/task"
)

// invoke calls a task as Lambda's runtime calls a function: bytes in, bytes out.
func invoke(t *testing.T, f any, payload string, out any) error {
	t.Helper()
	b, err := lambda.NewHandler(f).Invoke(t.Context(), []byte(payload))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatalf("%s answers %s: %v", payload, b, err)
	}
	return nil
}

// TestTwoVersionsInFlight carries out one run by the payloads of two versions at
// once, as happens when an upgrade meets an execution: those from before the
// version was part of a payload, today's, and today's with a field that a later
// version has added. A payload whose version is newer is refused by the name that
// the state machine does not try again for, and harms nothing.
func TestTwoVersionsInFlight(t *testing.T) {
	w := newWorld(t, devices, fault{start: func(*world) (bool, error) { return true, nil }, sweep: 1 << 40})
	s, err := w.front.Submit(t.Context(), admin, dispatch.Submission{Service: "work", Payload: []byte(`{"n":0}`)})
	w.must(err)
	ref := fmt.Sprintf(`"tenant":%q,"run":%q`, tenant, s.Run.ID)
	old, now, later := "{"+ref, `{"v":1,`+ref, fmt.Sprintf(`{"v":%d,`, task.Version+1)+ref

	refused := func(what string, f any, payload string) {
		t.Helper()
		if err := invoke(t, f, payload, &struct{}{}); fmt.Sprintf("%T", err) != "task.VersionError" {
			t.Errorf("%s with a newer payload: %T %v", what, err, err)
		}
	}
	p := w.process(false).tasks
	refused("Plan", p.Plan, later+`}`)
	var planned, again task.Planned
	w.must(invoke(t, p.Plan, old+`}`, &planned))
	w.must(invoke(t, w.process(false).tasks.Plan, now+`,"added":{"later":true}}`, &again))
	if len(planned.Units) != devices || len(again.Units) != devices || planned.Map != again.Map || planned.V != task.Version {
		t.Fatalf("planned %+v, then %+v", planned, again)
	}
	// An execution that began before there were batches goes by the units and
	// their concurrency, whatever else is in the plan.
	var before struct {
		Map         string
		Units       []int
		Concurrency int
	}
	w.must(invoke(t, w.process(false).tasks.Plan, old+`}`, &before))
	if before.Map != planned.Map || !slices.Equal(before.Units, planned.Units) || before.Concurrency != planned.Concurrency {
		t.Fatalf("an older definition reads %+v of %+v", before, planned)
	}
	for i, unit := range planned.Units {
		p := w.process(false).tasks
		refused("Execute", p.Execute, later+fmt.Sprintf(`,"unit":%d,"round":0}`, unit))
		payload := old
		if i%2 == 1 {
			payload = now
		}
		// The other version's payload for the same unit comes right after.
		for _, v := range []string{payload, now, old} {
			var out task.Executed
			w.must(invoke(t, p.Execute, v+fmt.Sprintf(`,"unit":%d,"round":0,"added":[1]}`, unit), &out))
			if out.Again || out.Unit != unit || out.Round != 1 || out.V != task.Version {
				t.Errorf("%s: %+v", v, out)
			}
		}
	}
	refused("Finish", p.Finish, later+`}`)
	for _, v := range []string{old, now} {
		var out task.Finished
		w.must(invoke(t, w.process(false).tasks.Finish, v+`}`, &out))
		if !out.Settled || out.Status != string(job.Succeeded) {
			t.Errorf("%s: %+v", v, out)
		}
	}
	run, err := w.store.Run(context.Background(), tenant, s.Run.ID)
	w.must(err)
	if run.Counts.Succeeded != devices || w.fleet.Executions() != devices {
		t.Errorf("%+v after %d commands", run.Counts, w.fleet.Executions())
	}
}
