package render

import (
	"math"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// equal is ==.
func (e *evaluation) equal(a, b starlark.Value, depth int) (bool, error) {
	if depth == 0 {
		return false, failure("RecursionError", "maximum recursion depth exceeded in comparison")
	}
	if err := e.step(1); err != nil {
		return false, err
	}
	if x, y := number(a), number(b); x != nil && y != nil {
		c, ordered := compareNumbers(x, y)
		return ordered && c == 0, nil
	}
	switch x := a.(type) {
	case starlark.NoneType:
		return b == starlark.None, nil
	case starlark.String:
		y, ok := b.(starlark.String)
		if !ok || len(x) != len(y) {
			return false, nil
		}
		return x == y, e.look(len(x))
	case device:
		y, ok := b.(device)
		return ok && x.ID == y.ID && x.Name == y.Name, nil
	case *starlark.Dict:
		return e.equalDicts(x, b, depth)
	case span:
		y, ok := b.(span)
		return ok && x.n == y.n && (x.n == 0 || x.start == y.start && (x.n == 1 || x.step == y.step)), nil
	}
	x, xok := sequence(a)
	y, yok := sequence(b)
	if !xok || !yok || typeName(a) != typeName(b) || len(x) != len(y) {
		return false, nil
	}
	for i := range x {
		if same, err := e.equal(x[i], y[i], depth-1); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (e *evaluation) equalDicts(x *starlark.Dict, b starlark.Value, depth int) (bool, error) {
	y, ok := b.(*starlark.Dict)
	if !ok || x.Len() != y.Len() {
		return false, nil
	}
	for k, v := range x.Entries() {
		if err := e.hashable(k); err != nil {
			return false, err
		}
		w, found, err := y.Get(k)
		if err != nil || !found {
			return false, nil //nolint:nilerr // a key that cannot be looked up is not there
		}
		if same, err := e.equal(v, w, depth-1); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// compareNumbers returns the order of two numbers, and whether they have one:
// NaN has none.
func compareNumbers(a, b starlark.Value) (int, bool) {
	x, xok := a.(starlark.Int)
	y, yok := b.(starlark.Int)
	switch {
	case xok && yok:
		c, _ := x.Cmp(y, 1)
		return c, true
	case xok:
		c, ordered := compareNumbers(b, a)
		return -c, ordered
	case yok:
		f := float64(a.(starlark.Float))
		if math.IsNaN(f) {
			return 0, false
		}
		if math.IsInf(f, 0) {
			return int(math.Copysign(1, f)), true
		}
		whole, fraction := math.Modf(f)
		i, err := starlark.NumberToInt(starlark.Float(whole))
		if err != nil {
			return 0, false
		}
		if c, _ := i.Cmp(y, 1); c != 0 || fraction == 0 {
			return c, true
		}
		return int(math.Copysign(1, fraction)), true
	}
	f, g := a.(starlark.Float), b.(starlark.Float)
	switch {
	case f < g:
		return -1, true
	case f > g:
		return 1, true
	}
	return 0, f == g
}

// compare is the order of two values of a kind that has one.
func (e *evaluation) compare(op syntax.Token, a, b starlark.Value, depth int) (c int, ordered bool, err error) {
	if depth == 0 {
		return 0, false, failure("RecursionError", "maximum recursion depth exceeded in comparison")
	}
	if err := e.step(1); err != nil {
		return 0, false, err
	}
	if x, y := number(a), number(b); x != nil && y != nil {
		c, ordered = compareNumbers(x, y)
		return c, ordered, nil
	}
	if x, ok := a.(starlark.String); ok {
		if y, ok := b.(starlark.String); ok {
			return strings.Compare(string(x), string(y)), true, e.look(min(len(x), len(y)))
		}
	}
	x, xok := sequence(a)
	y, yok := sequence(b)
	if _, isView := a.(view); !xok || !yok || isView || typeName(a) != typeName(b) {
		return 0, false, typeError("'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
	}
	for i := range min(len(x), len(y)) {
		same, err := e.equal(x[i], y[i], depth-1)
		if err != nil {
			return 0, false, err
		}
		if !same {
			return e.compare(op, x[i], y[i], depth-1)
		}
	}
	return len(x) - len(y), true, nil
}

// contains is the operator in.
func (e *evaluation) contains(in, v starlark.Value) (bool, error) {
	switch c := in.(type) {
	case starlark.String:
		s, ok := v.(starlark.String)
		if !ok {
			return false, typeError("'in <string>' requires string as left operand, not %s", typeName(v))
		}
		if err := e.look(len(c) + len(s)); err != nil {
			return false, err
		}
		return strings.Contains(string(c), string(s)), nil
	case *starlark.Dict:
		_, found, err := e.get(c, v)
		return found, err
	case span:
		n, ok := index64(v)
		return ok && c.n > 0 && (n-c.start)%c.step == 0 && (n-c.start)/c.step >= 0 && (n-c.start)/c.step < c.n, nil
	}
	elems, ok := sequence(in)
	if !ok {
		return false, typeError("argument of type '%s' is not iterable", typeName(in))
	}
	for _, x := range elems {
		if same, err := e.equal(x, v, e.limits.Depth); err != nil || same {
			return same, err
		}
	}
	return false, nil
}
