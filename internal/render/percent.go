package render

import (
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// percent is the operator % on a string.
func (e *evaluation) percent(text string, v starlark.Value) (starlark.Value, error) {
	args, isTuple := v.(starlark.Tuple)
	if !isTuple {
		args = starlark.Tuple{v}
	}
	mapping, _ := v.(*starlark.Dict)
	spare := mapping != nil // what could be looked up in need not be used
	switch v.(type) {
	case *list, span:
		spare = true
	}
	w := writer{e: e}
	used := 0
	next := func() (starlark.Value, error) {
		if used >= len(args) {
			return nil, typeError("not enough arguments for format string")
		}
		used++
		return args[used-1], nil
	}
	for {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			break
		}
		if err := w.text(text[:i]); err != nil {
			return nil, err
		}
		c, rest, err := parseConversion(text[i+1:])
		if err != nil {
			return nil, err
		}
		text = rest
		if c.verb == '%' {
			if err := w.text("%"); err != nil {
				return nil, err
			}
			continue
		}
		var value starlark.Value
		if c.named {
			if mapping == nil {
				return nil, typeError("format requires a mapping")
			}
			used = len(args)
			value, err = e.index(mapping, starlark.String(c.name))
		} else {
			value, err = next()
		}
		if err != nil {
			return nil, err
		}
		out, err := e.convert(value, c.layout)
		if err != nil {
			return nil, err
		}
		if err := w.text(out); err != nil {
			return nil, err
		}
	}
	if used < len(args) && !spare {
		return nil, typeError("not all arguments converted during string formatting")
	}
	if err := w.text(text); err != nil {
		return nil, err
	}
	return starlark.String(w.b.String()), nil
}

// conversion is one % of a text.
type conversion struct {
	layout
	name  string
	named bool
}

func parseConversion(s string) (conversion, string, error) {
	c := conversion{layout: layout{fill: ' ', precision: -1}}
	if strings.HasPrefix(s, "(") {
		end := strings.IndexByte(s, ')')
		if end < 0 {
			return c, "", valueError("incomplete format key")
		}
		c.name, c.named, s = s[1:end], true, s[end+1:]
	}
flags:
	for s != "" {
		switch s[0] {
		case '-':
			c.align = '<'
		case '0':
			if c.align == 0 {
				c.fill, c.align = '0', '='
			}
		case '+':
			c.sign = '+'
		case ' ':
			if c.sign == 0 {
				c.sign = ' '
			}
		case '#':
			c.alternate = true
		default:
			break flags
		}
		s = s[1:]
	}
	if c.align == '<' {
		c.fill = ' '
	}
	var err error
	if c.width, s, err = leadingNumber(s, 0); err != nil {
		return c, "", err
	}
	if rest, dot := strings.CutPrefix(s, "."); dot {
		if c.precision, s, err = leadingNumber(rest, 0); err != nil {
			return c, "", err
		}
	}
	if s == "" {
		return c, "", valueError("incomplete format")
	}
	if c.verb = s[0]; c.verb == '*' {
		return c, "", unsupported("* as a width in %% formatting is not supported")
	}
	if strings.IndexByte("srdiuxXofFeEgGc%", c.verb) < 0 {
		r, _ := utf8.DecodeRuneInString(s)
		return c, "", valueError("unsupported format character '%c'", r)
	}
	return c, s[1:], nil
}

// convert writes one value the way its % asks.
func (e *evaluation) convert(v starlark.Value, l layout) (string, error) {
	switch l.verb {
	case 's', 'r':
		s, err := e.str(v)
		if l.verb == 'r' {
			s, err = e.repr(v)
		}
		if err != nil {
			return "", err
		}
		if l.align != '<' {
			l.align = '>'
		}
		l.fill, l.sign, l.verb = ' ', 0, 's'
		return e.layOut(starlark.String(s), l)
	case 'c':
		if s, ok := v.(starlark.String); ok && chars(string(s)) == 1 {
			return e.layOut(s, layout{fill: ' ', align: '>', width: l.width, precision: -1})
		}
	}
	n := number(v)
	if n == nil {
		return "", typeError("%%%c format: a real number is required, not %s", l.verb, typeName(v))
	}
	switch l.verb {
	case 'd', 'i', 'u':
		l.verb = 'd'
		if f, ok := n.(starlark.Float); ok {
			i, err := starlark.NumberToInt(f)
			if err != nil {
				return "", failure("OverflowError", "cannot convert float %s to integer", floatText(float64(f)))
			}
			n = i
		}
	case 'x', 'X', 'o', 'c':
		if _, ok := n.(starlark.Float); ok {
			return "", typeError("%%%c format: an integer is required, not float", l.verb)
		}
	}
	if _, ok := n.(starlark.Int); ok && strings.IndexByte("dxXo", l.verb) >= 0 && l.precision >= 0 {
		return "", unsupported("a precision with %%%c is not supported; use a width with 0", l.verb)
	}
	return e.layOutNumber(n, l)
}
