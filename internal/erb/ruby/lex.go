package ruby

import (
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tEOF     tokenKind = iota
	tNewline           // or ;
	tOp                // text says which
	tKeyword
	tIdent // may end in ? or !
	tConst
	tIvar // without the @
	tInt
	tFloat
	tString // parts
	tSymbol // parts
	tRegex  // text and flags
	tWords  // words
	tText   // text outside of tags
	tValue  // a <%= %> tag; code
)

type token struct {
	kind  tokenKind
	space bool // blanks or a line break stand before it
	tight bool // a blank stands after it no more than a line break does
	line  int
	text  string
	flags string
	parts []part
	words []string
	code  []token
}

// part is a piece of a string: text, or the code of an interpolation.
type part struct {
	text string
	code []token // nil: text
}

func (t token) is(text string) bool { return (t.kind == tOp || t.kind == tKeyword) && t.text == text }

// String is the token as a message names it.
func (t token) String() string {
	switch t.kind {
	case tEOF:
		return "the end"
	case tNewline:
		return "the end of the line"
	case tString:
		return "a string"
	case tRegex:
		return "a regular expression"
	case tWords:
		return "%w"
	case tText:
		return "text"
	case tValue:
		return "<%="
	case tIvar:
		return "@" + t.text
	}
	return clip(t.text)
}

var keywords = map[string]bool{
	"true": true, "false": true, "nil": true, "if": true, "elsif": true, "else": true, "unless": true, "case": true, "when": true,
	"then": true, "end": true, "do": true, "and": true, "or": true, "not": true, "in": true,
}

// operators, the long ones first.
var operators = []string{
	"**=", "<=>", "===", "...", "<<=", ">>=", "&&=", "||=",
	"**", "==", "!=", "=~", "!~", "<=", ">=", "&&", "||", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "&.", "=>", "->", "::", "..",
	"+", "-", "*", "/", "%", "=", "<", ">", "!", "?", ":", "(", ")", "[", "]", "{", "}", ",", ".", "|", "&", "^", "~",
}

// goesOn are the operators after which a line break means nothing.
var goesOn = map[string]bool{
	"+": true, "-": true, "*": true, "/": true, "%": true, "=": true, "<": true, ">": true, "!": true, "?": true, ":": true, "(": true, "[": true,
	"{": true, ",": true, ".": true, "&.": true, "==": true, "!=": true, "=~": true, "!~": true, "<=": true, ">=": true, "&&": true, "||": true,
	"<<": true, "+=": true, "-=": true, "*=": true, "/=": true, "||=": true, "&&=": true, "=>": true, "and": true, "or": true, "not": true,
}

// lexer cuts code into tokens. Whether a sign begins a literal or is an operator
// depends on what stands before it, as in Ruby.
type lexer struct {
	src    string
	i      int
	line   int
	left   *int            // tokens that may still be made
	locals map[string]bool // names assigned so far
	out    []token
	depth  int
}

// lex returns the tokens of code; closing says that it ends at the brace that
// closes an interpolation.
func (l *lexer) lex(closing bool) ([]token, error) {
	braces := 0
	for {
		space, newline, err := l.blanks()
		if err != nil {
			return nil, err
		}
		if newline && !l.continues() {
			if err := l.add(token{kind: tNewline, line: l.line}); err != nil {
				return nil, err
			}
		}
		if l.i == len(l.src) {
			if closing {
				return nil, l.fail("an interpolation is not closed")
			}
			return l.out, nil
		}
		if closing {
			switch l.src[l.i] {
			case '{':
				braces++
			case '}':
				if braces--; braces < 0 {
					l.i++
					return l.out, nil
				}
			}
		}
		t, err := l.next(space || newline)
		if err != nil {
			return nil, err
		}
		t.space = space || newline
		t.tight = l.i < len(l.src) && !strings.ContainsRune(" \t\r\n", rune(l.src[l.i]))
		if err := l.add(t); err != nil {
			return nil, err
		}
		l.learn()
	}
}

func (l *lexer) add(t token) error {
	if *l.left--; *l.left < 0 {
		return failure(l.line, "the template has too much code")
	}
	l.out = append(l.out, t)
	return nil
}

// learn notes the names of local variables, so that "x /2" divides.
func (l *lexer) learn() {
	n := len(l.out)
	last := l.out[n-1]
	if last.kind == tOp && n > 1 && l.out[n-2].kind == tIdent {
		switch last.text {
		case "=", "||=", "&&=", "+=", "-=", "*=", "/=", "|", ",":
			if last.text != "," || n > 2 && (l.out[n-3].is("|") || l.out[n-3].is(",")) {
				l.locals[l.out[n-2].text] = true
			}
		}
	}
}

