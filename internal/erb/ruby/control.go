package ruby

// block parses from behind its { or do.
func (p *parser) block(opening, owner token) (*block, error) {
	noDo := p.noDo
	p.noDo = 0
	p.scopes = append(p.scopes, map[string]int{})
	defer func() {
		p.noDo = noDo
		p.scopes = p.scopes[:len(p.scopes)-1]
	}()
	b := &block{first: p.slots, line: owner.line}
	if p.accept("||") {
		return nil, failure(opening.line, "a block's parameters are missing")
	}
	if p.accept("|") {
		for {
			t := p.take()
			if t.kind != tIdent || p.mayAssign(t) != nil {
				return nil, p.unexpected(t, "a block's parameter")
			}
			b.params = append(b.params, p.fresh(t.text))
			if p.accept("|") {
				break
			}
			if !p.accept(",") {
				return nil, p.unexpected(p.peek(), "|")
			}
		}
	}
	var err error
	if b.body, err = p.statements(); err != nil {
		return nil, err
	}
	b.last = p.slots
	closing := "end"
	if opening.text == "{" {
		closing = "}"
	}
	return b, p.expect(closing, opening.line)
}

// choice parses if and unless.
func (p *parser) choice(t token) (node, error) {
	noDo := p.noDo
	p.noDo = 0
	defer func() { p.noDo = noDo }()
	var conds, bodies []node
	var last node
	for {
		cond, err := p.combined()
		if err != nil {
			return nil, err
		}
		if err := p.then(); err != nil {
			return nil, err
		}
		body, err := p.statements()
		if err != nil {
			return nil, err
		}
		conds, bodies = append(conds, cond), append(bodies, body)
		if t.text == "if" && p.accept("elsif") {
			continue
		}
		if p.accept("else") {
			if last, err = p.statements(); err != nil {
				return nil, err
			}
		}
		if err := p.expect("end", t.line); err != nil {
			return nil, err
		}
		break
	}
	for i := len(conds) - 1; i >= 0; i-- {
		yes, no := bodies[i], last
		if t.text == "unless" {
			yes, no = no, yes
		}
		b, err := p.fit(conds[i].place().line, conds[i], yes, no)
		if err != nil {
			return nil, err
		}
		last = &choice{b, conds[i], yes, no}
	}
	return last, nil
}

// then takes what separates a condition from what depends on it.
func (p *parser) then() error {
	t := p.peek()
	p.newlines()
	if p.accept("then") || t.kind == tNewline {
		return nil
	}
	return p.unexpected(t, "")
}

func (p *parser) cases(t token) (node, error) {
	noDo := p.noDo
	p.noDo = 0
	defer func() { p.noDo = noDo }()
	n := &cases{}
	var below []node
	var err error
	if p.peek().kind != tNewline && !p.peek().is("when") {
		if n.subject, err = p.combined(); err != nil {
			return nil, err
		}
		below = append(below, n.subject)
	}
	p.newlines()
	if p.peek().kind == tText {
		return nil, failure(p.peek().line, "text between case and its first when; close the tag before it with -%%>")
	}
	if p.peek().is("in") || !p.peek().is("when") {
		return nil, p.unexpected(p.peek(), "when")
	}
	for p.accept("when") {
		var w when
		for {
			p.newlines()
			x, err := p.expression()
			if err != nil {
				return nil, err
			}
			w.tests = append(w.tests, x)
			if !p.accept(",") {
				break
			}
		}
		if err := p.then(); err != nil {
			return nil, err
		}
		if w.body, err = p.statements(); err != nil {
			return nil, err
		}
		n.whens = append(n.whens, w)
		below = append(append(below, w.tests...), w.body)
	}
	if p.accept("else") {
		if n.orElse, err = p.statements(); err != nil {
			return nil, err
		}
		below = append(below, n.orElse)
	}
	if err := p.expect("end", t.line); err != nil {
		return nil, err
	}
	n.base, err = p.fit(t.line, below...)
	return n, err
}
