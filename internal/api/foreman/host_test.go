package foreman_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"drover/internal/api/apitest"
	"drover/internal/inventory"
)

// addHost adds a device that is never reached.
func addHost(t *testing.T, s *apitest.Service, in inventory.DeviceInput) {
	t.Helper()
	address := "192.0.2.7"
	if in.Address == nil {
		in.Address = &address
	}
	done, err := s.App.Dispatcher().SaveDevices(context.Background(), apitest.AdminPrincipal(), []inventory.DeviceInput{in})
	if err != nil || done[0].Err != nil {
		t.Fatal(err, done)
	}
}

func TestHosts(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	labels := map[string]string{"site": "berlin", "role": "web"}
	note, model, system, release := "in the cellar", "T100", "Debian", "12"
	addHost(t, s, inventory.DeviceInput{Name: "web-01.example.com", Labels: &labels, Description: &note, Model: &model, OperatingSystem: &system, OSVersion: &release})
	all := want(t, s, http.StatusOK, get("/api/hosts"))
	if names(all, "name") != "R1,R2,web-01.example.com" || all["total"] != 3.0 {
		t.Fatalf("%v", all)
	}
	row := results(all)[2]
	for key, value := range (object{"name": "web-01.example.com", "display_name": "web-01.example.com", "ip": "192.0.2.7", "ip6": nil, "comment": note,
		"model_name": model, "operatingsystem_name": "Debian 12", "location_name": "Default Location", "organization_id": 1.0, "domain_name": "example.com"}) {
		if row[key] != value {
			t.Errorf("%s is %v, want %v", key, row[key], value)
		}
	}
	if hostgroup := results(all)[0]["hostgroup_name"]; hostgroup != "all" {
		t.Errorf("R1's host group is %v", hostgroup)
	}
	for query, want1 := range map[string]string{
		"search=name+%3D+%22R1%22&per_page=1000&page=1": "R1", "search=name+%5E+(R1,+R2)": "R1,R2", "order=name+DESC&per_page=2": "web-01.example.com,R2",
		"search=params.site+%3D+berlin": "web-01.example.com", "search=hostgroup+%3D+all&per_page=1&page=2": "R2", "page=2": "",
	} {
		if got := names(want(t, s, http.StatusOK, get("/api/hosts?"+query)), "name"); got != want1 {
			t.Errorf("%s finds %s, want %s", query, got, want1)
		}
	}
	for path, want1 := range map[string]string{"/api/hostgroups/1/hosts": "R1,R2", "/api/hostgroups/all/hosts": "R1,R2",
		"/api/locations/2/hosts": "R1,R2,web-01.example.com", "/api/v2/hosts.json": "R1,R2,web-01.example.com", "/api/organizations/1/hosts/": "R1,R2,web-01.example.com"} {
		if got := names(want(t, s, http.StatusOK, get(path)), "name"); got != want1 {
			t.Errorf("%s finds %s, want %s", path, got, want1)
		}
	}
	want(t, s, http.StatusNotFound, get("/api/hostgroups/77/hosts"))
	want(t, s, http.StatusNotFound, get("/api/hostgroups/nobody/hosts"))
	if thin := results(want(t, s, http.StatusOK, get("/api/hosts?thin=true&order=id")))[0]; len(thin) != 2 || thin["name"] != "R1" {
		t.Errorf("thin: %v", thin)
	}
	if with := results(want(t, s, http.StatusOK, get("/api/hosts?include[]=parameters&search=web")))[0]; with["parameters"] == nil {
		t.Errorf("no parameters: %v", with)
	}
	for _, ref := range []string{id(row), "web-01.example.com"} {
		host := want(t, s, http.StatusOK, get("/api/hosts/"+ref))
		params := host["all_parameters"].([]any)
		if host["name"] != "web-01.example.com" || len(params) != 2 || params[0].(object)["name"] != "role" || params[1].(object)["value"] != "berlin" {
			t.Errorf("%s is %v", ref, host)
		}
	}
	wantBody(t, s, 404, `{"error":{"message":"Resource host not found by id 'nobody.example.com'"}}`, get("/api/hosts/nobody.example.com"))
}

