package render

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// layout is how one value is laid out: what a format specification and a
// conversion of the % operator have in common.
type layout struct {
	fill      rune
	align     byte // '<', '>', '^', '=' (after the sign); 0: by type
	sign      byte // '+', ' ' or 0
	alternate bool
	comma     bool
	width     int64
	precision int64 // -1: none
	verb      byte  // 0: by type
}

// format is str.format.
func (e *evaluation) format(text string, a *arguments) (starlark.Value, error) {
	w := writer{e: e}
	next := 0
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			i = len(text)
		}
		if err := w.text(text[:i]); err != nil {
			return nil, err
		}
		if text = text[i:]; text == "" {
			break
		}
		if strings.HasPrefix(text, "{{") || strings.HasPrefix(text, "}}") {
			if err := w.text(text[:1]); err != nil {
				return nil, err
			}
			text = text[2:]
			continue
		}
		if text[0] == '}' {
			return nil, valueError("Single '}' encountered in format string")
		}
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return nil, valueError("expected '}' before end of string")
		}
		field := text[1:end]
		text = text[end+1:]
		if strings.Contains(field, "{") {
			return nil, unsupported("{} inside the {} of a format is not supported")
		}
		out, err := e.formatField(field, a, &next)
		if err != nil {
			return nil, err
		}
		if err := w.text(out); err != nil {
			return nil, err
		}
	}
	return starlark.String(w.b.String()), nil
}

// formatField is one replacement field, without its braces. next counts the
// fields that are numbered by their order; -1 after one with a number.
func (e *evaluation) formatField(field string, a *arguments, next *int) (string, error) {
	name, spec, _ := strings.Cut(field, ":")
	name, conversion, converted := strings.Cut(name, "!")
	if strings.ContainsAny(name, ".[") {
		return "", unsupported("{%.40s} in a format is not supported; pass the value itself", name)
	}
	v, err := formatValue(name, a, next)
	if err != nil {
		return "", err
	}
	if converted {
		var s string
		switch conversion {
		case "s":
			s, err = e.str(v)
		case "r":
			s, err = e.repr(v)
		default:
			err = valueError("Unknown conversion specifier '%.10s'", conversion)
		}
		if err != nil {
			return "", err
		}
		v = starlark.String(s)
	}
	if spec == "" {
		return e.str(v)
	}
	l, err := parseLayout(spec)
	if err != nil {
		return "", err
	}
	return e.layOut(v, l)
}

func formatValue(name string, a *arguments, next *int) (starlark.Value, error) {
	place := *next
	switch n, err := strconv.ParseUint(name, 10, 31); {
	case name == "":
		if place < 0 {
			return nil, valueError("cannot switch from manual field specification to automatic field numbering")
		}
		*next++
	case err == nil:
		if place > 0 {
			return nil, valueError("cannot switch from automatic field numbering to manual field specification")
		}
		place, *next = int(n), -1
	default:
		for _, b := range a.named {
			if b.name == name {
				return b.value, nil
			}
		}
		return nil, failure("KeyError", "'%.60s'", name)
	}
	if place >= len(a.list) {
		return nil, failure("IndexError", "Replacement index %d out of range for positional args tuple", place)
	}
	return a.list[place], nil
}

// parseLayout reads [[fill]align][sign][#][0][width][,][.precision][type].
func parseLayout(spec string) (layout, error) {
	l := layout{fill: ' ', precision: -1}
	s, filled := spec, false
	if r, n := utf8.DecodeRuneInString(s); n > 0 && n < len(s) && strings.IndexByte("<>^=", s[n]) >= 0 {
		l.fill, l.align, s = r, s[n], s[n+1:]
		filled = true
	} else if s != "" && strings.IndexByte("<>^=", s[0]) >= 0 {
		l.align, s = s[0], s[1:]
	}
	if s != "" && strings.IndexByte("+- ", s[0]) >= 0 {
		if s[0] != '-' {
			l.sign = s[0]
		}
		s = s[1:]
	}
	s, l.alternate = strings.CutPrefix(s, "#")
	if rest, zero := strings.CutPrefix(s, "0"); zero {
		s = rest
		if !filled {
			l.fill = '0'
		}
		if l.align == 0 {
			l.align = '='
		}
	}
	var err error
	if l.width, s, err = leadingNumber(s, 0); err != nil {
		return l, err
	}
	s, l.comma = strings.CutPrefix(s, ",")
	if rest, dot := strings.CutPrefix(s, "."); dot {
		if l.precision, s, err = leadingNumber(rest, -1); err != nil {
			return l, err
		}
		if l.precision < 0 {
			return l, valueError("Format specifier missing precision")
		}
	}
	switch {
	case s == "":
		return l, nil
	case len(s) == 1 && strings.Contains("sdxXobeEfFgG%c", s):
		l.verb = s[0]
		return l, nil
	}
	return l, valueError("Invalid format specifier '%.40s'", spec)
}

func leadingNumber(s string, none int64) (int64, string, error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if digits == 0 {
		return none, s, nil
	}
	n, err := strconv.ParseInt(s[:digits], 10, 32)
	if err != nil {
		return 0, s, valueError("Too many decimal digits in format string")
	}
	return n, s[digits:], nil
}

