package search

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ordered reports whether a comparison holds by how its left side compares with
// its right.
func ordered(op kind, order int) bool {
	switch op {
	case eq, in:
		return order == 0
	case gt:
		return order > 0
	case gte:
		return order >= 0
	case lt:
		return order < 0
	case lte:
		return order <= 0
	}
	return false
}

// testText compares bytes: case matters, and order is that of the code points.
func testText(op kind, values []string) func(string) bool {
	if op == in {
		set := make(map[string]struct{}, len(values))
		for _, v := range values {
			set[v] = struct{}{}
		}
		return func(has string) bool {
			_, ok := set[has]
			return ok
		}
	}
	return func(has string) bool { return ordered(op, strings.Compare(has, values[0])) }
}

var (
	wholeNumber = regexp.MustCompile(`^-?[0-9]+$`)
	number      = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
)

func allNumbers(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !number.MatchString(v) })
}

func testNumber(f Field, op kind, values []string, at int) (func(string) bool, *Error) {
	valid := number
	if f.ID {
		valid = wholeNumber
	}
	for _, v := range values {
		if !valid.MatchString(v) {
			return nil, refuse(at, "Value '%s' is not valid for field '%s'", v, f.Name)
		}
	}
	if op == in {
		set := make(map[float64]struct{}, len(values))
		for _, v := range values {
			set[numeric(v)] = struct{}{}
		}
		return func(has string) bool {
			_, ok := set[numeric(has)]
			return ok && number.MatchString(has)
		}, nil
	}
	want := values[0]
	return func(has string) bool {
		return number.MatchString(has) && ordered(op, compareNumbers(has, want))
	}, nil
}

// numeric is a number near enough to find it again: ids stay below 2^53.
func numeric(s string) float64 {
	f, _ := strconv.ParseFloat(s, 64) // what is out of range becomes an infinity, which is as good
	return f
}

// compareNumbers compares two texts that are numbers.
func compareNumbers(a, b string) int {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(numeric(a), numeric(b))
}

// testEnum compares with one of a few values. A Bool has true and false unless
// its field says otherwise.
func testEnum(f Field, op kind, values []string, n *node) (func(string) bool, *Error) {
	known := f.Values
	if len(known) == 0 && f.Type == Bool {
		known = []string{"true", "false"}
	}
	if op != eq && op != in {
		return nil, refuse(n.at, "the operator '%s' is not supported for field '%s'", symbols[n.kind], f.Name)
	}
	for _, v := range values {
		if !slices.Contains(known, v) {
			return nil, refuse(n.valueAt, "'%s' should be one of '%s', but the query was '%s'", f.Name, strings.Join(known, ", "), v)
		}
	}
	return func(has string) bool { return slices.Contains(values, has) }, nil
}
