package foreman

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"drover/internal/api"
	"drover/internal/job"
)

// call is a request that has passed the checks that are the same for all.
type call struct {
	r     *http.Request
	route *route
	who   job.Principal // empty on public routes
	vars  map[string]string
	query url.Values
	body  object // what was sent; empty without a body
	raw   []byte // the bytes of the body
}

func (c *call) ctx() context.Context { return c.r.Context() }

// path returns a variable of the path.
func (c *call) path(name string) string { return c.vars[name] }

// number returns a variable of the path that is a number; ok is false for
// anything else, which is then an id of nothing.
func (c *call) number(name string) (n int64, ok bool) { return number(c.vars[name]) }

// leadingNumber returns the number that an id like "123" or "123-name" begins with.
func (c *call) leadingNumber(name string) (n int64, ok bool) {
	digits, _, _ := strings.Cut(c.vars[name], "-")
	return number(digits)
}

// number reads a positive decimal number that fits into 2^53.
func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n >= 1<<53 || s[0] == '+' {
		return 0, false
	}
	return n, true
}

// param returns a parameter from the path, the root of the body or the query,
// in this order. A parameter of the query without a value is absent.
func (c *call) param(name string) value {
	if v, ok := c.vars[name]; ok {
		return textValue(name, v)
	}
	if v := c.body.get(name); v.present() {
		return v
	}
	if all, ok := c.query[name+"[]"]; ok {
		return listValue(name, all)
	}
	if v := c.query.Get(name); v != "" {
		return textValue(name, v)
	}
	return value{name: name}
}

// text returns a parameter as text, "" when it is absent or no text.
func (c *call) text(name string) string {
	s, _ := c.param(name).text()
	return s
}

// flag returns a parameter as a truth value; absent is otherwise.
func (c *call) flag(name string, otherwise bool) (bool, error) {
	b, given, err := c.param(name).boolean()
	if !given {
		b = otherwise
	}
	return b, err
}

// root returns the object under the root key of a body; a body without it is
// taken for the object itself. A change that says nothing is a mistake.
func (c *call) root(name string) (o object, err error) {
	o = c.body
	if v := c.body.get(name); v.present() {
		o, err = v.object()
	}
	if err == nil && o.empty() && c.r.Method == http.MethodPut {
		err = errMissing(name)
	}
	return o, err
}

// read reads the query and the body, and checks the taxonomy and the media type.
// Bodies are read for POST and PUT, which must be JSON, and for DELETE, where a
// body that is not an object does not matter.
func (c *call) read() error {
	var broken error
	c.query = c.r.URL.Query()
	writes := c.r.Method == http.MethodPost || c.r.Method == http.MethodPut
	mediaType := c.r.Header.Get("Content-Type")
	if typ, _, _ := mime.ParseMediaType(mediaType); (writes || c.r.Method == http.MethodDelete) && typ == "application/json" {
		raw, err := api.ReadBody(c.r)
		if err != nil {
			return err
		}
		c.raw = raw
		if c.body, broken = decodeBody(raw); broken != nil && !writes {
			c.body, broken = object{}, nil
		}
	} else if writes {
		broken = errMediaType(mediaType)
	}
	if err := c.checkTaxonomy(); err != nil {
		return err
	}
	return broken
}

// checkTaxonomy refuses a location or organization that does not exist. What
// exists does not restrict anything: there is one of each.
func (c *call) checkTaxonomy() error {
	for _, t := range []taxonomy{theLocation, theOrganization} {
		v := c.param(t.kind + "_id")
		if v.blank() {
			continue
		}
		id, err := v.text()
		if n, ok := number(id); err != nil || !ok || n != t.id {
			return errTaxonomy(t.title, id)
		}
	}
	return nil
}
