// Package enms speaks eNMS's REST API: run a service on devices, read its
// result, and keep the inventory, for scripts that were written against eNMS.
//
// The package holds what is eNMS's and nothing else: its words, its order of
// checks, its bodies of errors. What docs/enms.md lists as a deviation is one on
// purpose. Every vendor word meets one of ours in exactly one table: properties
// in device.go, pool.go, service.go, credential.go and user.go; statuses and
// reasons in words.go; codes of errors in errors.go.
package enms

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/auth"
	"drover/internal/dispatch"
	"drover/internal/job"
)

// Config is what the family needs. Dispatch, Auth, Clock and Log are required.
type Config struct {
	Dispatch *dispatch.Dispatcher
	Auth     *auth.Authenticator
	Clock    func() time.Time
	Log      *slog.Logger

	// AsyncDefault is what an absent "async" means. Documented: false.
	AsyncDefault bool
	// Trigger is what answers call a run that was asked for over REST;
	// "" is DefaultTrigger. Newer versions of eNMS say "REST API".
	Trigger string
	// SyncTimeout is how long a synchronous call waits before it answers
	// 504 with the runtime, while the run goes on. 0: as long as the caller.
	SyncTimeout time.Duration
	// MaxAnswer is how many bytes an answer may have; 0: api.MaxAnswer. A
	// gateway that wraps answers in an envelope of its own takes fewer.
	MaxAnswer int
	// Node is the number in is_alive; 0: made from the host's network address.
	Node int64
	// TrustProxy takes callers' addresses from X-Forwarded-For.
	TrustProxy bool
}

// DefaultTrigger is the documented word for a run over REST.
const DefaultTrigger = "REST"

type server struct {
	Config
	endpoints map[string]endpoint // by method and name
	models    map[string]collection
	services  *model[serviceView, serviceIn]
}

// New returns the handler of everything under /rest.
func New(c Config) http.Handler {
	if c.Trigger == "" {
		c.Trigger = DefaultTrigger
	}
	if c.MaxAnswer == 0 {
		c.MaxAnswer = api.MaxAnswer
	}
	if c.Node == 0 {
		c.Node = nodeNumber()
	}
	s := &server{Config: c, endpoints: map[string]endpoint{}, services: serviceModel(c.Dispatch)}
	s.models = s.kinds()
	for _, e := range endpoints() {
		s.endpoints[e.method+" "+e.name] = e
	}
	return api.Edge{
		Family: api.FamilyENMS, Log: c.Log, Clock: c.Clock, TrustForwarded: c.TrustProxy,
		Failed: func(w http.ResponseWriter) { writeAlert(w, http.StatusInternalServerError, "") },
	}.Wrap(http.HandlerFunc(s.serve))
}

// call is a request that has passed the checks that are the same for all.
type call struct {
	who  job.Principal
	args []string // the path's segments after the endpoint's name, unescaped
}

// endpoint is one row of the family's table.
type endpoint struct {
	method string
	name   string
	args   int // segments after the name; -1: any number
	public bool
	needs  job.Action
	handle func(s *server, w http.ResponseWriter, r *http.Request, c call)
}

// endpoints is the table. Those that answer "not available" are here too, so
// that they are told apart from paths that eNMS does not know either.
func endpoints() []endpoint {
	return append([]endpoint{
		{method: http.MethodPost, name: "run_service", needs: job.ActRun, handle: (*server).runService},
		{method: http.MethodGet, name: "result", args: 2, needs: job.ActRead, handle: (*server).result},
		{method: http.MethodGet, name: "is_alive", public: true, handle: (*server).isAlive},
		{method: http.MethodGet, name: "instance", args: 2, needs: job.ActRead, handle: (*server).getInstance},
		{method: http.MethodPost, name: "instance", args: 1, needs: job.ActChange, handle: (*server).postInstance},
		{method: http.MethodDelete, name: "instance", args: 2, needs: job.ActChange, handle: (*server).deleteInstance},
		{method: http.MethodPost, name: "update_all_pools", needs: job.ActChange, handle: (*server).updateAllPools},
		{method: http.MethodPost, name: "stop_run", args: 1, needs: job.ActRun, handle: (*server).stopRun},
		{method: http.MethodGet, name: "run_log", args: 1, needs: job.ActRead, handle: (*server).runLog},
	}, later()...)
}

