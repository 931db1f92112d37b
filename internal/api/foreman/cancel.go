package foreman

import (
	"fmt"
	"net/http"
	"strings"

	"drover/internal/dispatch"
	"drover/internal/job"
)

// errNotCancelled is E16.
func errNotCancelled() error {
	return refuse(http.StatusUnprocessableEntity, fields{"message": "The job could not be cancelled."})
}

// cancelRun cancels a run and reports whether that did anything. Asking a
// second time is asking by force. With a run that waits for its time its schedule
// ends: nothing comes after it.
func (s *server) cancelRun(c *call, run job.Run, force bool) (bool, error) {
	var err error
	switch {
	case run.Status.Terminal():
		return false, nil
	case force || run.Canceling():
		run, err = s.Dispatch.CancelNow(c.ctx(), c.who, run.ID)
	default:
		run, err = s.Dispatch.Cancel(c.ctx(), c.who, run.ID)
	}
	return !run.Status.Terminal() || run.Status == job.StatusCanceled, err
}

// cancelInvocation is POST /api/job_invocations/:id/cancel.
func (s *server) cancelInvocation(c *call) (answer, error) {
	run, err := s.invocation(c, "id")
	if err != nil {
		return answer{}, err
	}
	force, err := c.flag("force", false)
	if err != nil {
		return answer{}, err
	}
	query, err := c.body.get("search").text()
	if err != nil {
		return answer{}, err
	}
	if strings.TrimSpace(query) != "" {
		return s.cancelHosts(c, run, query, force)
	}
	done, err := s.cancelRun(c, run, force)
	if err != nil {
		return answer{}, err
	}
	if !done {
		return answer{}, errNotCancelled()
	}
	return ok(fields{"cancelled": true, "id": run.Number}), nil
}

// cancelHosts cancels a job for the hosts that a query finds. Only whole jobs can
// be canceled: a query that finds some of the hosts that are not done, and not all,
// is refused.
func (s *server) cancelHosts(c *call, run job.Run, query string, force bool) (answer, error) {
	views, err := s.Dispatch.FindDevices(c.ctx(), c.who, query, true)
	if err != nil {
		return answer{}, err
	}
	wanted := map[int64]bool{}
	for _, v := range views {
		wanted[v.ID] = true
	}
	hosts, err := s.hosts(c, run)
	if err != nil {
		return answer{}, err
	}
	states, err := s.states(c, run, hosts)
	if err != nil {
		return answer{}, err
	}
	cancelled, skipped := []any{}, []any{}
	left := 0
	for _, h := range hosts {
		open := !run.Status.Terminal() && !states[h.place].result.Status.Terminal()
		id := any(nil)
		if hasHostTasks(run) {
			id = taskID(run.Tenant, run.Number, h.place)
		}
		switch {
		case wanted[h.ID] && open:
			cancelled = append(cancelled, id)
		case wanted[h.ID]:
			skipped = append(skipped, id)
		case open:
			left++
		}
	}
	if len(cancelled) > 0 {
		if left > 0 {
			return answer{}, unprocessable("A job is cancelled as a whole: %d of its hosts are not done and not found by the query", left)
		}
		done, err := s.cancelRun(c, run, force)
		if err != nil {
			return answer{}, err
		}
		if !done {
			cancelled, skipped = []any{}, append(skipped, cancelled...)
		}
	}
	return ok(fields{"total": len(cancelled) + len(skipped), "cancelled": cancelled, "skipped": skipped}), nil
}

// errRerun is E9.
func errRerun(run job.Run) error {
	return refuse(http.StatusNotFound, fields{"error": fmt.Sprintf("Could not rerun job %d because its template could not be found", run.Number)})
}

