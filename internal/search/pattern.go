package search

import (
	"regexp"
	"strings"
)

// newPattern is the test of "like": without regard to case, a value with * or %
// (any run of characters) anywhere has to fit as a whole, any other is looked for
// within. _ is any one character. It takes time in step with the length of what
// it looks at.
func newPattern(pattern string) func(string) bool {
	whole := strings.ContainsAny(pattern, "*%")
	pattern = strings.ToLower(pattern)
	if strings.Contains(pattern, "_") {
		return anyCharacter(pattern, whole)
	}
	if !whole {
		return func(has string) bool { return strings.Contains(strings.ToLower(has), pattern) }
	}
	parts := strings.FieldsFunc(pattern, isWild)
	first := !isWild(rune(pattern[0]))             // the pattern's beginning is given
	last := !isWild(rune(pattern[len(pattern)-1])) // and its end
	return func(has string) bool { return fits(strings.ToLower(has), parts, first, last) }
}

func isWild(r rune) bool { return r == '*' || r == '%' }

// fits reports whether s has the parts one after another, the first one at its
// beginning and the last one at its end where that is asked. Taking each part at the
// first place that there is never spoils a later one.
func fits(s string, parts []string, first, last bool) bool {
	if first {
		rest, ok := strings.CutPrefix(s, parts[0])
		if !ok {
			return false
		}
		s, parts = rest, parts[1:]
	}
	if last {
		rest, ok := strings.CutSuffix(s, parts[len(parts)-1])
		if !ok {
			return false
		}
		s, parts = rest, parts[:len(parts)-1]
	}
	for _, part := range parts {
		_, rest, ok := strings.Cut(s, part)
		if !ok {
			return false
		}
		s = rest
	}
	return true
}

// anyCharacter is the test of a pattern with _, by an automaton that does not go
// back.
func anyCharacter(pattern string, whole bool) func(string) bool {
	var b strings.Builder
	b.WriteString("(?s)")
	if whole {
		b.WriteString("^")
	}
	for _, r := range pattern {
		switch r {
		case '*', '%':
			b.WriteString(".*")
		case '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	if whole {
		b.WriteString("$")
	}
	re := regexp.MustCompile(b.String())
	return func(has string) bool { return re.MatchString(strings.ToLower(has)) }
}
