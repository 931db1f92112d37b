package foreman

import (
	"net/http"
	"strings"

	"drover/internal/job"
)

// coreRoutes are those about the service itself.
func coreRoutes() []route {
	return []route{
		{method: http.MethodGet, paths: []string{"/api/status"}, resource: "home", action: "status",
			short: "Show status", needs: job.ActRead, handle: (*server).status},
		{method: http.MethodGet, paths: []string{"/api"}, resource: "home", action: "index",
			short: "Show available API links", needs: job.ActRead, handle: (*server).links},
		{method: http.MethodGet, paths: []string{"/api/ping"}, resource: "ping", action: "ping",
			short: "Shows status of Foreman system and its subcomponents", public: true, handle: (*server).ping},
		{method: http.MethodGet, paths: []string{"/api/statuses"}, resource: "ping", action: "statuses",
			short: "Shows status and version information of Foreman system and its subcomponents", needs: job.ActRead, handle: (*server).statuses},
	}
}

func (s *server) status(*call) (answer, error) {
	return ok(fields{"result": "ok", "status": http.StatusOK, "version": version, "api_version": 2}), nil
}

// databaseUp is what is told of the store: whoever gets an answer was let in by
// what the store holds.
var databaseUp = fields{"active": true, "duration_ms": "0"}

func (s *server) ping(*call) (answer, error) {
	return ok(fields{"results": fields{"foreman": fields{"database": databaseUp}}}), nil
}

func (s *server) statuses(*call) (answer, error) {
	return ok(fields{"results": fields{"foreman": fields{
		"version": version, "api": fields{"version": "v2"},
		"plugins":       []fields{{"name": "foreman_remote_execution", "version": pluginVersion}},
		"smart_proxies": []any{}, "compute_resources": []any{}, "database": databaseUp,
	}}}), nil
}

// links answers where the collections are.
func (s *server) links(*call) (answer, error) {
	links := map[string]map[string]string{}
	for _, r := range routes() {
		if r.resource == "" || strings.Contains(r.paths[0], ":") {
			continue
		}
		if links[r.resource] == nil {
			links[r.resource] = map[string]string{}
		}
		links[r.resource][r.short] = r.paths[0]
	}
	return ok(fields{"links": links}), nil
}
