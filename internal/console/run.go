package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"drover/internal/api"
	"drover/internal/dispatch"
	"drover/internal/job"
)

// wireRun is a run as callers see it.
type wireRun struct {
	ID      string     `json:"id"`
	Status  job.Status `json:"status"`
	Reason  string     `json:"reason"`
	Message string     `json:"message,omitempty"`
	Service string     `json:"service"`
	Creator string     `json:"creator"`
	Counts  job.Counts `json:"counts"`
	Created time.Time  `json:"created"`
	Started *time.Time `json:"started"`
	Ended   *time.Time `json:"ended"`
}

func runOf(r job.Run, counts job.Counts) wireRun {
	return wireRun{ID: r.ID, Status: r.Status, Reason: r.Reason, Message: r.Message, Service: r.ServiceName, Creator: r.Creator,
		Counts: counts, Created: r.Created.UTC(), Started: utc(r.Started), Ended: utc(r.Ended)}
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// wireResult is a device's result as callers see it.
type wireResult struct {
	Device     string           `json:"device"`
	Step       string           `json:"step"`
	Status     job.ResultStatus `json:"status"`
	Reason     string           `json:"reason"`
	Message    string           `json:"message"`
	ExitStatus *int             `json:"exit_status"`
	Stdout     *api.Text        `json:"stdout"`
	Stderr     *api.Text        `json:"stderr"`
	Attempts   int              `json:"attempts"`
	Started    *time.Time       `json:"started"`
	Ended      *time.Time       `json:"ended"`
}

func resultOf(r job.Result, texts *api.Texts) wireResult {
	return wireResult{Device: r.Device, Step: r.Step, Status: r.Status, Reason: r.Reason, Message: r.Message, ExitStatus: r.Exit,
		Stdout: texts.Add(r.Output.Stdout), Stderr: texts.Add(r.Output.Stderr), Attempts: r.Attempts, Started: utc(r.Started), Ended: utc(r.Ended)}
}

// submission is the body of a submit and of a preview. Without any target the
// service's own are used.
type submission struct {
	Service       string          `json:"service"`
	Devices       []string        `json:"devices"`
	Addresses     []string        `json:"addresses"`
	Pools         []string        `json:"pools"`
	IgnoreInvalid bool            `json:"ignore_invalid"`
	Payload       json.RawMessage `json:"payload"`
	Name          string          `json:"name"`
	Labels        string          `json:"labels"`
}

func (s submission) toDispatch() dispatch.Submission {
	return dispatch.Submission{Service: s.Service, Devices: s.Devices, Addresses: s.Addresses, Pools: s.Pools,
		IgnoreInvalid: s.IgnoreInvalid, Payload: s.Payload, Name: s.Name, Labels: s.Labels, NeedsTargets: true}
}

type wireSubmitted struct {
	Run      wireRun       `json:"run"`
	Replayed bool          `json:"replayed"`
	Unknown  []wireUnknown `json:"unknown"`
}

// submit accepts a run. A repeated submit with the same key answers 200 and
// the run of the first.
func (s *server) submit(c call) (answer, error) {
	var in submission
	body, err := c.decode(&in, false)
	if err != nil {
		return answer{}, err
	}
	if in.Service == "" {
		return answer{}, job.FieldErrorf("service", "is required")
	}
	sub := in.toDispatch()
	if sub.IdempotencyKey, err = api.IdempotencyKey(c.Request); err != nil {
		return answer{}, err
	}
	sub.Path, sub.Body = prefix+"runs", body
	done, err := s.Dispatch.Submit(c.Context(), c.p, sub)
	if err != nil {
		return answer{body: wireUnknowns(done.Unknown)}, err
	}
	a := answer{status: http.StatusCreated, location: prefix + "runs/" + url.PathEscape(done.Run.ID),
		body: wireSubmitted{Run: runOf(done.Run, counts(done.Run)), Replayed: done.Replayed, Unknown: wireUnknowns(done.Unknown)}}
	if done.Replayed {
		a.status = http.StatusOK
	}
	return a, nil
}

// counts are the counts of a run of which no result was read.
func counts(r job.Run) job.Counts {
	if r.Status.Terminal() {
		return r.Counts
	}
	return job.Counts{Total: r.Total, Pending: r.Total}
}

// run answers with one run and its counts as they are now.
func (s *server) run(c call) (answer, error) {
	run, counts, err := s.Dispatch.Progress(c.Context(), c.p, c.PathValue("id"))
	return answer{body: runOf(run, counts)}, err
}

type wireRuns struct {
	Runs []wireRun `json:"runs"`
	Next string    `json:"next"`
}

// runs lists runs, newest first, with live counts.
func (s *server) runs(c call) (answer, error) {
	q := c.URL.Query()
	status := job.Status(q.Get("status"))
	if status != "" && !slices.Contains(job.Statuses(), status) {
		return answer{}, job.FieldErrorf("status", "%q is no status of a run", clip(string(status)))
	}
	return c.listing(200, func(limit int, after string) (any, error) {
		runs, next, err := s.Dispatch.Runs(c.Context(), c.p, dispatch.RunQuery{Limit: limit, After: after, Service: q.Get("service"), Status: status})
		if err != nil {
			return nil, err
		}
		out := wireRuns{Runs: make([]wireRun, len(runs)), Next: next}
		for i, r := range runs {
			n := r.Counts
			if !r.Status.Terminal() {
				if r, n, err = s.Dispatch.Progress(c.Context(), c.p, r.ID); err != nil {
					return nil, err
				}
			}
			out.Runs[i] = runOf(r, n)
		}
		return out, nil
	})
}

// cancel asks a run to stop.
func (s *server) cancel(c call) (answer, error) {
	if _, err := c.decode(&struct{}{}, true); err != nil {
		return answer{}, err
	}
	run, err := s.Dispatch.Cancel(c.Context(), c.p, c.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	_, n, err := s.Dispatch.Progress(c.Context(), c.p, run.ID)
	return answer{body: runOf(run, n)}, err
}

type wireResults struct {
	Results []wireResult `json:"results"`
	Next    *int         `json:"next"`
}

// results answers with results in target order, those of devices that have not
// begun included. A page ends early rather than be too large; a single result
// that is too large has its longest texts cut.
func (s *server) results(c call) (answer, error) {
	from, err := c.number("from", 0, 0, job.MaxTargets)
	if err != nil {
		return answer{}, err
	}
	limit, err := c.number("limit", 100, 1, 1000)
	if err != nil {
		return answer{}, err
	}
	page, err := s.Dispatch.Results(c.Context(), c.p, c.PathValue("id"), from, limit)
	if err != nil {
		return answer{}, err
	}
	const overhead = 64
	size, keep := overhead, 0
	for _, r := range page.Results {
		var texts api.Texts
		body, err := encode(resultOf(r, &texts))
		if err != nil {
			return answer{}, err
		}
		if size += len(body) + 1; size > s.MaxAnswer && keep > 0 {
			break
		}
		keep++
	}
	out := wireResults{Results: make([]wireResult, keep)}
	if next := from + keep; keep < len(page.Results) {
		out.Next = &next
	} else if page.Next >= 0 {
		out.Next = &page.Next
	}
	var texts api.Texts
	for i := range out.Results {
		out.Results[i] = resultOf(page.Results[i], &texts)
	}
	body, _, err := texts.Fit(s.MaxAnswer, func() ([]byte, error) { return encode(out) })
	return answer{body: encoded(body)}, err
}

type wirePreview struct {
	Total    int                 `json:"total"`
	Previews []wirePreviewDevice `json:"previews"`
	Unknown  []wireUnknown       `json:"unknown"`
}

// wirePreviewDevice is what a run would send to one device, or why it could not.
type wirePreviewDevice struct {
	Device  string    `json:"device"`
	Address string    `json:"address"`
	Text    *api.Text `json:"text"`
	Error   string    `json:"error"`
}

// preview renders a submission for its first devices; nothing is stored and no
// device is touched.
func (s *server) preview(c call) (answer, error) {
	limit, err := c.number("limit", 100, 1, dispatch.MaxPreview)
	if err != nil {
		return answer{}, err
	}
	var in submission
	if _, err := c.decode(&in, false); err != nil {
		return answer{}, err
	}
	if in.Service == "" {
		return answer{}, job.FieldErrorf("service", "is required")
	}
	rows, total, unknown, err := s.Dispatch.Preview(c.Context(), c.p, in.toDispatch(), limit)
	if err != nil {
		return answer{body: wireUnknowns(unknown)}, err
	}
	var texts api.Texts
	out := wirePreview{Total: total, Previews: make([]wirePreviewDevice, len(rows)), Unknown: wireUnknowns(unknown)}
	for i, r := range rows {
		out.Previews[i] = wirePreviewDevice{r.Device, r.Address, texts.Add(r.Text), r.Err}
	}
	body, _, err := texts.Fit(s.MaxAnswer, func() ([]byte, error) { return encode(out) })
	return answer{body: encoded(body)}, err
}
