package ruby

import "strings"

func (n *literal) eval(m *Machine) (Value, error) { return n.v, m.step(n.line) }

func (n *text) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	return m.share(n.s)
}

func (n *interpolated) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, part := range n.parts {
		v, err := part.eval(m)
		if err != nil {
			return nil, err
		}
		s, err := m.text(v)
		if err != nil {
			return nil, err
		}
		if err := m.Alloc(int64(len(s))); err != nil {
			return nil, err
		}
		b.WriteString(s)
	}
	return m.share(b.String())
}

func (n *array) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	elems, err := m.all(n.elems)
	return &Array{elems}, err
}

// all evaluates nodes in order.
func (m *Machine) all(nodes []node) ([]Value, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	if err := m.allocN(int64(len(nodes)), sizeValue); err != nil {
		return nil, err
	}
	out := make([]Value, len(nodes))
	for i, n := range nodes {
		v, err := n.eval(m)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (n *hash) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	if err := m.allocN(int64(len(n.keys)+1), sizeEntry); err != nil {
		return nil, err
	}
	h := NewHash()
	for i := range n.keys {
		k, err := n.keys[i].eval(m)
		if err != nil {
			return nil, err
		}
		v, err := n.values[i].eval(m)
		if err != nil {
			return nil, err
		}
		if !h.Set(k, v) {
			return nil, m.Fail("a %s cannot be the key of a hash", class(k))
		}
	}
	return h, nil
}

func (n *local) eval(m *Machine) (Value, error) { return m.slots[n.slot], m.step(n.line) }

func (n *instance) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	v, ok, err := m.host.Instance(m, n.name)
	if err == nil && !ok {
		err = m.Fail("@%s has no value here", clip(n.name))
	}
	return v, m.blame(err)
}

func (n *assign) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	old := m.slots[n.slot]
	if n.op == "||" && Truth(old) || n.op == "&&" && !Truth(old) {
		return old, nil
	}
	v, err := n.value.eval(m)
	if err != nil {
		return nil, err
	}
	if n.op != "" && n.op != "||" && n.op != "&&" {
		m.line = n.line
		if v, err = m.operate(n.op, old, v); err != nil {
			return nil, err
		}
	}
	m.slots[n.slot] = v
	return v, nil
}

func (n *binary) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	l, err := n.l.eval(m)
	if err != nil {
		return nil, err
	}
	r, err := n.r.eval(m)
	if err != nil {
		return nil, err
	}
	m.line = n.line
	return m.operate(n.op, l, r)
}

func (n *logic) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	l, err := n.l.eval(m)
	if err != nil || Truth(l) != n.and {
		return l, err
	}
	return n.r.eval(m)
}

func (n *not) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	v, err := n.x.eval(m)
	return !Truth(v), err
}

func (n *negative) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	v, err := n.x.eval(m)
	if err != nil {
		return nil, err
	}
	m.line = n.line
	return m.operate("-", int64(0), v)
}

func (n *choice) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	c, err := n.cond.eval(m)
	if err != nil {
		return nil, err
	}
	branch := n.no
	if Truth(c) {
		branch = n.yes
	}
	if branch == nil {
		return nil, nil
	}
	return branch.eval(m)
}

func (n *cases) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	var subject Value
	if n.subject != nil {
		var err error
		if subject, err = n.subject.eval(m); err != nil {
			return nil, err
		}
	}
	for _, w := range n.whens {
		for _, t := range w.tests {
			v, err := t.eval(m)
			if err != nil {
				return nil, err
			}
			hit := Truth(v)
			if n.subject != nil {
				if hit, err = m.matches(v, subject); err != nil {
					return nil, err
				}
			}
			if hit {
				return w.body.eval(m)
			}
		}
	}
	if n.orElse == nil {
		return nil, nil
	}
	return n.orElse.eval(m)
}

// matches is whether a subject is one of what when names.
func (m *Machine) matches(pattern, subject Value) (bool, error) {
	re, ok := pattern.(*Regexp)
	if !ok {
		return m.equal(pattern, subject, 0)
	}
	var s string
	switch v := subject.(type) {
	case *String:
		s = v.s
	case Symbol:
		s = string(v)
	default:
		return false, nil
	}
	if err := m.match(re, len(s)); err != nil {
		return false, err
	}
	return re.re.MatchString(s), nil
}

func (n *call) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	on, err := n.on.eval(m)
	if err != nil || n.safe && on == nil {
		return nil, err
	}
	args, err := m.all(n.args)
	if err != nil {
		return nil, err
	}
	m.line = n.line
	return m.method(on, n.name, args, n.block)
}

func (n *macro) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	args, err := m.all(n.args)
	if err != nil {
		return nil, err
	}
	c := &Call{Args: args, Line: n.line}
	if n.block != nil {
		c.block = func() (Value, error) {
			v, err := n.block.call(m)
			m.line = n.line
			return v, err
		}
	}
	m.line = n.line
	v, err := m.host.Macro(m, n.name, c)
	return v, m.blame(err)
}

func (n *sequence) eval(m *Machine) (v Value, err error) {
	for _, x := range n.list {
		if v, err = x.eval(m); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (n *raw) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	return nil, m.write(n.s)
}

func (n *output) eval(m *Machine) (Value, error) {
	if err := m.step(n.line); err != nil {
		return nil, err
	}
	v, err := n.x.eval(m)
	if err != nil {
		return nil, err
	}
	m.line = n.line
	s, err := m.text(v)
	if err != nil {
		return nil, err
	}
	return nil, m.write(s)
}

// call runs a block. An array given to several parameters is spread over them.
func (b *block) call(m *Machine, args ...Value) (Value, error) {
	if b.method != "" {
		m.line = b.line
		return m.method(args[0], b.method, nil, nil)
	}
	if err := m.Steps(int64(b.last-b.first) >> 4); err != nil {
		return nil, err
	}
	for i := b.first; i < b.last; i++ {
		m.slots[i] = nil
	}
	if len(b.params) > 1 && len(args) == 1 {
		if a, ok := args[0].(*Array); ok {
			args = a.elems
		}
	}
	for i, slot := range b.params {
		if i < len(args) {
			m.slots[slot] = args[i]
		}
	}
	return b.body.eval(m)
}
