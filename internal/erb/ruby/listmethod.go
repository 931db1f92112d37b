package ruby

import (
	"slices"
	"strings"
)

func (m *Machine) arrayMethod(a *Array, name string, args []Value, b *block) (Value, error) {
	switch name {
	case "size", "length":
		return int64(len(a.elems)), nil
	case "empty?":
		return len(a.elems) == 0, nil
	case "include?":
		return m.includes(a.elems, args[0])
	case "first", "last":
		return m.end(a, name, args)
	case "[]":
		return m.element(a, args)
	case "join":
		sep := ""
		if len(args) == 1 && args[0] != nil {
			var err error
			if sep, err = m.str(args[0]); err != nil {
				return nil, err
			}
		}
		return m.Join(a, sep)
	case "each", "each_with_index":
		return a, m.each(a, b, name == "each_with_index")
	case "map":
		return m.mapEach(a, b)
	case "select", "reject":
		return m.filter(a, b, name == "select")
	case "any?", "all?":
		return m.some(a.elems, b, name == "any?")
	case "compact":
		return m.keep(a, func(v Value, _ []Value) (bool, error) { return v != nil, nil })
	case "uniq":
		return m.uniq(a)
	case "sort":
		return m.sort(a)
	case "flatten":
		deep := int64(-1)
		if len(args) == 1 {
			var err error
			if deep, err = m.whole(args[0]); err != nil {
				return nil, err
			}
		}
		out := &Array{}
		return out, m.flatten(out, a, deep, 0)
	}
	return nil, m.Fail("Array has no method %s", name)
}

func (m *Machine) end(a *Array, name string, args []Value) (Value, error) {
	if len(args) == 0 {
		switch {
		case len(a.elems) == 0:
			return nil, nil
		case name == "first":
			return a.elems[0], nil
		}
		return a.elems[len(a.elems)-1], nil
	}
	n, err := m.whole(args[0])
	if err != nil {
		return nil, err
	}
	if n < 0 {
		return nil, m.Fail("%s takes no negative number", name)
	}
	n = min(n, int64(len(a.elems)))
	if name == "first" {
		return m.copied(a.elems[:n])
	}
	return m.copied(a.elems[int64(len(a.elems))-n:])
}

func (m *Machine) copied(elems []Value) (Value, error) {
	if err := m.allocN(int64(len(elems)), sizeValue); err != nil {
		return nil, err
	}
	return &Array{slices.Clone(elems)}, nil
}

// element is a[i] and a[i, n].
func (m *Machine) element(a *Array, args []Value) (Value, error) {
	i, err := m.whole(args[0])
	if err != nil {
		return nil, err
	}
	length := int64(len(a.elems))
	if i < 0 {
		i += length
	}
	if len(args) == 1 {
		if i < 0 || i >= length {
			return nil, nil
		}
		return a.elems[i], nil
	}
	n, err := m.whole(args[1])
	if err != nil || i < 0 || i > length || n < 0 {
		return nil, err
	}
	return m.copied(a.elems[i : i+min(n, length-i)])
}

// Join is the text of all elements, those of arrays inside too.
func (m *Machine) Join(a *Array, sep string) (Value, error) {
	flat := &Array{}
	if err := m.flatten(flat, a, -1, 0); err != nil {
		return nil, err
	}
	var b strings.Builder
	for i, v := range flat.elems {
		s, err := m.text(v)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			s = sep + s
		}
		if err := m.Alloc(2 * int64(len(s))); err != nil {
			return nil, err
		}
		b.WriteString(s)
	}
	return m.share(b.String())
}

func (m *Machine) flatten(out, a *Array, deep int64, depth int) error {
	if depth > maxDepth {
		return m.Fail("values are nested too deeply")
	}
	for _, v := range a.elems {
		if inner, ok := v.(*Array); ok && (deep < 0 || int64(depth) < deep) {
			if err := m.flatten(out, inner, deep, depth+1); err != nil {
				return err
			}
			if err := m.Steps(1); err != nil {
				return err
			}
			continue
		}
		if err := m.Alloc(sizeValue); err != nil {
			return err
		}
		if err := m.Steps(1); err != nil {
			return err
		}
		out.elems = append(out.elems, v)
	}
	return nil
}

