package enms

import (
	"encoding/json"
	"slices"
	"strings"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
)

type (
	poolView = dispatch.PoolView
	poolIn   = inventory.PoolInput
)

// poolFields is the table of the device properties that a pool's criteria can
// be about. Labels are criteria too, as device_labels.<key>.
var poolFields = []struct{ theirs, ours string }{
	{"name", "name"}, {"ip_address", "address"}, {"port", "port"}, {"description", "description"},
	{"vendor", "vendor"}, {"model", "model"}, {"location", "location"},
	{"operating_system", "operating_system"}, {"os_version", "os_version"}, {"platform", "platform"},
}

// matches is the table of comparisons.
var matches = []struct {
	theirs string
	ours   job.CriterionOp
}{{"inclusion", job.OpContains}, {"equality", job.OpEquals}, {"regex", job.OpRegex}, {"empty", job.OpEmpty}}

const labelField = "labels."

// fieldOf returns our name of a device property, "" for one without criteria.
func fieldOf(theirs string) string {
	if strings.HasPrefix(theirs, labelField) {
		return theirs
	}
	for _, f := range poolFields {
		if f.theirs == theirs {
			return f.ours
		}
	}
	return ""
}

// propertyOf is fieldOf backwards.
func propertyOf(ours string) string {
	for _, f := range poolFields {
		if f.ours == ours {
			return f.theirs
		}
	}
	return ours
}

// condition is what eNMS keeps for one device property of a pool.
type condition struct {
	value  string
	match  string
	invert bool
}

// conditionOf returns a criterion as eNMS writes it.
func conditionOf(c job.Criterion) condition {
	out := condition{value: c.Value, match: matches[0].theirs, invert: c.Invert}
	for _, m := range matches {
		if m.ours == c.Op {
			out.match = m.theirs
		}
	}
	return out
}

// criterion returns a condition as we write it; ok is false for one without
// effect.
func (c condition) criterion(field, name string) (out job.Criterion, ok bool, err error) {
	out = job.Criterion{Field: field, Value: c.value, Invert: c.invert}
	for _, m := range matches {
		if m.theirs == c.match {
			out.Op = m.ours
		}
	}
	switch out.Op {
	case "":
		return out, false, job.FieldErrorf("device_"+name+"_match", "want inclusion, equality, regex or empty")
	case job.OpEmpty:
		out.Value = ""
		return out, true, nil
	}
	return out, c.value != "", nil
}

// poolModel is eNMS's pool.
func poolModel(d *dispatch.Dispatcher) *model[poolView, poolIn] {
	props := append(metaProperties[poolView, poolIn]("pool"),
		mapped("description", "", func(v poolView) string { return v.Description }, func(in *poolIn) **string { return &in.Description }),
		related("devices", "", func(v poolView) []string { return v.Devices }, func(in *poolIn) **[]string { return &in.Devices }),
		property[poolView, poolIn]{
			name: "manually_defined", get: manual,
			put: func(e *edit[poolView, poolIn], raw json.RawMessage) error {
				e.extra["manually_defined"] = json.RawMessage("false")
				if boolean(raw) {
					e.extra["manually_defined"] = json.RawMessage("true")
				}
				return nil
			},
		},
		fixed[poolView, poolIn]("links", []string{}),
		readOnly[poolView, poolIn]("device_number", func(o stored[poolView]) any { return len(o.view.Devices) }),
		readOnly[poolView, poolIn]("link_number", func(stored[poolView]) any { return 0 }),
	)
	return newModel(model[poolView, poolIn]{
		props:   props,
		meta:    func(v poolView) job.Meta { return v.Meta },
		renames: true,
		identify: func(in *poolIn, name string, newName *string, extra map[string]json.RawMessage) {
			in.Name, in.NewName, in.Extra = name, newName, extra
		},
		other: putCriterion, finish: finishPool, more: showCriteria,
		load: d.Pool, save: d.SavePools, remove: d.DeletePool,
	})
}

// manual reports whether a pool's members were named: what was said last, as
// far as the criteria agree with it.
func manual(o stored[poolView]) any {
	if raw, ok := o.extra["manually_defined"]; ok && !o.view.Dynamic() {
		return boolean(raw)
	}
	return !o.view.Dynamic()
}

// splitCriterion divides device_<property>[_match|_invert].
func splitCriterion(key string) (property, part string, ok bool) {
	name, ok := strings.CutPrefix(key, "device_")
	if !ok {
		return "", "", false
	}
	for _, part := range []string{"match", "invert"} {
		if p, ok := strings.CutSuffix(name, "_"+part); ok {
			return p, part, true
		}
	}
	return name, "value", true
}

