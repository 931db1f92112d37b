package foreman

import (
	"encoding/json"
	"time"

	"drover/internal/job"
)

// space is the name under which the runs of this family are numbered, and the key
// of what they keep for it.
const space = "foreman"

// runExtra is what only this family knows of a run. It is stored with the run
// and holds no secret.
type runExtra struct {
	Targeting     string  `json:"targeting"`
	Mode          string  `json:"mode,omitempty"` // "": at once
	Category      string  `json:"category,omitempty"`
	Query         *string `json:"query,omitempty"`    // nil: the job has it, see queryOf
	ByHosts       string  `json:"by_hosts,omitempty"` // the query names the hosts, which were given one by one
	Bookmark      int64   `json:"bookmark,omitempty"`
	BookmarkName  string  `json:"bookmark_name,omitempty"`
	Randomized    *bool   `json:"randomized,omitempty"`
	EffectiveUser string  `json:"effective_user,omitempty"`
	SSHUser       *string `json:"ssh_user,omitempty"`
	TimeToPickup  *int64  `json:"time_to_pickup,omitempty"`
	Timeout       *int64  `json:"timeout,omitempty"` // seconds
	Concurrency   *int64  `json:"concurrency,omitempty"`
	Feature       int64   `json:"feature,omitempty"`
	Purpose       string  `json:"purpose,omitempty"`
	// StartBefore is what was asked for; a run has one of its own besides.
	StartBefore  *time.Time `json:"start_before,omitempty"`
	User         int64      `json:"user,omitempty"` // id of who asked
	Location     int64      `json:"location,omitempty"`
	Organization int64      `json:"organization,omitempty"`
}

// maxKeptQuery is the longest query that is kept with the run; a longer one is
// read from the job.
const maxKeptQuery = 2 << 10

// extraOf returns what a run keeps for this family.
func extraOf(run job.Run) runExtra {
	var x runExtra
	if json.Unmarshal(run.Extra[space], &x) != nil {
		return runExtra{}
	}
	return x
}

func (x runExtra) asExtra() (map[string]json.RawMessage, error) {
	raw, err := json.Marshal(x)
	if err != nil {
		return nil, job.Wrap(job.Internal, err, "encode what a run keeps")
	}
	return map[string]json.RawMessage{space: raw}, nil
}

// Values of runExtra.ByHosts.
const (
	byHostIDs = "host_ids"
	byRerun   = "rerun"
)

// keepQuery keeps a query with the run, unless it is long.
func (x *runExtra) keepQuery(query string) {
	if x.Query = nil; len(query) <= maxKeptQuery {
		x.Query = &query
	}
}