// rerunInvocation is POST /api/job_invocations/:id/rerun.
func (s *server) rerunInvocation(c *call) (answer, error) {
	run, err := s.invocation(c, "id")
	if err != nil {
		return answer{}, err
	}
	path := fmt.Sprintf("/api/job_invocations/%d/rerun", run.Number)
	key, replayed, err := s.repeated(c, path)
	if err != nil {
		return answer{}, err
	}
	if replayed != nil {
		return s.rerun(c, *replayed)
	}
	again, err := s.again(c, run)
	if err != nil {
		return answer{}, err
	}
	again.IdempotencyKey, again.Path, again.Body = key, path, c.raw
	got, err := s.Dispatch.Rerun(c.ctx(), c.who, again)
	if err != nil {
		return answer{}, submitError(err, dispatch.Submission{})
	}
	return s.rerun(c, got)
}

// rerun answers with a job that runs again: as a create does, and with what
// upstream's record has besides.
func (s *server) rerun(c *call, got dispatch.Submitted) (answer, error) {
	a, err := s.made(c, got, true)
	if err != nil {
		return a, err
	}
	out, n := a.body.(fields), got.Run.Number
	out["task_id"], out["task_group_id"], out["triggering_id"] = taskID(got.Run.Tenant, n, runTask), n, n
	out["remote_execution_feature_id"] = nonzero(extraOf(got.Run).Feature)
	return a, nil
}

// again is what is to run again of a job.
func (s *server) again(c *call, run job.Run) (again dispatch.Again, err error) {
	t, err := s.Dispatch.Template(c.ctx(), c.who, run.TemplateID)
	if job.CodeOf(err) == job.NotFound {
		return again, errRerun(run)
	}
	if err != nil {
		return again, err
	}
	j, err := s.Dispatch.Job(c.ctx(), c.who, run)
	if err != nil {
		return again, err
	}
	again = dispatch.Again{Run: run.ID, Description: describeAgain(t.Template, j)}
	selected, err := s.selectAgain(c, run, &again)
	if err != nil {
		return again, err
	}
	x := extraOf(run)
	x.Mode, x.Purpose, x.StartBefore = "", "", nil
	if selected {
		x.Query, x.ByHosts, x.Bookmark, x.BookmarkName = nil, byRerun, 0, ""
	}
	if x.User, err = s.userID(c); err != nil {
		return again, err
	}
	again.Extra, err = x.asExtra()
	return again, err
}

// describeAgain describes a job that runs again by its template's format.
func describeAgain(t job.Template, j job.Job) string {
	values := payloadOf(j)
	for name := range j.Hidden {
		values[name] = hiddenInDescription
	}
	return describeJob("", t, j.Inputs, values)
}

// selectAgain reads which hosts a job runs on again; false means on its own.
func (s *server) selectAgain(c *call, run job.Run, again *dispatch.Again) (bool, error) {
	failed, err := c.flag("failed_only", false)
	if err != nil {
		return false, err
	}
	succeeded, err := c.flag("succeeded_only", false)
	if err != nil {
		return false, err
	}
	hosts := c.param("host_ids")
	switch {
	case !hosts.blank():
		found, err := s.lookUpHosts(c, hosts)
		if err != nil {
			return false, err
		}
		targets, err := s.allTargets(c, run)
		if err != nil {
			return false, err
		}
		ids := map[int64]bool{}
		for _, t := range targets {
			ids[t.ID] = true
		}
		for _, h := range found {
			if !ids[h.ID] {
				return false, unprocessable("Host %s is not one of job %d", h.Name, run.Number)
			}
		}
		again.DeviceIDs = targetIDs(found)
	case failed:
		again.Unfinished = true
		again.Statuses = append(resultsOf(resultError), resultsOf(resultCancelled)...)
	case succeeded:
		again.Statuses = resultsOf(resultSuccess)
	case hosts.kind() == '[', hosts.kind() == '{': // chosen, and none: not all
		return false, hosts.wrong("an array of at least one host")
	default:
		return false, nil
	}
	again.Query = func(names []string) string {
		query := rerunQuery(names)
		if len(query) > dispatch.MaxQuery {
			return "" // queryOf writes it down again
		}
		return query
	}
	return true, nil
}
