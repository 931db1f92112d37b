package render

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// method is a function of a value.
type method func(e *evaluation, self starlark.Value, a *arguments) (starlark.Value, error)

// methods are those that an expression may call, by type. None changes its
// value.
var methods map[string]map[string]method

// refusedMethods are Python's that are left out, and why.
var refusedMethods = map[string]string{
	"str.encode": "there are no bytes", "str.translate": "use replace", "str.format_map": "use format", "str.expandtabs": "use replace",
}

func init() {
	methods = map[string]map[string]method{
		"dict": {"get": dictGet, "keys": dictKeys, "values": dictValues, "items": dictItems},
		"list": {"index": seqIndex, "count": seqCount}, "tuple": {"index": seqIndex, "count": seqCount},
		"str": stringMethods(),
	}
	for _, name := range []string{"append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"} {
		refusedMethods["list."+name] = "an expression cannot change values"
	}
	for _, name := range []string{"update", "setdefault", "pop", "popitem", "clear", "copy"} {
		refusedMethods["dict."+name] = "an expression cannot change values"
	}
}

func dictGet(e *evaluation, self starlark.Value, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 2)
	if err != nil {
		return nil, err
	}
	v, found, err := e.get(self.(*starlark.Dict), args[0])
	switch {
	case err != nil || found:
		return v, err
	case len(args) == 2:
		return args[1], nil
	}
	return starlark.None, nil
}

func dictKeys(e *evaluation, self starlark.Value, a *arguments) (starlark.Value, error) {
	if _, err := a.plain(0, 0); err != nil {
		return nil, err
	}
	d := self.(*starlark.Dict)
	if err := e.allocN(int64(d.Len())+1, sizeValue); err != nil {
		return nil, err
	}
	return view{opaque{"dict_keys"}, d.Keys()}, nil
}

func dictValues(e *evaluation, self starlark.Value, a *arguments) (starlark.Value, error) {
	return dictView(e, self, a, "dict_values", func(_, v starlark.Value) starlark.Value { return v })
}

func dictItems(e *evaluation, self starlark.Value, a *arguments) (starlark.Value, error) {
	return dictView(e, self, a, "dict_items", func(k, v starlark.Value) starlark.Value { return starlark.Tuple{k, v} })
}

func dictView(e *evaluation, self starlark.Value, a *arguments, kind string, elem func(k, v starlark.Value) starlark.Value) (starlark.Value, error) {
	if _, err := a.plain(0, 0); err != nil {
		return nil, err
	}
	d := self.(*starlark.Dict)
	if err := e.allocN(int64(d.Len())+1, 4*sizeValue); err != nil {
		return nil, err
	}
	elems := make([]starlark.Value, 0, d.Len())
	for k, v := range d.Entries() {
		elems = append(elems, elem(k, v))
	}
	return view{opaque{kind}, elems}, nil
}

func seqIndex(e *evaluation, self starlark.Value, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	elems, _ := sequence(self)
	for i, x := range elems {
		if same, err := e.equal(x, args[0], e.limits.Depth); err != nil || same {
			return starlark.MakeInt(i), err
		}
	}
	return nil, valueError("the value is not in the %s", typeName(self))
}

func seqCount(e *evaluation, self starlark.Value, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	n := 0
	elems, _ := sequence(self)
	for _, x := range elems {
		same, err := e.equal(x, args[0], e.limits.Depth)
		if err != nil {
			return nil, err
		}
		if same {
			n++
		}
	}
	return starlark.MakeInt(n), nil
}

