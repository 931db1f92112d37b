package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"drover/internal/job"
)

var (
	templates = kind[job.Template]{"template", func(v *job.Template) *job.Meta { return &v.Meta }}
	features  = kind[job.Feature]{"feature", func(v *job.Feature) *job.Meta { return &v.Meta }}
	queries   = kind[job.SavedQuery]{"query", func(v *job.SavedQuery) *job.Meta { return &v.Meta }}
)

// Kinds whose ids ReserveIDs gives out although they are no objects of their own:
// they lie in templates.
const (
	KindInput   = "input"
	KindInclude = "include"
)

// Template returns a template by id.
func (s *Store) Template(ctx context.Context, tenant string, id int64) (job.Template, error) {
	return templates.byID(ctx, s, tenant, id)
}

// TemplateByName returns a template by name.
func (s *Store) TemplateByName(ctx context.Context, tenant, name string) (job.Template, error) {
	return templates.byName(ctx, s, tenant, name)
}

// TemplatesByID returns those of the templates that exist, in the order asked for.
func (s *Store) TemplatesByID(ctx context.Context, tenant string, ids []int64) ([]job.Template, error) {
	return templates.byIDs(ctx, s, tenant, ids)
}

// AllTemplates calls f for every template of the tenant until it returns an error.
func (s *Store) AllTemplates(ctx context.Context, tenant string, f func(job.Template) error) error {
	return templates.all(ctx, s, tenant, f)
}

// MaxIncluded is the most templates that PutTemplate is given as unchanged.
const MaxIncluded = 50

// PutTemplate creates a template (prev nil) or replaces prev by next, provided
// that none of the unchanged ones, which next was checked against, was written
// since it was read: Conflict otherwise.
func (s *Store) PutTemplate(ctx context.Context, prev, next *job.Template, unchanged []job.Template, audit ...job.AuditEntry) error {
	return templates.put(ctx, s, prev, next, audit, func(_, _ *job.Template) []Op {
		var ops []Op
		for _, t := range unchanged {
			ops = append(ops, Op{Kind: OpCheck, Row: Row{Key: templates.key(t.Tenant, t.ID)}, Cond: IfRev(t.Rev)})
		}
		return ops
	})
}

// DeleteTemplate removes a template, and from the features that it does itself.
// all are all features of the tenant: Conflict when one of them has changed
// since.
func (s *Store) DeleteTemplate(ctx context.Context, t job.Template, all []job.Feature, audit ...job.AuditEntry) error {
	var ops []Op
	for _, f := range all {
		row, cond := Row{Key: features.key(f.Tenant, f.ID)}, IfRev(f.Rev)
		if f.TemplateID != t.ID {
			ops = append(ops, Op{Kind: OpCheck, Row: row, Cond: cond})
			continue
		}
		f.TemplateID = 0
		row.Value = encode(f)
		ops = append(ops, Op{Kind: OpPut, Row: row, Cond: cond})
	}
	return templates.delete(ctx, s, t, audit, ops...)
}

// Feature returns a feature by its label.
func (s *Store) Feature(ctx context.Context, tenant, label string) (job.Feature, error) {
	return features.byName(ctx, s, tenant, label)
}

// Features returns all features of the tenant in order of id.
func (s *Store) Features(ctx context.Context, tenant string) ([]job.Feature, error) {
	var all []job.Feature
	err := features.all(ctx, s, tenant, func(f job.Feature) error {
		all = append(all, f)
		return nil
	})
	return all, err
}

// PutFeature replaces prev by next. The template that does next must be there:
// Conflict otherwise.
func (s *Store) PutFeature(ctx context.Context, prev, next *job.Feature, audit ...job.AuditEntry) error {
	return features.put(ctx, s, prev, next, audit, func(_, next *job.Feature) []Op {
		if next.TemplateID == 0 {
			return nil
		}
		return []Op{{Kind: OpCheck, Row: Row{Key: templates.key(next.Tenant, next.TemplateID)}, Cond: IfExists()}}
	})
}

// Defaults are the templates and features that a tenant begins with. A feature's
// TemplateID is one more than the place of its template in Templates; 0: none.
type Defaults struct {
	Templates []job.Template
	Features  []job.Feature
}

func defaultsKey(tenant string) Key { return Key{tenant + "/setting", "defaults"} }

