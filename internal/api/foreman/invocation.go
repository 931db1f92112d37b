package foreman

import (
	"net/http"
	"slices"

	"drover/internal/api"
	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/search"
)

// invocation returns the run that the path names.
func (s *server) invocation(c *call, variable string) (job.Run, error) {
	missing := notFound("job_invocation", c.path(variable))
	n, ok := c.number(variable)
	if !ok {
		return job.Run{}, missing
	}
	run, err := s.Dispatch.RunByNumber(c.ctx(), c.who, space, n)
	if job.CodeOf(err) == job.NotFound {
		return run, missing
	}
	return run, err
}

// createInvocation is POST /api/job_invocations.
func (s *server) createInvocation(c *call) (answer, error) {
	in, err := c.root("job_invocation")
	if err != nil {
		return answer{}, err
	}
	hosts, err := c.flag("include_hosts", true)
	if err != nil {
		return answer{}, err
	}
	key, again, err := s.repeated(c, createKeyPath)
	if err != nil {
		return answer{}, err
	}
	if again != nil {
		return s.made(c, *again, hosts)
	}
	sub, err := s.submission(c, in)
	if err != nil {
		return answer{}, err
	}
	sub.IdempotencyKey, sub.Path, sub.Body = key, createKeyPath, c.raw
	got, err := s.Dispatch.Submit(c.ctx(), c.who, sub)
	if err != nil {
		return answer{}, submitError(err, sub)
	}
	return s.made(c, got, hosts)
}

// createKeyPath is the path of idempotency keys, whatever version a request names.
const createKeyPath = "/api/job_invocations"

// repeated returns the idempotency key of a request, and what the request has
// made if it was made before.
func (s *server) repeated(c *call, path string) (key string, again *dispatch.Submitted, err error) {
	if key, err = api.IdempotencyKey(c.r); err != nil || key == "" {
		return key, nil, err
	}
	got, err := s.Dispatch.Replayed(c.ctx(), c.who, path, key, c.raw)
	if job.CodeOf(err) == job.NotFound {
		return key, nil, nil
	}
	return key, &got, err
}

// made answers with a job that was made just now, or by the same request before.
func (s *server) made(c *call, got dispatch.Submitted, hosts bool) (answer, error) {
	run := got.Run
	if got.Replayed {
		run = asSubmitted(run)
	}
	a, err := s.detail(c, run, wanted{hosts: hosts, fresh: true})
	a.status = http.StatusCreated
	return a, err
}

// asSubmitted is a run as it was when it was made, so that a repeated request
// gets the answer that the first one got.
func asSubmitted(run job.Run) job.Run {
	run.Status, run.Reason, run.Message = job.Queued, "", ""
	if run.Planned != nil {
		run.Status = job.Scheduled
		if extraOf(run).Targeting == dynamicQuery {
			run.Unresolved, run.Total = true, 0
		}
	}
	run.Started, run.Ended, run.Counts = nil, nil, job.Counts{}
	return run
}

// showInvocation is GET /api/job_invocations/:id.
func (s *server) showInvocation(c *call) (answer, error) {
	run, err := s.invocation(c, "id")
	if err != nil {
		return answer{}, err
	}
	hosts, err := c.flag("include_hosts", true)
	if err != nil {
		return answer{}, err
	}
	states, err := c.flag("host_status", false)
	if err != nil {
		return answer{}, err
	}
	a, err := s.detail(c, run, wanted{hosts: hosts, hostState: states && hosts, inputs: true})
	if err == nil && c.query.Has("include_permissions") {
		a.body.(fields)["permissions"] = c.permissions()
	}
	return a, err
}

// invocations is GET /api/job_invocations. Without a search, in the usual order,
// only the rows of the page are read.
func (s *server) invocations(c *call) (answer, error) {
	p, err := c.paging()
	if err != nil {
		return answer{}, err
	}
	query, _ := p.search.text()
	if query == "" && usualOrder(p, usualJobs) {
		runs, total, err := s.page(c, p)
		if err != nil {
			return answer{}, err
		}
		return s.invocationPage(c, p, runs, total, total)
	}
	rows, total, err := s.searchedJobs(c, p, query)
	if err != nil {
		return answer{}, err
	}
	from, to := p.window(len(rows))
	runs := make([]job.Run, 0, to-from)
	for _, r := range rows[from:to] {
		runs = append(runs, r.run)
	}
	return s.invocationPage(c, p, runs, total, len(rows))
}

const usualJobs = "id DESC"

// page returns the runs of a page of all, newest first, and how many there are.
func (s *server) page(c *call, p paging) (runs []job.Run, total int, err error) {
	first := 0 // only to know how many there are
	if p.page == 1 {
		first = min(p.perPage, runsAtOnce)
	}
	runs, total, err = s.Dispatch.RunsByNumber(c.ctx(), c.who, space, 0, first)
	if err != nil {
		return nil, 0, err
	}
	from, to := p.window(total)
	for from += len(runs); from < to; {
		some, _, err := s.Dispatch.RunsByNumber(c.ctx(), c.who, space, from, min(to-from, runsAtOnce))
		if err != nil {
			return nil, 0, err
		}
		if len(some) == 0 {
			break
		}
		runs, from = append(runs, some...), from+len(some)
	}
	return runs, total, nil
}

