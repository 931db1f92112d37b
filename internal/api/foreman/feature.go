package foreman

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"drover/internal/job"
	"drover/internal/search"
)

func featureRoutes() []route {
	const path = "/api/remote_execution_features"
	one := []string{path + "/:id"}
	return []route{
		{method: http.MethodGet, paths: []string{path}, resource: "remote_execution_features", action: "index", short: "List remote execution features",
			needs: job.ActRead, permission: "view_remote_execution_features", handle: (*server).listFeatures},
		{method: http.MethodGet, paths: one, resource: "remote_execution_features", action: "show", short: "Show remote execution feature",
			needs: job.ActRead, permission: "view_remote_execution_features", params: []param{identifier("id")}, handle: (*server).showFeature},
		{method: http.MethodPut, paths: one, resource: "remote_execution_features", action: "update", short: "Update a job template for a remote execution feature",
			needs: job.ActChange, permission: "edit_remote_execution_features",
			params: []param{identifier("id"), hash("remote_execution_feature", "", str("job_template_id", "Job template ID to be used for the feature").null()).must()},
			handle: (*server).updateFeature},
		{method: http.MethodGet, paths: []string{"/api/hosts/:id/available_remote_execution_features"}, resource: "remote_execution_features",
			action: "available_remote_execution_features", short: "List available remote execution features for a host",
			needs: job.ActRead, permission: "view_hosts", params: []param{identifier("id")}, handle: (*server).hostFeatures},
	}
}

// featureRow is a feature with the name of the template that does it.
type featureRow struct {
	job.Feature
	template string
}

// featureFields is what a search can ask of a feature.
var featureFields = search.Schema{
	{Name: "label", Default: true, Get: func(v any, _ string) []string { return []string{v.(featureRow).Name} }},
	{Name: "name", Default: true, Get: func(v any, _ string) []string { return []string{v.(featureRow).Title} }},
	{Name: "id", Type: search.Integer, ID: true, Get: func(v any, _ string) []string { return []string{strconv.FormatInt(v.(featureRow).ID, 10)} }},
}

// features returns all features.
func (s *server) features(c *call) ([]featureRow, error) {
	all, err := s.Dispatch.Features(c.ctx(), c.who)
	if err != nil {
		return nil, err
	}
	names := map[int64]string{}
	var rows []featureRow
	for _, f := range all {
		if _, known := names[f.TemplateID]; f.TemplateID != 0 && !known {
			v, err := s.Dispatch.Template(c.ctx(), c.who, f.TemplateID)
			if err != nil && job.CodeOf(err) != job.NotFound {
				return nil, err
			}
			names[f.TemplateID] = v.Name
		}
		rows = append(rows, featureRow{f, names[f.TemplateID]})
	}
	return rows, nil
}

// feature returns the feature that a path names, by id or label.
func (s *server) feature(c *call) (featureRow, error) {
	all, err := s.features(c)
	if err != nil {
		return featureRow{}, err
	}
	n, _ := c.number("id")
	i := slices.IndexFunc(all, func(f featureRow) bool { return f.ID == n || f.Name == c.path("id") })
	if i < 0 {
		return featureRow{}, notFound("remote_execution_feature", c.path("id"))
	}
	return all[i], nil
}

func (s *server) listFeatures(c *call) (answer, error) {
	all, err := s.features(c)
	if err != nil {
		return answer{}, err
	}
	return collection(s, c, all, featureFields, "id", featureRow.show)
}

func (s *server) showFeature(c *call) (answer, error) {
	f, err := s.feature(c)
	return ok(f.show()), err
}

func (s *server) updateFeature(c *call) (answer, error) {
	f, err := s.feature(c)
	if err != nil {
		return answer{}, err
	}
	o, err := c.root("remote_execution_feature")
	if err != nil {
		return answer{}, err
	}
	if o.has("job_template_id") {
		id, _, err := o.get("job_template_id").integer()
		if err != nil {
			return answer{}, err
		}
		if _, err := s.Dispatch.MapFeature(c.ctx(), c.who, f.Name, id); err != nil {
			return answer{}, featureError(err, f.ID)
		}
	}
	return s.showFeature(c)
}

// featureError is E14 for a template that cannot do a feature.
func featureError(err error, id int64) error {
	var e *job.Error
	if errors.As(err, &e) && e.Code == job.Invalid {
		return validationFailed(id, problem{"job_template_id", e.Message})
	}
	return err
}

// hostFeatures lists the features that are shown with a host.
func (s *server) hostFeatures(c *call) (answer, error) {
	if _, err := s.host(c, "id"); err != nil {
		return answer{}, err
	}
	all, err := s.features(c)
	if err != nil {
		return answer{}, err
	}
	all = slices.DeleteFunc(all, func(f featureRow) bool { return !f.Button })
	return ok(shown(all, featureRow.show)), nil
}

func (f featureRow) show() any {
	return fields{"id": f.ID, "label": f.Name, "name": f.Title, "description": orNull(f.Description),
		"job_template_id": positive(f.TemplateID), "job_template_name": orNull(f.template), "host_action_button": f.Button}
}