// putCriterion takes a property that is not in the table. Criteria that we do
// not have are refused when they would have an effect; all else is ignored.
func putCriterion(e *edit[poolView, poolIn], key string, raw json.RawMessage) error {
	if strings.HasPrefix(key, "link_") {
		if _, part, _ := splitCriterion("device_" + strings.TrimPrefix(key, "link_")); part == "value" && truthy(raw) {
			return &job.Error{Code: job.Unsupported, Field: key, Message: "links are not available in this version"}
		}
		return nil
	}
	property, part, ok := splitCriterion(key)
	if !ok {
		return nil
	}
	if fieldOf(property) == "" {
		var match string
		if part == "value" && truthy(raw) || part == "match" && json.Unmarshal(raw, &match) == nil && match == "empty" {
			return &job.Error{Code: job.Unsupported, Field: key, Message: "criteria on this property are not available in this version"}
		}
		return nil
	}
	if len(raw) > inventory.MaxPattern+64 {
		return job.FieldErrorf(key, "is longer than %d bytes", inventory.MaxPattern)
	}
	e.extra[key] = raw
	return nil
}

// finishPool turns the conditions into criteria: those of now, changed by what
// the request gives.
func finishPool(e *edit[poolView, poolIn]) error {
	var touched []string
	for key := range e.given {
		if p, _, ok := splitCriterion(key); ok && fieldOf(p) != "" && !slices.Contains(touched, p) {
			touched = append(touched, p)
		}
	}
	slices.Sort(touched)
	criteria := slices.Clone(e.was.view.Match)
	for _, name := range touched {
		c, err := conditionAfter(e, name)
		if err != nil {
			return err
		}
		field := fieldOf(name)
		criteria = slices.DeleteFunc(criteria, func(o job.Criterion) bool { return o.Field == field })
		crit, effective, err := c.criterion(field, name)
		if err != nil {
			return err
		}
		if effective {
			criteria = append(criteria, crit)
		}
	}
	if e.set("manually_defined") && boolean(e.given["manually_defined"]) {
		if len(touched) > 0 && len(criteria) > 0 {
			return job.FieldErrorf("manually_defined", "a pool that is manually defined has no criteria")
		}
		criteria = []job.Criterion{}
	}
	if e.set("manually_defined") && !boolean(e.given["manually_defined"]) && len(criteria) == 0 && truthy(e.given["devices"]) {
		return job.FieldErrorf("devices", "a pool that is not manually defined has the members that its criteria find")
	}
	if len(touched) > 0 || e.set("manually_defined") {
		e.in.Match = &criteria
	}
	return nil
}

// conditionAfter is what applies to one property after the request.
func conditionAfter(e *edit[poolView, poolIn], name string) (condition, error) {
	c := condition{match: matches[0].theirs}
	if raw, ok := e.extra["device_"+name+"_match"]; ok {
		if s, err := text("", raw); err == nil && s != "" {
			c.match = s
		}
	}
	c.invert = e.extra["device_"+name+"_invert"] != nil && boolean(e.extra["device_"+name+"_invert"])
	for _, now := range e.was.view.Match {
		if now.Field == fieldOf(name) {
			c = conditionOf(now)
		}
	}
	for part, put := range map[string]func(raw json.RawMessage) error{
		"": func(raw json.RawMessage) (err error) {
			if isNull(raw) {
				c.value = ""
				return nil
			}
			c.value, err = text("device_"+name, raw)
			return err
		},
		"_match": func(raw json.RawMessage) (err error) {
			if isNull(raw) || string(raw) == `""` {
				return nil
			}
			c.match, err = text("device_"+name+"_match", raw)
			return err
		},
		"_invert": func(raw json.RawMessage) error { c.invert = boolean(raw); return nil },
	} {
		if raw, ok := e.given["device_"+name+part]; ok {
			if err := put(raw); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// showCriteria gives every condition that a pool can have. Where a pool has two
// criteria on one property, which eNMS cannot write, "match" lists all.
func showCriteria(o stored[poolView]) map[string]any {
	out := map[string]any{}
	show := func(name string, c condition) {
		out["device_"+name], out["device_"+name+"_match"], out["device_"+name+"_invert"] = c.value, c.match, c.invert
	}
	for _, f := range poolFields {
		show(f.theirs, condition{match: matches[0].theirs})
	}
	seen := map[string]bool{}
	for _, c := range o.view.Match {
		show(propertyOf(c.Field), conditionOf(c))
		if seen[c.Field] {
			out["match"] = o.view.Match
		}
		seen[c.Field] = true
	}
	return out
}
