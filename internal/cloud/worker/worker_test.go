package worker

import (
	"context"
	"testing"

	"drover/internal/job"
	"drover/internal/task"
)

// TestOpen_NamesWhatIsMissing: nothing is called before the configuration is
// complete, and the error names all that is not there.
func TestOpen_NamesWhatIsMissing(t *testing.T) {
	for want, open := range map[string]func(context.Context) (*task.Functions, error){
		"DROVER_TABLE, DROVER_KEEP, DROVER_CONCURRENCY": OpenPlanner,
		"DROVER_TABLE, DROVER_KEEP":                     OpenFinisher,
	} {
		_, err := open(t.Context())
		if job.CodeOf(err) != job.Invalid || err.Error() != "missing in the environment: "+want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

// TestOpen_CallsNothing: with a complete configuration a task function is wired
// without a call to AWS.
func TestOpen_CallsNothing(t *testing.T) {
	for k, v := range map[string]string{
		"DROVER_TABLE": "t", "DROVER_KEEP": "90d", "DROVER_CONCURRENCY": "10",
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
	} {
		t.Setenv(k, v)
	}
	for _, open := range []func(context.Context) (*task.Functions, error){OpenPlanner, OpenFinisher} {
		if _, err := open(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
