package enms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drover/internal/dispatch"
	"drover/internal/job"
)

// extraKey is where this family keeps what only it knows of an object.
const extraKey = "enms"

// stored is an object as it is now, with what the family keeps beside it.
type stored[V any] struct {
	view  V
	meta  job.Meta
	extra map[string]json.RawMessage
}

// edit is one create or update while its properties are read.
type edit[V, In any] struct {
	in     In
	was    stored[V]
	exists bool
	given  map[string]json.RawMessage
	extra  map[string]json.RawMessage // was.extra with the changes
	by     job.Principal
	now    time.Time
}

// set reports whether the request gives a property a value.
func (e *edit[V, In]) set(name string) bool {
	raw, ok := e.given[name]
	return ok && !isNull(raw)
}

// property is one row of a model's table: how a property of eNMS is read from
// our object and written to our input. A nil get keeps it out of answers, a nil
// put ignores it in requests.
type property[V, In any] struct {
	name string
	ours string // our name of the field, for errors, where it differs
	get  func(stored[V]) any
	put  func(e *edit[V, In], raw json.RawMessage) error
	// relation: refers to other objects; not among a run's "properties".
	relation bool
}

// The kinds of rows, besides mapped ones.

// readOnly is given in answers and ignored in requests.
func readOnly[V, In any](name string, get func(stored[V]) any) property[V, In] {
	return property[V, In]{name: name, get: get}
}

// kept means nothing to us: what was sent is given back, def before that.
func kept[V, In any](name string, def any) property[V, In] {
	return property[V, In]{
		name: name,
		get: func(o stored[V]) any {
			raw, ok := o.extra[name]
			if !ok {
				return def
			}
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				return def
			}
			return keepFloat(v, def)
		},
		put: func(e *edit[V, In], raw json.RawMessage) error {
			v, err := keepable(name, raw, def)
			if err == nil {
				e.extra[name] = v
			}
			return err
		},
	}
}

// maxKept is the longest value that is kept for giving it back.
const maxKept = 4 << 10

// keepable is raw in the type that the property has by its default; a property
// without a default keeps what it gets.
func keepable(name string, raw json.RawMessage, def any) (json.RawMessage, error) {
	if len(raw) > maxKept {
		return nil, job.FieldErrorf(name, "is longer than %d bytes", maxKept)
	}
	switch def.(type) {
	case bool:
		return encode(boolean(raw))
	case string:
		if isNull(raw) {
			return encode("")
		}
		s, err := text(name, raw)
		if err != nil {
			return nil, err
		}
		return encode(s)
	case int, float:
		f, err := number64(name, raw)
		if err != nil {
			return nil, err
		}
		return encode(f)
	}
	return raw, nil
}

// keepFloat writes a number as a float where the default is one.
func keepFloat(v, def any) any {
	if f, ok := v.(float64); ok {
		if _, ok := def.(float); ok {
			return float(f)
		}
	}
	return v
}

// fixed has one value in this version. Another one is refused by name, because
// a service that silently did not do it would be worse than none.
func fixed[V, In any](name string, def any, also ...any) property[V, In] {
	return property[V, In]{
		name: name,
		get:  func(stored[V]) any { return def },
		put: func(_ *edit[V, In], raw json.RawMessage) error {
			for _, ok := range append([]any{def}, also...) {
				if same(raw, ok) {
					return nil
				}
			}
			shown, err := encode(def)
			if err != nil {
				return err
			}
			return &job.Error{Code: job.Unsupported, Field: name,
				Message: fmt.Sprintf("is not available in this version; leave it at %s", strings.TrimSpace(string(shown)))}
		},
	}
}

// mapped is a property with a place in our model, as text.
func mapped[V, In any](name, ours string, get func(V) string, to func(*In) **string) property[V, In] {
	return property[V, In]{
		name: name, ours: ours,
		get: func(o stored[V]) any { return get(o.view) },
		put: func(e *edit[V, In], raw json.RawMessage) error {
			if isNull(raw) {
				raw = json.RawMessage(`""`)
			}
			s, err := text(name, raw)
			if err != nil {
				return err
			}
			*to(&e.in) = &s
			return nil
		},
	}
}

