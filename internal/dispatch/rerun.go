package dispatch

import (
	"context"
	"encoding/json"

	"drover/internal/job"
)

// Again says what to run again.
type Again struct {
	Run string
	// Statuses selects the devices with these results: nil all of them. A device
	// that was never begun has the result that the run's end made of it. While the
	// run goes on, only devices with a final result are selected.
	Statuses []job.ResultStatus
	// Unfinished adds every device without a succeeded result (once the run is
	// over); it is what "failed only" means.
	Unfinished bool
	// DeviceIDs, when not nil, are the devices, whatever became of them.
	DeviceIDs []int64
	// Query, when not nil, makes the text that the new job keeps as its query
	// from the names of the devices; it is not resolved again.
	Query       func(names []string) string
	Description string // "": that of the run
	// Extra as in Submission; nil: that of the run.
	Extra map[string]json.RawMessage

	IdempotencyKey string
	Path           string
	Body           []byte
}

// Rerun submits the job of a run again, now: same work, values, limits and
// order. Secrets of the login are not copied, nor is a schedule. Without a
// selection (Statuses, Unfinished, DeviceIDs) a job whose devices were found at
// submit runs on the same ones, and one whose devices are found at the start finds
// them again. The new run has the space of the old one.
func (d *Dispatcher) Rerun(ctx context.Context, p job.Principal, a Again) (Submitted, error) {
	return Submitted{}, errNotYet
}
