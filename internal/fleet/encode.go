package fleet

import (
	"bytes"
	"encoding/json"
	"reflect"
	"time"

	"drover/internal/inventory"
	"drover/internal/job"
)

// Encode returns the document as JSON for the body of an import: with its
// secrets in clear, so it must go nowhere else.
func (d Document) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(tree(reflect.ValueOf(d))); err != nil {
		return nil, job.Wrap(job.Internal, err, "encode the fleet")
	}
	return b.Bytes(), nil
}

// tree returns v as what encoding/json writes, without what was not given.
func tree(v reflect.Value) any {
	switch {
	case v.Type() == secretType:
		return job.Secret(v.String()).Reveal()
	case v.Type() == durationType:
		return time.Duration(v.Int()).String()
	case v.Type() == rawType:
		return v.Interface()
	case v.Type() == stopType:
		stop := job.StopAfter(v.Interface().(StopAfter))
		if stop.Percent > 0 {
			return inventory.StopAfterText(stop)
		}
		return stop.Count
	}
	switch v.Kind() {
	case reflect.Pointer:
		return tree(v.Elem())
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			f := v.Field(i)
			if f.Kind() == reflect.Pointer && f.IsNil() || f.Kind() == reflect.Slice && f.Len() == 0 {
				continue
			}
			m[v.Type().Field(i).Tag.Get("json")] = tree(f)
		}
		return m
	case reflect.Slice:
		l := make([]any, v.Len())
		for i := range l {
			l[i] = tree(v.Index(i))
		}
		return l
	}
	return v.Interface()
}

// Sizes of the parts that Parts makes.
const (
	partItems = 500
	partBytes = 1 << 20
)

// Parts divides a document into bodies of imports, to be sent in order: what an
// item mentions is in the same part or in an earlier one.
func (d Document) Parts() ([][]byte, error) {
	w := &partWriter{}
	addAll(w, d.Credentials, func(p *Document) *[]Credential { return &p.Credentials })
	addAll(w, d.Pools, func(p *Document) *[]Pool { return &p.Pools })
	addAll(w, inJumpOrder(d.Devices), func(p *Document) *[]Device { return &p.Devices })
	addAll(w, d.Services, func(p *Document) *[]Service { return &p.Services })
	addAll(w, d.Users, func(p *Document) *[]User { return &p.Users })
	w.flush()
	return w.parts, w.err
}

type partWriter struct {
	part        Document
	items, size int
	parts       [][]byte
	err         error
}

func addAll[T named](w *partWriter, items []T, section func(*Document) *[]T) {
	for _, item := range items {
		body, err := json.Marshal(tree(reflect.ValueOf(item)))
		if err != nil && w.err == nil {
			w.err = job.Wrap(job.Internal, err, "encode the fleet")
		}
		if w.items == partItems || w.items > 0 && w.size+len(body) > partBytes {
			w.flush()
		}
		list := section(&w.part)
		*list = append(*list, item)
		w.items, w.size = w.items+1, w.size+len(body)
	}
}

func (w *partWriter) flush() {
	if w.items == 0 {
		return
	}
	body, err := w.part.Encode()
	if err != nil && w.err == nil {
		w.err = err
	}
	w.parts = append(w.parts, body)
	w.part, w.items, w.size = Document{}, 0, 0
}

// inJumpOrder puts every device after the one that it is reached through. There
// is no circle: Parse refuses it.
func inJumpOrder(devices []Device) []Device {
	index := make(map[string]int, len(devices))
	for i, v := range devices {
		index[value(v.Name)] = i
	}
	out := make([]Device, 0, len(devices))
	done := make([]bool, len(devices))
	for i := range devices {
		var way []int
		for j, ok := i, true; ok && !done[j]; {
			done[j] = true
			way = append(way, j)
			j, ok = index[value(devices[j].Jump)]
		}
		for k := len(way) - 1; k >= 0; k-- {
			out = append(out, devices[way[k]])
		}
	}
	return out
}
