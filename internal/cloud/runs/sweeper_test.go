package runs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/boltstore"
)

// TestSweeper_MeasuresWhatItLeaves: a sweep writes how many runs have been due
// for longer than a healthy sweep leaves them, in the form that CloudWatch
// makes a metric of, also when it fails.
func TestSweeper_MeasuresWhatItLeaves(t *testing.T) {
	driver, err := boltstore.Open(filepath.Join(t.TempDir(), "data"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := store.New(driver, store.Options{Clock: func() time.Time { return now }})
	defer s.Close()
	for _, due := range []time.Duration{-time.Hour, -overdueAfter, -overdueAfter + time.Second, time.Minute} {
		id := "run" + due.String()
		run := job.Run{ID: id, JobID: id, Tenant: "default", Status: job.Queued, Due: now.Add(due), Created: now}
		if _, _, err := s.CreateRun(t.Context(), store.NewRun{Job: job.Job{ID: id, Tenant: "default"}, Run: run}); err != nil {
			t.Fatal(err)
		}
	}
	failure := errors.New("one run cannot be looked after")
	var out bytes.Buffer
	sweep := measured(func(context.Context) (dispatch.Swept, error) { return dispatch.Swept{Started: 3}, failure }, s, "sweeper-1", &out)
	if swept, err := sweep(t.Context()); swept.Started != 3 || !errors.Is(err, failure) {
		t.Errorf("%+v %v", swept, err)
	}
	const want = `{"FunctionName":"sweeper-1","OverdueRuns":2,"_aws":{"Timestamp":1767323045000,"CloudWatchMetrics":[` +
		`{"Namespace":"Drover","Dimensions":[["FunctionName"]],"Metrics":[{"Name":"OverdueRuns","Unit":"Count"}]}]},` +
		`"dropped":0,"expired":0,"msg":"swept","rows":0,"settled":0,"started":3,"waiting":0}` + "\n"
	if out.String() != want || !json.Valid(out.Bytes()) {
		t.Errorf("\n got %s\nwant %s", out.String(), want)
	}

	// A store that does not answer is no measure of nothing.
	out.Reset()
	_ = s.Close()
	sweep = measured(func(context.Context) (dispatch.Swept, error) { return dispatch.Swept{}, nil }, s, "sweeper-1", &out)
	if _, err := sweep(t.Context()); err == nil || out.Len() != 0 {
		t.Errorf("wrote %q, error %v", out.String(), err)
	}
}
