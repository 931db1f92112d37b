package render

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

func splitMethod(e *evaluation, s string, a *arguments) (starlark.Value, error) {
	sep, bySep, most, err := separator(a)
	if err != nil {
		return nil, err
	}
	var parts []starlark.Value
	add := func(part string) error {
		if err := e.alloc(3 * sizeValue); err != nil {
			return err
		}
		parts = append(parts, starlark.String(part))
		return nil
	}
	for !bySep {
		s = strings.TrimLeftFunc(s, unicode.IsSpace)
		if s == "" {
			return e.list(parts)
		}
		end := strings.IndexFunc(s, unicode.IsSpace)
		if end < 0 || int64(len(parts)) == most {
			end = len(s)
			if int64(len(parts)) < most {
				s = strings.TrimRightFunc(s, unicode.IsSpace)
				end = len(s)
			}
		}
		if err := add(s[:end]); err != nil {
			return nil, err
		}
		s = s[end:]
	}
	for int64(len(parts)) < most {
		i := strings.Index(s, sep)
		if i < 0 {
			break
		}
		if err := add(s[:i]); err != nil {
			return nil, err
		}
		s = s[i+len(sep):]
	}
	if err := add(s); err != nil {
		return nil, err
	}
	return e.list(parts)
}

func rsplitMethod(e *evaluation, s string, a *arguments) (starlark.Value, error) {
	sep, bySep, most, err := separator(a)
	if err != nil {
		return nil, err
	}
	var parts []starlark.Value // from the end
	for {
		if !bySep {
			s = strings.TrimRightFunc(s, unicode.IsSpace)
			if s == "" {
				break
			}
		}
		if err := e.alloc(3 * sizeValue); err != nil {
			return nil, err
		}
		at, n := strings.LastIndex(s, sep), len(sep)
		if !bySep {
			if at = strings.LastIndexFunc(s, unicode.IsSpace); at >= 0 {
				_, n = utf8.DecodeRuneInString(s[at:])
			}
		}
		if int64(len(parts)) == most || at < 0 {
			if !bySep && at < 0 {
				s = strings.TrimLeftFunc(s, unicode.IsSpace)
			}
			parts = append(parts, starlark.String(s))
			break
		}
		parts = append(parts, starlark.String(s[at+n:]))
		s = s[:at]
	}
	out := make([]starlark.Value, 0, len(parts))
	for i := len(parts) - 1; i >= 0; i-- {
		out = append(out, parts[i])
	}
	return e.list(out)
}

func splitlinesMethod(e *evaluation, s string, a *arguments) (starlark.Value, error) {
	args, err := a.take(0, "keepends")
	if err != nil {
		return nil, err
	}
	keep := args[0] != nil && bool(args[0].Truth())
	var parts []starlark.Value
	for s != "" {
		if err := e.alloc(3 * sizeValue); err != nil {
			return nil, err
		}
		end := strings.IndexFunc(s, isLineBreak)
		next := len(s)
		if end < 0 {
			end = len(s)
		} else {
			_, n := utf8.DecodeRuneInString(s[end:])
			next = end + n
			if strings.HasPrefix(s[end:], "\r\n") {
				next = end + 2
			}
		}
		if keep {
			end = next
		}
		parts = append(parts, starlark.String(s[:end]))
		s = s[next:]
	}
	return e.list(parts)
}

func isLineBreak(r rune) bool {
	switch r {
	case '\n', '\r', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
		return true
	}
	return false
}

func partition(last bool) stringFunction {
	return func(e *evaluation, s string, a *arguments) (starlark.Value, error) {
		args, err := a.plain(1, 1)
		if err != nil {
			return nil, err
		}
		sep, err := a.text(args[0], "")
		if err != nil {
			return nil, err
		}
		if sep == "" {
			return nil, valueError("empty separator")
		}
		if err := e.alloc(4 * sizeValue); err != nil {
			return nil, err
		}
		at := strings.Index(s, sep)
		if last {
			at = strings.LastIndex(s, sep)
		}
		switch {
		case at >= 0:
			return starlark.Tuple{starlark.String(s[:at]), starlark.String(sep), starlark.String(s[at+len(sep):])}, nil
		case last:
			return starlark.Tuple{starlark.String(""), starlark.String(""), starlark.String(s)}, nil
		}
		return starlark.Tuple{starlark.String(s), starlark.String(""), starlark.String("")}, nil
	}
}