// invocationPage writes a page of the index.
func (s *server) invocationPage(c *call, p paging, runs []job.Run, total, subtotal int) (answer, error) {
	missing, err := s.missing(c, runs)
	if err != nil {
		return answer{}, err
	}
	permissions := c.query.Has("include_permissions")
	rows := make([]fields, 0, len(runs))
	for i, run := range runs {
		run, counts, err := s.countsNow(c, run)
		if err != nil {
			return answer{}, err
		}
		row := base(run, counts, missing[i])
		if permissions {
			row["permissions"] = c.permissions()
		}
		rows = append(rows, row)
	}
	a := p.envelope(total, subtotal, rows)
	if permissions {
		may := c.who.Role.Allows(job.ActRun)
		a.body.(fields)["can_create"], a.body.(fields)["can_edit"] = may, may
	}
	return a, nil
}

// maxChecked is how many hosts a page of the index looks up to say which are
// gone; of jobs beyond that it says that none is. show always knows.
const maxChecked = 2000

// missing returns how many hosts of each run were deleted since.
func (s *server) missing(c *call, runs []job.Run) ([]int, error) {
	out := make([]int, len(runs))
	targets := make([][]job.Target, len(runs))
	var ids []int64
	budget := maxChecked
	for i, run := range runs {
		if run.Unresolved || run.Total > budget {
			continue
		}
		budget -= run.Total
		var err error
		if targets[i], err = s.allTargets(c, run); err != nil {
			return nil, err
		}
		ids = append(ids, targetIDs(targets[i])...)
	}
	if len(ids) == 0 {
		return out, nil
	}
	there, err := s.Dispatch.DeviceNames(c.ctx(), c.who, ids)
	if err != nil {
		return nil, err
	}
	for i, ts := range targets {
		for _, t := range ts {
			if _, ok := there[t.ID]; !ok {
				out[i]++
			}
		}
	}
	return out, nil
}

// runsAtOnce is how many runs are read at once at most.
const runsAtOnce = 500

// eachRun calls f for every run, newest first.
func (s *server) eachRun(c *call, f func(job.Run) error) error {
	for below := int64(0); ; {
		runs, next, err := s.Dispatch.RunsBelow(c.ctx(), c.who, space, below, runsAtOnce)
		if err != nil {
			return err
		}
		for _, run := range runs {
			if err := f(run); err != nil {
				return err
			}
		}
		if next == 0 {
			return nil
		}
		below = next
	}
}

// jobRow is a run while it is searched. What is not in the run itself is read
// when a query asks for it.
type jobRow struct {
	run   job.Run
	extra runExtra
	hosts func() []job.Target
}

// searchedJobs returns the jobs that a search finds, in the order asked for, and
// how many there are in all.
func (s *server) searchedJobs(c *call, p paging, query string) (rows []jobRow, total int, err error) {
	var broken error // of what is read during the search
	err = s.eachRun(c, func(run job.Run) error {
		row := jobRow{run: run, extra: extraOf(run)}
		var targets []job.Target
		done := false
		row.hosts = func() []job.Target {
			if !done && broken == nil {
				targets, broken = s.allTargets(c, run)
				done = true
			}
			return targets
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	total = len(rows)
	if rows, err = found(s, c, p, rows, jobFields); err != nil || broken != nil {
		return nil, 0, firstError(err, broken)
	}
	if err = sorted(p, rows, jobFields, usualJobs); err != nil || broken != nil {
		return nil, 0, firstError(err, broken)
	}
	return rows, total, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// jobFields is what jobs can be searched by.
var jobFields = search.Schema{
	jobField("id", search.Integer, false, func(r jobRow) []string { return one(decimal(r.run.Number)) }),
	jobField("job_category", search.Text, true, func(r jobRow) []string { return some(r.extra.Category) }),
	jobField("description", search.Text, true, func(r jobRow) []string { return some(r.run.Description) }),
	jobField("host", search.Text, false, func(r jobRow) []string {
		var names []string
		for _, t := range r.hosts() {
			names = append(names, t.Name)
		}
		return names
	}),
	jobField("user", search.Text, false, func(r jobRow) []string { return some(r.run.Creator) }),
	jobField("owner", search.Text, false, func(r jobRow) []string { return some(r.run.Creator) }),
	jobField("started_at", search.Time, false, func(r jobRow) []string { return moment(r.run.Started) }),
	jobField("start_at", search.Time, false, func(r jobRow) []string { return moment(firstTime(r.run.Planned, &r.run.Created)) }),
	jobField("ended_at", search.Time, false, func(r jobRow) []string { return moment(r.run.Ended) }),
	jobField("status", search.Text, false, func(r jobRow) []string { return matchedLabels(r.run.Status) }),
	jobField("targeted_host_id", search.Integer, false, func(r jobRow) []string {
		var ids []string
		for _, t := range r.hosts() {
			ids = append(ids, decimal(t.ID))
		}
		return ids
	}),
	jobField("pattern_template_name", search.Text, false, func(r jobRow) []string { return some(r.run.ServiceName) }),
	jobField("recurring", search.Bool, false, func(r jobRow) []string {
		if r.extra.Mode == modeRecurring {
			return one("true")
		}
		return one("false")
	}),
	jobField("recurring_logic.id", search.Integer, false, func(r jobRow) []string {
		if r.extra.Mode != modeRecurring {
			return nil
		}
		return one(decimal(r.run.ScheduleID))
	}),
	jobField("recurring_logic.purpose", search.Text, false, func(r jobRow) []string { return some(r.extra.Purpose) }),
}

func jobField(name string, typ search.Type, byWord bool, get func(jobRow) []string) search.Field {
	return search.Field{Name: name, Type: typ, Default: byWord, ID: slices.Contains([]string{"id", "targeted_host_id", "recurring_logic.id"}, name),
		User: name == "user" || name == "owner", Get: func(v any, _ string) []string { return get(v.(jobRow)) }}
}
