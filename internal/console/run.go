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

	// Only where there is something to say.
	Planned     *time.Time `json:"planned,omitempty"`
	ScheduleID  int64      `json:"schedule_id,omitempty"`
	RerunOf     string     `json:"rerun_of,omitempty"`
	Description string     `json:"description,omitempty"`
}

func runOf(r job.Run, counts job.Counts) wireRun {
	return wireRun{ID: r.ID, Status: r.Status, Reason: r.Reason, Message: r.Message, Service: r.ServiceName, Creator: r.Creator,
		Counts: counts, Created: r.Created.UTC(), Started: utc(r.Started), Ended: utc(r.Ended),
		Planned: utc(r.Planned), ScheduleID: r.ScheduleID, RerunOf: r.RerunOf, Description: r.Description}
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
	Description   string          `json:"description"`

	Query   string `json:"query"`   // instead of devices, addresses and pools
	Dynamic bool   `json:"dynamic"` // the query is asked when a run starts

	Schedule    *wireRecurrence `json:"schedule"`
	Purpose     string          `json:"purpose"`
	StartBefore string          `json:"start_before"`
	RunTimeout  string          `json:"run_timeout"`
	StopAfter   json.RawMessage `json:"stop_after"`
}

func (s submission) toDispatch() (dispatch.Submission, error) {
	sub := dispatch.Submission{Service: s.Service, Devices: s.Devices, Addresses: s.Addresses, Pools: s.Pools,
		IgnoreInvalid: s.IgnoreInvalid, Payload: s.Payload, Name: s.Name, Labels: s.Labels, Description: s.Description,
		NeedsTargets: true, Purpose: s.Purpose}
	if s.Service == "" {
		return sub, job.FieldErrorf("service", "is required")
	}
	if s.Query != "" {
		if len(s.Devices)+len(s.Addresses)+len(s.Pools) > 0 {
			return sub, job.FieldErrorf("query", "names the devices alone; leave devices, addresses and pools out")
		}
		sub.Select = &job.Selection{Query: s.Query, Dynamic: s.Dynamic}
	} else if s.Dynamic {
		return sub, job.FieldErrorf("dynamic", "is for a query")
	}
	var err error
	if sub.Schedule, err = s.Schedule.toJob(); err != nil {
		return sub, err
	}
	if sub.StartBefore, err = timeOf("start_before", s.StartBefore); err != nil {
		return sub, err
	}
	if sub.RunTimeout, err = durationOf("run_timeout", s.RunTimeout); err != nil {
		return sub, err
	}
	sub.StopAfter, err = stopAfterOf("stop_after", s.StopAfter)
	return sub, err
}

type wireSubmitted struct {
	Run      wireRun       `json:"run"`
	Schedule *wireSchedule `json:"schedule,omitempty"`
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
	sub, err := in.toDispatch()
	if err != nil {
		return answer{}, err
	}
	if sub.IdempotencyKey, err = api.IdempotencyKey(c.Request); err != nil {
		return answer{}, err
	}
	sub.Path, sub.Body = prefix+"runs", body
	done, err := s.Dispatch.Submit(c.Context(), c.p, sub)
	return submitted(done, err)
}

// submitted is the answer to a submit and to a rerun.
func submitted(done dispatch.Submitted, err error) (answer, error) {
	if err != nil {
		return answer{body: wireUnknowns(done.Unknown)}, err
	}
	w := wireSubmitted{Run: runOf(done.Run, counts(done.Run)), Replayed: done.Replayed, Unknown: wireUnknowns(done.Unknown)}
	if done.Schedule != nil {
		sc := scheduleOf(*done.Schedule)
		w.Schedule = &sc
	}
	a := answer{status: http.StatusCreated, location: prefix + "runs/" + url.PathEscape(done.Run.ID), body: w}
	if done.Replayed {
		a.status = http.StatusOK
	}
	return a, nil
}

// rerun submits the job of a run again: on all its devices, or on those with the
// results that the body names. Unfinished are all that did not succeed.
func (s *server) rerun(c call) (answer, error) {
	var in struct {
		Unfinished  bool               `json:"unfinished"`
		Statuses    []job.ResultStatus `json:"statuses"`
		Description string             `json:"description"`
	}
	body, err := c.decode(&in, true)
	if err != nil {
		return answer{}, err
	}
	for _, status := range in.Statuses {
		if !slices.Contains(job.ResultStatuses(), status) || !status.Terminal() {
			return answer{}, job.FieldErrorf("statuses", "%q is no status that a result ends in", clip(string(status)))
		}
	}
	id := c.PathValue("id")
	again := dispatch.Again{Run: id, Unfinished: in.Unfinished, Description: in.Description,
		Path: prefix + "runs/" + id + "/rerun", Body: body}
	if len(in.Statuses) > 0 {
		again.Statuses = in.Statuses
	}
	if again.IdempotencyKey, err = api.IdempotencyKey(c.Request); err != nil {
		return answer{}, err
	}
	return submitted(s.Dispatch.Rerun(c.Context(), c.p, again))
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

// cancel asks a run to stop; by force it does not wait for devices to let go.
func (s *server) cancel(c call) (answer, error) {
	var in struct {
		Force bool `json:"force"`
	}
	if _, err := c.decode(&in, true); err != nil {
		return answer{}, err
	}
	stop := s.Dispatch.Cancel
	if in.Force {
		stop = s.Dispatch.CancelNow
	}
	run, err := stop(c.Context(), c.p, c.PathValue("id"))
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
	sub, err := in.toDispatch()
	if err != nil {
		return answer{}, err
	}
	rows, total, unknown, err := s.Dispatch.Preview(c.Context(), c.p, sub, limit)
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