func joinMethod(e *evaluation, s string, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	w := writer{e: e}
	n := 0
	err = e.each(args[0], func(v starlark.Value) error {
		part, ok := v.(starlark.String)
		if !ok {
			return typeError("sequence item %d: expected str instance, %s found", n, typeName(v))
		}
		if n > 0 {
			if err := w.text(s); err != nil {
				return err
			}
		}
		n++
		return w.text(string(part))
	})
	return starlark.String(w.b.String()), err
}

func replaceMethod(e *evaluation, s string, a *arguments) (starlark.Value, error) {
	args, err := a.plain(2, 3)
	if err != nil {
		return nil, err
	}
	from, ok1 := args[0].(starlark.String)
	to, ok2 := args[1].(starlark.String)
	if !ok1 || !ok2 {
		return nil, typeError("replace() arguments must be str")
	}
	most := int64(-1)
	if len(args) == 3 {
		if most, err = a.whole(args[2], -1); err != nil {
			return nil, err
		}
	}
	n := int64(strings.Count(s, string(from)))
	if most >= 0 {
		n = min(n, most)
	}
	if err := e.allocN(n, int64(len(to))); err != nil {
		return nil, err
	}
	if err := e.alloc(int64(len(s)) + sizeValue); err != nil {
		return nil, err
	}
	return starlark.String(strings.Replace(s, string(from), string(to), int(n))), e.step(n)
}

func affix(has func(s, part string) bool) stringFunction {
	return func(e *evaluation, s string, a *arguments) (starlark.Value, error) {
		args, err := a.plain(1, 1)
		if err != nil {
			return nil, err
		}
		options := []starlark.Value{args[0]}
		if t, ok := args[0].(starlark.Tuple); ok {
			options = t
		}
		for _, o := range options {
			part, ok := o.(starlark.String)
			if !ok {
				return nil, typeError("%s first arg must be str or a tuple of str, not %s", a.function, typeName(o))
			}
			if err := e.look(len(part)); err != nil {
				return nil, err
			}
			if has(s, string(part)) {
				return starlark.True, nil
			}
		}
		return starlark.False, nil
	}
}

func cut(f func(s, part string) string) stringFunction {
	return func(e *evaluation, s string, a *arguments) (starlark.Value, error) {
		args, err := a.plain(1, 1)
		if err != nil {
			return nil, err
		}
		part, err := a.text(args[0], "")
		if err != nil {
			return nil, err
		}
		return starlark.String(f(s, part)), e.alloc(sizeValue)
	}
}

func countMethod(_ *evaluation, s string, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	part, err := a.text(args[0], "")
	return starlark.MakeInt(strings.Count(s, part)), err
}

func find(at func(s, part string) int, must bool) stringFunction {
	return func(_ *evaluation, s string, a *arguments) (starlark.Value, error) {
		args, err := a.plain(1, 1)
		if err != nil {
			return nil, err
		}
		part, err := a.text(args[0], "")
		if err != nil {
			return nil, err
		}
		i := at(s, part)
		if i < 0 {
			if must {
				return nil, valueError("substring not found")
			}
			return starlark.MakeInt(-1), nil
		}
		return starlark.MakeInt(chars(s[:i])), nil
	}
}

func zfillMethod(e *evaluation, s string, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	width, err := a.whole(args[0], 0)
	if err != nil {
		return nil, err
	}
	mark := ""
	if s != "" && (s[0] == '+' || s[0] == '-') {
		mark, s = s[:1], s[1:]
	}
	out, err := e.pad(s, '0', '>', width-int64(len(mark)))
	if err != nil {
		return nil, err
	}
	return starlark.String(mark + out), e.alloc(int64(len(out)))
}

func padded(align byte) stringFunction {
	return func(e *evaluation, s string, a *arguments) (starlark.Value, error) {
		args, err := a.plain(1, 2)
		if err != nil {
			return nil, err
		}
		width, err := a.whole(args[0], 0)
		if err != nil {
			return nil, err
		}
		fill := ' '
		if len(args) == 2 {
			text, ok := args[1].(starlark.String)
			if !ok || chars(string(text)) != 1 {
				return nil, typeError("the fill character must be exactly one character long")
			}
			fill, _ = utf8.DecodeRuneInString(string(text))
		}
		if gap := width - int64(chars(s)); align == '^' && gap > 0 && gap%2 == 1 && width%2 == 1 {
			// center() puts the odd one on the left here, format() never does.
			out, err := e.pad(s, fill, '>', int64(chars(s))+gap/2+1)
			if err != nil {
				return nil, err
			}
			s, align = out, '<'
		}
		out, err := e.pad(s, fill, align, width)
		return starlark.String(out), err
	}
}
