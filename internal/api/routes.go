package api

import (
	"fmt"
	"net/http"
	"path"
	"strings"
)

// The families. A family's name is the name of its function in the cloud too.
const (
	FamilyENMS    = "enms"
	FamilyForeman = "foreman"
	FamilyConsole = "console"
)

// AnyMethod in a Route stands for every method.
const AnyMethod = "*"

// Route says which family answers which requests. Path is a pattern of
// net/http's ServeMux: "{name}" stands for one segment and "{rest...}" at the
// end for all that remain.
type Route struct {
	Family string
	Method string // AnyMethod, or one method in capitals
	Path   string
}

// String returns the route as it is written in a pattern.
func (r Route) String() string {
	if r.Method == AnyMethod {
		return r.Path
	}
	return r.Method + " " + r.Path
}

// Routes returns the one route table of the service. The mux of the one
// process and the routes of the gateway are both made from it. Every family
// also has routes that take what is left under its prefix, because the
// answer to an unknown path is the vendor's own.
func Routes() []Route {
	return []Route{
		{FamilyENMS, http.MethodPost, "/rest/run_service"},
		{FamilyENMS, http.MethodGet, "/rest/result/{service}/{runtime}"},
		{FamilyENMS, http.MethodGet, "/rest/is_alive"},
		{FamilyENMS, http.MethodGet, "/rest/instance/{model}/{name}"},
		{FamilyENMS, http.MethodPost, "/rest/instance/{model}"},
		{FamilyENMS, http.MethodDelete, "/rest/instance/{model}/{name}"},
		{FamilyENMS, http.MethodPost, "/rest/stop_run/{runtime}"},
		{FamilyENMS, http.MethodGet, "/rest/run_log/{runtime}"},
		{FamilyENMS, http.MethodPost, "/rest/update_all_pools"},
		{FamilyENMS, AnyMethod, "/rest"},
		{FamilyENMS, AnyMethod, "/rest/{rest...}"},

		{FamilyForeman, AnyMethod, "/api"},
		{FamilyForeman, AnyMethod, "/api/{rest...}"},
		{FamilyForeman, AnyMethod, "/foreman_tasks/{rest...}"},
		{FamilyForeman, AnyMethod, "/apidoc/{rest...}"},
		{FamilyForeman, AnyMethod, "/ansible/{rest...}"},

		{FamilyConsole, http.MethodGet, "/healthz"},
		{FamilyConsole, AnyMethod, "/drover/v1/{rest...}"},
	}
}

// Mux returns a handler that cleans the path of each request (CleanPath) and
// hands it to the handler of the family that Routes names. Families without a
// handler are left out; paths of no family get 404. It fails when two routes
// of the table overlap without one being more specific, or when a handler is
// given for a family that the table does not know.
func Mux(families map[string]http.Handler) (h http.Handler, err error) {
	defer func() {
		if p := recover(); p != nil {
			h, err = nil, fmt.Errorf("route table: %v", p)
		}
	}()
	mux := http.NewServeMux()
	known := map[string]bool{}
	for _, r := range Routes() {
		known[r.Family] = true
		if f, ok := families[r.Family]; ok {
			mux.Handle(r.String(), f)
		}
	}
	for name := range families {
		if !known[name] {
			return nil, fmt.Errorf("route table: no route for family %q", name)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, CleanPath(r))
	}), nil
}

// CleanPath returns r with "//", "/./" and "/../" taken out of its path, or r
// itself when there is nothing to clean. A slash at the end stays, and escaped
// slashes stay escaped. Cleaning here, rather than redirecting as ServeMux
// does, keeps the body and the method of clients that join their URLs carelessly.
func CleanPath(r *http.Request) *http.Request {
	escaped := r.URL.EscapedPath()
	clean := cleanPath(escaped)
	if clean == escaped {
		return r
	}
	u := *r.URL
	if v, err := u.Parse(clean); err == nil && v.Host == u.Host {
		u.Path, u.RawPath = v.Path, v.RawPath
	}
	c := *r
	c.URL = &u
	return &c
}

func cleanPath(p string) string {
	if p == "" || p[0] != '/' {
		p = "/" + p
	}
	c := path.Clean(p)
	if c != "/" && strings.HasSuffix(p, "/") {
		c += "/"
	}
	return c
}
