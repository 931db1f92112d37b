package ruby

import (
	"slices"
	"strconv"
)

// Limits of the tree.
const (
	maxNesting = 64  // of expressions
	maxHeight  = 256 // of the tree, chains of operators included
	maxTokens  = 60_000
)

// Kind is what a piece of a template is.
type Kind uint8

// The kinds of pieces.
const (
	PieceText  Kind = iota // as it is
	PieceValue             // an expression whose value is put in
	PieceCode              // statements
)

// Piece is one tag, or the text between two. Line is where it begins.
type Piece struct {
	Kind Kind
	Text string
	Line int
}

// Vocabulary is what a template may name beyond the language itself.
type Vocabulary struct {
	Macros     map[string]Signature
	Attributes map[string]bool   // the methods of Objects
	Refused    map[string]string // names that are refused, and why
}

// Signature is how a macro is called.
type Signature struct {
	Min, Max int
	Block    bool // it needs a block, and the block must be without text
}

// Program is a parsed template. Any number of machines may run it at once.
type Program struct {
	root  node
	slots int
	Nodes int // about how large it is
}

// Parse reads a template and refuses all that is not in the language. The error
// is an *Error.
func Parse(pieces []Piece, v *Vocabulary) (*Program, error) {
	left, locals := maxTokens, map[string]bool{}
	var tokens []token
	line := 1
	for _, p := range pieces {
		if left--; left < 0 {
			return nil, failure(p.Line, "the template has too many tags")
		}
		line = p.Line
		if p.Kind == PieceText {
			tokens = append(tokens, token{kind: tNewline, line: line}, token{kind: tText, line: line, text: p.Text})
			continue
		}
		l := &lexer{src: p.Text, line: p.Line, left: &left, locals: locals}
		code, err := l.lex(false)
		if err != nil {
			return nil, err
		}
		line = l.line
		if p.Kind == PieceValue {
			tokens = append(tokens, token{kind: tNewline, line: p.Line}, token{kind: tValue, line: p.Line, code: code})
			continue
		}
		tokens = append(append(tokens, token{kind: tNewline, line: p.Line}), code...)
	}
	tokens = append(tokens, token{kind: tNewline, line: line})
	p := &parser{v: v, scopes: []map[string]int{{}}, tokens: tokens, end: token{kind: tEOF, line: line}}
	root, err := p.statements()
	if err == nil {
		err = p.expectEnd()
	}
	if err != nil {
		return nil, err
	}
	return &Program{root: root, slots: p.slots, Nodes: maxTokens - left + p.patterns}, nil
}

type parser struct {
	patterns int // instructions of the regular expressions so far
	v        *Vocabulary
	tokens   []token
	i        int
	end      token // what stands after the tokens
	scopes   []map[string]int
	slots    int
	depth    int
	noDo     int // do belongs to a command further out
	noText   int // inside a block that must be without text
}

func (p *parser) peek() token { return p.ahead(0) }

func (p *parser) ahead(n int) token {
	if p.i+n < len(p.tokens) {
		return p.tokens[p.i+n]
	}
	return p.end
}

func (p *parser) take() token {
	t := p.peek()
	if p.i < len(p.tokens) {
		p.i++
	}
	return t
}

// accept takes the next token if it is the operator or keyword.
func (p *parser) accept(text string) bool {
	if p.peek().is(text) {
		p.i++
		return true
	}
	return false
}

func (p *parser) expect(text string, opened int) error {
	p.newlines()
	if p.accept(text) {
		return nil
	}
	if t := p.peek(); t.kind != tEOF {
		return p.unexpected(t, text)
	}
	return failure(opened, "%s is missing for what line %d begins", text, opened)
}

func (p *parser) unexpected(t token, want string) error {
	if want != "" {
		return failure(t.line, "unexpected %s; %s is wanted", t, want)
	}
	return failure(t.line, "unexpected %s", t)
}

func (p *parser) newlines() {
	for p.peek().kind == tNewline {
		p.i++
	}
}

func (p *parser) expectEnd() error {
	if t := p.peek(); t.kind != tEOF {
		return p.unexpected(t, "")
	}
	return nil
}

// fit makes the base of a node above others.
func (p *parser) fit(line int, below ...node) (base, error) {
	b := base{line: line, height: 1}
	for _, n := range below {
		if n != nil {
			b.height = max(b.height, n.place().height+1)
		}
	}
	if b.height > maxHeight {
		return b, failure(line, "the code is nested too deeply, or an expression is too long")
	}
	return b, nil
}

