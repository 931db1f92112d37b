package foreman_test

import (
	"net/http"
	"strings"
	"testing"

	"drover/internal/api/apitest"
	"drover/internal/job"
)

// stop_after is ours: on a template it is the default of its jobs.
func TestStopAfter(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 4})
	tm := l.template(job.Template{Body: "exit 3"})
	path := "/api/job_templates/" + id(object{"id": float64(tm)})
	one := object{"concurrency_control": object{"concurrency_level": 1}}
	if all := l.run(tm, "name ~ R", one); all["failed"] != 4.0 || all["cancelled"] != 0.0 {
		t.Errorf("without a limit: %v", all)
	}
	shown := want(t, l.Service, http.StatusOK, put(path, object{"job_template": object{"stop_after": 2}}))
	if shown["stop_after"] != "2" {
		t.Errorf("%v", shown["stop_after"])
	}
	if two := l.run(tm, "name ~ R", one); two["failed"] != 2.0 || two["cancelled"] != 2.0 || two["status_label"] != "failed" {
		t.Errorf("the template's: %v", two)
	}
	first := l.run(tm, "name ~ R", object{"concurrency_control": object{"concurrency_level": 1}, "stop_after": "25%"})
	if first["failed"] != 1.0 || first["cancelled"] != 3.0 {
		t.Errorf("the job's own: %v", first)
	}
	for _, wrong := range []any{"x", -1, "101%", []int{1}, "1 2"} {
		if m := l.refused(http.StatusUnprocessableEntity, invocation(tm, "name ~ R", object{"stop_after": wrong})); !strings.HasPrefix(m, "Validation failed: Stop after: ") {
			t.Errorf("%v: %s", wrong, m)
		}
		want(t, l.Service, http.StatusUnprocessableEntity, put(path, object{"job_template": object{"stop_after": wrong}}))
	}
	shown = want(t, l.Service, http.StatusOK, put(path, object{"job_template": object{"stop_after": nil}}))
	if v, there := shown["stop_after"]; v != nil || !there {
		t.Errorf("taken away: %v", v)
	}
}
