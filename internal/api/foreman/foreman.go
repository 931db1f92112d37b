// Package foreman speaks the API of Foreman's Remote Execution: job templates,
// job invocations, their output, and what clients need to get there, for programs
// that were written against Foreman.
//
// The package holds what is Foreman's and nothing else: its words, its order of
// checks, its bodies of errors. What docs/foreman.md lists as a deviation is one
// on purpose. One table, routes, makes both the mux and the description of the
// API that clients load (apidoc.go); errors.go is the one place through which
// every error leaves.
package foreman

import (
	"log/slog"
	"net/http"
	"sync"
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

	// EffectiveUser is who a script runs as when neither the job nor its
	// template says: "" is DefaultEffectiveUser, NoEffectiveUser the user that
	// logs in.
	EffectiveUser string
	// TrustProxy takes callers' addresses from X-Forwarded-For.
	TrustProxy bool
	// MaxAnswer is how many bytes an answer may have; 0: api.MaxAnswer.
	MaxAnswer int
}

// The effective users that are no names.
const (
	DefaultEffectiveUser = "root"
	NoEffectiveUser      = "none"
)

// The version of Foreman that is spoken. Clients compare it.
const (
	version       = "3.9.0"
	pluginVersion = "11.1.2"
)

type server struct {
	Config
	router router
	// description is that of the API, with its checksum. It is made by the first
	// request that needs it, so that the process is ready sooner.
	description func() (document []byte, checksum string)
}

// New returns the handler of everything under /api, /apidoc, /foreman_tasks and
// /ansible.
func New(c Config) http.Handler {
	if c.MaxAnswer == 0 {
		c.MaxAnswer = api.MaxAnswer
	}
	if c.EffectiveUser == "" {
		c.EffectiveUser = DefaultEffectiveUser
	}
	all := routes()
	s := &server{Config: c, router: newRouter(all),
		description: sync.OnceValues(func() ([]byte, string) { return document(all) })}
	return api.Edge{
		Family: api.FamilyForeman, Log: c.Log, Clock: c.Clock, TrustForwarded: c.TrustProxy,
		Failed: func(w http.ResponseWriter) { writeJSON(w, http.StatusInternalServerError, defectBody()) },
	}.Wrap(http.HandlerFunc(s.serve))
}

// serve does the checks in upstream's order: who calls, whether they may, the
// taxonomy, the media type, and only then what is asked for.
func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.setHeaders(w.Header())
	method := r.Method
	if method == http.MethodHead {
		method, w = http.MethodGet, headOnly{w}
	}
	segments, ok := splitPath(r.URL)
	if !ok {
		s.fail(w, r, errNoRoute())
		return
	}
	if method == http.MethodOptions {
		s.options(w, r, segments)
		return
	}
	rt, vars := s.router.find(method, segments)
	c := &call{r: r, route: rt, vars: vars}
	a, err := s.answer(c)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.write(w, r, a)
}

// answer does the checks of serve for one call and handles it. A path of no
// route is refused after the caller's credentials, as a missing resource is.
func (s *server) answer(c *call) (answer, error) {
	var err error
	if c.route == nil || !c.route.public {
		if c.who, err = s.Auth.Basic(c.r.Context(), c.r, api.Address(c.r.Context())); err != nil {
			return answer{}, err
		}
		api.SetPrincipal(c.r.Context(), c.who)
	}
	if c.route == nil {
		return answer{}, errNoRoute()
	}
	if !c.route.public && !c.who.Role.Allows(c.route.needs) {
		return answer{}, errForbidden(c.route.permission)
	}
	if err := c.read(); err != nil {
		return answer{}, err
	}
	a, err := c.route.handle(s, c)
	if job.CodeOf(err) == job.Forbidden { // this one, although others of its kind
		err = errForbidden(c.route.permission)
	}
	return a, err
}

// options answers which methods a path has.
func (s *server) options(w http.ResponseWriter, r *http.Request, segments []string) {
	allowed := s.router.methods(segments)
	if allowed == "" {
		s.fail(w, r, errNoRoute())
		return
	}
	w.Header().Set("Allow", allowed)
	w.WriteHeader(http.StatusNoContent)
}

// setHeaders sets what every answer carries.
func (s *server) setHeaders(h http.Header) {
	_, checksum := s.description()
	h.Set("Apipie-Checksum", checksum)
	h.Set("Foreman_version", version)
	h.Set("Foreman_api_version", "2")
	h.Set("Foreman_current_organization", "; ANY")
	h.Set("Foreman_current_location", "; ANY")
	h.Set("Cache-Control", "no-cache")
}

// headOnly answers a HEAD request like the GET, without the body.
type headOnly struct{ http.ResponseWriter }

func (h headOnly) Write(p []byte) (int, error) { return len(p), nil }
