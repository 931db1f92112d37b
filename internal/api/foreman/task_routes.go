package foreman

import (
	"net/http"

	"drover/internal/job"
)

const (
	mayViewTasks = "view_foreman_tasks"
	mayEditTasks = "edit_foreman_tasks"
)

// taskRoutes are the routes of tasks.
func taskRoutes() []route {
	const resource = "foreman_tasks"
	return []route{
		{method: http.MethodGet, paths: []string{"/foreman_tasks/api/tasks/:id"}, resource: resource, action: "show",
			short: "Show task details", needs: job.ActRead, permission: mayViewTasks, params: []param{identifier("id")}, handle: (*server).showTask},
		{method: http.MethodGet, paths: []string{"/foreman_tasks/api/tasks", "/foreman_tasks/api/tasks/:parent_task_id/sub_tasks"},
			resource: resource, action: "index", short: "List tasks", needs: job.ActRead, permission: mayViewTasks,
			params: withPage(str("parent_task_id", "UUID of the task whose hosts' tasks are wanted")), handle: (*server).tasks},
		{method: http.MethodPost, paths: []string{"/foreman_tasks/api/tasks/bulk_cancel"}, resource: resource, action: "bulk_cancel",
			short: "Cancel all cancellable tasks", needs: job.ActRun, permission: mayEditTasks,
			params: []param{str("search", "Cancel tasks that this query finds"), array("task_ids", "Cancel these tasks")}, handle: (*server).cancelTasks},
	}
}
