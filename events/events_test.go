// Package events holds no code: one sample event for each function, for
// sam local invoke. The tests see that each is what its function decodes.
package events

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drover/internal/api"
	"drover/internal/lambdahttp"
	"drover/internal/schedule/ebschedule"
	"drover/internal/task"
)

func read(t *testing.T, function string) []byte {
	t.Helper()
	b, err := os.ReadFile(function + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryFunctionHasOne(t *testing.T) {
	mains, err := filepath.Glob("../functions/*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatal(mains, err)
	}
	var functions []string
	for _, m := range mains {
		functions = append(functions, filepath.Base(filepath.Dir(m)))
	}
	files, _ := filepath.Glob("*.json")
	for i := range files {
		files[i] = strings.TrimSuffix(files[i], ".json")
	}
	if !slices.Equal(files, functions) {
		t.Errorf("events for %v, functions %v", files, functions)
	}
}

// TestRequests: the event's request is one that the route table gives to its
// function.
func TestRequests(t *testing.T) {
	for _, family := range []string{api.FamilyENMS, api.FamilyForeman, api.FamilyConsole} {
		r, source, err := lambdahttp.Request(context.Background(), read(t, family))
		if err != nil {
			t.Errorf("%s: %v", family, err)
			continue
		}
		if _, _, ok := r.BasicAuth(); !ok || source != lambdahttp.Gateway {
			t.Errorf("%s: no credentials, or not through the gateway", family)
		}
		reached := false
		mux, err := api.Mux(map[string]http.Handler{family: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })})
		if err != nil {
			t.Fatal(err)
		}
		mux.ServeHTTP(discard{}, r)
		if !reached {
			t.Errorf("%s %s does not reach %s", r.Method, r.URL, family)
		}
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

func TestPayloads(t *testing.T) {
	for function, payload := range map[string]any{"planner": &task.RunRef{}, "executor": &task.UnitRef{}, "finisher": &task.RunRef{}} {
		d := json.NewDecoder(strings.NewReader(string(read(t, function))))
		d.DisallowUnknownFields()
		if err := d.Decode(payload); err != nil {
			t.Errorf("%s: %v", function, err)
		}
		var ref task.RunRef
		if err := json.Unmarshal(read(t, function), &ref); err != nil || ref.V > task.Version || ref.Tenant == "" || ref.Run == "" {
			t.Errorf("%s: %+v %v", function, ref, err)
		}
	}
}

// TestAlarm: the trigger's event is what Scheduler is told to send, with the time
// that it fills in.
func TestAlarm(t *testing.T) {
	d := json.NewDecoder(strings.NewReader(string(read(t, "trigger"))))
	d.DisallowUnknownFields()
	var e ebschedule.Event
	if err := d.Decode(&e); err != nil || e.V != ebschedule.Version || e.Tenant == "" || e.Schedule == 0 {
		t.Errorf("%+v %v", e, err)
	}
	if planned, ok := e.Planned(); !ok || planned.IsZero() {
		t.Errorf("time %q", e.Time)
	}
}

// TestSchedule: the sweeper reads nothing of its event, which must be JSON.
func TestSchedule(t *testing.T) {
	var e struct {
		Source string `json:"source"`
	}
	if err := json.Unmarshal(read(t, "sweeper"), &e); err != nil || e.Source != "aws.events" {
		t.Errorf("%+v %v", e, err)
	}
}