// PutDefaults gives a tenant its defaults unless it was given some before,
// whatever became of them. Callers that race give them once. What is there
// already under the name of a default stays.
func (s *Store) PutDefaults(ctx context.Context, tenant string, d Defaults) error {
	for try := 0; ; try++ {
		switch _, err := s.get(ctx, defaultsKey(tenant)); {
		case err == nil:
			return nil
		case job.CodeOf(err) != job.NotFound:
			return err
		}
		ops, err := s.defaultOps(ctx, tenant, d)
		if err != nil {
			return err
		}
		err = s.d.Atomic(ctx, ops...)
		if job.CodeOf(err) != job.Conflict || try == 9 {
			return err
		}
	}
}

func (s *Store) defaultOps(ctx context.Context, tenant string, d Defaults) ([]Op, error) {
	now := s.Now()
	ops := []Op{{Kind: OpPut, Row: Row{Key: defaultsKey(tenant), Value: encode(now.Format(time.RFC3339))}, Cond: IfMissing()}}
	ids := make([]int64, len(d.Templates))
	for i, t := range d.Templates {
		have, err := templates.idsByName(ctx, s, tenant, []string{t.Name})
		if err != nil {
			return nil, err
		}
		if id, ok := have[t.Name]; ok {
			ids[i] = id
			continue
		}
		if ids[i], err = s.ReserveIDs(ctx, tenant, templates.name, 1); err != nil {
			return nil, err
		}
		t.Meta = job.Meta{ID: ids[i], Tenant: tenant, Name: t.Name, Created: now, Updated: now, Extra: t.Extra}
		if t.Inputs, err = s.defaultInputs(ctx, tenant, t.Inputs); err != nil {
			return nil, err
		}
		ops = append(ops,
			Op{Kind: OpPut, Row: Row{Key: templates.key(tenant, t.ID), Value: encode(t)}, Cond: IfMissing()},
			Op{Kind: OpPut, Row: Row{Key: templates.nameKey(tenant, t.Name), Value: encode(t.ID)}, Cond: IfMissing()})
	}
	for _, f := range d.Features {
		have, err := features.idsByName(ctx, s, tenant, []string{f.Name})
		if err != nil {
			return nil, err
		}
		if _, ok := have[f.Name]; ok {
			continue
		}
		id, err := s.ReserveIDs(ctx, tenant, features.name, 1)
		if err != nil {
			return nil, err
		}
		f.Meta = job.Meta{ID: id, Tenant: tenant, Name: f.Name, Created: now, Updated: now, Extra: f.Extra}
		if f.TemplateID > 0 {
			f.TemplateID = ids[f.TemplateID-1]
		}
		ops = append(ops,
			Op{Kind: OpPut, Row: Row{Key: features.key(tenant, id), Value: encode(f)}, Cond: IfMissing()},
			Op{Kind: OpPut, Row: Row{Key: features.nameKey(tenant, f.Name), Value: encode(id)}, Cond: IfMissing()})
	}
	return ops, nil
}

func (s *Store) defaultInputs(ctx context.Context, tenant string, inputs []job.Input) ([]job.Input, error) {
	if len(inputs) == 0 {
		return nil, nil
	}
	first, err := s.ReserveIDs(ctx, tenant, KindInput, len(inputs))
	out := slices.Clone(inputs)
	for i := range out {
		out[i].ID, out[i].Created, out[i].Updated = first+int64(i), s.Now(), s.Now()
	}
	return out, err
}

// SavedQuery returns a saved query by id.
func (s *Store) SavedQuery(ctx context.Context, tenant string, id int64) (job.SavedQuery, error) {
	return queries.byID(ctx, s, tenant, id)
}

// AllSavedQueries calls f for every saved query of the tenant until it returns an
// error.
func (s *Store) AllSavedQueries(ctx context.Context, tenant string, f func(job.SavedQuery) error) error {
	return queries.all(ctx, s, tenant, f)
}

// PutSavedQuery creates a saved query (prev nil) or replaces prev by next. Its
// Meta.Name is made from its owner, subject and title: nobody has two that are
// called the same.
func (s *Store) PutSavedQuery(ctx context.Context, prev, next *job.SavedQuery, audit ...job.AuditEntry) error {
	name := sha256.Sum256(encode([]string{next.CreatedBy, next.Subject, next.Title}))
	next.Name = hex.EncodeToString(name[:])
	return queries.put(ctx, s, prev, next, audit, nil)
}

// DeleteSavedQuery removes a saved query.
func (s *Store) DeleteSavedQuery(ctx context.Context, q job.SavedQuery, audit ...job.AuditEntry) error {
	return queries.delete(ctx, s, q, audit)
}
