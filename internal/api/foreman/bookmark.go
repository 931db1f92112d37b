package foreman

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"drover/internal/job"
	"drover/internal/search"
)

func bookmarkRoutes() []route {
	const path = "/api/bookmarks"
	one := []string{path + "/:id"}
	body := func(create bool) param {
		must := func(p param) param { p.required = create; return p }
		return hash("bookmark", "", must(str("name", "")), must(str("controller", "")), must(str("query", "")), boolean("public", "").null()).must()
	}
	return []route{
		{method: http.MethodGet, paths: []string{path}, resource: "bookmarks", action: "index", short: "List all bookmarks",
			needs: job.ActRead, permission: "view_bookmarks", params: pageParams(), handle: (*server).listBookmarks},
		{method: http.MethodGet, paths: one, resource: "bookmarks", action: "show", short: "Show a bookmark",
			needs: job.ActRead, permission: "view_bookmarks", params: []param{identifier("id")}, handle: (*server).showBookmark},
		{method: http.MethodPost, paths: []string{path}, resource: "bookmarks", action: "create", short: "Create a bookmark",
			needs: job.ActRun, permission: "create_bookmarks", params: []param{body(true)}, handle: (*server).createBookmark},
		{method: http.MethodPut, paths: one, resource: "bookmarks", action: "update", short: "Update a bookmark",
			needs: job.ActRun, permission: "edit_bookmarks", params: []param{identifier("id"), body(false)}, handle: (*server).updateBookmark},
		{method: http.MethodDelete, paths: one, resource: "bookmarks", action: "destroy", short: "Delete a bookmark",
			needs: job.ActRun, permission: "destroy_bookmarks", params: []param{identifier("id")}, handle: (*server).deleteBookmark},
	}
}

// The controllers whose names are not ours.
const controllerHosts = "hosts"

// controllers are names of parts of Foreman's own pages.
var controllers = regexp.MustCompile(`^[a-z][a-z0-9_/]*$`)

// controllerOf is what a saved query searches, as Foreman calls it.
func controllerOf(subject string) string {
	if subject == job.SubjectDevices {
		return controllerHosts
	}
	return subject
}

// subjectOf is controllerOf backwards; "" for what is no controller.
func subjectOf(controller string) string {
	switch {
	case controller == controllerHosts:
		return job.SubjectDevices
	case controller == job.SubjectDevices, !controllers.MatchString(controller):
		return ""
	}
	return controller
}

// bookmarkFields is what a search can ask of a bookmark.
var bookmarkFields = search.Schema{
	{Name: "name", Default: true, Get: func(v any, _ string) []string { return []string{v.(job.SavedQuery).Title} }},
	{Name: "controller", Default: true, Get: func(v any, _ string) []string { return []string{controllerOf(v.(job.SavedQuery).Subject)} }},
	{Name: "id", Type: search.Integer, ID: true, Get: func(v any, _ string) []string { return []string{strconv.FormatInt(v.(job.SavedQuery).ID, 10)} }},
}

func (s *server) listBookmarks(c *call) (answer, error) {
	all, err := s.Dispatch.SavedQueries(c.ctx(), c.who)
	if err != nil {
		return answer{}, err
	}
	owners := s.owners(c)
	return collection(s, c, all, bookmarkFields, "name", func(q job.SavedQuery) any { return bookmarkRow(q, owners) })
}

// bookmark returns the bookmark that a path names: by id, by an id with a name
// behind it, or by name.
func (s *server) bookmark(c *call) (job.SavedQuery, error) {
	if n, ok := c.leadingNumber("id"); ok {
		q, err := s.Dispatch.SavedQuery(c.ctx(), c.who, n)
		if job.CodeOf(err) != job.NotFound {
			return q, err
		}
	}
	all, err := s.Dispatch.SavedQueries(c.ctx(), c.who)
	if err != nil {
		return job.SavedQuery{}, err
	}
	i := slices.IndexFunc(all, func(q job.SavedQuery) bool { return q.Title == c.path("id") })
	if i < 0 {
		return job.SavedQuery{}, notFound("bookmark", c.path("id"))
	}
	return all[i], nil
}

func (s *server) showBookmark(c *call) (answer, error) {
	q, err := s.bookmark(c)
	return ok(bookmarkRow(q, s.owners(c))), err
}

func (s *server) createBookmark(c *call) (answer, error) {
	q, err := s.editBookmark(c, 0)
	return created(bookmarkRow(q, s.owners(c))), err
}

func (s *server) updateBookmark(c *call) (answer, error) {
	q, err := s.bookmark(c)
	if err != nil {
		return answer{}, err
	}
	q, err = s.editBookmark(c, q.ID)
	return ok(bookmarkRow(q, s.owners(c))), err
}

func (s *server) deleteBookmark(c *call) (answer, error) {
	q, err := s.bookmark(c)
	if err != nil {
		return answer{}, err
	}
	q, err = s.Dispatch.DeleteSavedQuery(c.ctx(), c.who, q.ID)
	return ok(bookmarkRow(q, s.owners(c))), orNotFound(err, "bookmark", c.path("id"))
}

// editBookmark applies a request to a bookmark, 0 for a new one.
func (s *server) editBookmark(c *call, id int64) (job.SavedQuery, error) {
	o, err := c.root("bookmark")
	if err != nil {
		return job.SavedQuery{}, err
	}
	all, err := s.Dispatch.SavedQueries(c.ctx(), c.who)
	if err != nil {
		return job.SavedQuery{}, err
	}
	q, err := s.Dispatch.EditSavedQuery(c.ctx(), c.who, id, func(q *job.SavedQuery) error {
		r := &reader{object: o}
		controller := controllerOf(q.Subject)
		r.text("name", &q.Title)
		r.text("controller", &controller)
		r.text("query", &q.Query)
		r.flag("public", &q.Public)
		if r.err != nil {
			return r.err
		}
		q.Subject = subjectOf(controller)
		return checkBookmark(*q, controller, all).asError(id)
	})
	if job.CodeOf(err) == job.AlreadyExists { // somebody was faster
		return q, validationFailed(id, problem{"name", "has already been taken"})
	}
	return q, orNotFound(err, "bookmark", c.path("id"))
}

// checkBookmark tells what is wrong with a bookmark among all that the caller
// sees.
func checkBookmark(q job.SavedQuery, controller string, all []job.SavedQuery) problems {
	var ps problems
	ps.blank("name", q.Title)
	ps.short("name", q.Title)
	if slices.ContainsFunc(all, func(o job.SavedQuery) bool { return o.ID != q.ID && o.Title == q.Title && o.Subject == q.Subject }) {
		ps.add("name", "has already been taken")
	}
	ps.blank("query", q.Query)
	ps.blank("controller", controller)
	if controller != "" && q.Subject == "" {
		ps.add("controller", "is not included in the list")
	}
	ps.short("controller", controller)
	return ps
}

// bookmarkRow is a bookmark.
func bookmarkRow(q job.SavedQuery, owners func(string) any) fields {
	return fields{"name": q.Title, "controller": controllerOf(q.Subject), "query": q.Query, "public": q.Public, "id": q.ID,
		"owner_id": owners(q.CreatedBy), "owner_type": "User"}
}

// owners returns a function from the name of a user to its id, null for one who
// is gone. Each name is looked up once.
func (s *server) owners(c *call) func(name string) any {
	known := map[string]any{}
	return func(name string) any {
		id, ok := known[name]
		if !ok && name != "" {
			if u, err := s.Dispatch.User(c.ctx(), c.who, name); err == nil {
				id = positive(u.ID)
			}
			known[name] = id
		}
		return id
	}
}
