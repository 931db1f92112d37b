package ruby

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Bounds of regular expressions: of their text, and of the program that they are
// compiled into, which is what matching costs; and of all those of a template.
const (
	maxPattern         = 1000
	maxInstructions    = 2000
	maxAllInstructions = 10_000
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
