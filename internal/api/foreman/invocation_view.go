package foreman

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"drover/internal/api"
	"drover/internal/job"
)

// nullable is a text, or null for the empty one.
func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// optional is a value, or null for none.
func optional[T any](v *T) any {
	if v == nil {
		return nil
	}
	return *v
}

// nonzero is a number, or null for 0.
func nonzero(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// taskRef is how a job refers to its task.
func taskRef(run job.Run) fields {
	return fields{"id": taskID(run.Tenant, run.Number, runTask), "state": phaseOf(run).state}
}

// countsNow returns the results of a run as they are. Nothing is read for runs
// that have none, or that are over.
func (s *server) countsNow(c *call, run job.Run) (job.Run, job.Counts, error) {
	if run.Status != job.Running {
		return run, run.Counts, nil
	}
	return s.Dispatch.Progress(c.ctx(), c.who, run.ID)
}

// startAt is when a job was to start.
func startAt(run job.Run) any {
	if run.Planned != nil {
		return stamp(*run.Planned)
	}
	return stamp(run.Created)
}

// base is a job as a row of the index shows it.
func base(run job.Run, counts job.Counts, missing int) fields {
	x, p, n := extraOf(run), phaseOf(run), countersOf(run, counts)
	return fields{
		"id": run.Number, "description": run.Description, "job_category": x.Category, "targeting_id": run.Number,
		"status": p.code, "status_label": p.label, "start_at": startAt(run),
		"ssh_user": optional(x.SSHUser), "time_to_pickup": optional(x.TimeToPickup),
		"concurrency_level": optional(x.Concurrency), "execution_timeout_interval": optional(x.Timeout),
		"template_id": nonzero(run.TemplateID), "template_name": nullable(run.ServiceName), "effective_user": nullable(x.EffectiveUser),
		"dynflow_task": taskRef(run),
		"succeeded":    n.succeeded, "failed": n.failed, "pending": n.pending, "cancelled": n.cancelled,
		"total": n.total, "missing": missing, "total_hosts": n.totalHosts,
	}
}

// allTargets returns the hosts of a run in their order, deleted ones included.
func (s *server) allTargets(c *call, run job.Run) ([]job.Target, error) {
	if run.Unresolved {
		return nil, nil
	}
	all := make([]job.Target, 0, run.Total)
	for len(all) < run.Total {
		some, err := s.Dispatch.Targets(c.ctx(), c.who, run, len(all), run.Total-len(all))
		if err != nil {
			return nil, err
		}
		if len(some) == 0 {
			break
		}
		all = append(all, some...)
	}
	return all, nil
}

func targetIDs(ts []job.Target) []int64 {
	ids := make([]int64, len(ts))
	for i, t := range ts {
		ids[i] = t.ID
	}
	return ids
}

// host is a host of a job that exists.
type host struct {
	job.Target
	place int // among the targets of the run
}

// hosts returns the hosts of a run that exist, in their order.
func (s *server) hosts(c *call, run job.Run) ([]host, error) {
	targets, err := s.allTargets(c, run)
	if err != nil {
		return nil, err
	}
	names, err := s.Dispatch.DeviceNames(c.ctx(), c.who, targetIDs(targets))
	if err != nil {
		return nil, err
	}
	out := make([]host, 0, len(targets))
	for i, t := range targets {
		if name, there := names[t.ID]; there {
			out = append(out, host{job.Target{ID: t.ID, Name: name}, i})
		}
	}
	return out, nil
}

// wanted says how much of a job is to be shown.
type wanted struct {
	hosts     bool // its hosts
	hostState bool // and what became of each
	inputs    bool // and the values of inputs
	fresh     bool // it was made just now: every host is there
}

// detail is a job as show and create answer with it.
func (s *server) detail(c *call, run job.Run, w wanted) (answer, error) {
	run, counts, err := s.countsNow(c, run)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: 200, texts: &api.Texts{}}
	x := extraOf(run)
	var there []host
	missing := 0
	if w.fresh {
		if w.hosts {
			targets, err := s.allTargets(c, run)
			if err != nil {
				return a, err
			}
			for i, t := range targets {
				there = append(there, host{t, i})
			}
		}
	} else {
		if there, err = s.hosts(c, run); err != nil {
			return a, err
		}
		if !run.Unresolved {
			missing = run.Total - len(there)
		}
	}
	out := base(run, counts, missing)
	var j job.Job
	if w.inputs || x.Query == nil {
		if j, err = s.Dispatch.Job(c.ctx(), c.who, run); err != nil {
			return a, err
		}
	}
	target := fields{"bookmark_id": nonzero(x.Bookmark), "bookmark_name": nullable(x.BookmarkName), "targeting_type": x.Targeting,
		"user_id": nonzero(x.User), "randomized_ordering": optional(x.Randomized)}
	query, err := s.queryOf(c, run, x, j)
	if err != nil {
		return a, err
	}
	if target["search_query"] = query; query != nil {
		target["search_query"] = a.texts.Add(query.(string))
	}
	out["targeting"], out["task"] = target, taskRef(run)
	if err := s.addMode(c, run, x, out); err != nil {
		return a, err
	}
	if w.hosts {
		if target["hosts"], err = s.hostRows(c, run, there, w.hostState); err != nil {
			return a, err
		}
	}
	if w.inputs {
		s.addInputs(&a, run, j, there, out, w.hosts)
		out["job_location"], out["job_organization"] = taxonomyRef(theLocation, x.Location), taxonomyRef(theOrganization, x.Organization)
	}
	a.body = out
	return a, nil
}

