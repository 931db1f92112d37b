package foreman

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
)

func hostRoutes() []route {
	const path = "/api/hosts"
	one := []string{path + "/:id"}
	return []route{
		{method: http.MethodGet, paths: []string{path, "/api/hostgroups/:hostgroup_id/hosts", "/api/locations/:location_id/hosts", "/api/organizations/:organization_id/hosts"},
			resource: "hosts", action: "index", short: "List all hosts", needs: job.ActRead, permission: "view_hosts",
			params: withPage(boolean("thin", "Only list ID and name of hosts"), str("hostgroup_id", "ID of host group"),
				str("location_id", "ID of location"), str("organization_id", "ID of organization"), array("include", "Array of extra information types to include")),
			handle: (*server).listHosts},
		{method: http.MethodGet, paths: one, resource: "hosts", action: "show", short: "Show a host", needs: job.ActRead, permission: "view_hosts",
			params: []param{identifier("id"), boolean("show_hidden_parameters", "Display hidden parameter values")}, handle: (*server).showHost},
		{method: http.MethodPut, paths: one, resource: "hosts", action: "update", short: "Update a host", needs: job.ActChange, permission: "edit_hosts",
			params: []param{identifier("id"), hash("host", "", str("name", ""), str("comment", "Additional information about this host").null()).must()}, handle: (*server).updateHost},
		{method: http.MethodGet, paths: []string{path + "/:host_id/facts"}, resource: "fact_values", action: "index", short: "List all fact values of a given host",
			needs: job.ActRead, permission: "view_facts", params: withPage(identifier("host_id")), handle: (*server).hostFacts},
	}
}

// listHosts answers with hosts; with thin only their ids and names.
func (s *server) listHosts(c *call) (answer, error) {
	p, err := c.paging()
	if err != nil {
		return answer{}, err
	}
	thin, err := c.flag("thin", false)
	if err != nil {
		return answer{}, err
	}
	include, err := c.param("include").texts()
	if err != nil {
		return answer{}, err
	}
	all, err := s.Dispatch.FindDevices(c.ctx(), c.who, "", false)
	if err != nil {
		return answer{}, err
	}
	if all, err = s.inHostgroup(c, all); err != nil {
		return answer{}, err
	}
	rows, err := found(s, c, p, candidates(all), inventory.DeviceFields())
	if err != nil {
		return answer{}, err
	}
	if thin {
		p.order = value{name: "order"}
	}
	if err := sorted(p, rows, inventory.DeviceFields(), "name"); err != nil {
		return answer{}, err
	}
	byID := map[int64]dispatch.DeviceView{}
	for _, v := range all {
		byID[v.ID] = v
	}
	from, to := p.window(len(rows))
	return p.envelope(len(all), len(rows), shown(rows[from:to], func(d inventory.Candidate) any {
		switch {
		case thin:
			return fields{"id": d.Device.ID, "name": d.Device.Name}
		case to-from > maxFullRows:
			return fields{"id": d.Device.ID, "name": d.Device.Name, "display_name": d.Device.Name}
		}
		return withIncluded(hostRow(byID[d.Device.ID]), d.Device, include)
	})), nil
}

// maxFullRows is how many hosts one answer can hold in full. On a larger page
// there is of each only what clients need: those who ask for everything at once do
// not ask for a second page.
const maxFullRows = 4000

// candidates are hosts as queries ask about them.
func candidates(all []dispatch.DeviceView) []inventory.Candidate {
	out := make([]inventory.Candidate, len(all))
	for i, v := range all {
		out[i] = inventory.Candidate{Device: v.Device, Pools: v.Pools}
	}
	return out
}

// inHostgroup leaves the hosts of the host group that a path or parameter
// names, by id or name.
func (s *server) inHostgroup(c *call, all []dispatch.DeviceView) ([]dispatch.DeviceView, error) {
	if c.param("hostgroup_id").blank() {
		return all, nil
	}
	id := c.text("hostgroup_id")
	name := id
	if n, ok := number(id); ok {
		for page := (dispatch.Page{Limit: 1000}); ; {
			pools, next, err := s.Dispatch.Pools(c.ctx(), c.who, page)
			if err != nil {
				return nil, err
			}
			if i := slices.IndexFunc(pools, func(p job.Pool) bool { return p.ID == n }); i >= 0 {
				name = pools[i].Name
				break
			}
			if page.After = next; next == "" {
				return nil, notFound("hostgroup", id)
			}
		}
	}
	pool, err := s.Dispatch.Pool(c.ctx(), c.who, name)
	if err != nil {
		return nil, orNotFound(err, "hostgroup", id)
	}
	members := map[string]bool{}
	for _, d := range pool.Devices {
		members[d] = true
	}
	return slices.DeleteFunc(all, func(v dispatch.DeviceView) bool { return !members[v.Name] }), nil
}

// host returns the host that a part of the path names, by id or name.
func (s *server) host(c *call, part string) (dispatch.DeviceView, error) {
	if n, ok := c.number(part); ok {
		v, err := s.Dispatch.DeviceByID(c.ctx(), c.who, n)
		if job.CodeOf(err) != job.NotFound {
			return v, err
		}
	}
	v, err := s.Dispatch.Device(c.ctx(), c.who, c.path(part))
	return v, orNotFound(err, "host", c.path(part))
}

