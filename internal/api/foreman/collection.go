package foreman

import (
	"math"
	"slices"
	"strings"

	"drover/internal/search"
)

// paging is what a request for a collection asks for.
type paging struct {
	page    int
	perPage int // math.MaxInt when everything is wanted
	all     bool
	search  value
	order   value
}

const defaultPerPage = 20

// paging reads the parameters that every collection has.
func (c *call) paging() (paging, error) {
	p := paging{page: 1, perPage: defaultPerPage, search: c.param("search"), order: c.param("order")}
	for _, v := range []value{p.search, p.order} {
		if _, err := v.text(); err != nil {
			return p, err
		}
	}
	n, given, err := c.param("page").count()
	switch {
	case err != nil:
		return p, err
	case given && n < 1:
		return p, c.param("page").wrong("at least 1")
	case given:
		p.page = int(min(n, math.MaxInt32))
	}
	per := c.param("per_page")
	if s, err := per.text(); err == nil && s == "all" {
		p.perPage, p.all = math.MaxInt, true
		return p, nil
	}
	n, given, err = per.count()
	switch {
	case err != nil:
		return p, err
	case given && n < 1:
		return p, per.wrong("at least 1")
	case given:
		p.perPage = int(n)
	}
	return p, nil
}

// window returns which of n rows are on the page: from <= i < to.
func (p paging) window(n int) (from, to int) {
	if p.page > 1 && p.perPage > n/(p.page-1) {
		return n, n
	}
	from = min((p.page-1)*p.perPage, n)
	return from, from + min(p.perPage, n-from)
}

// envelope is the answer to a request for a collection.
func (p paging) envelope(total, subtotal int, results any) answer {
	perPage := p.perPage
	if p.all {
		perPage = total
	}
	var by, order, asked any
	if s, _ := p.search.text(); s != "" {
		asked = s
	}
	if s, _ := p.order.text(); strings.TrimSpace(s) != "" {
		words := strings.Fields(s)
		by, order = words[0], "ASC"
		if len(words) > 1 {
			order = words[1]
		}
	}
	return ok(fields{"total": total, "subtotal": subtotal, "page": p.page, "per_page": perPage, "search": asked,
		"sort": fields{"by": by, "order": order}, "results": results})
}

// collection answers with the rows that the request asks for: those that its
// search finds, in its order (or that of usual), a page of them, each as show
// writes it.
func collection[T any](s *server, c *call, rows []T, schema search.Schema, usual string, show func(T) any) (answer, error) {
	p, err := c.paging()
	if err != nil {
		return answer{}, err
	}
	total := len(rows)
	if rows, err = found(s, c, p, rows, schema); err != nil {
		return answer{}, err
	}
	if err := sorted(p, rows, schema, usual); err != nil {
		return answer{}, err
	}
	from, to := p.window(len(rows))
	return p.envelope(total, len(rows), shown(rows[from:to], show)), nil
}

// shown writes rows; never as null.
func shown[T any](rows []T, show func(T) any) []any {
	out := make([]any, 0, len(rows))
	for _, r := range rows {
		out = append(out, show(r))
	}
	return out
}

// searchEnv is what values in a query mean for this caller, now.
func (s *server) searchEnv(c *call) search.Env {
	return search.Env{Now: s.Clock(), User: c.who.Name}
}

// found returns the rows that the search of a request finds, read leniently.
func found[T any](s *server, c *call, p paging, rows []T, schema search.Schema) ([]T, error) {
	query, _ := p.search.text()
	if strings.TrimSpace(query) == "" {
		return slices.Clone(rows), nil
	}
	q, err := search.Compile(query, schema, search.Lenient, s.searchEnv(c))
	if err != nil {
		return nil, err
	}
	var out []T
	for _, r := range rows {
		if q.Match(r) {
			out = append(out, r)
		}
	}
	return out, nil
}

// sorted puts rows into the order of the request. Rows without a value come last.
func sorted[T any](p paging, rows []T, schema search.Schema, usual string) error {
	order, _ := p.order.text()
	if strings.TrimSpace(order) == "" {
		order = usual
	}
	f, key, descending, err := schema.SortKey(order)
	if err != nil {
		return err
	}
	slices.SortStableFunc(rows, func(a, b T) int {
		n := f.Compare(a, b, key)
		if descending && len(f.Get(a, key)) > 0 && len(f.Get(b, key)) > 0 {
			return -n
		}
		return n
	})
	return nil
}
