package foreman

import (
	"net/http"

	"drover/internal/job"
)

// What a caller lacks who may not; see errForbidden.
const (
	mayView         = "view_job_invocations"
	mayCreate       = "create_job_invocations"
	mayCancel       = "cancel_job_invocations"
	mayViewTemplate = "view_template_invocations"
)

// invocationRoutes are the routes of jobs.
func invocationRoutes() []route {
	const resource = "job_invocations"
	id, host := identifier("id"), identifier("host_id")
	since := str("since", "Only output that came after this moment, in seconds since 1970")
	outputs := []param{id, str("search_query", "Only hosts that this query finds"), since, str("raw", "Return the output as one text")}
	return []route{
		{method: http.MethodGet, paths: []string{"/api/job_invocations"}, resource: resource, action: "index",
			short: "List job invocations", needs: job.ActRead, permission: mayView, params: pageParams(), handle: (*server).invocations},
		{method: http.MethodGet, paths: []string{"/api/job_invocations/:id"}, resource: resource, action: "show",
			short: "Show job invocation", needs: job.ActRead, permission: mayView,
			params: []param{id, boolean("host_status", "Show job status for the hosts"), boolean("include_hosts", "Show the hosts that the job runs on")},
			handle: (*server).showInvocation},
		{method: http.MethodPost, paths: []string{"/api/job_invocations"}, resource: resource, action: "create",
			short: "Create a job invocation", needs: job.ActRun, permission: mayCreate, params: createParams(), handle: (*server).createInvocation},
		{method: http.MethodGet, paths: []string{"/api/job_invocations/:id/hosts/:host_id"}, resource: resource, action: "output",
			short: "Get output for a host", needs: job.ActRead, permission: mayView, params: []param{id, host, since}, handle: (*server).hostOutput},
		{method: http.MethodGet, paths: []string{"/api/job_invocations/:id/hosts/:host_id/raw"}, resource: resource, action: "raw_output",
			short: "Get raw output for a host", needs: job.ActRead, permission: mayView, params: []param{id, host}, handle: (*server).rawOutput},
		{method: http.MethodPost, paths: []string{"/api/job_invocations/:id/cancel"}, resource: resource, action: "cancel",
			short: "Cancel job invocation", needs: job.ActRun, permission: mayCancel,
			params: []param{id, boolean("force", "Do not wait for the hosts"), str("search", "Only hosts that this query finds")},
			handle: (*server).cancelInvocation},
		{method: http.MethodPost, paths: []string{"/api/job_invocations/:id/rerun"}, resource: resource, action: "rerun",
			short: "Rerun job on failed hosts", needs: job.ActRun, permission: mayCreate,
			params: []param{id, boolean("failed_only", "Only hosts on which it did not succeed"), boolean("succeeded_only", "Only hosts on which it succeeded"),
				array("host_ids", "Only these hosts").null()},
			handle: (*server).rerunInvocation},
		{method: http.MethodGet, paths: []string{"/api/job_invocations/:id/outputs"}, resource: resource, action: "outputs",
			short: "Get outputs of hosts in a job", needs: job.ActRead, permission: mayView, params: outputs, handle: (*server).outputs},
		{method: http.MethodPost, paths: []string{"/api/job_invocations/:id/outputs"},
			needs: job.ActRead, permission: mayView, handle: (*server).outputs},
		{method: http.MethodGet, paths: []string{"/api/job_invocations/:id/hosts"}, resource: resource, action: "hosts",
			short: "List hosts belonging to job invocation", needs: job.ActRead, permission: mayView,
			params: withPage(id, boolean("awaiting", "Only hosts whose turn has not come")), handle: (*server).invocationHosts},
		{method: http.MethodGet, paths: []string{"/api/job_invocations/:job_invocation_id/template_invocations"},
			resource: "template_invocations", action: "template_invocations", short: "List template invocations belonging to job invocation",
			needs: job.ActRead, permission: mayViewTemplate, params: withPage(identifier("job_invocation_id")), handle: (*server).templateInvocations},
	}
}

// createParams are those of a create, as upstream documents them, and host_ids,
// which its example uses.
func createParams() []param {
	return []param{
		hash("job_invocation", "",
			str("job_template_id", "The job template to use, parameter is required unless feature was specified").null(),
			str("targeting_type", "Invocation type, static_query or dynamic_query").must(),
			boolean("randomized_ordering", "Execute the jobs on hosts in randomized order").null(),
			hash("inputs", "Inputs to use").null(),
			hash("ssh", "SSH provider specific options",
				str("effective_user", "What user should be used to run the script (using sudo-like mechanisms). Defaults to a template parameter or global setting.").null(),
				str("effective_user_password", "Set password for effective user (using sudo-like mechanisms)").null(),
			).null(),
			str("ssh_user", "Set SSH user").null(),
			str("password", "Set SSH password").null(),
			str("key_passphrase", "Set SSH key passphrase").null(),
			hash("recurrence", "Create a recurring job",
				str("cron_line", "How often the job should occur, in the cron format").null(),
				num("max_iteration", "Repeat a maximum of N times").null(),
				str("end_time", "Perform no more executions after this time").null(),
				str("purpose", "Designation of a special purpose").null(),
			).null(),
			hash("scheduling", "Schedule the job to start at a later time",
				str("start_at", "Schedule the job for a future time").null(),
				str("start_before", "Indicates that the action should be cancelled if it cannot be started before this time.").null(),
			).null(),
			hash("concurrency_control", "Control concurrency level and distribution over time",
				num("concurrency_level", "Run at most N tasks at a time").null(),
			).null(),
			num("bookmark_id", "The bookmark whose query finds the hosts").null(),
			str("search_query", "The query that finds the hosts").null(),
			str("description_format", "Override the description format from the template for this invocation only").null(),
			num("execution_timeout_interval", "Override the timeout interval from the template for this invocation only").null(),
			str("stop_after", "Drover: the number of failed hosts, or the percentage of all (10%), after which no more are started").null(),
			str("feature", "Remote execution feature label that should be triggered, job template assigned to this feature will be used").null(),
			num("time_to_pickup", "Override the global time to pickup interval for this invocation only").null(),
			array("host_ids", "The hosts, by id or name").null(),
		).must(),
	}
}
