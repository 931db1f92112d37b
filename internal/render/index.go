package render

import (
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// get looks a key up.
func (e *evaluation) get(d *starlark.Dict, k starlark.Value) (starlark.Value, bool, error) {
	if err := e.hashable(k); err != nil {
		return nil, false, err
	}
	v, found, err := d.Get(k)
	if err != nil {
		return nil, false, typeError("%v", err)
	}
	return v, found, nil
}

// index is a[b].
func (e *evaluation) index(a, b starlark.Value) (starlark.Value, error) {
	if d, ok := a.(*starlark.Dict); ok {
		v, found, err := e.get(d, b)
		if err == nil && !found {
			return nil, e.keyError(b)
		}
		return v, err
	}
	n, err := length(a)
	if _, isView := a.(view); err != nil || isView {
		return nil, typeError("'%s' object is not subscriptable", typeName(a))
	}
	i, ok := index64(b)
	if !ok {
		return nil, typeError("%s indices must be integers, not '%s'", seqName(a), typeName(b))
	}
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return nil, failure("IndexError", "%s index out of range", seqName(a))
	}
	switch v := a.(type) {
	case starlark.String:
		if err := e.look(len(v)); err != nil {
			return nil, err
		}
		return v[runeOffset(string(v), i):runeOffset(string(v), i+1)], e.alloc(sizeValue)
	case span:
		return v.at(i), e.alloc(sizeValue)
	}
	elems, _ := sequence(a)
	return elems[i], nil
}

func seqName(v starlark.Value) string {
	switch v.(type) {
	case starlark.String:
		return "string"
	case span:
		return "range object"
	}
	return typeName(v)
}

// keyError names the missing key as Python does.
func (e *evaluation) keyError(k starlark.Value) error {
	text, err := e.repr(k)
	if err != nil {
		return err
	}
	return failure("KeyError", "%s", text)
}

// runeOffset is where the i-th character of s begins.
func runeOffset(s string, i int64) int {
	if len(s) == utf8.RuneCountInString(s) {
		return int(i)
	}
	for at := range s {
		if i == 0 {
			return at
		}
		i--
	}
	return len(s)
}

// slice is v[lo:hi:step].
func (e *evaluation) slice(v, lo, hi, step starlark.Value) (starlark.Value, error) {
	n, err := length(v)
	if _, isView := v.(view); err != nil || isView {
		return nil, typeError("'%s' object is not subscriptable", typeName(v))
	}
	var place [3]int64
	var given [3]bool
	for i, b := range []starlark.Value{lo, hi, step} {
		if b == starlark.None {
			continue
		}
		if place[i], given[i] = index64(b); !given[i] {
			return nil, typeError("slice indices must be integers or None")
		}
	}
	by := int64(1)
	if given[2] {
		if by = place[2]; by == 0 {
			return nil, valueError("slice step cannot be zero")
		}
	}
	by = min(max(by, -n-1), n+1)
	first, last := clampSlice(place, given, n, by)
	switch v := v.(type) {
	case starlark.String:
		return e.sliceString(string(v), first, last, by)
	case *list:
		elems, err := e.sliceElems(v.elems, first, last, by)
		return newList(elems), err
	case starlark.Tuple:
		elems, err := e.sliceElems(v, first, last, by)
		return starlark.Tuple(elems), err
	}
	return nil, unsupported("a slice of %s is not supported; use list() first", typeName(v))
}

// clampSlice turns the given bounds into places within [0, n], or within
// [-1, n-1] when stepping back.
func clampSlice(place [3]int64, given [3]bool, n, by int64) (first, last int64) {
	low, high := int64(0), n
	if by < 0 {
		low, high = -1, n-1
	}
	clamp := func(i int64) int64 {
		if i < 0 {
			i += n
		}
		return min(max(i, low), high)
	}
	first, last = low, high
	if by < 0 {
		first, last = high, low
	}
	if given[0] {
		first = clamp(place[0])
	}
	if given[1] {
		last = clamp(place[1])
	}
	return first, last
}

func (e *evaluation) sliceElems(elems []starlark.Value, first, last, by int64) ([]starlark.Value, error) {
	count := max((last-first+by-sign(by))/by, 0)
	if err := e.allocN(count+1, sizeValue); err != nil {
		return nil, err
	}
	out := make([]starlark.Value, 0, count)
	for i := first; by > 0 && i < last || by < 0 && i > last; i += by {
		out = append(out, elems[i])
	}
	return out, nil
}

func (e *evaluation) sliceString(s string, first, last, by int64) (starlark.Value, error) {
	if err := e.look(len(s)); err != nil {
		return nil, err
	}
	if by == 1 {
		if first >= last {
			return starlark.String(""), nil
		}
		return starlark.String(s[runeOffset(s, first):runeOffset(s, last)]), e.alloc(sizeValue)
	}
	if err := e.allocN(int64(len(s)), 8); err != nil {
		return nil, err
	}
	chars := []rune(s)
	var b strings.Builder
	for i := first; by > 0 && i < last || by < 0 && i > last; i += by {
		b.WriteRune(chars[i])
	}
	return starlark.String(b.String()), nil
}

func sign(n int64) int64 {
	if n < 0 {
		return -1
	}
	return 1
}
