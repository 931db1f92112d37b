package dispatch_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/dispatch"
	"drover/internal/job"
)

func TestNames(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	ids, err := b.DeviceIDs(ctx, viewer, []string{"R1", "R3", "nobody"})
	must(t, err)
	if len(ids) != 2 || ids["R1"] == 0 || ids["R1"] == ids["R3"] {
		t.Fatalf("%v", ids)
	}
	asked := []int64{ids["R3"], ids["R1"], ids["R3"], 999}
	names, err := b.DeviceNames(ctx, viewer, asked)
	must(t, err)
	if d := cmp.Diff(map[int64]string{ids["R1"]: "R1", ids["R3"]: "R3"}, names); d != "" {
		t.Error(d)
	}
	if asked[0] != ids["R3"] {
		t.Error("the caller's list was changed")
	}
	if names, err = b.DeviceNames(ctx, other, asked); err != nil || len(names) != 0 {
		t.Errorf("another tenant: %v, %v", names, err)
	}
	if ids, err = b.DeviceIDs(ctx, other, []string{"R1"}); err != nil || len(ids) != 0 {
		t.Errorf("another tenant: %v, %v", ids, err)
	}
	nobody := job.Principal{Tenant: job.DefaultTenant}
	_, err = b.DeviceNames(ctx, nobody, asked)
	wantCode(t, err, job.Forbidden)
	_, err = b.DeviceIDs(ctx, nobody, nil)
	wantCode(t, err, job.Forbidden)
}

func TestReplayed(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello", IdempotencyKey: "k", Path: "/p", Body: []byte("1")})
	must(t, err)
	again, err := b.Replayed(ctx, operator, "/p", "k", []byte("1"))
	must(t, err)
	if again.Run.ID != got.Run.ID || !again.Replayed {
		t.Errorf("%+v", again)
	}
	for _, c := range []struct {
		name      string
		p         job.Principal
		path, key string
		body      string
		want      job.Code
	}{
		{"another body", operator, "/p", "k", "2", job.KeyReused},
		{"another path", operator, "/q", "k", "1", job.NotFound},
		{"another key", operator, "/p", "l", "1", job.NotFound},
		{"no key", operator, "/p", "", "1", job.NotFound},
		{"a long key", operator, "/p", strings.Repeat("k", 256), "1", job.Invalid},
		{"another user", admin, "/p", "k", "1", job.NotFound},
		{"another tenant", other, "/p", "k", "1", job.NotFound},
		{"a viewer", viewer, "/p", "k", "1", job.Forbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.Replayed(ctx, c.p, c.path, c.key, []byte(c.body))
			wantCode(t, err, c.want)
		})
	}
}

func TestOutcomes_AreResultsWithoutOutputs(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	got, err := b.Submit(ctx, operator, dispatch.Submission{Service: "hello", Devices: []string{"R1", "R2", "R3"}})
	must(t, err)
	out, _ := job.Output{Stdout: "x", StdoutBytes: 1}.Pack()
	_, err = b.store.PutResult(ctx, got.Run, job.Result{Index: 1, Device: "R2", DeviceID: 2, Status: job.ResultSucceeded, Output: out})
	must(t, err)
	for limit := 0; limit <= 4; limit++ {
		var s []string
		for from := 0; from >= 0; {
			page, err := b.Outcomes(ctx, viewer, got.Run, from, limit)
			must(t, err)
			for _, r := range page.Results {
				if s = append(s, r.Device+"="+string(r.Status)); cmp.Diff(job.Output{}, r.Output) != "" {
					t.Errorf("output %+v", r.Output)
				}
			}
			from = page.Next
		}
		if d := cmp.Diff("R1=pending R2=succeeded R3=pending", strings.Join(s, " ")); d != "" {
			t.Errorf("pages of %d: %s", limit, d)
		}
	}
	if page, err := b.Outcomes(ctx, viewer, got.Run, 3, 5); err != nil || len(page.Results) != 0 || page.Next != -1 {
		t.Errorf("beyond the end: %+v, %v", page, err)
	}
	if page, err := b.Outcomes(ctx, other, got.Run, 0, 5); err == nil && len(page.Results) != 0 {
		t.Errorf("another tenant: %+v", page)
	}
	_, err = b.Outcomes(ctx, job.Principal{}, got.Run, 0, 5)
	wantCode(t, err, job.Forbidden)
}
