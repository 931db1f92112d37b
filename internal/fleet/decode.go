package fleet

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"drover/internal/job"
)

// decoder fills structs from nodes and remembers where each field stood.
type decoder struct {
	problems []Problem
	places   map[string][2]int // by field path: line and column
	nodes    int               // that may still be met
	tooMany  bool
}

func (d *decoder) problem(n *yaml.Node, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{Line: n.Line, Column: n.Column, Field: path, Message: fmt.Sprintf(format, args...)})
}

// at reports a problem with the field at path; see File.Problem.
func (d *decoder) at(path, format string, args ...any) {
	d.problems = append(d.problems, placed(d.places, path, fmt.Sprintf(format, args...)))
}

var (
	secretType   = reflect.TypeFor[job.Secret]()
	durationType = reflect.TypeFor[Duration]()
	rawType      = reflect.TypeFor[json.RawMessage]()
	stopType     = reflect.TypeFor[StopAfter]()
)

// enter follows an alias and counts: a few lines of nested aliases can stand
// for billions of nodes.
func (d *decoder) enter(n *yaml.Node, path string, depth int) (*yaml.Node, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.nodes--
	switch {
	case d.tooMany:
		return n, false
	case d.nodes < 0:
		d.tooMany = true
		d.problem(n, "", "the file stands for too many values once its aliases are followed")
		return n, false
	case depth > maxDepth:
		d.problem(n, path, "nested more than %d levels deep", maxDepth)
		return n, false
	}
	return n, true
}

// decode fills v, which is settable. Whoever calls it has dealt with null.
func (d *decoder) decode(n *yaml.Node, path string, v reflect.Value, depth int) {
	n, ok := d.enter(n, path, depth)
	if !ok {
		return
	}
	d.places[path] = [2]int{n.Line, n.Column}
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		d.nodes++ // it is one node
		d.decode(n, path, v.Elem(), depth)
	case t == rawType:
		d.raw(n, path, v, depth)
	case t == durationType:
		d.duration(n, path, v)
	case t == stopType:
		d.stopAfter(n, path, v)
	case t.Kind() == reflect.Struct:
		d.object(n, path, v, depth)
	case t.Kind() == reflect.Slice:
		d.list(n, path, v, depth)
	case t.Kind() == reflect.Map:
		d.texts(n, path, v, depth)
	default:
		d.scalar(n, path, v)
	}
}

// pairs calls f for each key and value of a mapping, merged ones ("<<") first
// so that what is written in place wins. A key that is given twice is refused.
func (d *decoder) pairs(n *yaml.Node, path string, depth int, f func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "is %s; want fields with values", kindOf(n))
		return
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for pass := range 2 {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			merge := key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge"
			switch {
			case merge && pass == 0:
				d.merge(value, path, depth, f)
			case merge || pass == 0:
			case key.Kind != yaml.ScalarNode:
				d.problem(key, path, "the name of a field is %s", kindOf(key))
			case seen[key.Value]:
				d.problem(key, join(path, key.Value), "is given twice")
			default:
				seen[key.Value] = true
				f(key, value)
			}
		}
	}
}

func (d *decoder) merge(value *yaml.Node, path string, depth int, f func(key, value *yaml.Node)) {
	from, ok := d.enter(value, path, depth)
	if !ok {
		return
	}
	if from.Kind == yaml.SequenceNode {
		for _, e := range slices.Backward(from.Content) { // the first one wins
			d.merge(e, path, depth+1, f)
		}
		return
	}
	d.pairs(from, path, depth+1, f)
}

func (d *decoder) object(n *yaml.Node, path string, v reflect.Value, depth int) {
	d.pairs(n, path, depth, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		field, ok := fieldNamed(v, key.Value)
		if !ok {
			d.problem(key, at, "there is no such field%s", meant(key.Value, fieldNames(v.Type())))
			return
		}
		if isNull(value) {
			if path != "" { // an empty section is an empty list
				d.problem(key, at, "has no value: give one, or leave the field out")
			}
			return
		}
		field.SetZero() // a merged value is replaced as a whole
		d.decode(value, at, field, depth+1)
	})
}

func (d *decoder) list(n *yaml.Node, path string, v reflect.Value, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, path, "is %s; want a list", kindOf(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, e := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		if isNull(e) {
			d.problem(e, at, "has no value")
			continue
		}
		d.decode(e, at, v.Index(i), depth+1)
	}
}

