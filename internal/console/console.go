// Package console is the service's own HTTP API under /drover/v1/, which the
// command line speaks, and /healthz. It is described in OpenAPI by the document
// that it serves at /drover/v1/openapi.json.
//
// Requests and answers are JSON. Calls authenticate with Basic and act in the
// caller's tenant, or in the one that the query's tenant or the header
// Drover-Tenant names, where the caller may. Unknown fields, unknown query
// parameters and wrong types are refused with the name of what is wrong, and
// nothing is stored then.
package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/auth"
	"drover/internal/dispatch"
	"drover/internal/job"
)

// Config is what the API needs. Dispatch, Auth and Log are required.
type Config struct {
	Dispatch *dispatch.Dispatcher
	Auth     *auth.Authenticator
	Log      *slog.Logger
	Clock    func() time.Time // nil: time.Now
	Version  string           // of the program

	// TrustProxy takes the caller's address from X-Forwarded-For.
	TrustProxy bool

	// MaxAnswer is how many bytes an answer may have; 0: api.MaxAnswer.
	MaxAnswer int

	// Backup writes a backup of the whole installation. Nil where there is
	// none: the call is Unsupported then.
	Backup func(ctx context.Context, w io.Writer) error
}

// prefix is where the API lies.
const prefix = "/drover/v1/"

// TenantHeader names the tenant that a call acts in.
const TenantHeader = "Drover-Tenant"

// server answers calls.
type server struct {
	Config
}

// call is one authenticated request.
type call struct {
	*http.Request
	w    http.ResponseWriter
	p    job.Principal
	room int // bytes of the answer at most
}

// answer is what a handler returns.
type answer struct {
	status   int // 0: 200
	location string
	body     any
}

// errAnswered says that the handler has written the answer itself.
var errAnswered = job.Errorf(job.Internal, "answered already")

// route is one operation of the API.
type route struct {
	method string
	path   string   // a pattern of http.ServeMux
	query  []string // parameters, besides tenant
	handle func(*server, call) (answer, error)
}

// routes is the whole API; the OpenAPI document has the same.
func routes() []route {
	page := []string{"limit", "after"}
	get, post, del := http.MethodGet, http.MethodPost, http.MethodDelete
	return []route{
		{get, prefix + "me", nil, (*server).me},

		{post, prefix + "import", []string{"check"}, (*server).importFleet},
		{post, prefix + "import/references", nil, (*server).references},

		{get, prefix + "runs", append([]string{"service", "status"}, page...), (*server).runs},
		{post, prefix + "runs", nil, (*server).submit},
		{get, prefix + "runs/{id}", nil, (*server).run},
		{get, prefix + "runs/{id}/results", []string{"from", "limit"}, (*server).results},
		{post, prefix + "runs/{id}/cancel", nil, (*server).cancel},
		{post, prefix + "runs/{id}/rerun", nil, (*server).rerun},

		{get, prefix + "schedules", page, (*server).schedules},
		{get, prefix + "schedules/{id}", nil, (*server).schedule},
		{post, prefix + "schedules/{id}/pause", nil, pauseSchedule},
		{post, prefix + "schedules/{id}/resume", nil, resumeSchedule},
		{post, prefix + "schedules/{id}/cancel", nil, cancelSchedule},
		{del, prefix + "schedules/{id}", nil, (*server).deleteSchedule},

		{post, prefix + "preview", []string{"limit"}, (*server).preview},

		{get, prefix + "devices", page, (*server).devices},
		{get, prefix + "devices/{name}", nil, (*server).device},
		{del, prefix + "devices/{name}", nil, (*server).deleteDevice},
		{get, prefix + "pools", page, (*server).pools},
		{get, prefix + "pools/{name}", nil, (*server).pool},
		{del, prefix + "pools/{name}", nil, (*server).deletePool},
		{get, prefix + "credentials", page, (*server).credentials},
		{get, prefix + "credentials/{name}", nil, (*server).credential},
		{del, prefix + "credentials/{name}", nil, (*server).deleteCredential},
		{get, prefix + "services", page, (*server).services},
		{get, prefix + "services/{name}", nil, (*server).service},
		{del, prefix + "services/{name}", nil, (*server).deleteService},
		{get, prefix + "users", page, (*server).users},
		{get, prefix + "users/{name}", nil, (*server).user},
		{del, prefix + "users/{name}", nil, (*server).deleteUser},

		{get, prefix + "tokens", nil, (*server).tokens},
		{post, prefix + "tokens", nil, (*server).addToken},
		{del, prefix + "tokens/{name}", nil, (*server).deleteToken},

		{get, prefix + "hostkeys", page, (*server).hostKeys},
		{post, prefix + "hostkeys", nil, (*server).importHostKeys},
		{post, prefix + "hostkeys/{device}/accept", nil, (*server).acceptHostKey},
		{del, prefix + "hostkeys/{device}", nil, (*server).forgetHostKey},

		{get, prefix + "audit", page, (*server).audit},
		{get, prefix + "backup", nil, (*server).backup},
		{post, prefix + "keys/rotate", nil, (*server).rotateKeys},
	}
}