// later are the endpoints of eNMS that this version refuses by name.
func later() []endpoint {
	var all []endpoint
	add := func(method string, needs job.Action, names ...string) {
		for _, n := range names {
			all = append(all, endpoint{method: method, name: n, args: -1, needs: needs, handle: (*server).notAvailable})
		}
	}
	add(http.MethodGet, job.ActRead, "query", "configuration", "workers")
	add(http.MethodPost, job.ActRead, "search", "get_cluster_status")
	add(http.MethodPost, job.ActRun, "run_task")
	add(http.MethodPost, job.ActChange, "topology", "migrate", "get_git_content",
		"update_database_configurations_from_git", "update_device_rbac")
	return all
}

// serve does eNMS's checks in eNMS's order: the method, the endpoint, who
// calls, whether they may, and only then the rest of the path and the body.
func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodDelete:
	case http.MethodHead:
		method, w = http.MethodGet, headOnly{w}
	case http.MethodOptions:
		w.Header().Set("Allow", allowed)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusOK)
		return
	default:
		writeMethodNotAllowed(w)
		return
	}
	segments, ok := segments(r.URL)
	if !ok {
		writeAlert(w, http.StatusNotFound, "")
		return
	}
	e, ok := s.endpoints[method+" "+segments[0]]
	if !ok {
		writeAlert(w, http.StatusNotFound, "")
		return
	}
	c := call{args: segments[1:]}
	if !e.public {
		var err error
		if c.who, err = s.Auth.Basic(r.Context(), r, api.Address(r.Context())); err != nil {
			s.fail(w, r, err)
			return
		}
		api.SetPrincipal(r.Context(), c.who)
		if !c.who.Role.Allows(e.needs) {
			writeAlert(w, http.StatusForbidden, "")
			return
		}
	}
	if e.args >= 0 && e.args != len(c.args) {
		writeAlert(w, http.StatusNotFound, "")
		return
	}
	e.handle(s, w, r, c)
}

// segments splits a path below /rest into its unescaped segments. A slash at
// the end makes an empty last one.
func segments(u *url.URL) ([]string, bool) {
	rest, ok := strings.CutPrefix(u.EscapedPath(), "/rest/")
	if !ok {
		return nil, false
	}
	parts := strings.Split(rest, "/")
	for i, p := range parts {
		s, err := url.PathUnescape(p)
		if err != nil {
			return nil, false
		}
		parts[i] = s
	}
	return parts, true
}

// headOnly answers a HEAD request like the GET, without the body.
type headOnly struct{ http.ResponseWriter }

func (h headOnly) Write(p []byte) (int, error) { return len(p), nil }

// notAvailable answers for the endpoints of later.
func (s *server) notAvailable(w http.ResponseWriter, r *http.Request, _ call) {
	path, _ := segments(r.URL)
	writeAlert(w, http.StatusBadRequest, "/rest/"+path[0]+" is not available in this version.")
}

// isAlive answers whoever asks, whatever the body.
func (s *server) isAlive(w http.ResponseWriter, r *http.Request, _ call) {
	s.write(w, r, http.StatusOK, map[string]any{"name": s.Node, "cluster_id": true})
}

// updateAllPools has nothing to do: the members of a pool are found when they
// are needed. Callers that ask for it after a change of the inventory get eNMS's answer.
func (s *server) updateAllPools(w http.ResponseWriter, r *http.Request, _ call) {
	s.write(w, r, http.StatusOK, nil)
}
