package render

import (
	"math"
	"strings"

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
