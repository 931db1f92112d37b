package search

import "strings"

// node is a part of a query's tree.
//
//   - and, or: of the kids, two or more
//   - not: of the only kid
//   - null, notnull: of the field
//   - a comparison: of the field, or of the default fields when it is "", with the
//     values; in and notin have any number of them, the others one
//   - word: the only value, searched for in the default fields
type node struct {
	kind     kind
	at       int
	kids     []*node
	field    string
	hasField bool
	values   []string
	valueAt  int
}

// parser reads tokens by recursive descent. In strict mode it refuses what it would
// otherwise drop.
type parser struct {
	tokens     []token
	pos        int
	strict     bool
	size       int // bytes of the query
	depth      int
	conditions int
}

// parse returns the tree of a query, nil when it has no condition.
func parse(query string, mode Mode) (*node, *Error) {
	p := &parser{tokens: lex(query), strict: mode == Strict, size: len(query)}
	if p.strict {
		if err := p.checkQuotes(); err != nil {
			return nil, err
		}
	} else {
		for len(p.tokens) > 0 && p.tokens[len(p.tokens)-1].kind != word {
			p.tokens = p.tokens[:len(p.tokens)-1]
		}
	}
	items, err := p.sequence()
	if err != nil {
		return nil, err
	}
	if p.strict {
		if t := p.peek(); t.kind == rparen {
			return nil, refuse(t.at, "a ')' closes nothing")
		}
		if len(items) == 0 {
			return nil, refuse(0, "an empty query would select everything")
		}
	}
	return join(and, items), nil
}

func (p *parser) checkQuotes() *Error {
	for _, t := range p.tokens {
		if t.unclosed {
			return refuse(t.at, "the quote is not closed")
		}
	}
	return nil
}

func (p *parser) peek() token {
	if p.pos == len(p.tokens) {
		return token{kind: end, at: p.size}
	}
	return p.tokens[p.pos]
}

func (p *parser) next() token {
	t := p.peek()
	if t.kind != end {
		p.pos++
	}
	return t
}

// sequence reads what stands side by side, up to a closing parenthesis or the end.
func (p *parser) sequence() ([]*node, *Error) {
	var items []*node
	for {
		t := p.peek()
		switch t.kind {
		case end, rparen:
			return items, nil
		case comma:
			p.next()
			if !p.strict {
				continue
			}
			if len(items) == 0 {
				return nil, refuse(t.at, "nothing stands before ','")
			}
			if k := p.peek().kind; k == end || k == rparen || k == comma {
				return nil, refuse(t.at, "nothing follows ','")
			}
		}
		n, err := p.logical()
		if err != nil {
			return nil, err
		}
		items = append(items, n)
	}
}

// logical reads operands with and, or between them. Both bind alike, and to the
// right: "a and b or c" is a and (b or c).
func (p *parser) logical() (*node, *Error) {
	var operands []*node
	var ops []kind
	for {
		for p.peek().kind.infix() {
			t := p.next()
			if p.strict {
				return nil, refuse(t.at, "nothing stands before '%s'", t.text)
			}
		}
		n, err := p.operand()
		if err != nil {
			return nil, err
		}
		operands = append(operands, n)
		if !p.peek().kind.infix() {
			break
		}
		t := p.next()
		if k := p.peek().kind; p.strict && (k == end || k == rparen || k == comma) {
			return nil, refuse(t.at, "nothing follows '%s'", t.text)
		}
		ops = append(ops, t.kind)
	}
	tree := operands[len(operands)-1]
	for i := len(ops) - 1; i >= 0; i-- {
		tree = join(ops[i], []*node{operands[i], tree})
	}
	return tree, nil
}

// join makes one node of several, none of which is of the same kind itself. None
// make nil.
func join(k kind, items []*node) *node {
	if len(items) == 0 {
		return nil
	}
	if len(items) == 1 {
		return items[0]
	}
	n := &node{kind: k, at: items[0].at}
	for _, item := range items {
		if item.kind == k {
			n.kids = append(n.kids, item.kids...)
		} else {
			n.kids = append(n.kids, item)
		}
	}
	return n
}

func (p *parser) operand() (*node, *Error) {
	t := p.peek()
	switch t.kind {
	case lparen:
		return p.group()
	case not:
		return p.negation()
	case null, notnull:
		return p.presence()
	}
	return p.comparison()
}

