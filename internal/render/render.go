// Package render fills the {{ expression }} places of a text.
//
// An expression is Python's, in the subset that Starlark's grammar shares with
// it, and its value is written as Python writes it: True, None, 1.5,
// ['a', 'b']. It reads the run's values and can change nothing; there is no
// file, network or clock in it. Constructs outside the subset are refused by
// name, where possible when the text is saved (Check).
//
// A text that needs two opening braces for itself writes {{"{{"}}.
//
// Nothing an expression can say takes more than Limits allow: every value is
// charged, before it is made, to a budget of steps and of bytes.
package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.starlark.net/syntax"

	"drover/internal/job"
)

// Env is what the expressions of one rendering can see.
type Env struct {
	// Device is the device that the text is for; nil where there is none.
	Device *job.Device
	// Devices returns all targets of the run. It is called at most once, and
	// only if an expression asks. Nil: just Device.
	Devices func() ([]job.Device, error)
	// Payload is a JSON object; empty is {}.
	Payload json.RawMessage
	User    User
	Server  Server
}

// User is who started the run.
type User struct{ Name, Email string }

// Server is this installation.
type Server struct{ Name, URL, Address string }

// Limits bound one rendering. Steps and Memory are shared by all expressions
// of the text and only ever shrink: memory that has become garbage still
// counts.
type Limits struct {
	Text        int           // bytes of the text
	Expressions int           // how many of them a text may have
	Source      int           // bytes of all expressions of a text together
	Expression  int           // bytes of one expression
	Depth       int           // nesting of one expression, and of a value that is written
	Steps       int64         // about one for each operation, and for each 64 bytes that an operation looks at
	Memory      int64         // bytes of all values made
	Output      int           // bytes of the rendered text
	Time        time.Duration // wall clock; the context may end sooner
}

// DefaultLimits are the limits of Template.
var DefaultLimits = Limits{
	Text:        1 << 20,
	Expressions: 1000,
	Source:      64 << 10,
	Expression:  4 << 10,
	Depth:       100,
	Steps:       200_000,
	Memory:      8 << 20,
	Output:      1 << 20,
	Time:        time.Second,
}

// Template replaces every {{ expression }} of text by its value, in one pass.
// An expression stands on one line; braces that enclose a line break are left
// as they are, and {{}} is empty. The error is job.Invalid, or job.Canceled
// when ctx ended; its message names line and expression and ends as Python's
// would: "KeyError: 'aid'". Errors of Env.Devices are returned as they are.
func Template(ctx context.Context, text string, env Env) (string, error) {
	return DefaultLimits.Template(ctx, text, env)
}

// Template is the function Template under other limits.
func (l Limits) Template(ctx context.Context, text string, env Env) (string, error) {
	t, err := l.cached(text)
	if err != nil {
		return "", err
	}
	if len(t.places) == 0 {
		return text, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.Time)
	defer cancel()
	e := newEvaluation(ctx, l, env)
	var out strings.Builder
	end := 0
	for _, p := range t.places {
		out.WriteString(text[end:p.start])
		end = p.end
		if p.expr == nil {
			continue
		}
		s, err := e.render(p.expr)
		if err != nil {
			return "", p.blame(err)
		}
		if out.Len()+len(s) > l.Output {
			return "", p.blame(failure("OverflowError", "the rendered text is longer than %d bytes", l.Output))
		}
		out.WriteString(s)
	}
	if out.Len()+len(text)-end > l.Output {
		return "", job.Errorf(job.Invalid, "the rendered text is longer than %d bytes", l.Output)
	}
	out.WriteString(text[end:])
	return out.String(), nil
}

// Check reports what can be refused without values: syntax, constructs that
// are not supported, sizes. The message names the line and the expression.
func Check(text string) error {
	_, err := DefaultLimits.parse(text)
	return err
}

// template is a parsed text. It is not changed after it was made.
type template struct {
	places []place
	source int // bytes of all expressions
}

// place is one {{ expression }} of a text.
type place struct {
	start, end int
	line       int
	source     string
	expr       syntax.Expr // nil: {{}}
}

// parse finds and parses the expressions of a text.
func (l Limits) parse(text string) (*template, error) {
	if len(text) > l.Text {
		return nil, job.Errorf(job.Invalid, "the text is %d bytes long; at most %d are allowed", len(text), l.Text)
	}
	t := &template{}
	line, counted := 1, 0
	for i := 0; ; {
		open := strings.Index(text[i:], "{{")
		if open < 0 {
			return t, nil
		}
		start := i + open
		rest := text[start+2:]
		stop := strings.Index(rest, "}}")
		if stop < 0 {
			return t, nil
		}
		if nl := strings.IndexByte(rest, '\n'); nl >= 0 && nl < stop {
			i = start + 2 + nl // nothing further on this line is closed either
			continue
		}
		i = start + 2 + stop + 2
		line += strings.Count(text[counted:start], "\n")
		counted = start
		p := place{start: start, end: i, line: line, source: rest[:stop]}
		if t.source += len(p.source); len(t.places) == l.Expressions || t.source > l.Source {
			return nil, job.Errorf(job.Invalid, "line %d: the text has more than %d expressions, or more than %d bytes of them", line, l.Expressions, l.Source)
		}
		if p.source != "" {
			var err error
			if p.expr, err = l.parseExpr(p.source); err != nil {
				return nil, p.blame(err)
			}
		}
		t.places = append(t.places, p)
	}
}

// blame says where an error happened.
func (p place) blame(err error) error {
	var f *evalError
	switch {
	case errors.As(err, &f):
		source := strings.ToValidUTF8(p.source, "\uFFFD")
		if len(source) > 120 {
			source = strings.ToValidUTF8(source[:120], "") + "..."
		}
		return job.Errorf(job.Invalid, "line %d: {{%s}}: %s", p.line, source, f)
	case errors.Is(err, context.Canceled):
		return job.Wrap(job.Canceled, err, "line %d: rendering was stopped", p.line)
	}
	return err
}

// evalError is a failure of an expression, in Python's words.
type evalError struct {
	kind, text string
}

func (e *evalError) Error() string { return e.kind + ": " + e.text }

func failure(kind, format string, args ...any) error {
	return &evalError{kind: kind, text: fmt.Sprintf(format, args...)}
}

// unsupported refuses a construct by name.
func unsupported(format string, args ...any) error {
	return failure("Unsupported", format, args...)
}

func typeError(format string, args ...any) error  { return failure("TypeError", format, args...) }
func valueError(format string, args ...any) error { return failure("ValueError", format, args...) }