// blanks skips blanks, comments and line breaks.
func (l *lexer) blanks() (space, newline bool, err error) {
	for l.i < len(l.src) {
		switch c := l.src[l.i]; {
		case c == '\n':
			l.line++
			newline = true
		case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			space = true
		case c == '\\' && strings.HasPrefix(l.src[l.i+1:], "\n"):
			l.i++
			l.line++
			space = true
		case c == '#':
			for l.i+1 < len(l.src) && l.src[l.i+1] != '\n' {
				l.i++
			}
		case c == '=' && strings.HasPrefix(l.src[l.i:], "=begin") && (l.i == 0 || l.src[l.i-1] == '\n'):
			return false, false, l.fail("=begin is not supported")
		default:
			return space, newline, nil
		}
		l.i++
	}
	return space, newline, nil
}

// continues reports whether a line break here means nothing.
func (l *lexer) continues() bool {
	if len(l.out) == 0 {
		return true
	}
	last := l.out[len(l.out)-1]
	if last.kind == tNewline || (last.kind == tOp || last.kind == tKeyword) && goesOn[last.text] {
		return true
	}
	rest := l.src[l.i:]
	return strings.HasPrefix(rest, "&.") || len(rest) > 1 && rest[0] == '.' && rest[1] != '.'
}

func (l *lexer) fail(format string, args ...any) error { return failure(l.line, format, args...) }

// ends reports whether the token before ends a value, so that an operator is to
// be expected; command says that it is a name which arguments may follow.
func (l *lexer) ends() (value, command bool) {
	if len(l.out) == 0 {
		return false, false
	}
	switch t := l.out[len(l.out)-1]; t.kind {
	case tInt, tFloat, tString, tSymbol, tRegex, tWords, tIvar, tConst:
		return true, false
	case tIdent:
		return true, !l.locals[t.text]
	case tKeyword:
		return t.text == "true" || t.text == "false" || t.text == "nil" || t.text == "end", false
	case tOp:
		return t.text == ")" || t.text == "]" || t.text == "}", false
	}
	return false, false
}

func isIdentStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isIdent(c byte) bool { return isIdentStart(c) || isDigit(c) }

func (l *lexer) next(space bool) (token, error) {
	line, c := l.line, l.src[l.i]
	value, command := l.ends()
	after := byte(0)
	if l.i+1 < len(l.src) {
		after = l.src[l.i+1]
	}
	// A literal may begin where no value ended, or as the argument of a command.
	literal := !value || command && space && after != ' ' && after != '\t' && after != '\n' && after != '=' && after != 0
	switch {
	case c == ';':
		l.i++
		return token{kind: tNewline, line: line}, nil
	case c == '"' || c == '\'':
		l.i++
		parts, err := l.quoted(c, c, c == '"')
		return token{kind: tString, line: line, parts: parts}, err
	case c == '`':
		return token{}, l.fail("backticks are refused: a template cannot run programs")
	case c == '@' && after == '@':
		return token{}, l.fail("class variables are not supported")
	case c == '@':
		l.i++
		name := l.word()
		if name == "" {
			return token{}, l.fail("unexpected @")
		}
		return token{kind: tIvar, line: line, text: name}, nil
	case c == '$':
		return token{}, l.fail("global variables are not supported")
	case isDigit(c):
		return l.number()
	case isIdentStart(c):
		return l.ident()
	case c == ':' && (isIdentStart(after) || after == '"') && literal:
		return l.symbol()
	case c == '/' && literal:
		l.i++
		return l.regex('/', '/')
	case c == '%' && literal:
		return l.percent()
	case c == '<' && literal && after == '<':
		return token{}, l.fail("heredocs are not supported")
	case c == '?' && !value:
		return token{}, l.fail("character literals are not supported")
	}
	for _, op := range operators {
		if strings.HasPrefix(l.src[l.i:], op) {
			l.i += len(op)
			return token{kind: tOp, line: line, text: op}, nil
		}
	}
	r, _ := utf8.DecodeRuneInString(l.src[l.i:])
	return token{}, l.fail("unexpected %q", r)
}

func (l *lexer) word() string {
	start := l.i
	for l.i < len(l.src) && isIdent(l.src[l.i]) {
		l.i++
	}
	return l.src[start:l.i]
}

func (l *lexer) ident() (token, error) {
	name := l.word()
	rest := l.src[l.i:]
	if rest != "" && (rest[0] == '?' || rest[0] == '!') && !(len(rest) > 1 && rest[1] == '=' && !strings.HasPrefix(rest[1:], "==") && !strings.HasPrefix(rest[1:], "=~")) {
		name += rest[:1]
		l.i++
	}
	t := token{kind: tIdent, line: l.line, text: name}
	member := len(l.out) > 0 && (l.out[len(l.out)-1].is(".") || l.out[len(l.out)-1].is("&."))
	label := strings.HasPrefix(l.src[l.i:], ":") && !strings.HasPrefix(l.src[l.i:], "::")
	switch {
	case member || label && name != "nil" && name != "true" && name != "false":
	case keywords[name]:
		t.kind = tKeyword
	case name[0] >= 'A' && name[0] <= 'Z':
		t.kind = tConst
	}
	return t, nil
}
