package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"drover/internal/job"
)

// Decode reads body as exactly one JSON value into v. Numbers in interface
// values keep their digits (json.Number). It is Invalid, with a message for
// the caller, when the body is empty, is not UTF-8, is nested deeper than
// MaxDepth, goes on after the value, or does not fit v. Of a key given twice
// the last one counts, as in the languages that the callers are written in.
func Decode(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return job.Errorf(job.Invalid, "The body is empty; want JSON.")
	}
	if !utf8.Valid(body) {
		return job.Errorf(job.Invalid, "The body is not valid UTF-8.")
	}
	if deeper(body, MaxDepth) {
		return job.Errorf(job.Invalid, "The body is nested more than %d levels deep.", MaxDepth)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return decodeError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return job.Errorf(job.Invalid, "The body goes on after its JSON value.")
	}
	return nil
}

func decodeError(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		if wrongType.Field != "" {
			return job.FieldErrorf(wrongType.Field, "wrong type (%s)", wrongType.Value)
		}
		return job.Errorf(job.Invalid, "The body is not of the wanted type (%s).", wrongType.Value)
	}
	return job.Errorf(job.Invalid, "The body is not valid JSON.")
}

// deeper reports whether objects and arrays are nested more than limit levels
// deep. On what is not JSON any answer is right.
func deeper(body []byte, limit int) bool {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