// within parses other tokens, those of an interpolation or a tag, as statements.
func (p *parser) within(code []token, line int) (node, error) {
	tokens, i, end, noDo := p.tokens, p.i, p.end, p.noDo
	p.tokens, p.i, p.end, p.noDo = code, 0, token{kind: tEOF, line: line}, 0
	n, err := p.statements()
	if err == nil {
		err = p.expectEnd()
	}
	p.tokens, p.i, p.end, p.noDo = tokens, i, end, noDo
	return n, err
}

// statements parses up to a token that begins none.
func (p *parser) statements() (node, error) {
	var list []node
	line := p.peek().line
	for {
		p.newlines()
		t := p.peek()
		if t.kind == tEOF || t.is("end") || t.is("else") || t.is("elsif") || t.is("when") || t.is("}") || t.is(")") {
			if len(list) == 1 {
				return list[0], nil
			}
			b, err := p.fit(line, list...)
			return &sequence{b, list}, err
		}
		n, err := p.statement()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		switch t := p.peek(); {
		case t.kind == tNewline, t.kind == tEOF, t.is("end"), t.is("}"), t.is(")"), t.is("else"), t.is("elsif"), t.is("when"):
		default:
			return nil, p.unexpected(t, "")
		}
	}
}

// statement is an expression with and, or, not and the if and unless behind it.
func (p *parser) statement() (node, error) {
	switch t := p.peek(); t.kind {
	case tText, tValue:
		p.take()
		if p.noText > 0 {
			return nil, failure(t.line, "this block may hold no text: write its value as an expression")
		}
		if t.kind == tText {
			return &raw{base{t.line, 1}, t.text}, nil
		}
		n, err := p.within(t.code, t.line)
		if err != nil {
			return nil, err
		}
		b, err := p.fit(t.line, n)
		return &output{b, n}, err
	}
	n, err := p.combined()
	if err != nil {
		return nil, err
	}
	for {
		t := p.peek()
		switch {
		case t.is("if"), t.is("unless"):
			p.take()
			cond, err := p.combined()
			if err != nil {
				return nil, err
			}
			b, err := p.fit(t.line, n, cond)
			if err != nil {
				return nil, err
			}
			c := &choice{base: b, cond: cond, yes: n}
			if t.text == "unless" {
				c.yes, c.no = nil, n
			}
			n = c
		case t.kind == tIdent && (t.text == "while" || t.text == "until" || t.text == "rescue"):
			return nil, failure(t.line, "%s is not supported", t.text)
		default:
			return n, nil
		}
	}
}

// combined is an expression with and, or and not.
func (p *parser) combined() (node, error) {
	l, err := p.negated()
	for err == nil {
		t := p.peek()
		if !t.is("and") && !t.is("or") {
			return l, nil
		}
		p.take()
		p.newlines()
		var r node
		if r, err = p.negated(); err != nil {
			return nil, err
		}
		var b base
		b, err = p.fit(t.line, l, r)
		l = &logic{b, t.text == "and", l, r}
	}
	return nil, err
}

func (p *parser) negated() (node, error) {
	t := p.peek()
	if !t.is("not") {
		return p.expression()
	}
	p.take()
	if err := p.enter(t); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.negated()
	if err != nil {
		return nil, err
	}
	b, err := p.fit(t.line, x)
	return &not{b, x}, err
}