// taxonomyRef is the location or organization in which a job was made.
func taxonomyRef(t taxonomy, id int64) any {
	if id != t.id {
		return nil
	}
	return fields{"id": t.id, "name": t.name}
}

// addMode adds what a job that did not run at once has.
func (s *server) addMode(c *call, run job.Run, x runExtra, out fields) error {
	switch x.Mode {
	case modeFuture:
		out["mode"] = modeFuture
		out["scheduling"] = fields{"start_at": stampOf(run.Planned), "start_before": stampOf(x.StartBefore)}
	case modeRecurring:
		out["mode"], out["recurrence"] = modeRecurring, nil
		sched, err := s.Dispatch.Schedule(c.ctx(), c.who, run.ScheduleID)
		if job.CodeOf(err) == job.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		out["recurrence"] = recurring(sched)
	}
	return nil
}

// listed is how many hosts an answer has room for: half of it is theirs. Of more
// the first are shown; how many there are is always told.
func (s *server) listed(hosts []host) int {
	const around = 96 // what a host takes besides its name, which is there twice
	room := s.MaxAnswer / 2
	for i, h := range hosts {
		if room -= around + 2*len(h.Name); room < 0 {
			return i
		}
	}
	return len(hosts)
}

// hostRows are the hosts of a job as its targeting shows them.
func (s *server) hostRows(c *call, run job.Run, hosts []host, state bool) ([]fields, error) {
	hosts = hosts[:s.listed(hosts)]
	rows := make([]fields, len(hosts))
	for i, h := range hosts {
		rows[i] = fields{"name": h.Name, "id": h.ID, "display_name": h.Name}
	}
	if !state || len(hosts) == 0 {
		return rows, nil
	}
	states, err := s.states(c, run, hosts)
	if err != nil {
		return nil, err
	}
	for i, h := range hosts {
		rows[i]["job_status"] = states[h.place].word
	}
	return rows, nil
}

// hostState is what became of a host.
type hostState struct {
	word   string // job_status
	result job.Result
}

// states returns what became of the hosts of a run, by place. Outputs are left
// out.
func (s *server) states(c *call, run job.Run, hosts []host) (map[int]hostState, error) {
	out := make(map[int]hostState, len(hosts))
	if len(hosts) == 0 {
		return out, nil
	}
	first, last := hosts[0].place, hosts[0].place
	for _, h := range hosts {
		first, last = min(first, h.place), max(last, h.place)
	}
	for from := first; from >= 0 && from <= last; {
		page, err := s.Dispatch.Outcomes(c.ctx(), c.who, run, from, last+1-from)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Results {
			out[r.Index] = hostState{jobStatus(run, r.Status), r}
		}
		from = page.Next
	}
	for _, h := range hosts {
		if _, ok := out[h.place]; !ok {
			out[h.place] = hostState{jobStatus(run, job.ResultPending), job.Result{Index: h.place, DeviceID: h.ID, Device: h.Name, Status: job.ResultPending}}
		}
	}
	return out, nil
}

