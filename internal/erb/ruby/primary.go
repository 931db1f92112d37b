package ruby

import (
	"slices"
	"strings"
)

// postfix is a primary with the methods and indexes behind it.
func (p *parser) postfix() (node, error) {
	n, err := p.primary()
	for err == nil {
		t := p.peek()
		switch {
		case t.is("."), t.is("&."):
			p.take()
			n, err = p.method(n, t)
		case t.is("[") && !t.space:
			p.take()
			n, err = p.index(n, t)
		case t.is("::"):
			return nil, failure(t.line, "constants are not supported")
		case t.is(".."), t.is("..."):
			return nil, failure(t.line, "ranges are not supported")
		case t.kind == tOp && (t.text == "**" || t.text == "<=>" || t.text == "===" || t.text == ">>"):
			return nil, failure(t.line, "the operator %s is not supported", t.text)
		default:
			return n, nil
		}
	}
	return nil, err
}

func (p *parser) index(on node, t token) (node, error) {
	args, err := p.arguments("]", t.line)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 || len(args) > 2 {
		return nil, failure(t.line, "[] takes one or two arguments")
	}
	b, err := p.fit(t.line, append([]node{on}, args...)...)
	return &call{base: b, on: on, name: "[]", args: args}, err
}

// method is what stands behind a point.
func (p *parser) method(on node, point token) (node, error) {
	p.newlines()
	t := p.take()
	if t.kind != tIdent {
		if t.kind == tConst {
			return nil, failure(t.line, "constants are not supported: %s", clip(t.text))
		}
		return nil, p.unexpected(t, "the name of a method")
	}
	if why := refused(p.v, t.text); why != "" {
		return nil, failure(t.line, "%s", why)
	}
	shape, known := methods[t.text]
	if !known && !p.v.Attributes[t.text] {
		return nil, failure(t.line, "the method %s is not supported", clip(t.text))
	}
	args, b, err := p.callArguments(t, known && shape.max == 0)
	if err != nil {
		return nil, err
	}
	switch {
	case b != nil && !shape.block:
		return nil, failure(t.line, "%s takes no block", t.text)
	case b == nil && shape.needsBlock:
		return nil, failure(t.line, "%s needs a block", t.text)
	case known && !p.v.Attributes[t.text] && (len(args) < shape.min || len(args) > shape.max):
		return nil, failure(t.line, "%s does not take %d argument(s)", t.text, len(args))
	}
	at, err := p.fit(t.line, append(args, on, b.node())...)
	return &call{base: at, on: on, name: t.text, safe: point.text == "&.", args: args, block: b}, err
}

func (b *block) node() node {
	if b == nil {
		return nil
	}
	return b.body
}

func (p *parser) primary() (node, error) {
	t := p.take()
	b := base{t.line, 1}
	switch t.kind {
	case tInt, tFloat:
		return p.number(t)
	case tString:
		return p.str(t)
	case tSymbol:
		return &literal{b, Symbol(t.text)}, nil
	case tWords:
		n := &array{base: base{t.line, 2}}
		for _, w := range t.words {
			n.elems = append(n.elems, &text{b, w})
		}
		return n, nil
	case tRegex:
		re, err := compile(t.text, t.flags)
		if err != nil {
			return nil, failure(t.line, "%v", err)
		}
		if p.patterns += re.cost; p.patterns > maxAllInstructions {
			return nil, failure(t.line, "the regular expressions of the template are too large together")
		}
		return &literal{b, re}, nil
	case tIvar:
		return &instance{b, t.text}, nil
	case tConst:
		if _, ok := p.v.Macros[t.text]; ok { // like N_
			return p.name(t)
		}
		return nil, failure(t.line, "constants are not supported: %s", clip(t.text))
	case tIdent:
		return p.name(t)
	case tKeyword:
		switch t.text {
		case "true", "false":
			return &literal{b, t.text == "true"}, nil
		case "nil":
			return &literal{b, nil}, nil
		case "if", "unless":
			return p.choice(t)
		case "case":
			return p.cases(t)
		}
	case tOp:
		switch t.text {
		case "(":
			return p.group(t)
		case "[":
			return p.list(t)
		case "{":
			return p.hash(t)
		case "->":
			return nil, failure(t.line, "lambda is not supported")
		case "::":
			return nil, failure(t.line, "constants are not supported")
		case "..", "...":
			return nil, failure(t.line, "ranges are not supported")
		}
	}
	return nil, p.unexpected(t, "")
}