// New returns the handler of /healthz and of everything under /drover/v1/.
func New(c Config) http.Handler {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.MaxAnswer == 0 {
		c.MaxAnswer = api.MaxAnswer
	}
	s := &server{c}
	paths := map[string]map[string]http.HandlerFunc{
		"/healthz":              {http.MethodGet: s.health},
		prefix + "openapi.json": {http.MethodGet: s.document},
	}
	for _, r := range routes() {
		if paths[r.path] == nil {
			paths[r.path] = map[string]http.HandlerFunc{}
		}
		paths[r.path][r.method] = s.handler(r)
	}
	mux := http.NewServeMux()
	for path, methods := range paths {
		mux.HandleFunc(path, byMethod(methods))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, job.Errorf(job.NotFound, "there is no such path"))
	})
	return api.Edge{
		Family: api.FamilyConsole, Log: c.Log, Clock: c.Clock, TrustForwarded: c.TrustProxy,
		Failed: func(w http.ResponseWriter) { writeError(w, job.Errorf(job.Internal, "")) },
	}.Wrap(mux)
}

func byMethod(methods map[string]http.HandlerFunc) http.HandlerFunc {
	var allow []string
	for m := range methods {
		allow = append(allow, m)
		if m == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	slices.Sort(allow)
	return func(w http.ResponseWriter, r *http.Request) {
		m := r.Method
		if m == http.MethodHead {
			m = http.MethodGet
		}
		if h, ok := methods[m]; ok {
			h(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		writeJSON(w, http.StatusMethodNotAllowed, errorBody{Error: wireError{
			Code: "method_not_allowed", Message: "this path does not take " + clip(r.Method)}})
	}
}

// handler authenticates, settles the tenant, checks the query, and writes what
// the route's function returns.
func (s *server) handler(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := s.admit(w, r, rt)
		var a answer
		if err == nil {
			a, err = rt.handle(s, c)
		}
		switch {
		case err == errAnswered:
		case err != nil:
			s.fail(w, r, err, a.body)
		default:
			if a.location != "" {
				w.Header().Set("Location", a.location)
			}
			writeJSON(w, max(a.status, http.StatusOK), a.body)
		}
	}
}

func (s *server) admit(w http.ResponseWriter, r *http.Request, rt route) (call, error) {
	c := call{Request: r, w: w, room: s.MaxAnswer}
	p, err := s.Auth.Basic(r.Context(), r, api.Address(r.Context()))
	if err != nil {
		return c, err
	}
	api.SetPrincipal(r.Context(), p)
	query := r.URL.Query()
	for name, values := range query {
		if name != "tenant" && !slices.Contains(rt.query, name) {
			return c, job.FieldErrorf(clip(name), "there is no such query parameter")
		}
		if len(values) > 1 {
			return c, job.FieldErrorf(name, "given more than once")
		}
	}
	tenant, header := query.Get("tenant"), r.Header.Get(TenantHeader)
	if tenant != "" && header != "" && tenant != header {
		return c, job.FieldErrorf("tenant", "differs from the header %s", TenantHeader)
	}
	if tenant == "" {
		tenant = header
	}
	c.p, err = dispatch.In(p, tenant)
	return c, err
}

// fail answers with an error. What is not the caller's fault goes to the log.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error, more any) {
	if statusOf(job.CodeOf(err)) >= http.StatusInternalServerError {
		s.Log.ErrorContext(r.Context(), "call failed", "request_id", api.RequestID(r.Context()), "path", clip(r.URL.Path), "err", err)
	}
	if job.CodeOf(err) == job.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Basic realm="drover", charset="UTF-8"`)
	}
	writeErrorWith(w, err, more)
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// me says who the caller is, in which tenant the call acts, and what answers.
func (s *server) me(c call) (answer, error) {
	return answer{body: wireMe{Name: c.p.Name, Tenant: c.p.Tenant, Role: c.p.Role, Version: s.Version}}, nil
}

type wireMe struct {
	Name    string   `json:"name"`
	Tenant  string   `json:"tenant"`
	Role    job.Role `json:"role"`
	Version string   `json:"version"`
}

// clip bounds what a caller's text can add to an answer or the log.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
