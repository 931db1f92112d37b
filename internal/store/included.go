package store

import (
	"context"

	"drover/internal/job"
)

// Included returns the templates that one includes, and those that they
// include, by id; those that are gone are left out. More than MaxIncluded are
// Invalid, field "includes".
func (s *Store) Included(ctx context.Context, t job.Template) (map[int64]job.Template, error) {
	all := map[int64]job.Template{}
	asked := map[int64]bool{}
	for wanted := includedBy(nil, t, asked); len(wanted) > 0; {
		if len(asked) > MaxIncluded {
			return nil, job.FieldErrorf("includes", "the template includes more than %d others, counting those that they include", MaxIncluded)
		}
		got, err := s.TemplatesByID(ctx, t.Tenant, wanted)
		if err != nil {
			return nil, err
		}
		wanted = nil
		for _, o := range got {
			all[o.ID] = o
			wanted = includedBy(wanted, o, asked)
		}
	}
	return all, nil
}

// includedBy appends what a template includes and nobody asked for yet.
func includedBy(to []int64, t job.Template, asked map[int64]bool) []int64 {
	for _, inc := range t.Includes {
		if !asked[inc.TemplateID] {
			asked[inc.TemplateID] = true
			to = append(to, inc.TemplateID)
		}
	}
	return to
}
