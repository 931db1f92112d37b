package ruby

import (
	"math"
	"strconv"
	"strings"
)

// Value is nil, a bool, an int64, a float64, a *String, a Symbol, an *Array, a
// *Hash, a *Regexp or an Object.
type Value any

// String is a string, which << changes.
type String struct{ s string }

// NewString returns a string value. Who makes large ones charges for them.
func NewString(s string) *String { return &String{s} }

// Text is what the string holds.
func (s *String) Text() string { return s.s }

// Symbol is a name, like :x.
type Symbol string

// Array is a list.
type Array struct{ elems []Value }

// NewArray returns a list of values.
func NewArray(elems ...Value) *Array { return &Array{elems} }

// Hash is a table that keeps its order.
type Hash struct {
	keys   []Value
	values []Value
	index  map[key]int
}

// key is a value as a key.
type key struct {
	kind byte
	text string
	n    uint64
}

func keyOf(v Value) (key, bool) {
	switch v := v.(type) {
	case nil:
		return key{kind: 'n'}, true
	case bool:
		if v {
			return key{kind: 't'}, true
		}
		return key{kind: 'f'}, true
	case int64:
		return key{kind: 'i', n: uint64(v)}, true
	case float64:
		return key{kind: 'd', n: math.Float64bits(v)}, true
	case *String:
		return key{kind: 's', text: v.s}, true
	case Symbol:
		return key{kind: 'y', text: string(v)}, true
	}
	return key{}, false
}

// NewHash returns an empty table.
func NewHash() *Hash { return &Hash{index: map[key]int{}} }

// Len is the number of entries.
func (h *Hash) Len() int { return len(h.keys) }

// Keys are the keys in order, not to be changed.
func (h *Hash) Keys() []Value { return h.keys }

// Set stores a value; it reports false when the key cannot be one.
func (h *Hash) Set(k, v Value) bool {
	kk, ok := keyOf(k)
	if !ok {
		return false
	}
	if i, ok := h.index[kk]; ok {
		h.values[i] = v
		return true
	}
	if s, ok := k.(*String); ok {
		k = &String{s.s} // a key does not change with the string that it was
	}
	h.index[kk] = len(h.keys)
	h.keys, h.values = append(h.keys, k), append(h.values, v)
	return true
}

// Get returns the value of a key, and whether there is one.
func (h *Hash) Get(k Value) (Value, bool) {
	kk, ok := keyOf(k)
	if !ok {
		return nil, false
	}
	i, ok := h.index[kk]
	if !ok {
		return nil, false
	}
	return h.values[i], true
}

// Lookup returns the value of a key that is the text as a string or a symbol.
func (h *Hash) Lookup(name string) (Value, bool) {
	if v, ok := h.Get(Symbol(name)); ok {
		return v, true
	}
	return h.Get(&String{name})
}

// Object is a value of the host's. Text is what it is when it is printed.
type Object interface {
	// Call is the object's method. known is false where it has none of the name.
	Call(m *Machine, name string, args []Value) (v Value, known bool, err error)
	Text() string
	Class() string
}

// Truth is what a condition makes of a value.
func Truth(v Value) bool {
	b, ok := v.(bool)
	return v != nil && (!ok || b)
}

func class(v Value) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return "Integer"
	case float64:
		return "Float"
	case *String:
		return "String"
	case Symbol:
		return "Symbol"
	case *Array:
		return "Array"
	case *Hash:
		return "Hash"
	case *Regexp:
		return "Regexp"
	case Object:
		return v.Class()
	}
	return "Object"
}

// ToText returns the text of a value as <%= %> puts it in; what has none is an
// error.
func ToText(v Value) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return floatText(v), nil
	case *String:
		return v.s, nil
	case Symbol:
		return string(v), nil
	case *Array:
		return "", failure(0, "an array has no text of its own: use join or to_json")
	case *Hash:
		return "", failure(0, "a hash has no text of its own: use its values or to_json")
	case Object:
		return v.Text(), nil
	}
	return "", failure(0, "a %s has no text", class(v))
}

// floatText writes a number as Ruby does.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0:
		if math.Signbit(f) {
			return "-0.0"
		}
		return "0.0"
	}
	if a := math.Abs(f); a >= 1e15 || a < 1e-4 {
		s := strconv.FormatFloat(f, 'e', -1, 64)
		mantissa, exponent, _ := strings.Cut(s, "e")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return mantissa + "e" + exponent
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Blank is whether a value says nothing.
func Blank(v Value) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case *String:
		return strings.TrimSpace(v.s) == ""
	case Symbol:
		return v == ""
	case *Array:
		return len(v.elems) == 0
	case *Hash:
		return len(v.keys) == 0
	}
	return false
}
