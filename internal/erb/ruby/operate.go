package ruby

import (
	"math"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep values are looked into.
const maxDepth = 64

// match charges for matching n bytes.
func (m *Machine) match(re *Regexp, n int) error {
	return m.Steps(1 + int64(n)*int64(re.cost)>>8)
}

// operate is l op r.
func (m *Machine) operate(op string, l, r Value) (Value, error) {
	switch op {
	case "==", "!=":
		same, err := m.equal(l, r, 0)
		return same == (op == "=="), err
	case "<", ">", "<=", ">=":
		c, ordered, err := m.compare(l, r)
		if err != nil || !ordered {
			return false, err
		}
		switch op {
		case "<":
			return c < 0, nil
		case ">":
			return c > 0, nil
		case "<=":
			return c <= 0, nil
		}
		return c >= 0, nil
	case "=~", "!~":
		return m.find(op, l, r)
	case "<<":
		return m.push(l, r)
	}
	switch x := l.(type) {
	case int64:
		switch y := r.(type) {
		case int64:
			return m.integers(op, x, y)
		case float64:
			return m.floats(op, float64(x), y)
		}
	case float64:
		switch y := r.(type) {
		case int64:
			return m.floats(op, x, float64(y))
		case float64:
			return m.floats(op, x, y)
		}
	case *String:
		return m.strings(op, x, r)
	case *Array:
		if y, ok := r.(*Array); ok && (op == "+" || op == "-") {
			return m.arrays(op, x, y)
		}
	}
	return nil, m.Fail("%s %s %s is not supported", class(l), op, class(r))
}

func (m *Machine) integers(op string, x, y int64) (Value, error) {
	if (op == "/" || op == "%") && y == 0 {
		return nil, m.Fail("divided by 0")
	}
	var v int64
	fits := true
	switch op {
	case "+":
		v = x + y
		fits = (v > x) == (y > 0)
	case "-":
		v = x - y
		fits = (v < x) == (y > 0)
	case "*":
		v = x * y
		fits = x == 0 || v/x == y && !(x == -1 && y == math.MinInt64)
	case "/":
		if fits = !(x == math.MinInt64 && y == -1); fits {
			if v = x / y; x%y != 0 && (x < 0) != (y < 0) {
				v--
			}
		}
	case "%":
		if y != -1 {
			if v = x % y; v != 0 && (v < 0) != (y < 0) {
				v += y
			}
		}
	}
	if !fits {
		return nil, m.Fail("a number is too large")
	}
	return v, nil
}

func (m *Machine) floats(op string, x, y float64) (Value, error) {
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "/":
		return x / y, nil
	}
	if y == 0 {
		return nil, m.Fail("divided by 0")
	}
	v := math.Mod(x, y)
	if v != 0 && (v < 0) != (y < 0) {
		v += y
	}
	return v, nil
}

func (m *Machine) strings(op string, x *String, r Value) (Value, error) {
	switch y := r.(type) {
	case *String:
		if op == "+" {
			if err := m.Alloc(int64(len(x.s)+len(y.s)) + sizeValue); err != nil {
				return nil, err
			}
			return &String{x.s + y.s}, nil
		}
	case int64:
		if op == "*" {
			if y < 0 {
				return nil, m.Fail("a string cannot be repeated %d times", y)
			}
			if err := m.allocN(y, int64(len(x.s))); err != nil {
				return nil, err
			}
			if x.s == "" {
				return &String{}, nil
			}
			return m.share(strings.Repeat(x.s, int(y)))
		}
	}
	return nil, m.Fail("String %s %s is not supported", op, class(r))
}

func (m *Machine) arrays(op string, x, y *Array) (Value, error) {
	if err := m.allocN(int64(len(x.elems)+len(y.elems)), sizeValue); err != nil {
		return nil, err
	}
	if op == "+" {
		return &Array{append(x.elems[:len(x.elems):len(x.elems)], y.elems...)}, nil
	}
	out := &Array{}
	for _, e := range x.elems {
		in, err := m.includes(y.elems, e)
		if err != nil {
			return nil, err
		}
		if !in {
			out.elems = append(out.elems, e)
		}
	}
	return out, nil
}

