package foreman

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
	"drover/internal/search"
)

// What tasks are called.
const (
	runAction  = "Run hosts job:"
	runLabel   = "Actions::RemoteExecution::RunHostsJob"
	hostAction = "Remote action:"
	hostLabel  = "Actions::RemoteExecution::RunHostJob"
)

// task is what the tasks of a run and of a host have in common.
type task struct {
	id, parent          string
	label, action, what string
	user                string
	state, result       string
	started, ended      *time.Time
	start               time.Time
	progress            float64
	output              string
	errors              []string
	cancellable         bool
	now                 time.Time
}

// show is a task as it is answered.
func (t task) show() fields {
	duration := any(nil)
	if t.started != nil {
		end := t.now
		if t.ended != nil {
			end = *t.ended
		}
		duration = strconv.FormatFloat(max(0, end.Sub(*t.started).Seconds()), 'f', -1, 64)
	}
	errors := t.errors
	if errors == nil {
		errors = []string{}
	}
	return fields{
		"id": t.id, "label": t.label, "pending": t.state != taskStopped, "action": t.action + " " + t.what, "username": t.user,
		"started_at": stampOf(t.started), "ended_at": stampOf(t.ended), "state": t.state, "result": t.result,
		"progress": t.progress, "duration": duration, "input": fields{}, "output": fields{},
		"humanized":   fields{"action": t.action, "input": t.what, "output": t.output, "errors": errors},
		"cli_example": nil, "start_at": stamp(t.start), "parent_task_id": nullable(t.parent),
		"available_actions": fields{"cancellable": t.cancellable, "resumable": false},
	}
}

// runTask is the task of a run. errors are what is said of its hosts.
func (s *server) runTask(run job.Run, counts job.Counts, errors []string) fields {
	return s.taskOf(run, counts, errors).show()
}

func (s *server) taskOf(run job.Run, counts job.Counts, errors []string) task {
	p := phaseOf(run)
	t := task{
		id: taskID(run.Tenant, run.Number, runTask), label: runLabel, action: runAction, what: run.Description, user: run.Creator,
		state: p.state, result: p.result, started: run.Started, ended: run.Ended, start: run.Created,
		cancellable: !run.Status.Terminal(), now: s.Clock(),
	}
	if run.Planned != nil {
		t.start = *run.Planned
	}
	if run.Status == job.Queued {
		t.started = firstTime(run.Planned, &run.Created)
	}
	failed := counts.Done() - counts.Succeeded
	switch {
	case run.Status.Terminal():
		t.progress = 1
	case run.Total > 0:
		t.progress = float64(counts.Done()) / float64(run.Total)
	}
	t.output = fmt.Sprintf("%d task(s), %d success, %d fail", run.Total, counts.Succeeded, failed)
	if p.result == resultWarning || p.result == resultError {
		t.errors = append(runErrors(run, failed), errors...)
	}
	return t
}

// runErrors say why a run did not succeed; there is at least one.
func runErrors(run job.Run, failed int) []string {
	var said []string
	switch {
	case run.Status == job.Missed && extraOf(run).StartBefore != nil:
		said = append(said, "Execution plan could not be started before set time ("+stamp(*extraOf(run).StartBefore)+")")
	case run.Status == job.Missed && run.Planned != nil:
		said = append(said, "Execution plan could not be started in time (it was due at "+stamp(*run.Planned)+")")
	case run.Status == job.StatusCanceled:
		said = append(said, "The job was cancelled")
	case run.Status == job.TimedOut:
		said = append(said, "The job's time was over before all hosts were done")
	}
	if failed > 0 && run.Started != nil {
		said = append(said, fmt.Sprintf("%d of %d host(s) did not succeed", failed, run.Total))
	}
	if run.Message != "" {
		said = append(said, run.Message)
	}
	if said == nil {
		said = append(said, strings.TrimSpace("The job failed "+run.Reason))
	}
	return said
}

// Hosts that are named in the errors of a job's task, and how many results are
// looked through for them.
const (
	maxNamed  = 10
	maxLooked = 1000
)

