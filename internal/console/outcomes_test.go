package console

import (
	"net/http"
	"testing"

	"drover/internal/dispatch"
	"drover/internal/job"
)

// TestOutcomes_Failure: what a later try may heal is no conflict.
func TestOutcomes_Failure(t *testing.T) {
	for _, c := range []struct {
		codes []job.Code // of the items; "": saved
		want  int
	}{
		{[]job.Code{"", job.Unavailable}, http.StatusServiceUnavailable},
		{[]job.Code{job.Exhausted, job.Unavailable, ""}, http.StatusServiceUnavailable},
		{[]job.Code{job.Conflict}, http.StatusConflict},
		{[]job.Code{job.Unavailable, job.AlreadyExists, ""}, http.StatusConflict},
		{[]job.Code{"", job.Internal}, http.StatusConflict},
	} {
		out := wireOutcomes{Outcomes: make([]wireOutcome, len(c.codes))}
		for i, code := range c.codes {
			o := dispatch.Outcome{Name: "x", Action: "created"}
			if code != "" {
				o.Err = job.Errorf(code, "why")
			}
			out.add(i, "device", o)
		}
		if got := statusOf(job.CodeOf(out.failure())); got != c.want {
			t.Errorf("%v: %d, want %d", c.codes, got, c.want)
		}
	}
}
