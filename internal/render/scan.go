package render

import (
	"strings"
	"unicode/utf8"
)

// token is a piece of an expression, as far as telling Python's constructs
// apart needs it.
type token struct {
	kind byte // 'a' name or keyword, '0' number, '"' string, else the operator's first byte
	text string
}

// scan cuts an expression into tokens. It refuses string prefixes that the
// grammar does not have; everything else is the parser's to judge.
func scan(src string) ([]token, error) {
	var out []token
	for i := 0; i < len(src); {
		c := src[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '#':
			return out, nil
		case c == '"' || c == '\'':
			n := stringLen(src[i:])
			out = append(out, token{'"', src[i : i+n]})
			i += n
		case isNameByte(c) && (c < '0' || c > '9'):
			n := 1
			for i+n < len(src) && isNameByte(src[i+n]) {
				n++
			}
			word := src[i : i+n]
			i += n
			if i < len(src) && (src[i] == '"' || src[i] == '\'') && len(word) <= 2 && strings.Trim(strings.ToLower(word), "bfrtu") == "" {
				if err := stringPrefix(word); err != nil {
					return nil, err
				}
				n := stringLen(src[i:])
				out = append(out, token{'"', word + src[i:i+n]})
				i += n
				continue
			}
			out = append(out, token{'a', word})
		case c >= '0' && c <= '9':
			n := 1
			for i+n < len(src) && (isNameByte(src[i+n]) || src[i+n] == '.') {
				n++
			}
			out = append(out, token{'0', src[i : i+n]})
			i += n
		default:
			op := operatorAt(src[i:])
			out = append(out, token{op[0], op})
			i += len(op)
		}
	}
	return out, nil
}

func isNameByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf
}

func operatorAt(s string) string {
	for _, op := range [...]string{"**", "//", "==", "!=", "<=", ">=", "<<", ">>", ":=", "->"} {
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	return s[:1]
}

// stringLen is the length of the string literal that s begins with; all of s
// when it is not closed.
func stringLen(s string) int {
	quote := s[:1]
	if strings.HasPrefix(s, strings.Repeat(quote, 3)) {
		quote = s[:3]
	}
	for i := len(quote); i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if strings.HasPrefix(s[i:], quote) {
			return i + len(quote)
		}
	}
	return len(s)
}

func stringPrefix(word string) error {
	switch p := strings.ToLower(word); {
	case word == "r":
		return nil
	case strings.Contains(p, "f"):
		return unsupported(`f-strings are not supported; use "{}".format(value) or "%%s" %% value`)
	case strings.Contains(p, "b"):
		return unsupported("bytes literals are not supported; leave the b out")
	}
	return unsupported("the string prefix %s is not supported; leave it out", word)
}

// constructs refuses what Python has and the grammar has not, by name. A
// parser would only say that it did not expect the token.
func constructs(tokens []token) error {
	brackets := []byte{0}
	compared := []bool{false} // whether this operand list has a comparison already, by bracket depth
	inFor := []bool{false}    // whether the next "in" belongs to a for
	for i, t := range tokens {
		top := len(brackets) - 1
		switch t.kind {
		case '(', '[', '{':
			brackets = append(brackets, t.kind)
			compared = append(compared, false)
			inFor = append(inFor, false)
			continue
		case ')', ']', '}':
			if top > 0 {
				brackets, compared, inFor = brackets[:top], compared[:top], inFor[:top]
			}
			continue
		case '"':
			if i > 0 && tokens[i-1].kind == '"' {
				return unsupported("strings side by side are not supported; join them with +")
			}
			continue
		}
		comparison := false
		switch t.text {
		case "is":
			return unsupported("the operator is is not supported; use ==")
		case "lambda":
			return unsupported("lambda is not supported")
		case "await", "yield", "import":
			return unsupported("%s is not supported", t.text)
		case ":=":
			return unsupported("the operator := is not supported")
		case "**", "@":
			return unsupported("the operator %s is not supported", t.text)
		case "for":
			if brackets[top] == '(' || brackets[top] == 0 {
				return unsupported("generator expressions are not supported; put [ ] around it")
			}
			inFor[top], compared[top] = true, false
		case "in":
			comparison = !inFor[top]
			inFor[top] = false
		case "==", "!=", "<", ">", "<=", ">=":
			comparison = true
		case "and", "or", "if", "else", ",", ":", "=":
			compared[top] = false
		case "not":
			if i+1 >= len(tokens) || tokens[i+1].text != "in" {
				compared[top] = false
			}
		}
		if comparison {
			if compared[top] {
				return unsupported("chained comparisons are not supported; write a < b and b < c")
			}
			compared[top] = true
		}
	}
	return nil
}