func (d *decoder) texts(n *yaml.Node, path string, v reflect.Value, depth int) {
	v.Set(reflect.MakeMap(v.Type()))
	d.pairs(n, path, depth, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		if isNull(value) {
			d.problem(key, at, "has no value")
			return
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, at, e, depth+1)
		v.SetMapIndex(reflect.ValueOf(key.Value), e)
	})
}

// scalar never shows the value: it may be a secret in the wrong place.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value) {
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode {
		tag = ""
	}
	switch v.Kind() {
	case reflect.String:
		if tag != "!!str" {
			hint := "want a text"
			if n.Kind == yaml.ScalarNode {
				hint = "want a text: put it in quotes"
			}
			d.problem(n, path, "is %s; %s", kindOf(n), hint)
			return
		}
		v.SetString(n.Value)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if tag != "!!int" || err != nil || v.OverflowInt(i) {
			d.problem(n, path, "is %s; want a whole number", kindOf(n))
			return
		}
		v.SetInt(i)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if tag != "!!bool" || err != nil {
			d.problem(n, path, "is %s; want true or false", kindOf(n))
			return
		}
		v.SetBool(b)
	default:
		panic("fleet: no decoder for " + v.Type().String())
	}
}

func (d *decoder) duration(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		if t, err := time.ParseDuration(n.Value); err == nil {
			v.SetInt(int64(t))
			return
		}
	}
	d.problem(n, path, "want a time with its unit, such as 30s, 5m or 1h30m")
}

var percentage = regexp.MustCompile(`^(100|[1-9]?[0-9])%$`)

func (d *decoder) stopAfter(n *yaml.Node, path string, v reflect.Value) {
	var stop StopAfter
	switch tag := n.ShortTag(); {
	case n.Kind == yaml.ScalarNode && tag == "!!int":
		d.scalar(n, path, reflect.ValueOf(&stop.Count).Elem())
	case n.Kind == yaml.ScalarNode && tag == "!!str" && percentage.MatchString(n.Value):
		stop.Percent, _ = strconv.Atoi(strings.TrimSuffix(n.Value, "%"))
	default:
		d.problem(n, path, "want a number of devices, such as 3, or a percentage of them, such as 10%%")
	}
	v.Set(reflect.ValueOf(stop))
}

// raw keeps a value of any shape as JSON.
func (d *decoder) raw(n *yaml.Node, path string, v reflect.Value, depth int) {
	before := len(d.problems)
	tree := d.tree(n, path, depth)
	if len(d.problems) > before || d.tooMany {
		return
	}
	body, err := json.Marshal(tree)
	if err != nil {
		d.problem(n, path, "cannot be written as JSON")
		return
	}
	v.SetBytes(body)
}

func (d *decoder) tree(n *yaml.Node, path string, depth int) any {
	n, ok := d.enter(n, path, depth)
	if !ok {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		d.pairs(n, path, depth, func(key, value *yaml.Node) { m[key.Value] = d.tree(value, join(path, key.Value), depth+1) })
		return m
	case yaml.SequenceNode:
		l := make([]any, len(n.Content))
		for i, e := range n.Content {
			l[i] = d.tree(e, path+"["+strconv.Itoa(i)+"]", depth+1)
		}
		return l
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case "!!int", "!!float":
		return d.numeral(n, path)
	}
	return n.Value
}

// numeral keeps the digits of a number that is one in JSON too.
func (d *decoder) numeral(n *yaml.Node, path string) any {
	if json.Valid([]byte(n.Value)) {
		return json.Number(n.Value)
	}
	var i int64
	if n.Decode(&i) == nil {
		return i
	}
	var f float64
	if n.Decode(&f) != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		d.problem(n, path, "is a number that JSON does not have")
		return nil
	}
	return f
}

func isNull(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a group of fields"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!str":
		return "a text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "empty"
	case "!!timestamp":
		return "a date"
	}
	return "a value of another type"
}

func join(path, name string) string {
	if len(name) > 80 {
		name = strings.ToValidUTF8(name[:80], "") + "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func fieldNamed(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("json") == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("json")
	}
	return names
}

// meant suggests the name that a misspelt one is nearest to.
func meant(got string, names []string) string {
	best, least := "", 3
	for _, n := range names {
		if dist := distance(strings.ToLower(got), n); dist < least && dist < len(n) {
			best, least = n, dist
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is how many letters must be added, removed or replaced to get b
// from a. Texts too long to be a misspelt field are far from everything.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost = 1 + min(before, row[j], row[j+1])
			}
			before, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
