package enms

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/job"
)

// collection is what the instance endpoints do with a kind of object. Every
// model is one.
type collection interface {
	get(ctx context.Context, p job.Principal, name string) (map[string]any, error)
	post(ctx context.Context, p job.Principal, now time.Time, items []item) error
	delete(ctx context.Context, p job.Principal, name string) (map[string]any, error)
}

// item is one object of a request and what became of it.
type item struct {
	given   map[string]json.RawMessage
	name    string
	success string
	failure string
}

func (m *model[V, In]) get(ctx context.Context, p job.Principal, name string) (map[string]any, error) {
	v, err := m.load(ctx, p, name)
	if err != nil {
		return nil, err
	}
	return m.show(v, true), nil
}

func (m *model[V, In]) delete(ctx context.Context, p job.Principal, name string) (map[string]any, error) {
	v, err := m.remove(ctx, p, name)
	if err != nil {
		return nil, err
	}
	return m.show(v, true), nil
}

// post saves items, each on its own; the error is for what concerns all. An
// item that names an object of an earlier one is read after that one is saved.
func (m *model[V, In]) post(ctx context.Context, p job.Principal, now time.Time, items []item) error {
	var inputs []In
	var of []*item
	pending := map[string]bool{}
	flush := func() error {
		if len(inputs) == 0 {
			return nil
		}
		outcomes, err := m.save(ctx, p, inputs)
		if err != nil {
			return err
		}
		for i, o := range outcomes {
			if o.Err != nil {
				of[i].failure = m.reason(o.Err)
			} else {
				of[i].success = o.Name
			}
		}
		inputs, of = nil, nil
		clear(pending)
		return nil
	}
	for i := range items {
		it := &items[i]
		if it.name == "" {
			it.failure = "Name is missing"
			continue
		}
		others := it.otherNames(m.alias)
		if pending[it.name] || slices.ContainsFunc(others, func(n string) bool { return pending[n] }) {
			if err := flush(); err != nil {
				return err
			}
		}
		in, err := m.edit(ctx, p, now, it.name, it.given)
		if code := job.CodeOf(err); code == job.Unavailable || code == job.Canceled || code == job.Exhausted {
			return err
		}
		if err != nil {
			it.failure = m.reason(err)
			continue
		}
		inputs, of = append(inputs, in), append(of, it)
		for _, name := range append(others, it.name) {
			pending[name] = true
		}
	}
	return flush()
}

// otherNames are the names that an item asks for besides its own.
func (it *item) otherNames(alias string) []string {
	var all []string
	for _, key := range []string{"new_name", alias} {
		if s, err := text(key, it.given[key]); err == nil && s != "" && s != it.name {
			all = append(all, s)
		}
	}
	return all
}

// kinds are the kinds of objects that the instance endpoints know.
func (s *server) kinds() map[string]collection {
	d := s.Dispatch
	return map[string]collection{
		"device": deviceModel(d), "pool": poolModel(d), "credential": credentialModel(d), "user": userModel(d),
		"service": s.services, "unix_shell_script_service": shellScriptModel(d),
	}
}

// model finds the model of a path.
func (s *server) model(name string) (collection, error) {
	if m, ok := s.models[name]; ok {
		return m, nil
	}
	return nil, job.Errorf(job.Unsupported, "The model '%.60s' is not available in this version.", name)
}

// getInstance is GET /rest/instance/<model>/<name>.
func (s *server) getInstance(w http.ResponseWriter, r *http.Request, c call) {
	m, err := s.model(c.args[0])
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v, err := m.get(r.Context(), c.who, c.args[1])
	s.writeObject(w, r, v, err)
}

// deleteInstance is DELETE /rest/instance/<model>/<name>.
func (s *server) deleteInstance(w http.ResponseWriter, r *http.Request, c call) {
	m, err := s.model(c.args[0])
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if c.args[0] == "user" && c.args[1] == c.who.Name {
		writeAlert(w, http.StatusForbidden, "") // nobody deletes themselves
		return
	}
	v, err := m.delete(r.Context(), c.who, c.args[1])
	if job.CodeOf(err) == job.Conflict {
		s.write(w, r, http.StatusOK, map[string]any{"delete_aborted": true, "log_level": "error", "log": job.MessageOf(err)})
		return
	}
	s.writeObject(w, r, v, err)
}

func (s *server) writeObject(w http.ResponseWriter, r *http.Request, v map[string]any, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	a := &answer{}
	for k, e := range v {
		v[k] = a.texts.Tree(e)
	}
	s.writeAnswer(w, r, a, v)
}

// postInstance is POST /rest/instance/<model>: one object or a list of them.
func (s *server) postInstance(w http.ResponseWriter, r *http.Request, c call) {
	m, err := s.model(c.args[0])
	if err != nil {
		s.fail(w, r, err)
		return
	}
	body, err := api.ReadBody(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	items, err := decodeItems(body)
	if err == nil {
		err = m.post(r.Context(), c.who, s.Clock(), items)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.writeItems(w, r, items)
}

// decodeItems reads the body of a POST to instance. What makes the whole
// request wrong is an error, so that nothing of it is stored.
func decodeItems(body []byte) ([]item, error) {
	var raw json.RawMessage
	if err := api.Decode(body, &raw); err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	} else if isNull(raw) {
		return nil, job.Errorf(job.Invalid, "want an object or a list of objects")
	}
	items := make([]item, len(list))
	for i, one := range list {
		given, err := object("", one)
		if err != nil {
			return nil, job.Errorf(job.Invalid, "want an object or a list of objects")
		}
		if err := checkRights(given); err != nil {
			return nil, err
		}
		items[i].given = given
		if raw := given["name"]; !isNull(raw) {
			if items[i].name, err = text("name", raw); err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

// writeItems answers with the names that were saved and, for the others, the
// object as it was sent (secrets masked) and why.
func (s *server) writeItems(w http.ResponseWriter, r *http.Request, items []item) {
	a := &answer{}
	var success []string
	var failure []any
	for _, it := range items {
		if it.failure == "" {
			success = append(success, it.success)
			continue
		}
		sent := make(map[string]any, len(it.given))
		for k, raw := range it.given {
			var v any
			if err := api.Decode(raw, &v); err == nil {
				sent[k] = a.texts.Tree(python(v))
			}
			if secretName(k) && truthy(raw) {
				sent[k] = job.Redacted
			}
		}
		failure = append(failure, []any{sent, it.failure})
	}
	whole := map[string]any{}
	if len(success) > 0 {
		whole["success"] = success
	}
	if len(failure) > 0 {
		whole["failure"] = failure
	}
	s.writeAnswer(w, r, a, whole)
}

// secretName reports whether a property of this name may hold a secret, ours
// or one that we do not know.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"password", "secret", "passphrase", "private_key", "token", "api_key"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
