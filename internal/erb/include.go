package erb

import (
	"errors"
	"fmt"
	"strings"

	"drover/internal/erb/ruby"
	"drover/internal/job"
)

// rendering is what all templates of one rendering share.
type rendering struct {
	env    *Env
	host   *object
	groups []string             // nil: not asked for yet
	found  map[string]*Included // nil: there is none
	cached map[string]ruby.Value
}

// scope is what one template sees.
type scope struct {
	r       *rendering
	name    string
	inputs  []job.Input
	values  map[string]string     // of the inputs of the template that is rendered
	given   map[string]ruby.Value // values of inputs that an including template gives
	vars    *ruby.Hash            // variables that it gives a snippet
	outer   *scope                // the including template
	snippet bool                  // it sees the inputs of outer too
}

// inputMacro is the value of an input.
func (s *scope) inputMacro(m *ruby.Machine, v ruby.Value) (ruby.Value, error) {
	name, err := nameOf(m, v)
	if err != nil {
		return nil, err
	}
	for ; ; s = s.outer {
		in, declared := s.find(name)
		if v, ok := s.given[name]; ok {
			if in.Required && in.Kind == job.InputUser && ruby.Blank(v) {
				return nil, unspecified(in)
			}
			return v, nil
		}
		if declared {
			return s.value(in)
		}
		if !s.snippet {
			return nil, plain("Rendering failed, no input with name %s for input macro found", quote(name))
		}
	}
}

func (s *scope) find(name string) (job.Input, bool) {
	for _, in := range s.inputs {
		if in.Name == name {
			return in, true
		}
	}
	return job.Input{}, false
}

// knows reports whether input would find a name.
func (s *scope) knows(name string) bool {
	_, given := s.given[name]
	_, own := s.find(name)
	return given || own || s.snippet && s.outer.knows(name)
}

func (s *scope) value(in job.Input) (ruby.Value, error) {
	var from map[string]string
	switch in.Kind {
	case job.InputFact:
		from = s.r.env.Facts
	case job.InputVariable:
		from = s.r.env.Params
	default:
		v, ok := s.values[in.Name]
		if !ok && in.Default != nil {
			v, ok = *in.Default, true
		}
		switch {
		case in.Required && strings.TrimSpace(v) == "":
			return nil, unspecified(in)
		case !ok:
			return nil, nil
		}
		return ruby.NewString(v), nil
	}
	v, ok := from[in.Source]
	if !ok {
		return nil, plain("Input '%s' is not ready for rendering", quote(in.Name))
	}
	return ruby.NewString(v), nil
}

func unspecified(in job.Input) error {
	return plain("Value for required input '%s' was not specified", quote(in.Name))
}

// lookup returns another template; nil: there is none.
func (s *scope) lookup(m *ruby.Machine, name string) (*Included, error) {
	if t, ok := s.r.found[name]; ok || s.r.env.Lookup == nil {
		return t, nil
	}
	if len(s.r.found) == maxLookups {
		return nil, m.Fail("more than %d other templates are asked for", maxLookups)
	}
	t, err := s.r.env.Lookup(m.Context(), name)
	switch {
	case job.CodeOf(err) == job.NotFound:
		s.r.found[name] = nil
		return nil, nil
	case err != nil:
		return nil, err
	}
	s.r.found[name] = &t
	return &t, nil
}