// addInputs adds the values of inputs: those of the job, and once more for each
// host whose part of the job has been planned.
func (s *server) addInputs(a *answer, run job.Run, j job.Job, hosts []host, out fields, perHost bool) {
	pattern := fields{"template_id": nonzero(run.TemplateID), "template_name": nullable(run.ServiceName), "host_id": nil,
		"template_invocation_input_values": inputValues(a.texts, j)}
	out["pattern_template_invocations"] = []fields{pattern}
	if !perHost {
		return
	}
	rows := []fields{}
	if hasHostTasks(run) && len(hosts) > 0 && len(hosts) <= s.MaxAnswer/4/valuesSize(pattern) {
		for _, h := range hosts {
			rows = append(rows, fields{"template_id": pattern["template_id"], "template_name": pattern["template_name"], "host_id": h.ID,
				"template_invocation_input_values": inputValues(a.texts, j)})
		}
		a.texts.Cut(2 * s.MaxAnswer)
	}
	out["template_invocations"] = rows
}

// valuesSize is about what the part of a job that one host has takes at least.
// Where there is no room for all of them none is shown: their values are
// those of the pattern.
func valuesSize(pattern fields) int {
	size := 160 + len(fmt.Sprint(pattern["template_name"]))
	for _, v := range pattern["template_invocation_input_values"].([]fields) {
		size += 96 + len(v["template_input_name"].(string))
		if text, ok := v["value"].(string); ok {
			size += len(text)
		}
	}
	return size
}

// inputValues are the values of a job's inputs, hidden ones masked.
func inputValues(texts *api.Texts, j job.Job) []fields {
	values := payloadOf(j)
	rows := []fields{}
	for _, in := range j.Inputs {
		row := fields{"template_input_name": in.Name, "template_input_id": in.ID}
		if in.Hidden {
			if _, ok := j.Hidden[in.Name]; !ok {
				continue
			}
			row["value"] = hiddenInAnswer
		} else {
			v, ok := values[in.Name]
			if !ok {
				continue
			}
			row["value"] = any(v)
			if len(v) > longValue {
				row["value"] = texts.Add(v)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// longValue is how long a value is that may be cut.
const longValue = 256

// payloadOf are the values of a job's inputs that are not hidden.
func payloadOf(j job.Job) map[string]string {
	values := map[string]string{}
	_ = json.Unmarshal(j.Payload, &values) // what is no text has no place here
	return values
}

// queryOf returns the text of a job's query, nil for none yet.
func (s *server) queryOf(c *call, run job.Run, x runExtra, j job.Job) (any, error) {
	switch {
	case x.Query != nil:
		return *x.Query, nil
	case x.ByHosts != "" && j.Select.Query == "":
		return s.hostsQueryOf(c, run, x, j)
	case x.Bookmark == 0 || x.Targeting == staticQuery || j.Select.SavedQueryID == 0:
		return j.Select.Query, nil
	case run.Unresolved:
		return nil, nil
	}
	b, err := s.Dispatch.SavedQuery(c.ctx(), c.who, x.Bookmark)
	if job.CodeOf(err) == job.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return b.Query, nil
}

// hostsQueryOf writes down the query of a job that was given its hosts one by
// one, and so many that the query was not kept.
func (s *server) hostsQueryOf(c *call, run job.Run, x runExtra, j job.Job) (any, error) {
	var names []string
	if run.Unresolved {
		there, err := s.Dispatch.DeviceNames(c.ctx(), c.who, j.Select.DeviceIDs)
		if err != nil {
			return nil, err
		}
		names = slices.Collect(maps.Values(there))
	} else {
		targets, err := s.allTargets(c, run)
		if err != nil {
			return nil, err
		}
		for _, t := range targets {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	if x.ByHosts == byRerun {
		return rerunQuery(names), nil
	}
	return hostsQuery(names), nil
}

// permissions tells what the caller may do with jobs.
func (c *call) permissions() fields {
	run := c.who.Role.Allows(job.ActRun)
	return fields{"view_job_invocations": c.who.Role.Allows(job.ActRead), "create_job_invocations": run, "cancel_job_invocations": run}
}
