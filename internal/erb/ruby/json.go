package ruby

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
)

// JSON is a value as JSON.
func (m *Machine) JSON(v Value) (Value, error) {
	var b strings.Builder
	if err := m.writeJSON(&b, v, 0); err != nil {
		return nil, err
	}
	return m.share(b.String())
}

func (m *Machine) writeJSON(b *strings.Builder, v Value, depth int) error {
	if depth > maxDepth {
		return m.Fail("values are nested too deeply")
	}
	if err := m.Steps(1); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		return m.put(b, "null")
	case *Array:
		if err := m.put(b, "["); err != nil {
			return err
		}
		for i, e := range v.elems {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := m.writeJSON(b, e, depth+1); err != nil {
				return err
			}
		}
		return m.put(b, "]")
	case *Hash:
		if err := m.put(b, "{"); err != nil {
			return err
		}
		for i, k := range v.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			s, err := m.text(k)
			if err != nil {
				return err
			}
			if err := m.quote(b, s); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := m.writeJSON(b, v.values[i], depth+1); err != nil {
				return err
			}
		}
		return m.put(b, "}")
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return m.put(b, "null")
		}
		return m.put(b, floatText(v))
	case *String:
		return m.quote(b, v.s)
	case Symbol:
		return m.quote(b, string(v))
	case Object:
		return m.quote(b, v.Text())
	case *Regexp:
		return m.Fail("a Regexp cannot be JSON")
	default:
		s, err := m.text(v)
		if err != nil {
			return err
		}
		return m.put(b, s)
	}
}

func (m *Machine) put(b *strings.Builder, s string) error {
	b.WriteString(s)
	return m.Alloc(2 * int64(len(s)))
}

func (m *Machine) quote(b *strings.Builder, s string) error {
	if err := m.Alloc(14 * int64(len(s))); err != nil { // an escape is six bytes, written twice
		return err
	}
	var line strings.Builder
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return m.Fail("a string cannot be JSON")
	}
	b.WriteString(strings.TrimSuffix(line.String(), "\n"))
	return nil
}

// ParseJSON is the value that a JSON text describes.
func (m *Machine) ParseJSON(s string) (Value, error) {
	if err := m.Alloc(int64(len(s))); err != nil {
		return nil, err
	}
	if err := m.Steps(int64(len(s)) >> 6); err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	v, err := m.decode(d, 0)
	if err == nil {
		if _, more := d.Token(); more == nil || d.More() {
			err = errNotJSON
		}
	}
	if errors.Is(err, errNotJSON) {
		return nil, m.Fail("parse_json: the text is not valid JSON")
	}
	return v, err
}

var errNotJSON = errors.New("not JSON")

func (m *Machine) decode(d *json.Decoder, depth int) (Value, error) {
	if depth > maxDepth {
		return nil, m.Fail("values are nested too deeply")
	}
	if err := m.Alloc(sizeEntry); err != nil {
		return nil, err
	}
	if err := m.Steps(1); err != nil {
		return nil, err
	}
	t, err := d.Token()
	if err != nil {
		return nil, errNotJSON
	}
	switch t := t.(type) {
	case string:
		return m.NewString(t)
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n, nil
		}
		f, err := t.Float64()
		if err != nil {
			return nil, m.Fail("a number is too large")
		}
		return f, nil
	case bool:
		return t, nil
	case json.Delim:
		return m.decodeMany(d, t, depth)
	}
	return nil, nil
}

func (m *Machine) decodeMany(d *json.Decoder, open json.Delim, depth int) (Value, error) {
	a, h := &Array{}, NewHash()
	for d.More() {
		k, err := Value(nil), error(nil)
		if open == '{' {
			if k, err = m.decode(d, depth+1); err != nil {
				return nil, err
			}
		}
		v, err := m.decode(d, depth+1)
		if err != nil {
			return nil, err
		}
		if open == '{' {
			h.Set(k, v)
		} else {
			a.elems = append(a.elems, v)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, errNotJSON
	}
	if open == '{' {
		return h, nil
	}
	return a, nil
}