func (p *parser) enter(t token) error {
	if p.depth++; p.depth > maxNesting {
		return failure(t.line, "the code is nested too deeply")
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// assignable are the operators that may stand before =.
var assignable = map[string]string{"=": "", "||=": "||", "&&=": "&&", "+=": "+", "-=": "-", "*=": "*", "/=": "/", "%=": "%"}

// expression is an assignment, or an expression with operators.
func (p *parser) expression() (node, error) {
	t := p.peek()
	if err := p.enter(t); err != nil {
		return nil, err
	}
	defer p.leave()
	if t.kind == tIdent {
		o := p.ahead(1)
		op, ok := assignable[o.text]
		if o.kind == tOp && ok {
			if err := p.mayAssign(t); err != nil {
				return nil, err
			}
			p.i += 2
			p.newlines()
			slot := p.declare(t.text)
			value, err := p.expression()
			if err != nil {
				return nil, err
			}
			if c := p.peek(); c.is(",") && p.noCommas() {
				return nil, failure(c.line, "several values in one assignment are not supported")
			}
			b, err := p.fit(t.line, value)
			return &assign{b, slot, op, value}, err
		}
	}
	x, err := p.ternary()
	if err != nil {
		return nil, err
	}
	if o := p.peek(); o.kind == tOp {
		if _, ok := assignable[o.text]; ok {
			return nil, failure(o.line, "only local variables can be assigned")
		}
	}
	return x, nil
}

// noCommas reports whether a comma here could belong to an assignment only.
func (p *parser) noCommas() bool { return p.depth == 1 }

func (p *parser) mayAssign(t token) error {
	last := t.text[len(t.text)-1]
	if last == '?' || last == '!' || slices.Contains(words, t.text) {
		return failure(t.line, "%s cannot be assigned", clip(t.text))
	}
	return nil
}

func (p *parser) ternary() (node, error) {
	cond, err := p.operators(0)
	if err != nil {
		return nil, err
	}
	q := p.peek()
	if !q.is("?") {
		return cond, nil
	}
	p.take()
	p.newlines()
	yes, err := p.expression()
	if err != nil {
		return nil, err
	}
	p.newlines()
	if !p.accept(":") {
		return nil, p.unexpected(p.peek(), ":")
	}
	p.newlines()
	no, err := p.expression()
	if err != nil {
		return nil, err
	}
	b, err := p.fit(q.line, cond, yes, no)
	return &choice{b, cond, yes, no}, err
}

// levels are the binary operators, those that bind least first.
var levels = []map[string]bool{
	{"||": true},
	{"&&": true},
	{"==": true, "!=": true, "=~": true, "!~": true},
	{"<": true, ">": true, "<=": true, ">=": true},
	{"<<": true},
	{"+": true, "-": true},
	{"*": true, "/": true, "%": true},
}

func (p *parser) operators(level int) (node, error) {
	if level == len(levels) {
		return p.unary()
	}
	l, err := p.operators(level + 1)
	for err == nil {
		t := p.peek()
		if t.kind != tOp || !levels[level][t.text] {
			return l, nil
		}
		p.take()
		p.newlines()
		var r node
		if r, err = p.operators(level + 1); err != nil {
			return nil, err
		}
		var b base
		b, err = p.fit(t.line, l, r)
		switch {
		case level < 2:
			l = &logic{b, t.text == "&&", l, r}
		default:
			l = &binary{b, t.text, l, r}
		}
		if next := p.peek(); level == 2 && next.kind == tOp && levels[2][next.text] {
			return nil, p.unexpected(next, "")
		}
	}
	return nil, err
}

func (p *parser) unary() (node, error) {
	t := p.peek()
	if !t.is("!") && !t.is("-") {
		return p.postfix()
	}
	p.take()
	if n := p.peek(); t.is("-") && (n.kind == tInt || n.kind == tFloat) && !n.space {
		p.tokens[p.i].text = "-" + n.text // the sign belongs to the number: -7.abs
		return p.postfix()
	}
	if err := p.enter(t); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.unary()
	if err != nil {
		return nil, err
	}
	b, err := p.fit(t.line, x)
	if t.text == "!" {
		return &not{b, x}, err
	}
	return &negative{b, x}, err
}

func (p *parser) number(t token) (node, error) {
	b := base{t.line, 1}
	if t.kind == tInt {
		v, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return nil, failure(t.line, "the number %s is too large", clip(t.text))
		}
		return &literal{b, v}, nil
	}
	v, err := strconv.ParseFloat(t.text, 64)
	if err != nil {
		return nil, failure(t.line, "the number %s is too large", clip(t.text))
	}
	return &literal{b, v}, nil
}

// declare returns the slot of a local variable, and makes it where there is none.
func (p *parser) declare(name string) int {
	if slot, ok := p.find(name); ok {
		return slot
	}
	return p.fresh(name)
}

func (p *parser) fresh(name string) int {
	slot := p.slots
	p.slots++
	p.scopes[len(p.scopes)-1][name] = slot
	return slot
}

func (p *parser) find(name string) (int, bool) {
	for i := len(p.scopes) - 1; i >= 0; i-- {
		if slot, ok := p.scopes[i][name]; ok {
			return slot, true
		}
	}
	return 0, false
}
