package enms

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/dispatch"
	"drover/internal/job"
)

var someTime = time.Date(2026, 11, 21, 20, 43, 28, 318589000, time.UTC)

// with gives a model one stored object, or none.
func with[V, In any](m *model[V, In], v *V) *model[V, In] {
	m.load = func(_ context.Context, _ job.Principal, name string) (V, error) {
		if v != nil && m.meta(*v).Name == name {
			return *v, nil
		}
		var none V
		return none, job.Errorf(job.NotFound, "none")
	}
	return m
}

func try[V, In any](m *model[V, In], body string) (In, error) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &given); err != nil {
		panic(err)
	}
	name, _ := text("name", given["name"])
	return m.edit(context.Background(), job.Principal{Name: "ops"}, someTime, name, given)
}

// shown returns an answer as a caller decodes it.
func shown(t *testing.T, v map[string]any) map[string]any {
	t.Helper()
	b, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func wantAll(t *testing.T, got map[string]any, want map[string]any) {
	t.Helper()
	for k, w := range want {
		if diff := cmp.Diff(w, got[k]); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
	}
}

// input shows an input as JSON, for comparing.
func input(t *testing.T, in any) string {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDevice_BothWays(t *testing.T) {
	v := deviceView{Device: job.Device{
		Meta:    job.Meta{ID: 7, Tenant: "t", Name: "R1", Created: someTime, CreatedBy: "a", Updated: someTime, UpdatedBy: "b"},
		Address: "10.0.0.1", Port: 2222, Platform: "linux", Labels: map[string]string{"site": "lab"}, HostKey: job.HostKeyStrict, LegacyAlgorithms: true,
		Description: "d", Vendor: "V", Model: "M", Location: "L", OperatingSystem: "EOS", OSVersion: "1",
	}, Credential: "lab", Jump: "J", Pools: []string{"P1", "P2"}}
	got := shown(t, deviceModel(nil).show(v, true))
	wantAll(t, got, map[string]any{
		"id": 7.0, "type": "device", "name": "R1", "creator": "a", "last_modified": "2026-11-21 20:43:28.318589", "last_modified_by": "b",
		"ip_address": "10.0.0.1", "port": 2222.0, "platform": "linux", "labels": map[string]any{"site": "lab"}, "host_key": "strict",
		"legacy_algorithms": true, "description": "d", "vendor": "V", "model": "M", "location": "L", "operating_system": "EOS", "os_version": "1",
		"credential": "lab", "gateways": []any{"J"}, "pools": []any{"P1", "P2"},
		"icon": "router", "subtype": "", "latitude": "0.0", "longitude": "0.0", "netmiko_driver": "cisco_ios", "napalm_driver": "ios",
		"scrapli_driver": "cisco_iosxe", "netconf_driver": "default", "last_configuration_status": "Never", "last_operational_data_duration": "Never",
	})
	// And back: what GET answers can be sent as it is.
	body := got
	in, err := try(with(deviceModel(nil), nil), string(mustEncode(body)))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"R1","address":"10.0.0.1","port":2222,"platform":"linux","credential":"lab","pools":["P1","P2"],"labels":{"site":"lab"},` +
		`"host_key":"strict","jump":"J","legacy_algorithms":true,"description":"d","vendor":"V","model":"M","location":"L","operating_system":"EOS","os_version":"1",` +
		`"extra":{"enms":{"icon":"router","latitude":"0.0","longitude":"0.0","napalm_driver":"ios","netconf_driver":"default","netmiko_driver":"cisco_ios","scrapli_driver":"cisco_iosxe","subtype":""}}}`
	if diff := cmp.Diff(want, input(t, in)); diff != "" {
		t.Error(diff)
	}
}

// 84: only what is given changes, and what only eNMS knows comes back.
func TestDevice_UpdatesOnlyWhatIsGiven(t *testing.T) {
	old := deviceView{Device: job.Device{Meta: job.Meta{Name: "R1", Extra: map[string]json.RawMessage{"enms": json.RawMessage(`{"icon":"switch","subtype":"x"}`)}}, Vendor: "V"}}
	in, err := try(with(deviceModel(nil), &old), `{"name": "R1", "model": "M", "subtype": "y", "unknown_property": 1, "new_name": "R2"}`)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"R1","new_name":"R2","model":"M","extra":{"enms":{"icon":"switch","subtype":"y"}}}`; input(t, in) != want {
		t.Errorf("got %s", input(t, in))
	}
	in, err = try(with(deviceModel(nil), nil), `{"name": "R1", "ip_address": "10.0.0.1", "new_name": "R2"}`)
	if err != nil || in.Name != "R2" || in.NewName != nil {
		t.Errorf("a new device has its new name from the start: %s %v", input(t, in), err)
	}
}

func TestDevice_Refuses(t *testing.T) {
	for body, field := range map[string]string{
		`{"name": "d", "port": "x"}`:                                 "port",
		`{"name": "d", "port": 22.5}`:                                "port",
		`{"name": "d", "port": []}`:                                  "port",
		`{"name": "d", "vendor": {}}`:                                "vendor",
		`{"name": "d", "vendor": true}`:                              "vendor",
		`{"name": "d", "pools": 5}`:                                  "pools",
		`{"name": "d", "gateways": ["a", "b"]}`:                      "gateways",
		`{"name": "d", "labels": []}`:                                "labels",
		`{"name": "d", "labels": {"a": []}}`:                         "labels.a",
		`{"name": "d", "type": "link"}`:                              "type",
		`{"name": "d", "configuration": "text"}`:                     "configuration",
		`{"name": "d", "icon": ["router"]}`:                          "icon",
		`{"name": "d", "icon": "` + strings.Repeat("x", 5000) + `"}`: "icon",
		`{"name": "d", "new_name": []}`:                              "new_name",
	} {
		_, err := try(with(deviceModel(nil), nil), body)
		if e, ok := err.(*job.Error); !ok || e.Field != field || statuses[e.Code] != 400 {
			t.Errorf("%.60s: %v", body, err)
		}
	}
}

// 92: conditions and criteria are the same thing, both ways.
func TestPool_Criteria(t *testing.T) {
	for _, c := range []struct {
		body string
		want []job.Criterion
	}{
		{`{"name": "p", "device_name": "^dc1-", "device_name_match": "regex"}`, []job.Criterion{{Field: "name", Op: job.OpRegex, Value: "^dc1-"}}},
		{`{"name": "p", "device_ip_address": "10."}`, []job.Criterion{{Field: "address", Op: job.OpContains, Value: "10."}}},
		{`{"name": "p", "device_vendor": "Arista", "device_vendor_match": "equality", "device_vendor_invert": true}`, []job.Criterion{{Field: "vendor", Op: job.OpEquals, Value: "Arista", Invert: true}}},
		{`{"name": "p", "device_model": "", "device_model_match": "empty"}`, []job.Criterion{{Field: "model", Op: job.OpEmpty}}},
		{`{"name": "p", "device_port": 22, "device_port_match": "equality"}`, []job.Criterion{{Field: "port", Op: job.OpEquals, Value: "22"}}},
		{`{"name": "p", "device_labels.site": "lab", "device_labels.site_match": "equality"}`, []job.Criterion{{Field: "labels.site", Op: job.OpEquals, Value: "lab"}}},
		{`{"name": "p", "device_location": "x", "device_os_version": "1", "device_icon": "", "device_icon_match": "inclusion"}`,
			[]job.Criterion{{Field: "location", Op: job.OpContains, Value: "x"}, {Field: "os_version", Op: job.OpContains, Value: "1"}}},
		{`{"name": "p", "device_name": "", "device_name_match": "inclusion"}`, []job.Criterion{}},
	} {
		in, err := try(with(poolModel(nil), nil), c.body)
		if err != nil || in.Match == nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if got, want := fmt.Sprint(*in.Match), fmt.Sprint(c.want); got != want {
			t.Errorf("%s: got %s, want %s", c.body, got, want)
		}
		// And back, and back again.
		v := poolView{Pool: job.Pool{Meta: job.Meta{Name: "p"}, Match: c.want}}
		again, err := try(with(poolModel(nil), nil), string(mustEncode(shown(t, poolModel(nil).show(v, false)))))
		if err != nil {
			t.Errorf("%s: back: %v", c.body, err)
			continue
		}
		sortCriteria := func(cs []job.Criterion) string {
			cs = slices.Clone(cs)
			slices.SortFunc(cs, func(a, b job.Criterion) int { return strings.Compare(a.Field, b.Field) })
			return fmt.Sprint(cs)
		}
		if len(c.want) > 0 && (again.Match == nil || sortCriteria(*again.Match) != sortCriteria(c.want)) {
			t.Errorf("%s: back: %v", c.body, again.Match)
		}
	}
}

func TestPool_ChangesOneConditionOnly(t *testing.T) {
	old := poolView{Pool: job.Pool{Meta: job.Meta{Name: "p"}, Match: []job.Criterion{
		{Field: "name", Op: job.OpRegex, Value: "^a"}, {Field: "vendor", Op: job.OpEquals, Value: "V", Invert: true}}}}
	in, err := try(with(poolModel(nil), &old), `{"name": "p", "device_vendor": "W"}`)
	if err != nil || fmt.Sprint(*in.Match) != "[{name regex ^a false} {vendor equals W true}]" {
		t.Errorf("%v %v", in.Match, err)
	}
	in, err = try(with(poolModel(nil), &old), `{"name": "p", "description": "d"}`)
	if err != nil || in.Match != nil {
		t.Errorf("criteria were touched: %v %v", in.Match, err)
	}
	in, err = try(with(poolModel(nil), &old), `{"name": "p", "manually_defined": true, "devices": ["R1"]}`)
	if err != nil || in.Match == nil || len(*in.Match) != 0 || fmt.Sprint(*in.Devices) != "[R1]" {
		t.Errorf("%v %v", in.Match, err)
	}
}

func TestPool_Refuses(t *testing.T) {
	for body, field := range map[string]string{
		`{"name": "p", "device_name": "x", "device_name_match": "like"}`:    "device_name_match",
		`{"name": "p", "device_name": []}`:                                  "device_name",
		`{"name": "p", "device_configuration": "x"}`:                        "device_configuration",
		`{"name": "p", "device_icon_match": "empty"}`:                       "device_icon_match",
		`{"name": "p", "link_name": "x"}`:                                   "link_name",
		`{"name": "p", "links": ["l"]}`:                                     "links",
		`{"name": "p", "manually_defined": true, "device_name": "x"}`:       "manually_defined",
		`{"name": "p", "manually_defined": false, "devices": ["R1"]}`:       "devices",
		`{"name": "p", "device_name": "` + strings.Repeat("x", 3000) + `"}`: "device_name",
	} {
		_, err := try(with(poolModel(nil), nil), body)
		if e, ok := err.(*job.Error); !ok || e.Field != field || statuses[e.Code] != 400 {
			t.Errorf("%.60s: %v", body, err)
		}
	}
}

func TestPool_Manual(t *testing.T) {
	for name, c := range map[string]struct {
		match []job.Criterion
		extra string
		want  bool
	}{
		"named":               {nil, `{}`, true},
		"criteria":            {[]job.Criterion{{}}, `{}`, false},
		"said so":             {nil, `{"manually_defined": true}`, true},
		"dynamic and empty":   {nil, `{"manually_defined": false}`, false},
		"criteria say more":   {[]job.Criterion{{}}, `{"manually_defined": true}`, false},
		"what cannot be read": {nil, `5`, true},
	} {
		v := poolView{Pool: job.Pool{Meta: job.Meta{Extra: map[string]json.RawMessage{"enms": json.RawMessage(c.extra)}}, Match: c.match}}
		if got := poolModel(nil).show(v, true)["manually_defined"]; got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCredential_NeverShowsASecret(t *testing.T) {
	v := credentialView{Meta: job.Meta{Name: "c"}, Username: "u", HasPassword: true, HasPrivateKey: true, HasPassphrase: true, HasBecomePassword: true}
	got := shown(t, credentialModel(nil).show(v, true))
	wantAll(t, got, map[string]any{"username": "u", "subtype": "key", "role": "read-write", "priority": 1.0, "type": "credential"})
	for name := range got {
		if secretName(name) {
			t.Errorf("%s in an answer", name)
		}
	}
	in, err := try(with(credentialModel(nil), nil), `{"name": "c", "username": "u", "password": "p", "private_key": "k", "passphrase": "f", "enable_password": "e"}`)
	if err != nil || in.Password.Reveal() != "p" || in.PrivateKey.Reveal() != "k" || in.Passphrase.Reveal() != "f" || in.BecomePassword.Reveal() != "e" {
		t.Errorf("%v", err)
	}
	if _, err := try(with(credentialModel(nil), nil), `{"name": "c", "device_pools": ["P"]}`); err == nil {
		t.Error("device_pools was accepted")
	}
}

func TestUser_Roles(t *testing.T) {
	user := func(r job.Role) *job.User {
		return &job.User{Meta: job.Meta{Name: "u"}, Role: r, PasswordHash: "CANARY"}
	}
	for _, c := range []struct {
		now  *job.User
		body string
		want string // "": not touched
	}{
		{nil, `{"name": "u"}`, "operator"},
		{nil, `{"name": "u", "is_admin": true}`, "admin"},
		{nil, `{"name": "u", "is_admin": false}`, "operator"},
		{nil, `{"name": "u", "role": "viewer"}`, "viewer"},
		{nil, `{"name": "u", "role": "viewer", "is_admin": false}`, "viewer"},
		{user(job.Viewer), `{"name": "u", "is_admin": false}`, ""},
		{user(job.Admin), `{"name": "u", "is_admin": false}`, "operator"},
		{user(job.Viewer), `{"name": "u", "email": "x"}`, ""},
	} {
		in, err := try(with(userModel(nil), c.now), c.body)
		got := ""
		if in.Role != nil {
			got = *in.Role
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v", c.body, got, err)
		}
	}
	if _, err := try(with(userModel(nil), nil), `{"name": "u", "role": "viewer", "is_admin": true}`); err == nil {
		t.Error("a contradiction was accepted")
	}
	if _, err := try(with(userModel(nil), user(job.Viewer)), `{"name": "u", "new_name": "v"}`); err == nil {
		t.Error("a rename was accepted")
	}
	got := shown(t, userModel(nil).show(*user(job.Admin), true))
	wantAll(t, got, map[string]any{"name": "u", "type": "user", "is_admin": true, "role": "admin", "email": ""})
	if strings.Contains(fmt.Sprint(got), "CANARY") {
		t.Error("the hash is in an answer")
	}
}

// An error of the inventory blames the field by eNMS's name for it.
func TestReason_UsesTheirNames(t *testing.T) {
	m := shellScriptModel(nil)
	for _, c := range []struct {
		err  error
		want string
	}{
		{job.FieldErrorf("body", "a body is required"), "source_code: a body is required"},
		{job.FieldErrorf("concurrency", "too many"), "concurrency: too many"},
		{job.FieldErrorf("devices", "there is no device named %q", "x"), `target_devices: there is no device named "x"`},
		{job.FieldErrorf("name", "Names cannot contain a slash or a quote."), "Names cannot contain a slash or a quote."},
		{job.Errorf(job.Conflict, "busy"), "busy"},
		{fmt.Errorf("secret detail"), "internal error"},
	} {
		if got := m.reason(c.err); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if got := deviceModel(nil).reason(job.FieldErrorf("address", "no")); got != "ip_address: no" {
		t.Errorf("got %q", got)
	}
}

// The items of one request stand alone, in order, and an item that names an
// earlier one sees it saved.
func TestPost_ItemsStandAlone(t *testing.T) {
	m := deviceModel(nil)
	var calls [][]string
	saved := map[string]bool{}
	m.load = func(_ context.Context, _ job.Principal, name string) (deviceView, error) {
		if saved[name] {
			return deviceView{Device: job.Device{Meta: job.Meta{Name: name}}}, nil
		}
		return deviceView{}, job.Errorf(job.NotFound, "none")
	}
	m.save = func(_ context.Context, _ job.Principal, in []deviceIn) ([]dispatch.Outcome, error) {
		var names []string
		out := make([]dispatch.Outcome, len(in))
		for i, d := range in {
			names = append(names, d.Name)
			out[i].Name = d.Name
			if d.NewName != nil {
				out[i].Name = *d.NewName
			}
			if d.Name == "bad" {
				out[i].Err = job.FieldErrorf("address", "no")
			}
			saved[out[i].Name] = true
		}
		calls = append(calls, names)
		return out, nil
	}
	items, err := decodeItems([]byte(`[{"name": "a"}, {"ip_address": "1.1.1.1"}, {"name": "bad"}, {"name": "a", "new_name": "b"}, {"name": "c", "port": "x"}, {"name": "b", "model": "m"}]`))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.post(context.Background(), job.Principal{}, someTime, items); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range items {
		got = append(got, it.success+"|"+it.failure)
	}
	want := []string{"a|", "|Name is missing", "|ip_address: no", "b|", "|port: want a whole number", "b|"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if fmt.Sprint(calls) != "[[a bad] [a] [b]]" {
		t.Errorf("calls: %v", calls)
	}
}
