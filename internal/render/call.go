package render

import (
	"slices"

	"go.starlark.net/starlark"
)

// arguments are those of one call.
type arguments struct {
	function string
	list     []starlark.Value
	named    []binding
}

func (a *arguments) addNamed(name string, v starlark.Value) error {
	for _, n := range a.named {
		if n.name == name {
			return failure("SyntaxError", "keyword argument repeated: %s", name)
		}
	}
	a.named = append(a.named, binding{name, v})
	return nil
}

// take assigns the arguments to parameters. The first need ones must be given;
// the others are nil when they are not. Parameters after a "*" are given by
// name only.
func (a *arguments) take(need int, params ...string) ([]starlark.Value, error) {
	byPlace := len(params)
	if i := slices.Index(params, "*"); i >= 0 {
		byPlace = i
		params = slices.Delete(slices.Clone(params), i, i+1)
	}
	if len(a.list) > byPlace {
		return nil, typeError("%s() takes at most %d arguments (%d given)", a.function, byPlace, len(a.list))
	}
	out := make([]starlark.Value, len(params))
	copy(out, a.list)
	for _, n := range a.named {
		i := slices.Index(params, n.name)
		switch {
		case i < 0:
			return nil, typeError("%s() got an unexpected keyword argument '%s'", a.function, n.name)
		case out[i] != nil:
			return nil, typeError("%s() got multiple values for argument '%s'", a.function, n.name)
		}
		out[i] = n.value
	}
	for i := range need {
		if out[i] == nil {
			return nil, typeError("%s() missing the argument '%s'", a.function, params[i])
		}
	}
	return out, nil
}

// plain returns the arguments of a function that takes from least to most of
// them and no names; most -1 is any number.
func (a *arguments) plain(least, most int) ([]starlark.Value, error) {
	if len(a.named) > 0 {
		return nil, typeError("%s() takes no keyword arguments", a.function)
	}
	if len(a.list) < least {
		return nil, typeError("%s expected at least %d argument(s), got %d", a.function, least, len(a.list))
	}
	if most >= 0 && len(a.list) > most {
		return nil, typeError("%s expected at most %d argument(s), got %d", a.function, most, len(a.list))
	}
	return a.list, nil
}

// text returns v as a string, orElse when it was not given.
func (a *arguments) text(v starlark.Value, orElse string) (string, error) {
	switch v := v.(type) {
	case nil:
		return orElse, nil
	case starlark.String:
		return string(v), nil
	default:
		return "", typeError("%s() argument must be str, not %s", a.function, typeName(v))
	}
}

// whole returns v as an integer, orElse when it was not given.
func (a *arguments) whole(v starlark.Value, orElse int64) (int64, error) {
	if v == nil {
		return orElse, nil
	}
	n, ok := index64(v)
	if !ok {
		return 0, typeError("'%s' object cannot be interpreted as an integer", typeName(v))
	}
	return n, nil
}
