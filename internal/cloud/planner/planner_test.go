package planner

import (
	"testing"

	"drover/internal/job"
)

// TestOpen_NamesWhatIsMissing: nothing is called before the configuration is
// complete, and the error names all that is not there.
func TestOpen_NamesWhatIsMissing(t *testing.T) {
	t.Setenv("DROVER_TABLE", "")
	t.Setenv("DROVER_KEEP", "")
	_, err := Open(t.Context())
	const want = "missing in the environment: DROVER_TABLE, DROVER_KEEP, DROVER_CONCURRENCY"
	if job.CodeOf(err) != job.Invalid || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
