package ruby

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

func (l *lexer) number() (token, error) {
	start := l.i
	rest := l.src[start:]
	if rest[0] == '0' && len(rest) > 1 && (isIdentStart(rest[1]) || isDigit(rest[1])) {
		return token{}, l.fail("numbers are written in decimal, without leading zeros")
	}
	digits := func() {
		for l.i < len(l.src) && (isDigit(l.src[l.i]) || l.src[l.i] == '_' && l.i+1 < len(l.src) && isDigit(l.src[l.i+1])) {
			l.i++
		}
	}
	digits()
	kind := tInt
	if l.i+1 < len(l.src) && l.src[l.i] == '.' && isDigit(l.src[l.i+1]) {
		kind = tFloat
		l.i++
		digits()
	}
	if l.i+1 < len(l.src) && (l.src[l.i] == 'e' || l.src[l.i] == 'E') {
		j := l.i + 1
		if l.src[j] == '-' || l.src[j] == '+' {
			j++
		}
		if j < len(l.src) && isDigit(l.src[j]) {
			kind, l.i = tFloat, j
			digits()
		}
	}
	if l.i < len(l.src) && isIdentStart(l.src[l.i]) {
		return token{}, l.fail("unexpected %q after a number", l.src[l.i])
	}
	text := strings.ReplaceAll(l.src[start:l.i], "_", "")
	if _, err := strconv.ParseInt(text, 10, 64); kind == tInt && err != nil {
		return token{}, l.fail("the number %s is too large", clip(text))
	}
	return token{kind: kind, line: l.line, text: text}, nil
}

func (l *lexer) symbol() (token, error) {
	t := token{kind: tSymbol, line: l.line}
	l.i++
	if l.src[l.i] == '"' {
		l.i++
		parts, err := l.quoted('"', '"', true)
		if err != nil {
			return t, err
		}
		if len(parts) != 1 || parts[0].code != nil {
			return t, l.fail("interpolated symbols are not supported")
		}
		t.text = parts[0].text
		return t, nil
	}
	t.text = l.word()
	if rest := l.src[l.i:]; rest != "" && (rest[0] == '?' || rest[0] == '!') && !strings.HasPrefix(rest[1:], "=") {
		t.text += rest[:1]
		l.i++
	}
	return t, nil
}

// closer returns the sign that closes a literal opened by c; 0: none can.
func closer(c byte) byte {
	switch c {
	case '(':
		return ')'
	case '[':
		return ']'
	case '{':
		return '}'
	case '<':
		return '>'
	}
	if c < utf8.RuneSelf && !isIdent(c) && c > ' ' {
		return c
	}
	return 0
}

// percent reads a literal that begins with %.
func (l *lexer) percent() (token, error) {
	line := l.line
	kind := l.src[l.i+1:]
	if kind == "" {
		return token{}, l.fail("unexpected %%")
	}
	if isIdentStart(kind[0]) && len(kind) > 1 && kind[0] == 'w' && closer(kind[1]) != 0 {
		l.i += 3
		parts, err := l.quoted(kind[1], closer(kind[1]), false)
		if err != nil {
			return token{}, err
		}
		words := strings.Fields(parts[0].text)
		*l.left -= len(words)
		return token{kind: tWords, line: line, words: words}, nil
	}
	if kind[0] == 'x' {
		return token{}, l.fail("%%x is refused: a template cannot run programs")
	}
	return token{}, l.fail("literals with %%%s are not supported", string(kind[0]))
}

// regex reads a regular expression up to its flags.
func (l *lexer) regex(open, shut byte) (token, error) {
	t := token{kind: tRegex, line: l.line}
	var b strings.Builder
	for ; ; l.i++ {
		if l.i >= len(l.src) {
			return t, failure(t.line, "a regular expression is not closed")
		}
		c := l.src[l.i]
		switch {
		case c == shut:
			l.i++
			for l.i < len(l.src) && isIdentStart(l.src[l.i]) {
				f := l.src[l.i]
				if f != 'i' && f != 'm' {
					return t, l.fail("the flag %q of regular expressions is not supported", f)
				}
				t.flags += string(f)
				l.i++
			}
			t.text = b.String()
			return t, nil
		case c == '#' && strings.HasPrefix(l.src[l.i+1:], "{"):
			return t, l.fail("interpolation in regular expressions is not supported")
		case c == '\\' && l.i+1 < len(l.src):
			l.i++
			if l.src[l.i] == '\n' {
				l.line++
			}
			if l.src[l.i] != open {
				b.WriteByte('\\')
			}
		case c == '\n':
			l.line++
		}
		b.WriteByte(l.src[l.i])
	}
}

