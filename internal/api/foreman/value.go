package foreman

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/job"
)

// object is a JSON object in the order in which it was sent. Of a key given
// twice the last value counts.
type object struct {
	path string // for messages: where it stands in the body
	keys []string
	raw  map[string]json.RawMessage
}

// UnmarshalJSON reads an object.
func (o *object) UnmarshalJSON(b []byte) error {
	o.keys, o.raw = nil, map[string]json.RawMessage{}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return job.Errorf(job.Invalid, "want an object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		name := key.(string) // the keys of an object are strings
		if _, again := o.raw[name]; !again {
			o.keys = append(o.keys, name)
		}
		o.raw[name] = raw
	}
	return nil
}

// get returns the value of a key.
func (o object) get(name string) value {
	full := name
	if o.path != "" {
		full = o.path + "." + name
	}
	return value{name: full, raw: o.raw[name]}
}

// has reports whether a key was sent, whatever its value.
func (o object) has(name string) bool { return o.raw[name] != nil }

// empty reports whether no key was sent.
func (o object) empty() bool { return len(o.keys) == 0 }

// decodeBody reads the body of a request. An empty one is an empty object.
func decodeBody(raw []byte) (object, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return object{}, nil
	}
	var any json.RawMessage
	if err := api.Decode(raw, &any); err != nil {
		return object{}, errJSON(job.MessageOf(err))
	}
	var o object
	if err := json.Unmarshal(any, &o); err != nil {
		return object{}, errJSON("The body is not an object.")
	}
	return o, nil
}

// value is a parameter as it was sent. Reading it as what it is not is an
// error that names it.
type value struct {
	name string          // for messages
	raw  json.RawMessage // nil: absent
}

func textValue(name, text string) value {
	raw, _ := json.Marshal(text) // a string always encodes
	return value{name: name, raw: raw}
}

func listValue(name string, texts []string) value {
	raw, _ := json.Marshal(texts)
	return value{name: name, raw: raw}
}

// present reports whether it was sent, null included.
func (v value) present() bool { return v.raw != nil }

// null reports whether it is absent or null.
func (v value) null() bool { return v.raw == nil || string(v.raw) == "null" }

// blank reports whether it is absent, null, an empty object, an empty list or a
// text of nothing but blanks: what upstream takes for not given.
func (v value) blank() bool {
	if v.null() {
		return true
	}
	switch v.kind() {
	case '"':
		s, _ := v.text()
		return strings.TrimSpace(s) == ""
	case '{':
		o, err := v.object()
		return err == nil && o.empty()
	case '[':
		l, err := v.list()
		return err == nil && len(l) == 0
	}
	return false
}

// kind is the first character of the JSON value; 0 when it is absent.
func (v value) kind() byte {
	if len(v.raw) == 0 {
		return 0
	}
	return v.raw[0]
}

func (v value) wrong(want string) error { return job.FieldErrorf(v.name, "must be %s", want) }

// text returns a string, or a number or truth value as it is written; "" when
// absent or null.
func (v value) text() (string, error) {
	switch v.kind() {
	case '"':
		var s string
		if err := json.Unmarshal(v.raw, &s); err != nil {
			return "", v.wrong("a string")
		}
		return s, nil
	case '{', '[':
		return "", v.wrong("a string")
	}
	if v.null() {
		return "", nil
	}
	return string(v.raw), nil
}

// boolean returns a truth value in any of the forms that are understood. Not
// given: absent, null or "".
func (v value) boolean() (b, given bool, err error) {
	s, err := v.text()
	if err != nil {
		return false, false, v.wrong("a boolean")
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "":
		return false, false, nil
	case "true", "t", "yes", "y", "on", "1":
		return true, true, nil
	case "false", "f", "no", "n", "off", "0":
		return false, true, nil
	}
	return false, false, v.wrong("a boolean")
}

// integer returns a whole number, given as such or as text. Not given: absent,
// null or blank.
func (v value) integer() (n int64, given bool, err error) {
	if v.null() {
		return 0, false, nil
	}
	s, err := v.text()
	if s = strings.TrimSpace(s); s == "" && err == nil {
		return 0, false, nil
	}
	if n, err = strconv.ParseInt(s, 10, 64); err != nil || n >= 1<<53 || n <= -1<<53 {
		return 0, false, v.wrong("a number")
	}
	return n, true, nil
}

// count is integer for what may be larger than any number here: that is taken for
// the largest.
func (v value) count() (n int64, given bool, err error) {
	s, _ := v.text()
	if s = strings.TrimSpace(s); len(s) > 15 && strings.Trim(s, "0123456789") == "" {
		return 1<<53 - 1, true, nil
	}
	return v.integer()
}

// object returns an object; an empty one when absent, null or "".
func (v value) object() (object, error) {
	o := object{path: v.name}
	if v.null() || string(v.raw) == `""` {
		return o, nil
	}
	if v.kind() != '{' || json.Unmarshal(v.raw, &o) != nil {
		return o, v.wrong("a hash")
	}
	return o, nil
}

// list returns the entries of an array; none when absent, null or "". A single
// value is taken for a list of one.
func (v value) list() ([]value, error) {
	if v.null() || string(v.raw) == `""` {
		return nil, nil
	}
	if v.kind() == '{' {
		return nil, v.wrong("an array")
	}
	if v.kind() != '[' {
		return []value{v}, nil
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(v.raw, &raws); err != nil {
		return nil, v.wrong("an array")
	}
	all := make([]value, len(raws))
	for i, raw := range raws {
		all[i] = value{name: v.name + "[" + strconv.Itoa(i) + "]", raw: raw}
	}
	return all, nil
}

// texts returns the entries of an array as texts.
func (v value) texts() ([]string, error) {
	all, err := v.list()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		s, err := e.text()
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return slices.Clip(out), nil
}

// time returns a moment; see parseTime. Not given: absent, null or blank.
func (v value) time() (t time.Time, given bool, err error) {
	if v.blank() {
		return t, false, nil
	}
	s, err := v.text()
	if err != nil {
		return t, false, v.wrong("a date and time")
	}
	if t, err = parseTime(s); err != nil {
		return t, false, v.wrong("a date and time")
	}
	return t, true, nil
}
