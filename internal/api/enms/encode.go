package enms

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encode returns v as eNMS writes JSON: compact, keys sorted, ASCII only, one
// newline at the end. Values are maps, never structs, so that keys are sorted.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return ascii(b.Bytes()), nil
}

// mustEncode is for values made of strings.
func mustEncode(v any) []byte {
	b, err := encode(v)
	if err != nil {
		panic(err)
	}
	return b
}

// ascii escapes what is outside ASCII in a JSON text; there it can only stand
// in strings.
func ascii(text []byte) []byte {
	plain := true
	for _, c := range text {
		if c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/4)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r < 0x7f:
			out = append(out, text[0])
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[n:]
	}
	return out
}

// write writes a small answer.
func (s *server) write(w http.ResponseWriter, r *http.Request, status int, v any) {
	b, err := encode(v)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeBody(w, status, b)
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// float encodes as Python writes a float: always with a point or an exponent.
type float float64

// MarshalJSON encodes like Python's repr.
func (f float) MarshalJSON() ([]byte, error) { return []byte(pyFloat(float64(f))), nil }

// pyFloat renders a finite float as Python does; what is not finite becomes the
// text that eNMS makes of it.
func pyFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return `"inf"`
	case math.IsInf(f, -1):
		return `"-inf"`
	case math.IsNaN(f):
		return `"nan"`
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// python returns v, a decoded JSON value, with its numbers as Python would
// write them back. Maps and slices are changed in place.
func python(v any) any {
	switch v := v.(type) {
	case json.Number:
		if v == "-0" {
			return json.Number("0")
		}
		if !strings.ContainsAny(string(v), ".eE") {
			return v
		}
		// Out of range, ParseFloat returns the infinity that Python has too.
		f, _ := strconv.ParseFloat(string(v), 64)
		return float(f)
	case map[string]any:
		for k, e := range v {
			v[k] = python(e)
		}
	case []any:
		for i, e := range v {
			v[i] = python(e)
		}
	}
	return v
}