// layOut writes a value in its layout.
func (e *evaluation) layOut(v starlark.Value, l layout) (string, error) {
	n := number(v)
	if n != nil && l.verb != 's' {
		return e.layOutNumber(n, l)
	}
	s, ok := v.(starlark.String)
	if !ok && n == nil {
		return "", typeError("unsupported format string passed to %s.__format__", typeName(v))
	}
	if !ok || l.verb != 0 && l.verb != 's' {
		return "", valueError("Unknown format code '%c' for object of type '%s'", l.verb, typeName(v))
	}
	if l.sign != 0 || l.align == '=' && l.fill != '0' || l.comma {
		return "", valueError("Sign, comma and '=' are not allowed in string format specifier")
	}
	text := string(s)
	if err := e.look(len(text)); err != nil {
		return "", err
	}
	if l.precision >= 0 && int64(chars(text)) > l.precision {
		text = text[:runeOffset(text, l.precision)]
	}
	if l.align == 0 || l.align == '=' {
		l.align = '<'
	}
	return e.pad(text, l.fill, l.align, l.width)
}

func (e *evaluation) layOutNumber(n starlark.Value, l layout) (string, error) {
	digits, negative, err := e.digits(n, l)
	if err != nil {
		return "", err
	}
	mark := ""
	switch {
	case negative:
		mark = "-"
	case l.sign != 0:
		mark = string(l.sign)
	}
	if l.alternate && (l.verb == 'x' || l.verb == 'X' || l.verb == 'o' || l.verb == 'b') {
		mark += "0" + string(l.verb)
	}
	if l.comma {
		digits = grouped(digits)
	}
	switch l.align {
	case '=':
		body, err := e.pad(digits, l.fill, '>', l.width-int64(len(mark)))
		if err != nil {
			return "", err
		}
		return mark + body, e.alloc(int64(len(body)))
	case 0:
		l.align = '>'
	}
	return e.pad(mark+digits, l.fill, l.align, l.width)
}

// digits writes a number without its sign.
func (e *evaluation) digits(n starlark.Value, l layout) (string, bool, error) {
	if i, ok := n.(starlark.Int); ok && (l.verb == 0 || strings.IndexByte("dxXobc", l.verb) >= 0) {
		return e.intDigits(i, l)
	}
	if strings.IndexByte("dxXobc", l.verb) >= 0 && l.verb != 0 {
		return "", false, valueError("Unknown format code '%c' for object of type 'float'", l.verb)
	}
	f, err := asFloat(n)
	if err != nil {
		return "", false, err
	}
	if l.precision > 1000 {
		return "", false, valueError("precision too big")
	}
	if err := e.alloc(2000); err != nil {
		return "", false, err
	}
	negative := math.Signbit(f) && !math.IsNaN(f)
	f = math.Abs(f)
	precision := int(l.precision)
	if precision < 0 {
		precision = 6
	}
	var s string
	switch l.verb {
	case 0:
		if s = floatText(f); l.precision >= 0 {
			s = general(f, precision, precision-1, false)
			if !strings.ContainsAny(s, ".en") {
				s += ".0"
			}
		}
	case 'f', 'F':
		s = strconv.FormatFloat(f, 'f', precision, 64)
	case '%':
		s = strconv.FormatFloat(f*100, 'f', precision, 64) + "%"
	case 'e', 'E':
		s = strconv.FormatFloat(f, 'e', precision, 64)
	default:
		s = general(f, precision, precision, l.alternate)
	}
	if math.IsInf(f, 0) || math.IsNaN(f) {
		s = floatText(f)
		if l.verb == '%' {
			s += "%"
		}
	}
	if l.verb == 'E' || l.verb == 'G' || l.verb == 'F' {
		s = strings.ToUpper(s)
	}
	return s, negative, nil
}

func (e *evaluation) intDigits(i starlark.Int, l layout) (string, bool, error) {
	if l.precision >= 0 {
		return "", false, valueError("Precision not allowed in integer format specifier")
	}
	if err := e.alloc(maxIntBits); err != nil { // as bits; fewer in every other base
		return "", false, err
	}
	if l.verb == 'c' {
		n, ok := i.Int64()
		if !ok || n < 0 || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
			return "", false, failure("OverflowError", "%%c arg not in range(0x110000)")
		}
		return string(rune(n)), false, nil
	}
	base := map[byte]int{'x': 16, 'X': 16, 'o': 8, 'b': 2}[l.verb]
	if base == 0 {
		base = 10
	}
	s := strings.TrimPrefix(i.BigInt().Text(base), "-")
	if l.verb == 'X' {
		s = strings.ToUpper(s)
	}
	return s, i.Sign() < 0, nil
}

// general writes a float with the given number of significant digits, with an
// exponent below 1e-4 and when there are more than whole digits before the
// point.
func general(f float64, precision, whole int, keepZeros bool) string {
	if precision < 1 {
		precision, whole = 1, whole+1
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', precision-1, 64), "e")
	x, err := strconv.Atoi(exponent)
	if err != nil { // inf, nan
		return floatText(f)
	}
	trim := func(s string) string {
		if keepZeros || !strings.Contains(s, ".") {
			return s
		}
		return strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if x < -4 || x >= whole {
		return trim(mantissa) + "e" + exponent
	}
	return trim(strconv.FormatFloat(f, 'f', precision-1-x, 64))
}

// grouped puts a comma between thousands.
func grouped(s string) string {
	whole := len(s) - len(strings.TrimLeft(s, "0123456789"))
	var b strings.Builder
	for i := range whole {
		if i > 0 && (whole-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteByte(s[i])
	}
	return b.String() + s[whole:]
}