// stringMethods wraps what works on a string so that reading it is charged,
// once for the bytes looked at and once for a result of up to three times the
// length (the most that a change of case adds).
func stringMethods() map[string]method {
	out := map[string]method{"format": func(e *evaluation, self starlark.Value, a *arguments) (starlark.Value, error) {
		return e.format(string(self.(starlark.String)), a)
	}}
	for name, f := range map[string]func(e *evaluation, s string, a *arguments) (starlark.Value, error){
		"upper": mapped(upper), "lower": mapped(strings.ToLower), "swapcase": mapped(swapCase),
		"title": mapped(titled), "capitalize": mapped(capitalized), "casefold": mapped(strings.ToLower),
		"strip": trimmed(true, true), "lstrip": trimmed(true, false), "rstrip": trimmed(false, true),
		"split": splitMethod, "rsplit": rsplitMethod, "splitlines": splitlinesMethod, "partition": partition(false), "rpartition": partition(true),
		"join": joinMethod, "replace": replaceMethod, "startswith": affix(strings.HasPrefix), "endswith": affix(strings.HasSuffix),
		"removeprefix": cut(strings.TrimPrefix), "removesuffix": cut(strings.TrimSuffix),
		"count": countMethod, "find": find(strings.Index, false), "rfind": find(strings.LastIndex, false),
		"index": find(strings.Index, true), "rindex": find(strings.LastIndex, true),
		"zfill": zfillMethod, "ljust": padded('<'), "rjust": padded('>'), "center": padded('^'),
		"isdigit": every(unicode.IsDigit), "isdecimal": every(unicode.IsDigit), "isnumeric": every(unicode.IsNumber), "isalpha": every(unicode.IsLetter),
		"isspace": every(unicode.IsSpace), "isalnum": every(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
		"isupper": cased(unicode.IsUpper, unicode.IsLower), "islower": cased(unicode.IsLower, unicode.IsUpper),
	} {
		out[name] = func(e *evaluation, self starlark.Value, a *arguments) (starlark.Value, error) {
			s := string(self.(starlark.String))
			if err := e.look(len(s)); err != nil {
				return nil, err
			}
			return f(e, s, a)
		}
	}
	return out
}

type stringFunction = func(e *evaluation, s string, a *arguments) (starlark.Value, error)

func mapped(f func(string) string) stringFunction {
	return func(e *evaluation, s string, a *arguments) (starlark.Value, error) {
		if _, err := a.plain(0, 0); err != nil {
			return nil, err
		}
		if err := e.allocN(int64(len(s))+sizeValue, 3); err != nil {
			return nil, err
		}
		return starlark.String(f(s)), nil
	}
}

// upper also knows the one common letter that becomes two.
func upper(s string) string { return strings.ReplaceAll(strings.ToUpper(s), "ß", "SS") }

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
}

func titled(s string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		first := !inWord
		inWord = unicode.IsLetter(r)
		if first {
			return unicode.ToTitle(r)
		}
		return unicode.ToLower(r)
	}, s)
}

func capitalized(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToTitle(r)) + strings.ToLower(s[n:])
}

func trimmed(left, right bool) stringFunction {
	return func(e *evaluation, s string, a *arguments) (starlark.Value, error) {
		args, err := a.plain(0, 1)
		if err != nil {
			return nil, err
		}
		drop := unicode.IsSpace
		if len(args) == 1 && args[0] != starlark.None {
			set, err := a.text(args[0], "")
			if err != nil {
				return nil, err
			}
			if err := e.step(int64(len(s)) * int64(min(len(set), 1<<20)) / 64); err != nil {
				return nil, err
			}
			drop = func(r rune) bool { return strings.ContainsRune(set, r) }
		}
		if left {
			s = strings.TrimLeftFunc(s, drop)
		}
		if right {
			s = strings.TrimRightFunc(s, drop)
		}
		return starlark.String(s), e.alloc(sizeValue)
	}
}

// separator reads the arguments of split and rsplit. ok is false when words
// are to be split at white space.
func separator(a *arguments) (sep string, ok bool, most int64, err error) {
	args, err := a.take(0, "sep", "maxsplit")
	if err != nil {
		return "", false, 0, err
	}
	if most, err = a.whole(args[1], -1); err != nil {
		return "", false, 0, err
	}
	if most < 0 {
		most = math.MaxInt32
	}
	if args[0] == nil || args[0] == starlark.None {
		return "", false, most, nil
	}
	if sep, err = a.text(args[0], ""); err == nil && sep == "" {
		err = valueError("empty separator")
	}
	return sep, true, most, err
}

// pad fills s up to width characters.
func (e *evaluation) pad(s string, fill rune, align byte, width int64) (string, error) {
	gap := width - int64(chars(s))
	if gap <= 0 {
		return s, nil
	}
	size := int64(utf8.RuneLen(fill))
	if err := e.allocN(gap, 2*size); err != nil {
		return "", err
	}
	if err := e.alloc(int64(len(s)) + sizeValue); err != nil {
		return "", err
	}
	left := gap
	switch align {
	case '<':
		left = 0
	case '^':
		left = gap / 2
	}
	f := string(fill)
	return strings.Repeat(f, int(left)) + s + strings.Repeat(f, int(gap-left)), nil
}

func every(is func(rune) bool) stringFunction {
	return func(_ *evaluation, s string, a *arguments) (starlark.Value, error) {
		_, err := a.plain(0, 0)
		return starlark.Bool(s != "" && strings.IndexFunc(s, func(r rune) bool { return !is(r) }) < 0), err
	}
}

// cased: at least one character of the wanted case and none of the other.
func cased(want, other func(rune) bool) stringFunction {
	return func(_ *evaluation, s string, a *arguments) (starlark.Value, error) {
		_, err := a.plain(0, 0)
		return starlark.Bool(strings.IndexFunc(s, want) >= 0 && strings.IndexFunc(s, other) < 0), err
	}
}