// each looks at the array anew each time: the block may append to it.
func (m *Machine) each(a *Array, b *block, index bool) error {
	for i := 0; i < len(a.elems); i++ {
		if err := m.Steps(1); err != nil {
			return err
		}
		args := []Value{a.elems[i]}
		if index {
			args = append(args, int64(i))
		}
		if _, err := b.call(m, args...); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) mapEach(a *Array, b *block) (Value, error) {
	out := &Array{}
	for i := 0; i < len(a.elems); i++ {
		if err := m.Alloc(sizeValue); err != nil {
			return nil, err
		}
		v, err := b.call(m, a.elems[i])
		if err != nil {
			return nil, err
		}
		out.elems = append(out.elems, v)
		if err := m.Steps(1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (m *Machine) filter(a *Array, b *block, want bool) (Value, error) {
	return m.keep(a, func(v Value, _ []Value) (bool, error) {
		yes, err := b.call(m, v)
		return Truth(yes) == want, err
	})
}

// keep returns the elements that a function wants; it sees those kept so far.
func (m *Machine) keep(a *Array, want func(v Value, kept []Value) (bool, error)) (Value, error) {
	out := &Array{}
	for i := 0; i < len(a.elems); i++ {
		v := a.elems[i]
		if err := m.Alloc(sizeValue); err != nil {
			return nil, err
		}
		yes, err := want(v, out.elems)
		if err != nil {
			return nil, err
		}
		if yes {
			out.elems = append(out.elems, v)
		}
		if err := m.Steps(1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// some is any? and all?.
func (m *Machine) some(elems []Value, b *block, any bool) (Value, error) {
	for _, v := range elems {
		if err := m.Steps(1); err != nil {
			return nil, err
		}
		if b != nil {
			var err error
			if v, err = b.call(m, v); err != nil {
				return nil, err
			}
		}
		if Truth(v) == any {
			return any, nil
		}
	}
	return !any, nil
}

// uniq tells 1 from 1.0, as the keys of a hash do.
func (m *Machine) uniq(a *Array) (Value, error) {
	seen := NewHash()
	return m.keep(a, func(v Value, kept []Value) (bool, error) {
		if _, ok := keyOf(v); !ok {
			in, err := m.includes(kept, v)
			return !in, err
		}
		if _, ok := seen.Get(v); ok {
			return false, m.look(v)
		}
		seen.Set(v, nil)
		return true, m.Alloc(sizeEntry)
	})
}

func (m *Machine) sort(a *Array) (Value, error) {
	if err := m.allocN(int64(len(a.elems)), sizeValue); err != nil {
		return nil, err
	}
	out := slices.Clone(a.elems)
	var failed error
	slices.SortStableFunc(out, func(x, y Value) int {
		if failed != nil {
			return 0
		}
		c, _, err := m.compare(x, y)
		failed = err
		return c
	})
	return &Array{out}, failed
}

func (m *Machine) hashMethod(h *Hash, name string, args []Value, b *block) (Value, error) {
	switch name {
	case "[]":
		if len(args) != 1 {
			return nil, m.Fail("[] of a hash takes one key")
		}
		return m.fetch(h, args[0])
	case "key?", "include?":
		_, ok := h.Get(args[0])
		return ok, nil
	case "fetch":
		if v, ok := h.Get(args[0]); ok {
			return v, nil
		}
		if len(args) == 2 {
			return args[1], nil
		}
		s, _ := ToText(args[0])
		if len(s) > 100 { // a part of a secret would not be known for one
			s = "of that name"
		}
		return nil, m.Fail("the hash has no key %s", s)
	case "keys":
		return m.copied(h.keys)
	case "values":
		return m.copied(h.values)
	case "empty?":
		return h.Len() == 0, nil
	case "size", "length":
		return int64(h.Len()), nil
	}
	if err := m.allocN(int64(h.Len()), 3*sizeValue); err != nil {
		return nil, err
	}
	pairs := &Array{make([]Value, h.Len())}
	for i, k := range h.keys {
		pairs.elems[i] = &Array{[]Value{k, h.values[i]}}
	}
	switch name {
	case "each":
		return h, m.each(pairs, b, false)
	case "map":
		return m.mapEach(pairs, b)
	case "any?", "all?":
		return m.some(pairs.elems, b, name == "any?")
	case "select", "reject":
		v, err := m.filter(pairs, b, name == "select")
		if err != nil {
			return nil, err
		}
		out := NewHash()
		kept := v.(*Array).elems
		if err := m.allocN(int64(len(kept)), sizeEntry); err != nil {
			return nil, err
		}
		for _, p := range kept {
			pair := p.(*Array).elems
			out.Set(pair[0], pair[1])
		}
		return out, nil
	}
	return nil, m.Fail("Hash has no method %s", name)
}

// fetch is h[k].
func (m *Machine) fetch(h *Hash, k Value) (Value, error) {
	v, _ := h.Get(k)
	return v, m.look(k)
}
