package foreman

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
)

// reportRoutes are what the collection's inventory plugin asks by default: it
// orders a report of the hosts, is told where it will be, and fetches it there.
// Nothing is made ahead: the address holds what was asked for.
func reportRoutes() []route {
	return []route{
		{method: http.MethodPost, paths: []string{"/ansible/api/ansible_inventories/schedule"},
			needs: job.ActRead, permission: "generate_report_templates", handle: (*server).orderReport},
		{method: http.MethodGet, paths: []string{"/ansible/api/ansible_inventories/report_data/:id"},
			needs: job.ActRead, permission: "generate_report_templates", handle: (*server).report},
	}
}

// reportOrder is what a report is to hold.
type reportOrder struct {
	Hosts      string `json:"h,omitempty"` // a host search
	Facts      bool   `json:"f,omitempty"`
	Parameters bool   `json:"p,omitempty"`
	Taxonomies bool   `json:"t,omitempty"`
	Group      bool   `json:"g,omitempty"`
}

// orderReport reads the plugin's wishes. It says "yes" and "no"; what it does
// not mention is wanted, but for the facts and the parameters, which are long.
func (s *server) orderReport(c *call) (answer, error) {
	in, err := c.body.get("input_values").object()
	if err != nil {
		return answer{}, err
	}
	var o reportOrder
	if o.Hosts, err = in.get("Hosts").text(); err != nil {
		return answer{}, err
	}
	for _, wish := range []struct {
		name      string
		otherwise bool
		into      *bool
	}{{"Facts", false, &o.Facts}, {"Host Parameters", false, &o.Parameters}, {"Organization", true, &o.Taxonomies}, {"Host Group", true, &o.Group}} {
		said, given, err := in.get(wish.name).boolean()
		if err != nil {
			return answer{}, err
		}
		*wish.into = given && said || !given && wish.otherwise
	}
	if _, err := s.Dispatch.FindDevices(c.ctx(), c.who, o.Hosts, false); err != nil {
		return answer{}, err
	}
	id := base64.RawURLEncoding.EncodeToString(encode(o))
	return ok(fields{"job_id": id, "data_url": "ansible/api/v2/ansible_inventories/report_data/" + id}), nil
}

// report answers with a JSON text in a JSON text, as reports are.
func (s *server) report(c *call) (answer, error) {
	var o reportOrder
	b, err := base64.RawURLEncoding.DecodeString(c.path("id"))
	if err != nil || json.Unmarshal(b, &o) != nil {
		return answer{}, notFound("report", c.path("id"))
	}
	devices, err := s.Dispatch.FindDevices(c.ctx(), c.who, o.Hosts, false)
	if err != nil {
		return answer{}, err
	}
	rows := make([]fields, len(devices))
	for i, d := range devices {
		rows[i] = o.row(d)
	}
	return ok(string(encode(rows))), nil
}

func (o reportOrder) row(d dispatch.DeviceView) fields {
	row := fields{"name": d.Name, "ipv4": d.Address}
	if o.Taxonomies {
		row["organization"], row["location"] = theOrganization.name, theLocation.name
	}
	if o.Group && len(d.Pools) > 0 {
		row["host_group"] = d.Pools[0]
	}
	if o.Parameters {
		row["host_parameters"] = inventory.Params(d.Device)
	}
	if o.Facts {
		row["facts"] = inventory.Facts(d.Device)
	}
	return row
}