// Clients ask for everything at once, however much it is.
func TestHosts_ManyAtOnce(t *testing.T) {
	s := apitest.Start(t, apitest.Options{Devices: 1})
	const many = 4100
	address := "192.0.2.1"
	in := make([]inventory.DeviceInput, many)
	for i := range in {
		in[i] = inventory.DeviceInput{Name: fmt.Sprintf("many-%05d.example.com", i), Address: &address}
	}
	if _, err := s.App.Dispatcher().SaveDevices(background, apitest.AdminPrincipal(), in); err != nil {
		t.Fatal(err)
	}
	all := results(want(t, s, http.StatusOK, get("/api/hosts?per_page=4294967296")))
	if len(all) != many+1 || len(all[1]) != 3 || all[1]["display_name"] != "many-00000.example.com" {
		t.Errorf("%d hosts, %v", len(all), all[1])
	}
	page := s.Do(get("/api/hosts?per_page=4000&include[]=parameters"))
	if page.Status != http.StatusOK || len(results(decoded(page))[1]) < 20 || len(page.Body) > 4<<20 {
		t.Errorf("%d, %d bytes", page.Status, len(page.Body))
	}
}

// The inventory plugin asks for pages of facts until one is empty.
func TestHosts_FactsEnd(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	first := want(t, s, http.StatusOK, get("/api/v2/hosts/1/facts?page=1&per_page=250"))
	facts, _ := first["results"].(object)
	if of, _ := facts["R1"].(object); of["fqdn"] != "R1" {
		t.Errorf("%v", first)
	}
	second := want(t, s, http.StatusOK, get("/api/v2/hosts/1/facts?page=2&per_page=250"))
	if facts, is := second["results"].(object); !is || len(facts) != 0 {
		t.Errorf("the second page is %v", second)
	}
	want(t, s, http.StatusNotFound, get("/api/hosts/77/facts"))
}

func TestHosts_Update(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	changed := want(t, s, http.StatusOK, put("/api/hosts/R1", object{"host": object{"comment": "new", "name": "R1", "location_id": 2}}))
	if changed["comment"] != "new" {
		t.Errorf("%v", changed)
	}
	if again := want(t, s, http.StatusOK, get("/api/hosts/1")); again["comment"] != "new" {
		t.Errorf("%v", again)
	}
	e := want(t, s, http.StatusUnprocessableEntity, put("/api/hosts/1", object{"host": object{"comment": "other", "ip": "10.0.0.1", "build": true}}))["error"].(object)
	if e["id"] != 1.0 || joined(e["full_messages"]) != "Build can't be changed here; Ip can't be changed here" {
		t.Errorf("%v", e)
	}
	if again := want(t, s, http.StatusOK, get("/api/hosts/1")); again["comment"] != "new" {
		t.Errorf("a refused change was made: %v", again)
	}
}

func TestTaxonomies(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	for path, name := range map[string]string{"/api/locations": "Default Location", "/api/organizations": "Default Organization"} {
		for _, query := range []string{"", "?search=title%3D%22" + name[:7] + "+" + name[8:] + "%22&per_page=4294967296", "?search=name%3D%22" + name[:7] + "+" + name[8:] + "%22"} {
			if got := names(want(t, s, http.StatusOK, get(path+query)), "title"); got != name {
				t.Errorf("%s%s: %s", path, query, got)
			}
		}
		if got := names(want(t, s, http.StatusOK, get(path+"?search=name%3Dother")), "title"); got != "" {
			t.Errorf("%s: %s", path, got)
		}
	}
	if o := want(t, s, http.StatusOK, get("/api/locations/2")); o["title"] != "Default Location" {
		t.Errorf("%v", o)
	}
	want(t, s, http.StatusNotFound, get("/api/organizations/2"))
	for path, body := range map[string]string{
		"/api/hosts?location_id=5": `{"message":"Location with id 5 not found"}`, "/api/hosts?organization_id=x": `{"message":"Organization with id x not found"}`,
		"/api/locations/7/hosts": `{"message":"Location with id 7 not found"}`,
	} {
		wantBody(t, s, 404, body, get(path))
	}
	wantBody(t, s, 404, `{"message":"Location with id 9 not found"}`, post("/api/bookmarks", object{"location_id": 9, "bookmark": object{}}))
	for _, query := range []string{"?location_id=2&organization_id=1", "?location_id=&organization_id"} {
		if got := want(t, s, http.StatusOK, get("/api/hosts"+query)); got["total"] != 2.0 {
			t.Errorf("%s: %v", query, fmt.Sprint(got["total"]))
		}
	}
}
