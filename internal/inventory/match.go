package inventory

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
	"drover/internal/search"
)

const labelPrefix = "labels."

// plainFields are the fields of a criterion that are not labels.
var plainFields = map[string]func(*job.Device) string{
	"name":             func(d *job.Device) string { return d.Name },
	"address":          func(d *job.Device) string { return d.Address },
	"port":             func(d *job.Device) string { return strconv.Itoa(d.Port) },
	"platform":         func(d *job.Device) string { return d.Platform },
	"description":      func(d *job.Device) string { return d.Description },
	"vendor":           func(d *job.Device) string { return d.Vendor },
	"model":            func(d *job.Device) string { return d.Model },
	"location":         func(d *job.Device) string { return d.Location },
	"operating_system": func(d *job.Device) string { return d.OperatingSystem },
	"os_version":       func(d *job.Device) string { return d.OSVersion },
}

// Matcher is a set of compiled criteria. It is safe for concurrent use.
type Matcher struct {
	tests []func(*job.Device) bool
}

// CompileCriteria compiles criteria, all of which a device must meet. The
// error blames field. No criteria match nothing.
func CompileCriteria(field string, criteria []job.Criterion) (*Matcher, error) {
	if len(criteria) > MaxCriteria {
		return nil, job.FieldErrorf(field, "has %d criteria; at most %d are allowed", len(criteria), MaxCriteria)
	}
	m := &Matcher{}
	for i, c := range criteria {
		t, err := compileCriterion(field+"["+strconv.Itoa(i)+"]", c)
		if err != nil {
			return nil, err
		}
		m.tests = append(m.tests, t)
	}
	return m, nil
}

// Matches reports whether the device meets every criterion.
func (m *Matcher) Matches(d job.Device) bool {
	for _, t := range m.tests {
		if !t(&d) {
			return false
		}
	}
	return len(m.tests) > 0
}

func compileCriterion(field string, c job.Criterion) (func(*job.Device) bool, error) {
	value, err := fieldValue(field, c.Field)
	if err != nil {
		return nil, err
	}
	if c.Op != job.OpEmpty && c.Value == "" {
		return nil, job.FieldErrorf(field+".value", "the comparison needs a value; %q finds what is empty", job.OpEmpty)
	}
	if err := ValidText(field+".value", c.Value, MaxPattern); err != nil {
		return nil, err
	}
	var holds func(string) bool
	switch c.Op {
	case job.OpEquals:
		holds = func(s string) bool { return s == c.Value }
	case job.OpContains:
		part := strings.ToLower(c.Value)
		holds = func(s string) bool { return strings.Contains(strings.ToLower(s), part) }
	case job.OpRegex:
		re, err := regexp.Compile(c.Value)
		if err != nil {
			return nil, job.FieldErrorf(field+".value", "the regular expression cannot be used: %v", err)
		}
		holds = re.MatchString
	case job.OpEmpty:
		holds = func(s string) bool { return s == "" }
	default:
		return nil, job.FieldErrorf(field+".op", "%.60q is not a comparison; %s, %s, %s and %s are",
			string(c.Op), job.OpEquals, job.OpContains, job.OpRegex, job.OpEmpty)
	}
	return func(d *job.Device) bool { return holds(value(d)) != c.Invert }, nil
}

func fieldValue(field, name string) (func(*job.Device) string, error) {
	if f, ok := plainFields[name]; ok {
		return f, nil
	}
	key, ok := strings.CutPrefix(name, labelPrefix)
	if !ok {
		return nil, job.FieldErrorf(field+".field", "there is no device field %.60q to compare", name)
	}
	if err := ValidLabelKey(field+".field", key); err != nil {
		return nil, err
	}
	return func(d *job.Device) string { return d.Labels[key] }, nil
}

// Matches reports whether the device meets one criterion. A criterion that is
// not valid is met by no device. To compare many devices, compile once.
func Matches(d job.Device, c job.Criterion) bool {
	t, err := compileCriterion("", c)
	return err == nil && t(&d)
}

// CompiledPool tells a pool's members.
type CompiledPool struct {
	id      int64
	dynamic bool
	matcher *Matcher      // nil: the criteria do not matter
	query   *search.Query // nil: the query does not matter
}

// CompilePool prepares a pool for many devices. now is what the dates of a query
// are relative to.
func CompilePool(p job.Pool, now time.Time) (CompiledPool, error) {
	c := CompiledPool{id: p.ID, dynamic: p.Dynamic()}
	var err error
	if len(p.Match) > 0 {
		if c.matcher, err = CompileCriteria("match", p.Match); err != nil {
			return CompiledPool{}, err
		}
	}
	if p.Query != "" {
		if c.query, err = compilePoolQuery(p.Query, now); err != nil {
			return CompiledPool{}, err
		}
	}
	return c, nil
}

// compilePoolQuery reads the query of a pool. It may not ask about pools, since
// those would have to be known first; nor is there anybody who asks.
func compilePoolQuery(query string, now time.Time) (*search.Query, error) {
	if err := ValidText("query", query, MaxPoolQuery); err != nil {
		return nil, err
	}
	q, err := search.Compile(query, ownFields, search.Strict, search.Env{Now: now})
	var why *search.Error
	if errors.As(err, &why) {
		return nil, &job.Error{Code: job.Invalid, Field: "query", Message: fmt.Sprintf("%s (at byte %d)", why.Message, why.At)}
	}
	return q, err
}

// Contains reports whether the device is a member: it meets all criteria and the
// query of a dynamic pool, or names a static one.
func (c CompiledPool) Contains(d job.Device) bool {
	if !c.dynamic {
		return slices.Contains(d.PoolIDs, c.id)
	}
	return (c.matcher == nil || c.matcher.Matches(d)) && (c.query == nil || c.query.Match(Candidate{Device: d}))
}

// Members returns the members of a pool among devices, in their order.
func Members(p job.Pool, devices iter.Seq[job.Device], now time.Time) ([]job.Device, error) {
	c, err := CompilePool(p, now)
	if err != nil {
		return nil, err
	}
	var out []job.Device
	for d := range devices {
		if c.Contains(d) {
			out = append(out, d)
		}
	}
	return out, nil
}
