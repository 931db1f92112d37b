package render

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// str is Python's str().
func (e *evaluation) str(v starlark.Value) (string, error) {
	if s, ok := v.(starlark.String); ok {
		return string(s), nil
	}
	return e.repr(v)
}

// repr is Python's repr().
func (e *evaluation) repr(v starlark.Value) (string, error) {
	w := writer{e: e}
	if err := w.value(v, e.limits.Depth); err != nil {
		return "", err
	}
	return w.b.String(), nil
}

// writer builds a text, charged as it grows. All the buffers that a text grows
// through are together some five times its length: Limits.Memory is what is
// charged, and the process may allocate that much more.
type writer struct {
	e *evaluation
	b strings.Builder
}

func (w *writer) text(s string) error {
	if err := w.e.alloc(int64(len(s))); err != nil {
		return err
	}
	w.b.WriteString(s)
	return nil
}

func (w *writer) value(v starlark.Value, depth int) error {
	if depth == 0 {
		return failure("RecursionError", "maximum recursion depth exceeded while getting the repr of an object")
	}
	if err := w.e.step(1); err != nil {
		return err
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return w.text("None")
	case starlark.Bool:
		if v {
			return w.text("True")
		}
		return w.text("False")
	case starlark.Int:
		return w.text(v.String()) // bounded by maxIntBits
	case starlark.Float:
		return w.text(floatText(float64(v)))
	case starlark.String:
		return w.quoted(string(v))
	case *list:
		return w.elems("[", v.elems, "]", depth)
	case starlark.Tuple:
		if len(v) == 1 {
			return w.elems("(", v, ",)", depth)
		}
		return w.elems("(", v, ")", depth)
	case view:
		return w.elems(v.kind+"([", v.elems, "])", depth)
	case *starlark.Dict:
		return w.dict(v, depth)
	case span:
		return w.span(v)
	case device:
		return w.text(v.String())
	case *function:
		return w.text("<built-in function " + v.name + ">")
	}
	return unsupported("a value of type %s cannot be written", typeName(v))
}

func (w *writer) elems(open string, elems []starlark.Value, end string, depth int) error {
	if err := w.text(open); err != nil {
		return err
	}
	for i, x := range elems {
		if i > 0 {
			if err := w.text(", "); err != nil {
				return err
			}
		}
		if err := w.value(x, depth-1); err != nil {
			return err
		}
	}
	return w.text(end)
}

func (w *writer) dict(d *starlark.Dict, depth int) error {
	between := "{"
	for k, v := range d.Entries() {
		if err := w.text(between); err != nil {
			return err
		}
		between = ", "
		if err := w.value(k, depth-1); err != nil {
			return err
		}
		if err := w.text(": "); err != nil {
			return err
		}
		if err := w.value(v, depth-1); err != nil {
			return err
		}
	}
	if d.Len() == 0 {
		return w.text("{}")
	}
	return w.text("}")
}

func (w *writer) span(s span) error {
	elems := []starlark.Value{starlark.MakeInt64(s.start), starlark.MakeInt64(s.stop)}
	if s.step != 1 {
		elems = append(elems, starlark.MakeInt64(s.step))
	}
	return w.elems("range(", elems, ")", 2)
}

// quoted writes a string literal: in single quotes, unless it holds those and
// no double ones.
func (w *writer) quoted(s string) error {
	quote := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	if err := w.e.alloc(int64(len(s)) + 2); err != nil {
		return err
	}
	w.b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			w.b.WriteByte('\\')
			w.b.WriteRune(r)
		case r == '\n':
			w.b.WriteString(`\n`)
		case r == '\r':
			w.b.WriteString(`\r`)
		case r == '\t':
			w.b.WriteString(`\t`)
		case unicode.IsPrint(r):
			w.b.WriteRune(r)
		default:
			if err := w.text(escaped(r)); err != nil {
				return err
			}
		}
	}
	w.b.WriteRune(quote)
	return nil
}

// escaped writes a character that is not printable.
func escaped(r rune) string {
	hex := strconv.FormatInt(int64(r), 16)
	switch {
	case r < 0x100:
		return `\x` + strings.Repeat("0", 2-len(hex)) + hex
	case r < 0x10000:
		return `\u` + strings.Repeat("0", 4-len(hex)) + hex
	}
	return `\U` + strings.Repeat("0", 8-len(hex)) + hex
}

// floatText writes the shortest digits that give the number back, with an
// exponent below 1e-4 and from 1e16 on.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if size := math.Abs(f); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// chars is the length of s in characters.
func chars(s string) int { return utf8.RuneCountInString(s) }
