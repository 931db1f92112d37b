package dispatch

import (
	"context"
	"reflect"
	"strings"

	"drover/internal/inventory"
	"drover/internal/job"
)

// MaxQuery is the longest query, in bytes.
const MaxQuery = 64 << 10

func sees(p job.Principal, q job.SavedQuery) bool { return q.Public || q.CreatedBy == p.Name }

// SavedQueries returns the saved queries that the principal sees (public ones and
// its own), in order of id.
func (d *Dispatcher) SavedQueries(ctx context.Context, p job.Principal) ([]job.SavedQuery, error) {
	if err := allow(p, job.ActRead); err != nil {
		return nil, err
	}
	var all []job.SavedQuery
	err := d.Store.AllSavedQueries(ctx, p.Tenant, func(q job.SavedQuery) error {
		if sees(p, q) {
			all = append(all, q)
		}
		return nil
	})
	return all, err
}

// SavedQuery returns one that the principal sees.
func (d *Dispatcher) SavedQuery(ctx context.Context, p job.Principal, id int64) (job.SavedQuery, error) {
	if err := allow(p, job.ActRead); err != nil {
		return job.SavedQuery{}, err
	}
	q, err := d.Store.SavedQuery(ctx, p.Tenant, id)
	if err == nil && !sees(p, q) {
		return job.SavedQuery{}, job.Errorf(job.NotFound, "no saved query %d", id)
	}
	return q, err
}

// EditSavedQuery creates (id 0) or changes a saved query, as EditTemplate does.
// Changing somebody else's takes an administrator. Its role is ActRun.
func (d *Dispatcher) EditSavedQuery(ctx context.Context, p job.Principal, id int64, f func(q *job.SavedQuery) error) (job.SavedQuery, error) {
	if err := allow(p, job.ActRun); err != nil {
		return job.SavedQuery{}, err
	}
	for try := 1; ; try++ {
		now := d.Store.Now()
		next := job.SavedQuery{Meta: job.Meta{Tenant: p.Tenant, Created: now, CreatedBy: p.Name, Updated: now, UpdatedBy: p.Name}}
		var prev *job.SavedQuery
		verb := "query.create"
		if id != 0 {
			had, err := d.ownQuery(ctx, p, id)
			if err != nil {
				return had, err
			}
			prev, next, verb = &had, had, "query.update"
		}
		meta := next.Meta
		if err := f(&next); err != nil {
			return job.SavedQuery{}, err
		}
		extra := next.Extra
		next.Meta = meta
		next.Extra = extra
		if err := validQuery(next); err != nil {
			return next, err
		}
		if prev != nil {
			if reflect.DeepEqual(*prev, next) {
				return next, nil
			}
			next.Updated, next.UpdatedBy = now, p.Name
		}
		err := d.Store.PutSavedQuery(ctx, prev, &next, d.entry(p, verb, next.Title, ""))
		if job.CodeOf(err) == job.Conflict && prev != nil && try < saveTries {
			continue
		}
		if err != nil {
			return next, err
		}
		return d.Store.SavedQuery(ctx, p.Tenant, next.ID)
	}
}

// ownQuery returns a saved query that the principal may change.
func (d *Dispatcher) ownQuery(ctx context.Context, p job.Principal, id int64) (job.SavedQuery, error) {
	q, err := d.SavedQuery(ctx, p, id)
	if err == nil && q.CreatedBy != p.Name {
		err = allow(p, job.ActChange)
	}
	return q, err
}

func validQuery(q job.SavedQuery) error {
	if err := validLine("name", q.Title, inventory.MaxName, true); err != nil {
		return err
	}
	if err := validLine("subject", q.Subject, inventory.MaxName, true); err != nil {
		return err
	}
	if strings.TrimSpace(q.Query) == "" {
		return job.FieldErrorf("query", "a query is required")
	}
	if err := inventory.ValidText("query", q.Query, MaxQuery); err != nil {
		return err
	}
	return boundExtraOf("extra", q.Extra)
}

// DeleteSavedQuery removes one and returns it as it was.
func (d *Dispatcher) DeleteSavedQuery(ctx context.Context, p job.Principal, id int64) (job.SavedQuery, error) {
	if err := allow(p, job.ActRun); err != nil {
		return job.SavedQuery{}, err
	}
	for try := 1; ; try++ {
		q, err := d.ownQuery(ctx, p, id)
		if err != nil {
			return q, err
		}
		err = d.Store.DeleteSavedQuery(ctx, q, d.entry(p, "query.delete", q.Title, ""))
		if job.CodeOf(err) != job.Conflict || try == saveTries {
			return q, err
		}
	}
}
