package foreman

import (
	"net/http"
	"strconv"

	"drover/internal/job"
	"drover/internal/search"
)

// taxonomy is a location or an organization.
type taxonomy struct {
	id          int64
	kind, title string // "location", "Location"
	name        string
}

// There is one of each: a tenant is what keeps things apart here.
var (
	theOrganization = taxonomy{id: 1, kind: "organization", title: "Organization", name: "Default Organization"}
	theLocation     = taxonomy{id: 2, kind: "location", title: "Location", name: "Default Location"}
)

func taxonomyRoutes() []route {
	var all []route
	for _, t := range []taxonomy{theLocation, theOrganization} {
		resource := t.kind + "s"
		all = append(all,
			route{method: http.MethodGet, paths: []string{"/api/" + resource}, resource: resource, action: "index",
				short: "List all " + resource, needs: job.ActRead, permission: "view_" + resource, params: pageParams(),
				handle: func(s *server, c *call) (answer, error) {
					return collection(s, c, []taxonomy{t}, taxonomyFields, "title", taxonomy.row)
				}},
			route{method: http.MethodGet, paths: []string{"/api/" + resource + "/:id"}, resource: resource, action: "show",
				short: "Show " + t.kind, needs: job.ActRead, permission: "view_" + resource, params: []param{identifier("id")},
				handle: func(_ *server, c *call) (answer, error) {
					if n, ok := c.leadingNumber("id"); c.path("id") != t.name && (!ok || n != t.id) {
						return answer{}, notFound(t.kind, c.path("id"))
					}
					return ok(t.row()), nil
				}},
		)
	}
	return all
}

// taxonomyFields is what a search can ask of a location or an organization.
var taxonomyFields = search.Schema{
	{Name: "name", Default: true, Get: func(t any, _ string) []string { return []string{t.(taxonomy).name} }},
	{Name: "title", Default: true, Get: func(t any, _ string) []string { return []string{t.(taxonomy).name} }},
	{Name: "id", Type: search.Integer, ID: true, Get: func(t any, _ string) []string { return []string{strconv.FormatInt(t.(taxonomy).id, 10)} }},
}

// row is the whole object.
func (t taxonomy) row() any {
	return fields{"id": t.id, "name": t.name, "title": t.name, "description": nil, "ancestry": nil,
		"parent_id": nil, "parent_name": nil, "created_at": nil, "updated_at": nil}
}

// short is how other objects refer to it.
func (t taxonomy) short() fields {
	return fields{"id": t.id, "name": t.name, "title": t.name, "description": nil}
}

// shortOf are the references to it in a list of ids; nil is a list with it.
func (t taxonomy) shortOf(ids []int64) []any {
	if ids == nil {
		ids = []int64{t.id}
	}
	return shown(ids, func(int64) any { return t.short() })
}
