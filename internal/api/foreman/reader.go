package foreman

import (
	"slices"
	"strings"
)

// reader takes attributes out of an object. What was not sent changes nothing;
// the first attribute of the wrong type is kept in err.
type reader struct {
	object
	err error
}

// text reads a text; null is "".
func (r *reader) text(name string, to *string) {
	if !r.has(name) || r.err != nil {
		return
	}
	var s string
	if s, r.err = r.get(name).text(); r.err == nil {
		*to = s
	}
}

// nullable reads a text that can be null and remembers in empty whether it is
// "" instead.
func (r *reader) nullable(name string, to *string, empty *[]string) {
	if !r.has(name) || r.err != nil {
		return
	}
	r.text(name, to)
	r.remember(name, *to == "" && !r.get(name).null(), empty)
}

func (r *reader) remember(name string, isEmpty bool, empty *[]string) {
	*empty = slices.DeleteFunc(slices.Clone(*empty), func(s string) bool { return s == name })
	if isEmpty {
		*empty = append(*empty, name)
	}
	if len(*empty) == 0 {
		*empty = nil
	}
}

// flag reads a truth value; null and "" are false.
func (r *reader) flag(name string, to *bool) {
	if !r.has(name) || r.err != nil {
		return
	}
	var b bool
	if b, _, r.err = r.get(name).boolean(); r.err == nil {
		*to = b
	}
}

// integer reads a whole number; null and "" are 0.
func (r *reader) integer(name string, to *int64) {
	if !r.has(name) || r.err != nil {
		return
	}
	var n int64
	if n, _, r.err = r.get(name).integer(); r.err == nil {
		*to = n
	}
}

// lines reads an array of texts, or one text with a line for each.
func (r *reader) lines(name string, to *[]string) {
	if !r.has(name) || r.err != nil {
		return
	}
	var all []string
	if all, r.err = r.get(name).texts(); r.err == nil {
		*to = split(strings.Join(all, "\n"), "\n")
	}
}

// split returns the parts of a text, trimmed, without empty ones.
func split(s, separator string) []string {
	var out []string
	for part := range strings.SplitSeq(s, separator) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// nested reads what Rails calls nested attributes: an array of objects, or an
// object of them.
func (r *reader) nested(name string) []object {
	v := r.get(name)
	if v.blank() || r.err != nil {
		return nil
	}
	var all []value
	if v.kind() == '{' {
		var o object
		if o, r.err = v.object(); r.err != nil {
			return nil
		}
		for _, key := range o.keys {
			all = append(all, o.get(key))
		}
	} else if all, r.err = v.list(); r.err != nil {
		return nil
	}
	var out []object
	for _, e := range all {
		o, err := e.object()
		if err != nil {
			r.err = err
			return nil
		}
		out = append(out, o)
	}
	return out
}
