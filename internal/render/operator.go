package render

import (
	"math"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// number returns v as a number, True and False as 1 and 0, and nil for what is
// none.
func number(v starlark.Value) starlark.Value {
	switch v := v.(type) {
	case starlark.Int, starlark.Float:
		return v
	case starlark.Bool:
		if v {
			return starlark.MakeInt(1)
		}
		return starlark.MakeInt(0)
	}
	return nil
}

// index64 returns v as a whole number for sizes and places; what does not fit
// becomes the nearest that does.
func index64(v starlark.Value) (int64, bool) {
	i, ok := number(v).(starlark.Int)
	if !ok {
		return 0, false
	}
	n, ok := i.Int64()
	if !ok {
		n = math.MaxInt64
		if i.Sign() < 0 {
			n = math.MinInt64
		}
	}
	return n, true
}

func (e *evaluation) binary(op syntax.Token, a, b starlark.Value) (starlark.Value, error) {
	switch op {
	case syntax.EQL, syntax.NEQ:
		same, err := e.equal(a, b, e.limits.Depth)
		return starlark.Bool(same == (op == syntax.EQL)), err
	case syntax.LT, syntax.GT, syntax.LE, syntax.GE:
		c, ordered, err := e.compare(op, a, b, e.limits.Depth)
		return starlark.Bool(ordered && (op == syntax.LT && c < 0 || op == syntax.LE && c <= 0 || op == syntax.GT && c > 0 || op == syntax.GE && c >= 0)), err
	case syntax.IN, syntax.NOT_IN:
		found, err := e.contains(b, a)
		return starlark.Bool(found == (op == syntax.IN)), err
	}
	if s, ok := a.(starlark.String); ok && op == syntax.PERCENT {
		return e.percent(string(s), b)
	}
	if x, y := number(a), number(b); x != nil && y != nil {
		return e.arithmetic(op, x, y)
	}
	switch op {
	case syntax.PLUS:
		return e.concat(a, b)
	case syntax.STAR:
		if n, ok := index64(b); ok {
			return e.repeat(a, n, b)
		}
		if n, ok := index64(a); ok {
			return e.repeat(b, n, a)
		}
	}
	return nil, typeError("unsupported operand type(s) for %s: '%s' and '%s'", op, typeName(a), typeName(b))
}

func (e *evaluation) arithmetic(op syntax.Token, a, b starlark.Value) (starlark.Value, error) {
	x, xok := a.(starlark.Int)
	y, yok := b.(starlark.Int)
	if !xok || !yok || op == syntax.SLASH {
		return floatArithmetic(op, a, b)
	}
	switch op {
	case syntax.PLUS:
		return e.intResult(x, y, x.Add(y))
	case syntax.MINUS:
		return e.intResult(x, y, x.Sub(y))
	case syntax.STAR:
		// Operands are within maxIntBits, so that the product is small even
		// when it is refused.
		return e.intResult(x, y, x.Mul(y))
	}
	if y.Sign() == 0 {
		return nil, failure("ZeroDivisionError", "integer division or modulo by zero")
	}
	if op == syntax.SLASHSLASH {
		return e.intResult(x, y, x.Div(y))
	}
	return e.intResult(x, y, x.Mod(y))
}

// intResult charges an integer and refuses one that is too large.
func (e *evaluation) intResult(x, y, result starlark.Int) (starlark.Value, error) {
	if _, small := result.Int64(); small {
		return result, e.step(1)
	}
	if result.BigInt().BitLen() > maxIntBits {
		return nil, failure("OverflowError", "the integer is too large")
	}
	return result, e.alloc(3 * maxIntBits / 8)
}

func floatArithmetic(op syntax.Token, a, b starlark.Value) (starlark.Value, error) {
	x, err := asFloat(a)
	if err != nil {
		return nil, err
	}
	y, err := asFloat(b)
	if err != nil {
		return nil, err
	}
	switch op {
	case syntax.PLUS:
		return starlark.Float(x + y), nil
	case syntax.MINUS:
		return starlark.Float(x - y), nil
	case syntax.STAR:
		return starlark.Float(x * y), nil
	}
	if y == 0 {
		text := map[syntax.Token]string{syntax.SLASH: "division by zero", syntax.SLASHSLASH: "float floor division by zero", syntax.PERCENT: "float modulo"}
		return nil, failure("ZeroDivisionError", "%s", text[op])
	}
	if op == syntax.SLASH {
		return starlark.Float(x / y), nil
	}
	// Python's remainder has the sign of the divisor.
	rest := math.Mod(x, y)
	if rest != 0 && (rest < 0) != (y < 0) {
		rest += y
	} else if rest == 0 {
		rest = math.Copysign(0, y)
	}
	if op == syntax.PERCENT {
		return starlark.Float(rest), nil
	}
	quotient := (x - rest) / y
	floor := math.Floor(quotient)
	if quotient-floor > 0.5 {
		floor++
	}
	return starlark.Float(floor), nil
}

func asFloat(v starlark.Value) (float64, error) {
	switch v := v.(type) {
	case starlark.Float:
		return float64(v), nil
	case starlark.Int:
		f := float64(v.Float())
		if math.IsInf(f, 0) {
			return 0, failure("OverflowError", "int too large to convert to float")
		}
		return f, nil
	}
	return 0, typeError("must be real number, not %s", typeName(v))
}

func (e *evaluation) concat(a, b starlark.Value) (starlark.Value, error) {
	switch x := a.(type) {
	case starlark.String:
		y, ok := b.(starlark.String)
		if !ok {
			return nil, typeError(`can only concatenate str (not "%s") to str`, typeName(b))
		}
		if err := e.alloc(int64(len(x)) + int64(len(y)) + sizeValue); err != nil {
			return nil, err
		}
		return x + y, nil
	case *list:
		y, ok := b.(*list)
		if !ok {
			return nil, typeError(`can only concatenate list (not "%s") to list`, typeName(b))
		}
		elems, err := e.joinElems(x.elems, y.elems)
		return newList(elems), err
	case starlark.Tuple:
		y, ok := b.(starlark.Tuple)
		if !ok {
			return nil, typeError(`can only concatenate tuple (not "%s") to tuple`, typeName(b))
		}
		elems, err := e.joinElems(x, y)
		return starlark.Tuple(elems), err
	}
	return nil, typeError("unsupported operand type(s) for +: '%s' and '%s'", typeName(a), typeName(b))
}

func (e *evaluation) joinElems(x, y []starlark.Value) ([]starlark.Value, error) {
	if err := e.allocN(int64(len(x))+int64(len(y))+1, sizeValue); err != nil {
		return nil, err
	}
	return append(append(make([]starlark.Value, 0, len(x)+len(y)), x...), y...), nil
}

// repeat is the product of a sequence and a number.
func (e *evaluation) repeat(v starlark.Value, n int64, by starlark.Value) (starlark.Value, error) {
	n = max(n, 0)
	switch v := v.(type) {
	case starlark.String:
		if err := e.allocN(n, int64(len(v))); err != nil {
			return nil, err
		}
		if len(v) == 0 {
			return v, nil
		}
		return starlark.String(strings.Repeat(string(v), int(n))), e.alloc(sizeValue)
	case *list:
		elems, err := e.repeatElems(v.elems, n)
		return newList(elems), err
	case starlark.Tuple:
		elems, err := e.repeatElems(v, n)
		return starlark.Tuple(elems), err
	}
	return nil, typeError("can't multiply sequence by non-int of type '%s'", typeName(by))
}

func (e *evaluation) repeatElems(elems []starlark.Value, n int64) ([]starlark.Value, error) {
	if len(elems) == 0 {
		return nil, nil
	}
	if err := e.allocN(n, int64(len(elems))*sizeValue); err != nil {
		return nil, err
	}
	out := make([]starlark.Value, 0, len(elems)*int(n))
	for range n {
		out = append(out, elems...)
	}
	return out, e.alloc(sizeValue)
}

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
