package foreman

import (
	"slices"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/search"
)

// jobHost is a host of a job while it is searched.
type jobHost struct {
	inventory.Candidate
	view  dispatch.DeviceView
	run   job.Run
	place int
	state hostState
}

// jobHostFields is what the hosts of a job can be searched by: what hosts can,
// and what became of them in the job.
var jobHostFields = func() search.Schema {
	schema := inventory.DeviceFields()
	for i, f := range schema {
		get := f.Get
		schema[i].Get = func(v any, key string) []string { return get(v.(jobHost).Candidate, key) }
	}
	return append(schema,
		search.Field{Name: "job_invocation.id", Type: search.Integer, ID: true, Get: func(v any, _ string) []string {
			return one(decimal(v.(jobHost).run.Number))
		}},
		search.Field{Name: "job_invocation.result", Type: search.Enum, Values: []string{"success", "failed", resultCancelled, resultPending},
			Get: func(v any, _ string) []string {
				result := hostResults[v.(jobHost).state.result.Status]
				if result == resultError {
					result = "failed"
				}
				return one(result)
			}},
	)
}()

// jobHosts are the hosts of a run that exist, in their order.
func (s *server) jobHosts(c *call, run job.Run) ([]jobHost, error) {
	targets, err := s.allTargets(c, run)
	if err != nil || len(targets) == 0 {
		return nil, err
	}
	views, err := s.Dispatch.FindDevices(c.ctx(), c.who, "", false)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]dispatch.DeviceView, len(views))
	for _, v := range views {
		byID[v.ID] = v
	}
	hosts := make([]host, len(targets))
	for i, t := range targets {
		hosts[i] = host{t, i}
	}
	states, err := s.states(c, run, hosts)
	if err != nil {
		return nil, err
	}
	rows := make([]jobHost, 0, len(targets))
	for i, t := range targets {
		if v, there := byID[t.ID]; there {
			rows = append(rows, jobHost{inventory.Candidate{Device: v.Device, Pools: v.Pools}, v, run, i, states[i]})
		}
	}
	return rows, nil
}

// invocationHosts is GET /api/job_invocations/:id/hosts.
func (s *server) invocationHosts(c *call) (answer, error) {
	run, err := s.invocation(c, "id")
	if err != nil {
		return answer{}, err
	}
	p, err := c.paging()
	if err != nil {
		return answer{}, err
	}
	awaiting, err := c.flag("awaiting", false)
	if err != nil {
		return answer{}, err
	}
	all, err := s.jobHosts(c, run)
	if err != nil {
		return answer{}, err
	}
	rows, err := found(s, c, p, all, jobHostFields)
	if err != nil {
		return answer{}, err
	}
	if awaiting {
		rows = slices.DeleteFunc(rows, func(h jobHost) bool { return h.state.word != notKnown })
	}
	if err := sorted(p, rows, jobHostFields, "name"); err != nil {
		return answer{}, err
	}
	permissions := c.query.Has("include_permissions")
	from, to := p.window(len(rows))
	return p.envelope(len(all), len(rows), shown(rows[from:to], func(h jobHost) any {
		row := hostRow(h.view)
		out := fields{"job_status": h.state.word, "smart_proxy_id": nil, "smart_proxy_name": nil}
		for _, key := range []string{"id", "name", "operatingsystem_id", "operatingsystem_name", "hostgroup_id", "hostgroup_name"} {
			out[key] = row[key]
		}
		if permissions {
			out["task"] = nil
			if hasHostTasks(run) {
				out["task"] = fields{"id": taskID(run.Tenant, run.Number, h.place), "cancellable": false}
			}
			out["permissions"] = c.permissions()
		}
		return out
	})), nil
}

// templateInvocation is the part of a job that one host has.
type templateInvocation struct {
	id   int64
	run  job.Run
	host host
}

// templateInvocationID makes an id of a run's number and a host's place: there
// are fewer than 2^17 hosts.
func templateInvocationID(number int64, place int) int64 { return number<<17 | int64(place+1) }

// templateInvocationFields is what they can be searched by.
var templateInvocationFields = search.Schema{
	{Name: "id", Type: search.Integer, ID: true, Get: func(v any, _ string) []string { return one(decimal(v.(templateInvocation).id)) }},
	{Name: "host_id", Type: search.Integer, ID: true, Get: func(v any, _ string) []string { return one(decimal(v.(templateInvocation).host.ID)) }},
	{Name: "host_name", Type: search.Text, Default: true, Get: func(v any, _ string) []string { return one(v.(templateInvocation).host.Name) }},
}

// templateInvocations is GET /api/job_invocations/:id/template_invocations.
func (s *server) templateInvocations(c *call) (answer, error) {
	run, err := s.invocation(c, "job_invocation_id")
	if err != nil {
		return answer{}, err
	}
	var rows []templateInvocation
	if hasHostTasks(run) {
		hosts, err := s.hosts(c, run)
		if err != nil {
			return answer{}, err
		}
		for _, h := range hosts {
			rows = append(rows, templateInvocation{templateInvocationID(run.Number, h.place), run, h})
		}
	}
	user := nullable(extraOf(run).EffectiveUser)
	return collection(s, c, rows, templateInvocationFields, "id", func(t templateInvocation) any {
		return fields{"id": t.id, "template_id": nonzero(run.TemplateID), "job_invocation_id": run.Number, "effective_user": user,
			"host_id": t.host.ID, "host_name": t.host.Name, "run_host_job_task_id": taskID(run.Tenant, run.Number, t.host.place)}
	})
}
