package render

import (
	"fmt"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"drover/internal/job"
)

// opaque gives a value of our own what the library's interface asks for.
type opaque struct{ kind string }

func (o opaque) String() string        { return "<" + o.kind + ">" }
func (o opaque) Type() string          { return o.kind }
func (o opaque) Freeze()               {}
func (o opaque) Truth() starlark.Bool  { return true }
func (o opaque) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: '%s'", o.kind) }

// device is a device in an expression. It is written as its name, with the
// model where there is one.
type device struct {
	opaque
	*job.Device
}

func newDevice(d *job.Device) device { return device{opaque{"Device"}, d} }

func (d device) String() string { return d.Device.String() }

// Hash tells devices apart by their identity.
func (d device) Hash() (uint32, error) { return uint32(d.ID) ^ uint32(d.ID>>32), nil }

// list is a list. The library's own hides its elements, and its methods change
// them.
type list struct {
	opaque
	elems []starlark.Value
}

func newList(elems []starlark.Value) *list { return &list{opaque{"list"}, elems} }

func (l *list) Truth() starlark.Bool { return len(l.elems) > 0 }

// view is what dict.keys() and its like return.
type view struct {
	opaque
	elems []starlark.Value
}

func (v view) Truth() starlark.Bool { return len(v.elems) > 0 }

// span is what range() returns: numbers that are made when asked for.
type span struct {
	opaque
	start, stop, step, n int64
}

func (s span) Truth() starlark.Bool { return s.n > 0 }

func (s span) at(i int64) starlark.Value { return starlark.MakeInt64(s.start + i*s.step) }

// function is something that can be called.
type function struct {
	opaque
	name string
	call func(*evaluation, *arguments) (starlark.Value, error)
}

func newFunction(name string, call func(*evaluation, *arguments) (starlark.Value, error)) *function {
	return &function{opaque{"builtin_function_or_method"}, name, call}
}

// typeName is Python's name of a value's type.
func typeName(v starlark.Value) string {
	switch v.(type) {
	case starlark.String:
		return "str"
	}
	return v.Type() // NoneType, bool, int, float, list, tuple, dict are spelled the same
}

// each calls f for every element of an iterable.
func (e *evaluation) each(v starlark.Value, f func(starlark.Value) error) error {
	call := func(v starlark.Value) error {
		if err := e.step(1); err != nil {
			return err
		}
		return f(v)
	}
	elems, ok := sequence(v)
	switch v := v.(type) {
	case starlark.String:
		for len(v) > 0 {
			if err := e.alloc(sizeValue); err != nil {
				return err
			}
			_, n := utf8.DecodeRuneInString(string(v))
			if err := call(v[:n]); err != nil {
				return err
			}
			v = v[n:]
		}
		return nil
	case span:
		for i := range v.n {
			if err := e.alloc(sizeValue); err != nil {
				return err
			}
			if err := call(v.at(i)); err != nil {
				return err
			}
		}
		return nil
	case *starlark.Dict:
		if err := e.allocN(int64(v.Len()), sizeValue); err != nil {
			return err
		}
		elems, ok = v.Keys(), true
	}
	if !ok {
		return typeError("'%s' object is not iterable", typeName(v))
	}
	for _, x := range elems {
		if err := call(x); err != nil {
			return err
		}
	}
	return nil
}

// sequence returns the elements of a list, tuple or view, not to be changed.
func sequence(v starlark.Value) ([]starlark.Value, bool) {
	switch v := v.(type) {
	case *list:
		return v.elems, true
	case starlark.Tuple:
		return v, true
	case view:
		return v.elems, true
	}
	return nil, false
}

// collect returns the elements of an iterable in a slice of their own.
func (e *evaluation) collect(v starlark.Value) ([]starlark.Value, error) {
	n, err := length(v)
	if err != nil {
		return nil, typeError("'%s' object is not iterable", typeName(v))
	}
	if err := e.allocN(n, sizeValue); err != nil {
		return nil, err
	}
	out := make([]starlark.Value, 0, n)
	err = e.each(v, func(v starlark.Value) error { out = append(out, v); return nil })
	return out, err
}

// length is len().
func length(v starlark.Value) (int64, error) {
	switch v := v.(type) {
	case starlark.String:
		return int64(utf8.RuneCountInString(string(v))), nil
	case *list:
		return int64(len(v.elems)), nil
	case starlark.Tuple:
		return int64(len(v)), nil
	case *starlark.Dict:
		return int64(v.Len()), nil
	case view:
		return int64(len(v.elems)), nil
	case span:
		return v.n, nil
	}
	return 0, typeError("object of type '%s' has no len()", typeName(v))
}

// setKey adds an entry to a dictionary that the evaluation is building.
func (e *evaluation) setKey(d *starlark.Dict, k, v starlark.Value) error {
	if err := e.hashable(k); err != nil {
		return err
	}
	if err := e.alloc(sizeEntry); err != nil {
		return err
	}
	if err := d.SetKey(k, v); err != nil {
		return typeError("%v", err)
	}
	return nil
}

// hashable charges for hashing a key and refuses those that have no hash.
func (e *evaluation) hashable(k starlark.Value) error {
	switch k := k.(type) {
	case starlark.String:
		return e.look(len(k))
	case starlark.Tuple:
		if err := e.step(int64(len(k))); err != nil {
			return err
		}
		for _, x := range k {
			if err := e.hashable(x); err != nil {
				return err
			}
		}
		return nil
	case starlark.NoneType, starlark.Bool, starlark.Int, starlark.Float, device:
		return nil
	}
	return typeError("unhashable type: '%s'", typeName(k))
}
