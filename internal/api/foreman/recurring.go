package foreman

import (
	"slices"
	"strconv"

	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/search"
)

// recurring is a schedule as a recurring logic.
func recurring(sched job.Schedule) fields {
	var next any
	if sched.State == job.ScheduleActive {
		next = stampOf(sched.Next)
	}
	return fields{
		"id": sched.ID, "cron_line": cronText(sched.Recurrence), "end_time": stampOf(sched.Recurrence.End), "iteration": sched.Runs,
		"task_group_id": sched.ID, "state": scheduleStates[sched.State], "max_iteration": nonzero(int64(sched.Recurrence.MaxRuns)),
		"purpose": nullable(sched.Purpose), "task_count": sched.Runs, "action": runAction,
		"last_occurence": stampOf(sched.Last), "next_occurence": next,
	}
}

// recurringFields is what recurring logics can be searched by.
var recurringFields = search.Schema{
	{Name: "id", Type: search.Integer, ID: true, Get: func(t any, _ string) []string { return one(decimal(t.(job.Schedule).ID)) }},
	{Name: "cron_line", Type: search.Text, Default: true, Get: func(t any, _ string) []string { return one(cronText(t.(job.Schedule).Recurrence)) }},
	{Name: "state", Type: search.Text, Default: true, Get: func(t any, _ string) []string { return one(scheduleStates[t.(job.Schedule).State]) }},
	{Name: "purpose", Type: search.Text, Default: true, Get: func(t any, _ string) []string { return some(t.(job.Schedule).Purpose) }},
	{Name: "iteration", Type: search.Integer, Get: func(t any, _ string) []string { return one(strconv.Itoa(t.(job.Schedule).Runs)) }},
	{Name: "iteration_limit", Type: search.Integer, Get: func(t any, _ string) []string {
		if n := t.(job.Schedule).Recurrence.MaxRuns; n > 0 {
			return one(strconv.Itoa(n))
		}
		return nil
	}},
}

// Values of fields for searching.
func one(s string) []string  { return []string{s} }
func decimal(n int64) string { return strconv.FormatInt(n, 10) }
func some(s string) (v []string) {
	if s != "" {
		v = one(s)
	}
	return v
}

// logics returns the schedules that are recurring logics: those with a cron
// line.
func (s *server) logics(c *call) ([]job.Schedule, error) {
	var all []job.Schedule
	for after := ""; ; {
		page, next, err := s.Dispatch.Schedules(c.ctx(), c.who, dispatch.Page{Limit: 1000, After: after})
		if err != nil {
			return nil, err
		}
		for _, sched := range page {
			if sched.Recurrence.Cron != "" {
				all = append(all, sched)
			}
		}
		if after = next; after == "" {
			return all, nil
		}
	}
}

func (s *server) recurringLogics(c *call) (answer, error) {
	all, err := s.logics(c)
	if err != nil {
		return answer{}, err
	}
	return collection(s, c, all, recurringFields, "id ASC", func(sched job.Schedule) any { return recurring(sched) })
}

// logic returns the recurring logic that the path names.
func (s *server) logic(c *call) (job.Schedule, error) {
	missing := notFound("recurring_logic", c.path("id"))
	id, ok := c.number("id")
	if !ok {
		return job.Schedule{}, missing
	}
	sched, err := s.Dispatch.Schedule(c.ctx(), c.who, id)
	if job.CodeOf(err) == job.NotFound || err == nil && sched.Recurrence.Cron == "" {
		return sched, missing
	}
	return sched, err
}

// maxLogicTasks is how many tasks of a recurring logic are shown: the latest.
const maxLogicTasks = 200

func (s *server) showLogic(c *call) (answer, error) {
	sched, err := s.logic(c)
	if err != nil {
		return answer{}, err
	}
	runs, err := s.Dispatch.LatestScheduleRuns(c.ctx(), c.who, sched.ID, maxLogicTasks)
	if err != nil {
		return answer{}, err
	}
	tasks := []fields{}
	for _, run := range slices.Backward(runs) {
		if run.Space == space {
			tasks = append(tasks, s.runTask(run, run.Counts, nil))
		}
	}
	out := recurring(sched)
	out["tasks"] = tasks
	return ok(out), nil
}

func (s *server) updateLogic(c *call) (answer, error) {
	sched, err := s.logic(c)
	if err != nil {
		return answer{}, err
	}
	in, err := c.root("recurring_logic")
	if err != nil {
		return answer{}, err
	}
	enabled, given, err := in.get("enabled").boolean()
	if err != nil {
		return answer{}, err
	}
	switch {
	case !given:
	case enabled:
		sched, err = s.Dispatch.ResumeSchedule(c.ctx(), c.who, sched.ID)
	default:
		sched, err = s.Dispatch.PauseSchedule(c.ctx(), c.who, sched.ID)
	}
	if job.CodeOf(err) == job.Conflict {
		verb := "disable"
		if enabled {
			verb = "enable"
		}
		return answer{}, validationFailed(sched.ID, problem{"base", "Cannot " + verb + " a recurring logic that is " + s.stateOf(c)})
	}
	if err != nil {
		return answer{}, err
	}
	return ok(recurring(sched)), nil
}

// stateOf is the state of the recurring logic that the path names, as it is now.
func (s *server) stateOf(c *call) string {
	sched, err := s.logic(c)
	if err != nil || !sched.State.Final() {
		return "being changed by somebody else"
	}
	return scheduleStates[sched.State]
}

func (s *server) cancelLogic(c *call) (answer, error) {
	sched, err := s.logic(c)
	if err != nil {
		return answer{}, err
	}
	if sched, err = s.endLogic(c, sched); err != nil {
		return answer{}, err
	}
	return created(recurring(sched)), nil
}

// endLogic cancels a recurring logic and what is left of its tasks.
func (s *server) endLogic(c *call, sched job.Schedule) (job.Schedule, error) {
	sched, err := s.Dispatch.CancelSchedule(c.ctx(), c.who, sched.ID)
	if err != nil {
		return sched, err
	}
	runs, err := s.Dispatch.ScheduleRuns(c.ctx(), c.who, sched.ID)
	if err != nil {
		return sched, err
	}
	for _, run := range runs {
		if !run.Status.Terminal() {
			if _, err := s.Dispatch.Cancel(c.ctx(), c.who, run.ID); err != nil && job.CodeOf(err) != job.NotFound {
				return sched, err
			}
		}
	}
	return sched, nil
}

// destroyLogics is POST bulk_destroy: it forgets those that a search finds. As
// this ends schedules, a search has to be given and is read strictly.
func (s *server) destroyLogics(c *call) (answer, error) {
	query, err := c.param("search").text()
	if err != nil {
		return answer{}, err
	}
	q, err := search.Compile(query, recurringFields, search.Strict, s.searchEnv(c))
	if err != nil {
		return answer{}, err
	}
	all, err := s.logics(c)
	if err != nil {
		return answer{}, err
	}
	n := 0
	for _, sched := range all {
		if !q.Match(sched) {
			continue
		}
		if _, err := s.endLogic(c, sched); err != nil {
			return answer{}, err
		}
		if err := s.Dispatch.DeleteSchedule(c.ctx(), c.who, sched.ID); err != nil {
			return answer{}, err
		}
		n++
	}
	return ok(fields{"result": "success", "deleted": n}), nil
}
