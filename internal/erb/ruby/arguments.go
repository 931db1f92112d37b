package ruby

// callArguments are those of a macro or method, in brackets or not, and its
// block.
func (p *parser) callArguments(name token, none bool) (args []node, b *block, err error) {
	t := p.peek()
	switch {
	case t.is("(") && !t.space:
		p.take()
		args, err = p.arguments(")", t.line)
	case !none && p.startsArgument(t):
		p.noDo++
		args, err = p.commandArguments()
		p.noDo--
	}
	if err != nil {
		return nil, nil, err
	}
	if n := len(args); n > 0 {
		if pass, ok := args[n-1].(*passed); ok {
			return args[:n-1], &block{method: pass.method, line: name.line}, nil
		}
		for _, a := range args {
			if _, ok := a.(*passed); ok {
				return nil, nil, failure(name.line, "& must be the last argument")
			}
		}
	}
	t = p.peek()
	if t.is("{") || t.is("do") && p.noDo == 0 {
		b, err = p.block(p.take(), name)
	}
	return args, b, err
}

// passed is &:method among arguments.
type passed struct {
	base
	method string
}

func (*passed) eval(*Machine) (Value, error) { return nil, nil }

// startsArgument reports whether a token can begin the first argument of a
// command that is written without brackets.
func (p *parser) startsArgument(t token) bool {
	if !t.space {
		return t.kind == tString
	}
	switch t.kind {
	case tString, tInt, tFloat, tSymbol, tRegex, tWords, tIvar, tIdent, tConst:
		return true
	case tKeyword:
		return t.text == "true" || t.text == "false" || t.text == "nil" || t.text == "case"
	case tOp:
		switch t.text {
		case "[", "(", "!", "->":
			return true
		case "-", "*", "&", "::":
			return t.tight
		}
	}
	return false
}

// arguments parses up to the bracket that closes. Pairs at the end make a hash.
func (p *parser) arguments(closing string, line int) ([]node, error) {
	noDo := p.noDo
	p.noDo = 0
	defer func() { p.noDo = noDo }()
	p.newlines()
	if p.accept(closing) {
		return nil, nil
	}
	var args []node
	var pairs *hash
	for {
		if err := p.argument(&args, &pairs); err != nil {
			return nil, err
		}
		p.newlines()
		if p.accept(",") {
			p.newlines()
			if !p.accept(closing) {
				continue
			}
		} else if err := p.expect(closing, line); err != nil {
			return nil, err
		}
		return p.withPairs(args, pairs)
	}
}

func (p *parser) commandArguments() ([]node, error) {
	var args []node
	var pairs *hash
	for {
		if err := p.argument(&args, &pairs); err != nil {
			return nil, err
		}
		if !p.accept(",") {
			return p.withPairs(args, pairs)
		}
		p.newlines()
	}
}

func (p *parser) withPairs(args []node, pairs *hash) ([]node, error) {
	if pairs == nil {
		return args, nil
	}
	b, err := p.fit(pairs.line, append(pairs.keys, pairs.values...)...)
	if err != nil {
		return nil, err
	}
	pairs.base = b
	if n := len(args); n > 0 {
		if _, ok := args[n-1].(*passed); ok {
			return append(args[:n-1:n-1], pairs, args[n-1]), nil
		}
	}
	return append(args, pairs), nil
}

// argument parses one, or one pair.
func (p *parser) argument(args *[]node, pairs **hash) error {
	t := p.peek()
	if t.is("&") {
		p.take()
		s := p.take()
		if s.kind != tSymbol {
			return failure(t.line, "only &:name may be passed as a block")
		}
		if shape, ok := methods[s.text]; !ok && !p.v.Attributes[s.text] || ok && (shape.min > 0 || shape.needsBlock) {
			return failure(t.line, "&:%s is not supported", clip(s.text))
		}
		*args = append(*args, &passed{base{t.line, 1}, s.text})
		return nil
	}
	if t.is("*") || t.is("**") {
		return failure(t.line, "splats are not supported")
	}
	key, err := p.label()
	if err != nil {
		return err
	}
	if key == nil {
		if key, err = p.expression(); err != nil {
			return err
		}
		if !p.peek().is("=>") {
			if *pairs != nil {
				return failure(t.line, "an argument stands after pairs")
			}
			*args = append(*args, key)
			return nil
		}
		p.take()
	}
	p.newlines()
	v, err := p.expression()
	if err != nil {
		return err
	}
	if *pairs == nil {
		*pairs = &hash{base: base{line: t.line}}
	}
	(*pairs).keys, (*pairs).values = append((*pairs).keys, key), append((*pairs).values, v)
	return nil
}

// label parses the key of a pair like name: or "name":; nil where there is none.
func (p *parser) label() (node, error) {
	t, colon := p.peek(), p.ahead(1)
	if !colon.is(":") || colon.space {
		return nil, nil
	}
	b := base{t.line, 1}
	switch {
	case t.kind == tIdent, t.kind == tConst, t.kind == tKeyword:
		p.i += 2
		return &literal{b, Symbol(t.text)}, nil
	case t.kind == tString && len(t.parts) == 1 && t.parts[0].code == nil:
		p.i += 2
		return &literal{b, Symbol(t.parts[0].text)}, nil
	}
	return nil, nil
}