// quoted reads a string up to the sign that closes it. Signs that open and shut
// and differ nest. There is at least one part.
func (l *lexer) quoted(open, shut byte, double bool) ([]part, error) {
	var parts []part
	var b strings.Builder
	start, nested := l.line, 0
	for ; ; l.i++ {
		if l.i >= len(l.src) {
			return nil, failure(start, "a string is not closed")
		}
		c := l.src[l.i]
		switch {
		case c == shut && nested == 0:
			l.i++
			if b.Len() > 0 || len(parts) == 0 {
				parts = append(parts, part{text: b.String()})
			}
			return parts, nil
		case c == shut:
			nested--
		case c == open:
			nested++
		case c == '\n':
			l.line++
		case c == '\\' && l.i+1 < len(l.src):
			if err := l.escape(&b, open, shut, double); err != nil {
				return nil, err
			}
			continue
		case double && c == '#' && strings.HasPrefix(l.src[l.i+1:], "{"):
			if b.Len() > 0 {
				parts = append(parts, part{text: b.String()})
				b.Reset()
			}
			l.i += 2
			code, err := l.interpolation()
			if err != nil {
				return nil, err
			}
			parts = append(parts, part{code: code})
			l.i--
			continue
		case double && c == '#' && l.i+1 < len(l.src) && (l.src[l.i+1] == '@' || l.src[l.i+1] == '$'):
			return nil, l.fail("interpolation without braces is not supported")
		}
		b.WriteByte(c)
	}
}

func (l *lexer) interpolation() ([]token, error) {
	if l.depth >= maxNesting {
		return nil, l.fail("strings are nested too deeply")
	}
	inner := &lexer{src: l.src, i: l.i, line: l.line, left: l.left, locals: l.locals, depth: l.depth + 1}
	code, err := inner.lex(true)
	l.i, l.line = inner.i, inner.line
	if code == nil {
		code = []token{}
	}
	return code, err
}

var escapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 's': ' ', 'e': 0x1b, '0': 0, 'a': '\a', 'b': '\b', 'f': '\f', 'v': '\v'}

// escape reads a backslash and what it says.
func (l *lexer) escape(b *strings.Builder, open, shut byte, double bool) error {
	l.i++
	c := l.src[l.i]
	if c == '\n' {
		l.line++
	}
	if !double {
		if c != shut && c != open && c != '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
		return nil
	}
	switch v, ok := escapes[c]; {
	case c == '0' && l.i+1 < len(l.src) && isDigit(l.src[l.i+1]), c >= '1' && c <= '7':
		return l.fail("octal escapes are not supported")
	case ok:
		b.WriteByte(v)
	case c == '\n':
	case c == 'u' || c == 'x':
		return l.codepoint(b, c == 'u')
	case c == 'c' || c == 'C' || c == 'M':
		return l.fail("the escape \\%c is not supported", c)
	default:
		b.WriteByte(c)
	}
	return nil
}

// codepoint reads \uXXXX, \u{X} or \xXX.
func (l *lexer) codepoint(b *strings.Builder, unicode bool) error {
	rest := l.src[l.i+1:]
	n, brace := 0, unicode && strings.HasPrefix(rest, "{")
	if brace {
		rest = rest[1:]
	}
	most := 2
	if brace {
		most = 6
	} else if unicode {
		most = 4
	}
	for n < most && n < len(rest) && strings.IndexByte("0123456789abcdefABCDEF", rest[n]) >= 0 {
		n++
	}
	v, err := strconv.ParseUint(rest[:n], 16, 32)
	if err != nil || unicode && !brace && n != 4 || brace && !strings.HasPrefix(rest[n:], "}") || v > utf8.MaxRune {
		return l.fail("an escape in a string is not valid")
	}
	l.i += n
	if brace {
		l.i += 2
	}
	if unicode {
		b.WriteRune(rune(v))
	} else {
		b.WriteByte(byte(v))
	}
	return nil
}