func (p *parser) group(t token) (node, error) {
	noDo := p.noDo
	p.noDo = 0
	defer func() { p.noDo = noDo }()
	n, err := p.statements()
	if err != nil {
		return nil, err
	}
	return n, p.expect(")", t.line)
}

func (p *parser) list(t token) (node, error) {
	elems, err := p.arguments("]", t.line)
	if err != nil {
		return nil, err
	}
	for _, e := range elems {
		if _, ok := e.(*passed); ok {
			return nil, failure(t.line, "unexpected &")
		}
	}
	b, err := p.fit(t.line, elems...)
	return &array{b, elems}, err
}

func (p *parser) hash(t token) (node, error) {
	noDo := p.noDo
	p.noDo = 0
	defer func() { p.noDo = noDo }()
	var n *hash
	p.newlines()
	for !p.accept("}") {
		var none []node
		at := p.peek()
		if err := p.argument(&none, &n); err != nil {
			return nil, err
		}
		if none != nil {
			return nil, failure(at.line, "a hash is made of pairs")
		}
		p.newlines()
		if !p.accept(",") {
			if err := p.expect("}", t.line); err != nil {
				return nil, err
			}
			break
		}
		p.newlines()
	}
	if n == nil {
		return &hash{base: base{t.line, 1}}, nil
	}
	var err error
	n.base, err = p.fit(t.line, append(n.keys[:len(n.keys):len(n.keys)], n.values...)...)
	return n, err
}

// str is a string, with those that stand right behind it.
func (p *parser) str(t token) (node, error) {
	parts := slices.Clone(t.parts)
	for p.peek().kind == tString {
		parts = append(parts, p.take().parts...)
	}
	plain := true
	var all strings.Builder
	for _, part := range parts {
		plain = plain && part.code == nil
		all.WriteString(part.text)
	}
	if plain {
		return &text{base{t.line, 1}, all.String()}, nil
	}
	n := &interpolated{}
	for _, part := range parts {
		var x node = &text{base{t.line, 1}, part.text}
		if part.code != nil {
			var err error
			if x, err = p.within(part.code, t.line); err != nil {
				return nil, err
			}
		}
		n.parts = append(n.parts, x)
	}
	var err error
	n.base, err = p.fit(t.line, n.parts...)
	return n, err
}

// name is a local variable or a macro.
func (p *parser) name(t token) (node, error) {
	if slot, ok := p.find(t.text); ok && !(p.peek().is("(") && !p.peek().space) {
		return &local{base{t.line, 1}, t.text, slot}, nil
	}
	if why := refused(p.v, t.text); why != "" {
		return nil, failure(t.line, "%s", why)
	}
	sig, ok := p.v.Macros[t.text]
	if !ok {
		return nil, failure(t.line, "%s is neither a local variable nor a macro that is supported", clip(t.text))
	}
	if sig.Block {
		p.noText++
		defer func() { p.noText-- }()
	}
	args, b, err := p.callArguments(t, sig.Max == 0)
	switch {
	case err != nil:
		return nil, err
	case len(args) < sig.Min || len(args) > sig.Max:
		return nil, failure(t.line, "%s does not take %d argument(s)", t.text, len(args))
	case b == nil && sig.Block:
		return nil, failure(t.line, "%s needs a block", t.text)
	case b != nil && (!sig.Block || b.method != "" || len(b.params) > 0):
		return nil, failure(t.line, "%s takes no such block", t.text)
	}
	at, err := p.fit(t.line, append(args, b.node())...)
	return &macro{at, t.text, args, b}, err
}
