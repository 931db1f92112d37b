package foreman

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"drover/internal/job"
)

// route is one row of the family's table. The same row is a row of the mux and
// a method in the description of the API.
type route struct {
	method string
	// paths are patterns, each with variables as ":id"; the first is the usual
	// one. /api stands for /api/v1 and /api/v2 too.
	paths []string
	// resource and action name the method in the description; routes with the
	// same pair are one method with several paths. "" keeps a route out of it.
	resource, action string
	short            string // the description's line about it
	public           bool   // without credentials
	needs            job.Action
	permission       string // what a caller lacks who may not
	params           []param
	handle           func(s *server, c *call) (answer, error)
}

// routes is the table.
func routes() []route {
	return slices.Concat(
		coreRoutes(), apidocRoutes(),
		invocationRoutes(), taskRoutes(), recurringRoutes(),
		templateRoutes(), inputRoutes(), inputSetRoutes(), featureRoutes(),
		bookmarkRoutes(), hostRoutes(), taxonomyRoutes(), reportRoutes(),
	)
}

// router finds the route of a request.
type router []entry

// entry is one path of a route.
type entry struct {
	route    *route
	segments []string
	vars     int
}

func newRouter(all []route) router {
	var rr router
	for i := range all {
		for _, p := range all[i].paths {
			e := entry{route: &all[i], segments: strings.Split(strings.TrimPrefix(p, "/"), "/")}
			for _, s := range e.segments {
				if strings.HasPrefix(s, ":") {
					e.vars++
				}
			}
			rr = append(rr, e)
		}
	}
	// A path without variables wins over one with.
	slices.SortStableFunc(rr, func(a, b entry) int { return a.vars - b.vars })
	return rr
}

// find returns the route of a request and the variables of its path; nil when
// there is none.
func (rr router) find(method string, segments []string) (*route, map[string]string) {
	for _, e := range rr {
		if e.route.method != method {
			continue
		}
		if vars, ok := e.match(segments); ok {
			return e.route, vars
		}
	}
	return nil, nil
}

// methods returns what a path can be asked for, as in an Allow header.
func (rr router) methods(segments []string) string {
	var all []string
	for _, e := range rr {
		if _, ok := e.match(segments); ok && !slices.Contains(all, e.route.method) {
			all = append(all, e.route.method)
		}
	}
	if slices.Contains(all, http.MethodGet) {
		all = append(all, http.MethodHead)
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return strings.Join(append(all, http.MethodOptions), ", ")
}

// numberJSON is a number with the suffix that may follow a path. Names keep
// what looks like one: hosts have dots in theirs.
var numberJSON = regexp.MustCompile(`^\d+\.json$`)

const formatSuffix = ".json"

func (e entry) match(segments []string) (map[string]string, bool) {
	if len(segments) != len(e.segments) {
		return nil, false
	}
	vars := map[string]string{}
	for i, want := range e.segments {
		got, last := segments[i], i == len(segments)-1
		if name, ok := strings.CutPrefix(want, ":"); ok {
			if last && numberJSON.MatchString(got) {
				got = strings.TrimSuffix(got, formatSuffix)
			}
			if got == "" {
				return nil, false
			}
			vars[name] = got
			continue
		}
		if got != want && (!last || got != want+formatSuffix) {
			return nil, false
		}
	}
	return vars, true
}

// splitPath returns the unescaped segments of a path without the version of
// the API, and without a slash at the end.
func splitPath(u *url.URL) ([]string, bool) {
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(u.EscapedPath(), "/"), "/"), "/")
	for i, p := range parts {
		s, err := url.PathUnescape(p)
		if err != nil {
			return nil, false
		}
		parts[i] = s
	}
	for i, p := range parts[:min(2, len(parts))] {
		if p == "api" && len(parts) > i+1 && (parts[i+1] == "v1" || parts[i+1] == "v2") {
			return slices.Delete(parts, i+1, i+2), true
		}
	}
	return parts, true
}