func (s *server) showHost(c *call) (answer, error) {
	v, err := s.host(c, "id")
	if err != nil {
		return answer{}, err
	}
	return ok(hostDetail(v)), nil
}

// updateHost changes a host's comment. What else is sent must be as it is.
func (s *server) updateHost(c *call) (answer, error) {
	v, err := s.host(c, "id")
	if err != nil {
		return answer{}, err
	}
	o, err := c.root("host")
	if err != nil {
		return answer{}, err
	}
	in := inventory.DeviceInput{Name: v.Name}
	comment := v.Description
	r := &reader{object: o}
	r.text("comment", &comment)
	if r.err != nil {
		return answer{}, r.err
	}
	var ps problems
	now := hostDetail(v)
	for _, key := range o.keys {
		if key != "comment" && key != "id" && !sameValue(o.get(key), now[key]) {
			ps.add(clipRunes(key, maxString), "can't be changed here")
		}
	}
	if err := ps.asError(v.ID); err != nil {
		return answer{}, err
	}
	if comment != v.Description {
		in.Description = &comment
		done, err := s.Dispatch.SaveDevices(c.ctx(), c.who, []inventory.DeviceInput{in})
		if err == nil {
			err = done[0].Err
		}
		if job.CodeOf(err) == job.Invalid {
			err = validationFailed(v.ID, problem{"comment", job.MessageOf(err)})
		}
		if err != nil {
			return answer{}, err
		}
		v.Description = comment
	}
	return ok(hostDetail(v)), nil
}

// sameValue reports whether what was sent is what is shown.
func sameValue(sent value, now any) bool {
	s, err := sent.text()
	if err != nil {
		return false
	}
	n, err := value{raw: encode(now)}.text()
	return err == nil && s == n
}

// hostFacts answers with the facts of a host. There is one page of them:
// clients go on until a page is empty.
func (s *server) hostFacts(c *call) (answer, error) {
	p, err := c.paging()
	if err != nil {
		return answer{}, err
	}
	v, err := s.host(c, "host_id")
	if err != nil {
		return answer{}, err
	}
	facts := inventory.Facts(v.Device)
	results := fields{}
	if len(facts) > 0 && p.page == 1 {
		results[v.Name] = facts
	}
	return p.envelope(len(facts), len(facts), results), nil
}

// hostRow is a host in lists.
func hostRow(v dispatch.DeviceView) fields {
	ip, ip6 := addresses(v.Address)
	_, domain, _ := strings.Cut(v.Name, ".")
	var groupID, group any
	if len(v.PoolIDs) > 0 && len(v.Pools) > 0 {
		groupID, group = v.PoolIDs[0], v.Pools[0]
	}
	return fields{
		"id": v.ID, "name": v.Name, "display_name": v.Name, "certname": v.Name, "ip": ip, "ip6": ip6, "mac": nil, "comment": orNull(v.Description),
		"enabled": true, "managed": true, "build": false, "uuid": nil,
		"domain_id": nil, "domain_name": orNull(domain), "architecture_id": nil, "architecture_name": nil,
		"operatingsystem_id": nil, "operatingsystem_name": orNull(inventory.OSTitle(v.Device)),
		"hostgroup_id": groupID, "hostgroup_name": group, "hostgroup_title": group,
		"owner_id": nil, "owner_name": orNull(v.CreatedBy), "owner_type": "User",
		"organization_id": theOrganization.id, "organization_name": theOrganization.name, "location_id": theLocation.id, "location_name": theLocation.name,
		"model_id": nil, "model_name": orNull(v.Model), "created_at": stamp(v.Created), "updated_at": stamp(v.Updated),
		"last_report": nil, "global_status": 0, "global_status_label": "OK",
	}
}

// addresses tells a network address of the fourth from one of the sixth version;
// a name is neither.
func addresses(address string) (ip, ip6 any) {
	a, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		return nil, nil
	case a.Is4():
		return address, nil
	}
	return nil, address
}

// hostDetail is the whole of a host.
func hostDetail(v dispatch.DeviceView) fields {
	out := hostRow(v)
	parameters := hostParameters(v.Device)
	out["parameters"], out["all_parameters"] = parameters, parameters
	out["interfaces"] = []fields{{
		"id": v.ID, "name": v.Name, "fqdn": v.Name, "ip": out["ip"], "ip6": out["ip6"], "mac": nil, "identifier": nil, "type": "interface",
		"managed": true, "primary": true, "provision": true, "execution": true, "virtual": false,
	}}
	out["permissions"] = fields{"view_hosts": true}
	return out
}

// withIncluded adds what a list was asked to include.
func withIncluded(row fields, d job.Device, include []string) fields {
	for _, what := range include {
		if what == "parameters" || what == "all_parameters" {
			row[what] = hostParameters(d)
		}
	}
	return row
}

// parameterPriority is what upstream gives the parameters of a host itself.
const parameterPriority = 70

// hostParameters are the parameters of a host, in order of their names. Their
// ids count within the host.
func hostParameters(d job.Device) []fields {
	params := inventory.Params(d)
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names)
	out := []fields{}
	for i, name := range names {
		out = append(out, fields{"id": i + 1, "name": name, "value": params[name], "parameter_type": "string", "priority": parameterPriority,
			"associated_type": "host", "hidden_value?": false, "created_at": stamp(d.Created), "updated_at": stamp(d.Updated)})
	}
	return out
}