// related is a list of names of other objects.
func related[V, In any](name, ours string, get func(V) []string, to func(*In) **[]string) property[V, In] {
	return property[V, In]{
		name: name, ours: ours, relation: true,
		get: func(o stored[V]) any { return append([]string{}, get(o.view)...) },
		put: func(e *edit[V, In], raw json.RawMessage) error {
			list, err := names(name, raw)
			if err != nil {
				return err
			}
			*to(&e.in) = &list
			return nil
		},
	}
}

// secretText is a secret: taken, never given back.
func secretText[V, In any](name, ours string, to func(*In) **job.Secret) property[V, In] {
	return property[V, In]{
		name: name, ours: ours,
		put: func(e *edit[V, In], raw json.RawMessage) error {
			if isNull(raw) {
				return nil
			}
			s, err := text(name, raw)
			if err != nil {
				return err
			}
			sec := job.Secret(s)
			*to(&e.in) = &sec
			return nil
		},
	}
}

// rights are properties that say who may do what with one object. This version
// has roles only, and a right that is not enforced must not look as if it were.
var rights = wordSet("owners", "owners_access", "restrict_to_owners", "admin_only", "groups", "users",
	"get_requests", "post_requests", "delete_requests", "default_access", "access_properties")

// checkRights refuses an object that sets a right. An empty value sets none.
func checkRights(given map[string]json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		raw := given[name]
		if (rights[name] || strings.HasPrefix(name, "rbac_")) && boolean(raw) && truthy(raw) {
			return &job.Error{Code: job.Unsupported, Field: name, Message: "per-object rights are not available in this version"}
		}
	}
	return nil
}

// metaProperties are the rows that every model has.
func metaProperties[V, In any](typ string) []property[V, In] {
	return []property[V, In]{
		readOnly[V, In]("id", func(o stored[V]) any { return o.meta.ID }),
		readOnly[V, In]("name", func(o stored[V]) any { return o.meta.Name }),
		readOnly[V, In]("creator", func(o stored[V]) any { return o.meta.CreatedBy }),
		readOnly[V, In]("last_modified", func(o stored[V]) any { return runtime(o.meta.Updated) }),
		readOnly[V, In]("last_modified_by", func(o stored[V]) any { return o.meta.UpdatedBy }),
		{
			name: "type",
			get:  func(stored[V]) any { return typ },
			put: func(_ *edit[V, In], raw json.RawMessage) error {
				if s, err := text("type", raw); err != nil || s != typ {
					return job.FieldErrorf("type", "want %q", typ)
				}
				return nil
			},
		},
	}
}

// model is a kind of object of eNMS's and how it is kept.
type model[V, In any] struct {
	props []property[V, In]
	meta  func(V) job.Meta
	// identify puts the names and what the family keeps into the input.
	identify func(in *In, name string, newName *string, extra map[string]json.RawMessage)
	// other takes a property that is not in the table; may be nil.
	other func(e *edit[V, In], name string, raw json.RawMessage) error
	// finish applies rules over several properties; may be nil.
	finish func(e *edit[V, In]) error
	// more gives properties that are not in the table; may be nil.
	more func(o stored[V]) map[string]any
	// renames is whether new_name is understood.
	renames bool
	// alias is a property that renames as well; may be "".
	alias string

	load   func(ctx context.Context, p job.Principal, name string) (V, error)
	save   func(ctx context.Context, p job.Principal, in []In) ([]dispatch.Outcome, error)
	remove func(ctx context.Context, p job.Principal, name string) (V, error)

	known map[string]property[V, In] // props by name
}

// newModel finishes a model.
func newModel[V, In any](m model[V, In]) *model[V, In] {
	m.known = make(map[string]property[V, In], len(m.props))
	for _, p := range m.props {
		m.known[p.name] = p
	}
	return &m
}

