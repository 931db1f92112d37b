package ruby

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
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
		return &literal{b, re}, nil
	case tIvar:
		return &instance{b, t.text}, nil
	case tConst:
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
	n := &hash{base: base{t.line, 1}}
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
	var err error
	n.base, err = p.fit(t.line, append(n.keys[:len(n.keys):len(n.keys)], n.values...)...)
	return n, err
}

// str is a string, with those that stand right behind it.
func (p *parser) str(t token) (node, error) {
	parts := t.parts
	for p.peek().kind == tString {
		parts = append(parts[:len(parts):len(parts)], p.take().parts...)
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

// unsupported are Ruby's words that the language does without.
var unsupported = strings.Fields(`def class module begin rescue ensure while until loop for lambda proc yield return next break redo retry super self
	alias undef defined? BEGIN END __FILE__ __LINE__ __method__ raise catch throw fail binding block_given? puts print p printf format sprintf`)

// dangerous are the names of what reaches out of the template.
var dangerous = strings.Fields(`system exec spawn fork eval instance_eval class_eval module_eval instance_exec send public_send __send__ method methods
	define_method const_get const_set instance_variable_get instance_variable_set open require require_relative load autoload exit abort trap
	syscall at_exit sleep gets select_io test tap then_call object_id binding_irb class singleton_class extend include freeze dup clone`)

var reserved = func() map[string]string {
	m := map[string]string{}
	for _, w := range unsupported {
		m[w] = w + " is not supported"
	}
	for _, w := range dangerous {
		m[w] = w + " is refused: a template cannot run programs, reach files or evaluate code"
	}
	return m
}()

// refused returns why a name is refused; "": it is not.
func refused(v *Vocabulary, name string) string {
	if why := v.Refused[name]; why != "" {
		return why
	}
	return reserved[name]
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

// Bounds of regular expressions: of their text, and of the program that they are
// compiled into, which is what matching costs.
const (
	maxPattern      = 1000
	maxInstructions = 2000
)

// Regexp is a regular expression and what matching a byte costs.
type Regexp struct {
	re   *regexp.Regexp
	cost int
}

// compile reads a pattern as RE2 does. ^ and $ are lines' ends, as in Ruby.
func compile(pattern, flags string) (*Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("a regular expression is longer than %d bytes", maxPattern)
	}
	prefix := "(?m"
	for _, f := range flags {
		if f == 'm' {
			f = 's' // Ruby's m lets . match line breaks
		}
		if !strings.ContainsRune(prefix, f) {
			prefix += string(f)
		}
	}
	parsed, err := syntax.Parse(prefix+")"+pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("the regular expression is not supported: %s", clip(err.Error()))
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(prog.Inst) > maxInstructions {
		return nil, errors.New("a regular expression is too large")
	}
	re, err := regexp.Compile(prefix + ")" + pattern)
	if err != nil {
		return nil, fmt.Errorf("the regular expression is not supported: %s", clip(err.Error()))
	}
	return &Regexp{re, len(prog.Inst)}, nil
}