// renderTemplate is render_template(name, {input: value}, {option: value}). An
// input that is given no value has that of the including template's input of the
// same name, unless with_foreign_input_set is false.
func (s *scope) renderTemplate(m *ruby.Machine, c *ruby.Call) (ruby.Value, error) {
	name, err := nameOf(m, c.Args[0])
	if err != nil {
		return nil, err
	}
	t, err := s.lookup(m, name)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, m.Fail("render_template: there is no template %s", quote(name))
	}
	inner := &scope{name: name, inputs: t.Inputs, given: map[string]ruby.Value{}}
	if len(c.Args) > 1 {
		h, ok := c.Args[1].(*ruby.Hash)
		if !ok {
			return nil, m.Fail("render_template takes the inputs' values as a hash")
		}
		if err := m.Alloc(200 * int64(h.Len())); err != nil {
			return nil, err
		}
		for _, k := range h.Keys() {
			n, err := nameOf(m, k)
			if err != nil {
				return nil, err
			}
			inner.given[n], _ = h.Get(k)
		}
	}
	inherit := true
	if len(c.Args) > 2 {
		v, err := option(m, c, 2, "with_foreign_input_set")
		if err != nil {
			return nil, err
		}
		inherit = v == nil || ruby.Truth(v)
	}
	for _, in := range t.Inputs {
		if _, ok := inner.given[in.Name]; ok || !inherit || !s.knows(in.Name) {
			continue
		}
		if err := m.Alloc(200); err != nil {
			return nil, err
		}
		if inner.given[in.Name], err = s.inputMacro(m, ruby.NewString(in.Name)); err != nil {
			return nil, err
		}
	}
	return s.include(m, c, t, inner)
}

// snippetMacro is snippet(name, variables: {name: value}).
func (s *scope) snippetMacro(m *ruby.Machine, c *ruby.Call, must bool) (ruby.Value, error) {
	name, err := nameOf(m, c.Args[0])
	if err != nil {
		return nil, err
	}
	t, err := s.lookup(m, name)
	if err != nil {
		return nil, err
	}
	if t == nil || !t.Snippet {
		if must {
			return nil, m.Fail("there is no snippet %s", quote(name))
		}
		return nil, nil
	}
	inner := &scope{name: name, inputs: t.Inputs, snippet: true, vars: s.vars}
	if len(c.Args) > 1 {
		v, err := option(m, c, 1, "variables")
		if err != nil {
			return nil, err
		}
		if v != nil {
			h, ok := v.(*ruby.Hash)
			if !ok {
				return nil, m.Fail("snippet takes its variables as a hash")
			}
			inner.vars = h
		}
	}
	return s.include(m, c, t, inner)
}

// option is the value of the one option that a macro takes.
func option(m *ruby.Machine, c *ruby.Call, arg int, name string) (ruby.Value, error) {
	h, ok := c.Args[arg].(*ruby.Hash)
	if !ok {
		return nil, m.Fail("the option %s is wanted, not a value", name)
	}
	for _, k := range h.Keys() {
		n, err := nameOf(m, k)
		if err != nil {
			return nil, err
		}
		if n != name {
			return nil, m.Fail("%s is no option here", quote(n))
		}
	}
	v, _ := h.Lookup(name)
	return v, nil
}

// include renders another template.
func (s *scope) include(m *ruby.Machine, c *ruby.Call, t *Included, inner *scope) (ruby.Value, error) {
	deep := 1
	for outer := s; outer != nil; outer = outer.outer {
		if deep++; outer.name == inner.name || deep > maxInclude {
			return nil, plain("Recursive rendering of templates detected")
		}
	}
	p, err := parsed.get(t.Body)
	if err == nil {
		err = m.Steps(int64(p.Nodes) >> 4)
	}
	if err != nil {
		return nil, within(err, inner.name, c.Line)
	}
	inner.r, inner.outer = s.r, s
	text, err := m.Run(p, inner)
	if err != nil {
		return nil, within(err, inner.name, c.Line)
	}
	return m.NewString(text)
}

// within says in which included template a failure happened.
func within(err error, name string, line int) error {
	var e *ruby.Error
	if !errors.As(err, &e) || e.Plain {
		return err
	}
	return &ruby.Error{Line: line, Text: fmt.Sprintf("in %s, line %d: %s", quote(name), e.Line, e.Text)}
}

// plain is a failure that is told in its own words, without a line.
func plain(format string, args ...any) error {
	return &ruby.Error{Text: fmt.Sprintf(format, args...), Plain: true}
}

// quote is a name in a message. A long one is left out and not cut: a part of a
// secret would not be known for one where messages are cleaned of secrets.
func quote(s string) string {
	if len(s) > 100 {
		return fmt.Sprintf("(%d bytes)", len(s))
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
