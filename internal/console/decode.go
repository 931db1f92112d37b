package console

import (
	"reflect"
	"strings"

	"drover/internal/api"
	"drover/internal/job"
)

// decode reads the body into v, a pointer to a struct, and refuses fields that
// the struct does not have. It returns the body. An empty body is like {} when
// optional.
func (c call) decode(v any, optional bool) ([]byte, error) {
	body, err := api.ReadBody(c.Request)
	if err != nil {
		return nil, err
	}
	if optional && len(body) == 0 {
		return body, nil
	}
	var tree any
	if err := api.Decode(body, &tree); err != nil {
		return nil, err
	}
	if _, ok := tree.(map[string]any); !ok {
		return nil, job.Errorf(job.Invalid, "The body must be a JSON object.")
	}
	if field := unknownField("", tree, reflect.TypeOf(v)); field != "" {
		return nil, job.FieldErrorf(clip(field), "there is no such field")
	}
	return body, api.Decode(body, v)
}

// unknownField returns the path of a key in tree that has no field in t, "" when
// there is none. Keys are compared exactly.
func unknownField(path string, tree any, t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := tree.(type) {
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return ""
		}
		for key, value := range v {
			f, ok := fieldOf(t, key)
			if !ok {
				return path + key
			}
			if bad := unknownField(path+key+".", value, f.Type); bad != "" {
				return bad
			}
		}
	case []any:
		if t.Kind() != reflect.Slice {
			return ""
		}
		for _, e := range v {
			if bad := unknownField(path, e, t.Elem()); bad != "" {
				return bad
			}
		}
	}
	return ""
}

func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == key {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}
