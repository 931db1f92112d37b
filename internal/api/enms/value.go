package enms

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"drover/internal/job"
)

// The functions here read one value of a request. They are given what stands
// in the body, and their errors say what was wanted, without the value.

func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// truthy is Python's truth of a JSON value.
func truthy(raw json.RawMessage) bool {
	switch text := string(bytes.TrimSpace(raw)); text {
	case "", "null", "false", `""`:
		return false
	default:
		switch text[0] {
		case '[', '{':
			return len(bytes.TrimSpace([]byte(text[1:len(text)-1]))) > 0
		case '"', 't':
			return true
		}
		f, err := strconv.ParseFloat(text, 64)
		return err != nil || f != 0
	}
}

// asked is truthy, except that the text "false" in any case means false: that
// is what a caller means who writes it.
func asked(raw json.RawMessage) bool {
	var s string
	if json.Unmarshal(raw, &s) == nil && strings.EqualFold(s, "false") {
		return false
	}
	return truthy(raw)
}

// boolean is eNMS's rule for a boolean property: false are false, 0 and "false".
func boolean(raw json.RawMessage) bool {
	switch string(bytes.TrimSpace(raw)) {
	case "false", `"false"`, "null":
		return false
	}
	f, err := strconv.ParseFloat(string(bytes.TrimSpace(raw)), 64)
	return err != nil || f != 0
}

// text reads a string; a number is taken as it is written.
func text(field string, raw json.RawMessage) (string, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err == nil {
		return s, nil
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err == nil {
		return n.String(), nil
	}
	return "", job.FieldErrorf(field, "want a string")
}

// integer reads a whole number, or a string that holds one.
func integer(field string, raw json.RawMessage) (int, error) {
	f, err := number64(field, raw)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<31 {
		return 0, job.FieldErrorf(field, "want a whole number")
	}
	return int(f), nil
}

func number64(field string, raw json.RawMessage) (float64, error) {
	s, err := text(field, raw)
	if err == nil {
		var f float64
		if f, err = strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, nil
		}
	}
	return 0, job.FieldErrorf(field, "want a number")
}

// seconds reads a number of seconds.
func seconds(field string, raw json.RawMessage) (time.Duration, error) {
	f, err := number64(field, raw)
	if err != nil {
		return 0, job.FieldErrorf(field, "want a number of seconds")
	}
	if f < 0 || f > 1e7 {
		return 0, job.FieldErrorf(field, "want a number of seconds from 0 to 10000000")
	}
	return time.Duration(f * float64(time.Second)), nil
}

// names reads a list of names. null is the empty list, and a bare name is the list of
// that one.
func names(field string, raw json.RawMessage) ([]string, error) {
	if isNull(raw) {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		if one == "" {
			return nil, nil
		}
		return []string{one}, nil
	}
	var some []*string
	if json.Unmarshal(raw, &some) != nil {
		return nil, job.FieldErrorf(field, "want a list of names")
	}
	out := make([]string, len(some))
	for i, s := range some {
		if s == nil {
			return nil, job.FieldErrorf(fmt.Sprintf("%s[%d]", field, i), "want a name")
		}
		out[i] = *s
	}
	return out, nil
}

// object reads an object as it stands.
func object(field string, raw json.RawMessage) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return nil, job.FieldErrorf(field, "want an object")
	}
	return m, nil
}

// same reports whether a value of a request equals a default: as JSON, as a
// number, or as what eNMS takes for a boolean.
func same(raw json.RawMessage, def any) bool {
	switch d := def.(type) {
	case bool:
		return boolean(raw) == d
	case int:
		f, err := number64("", raw)
		return err == nil && f == float64(d)
	case float:
		f, err := number64("", raw)
		return err == nil && f == float64(d)
	case string:
		s, err := text("", raw)
		return err == nil && s == d || isNull(raw) && d == ""
	}
	return !truthy(raw) // the other defaults are empty lists, empty objects and null
}
