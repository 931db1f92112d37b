package search

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"drover/internal/job"
)

// SortKey says how an "order" parameter ("name DESC") sorts: the field and
// whether descending. An unknown field is an Error.
func (s Schema) SortKey(order string) (f Field, key string, descending bool, err error) {
	wrong := func(e *Error) (Field, string, bool, error) {
		return Field{}, "", false, &job.Error{Code: job.Invalid, Field: "order", Message: e.Message, Err: e}
	}
	parts := strings.Fields(order)
	if len(parts) == 0 || len(parts) > 2 {
		return wrong(refuse(0, "an order is the name of a field and ASC or DESC, not '%.60s'", order))
	}
	f, key, e := s.lookUp(parts[0], strings.Index(order, parts[0]))
	if e != nil {
		e.Message = "the field '" + parts[0] + "' in the order statement is not valid field for search"
		return wrong(e)
	}
	if len(parts) == 2 {
		switch strings.ToUpper(parts[1]) {
		case "ASC":
		case "DESC":
			descending = true
		default:
			return wrong(refuse(strings.LastIndex(order, parts[1]), "'%.60s' is neither ASC nor DESC", parts[1]))
		}
	}
	return f, key, descending, nil
}

// Compare orders two things by the field: -1, 0 or 1, those without a value last.
// Of several values the least counts.
func (f Field) Compare(a, b any, key string) int {
	x, okX := f.least(f.Get(a, key))
	y, okY := f.least(f.Get(b, key))
	switch {
	case okX && okY:
		return f.compareValues(x, y)
	case okX:
		return -1
	case okY:
		return 1
	}
	return 0
}

func (f Field) least(values []string) (string, bool) {
	if len(values) == 0 {
		return "", false
	}
	return slices.MinFunc(values, f.compareValues), true
}

func (f Field) compareValues(a, b string) int {
	switch f.Type {
	case Integer:
		return compareNumbers(a, b)
	case Time:
		x, errX := time.Parse(time.RFC3339Nano, a)
		y, errY := time.Parse(time.RFC3339Nano, b)
		if errX == nil && errY == nil {
			return x.Compare(y)
		}
	case Enum:
		return cmp.Compare(slices.Index(f.Values, a), slices.Index(f.Values, b))
	}
	return strings.Compare(a, b)
}