// hostErrors name the first hosts that did not succeed, with the cause.
func (s *server) hostErrors(c *call, run job.Run) ([]string, error) {
	if !run.Status.Terminal() || run.Started == nil || run.Counts.Done() == run.Counts.Succeeded {
		return nil, nil
	}
	page, err := s.Dispatch.Outcomes(c.ctx(), c.who, run, 0, maxLooked)
	if err != nil {
		return nil, err
	}
	var said []string
	for _, r := range page.Results {
		if r.Status == job.ResultSucceeded {
			continue
		}
		if said = append(said, r.Device+": "+cause(r)); len(said) == maxNamed {
			break
		}
	}
	return said, nil
}

// cause says why a host did not succeed.
func cause(r job.Result) string {
	if text := trouble(r); text != "" {
		return strings.TrimSpace(text)
	}
	return "Exit status: " + exitStatus(r)
}

// hostTaskOf is the task of one host of a run.
func (s *server) hostTaskOf(run job.Run, r job.Result) task {
	state, result := hostTask(r.Status)
	t := task{
		id: taskID(run.Tenant, run.Number, r.Index), parent: taskID(run.Tenant, run.Number, runTask),
		label: hostLabel, action: hostAction, what: run.Description + " on " + r.Device, user: run.Creator,
		state: state, result: result, started: r.Started, ended: r.Ended, start: run.Created, now: s.Clock(),
	}
	if run.Planned != nil {
		t.start = *run.Planned
	}
	if state == taskStopped {
		t.progress = 1
		if t.ended == nil {
			t.ended = run.Ended
		}
		if t.started == nil {
			t.started = run.Started
		}
		t.output = "Exit status: " + exitStatus(r)
	}
	if result == resultError {
		t.errors = []string{cause(r)}
	}
	return t
}

// showTask answers with a task of a run or of a host.
func (s *server) showTask(c *call) (answer, error) {
	run, place, err := s.taskRun(c, c.path("id"))
	if err != nil {
		return answer{}, err
	}
	if place == runTask {
		run, counts, err := s.countsNow(c, run)
		if err != nil {
			return answer{}, err
		}
		errors, err := s.hostErrors(c, run)
		if err != nil {
			return answer{}, err
		}
		return ok(s.runTask(run, counts, errors)), nil
	}
	page, err := s.Dispatch.Outcomes(c.ctx(), c.who, run, place, 1)
	if err != nil {
		return answer{}, err
	}
	if len(page.Results) == 0 {
		return answer{}, notFound("task", c.path("id"))
	}
	return ok(s.hostTaskOf(run, page.Results[0]).show()), nil
}

// taskRun returns the run of a task, and the place of its host. A host has no
// task before its run starts.
func (s *server) taskRun(c *call, id string) (run job.Run, place int, err error) {
	number, place, ok := parseTaskID(c.who.Tenant, id)
	if !ok {
		return run, 0, notFound("task", id)
	}
	run, err = s.Dispatch.RunByNumber(c.ctx(), c.who, space, number)
	if err == nil && place != runTask && (!hasHostTasks(run) || place >= run.Total) {
		return run, 0, notFound("task", id)
	}
	return run, place, orNotFound(err, "task", id)
}

// taskFields is what tasks can be searched by.
var taskFields = search.Schema{
	taskText("id", func(t task) string { return t.id }),
	taskText("action", func(t task) string { return t.action + " " + t.what }),
	taskText("label", func(t task) string { return t.label }),
	taskText("state", func(t task) string { return t.state }),
	taskText("result", func(t task) string { return t.result }),
	taskTime("started_at", func(t task) *time.Time { return t.started }),
	taskTime("ended_at", func(t task) *time.Time { return t.ended }),
	taskTime("start_at", func(t task) *time.Time { return &t.start }),
	{Name: "parent_task_id", Type: search.Text, Get: func(v any, _ string) []string { return some(v.(task).parent) }},
	{Name: "user", Type: search.Text, User: true, Get: func(v any, _ string) []string { return some(v.(task).user) }},
	{Name: "owner", Type: search.Text, User: true, Get: func(v any, _ string) []string { return some(v.(task).user) }},
}

func taskText(name string, get func(task) string) search.Field {
	return search.Field{Name: name, Type: search.Text, Default: name != "id", Get: func(v any, _ string) []string { return some(get(v.(task))) }}
}

func taskTime(name string, get func(task) *time.Time) search.Field {
	return search.Field{Name: name, Type: search.Time, Get: func(v any, _ string) []string { return moment(get(v.(task))) }}
}

// moment is a time as a value for searching.
func moment(t *time.Time) []string {
	if t == nil {
		return nil
	}
	return one(t.UTC().Format(time.RFC3339Nano))
}

