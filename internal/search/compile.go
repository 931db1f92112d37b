package search

import (
	"slices"
	"strings"
)

// compiler turns a tree into a function, and checks it on the way.
type compiler struct {
	schema Schema
	mode   Mode
	env    Env
	values map[string][]string
}

// predicate asks about one thing.
type predicate func(thing any) bool

func (c *compiler) tree(n *node) (predicate, *Error) {
	if n == nil {
		return func(any) bool { return true }, nil
	}
	switch n.kind {
	case and, or:
		return c.junction(n)
	case not:
		inner, err := c.tree(n.kids[0])
		if err != nil {
			return nil, err
		}
		return func(thing any) bool { return !inner(thing) }, nil
	case null, notnull:
		f, key, err := c.schema.lookUp(n.field, n.at)
		if err != nil {
			return nil, err
		}
		want := n.kind == notnull
		return func(thing any) bool { return (len(f.Get(thing, key)) > 0) == want }, nil
	case word:
		return c.keyword(n)
	}
	if !n.hasField {
		return c.anyDefault(n)
	}
	f, key, err := c.schema.lookUp(n.field, n.at)
	if err != nil {
		return nil, err
	}
	return c.compare(f, key, n)
}

func (c *compiler) junction(n *node) (predicate, *Error) {
	kids := make([]predicate, len(n.kids))
	for i, k := range n.kids {
		var err *Error
		if kids[i], err = c.tree(k); err != nil {
			return nil, err
		}
	}
	stop := n.kind == or // what one kid says that decides it
	return func(thing any) bool {
		for _, k := range kids {
			if k(thing) == stop {
				return stop
			}
		}
		return !stop
	}, nil
}

// lookUp finds a field by its name in a query, with its key.
func (s Schema) lookUp(name string, at int) (Field, string, *Error) {
	for _, f := range s {
		if f.Name == name && !f.Keyed {
			return f, "", nil
		}
	}
	if prefix, key, ok := strings.Cut(name, "."); ok && key != "" {
		for _, f := range s {
			if f.Name == prefix && f.Keyed {
				return f, key, nil
			}
		}
	}
	return Field{}, "", refuse(at, "Field '%s' not recognized for searching!", name)
}

// keyword searches for a bare word: the name of a boolean field asks whether it is
// true, anything else is looked for in the default fields.
func (c *compiler) keyword(n *node) (predicate, *Error) {
	text := n.values[0]
	if f, key, err := c.schema.lookUp(text, n.at); err == nil && f.Type == Bool {
		return c.compare(f, key, &node{kind: eq, at: n.at, values: []string{"true"}, valueAt: n.at})
	}
	return c.inDefaults(n, like, eq)
}

// anyDefault compares the default fields.
func (c *compiler) anyDefault(n *node) (predicate, *Error) {
	switch n.kind {
	case like, unlike:
		return c.inDefaults(n, n.kind, end)
	case eq, ne, in, notin:
		return c.inDefaults(n, n.kind, n.kind)
	}
	return c.inDefaults(n, end, n.kind)
}

// inDefaults asks the default fields, those of text by one comparison, those of
// numbers, if the values are numbers, by the other; end stands for none.
func (c *compiler) inDefaults(n *node, texts, numbers kind) (predicate, *Error) {
	if !allNumbers(n.values) {
		numbers = end
	}
	var fields []predicate
	for _, f := range c.schema {
		op := end
		switch {
		case f.Default && f.Type == Text:
			op = texts
		case f.Default && f.Type == Integer:
			op = numbers
		}
		if op == end {
			continue
		}
		one, err := c.compare(f, "", &node{kind: op, at: n.at, values: n.values, valueAt: n.valueAt})
		if err != nil {
			return nil, err
		}
		fields = append(fields, one)
	}
	if len(fields) == 0 {
		return nil, refuse(n.at, "there is no field that can be searched for '%s' without naming it", strings.Join(n.values, ", "))
	}
	return func(thing any) bool {
		return slices.ContainsFunc(fields, func(p predicate) bool { return p(thing) })
	}, nil
}

// compare makes the comparison of one field with the node's values.
func (c *compiler) compare(f Field, key string, n *node) (predicate, *Error) {
	values := n.values
	if f.User && c.env.User != "" {
		values = slices.Clone(values)
		for i, v := range values {
			if v == "current_user" {
				values[i] = c.env.User
			}
		}
	}
	holds, err := c.test(f, n, values)
	if err != nil {
		return nil, err
	}
	switch n.kind {
	case eq, ne, in, notin:
		name := f.Name
		if f.Keyed {
			name += "." + key
		}
		c.values[name] = append(c.values[name], values...)
	}
	if n.kind == ne || n.kind == unlike || n.kind == notin {
		return func(thing any) bool {
			has := f.Get(thing, key)
			return len(has) > 0 && !slices.ContainsFunc(has, holds)
		}, nil
	}
	return func(thing any) bool { return slices.ContainsFunc(f.Get(thing, key), holds) }, nil
}

// test makes what one value of the field has to meet. Negated comparisons get the
// test of what they negate.
func (c *compiler) test(f Field, n *node, values []string) (func(string) bool, *Error) {
	op := n.kind
	switch op {
	case ne:
		op = eq
	case unlike:
		op = like
	case notin:
		op = in
	}
	if op == like && f.Type != Text {
		return nil, refuse(n.at, "the operator '%s' is not supported for field type '%s'", symbols[n.kind], f.Type)
	}
	switch f.Type {
	case Integer:
		return testNumber(f, op, values, n.valueAt)
	case Time:
		return testTime(f, op, values, n.valueAt, c.env.Now)
	case Bool, Enum:
		return testEnum(f, op, values, n)
	}
	if op == like {
		return c.testLike(values[0], n.valueAt)
	}
	return testText(op, values), nil
}

func (c *compiler) testLike(pattern string, at int) (func(string) bool, *Error) {
	if len(pattern) > MaxPattern {
		return nil, refuse(at, "a text to look for has %d bytes, more than %d", len(pattern), MaxPattern)
	}
	if pattern == "" && c.mode == Strict {
		return nil, refuse(at, "an empty text is found in every value")
	}
	return newPattern(pattern), nil
}
