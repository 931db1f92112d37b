package runs

import (
	"testing"

	"drover/internal/job"
)

// TestOpen_NamesWhatIsMissing: nothing is called before the configuration is
// complete, and the error names all that is not there.
func TestOpen_NamesWhatIsMissing(t *testing.T) {
	t.Setenv("DROVER_TABLE", "")
	t.Setenv("DROVER_KEEP", "")
	_, err := Sweeper(t.Context())
	const want = "missing in the environment: DROVER_TABLE, DROVER_KEEP, DROVER_STATE_MACHINE_ARN, " +
		"DROVER_SCHEDULE_GROUP, DROVER_TRIGGER_ARN, DROVER_SCHEDULER_ROLE_ARN, DROVER_DEAD_LETTERS_ARN"
	if job.CodeOf(err) != job.Invalid || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
