package render

import (
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// ownFunctions are the system's; they come before the run's variables.
var ownFunctions = functionTable(map[string]func(*evaluation, *arguments) (starlark.Value, error){
	"get_var":        getVar,
	"dict_to_string": dictToString,
	"quote":          quote,
})

// pythonFunctions come after the run's variables.
var pythonFunctions = functionTable(map[string]func(*evaluation, *arguments) (starlark.Value, error){
	"str": strFunction, "repr": reprFunction, "int": intFunction, "float": floatFunction, "bool": boolFunction,
	"len": lenFunction, "abs": absFunction, "round": roundFunction, "sum": sumFunction,
	"min":    func(e *evaluation, a *arguments) (starlark.Value, error) { return extreme(e, a, syntax.LT) },
	"max":    func(e *evaluation, a *arguments) (starlark.Value, error) { return extreme(e, a, syntax.GT) },
	"any":    func(e *evaluation, a *arguments) (starlark.Value, error) { return anyAll(e, a, true) },
	"all":    func(e *evaluation, a *arguments) (starlark.Value, error) { return anyAll(e, a, false) },
	"sorted": sortedFunction, "reversed": reversedFunction, "enumerate": enumerateFunction, "zip": zipFunction,
	"list": listFunction, "tuple": tupleFunction, "dict": dictFunction, "range": rangeFunction,
})

func functionTable(calls map[string]func(*evaluation, *arguments) (starlark.Value, error)) map[string]*function {
	out := make(map[string]*function, len(calls))
	for name, call := range calls {
		out[name] = newFunction(name, call)
	}
	return out
}

// getVar reads one of the run's variables, in general, of a device, of a
// section. The text of its error is a published one.
func getVar(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.take(1, "name", "device", "section", "default")
	if err != nil {
		return nil, err
	}
	payload, err := e.payload()
	if err != nil {
		return nil, err
	}
	in := subDict(payload, "variables")
	if args[1] != nil && bool(args[1].Truth()) {
		name, isText := args[1].(starlark.String)
		if d, ok := args[1].(device); ok {
			name, isText = starlark.String(d.Name), true
		}
		if !isText {
			return nil, typeError("get_var() argument 'device' must be a device's name, not %s", typeName(args[1]))
		}
		in = subDict(subDict(in, "devices"), string(name))
	}
	if args[2] != nil && bool(args[2].Truth()) {
		section, err := a.text(args[2], "")
		if err != nil {
			return nil, err
		}
		in = subDict(in, section)
	}
	if in == nil {
		in = new(starlark.Dict)
	}
	v, found, err := e.get(in, args[0])
	if err != nil {
		return nil, err
	}
	if !found && args[3] != nil {
		v = args[3]
	}
	if v == nil || v == starlark.None {
		name, err := e.str(args[0])
		if err != nil {
			return nil, err
		}
		place, err := e.repr(in)
		if err != nil {
			return nil, err
		}
		if len(place) > 200 {
			place = strings.ToValidUTF8(place[:200], "") + "..."
		}
		return nil, failure("Exception", "Payload Editor: %s not found in %s.", name, place)
	}
	return v, nil
}

// quote makes a value one word of a POSIX shell, a list one word for each of
// its elements.
func quote(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	words, isList := sequence(args[0])
	if !isList {
		words = args
	}
	w := writer{e: e}
	for i, word := range words {
		switch word.(type) {
		case *starlark.Dict, *list, starlark.Tuple, view, span, *function:
			return nil, typeError("quote() takes text, numbers or a list of them, not %s", typeName(word))
		}
		s, err := e.str(word)
		if err != nil {
			return nil, err
		}
		if strings.ContainsRune(s, 0) {
			return nil, valueError("quote() cannot pass a NUL character to a shell")
		}
		if err := e.allocN(int64(len(s)), 3); err != nil { // a quote becomes four bytes
			return nil, err
		}
		if i > 0 {
			s = " '" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		} else {
			s = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
		if err := w.text(s); err != nil {
			return nil, err
		}
	}
	return starlark.String(w.b.String()), nil
}

// dictToString lists a nested value, one entry a line, a tab for each level.
func dictToString(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	w := writer{e: e}
	if err := w.outline(args[0], 0); err != nil {
		return nil, err
	}
	return starlark.String(strings.TrimPrefix(w.b.String(), "\n")), nil
}

func (w *writer) outline(v starlark.Value, level int) error {
	if level > w.e.limits.Depth {
		return failure("RecursionError", "maximum recursion depth exceeded")
	}
	indent := "\n" + strings.Repeat("\t", level)
	if d, ok := v.(*starlark.Dict); ok {
		for k, v := range d.Entries() {
			key, err := w.e.str(k)
			if err != nil {
				return err
			}
			if err := w.text(indent + key + ": "); err != nil {
				return err
			}
			if err := w.outline(v, level+1); err != nil {
				return err
			}
		}
		return nil
	}
	if elems, ok := sequence(v); ok {
		for _, x := range elems {
			if err := w.text(indent + "- "); err != nil {
				return err
			}
			if err := w.outline(x, level+1); err != nil {
				return err
			}
		}
		return nil
	}
	s, err := w.e.str(v)
	if err != nil {
		return err
	}
	return w.text(s)
}

func strFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(0, 1)
	if err != nil || len(args) == 0 {
		return starlark.String(""), err
	}
	s, err := e.str(args[0])
	return starlark.String(s), err
}

func reprFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	s, err := e.repr(args[0])
	return starlark.String(s), err
}

func sumFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.take(1, "iterable", "start")
	if err != nil {
		return nil, err
	}
	var total starlark.Value = starlark.MakeInt(0)
	if args[1] != nil {
		total = args[1]
	}
	if _, ok := total.(starlark.String); ok {
		return nil, typeError("sum() can't sum strings [use ''.join(seq) instead]")
	}
	err = e.each(args[0], func(v starlark.Value) (err error) {
		total, err = e.binary(syntax.PLUS, total, v)
		return err
	})
	return total, err
}

// extreme is min and max.
func extreme(e *evaluation, a *arguments, op syntax.Token) (starlark.Value, error) {
	var orElse starlark.Value
	for _, n := range a.named {
		if n.name != "default" {
			return nil, unsupported("%s() with %s is not supported", a.function, n.name)
		}
		orElse = n.value
	}
	var over starlark.Value = starlark.Tuple(a.list)
	switch len(a.list) {
	case 0:
		return nil, typeError("%s expected at least 1 argument, got 0", a.function)
	case 1:
		over = a.list[0]
	}
	var best starlark.Value
	err := e.each(over, func(v starlark.Value) error {
		if best != nil {
			if better, err := e.binary(op, v, best); err != nil || !bool(better.Truth()) {
				return err
			}
		}
		best = v
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case best == nil && orElse == nil:
		return nil, valueError("%s() arg is an empty sequence", a.function)
	case best == nil:
		return orElse, nil
	}
	return best, nil
}

func anyAll(e *evaluation, a *arguments, want bool) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	found := false
	err = e.each(args[0], func(v starlark.Value) error {
		found = found || bool(v.Truth()) == want
		return nil
	})
	return starlark.Bool(found == want), err
}

func sortedFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.take(1, "iterable", "*", "key", "reverse")
	if err != nil {
		return nil, err
	}
	if args[1] != nil && args[1] != starlark.None {
		return nil, unsupported("sorted() with key is not supported")
	}
	elems, err := e.collect(args[0])
	if err != nil {
		return nil, err
	}
	if err := e.allocN(int64(len(elems)), sizeValue); err != nil { // what the sort may need itself
		return nil, err
	}
	order := 1
	if args[2] != nil && bool(args[2].Truth()) {
		order = -1
	}
	var failed error
	slices.SortStableFunc(elems, func(x, y starlark.Value) int {
		if failed != nil {
			return 0
		}
		c, _, err := e.compare(syntax.LT, x, y, e.limits.Depth)
		failed = err
		return order * c
	})
	if failed != nil {
		return nil, failed
	}
	return e.list(elems)
}

func reversedFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	elems, err := e.collect(args[0])
	if err != nil {
		return nil, err
	}
	slices.Reverse(elems)
	return e.list(elems)
}

func enumerateFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.take(1, "iterable", "start")
	if err != nil {
		return nil, err
	}
	start, err := a.whole(args[1], 0)
	if err != nil {
		return nil, err
	}
	elems, err := e.collect(args[0])
	if err != nil {
		return nil, err
	}
	if err := e.allocN(int64(len(elems)), 3*sizeValue); err != nil {
		return nil, err
	}
	for i, x := range elems {
		elems[i] = starlark.Tuple{starlark.MakeInt64(start + int64(i)), x}
	}
	return e.list(elems)
}

func zipFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(0, -1)
	if err != nil {
		return nil, err
	}
	columns := make([][]starlark.Value, len(args))
	n := 0
	for i, x := range args {
		if columns[i], err = e.collect(x); err != nil {
			return nil, err
		}
		if i == 0 || len(columns[i]) < n {
			n = len(columns[i])
		}
	}
	if err := e.allocN(int64(n), int64(len(args)+2)*sizeValue); err != nil {
		return nil, err
	}
	rows := make([]starlark.Value, n)
	for r := range rows {
		row := make(starlark.Tuple, len(args))
		for c := range columns {
			row[c] = columns[c][r]
		}
		rows[r] = row
	}
	return e.list(rows)
}

func listFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(0, 1)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return e.list(nil)
	}
	elems, err := e.collect(args[0])
	if err != nil {
		return nil, err
	}
	return e.list(elems)
}

func tupleFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(0, 1)
	if err != nil || len(args) == 0 {
		return starlark.Tuple{}, err
	}
	elems, err := e.collect(args[0])
	return starlark.Tuple(elems), err
}

func dictFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	if len(a.list) > 1 {
		return nil, typeError("dict expected at most 1 argument, got %d", len(a.list))
	}
	d := new(starlark.Dict)
	if len(a.list) == 1 {
		if err := e.fillDict(d, a.list[0]); err != nil {
			return nil, err
		}
	}
	for _, n := range a.named {
		if err := e.setKey(d, starlark.String(n.name), n.value); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (e *evaluation) fillDict(d *starlark.Dict, from starlark.Value) error {
	if src, ok := from.(*starlark.Dict); ok {
		for k, v := range src.Entries() {
			if err := e.setKey(d, k, v); err != nil {
				return err
			}
		}
		return nil
	}
	return e.each(from, func(v starlark.Value) error {
		pair, err := e.collect(v)
		if err != nil {
			return err
		}
		if len(pair) != 2 {
			return valueError("dictionary update sequence element has length %d; 2 is required", len(pair))
		}
		return e.setKey(d, pair[0], pair[1])
	})
}

func rangeFunction(_ *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 3)
	if err != nil {
		return nil, err
	}
	bounds := [3]int64{0, 0, 1}
	for i, x := range args {
		n, err := a.whole(x, 0)
		if err != nil {
			return nil, err
		}
		if n > 1<<53 || n < -1<<53 {
			return nil, failure("OverflowError", "range() argument is too large")
		}
		bounds[i] = n
	}
	if len(args) == 1 {
		bounds[0], bounds[1] = 0, bounds[0]
	}
	s := span{opaque: opaque{"range"}, start: bounds[0], stop: bounds[1], step: bounds[2]}
	switch {
	case s.step == 0:
		return nil, valueError("range() arg 3 must not be zero")
	case s.step > 0 && s.stop > s.start:
		s.n = (s.stop - s.start + s.step - 1) / s.step
	case s.step < 0 && s.stop < s.start:
		s.n = (s.start - s.stop - s.step - 1) / -s.step
	}
	return s, nil
}