// push is l << r.
func (m *Machine) push(l, r Value) (Value, error) {
	switch x := l.(type) {
	case *String:
		y, ok := r.(*String)
		if !ok {
			break
		}
		if err := m.Alloc(int64(len(x.s) + len(y.s))); err != nil {
			return nil, err
		}
		x.s += y.s
		return x, nil
	case *Array:
		if err := m.Alloc(sizeValue); err != nil {
			return nil, err
		}
		x.elems = append(x.elems, r)
		return x, nil
	}
	return nil, m.Fail("%s << %s is not supported", class(l), class(r))
}

// find is =~ and !~.
func (m *Machine) find(op string, l, r Value) (Value, error) {
	if _, ok := l.(*Regexp); ok {
		l, r = r, l
	}
	re, ok := r.(*Regexp)
	if !ok {
		return nil, m.Fail("%s %s %s is not supported", class(l), op, class(r))
	}
	var s string
	switch v := l.(type) {
	case nil:
		if op == "!~" {
			return true, nil
		}
		return nil, nil
	case *String:
		s = v.s
	case Symbol:
		s = string(v)
	default:
		return nil, m.Fail("%s %s Regexp is not supported", class(l), op)
	}
	if err := m.match(re, len(s)); err != nil {
		return nil, err
	}
	at := re.re.FindStringIndex(s)
	switch {
	case op == "!~":
		return at == nil, nil
	case at == nil:
		return nil, nil
	}
	return int64(utf8.RuneCountInString(s[:at[0]])), nil
}

// equal is ==.
func (m *Machine) equal(a, b Value, depth int) (bool, error) {
	if depth > maxDepth {
		return false, m.Fail("values are nested too deeply")
	}
	if err := m.Steps(1); err != nil {
		return false, err
	}
	switch x := a.(type) {
	case *String:
		y, ok := b.(*String)
		if !ok || len(x.s) != len(y.s) {
			return false, nil
		}
		return x.s == y.s, m.Steps(int64(len(x.s)) >> 10)
	case int64:
		switch y := b.(type) {
		case int64:
			return x == y, nil
		case float64:
			return float64(x) == y, nil
		}
		return false, nil
	case float64:
		switch y := b.(type) {
		case int64:
			return x == float64(y), nil
		case float64:
			return x == y, nil
		}
		return false, nil
	case *Array:
		y, ok := b.(*Array)
		if !ok || len(x.elems) != len(y.elems) {
			return false, nil
		}
		for i := range x.elems {
			if same, err := m.equal(x.elems[i], y.elems[i], depth+1); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	case *Hash:
		y, ok := b.(*Hash)
		if !ok || x.Len() != y.Len() {
			return false, nil
		}
		for i, k := range x.keys {
			v, ok := y.Get(k)
			if !ok {
				return false, nil
			}
			if same, err := m.equal(x.values[i], v, depth+1); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	}
	return a == b, nil
}

// compare orders two values of a kind that has an order.
func (m *Machine) compare(a, b Value) (c int, ordered bool, err error) {
	if x, ok := a.(*String); ok {
		if y, ok := b.(*String); ok {
			return strings.Compare(x.s, y.s), true, m.Steps(1 + int64(min(len(x.s), len(y.s)))>>10)
		}
	}
	if x, ok := a.(Symbol); ok {
		if y, ok := b.(Symbol); ok {
			return strings.Compare(string(x), string(y)), true, m.Steps(1)
		}
	}
	if x, ok := a.(int64); ok {
		if y, ok := b.(int64); ok {
			return orderOf(x, y), true, m.Steps(1)
		}
	}
	x, xok := number(a)
	y, yok := number(b)
	if !xok || !yok {
		return 0, false, m.Fail("%s and %s cannot be compared", class(a), class(b))
	}
	return orderOf(x, y), x == x && y == y, m.Steps(1) //nolint:staticcheck // NaN is not itself
}

func orderOf[T int64 | float64](x, y T) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func number(v Value) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func (m *Machine) includes(list []Value, v Value) (bool, error) {
	for _, e := range list {
		if same, err := m.equal(e, v, 0); err != nil || same {
			return same, err
		}
	}
	return false, nil
}