// deeper counts a level of nesting; the caller goes back up.
func (p *parser) deeper(at int) *Error {
	if p.depth++; p.depth > MaxDepth {
		return refuse(at, "the query is nested deeper than %d levels", MaxDepth)
	}
	return nil
}

func (p *parser) group() (*node, *Error) {
	open := p.next()
	if err := p.deeper(open.at); err != nil {
		return nil, err
	}
	items, err := p.sequence()
	if err != nil {
		return nil, err
	}
	p.depth--
	if p.peek().kind == rparen {
		p.next()
	} else if p.strict {
		return nil, refuse(open.at, "the '(' is not closed")
	}
	if len(items) == 0 {
		return nil, refuse(open.at, "Empty list of operands")
	}
	return join(and, items), nil
}

// negation reads a "not", which goes for the next comparison or group alone.
func (p *parser) negation() (*node, *Error) {
	t := p.next()
	if err := p.deeper(t.at); err != nil {
		return nil, err
	}
	if k := p.peek().kind; p.strict && (k == end || k == rparen) {
		return nil, refuse(t.at, "nothing follows '%s'", t.text)
	}
	kid, err := p.operand()
	if err != nil {
		return nil, err
	}
	p.depth--
	return &node{kind: not, at: t.at, kids: []*node{kid}}, nil
}

func (p *parser) presence() (*node, *Error) {
	op := p.next()
	t, err := p.value(op)
	if err != nil {
		return nil, err
	}
	return p.condition(&node{kind: op.kind, at: t.at, field: t.text, hasField: true})
}

// condition counts a leaf of the tree.
func (p *parser) condition(n *node) (*node, *Error) {
	if p.conditions++; p.conditions > MaxConditions {
		return nil, refuse(n.at, "the query has more than %d conditions; field ^ (a, b, …) counts as one", MaxConditions)
	}
	return n, nil
}

// comparison reads "field op value", "op value" or a bare word.
func (p *parser) comparison() (*node, *Error) {
	t := p.peek()
	if t.kind == comma {
		if p.strict {
			return nil, refuse(t.at, "nothing stands before ','")
		}
		p.next()
		t = p.peek()
	}
	n := &node{at: t.at}
	if !t.kind.comparison() {
		name, err := p.value(token{kind: end})
		if err != nil {
			return nil, err
		}
		if !p.peek().kind.comparison() {
			n.kind, n.values, n.valueAt = word, []string{name.text}, name.at
			return p.condition(n)
		}
		n.field, n.hasField = name.text, true
	}
	op := p.next()
	n.kind = op.kind
	n.valueAt = p.peek().at
	var err *Error
	if op.kind == in || op.kind == notin {
		n.values, err = p.list(op)
	} else {
		var v token
		v, err = p.value(op)
		n.values = []string{v.text}
	}
	if err != nil {
		return nil, err
	}
	return p.condition(n)
}

// value reads a word. after is the operator that wants it, if one does.
func (p *parser) value(after token) (token, *Error) {
	t := p.peek()
	if t.kind == word {
		return p.next(), nil
	}
	if t.kind == end && after.kind != end {
		return t, refuse(after.at, "no value follows '%s'", after.text)
	}
	return t, refuse(t.at, "Value expected but found %s", t.symbol())
}

func (t token) symbol() string {
	if t.kind == end {
		return symbols[end]
	}
	return ":" + symbols[t.kind]
}

// list reads the values of "in" and "not in": a word, or words in parentheses. A
// comma separates values even within a quoted word.
func (p *parser) list(op token) ([]string, *Error) {
	open := p.peek()
	var values []string
	if open.kind != lparen {
		t, err := p.value(op)
		if err != nil {
			return nil, err
		}
		values = appendValues(values, t.text)
	} else {
		p.next()
		for k := p.peek().kind; k != end && k != rparen; k = p.peek().kind {
			t := p.next()
			switch {
			case t.kind == word:
				values = appendValues(values, t.text)
			case t.kind != comma && p.strict:
				return nil, refuse(t.at, "'%s' cannot be in a list of values unless it is quoted", t.text)
			}
		}
		if p.peek().kind == rparen {
			p.next()
		} else if p.strict {
			return nil, refuse(open.at, "the '(' is not closed")
		}
	}
	if len(values) == 0 && p.strict {
		return nil, refuse(open.at, "the list after '%s' has no values", op.text)
	}
	return values, nil
}

func appendValues(values []string, text string) []string {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.Trim(part, blanks); part != "" {
			values = append(values, part)
		}
	}
	return values
}
