package foreman

import (
	"slices"
	"strings"

	"drover/internal/dispatch"
	"drover/internal/job"
)

// targeting is what a job is to run on.
type targeting struct {
	query    string
	ids      []int64 // of host_ids, which query then only writes down
	bookmark *job.SavedQuery
}

func (t targeting) given() bool {
	return t.query != "" || t.ids != nil || t.bookmark != nil
}

// readTargeting reads search_query, host_ids and bookmark_id. A query that is
// given makes host_ids be ignored.
func (s *server) readTargeting(c *call, in object) (t targeting, err error) {
	if t.query, err = in.get("search_query").text(); err != nil {
		return t, err
	}
	if strings.TrimSpace(t.query) == "" {
		t.query = ""
		if t.query, t.ids, err = s.readHosts(c, in.get("host_ids")); err != nil {
			return t, err
		}
	}
	v := in.get("bookmark_id")
	if v.blank() {
		return t, nil
	}
	if t.given() {
		return t, unprocessable("%s", erf("Cannot specify both bookmark_id and search_query"))
	}
	id, err := v.text()
	if err != nil {
		return t, err
	}
	n, ok := number(strings.TrimSpace(id))
	if !ok {
		return t, nil
	}
	b, err := s.Dispatch.SavedQuery(c.ctx(), c.who, n)
	switch {
	case job.CodeOf(err) == job.NotFound:
		return t, nil
	case err != nil:
		return t, err
	}
	t.bookmark = &b
	return t, nil
}

// readHosts reads host_ids: a list of ids and names, or a query.
func (s *server) readHosts(c *call, v value) (query string, ids []int64, err error) {
	switch {
	case v.blank():
		return "", nil, nil
	case v.kind() == '"':
		query, err = v.text()
		return query, nil, err
	}
	hosts, err := s.lookUpHosts(c, v)
	if err != nil || len(hosts) == 0 {
		return "", nil, err
	}
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	query = hostsQuery(names)
	slices.SortFunc(hosts, func(a, b job.Target) int { return strings.Compare(a.Name, b.Name) })
	for _, h := range hosts {
		ids = append(ids, h.ID)
	}
	return query, ids, nil
}

// lookUpHosts returns the hosts of a list of ids and names, each once, in the
// order of the list. One that does not exist is E15.
func (s *server) lookUpHosts(c *call, v value) ([]job.Target, error) {
	words, err := v.texts()
	if err != nil {
		return nil, err
	}
	if len(words) > job.MaxTargets {
		return nil, job.Errorf(job.TooLarge, "%d hosts are more than the %d that one job may have", len(words), job.MaxTargets)
	}
	var ids []int64
	var names []string
	for _, w := range words {
		if n, ok := number(strings.TrimSpace(w)); ok {
			ids = append(ids, n)
		}
	}
	nameOf, err := s.Dispatch.DeviceNames(c.ctx(), c.who, ids)
	if err != nil {
		return nil, err
	}
	for _, w := range words {
		if n, ok := number(strings.TrimSpace(w)); !ok || nameOf[n] == "" {
			names = append(names, w)
		}
	}
	var idOf map[string]int64
	if len(names) > 0 {
		if idOf, err = s.Dispatch.DeviceIDs(c.ctx(), c.who, names); err != nil {
			return nil, err
		}
	}
	var hosts []job.Target
	seen := map[int64]bool{}
	for _, w := range words {
		h := job.Target{}
		if n, ok := number(strings.TrimSpace(w)); ok && nameOf[n] != "" {
			h = job.Target{ID: n, Name: nameOf[n]}
		} else if id, ok := idOf[w]; ok {
			h = job.Target{ID: id, Name: w}
		} else {
			return nil, unprocessable("Couldn't find Host::Managed with 'id'=%s", clipRunes(w, maxDescription))
		}
		if !seen[h.ID] {
			seen[h.ID] = true
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}

// problems are what is wrong with a targeting of a type.
func (t targeting) problems(kind string) (wrong []string) {
	if strings.TrimSpace(kind) == "" {
		wrong = append(wrong, "Targeting type can't be blank")
	}
	if kind != staticQuery && kind != dynamicQuery {
		wrong = append(wrong, "Targeting type is not included in the list")
	}
	if !t.given() {
		const msg = " Must select a bookmark or enter a search query"
		wrong = append(wrong, "Bookmark"+msg, "Search query"+msg)
	}
	return wrong
}

// selection is the targeting in the words of package job. Of a static one the
// bookmark's query is copied.
func (t targeting) selection(kind string, shuffle bool) *job.Selection {
	sel := &job.Selection{Dynamic: kind == dynamicQuery, Shuffle: shuffle, Query: t.query}
	if sel.DeviceIDs = t.ids; t.ids != nil && len(t.query) > dispatch.MaxQuery {
		sel.Query = "" // queryOf writes it down again
	}
	switch {
	case t.bookmark == nil:
	case sel.Dynamic:
		sel.SavedQueryID = t.bookmark.ID
	default:
		sel.Query = t.bookmark.Query
	}
	return sel
}
