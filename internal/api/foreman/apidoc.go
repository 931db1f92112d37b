package foreman

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// apidocRoutes are those that describe the API. Clients load the description
// before they log in.
func apidocRoutes() []route {
	get := func(path string, handle func(*server, *call) (answer, error)) route {
		return route{method: http.MethodGet, paths: []string{path}, public: true, handle: handle}
	}
	return []route{
		get("/apidoc/apipie_checksum", func(s *server, _ *call) (answer, error) {
			_, checksum := s.description()
			return ok(fields{"checksum": checksum}), nil
		}),
		get("/apidoc/:document", (*server).apidoc),
	}
}

// apidoc answers with the description, whatever the language: v2, v2.json,
// v2.en.json.
func (s *server) apidoc(c *call) (answer, error) {
	name := strings.TrimSuffix(c.path("document"), formatSuffix)
	if name != "v2" && !strings.HasPrefix(name, "v2.") {
		return answer{}, errNoRoute()
	}
	document, _ := s.description()
	return ok(rawJSON(document)), nil
}

// stubs are the resources that clients look for when they start, and do not use
// for anything that is offered here.
var stubs = []string{
	"architectures", "compute_resources", "domains", "hostgroups", "media", "operatingsystems", "provisioning_templates",
	"ptables", "roles", "smart_proxies", "subnets", "usergroups", "users",
}

// document returns the description of the API and its checksum, which changes
// with it and is the same wherever the same version runs.
func document(all []route) (text []byte, checksum string) {
	resources := fields{}
	methods := map[string][]fields{}
	for _, name := range stubs {
		methods[name] = []fields{}
	}
	for _, r := range all {
		if r.resource == "" {
			continue
		}
		methods[r.resource] = addMethod(methods[r.resource], r)
	}
	for name, ms := range methods {
		resources[name] = fields{
			"doc_url": "/apidoc/v2/" + name, "id": name, "api_url": "/api", "name": title(name), "short_description": nil,
			"full_description": "", "version": "v2", "formats": nil, "metadata": nil, "headers": nil, "deprecated": nil, "methods": ms,
		}
	}
	text = encode(fields{"docs": fields{
		"name": "Foreman", "info": "", "copyright": "", "doc_url": "/apidoc/v2", "api_url": "/api", "resources": resources,
	}})
	sum := sha256.Sum256(text)
	return text, hex.EncodeToString(sum[:16])
}

// addMethod adds a route to the methods of its resource: a new one, or further
// paths of one that is there.
func addMethod(methods []fields, r route) []fields {
	var apis []fields
	for _, p := range r.paths {
		apis = append(apis, fields{"api_url": p, "http_method": r.method, "short_description": r.short, "deprecated": nil})
	}
	for _, m := range methods {
		if m["name"] == r.action {
			m["apis"] = append(m["apis"].([]fields), apis...)
			return methods
		}
	}
	params := slices.Clone(r.params)
	for _, t := range []string{"location_id", "organization_id"} {
		if !slices.ContainsFunc(params, func(p param) bool { return p.name == t }) {
			params = append(params, num(t, "Set the current "+strings.TrimSuffix(t, "_id")+" context for the request"))
		}
	}
	return append(methods, fields{
		"doc_url": "/apidoc/v2/" + r.resource + "/" + r.action, "name": r.action, "apis": apis, "formats": nil,
		"full_description": "", "errors": []any{}, "returns": []any{}, "examples": []any{}, "metadata": nil, "see": []any{}, "headers": []any{},
		"show": true, "params": describe("", params),
	})
}

// describe writes parameters; parent is the full name of the one that they are in.
func describe(parent string, params []param) []fields {
	out := []fields{}
	for _, p := range params {
		full, validator := p.name, p.validator
		if parent != "" {
			full = parent + "[" + p.name + "]"
		}
		if validator == "" {
			validator = validators[p.typ]
		}
		d := fields{
			"name": p.name, "full_name": full, "description": p.doc, "required": p.required, "allow_nil": p.nilAllowed, "allow_blank": false,
			"validator": validator, "expected_type": string(p.typ), "metadata": nil, "show": true, "validations": []any{}, "deprecated": false,
		}
		if len(p.children) > 0 {
			d["params"] = describe(full, p.children)
		}
		out = append(out, d)
	}
	return out
}

// title is a name as people write it: job_invocations is "Job invocations".
func title(name string) string {
	name = strings.ReplaceAll(name, "_", " ")
	_, first := utf8.DecodeRuneInString(name)
	return strings.ToUpper(name[:first]) + name[first:]
}
