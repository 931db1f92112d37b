package eventlog_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/event"
	"drover/internal/event/eventlog"
	"drover/internal/job"
)

func TestPublish(t *testing.T) {
	tests := []struct {
		name string
		e    event.Event
		want map[string]any
	}{
		{"run ended",
			event.Event{ID: "e1", Kind: event.RunEnded, Tenant: "default", Run: "r1", Service: "hello", Status: job.Failed,
				Reason: job.ReasonDevices, Counts: &job.Counts{Total: 2, Succeeded: 1, Failed: 1}},
			map[string]any{"level": "INFO", "msg": "event", "kind": "run.ended", "event": "e1", "tenant": "default", "run": "r1",
				"service": "hello", "status": "failed", "reason": "devices",
				"counts": map[string]any{"total": 2.0, "pending": 0.0, "running": 0.0, "succeeded": 1.0, "failed": 1.0, "unreachable": 0.0,
					"canceled": 0.0, "skipped": 0.0, "timed_out": 0.0, "unknown": 0.0}}},
		{"host key changed",
			event.Event{ID: "e2", Kind: event.HostKeyChanged, Tenant: "default", Device: "R1", Detail: "another key"},
			map[string]any{"level": "WARN", "msg": "event", "kind": "host_key.changed", "event": "e2", "tenant": "default", "device": "R1",
				"detail": "another key"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var buf bytes.Buffer
			if err := eventlog.New(slog.New(slog.NewJSONHandler(&buf, nil))).Publish(t.Context(), tt.e); err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			delete(got, "time")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
