package foreman_test

import (
	"encoding/json"
	"testing"

	"drover/internal/api/apitest"
	"drover/internal/inventory"
)

// The inventory plugin orders a report and takes its JSON text out of a JSON text.
func TestReport_HoldsWhatWasOrdered(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	labels := map[string]string{"site": "lab"}
	for _, name := range []string{"web1", "web2"} {
		addHost(t, s, inventory.DeviceInput{Name: name, Labels: &labels})
	}
	fetch := func(wishes object) (rows []object) {
		t.Helper()
		made := want(t, s, 200, post("/ansible/api/v2/ansible_inventories/schedule", object{"input_values": wishes}))
		a := s.Do(get("/" + made["data_url"].(string)))
		var text string
		if err := json.Unmarshal([]byte(a.Body), &text); a.Status != 200 || err != nil {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if err := json.Unmarshal([]byte(text), &rows); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return rows
	}
	plain := fetch(object{})
	if len(plain) < 2 {
		t.Fatalf("%d hosts", len(plain))
	}
	for _, row := range plain {
		if row["name"] == nil || row["organization"] != "Default Organization" || row["facts"] != nil || row["host_parameters"] != nil {
			t.Errorf("%v", row)
		}
	}
	const name = "web2"
	all := fetch(object{"Facts": "yes", "Host Parameters": "yes", "Organization": "no", "Host Group": "no", "Hosts": "name = " + name})
	if len(all) != 1 || all[0]["name"] != name || all[0]["facts"] == nil || all[0]["host_parameters"] == nil || all[0]["organization"] != nil || all[0]["host_group"] != nil {
		t.Errorf("%v", all)
	}
	want(t, s, 400, post("/ansible/api/v2/ansible_inventories/schedule", object{"input_values": object{"Hosts": "colour = red"}}))
	want(t, s, 422, post("/ansible/api/v2/ansible_inventories/schedule", object{"input_values": object{"Facts": "perhaps"}}))
	want(t, s, 422, post("/ansible/api/v2/ansible_inventories/schedule", object{"input_values": []string{"x"}}))
	for _, id := range []string{"x", "e30x", "%20"} {
		want(t, s, 404, get("/ansible/api/v2/ansible_inventories/report_data/"+id))
	}
}
