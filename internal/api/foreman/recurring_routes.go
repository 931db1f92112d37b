package foreman

import (
	"net/http"

	"drover/internal/job"
)

const (
	mayViewLogics = "view_recurring_logics"
	mayEditLogics = "edit_recurring_logics"
)

// recurringRoutes are the routes of recurring logics.
func recurringRoutes() []route {
	const resource = "recurring_logics"
	one := []string{"/foreman_tasks/api/recurring_logics/:id"}
	return []route{
		{method: http.MethodGet, paths: []string{"/foreman_tasks/api/recurring_logics"}, resource: resource, action: "index",
			short: "List recurring logics", needs: job.ActRead, permission: mayViewLogics, params: pageParams(), handle: (*server).recurringLogics},
		{method: http.MethodGet, paths: one, resource: resource, action: "show", short: "Show recurring logic details",
			needs: job.ActRead, permission: mayViewLogics, params: []param{identifier("id")}, handle: (*server).showLogic},
		{method: http.MethodPut, paths: one, resource: resource, action: "update", short: "Update recurring logic",
			needs: job.ActRun, permission: mayEditLogics,
			params: []param{identifier("id"), hash("recurring_logic", "", boolean("enabled", "Whether it makes jobs"))}, handle: (*server).updateLogic},
		{method: http.MethodPost, paths: []string{"/foreman_tasks/api/recurring_logics/:id/cancel"}, resource: resource, action: "cancel",
			short: "Cancel recurring logic", needs: job.ActRun, permission: mayEditLogics, params: []param{identifier("id")}, handle: (*server).cancelLogic},
		{method: http.MethodPost, paths: []string{"/foreman_tasks/api/recurring_logics/bulk_destroy"}, resource: resource, action: "bulk_destroy",
			short: "Delete recurring logics by search query", needs: job.ActRun, permission: mayEditLogics,
			params: []param{str("search", "Which ones").must()}, handle: (*server).destroyLogics},
	}
}