func (m *model[V, In]) stored(v V) stored[V] {
	o := stored[V]{view: v, meta: m.meta(v), extra: map[string]json.RawMessage{}}
	if raw, ok := o.meta.Extra[extraKey]; ok {
		// What cannot be read is as if it had not been kept.
		_ = json.Unmarshal(raw, &o.extra)
	}
	return o
}

// properties are those of an object that are not relations.
func (m *model[V, In]) properties(v V) map[string]any { return m.show(v, false) }

func (m *model[V, In]) show(v V, relations bool) map[string]any {
	o := m.stored(v)
	out := map[string]any{}
	for _, p := range m.props {
		if p.get == nil || p.relation && !relations {
			continue
		}
		if v := p.get(o); !p.relation || v != "" { // eNMS leaves out a relation to nothing
			out[p.name] = v
		}
	}
	if m.more != nil {
		for k, v := range m.more(o) {
			out[k] = v
		}
	}
	return out
}

// edit reads one object of a request into an input.
func (m *model[V, In]) edit(ctx context.Context, p job.Principal, now time.Time, name string, given map[string]json.RawMessage) (in In, err error) {
	e := &edit[V, In]{given: given, by: p, now: now, extra: map[string]json.RawMessage{}}
	v, err := m.load(ctx, p, name)
	switch {
	case err == nil:
		e.exists, e.was = true, m.stored(v)
		for k, raw := range e.was.extra {
			e.extra[k] = raw
		}
	case job.CodeOf(err) == job.NotFound:
		err = nil
	default:
		return in, err
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		prop, ok := m.known[key]
		raw := given[key]
		switch {
		case ok && prop.put != nil:
			err = prop.put(e, raw)
		case !ok && m.other != nil:
			err = m.other(e, key, raw)
		}
		if err != nil {
			return in, err
		}
	}
	if m.finish != nil {
		if err := m.finish(e); err != nil {
			return in, err
		}
	}
	name, newName, err := m.rename(ctx, p, e, name)
	if err != nil {
		return in, err
	}
	extra, err := json.Marshal(e.extra)
	if err != nil {
		return in, job.FieldErrorf("name", "holds a value that cannot be kept")
	}
	kept := map[string]json.RawMessage{}
	if len(e.extra) > 0 {
		kept[extraKey] = extra
	}
	m.identify(&e.in, name, newName, kept)
	return e.in, nil
}

// rename settles under which name the object is kept. A new one has its new
// name from the start, as in eNMS.
func (m *model[V, In]) rename(ctx context.Context, p job.Principal, e *edit[V, In], name string) (string, *string, error) {
	to := name
	for _, key := range []string{"new_name", m.alias} {
		if key == "" || !e.set(key) {
			continue
		}
		s, err := text(key, e.given[key])
		if err != nil {
			return "", nil, err
		}
		if s == "" {
			return "", nil, job.FieldErrorf(key, "a name is required")
		}
		to = s
	}
	if to == name {
		return name, nil, nil
	}
	if !m.renames {
		return "", nil, &job.Error{Code: job.Unsupported, Field: "new_name", Message: "objects of this kind cannot be renamed in this version"}
	}
	if e.exists {
		return name, &to, nil
	}
	if _, err := m.load(ctx, p, to); job.CodeOf(err) != job.NotFound {
		if err == nil {
			err = job.Errorf(job.AlreadyExists, "there is already an object with the name %q", to)
		}
		return "", nil, err
	}
	return to, nil, nil
}

// reason is what a failed item is told: our message, with our name of the field
// replaced by eNMS's.
func (m *model[V, In]) reason(err error) string {
	var e *job.Error
	if !errors.As(err, &e) || e.Field == "" {
		return job.MessageOf(err)
	}
	if strings.HasPrefix(e.Message, "Names cannot") {
		return e.Message
	}
	field := e.Field
	head, tail := field, ""
	if i := strings.IndexAny(field, ".["); i > 0 {
		head, tail = field[:i], field[i:]
	}
	for _, p := range m.props {
		if p.ours != "" && p.ours == head {
			field = p.name + tail
		}
	}
	return job.MessageOf(&job.Error{Code: e.Code, Field: field, Message: e.Message})
}
