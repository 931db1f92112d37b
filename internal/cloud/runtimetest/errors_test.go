package runtimetest

import (
	"encoding/json"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"drover/internal/task"
)

// TestErrorNames: the names by which the state machine tells errors apart are
// those that Lambda gets from the binaries.
func TestErrorNames(t *testing.T) {
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&services{rows: map[string]json.RawMessage{}})
	defer server.Close()
	for _, function := range []string{"planner", "executor", "finisher"} {
		p, err := Start(filepath.Join(dir, function, "bootstrap"), "AWS_ENDPOINT_URL="+server.URL, "DROVER_TABLE=t", "DROVER_KEEP=90d",
			"DROVER_BUCKET=b", "DROVER_KMS_KEY_ID=k", "DROVER_CONCURRENCY=200")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Stop()
		for _, c := range []struct {
			in   task.UnitRef
			want string
		}{
			{task.UnitRef{V: task.Version + 1, Tenant: "default", Run: "r1"}, "VersionError"},
			{task.UnitRef{V: task.Version}, "InvalidInputError"},
		} {
			payload, err := json.Marshal(c.in)
			if err != nil {
				t.Fatal(err)
			}
			a, err := p.Invoke(payload, time.Now().Add(20*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ ErrorType string }
			if err := json.Unmarshal(a.Payload, &got); err != nil || !a.Failed || got.ErrorType != c.want {
				t.Errorf("%s answers %s with %s (failed: %v), not %s", function, payload, a.Payload, a.Failed, c.want)
			}
		}
	}
}