// tasks is the index of tasks: those of all jobs; those of a job's hosts when the
// search, or the path, says whose.
func (s *server) tasks(c *call) (answer, error) {
	p, err := c.paging()
	if err != nil {
		return answer{}, err
	}
	query, _ := p.search.text()
	parents := []string{}
	if id := c.path("parent_task_id"); id != "" {
		parents = append(parents, id)
	} else if id := c.text("parent_task_id"); id != "" {
		parents = append(parents, id)
	} else if strings.TrimSpace(query) != "" {
		q, err := search.Compile(query, taskFields, search.Lenient, s.searchEnv(c))
		if err != nil {
			return answer{}, err
		}
		parents = q.Values("parent_task_id")
	}
	if c.path("parent_task_id") == "" && len(parents) == 0 && strings.TrimSpace(query) == "" && usualOrder(p, "started_at DESC") {
		return s.taskPage(c, p)
	}
	rows, err := s.taskRows(c, parents)
	if err != nil {
		return answer{}, err
	}
	return collection(s, c, rows, taskFields, "started_at DESC", func(t task) any { return t.show() })
}

// usualOrder reports whether a page is asked for in the order that there is
// without being asked.
func usualOrder(p paging, usual string) bool {
	order, _ := p.order.text()
	words := strings.Fields(order)
	return len(words) == 0 || strings.EqualFold(strings.Join(words, " "), usual)
}

// taskPage is a page of the tasks of all jobs, newest first.
func (s *server) taskPage(c *call, p paging) (answer, error) {
	runs, total, err := s.page(c, p)
	if err != nil {
		return answer{}, err
	}
	rows := []any{}
	for _, run := range runs {
		run, counts, err := s.countsNow(c, run)
		if err != nil {
			return answer{}, err
		}
		rows = append(rows, s.runTask(run, counts, nil))
	}
	return p.envelope(total, total, rows), nil
}

// taskRows are the tasks of all jobs, or those of the hosts of the jobs whose
// tasks are given.
func (s *server) taskRows(c *call, parents []string) ([]task, error) {
	var rows []task
	if len(parents) == 0 {
		err := s.eachRun(c, func(run job.Run) error {
			run, counts, err := s.countsNow(c, run)
			rows = append(rows, s.taskOf(run, counts, nil))
			return err
		})
		return rows, err
	}
	slices.Sort(parents)
	for _, id := range slices.Compact(parents) {
		run, place, err := s.taskRun(c, id)
		if err != nil && c.path("parent_task_id") != "" {
			return nil, err
		}
		if err != nil || place != runTask || !hasHostTasks(run) {
			continue
		}
		for from := 0; from >= 0; {
			page, err := s.Dispatch.Outcomes(c.ctx(), c.who, run, from, 0)
			if err != nil {
				return nil, err
			}
			for _, r := range page.Results {
				rows = append(rows, s.hostTaskOf(run, r))
			}
			from = page.Next
		}
	}
	return rows, nil
}

// cancelTasks is POST bulk_cancel: it cancels the jobs whose tasks are named, or
// found by a search, which is read strictly. A host's task is not canceled alone.
func (s *server) cancelTasks(c *call) (answer, error) {
	ids, err := c.param("task_ids").texts()
	if err != nil {
		return answer{}, err
	}
	if len(ids) == 0 {
		query, err := c.param("search").text()
		if err != nil {
			return answer{}, err
		}
		if strings.TrimSpace(query) == "" {
			return answer{}, unprocessable("Please provide at least one of search or task_ids parameters in the request")
		}
		q, err := search.Compile(query, taskFields, search.Strict, s.searchEnv(c))
		if err != nil {
			return answer{}, err
		}
		rows, err := s.taskRows(c, nil)
		if err != nil {
			return answer{}, err
		}
		for _, t := range rows {
			if q.Match(t) {
				ids = append(ids, t.id)
			}
		}
	}
	cancelled, skipped := []string{}, []string{}
	for _, id := range ids {
		run, place, err := s.taskRun(c, id)
		var done bool
		if err == nil && place == runTask {
			if done, err = s.cancelRun(c, run, false); err != nil {
				return answer{}, err
			}
		}
		if done {
			cancelled = append(cancelled, id)
		} else {
			skipped = append(skipped, id)
		}
	}
	return ok(fields{"total": len(ids), "cancelled": cancelled, "skipped": skipped}), nil
}
