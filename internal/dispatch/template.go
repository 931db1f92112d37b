package dispatch

import (
	"context"

	"drover/internal/job"
)

var errNotYet = job.Errorf(job.Unsupported, "not available yet")

// TemplateView is a template with what it refers to.
type TemplateView struct {
	job.Template
	// Effective are its own inputs and those that it includes, in order; each
	// name once.
	Effective []job.Input
	// IncludeNames are the names of the templates of Includes, by template id.
	IncludeNames map[int64]string
}

// Template returns a template by id.
func (d *Dispatcher) Template(ctx context.Context, p job.Principal, id int64) (TemplateView, error) {
	return TemplateView{}, errNotYet
}

// TemplateByName returns a template by name.
func (d *Dispatcher) TemplateByName(ctx context.Context, p job.Principal, name string) (TemplateView, error) {
	return TemplateView{}, errNotYet
}

// AllTemplates calls f for every template in order of id.
func (d *Dispatcher) AllTemplates(ctx context.Context, p job.Principal, f func(job.Template) error) error {
	return errNotYet
}

// EditTemplate creates a template (id 0) or changes one: f gets it as it is
// stored and changes it, and is called again when somebody else was faster. New inputs and
// includes have the ID 0 and get one. Errors: those of f; Forbidden; NotFound;
// AlreadyExists for the name; Invalid with a field (name, body, inputs, includes,
// become, limits, …) for what could not be run.
func (d *Dispatcher) EditTemplate(ctx context.Context, p job.Principal, id int64, f func(t *job.Template) error) (TemplateView, error) {
	return TemplateView{}, errNotYet
}

// DeleteTemplate removes a template and returns it as it was. check may refuse it; may be nil. Jobs made from it
// keep their copy; features that it did lose it.
func (d *Dispatcher) DeleteTemplate(ctx context.Context, p job.Principal, id int64, check func(job.Template) error) (job.Template, error) {
	return job.Template{}, errNotYet
}

// Features returns all features in order of id.
func (d *Dispatcher) Features(ctx context.Context, p job.Principal) ([]job.Feature, error) {
	return nil, errNotYet
}

// Feature returns a feature by its label.
func (d *Dispatcher) Feature(ctx context.Context, p job.Principal, label string) (job.Feature, error) {
	return job.Feature{}, errNotYet
}

// MapFeature says which template does a feature; 0: none.
func (d *Dispatcher) MapFeature(ctx context.Context, p job.Principal, label string, template int64) (job.Feature, error) {
	return job.Feature{}, errNotYet
}

// SavedQueries returns the saved queries that the principal sees (public ones and
// its own), in order of id.
func (d *Dispatcher) SavedQueries(ctx context.Context, p job.Principal) ([]job.SavedQuery, error) {
	return nil, errNotYet
}

// SavedQuery returns one that the principal sees.
func (d *Dispatcher) SavedQuery(ctx context.Context, p job.Principal, id int64) (job.SavedQuery, error) {
	return job.SavedQuery{}, errNotYet
}

// EditSavedQuery creates (id 0) or changes a saved query, as EditTemplate does.
// Changing somebody else's takes an administrator. Its role is ActRun.
func (d *Dispatcher) EditSavedQuery(ctx context.Context, p job.Principal, id int64, f func(q *job.SavedQuery) error) (job.SavedQuery, error) {
	return job.SavedQuery{}, errNotYet
}

// DeleteSavedQuery removes one and returns it as it was.
func (d *Dispatcher) DeleteSavedQuery(ctx context.Context, p job.Principal, id int64) (job.SavedQuery, error) {
	return job.SavedQuery{}, errNotYet
}
