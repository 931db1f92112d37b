package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"drover/internal/inventory"
	"drover/internal/job"
)

// sample is the file of the documentation, with every section.
const sample = `credentials:
  - {name: lab, username: drover, password: drover}
devices:
  - {name: R1, address: 127.1.0.1, port: 2222, platform: linux, credential: lab, pools: [Pool1], labels: {site: lab}, host_key: accept-new}
  - {name: R2, address: r2.example, jump: R1, ssh_algorithms: legacy}
pools:
  - {name: Pool1}
  - {name: Edge, match: [{field: labels.site, op: equals, value: lab}, {field: model, op: empty, invert: true}]}
  - {name: Lab, query: params.site = lab and not os ~ windows}
services:
  - name: hello
    type: script
    body: echo {{ payload["aid"] }} from {{ device.name }}
    targets: {pools: [Pool1], devices: [R2]}
    timeout: 30s
    concurrency: 50
    retries: {count: 1, wait: 2s}
    on_unknown: report
    stop_after: 10%
    run_timeout: 1h
    become: {user: root, method: su}
    payload: {aid: 1, deep: {list: [1.5, true, null, "x"]}}
users:
  - {name: ops, role: operator, password_env: OPS_PASSWORD}
`

func options() Options {
	return Options{
		Env: func(name string) (string, bool) { return "from " + name, name == "OPS_PASSWORD" },
		ReadFile: func(name string) ([]byte, error) {
			if name != "secret.txt" {
				return nil, errors.New("no such file")
			}
			return []byte("from a file\r\n"), nil
		},
	}
}

func TestParse_Sample(t *testing.T) {
	f, err := Parse([]byte(sample), options())
	if err != nil {
		t.Fatal(err)
	}
	in := f.Inputs()
	if len(in.Credentials) != 1 || len(in.Devices) != 2 || len(in.Pools) != 3 || len(in.Services) != 1 || len(in.Users) != 1 {
		t.Fatalf("%+v", in)
	}
	d, s := in.Devices[0], in.Services[0]
	if d.Name != "R1" || *d.Port != 2222 || !slices.Equal(*d.Pools, []string{"Pool1"}) || (*d.Labels)["site"] != "lab" || d.LegacyAlgorithms != nil {
		t.Errorf("%+v", d)
	}
	if !*in.Devices[1].LegacyAlgorithms {
		t.Errorf("%+v", in.Devices[1])
	}
	if s.Timeout.String() != "30s" || *s.RetryCount != 1 || s.RetryWait.String() != "2s" || *s.BecomeUser != "root" || *s.BecomeMethod != "su" ||
		string(*s.Payload) != `{"aid":1,"deep":{"list":[1.5,true,null,"x"]}}` {
		t.Errorf("%+v %s", s, *s.Payload)
	}
	if *s.StopAfter != (job.StopAfter{Percent: 10}) || s.RunTimeout.String() != "1h0m0s" || *in.Pools[2].Query != "params.site = lab and not os ~ windows" {
		t.Errorf("%+v %v %v", s.StopAfter, s.RunTimeout, in.Pools[2])
	}
	if in.Users[0].Password.Reveal() != "from OPS_PASSWORD" || in.Credentials[0].Password.Reveal() != "drover" {
		t.Error("a secret is not what the file says")
	}
	if c := (*in.Pools[1].Match)[1]; c != (job.Criterion{Field: "model", Op: job.OpEmpty, Invert: true}) {
		t.Errorf("%+v", c)
	}
}

func TestParse_JSONIsTheSame(t *testing.T) {
	var tree any
	if err := yaml.Unmarshal([]byte(sample), &tree); err != nil {
		t.Fatal(err)
	}
	body, err := json.MarshalIndent(tree, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	a, err := Parse([]byte(sample), options())
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse(body, options())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a.Document, b.Document) {
		t.Errorf("%+v\n%+v", a.Document, b.Document)
	}
	// Escapes that only JSON has.
	c, err := Parse([]byte(`{"services":[{"name":"s","body":"echo \ud83d\ude00 \/"}]}`), Options{})
	if err != nil || *c.Services[0].Body != "echo 😀 /" {
		t.Errorf("%v", err)
	}
}

// TestEncode_IsReadBack: what import sends is what the file says, in parts
// that each stand alone.
func TestEncode_IsReadBack(t *testing.T) {
	f, err := Parse([]byte(sample), options())
	if err != nil {
		t.Fatal(err)
	}
	body, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(body, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(f.Document, back.Document) {
		t.Errorf("%s", body)
	}
}

func TestParts_KeepTheOrderOfReferences(t *testing.T) {
	var text strings.Builder
	text.WriteString("pools: [{name: P}]\ndevices:\n")
	const n = 1201
	for i := range n { // every device is reached through the one after it
		jump := ""
		if i < n-1 {
			jump = fmt.Sprintf(", jump: D%d", i+1)
		}
		fmt.Fprintf(&text, "  - {name: D%d, address: 10.0.0.1, pools: [P]%s}\n", i, jump)
	}
	text.WriteString("services: [{name: s, body: 'true', targets: {devices: [D0]}}]\nusers: [{name: u, role: viewer, password: x}]\n")
	f, err := Parse([]byte(text.String()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := f.Parts()
	if err != nil || len(parts) < 3 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	known := map[string]bool{}
	for _, part := range parts {
		p, err := Parse(part, Options{})
		if err != nil {
			t.Fatal(err)
		}
		needs := p.Needs()
		for _, name := range slices.Concat(needs.Devices, needs.Pools, needs.Credentials) {
			if !known[name] {
				t.Fatalf("%s is mentioned before it is sent", name)
			}
		}
		for _, in := range p.Inputs().Devices {
			known[in.Name] = true
		}
		for _, in := range p.Inputs().Pools {
			known[in.Name] = true
		}
	}
	if len(known) != n+1 {
		t.Errorf("%d things were sent", len(known))
	}
}

func TestParse_SaysWhereAndWhat(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"not YAML":         {"devices:\n  - {name: R1\n  - {name: R2}\n", []string{"line 2, column 1: this is not valid YAML: did not find expected ',' or '}'"}},
		"bad indent":       {"devices:\n  - name: R1\n   port: 3\n", []string{"line 2, column 1: this is not valid YAML: did not find expected '-' indicator"}},
		"bad character":    {"devices:\n  - name: @x\n", []string{"line 2, column 1: this is not valid YAML: found character that cannot start any token"}},
		"a tab":            {"pools: []\ndevices:\n\t- name: x\n", []string{"line 3, column 1: this is not valid YAML: found character that cannot start any token"}},
		"no end of quotes": {"pools: []\ndevices:\n  - name: 'x\n", []string{"line 3, column 1: this is not valid YAML: found unexpected end of stream"}},
		"not UTF-8":        {"devices:\n  - \xff", []string{"line 2, column 5: the file is not valid UTF-8"}},
		"a list":           {"- a", []string{"line 1, column 1: is a list; want fields with values"}},
		"two documents":    {"pools: []\n---\npools: []\n", []string{"line 2, column 1: a second document begins here; a fleet file is one"}},
		"unknown section":  {"device:\n  - {name: R1}", []string{`line 1, column 1: device: there is no such field; did you mean "devices"?`}},
		"unknown field": {"devices:\n  - {name: R1, adress: 10.0.0.1}", []string{
			`line 2, column 16: devices[0].adress: there is no such field; did you mean "address"?`}},
		"unknown nested field": {"services:\n  - {name: s, body: x, retries: {cuont: 3}}", []string{
			`line 2, column 34: services[0].retries.cuont: there is no such field; did you mean "count"?`}},
		"far from any field":  {"devices:\n  - {name: R1, address: a, foobarbaz: 1}", []string{"line 2, column 28: devices[0].foobarbaz: there is no such field"}},
		"field twice":         {"pools:\n  - name: A\n    name: B\n", []string{"line 3, column 5: pools[0].name: is given twice"}},
		"field twice in JSON": {`{"pools":[{"name":"A","name":"B"}]}`, []string{"line 1, column 23: pools[0].name: is given twice"}},
		"name twice":          {"pools:\n  - name: A\n  - name: A\n", []string{`line 3, column 11: pools[1].name: "A" is the name of pools[0] already`}},
		"no name":             {"pools:\n  - description: x\n", []string{"line 2, column 5: pools[0].name: is required"}},
		"number for text":     {"devices:\n  - name: 12\n    address: a\n", []string{"line 2, column 11: devices[0].name: is a number; want a text: put it in quotes"}},
		"text for number":     {"devices:\n  - name: R1\n    address: a\n    port: ssh\n", []string{"line 4, column 11: devices[0].port: is a text; want a whole number"}},
		"float for number":    {"devices:\n  - {name: R1, address: a, port: 22.5}\n", []string{"line 2, column 34: devices[0].port: is a number; want a whole number"}},
		"port out of range":   {"devices:\n  - {name: R1, address: a, port: 70000}\n", []string{"line 2, column 34: devices[0].port: 70000 is not between 1 and 65535"}},
		"text for list":       {"devices:\n  - {name: R1, address: a, pools: P}\n", []string{"line 2, column 35: devices[0].pools: is a text; want a list"}},
		"no value":            {"devices:\n  - {name: R1, address: }\n", []string{"line 2, column 16: devices[0].address: has no value: give one, or leave the field out"}},
		"unknown type":        {"services:\n  - {name: s, type: magic, body: x}\n", []string{`line 2, column 21: services[0].type: the service type "magic" is not supported; script is`}},
		"duration":            {"services:\n  - {name: s, body: x, timeout: 30}\n", []string{"line 2, column 33: services[0].timeout: want a time with its unit, such as 30s, 5m or 1h30m"}},
		"retries":             {"services:\n  - {name: s, body: x, retries: {count: -1}}\n", []string{"line 2, column 41: services[0].retries.count: -1 is not between 0 and 100"}},
		"become":              {"services:\n  - {name: s, body: x, become: {method: magic, user: root}}\n", []string{`line 2, column 41: services[0].become.method: "magic" is not one of sudo, su and dzdo`}},
		"criterion":           {"pools:\n  - {name: P, match: [{field: nope, op: equals, value: x}]}\n", []string{`line 2, column 31: pools[0].match[0].field: there is no device field "nope" to compare`}},
		"pattern":             {"pools:\n  - {name: P, match: [{field: name, op: regex, value: '('}]}\n", []string{"line 2, column 55: pools[0].match[0].value: the regular expression cannot be used: error parsing regexp: missing closing ): `(`"}},
		"query": {"pools:\n  - {name: P, query: 'site = lab'}\n", []string{
			"line 2, column 22: pools[0].query: Field 'site' not recognized for searching! (at byte 0)"}},
		"broken query":   {"pools:\n  - {name: P, query: 'name ='}\n", []string{"line 2, column 22: pools[0].query: no value follows '=' (at byte 5)"}},
		"pool of pools":  {"pools:\n  - {name: P, query: 'os ~ x hostgroup = Q'}\n", []string{"line 2, column 22: pools[0].query: Field 'hostgroup' not recognized for searching! (at byte 7)"}},
		"stop after":     {"services:\n  - {name: s, body: x, stop_after: some}\n", []string{"line 2, column 36: services[0].stop_after: want a number of devices, such as 3, or a percentage of them, such as 10%"}},
		"stop after -1":  {"services:\n  - {name: s, body: x, stop_after: -1}\n", []string{"line 2, column 36: services[0].stop_after: -1 is not between 0 and 100000"}},
		"stop after 200": {"services:\n  - {name: s, body: x, stop_after: 200%}\n", []string{"line 2, column 36: services[0].stop_after: want a number of devices, such as 3, or a percentage of them, such as 10%"}},
		"run timeout":    {"services:\n  - {name: s, body: x, run_timeout: 200h}\n", []string{"line 2, column 37: services[0].run_timeout: 200h0m0s is not between 0 and 168h0m0s"}},
		"device in a query": {"devices:\n  - {name: R1, address: a, pools: [P]}\npools: [{name: P, query: name = x}]\n", []string{
			`line 2, column 36: devices[0].pools[0]: the members of pool "P" are computed; a device cannot be put into it`}},
		"host key":   {"devices:\n  - {name: R1, address: a, host_key: sometimes}\n", []string{`line 2, column 38: devices[0].host_key: "sometimes" is neither strict, accept-new nor off, nor a public key`}},
		"algorithms": {"devices:\n  - {name: R1, address: a, ssh_algorithms: old}\n", []string{"line 2, column 44: devices[0].ssh_algorithms: is neither default nor legacy"}},
		"itself":     {"devices:\n  - {name: R1, address: a, jump: R1}\n", []string{"line 2, column 34: devices[0].jump: a device cannot be its own jump host"}},
		"jump circle": {"devices:\n  - {name: R1, address: a, jump: R2}\n  - {name: R2, address: a, jump: R3}\n  - {name: R3, address: a, jump: R1}\n",
			[]string{`line 4, column 34: devices[2].jump: the way through "R1" leads back to this device`}},
		"computed pool":  {"devices:\n  - {name: R1, address: a, pools: [P]}\npools: [{name: P, match: [{field: name, op: equals, value: x}]}]\n", []string{`line 2, column 36: devices[0].pools[0]: the members of pool "P" are computed; a device cannot be put into it`}},
		"two forms":      {"credentials:\n  - {name: c, username: u, password: x, password_env: Y}\n", []string{"line 2, column 38: credentials[0].password: only one of password, password_env and password_file can be given"}},
		"unset variable": {"credentials:\n  - {name: c, username: u, password_env: NOPE}\n", []string{`line 2, column 42: credentials[0].password_env: the environment variable "NOPE" is not set`}},
		"missing file":   {"credentials:\n  - {name: c, username: u, password_file: nope}\n", []string{"line 2, column 43: credentials[0].password_file: cannot be read: no such file"}},
		"not a key":      {"credentials:\n  - {name: c, username: u, private_key: hello}\n", []string{"line 2, column 41: credentials[0].private_key: is not a private key in PEM form"}},
		"role":           {"users:\n  - {name: u, role: king, password: x}\n", []string{`line 2, column 21: users[0].role: "king" is not one of viewer, operator and admin`}},
		"colon":          {"users:\n  - {name: 'a:b', role: admin, password: x}\n", []string{"line 2, column 12: users[0].name: the name of a user cannot contain a colon"}},
		"payload":        {"services:\n  - {name: s, body: x, payload: [1]}\n", []string{"line 2, column 33: services[0].payload: must be a JSON object"}},
		"several": {"devices:\n  - {name: R1, address: a, port: 0}\n  - {name: R/2, address: b}\nusers:\n  - {name: u}\n", []string{
			"line 2, column 34: devices[0].port: 0 is not between 1 and 65535", "line 3, column 12: devices[1].name: Names cannot contain a slash or a quote.", "line 5, column 5: users[0].role: is required"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse([]byte(c.file), options())
			var bad *Error
			if !errors.As(err, &bad) || f != nil {
				t.Fatalf("%v", err)
			}
			if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, c.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func TestParse_ReportsTwentyAtOnce(t *testing.T) {
	_, err := Parse([]byte("pools:\n"+strings.Repeat("  - {nam: x}\n", 30)), Options{})
	var bad *Error
	if !errors.As(err, &bad) || len(bad.Problems) != MaxProblems || bad.More != 30-MaxProblems {
		t.Fatalf("%v", err)
	}
	if !strings.HasSuffix(err.Error(), "and 10 more") {
		t.Error(err)
	}
}

func TestParse_Anchors(t *testing.T) {
	f, err := Parse([]byte(`devices:
  - &base {name: R1, address: a, port: 2222, labels: {site: x}}
  - {<<: *base, name: R2, labels: {role: y}}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := f.Devices[1]
	if *d.Name != "R2" || *d.Port != 2222 || len(*d.Labels) != 1 || (*d.Labels)["role"] != "y" {
		t.Errorf("%+v", d)
	}
}

// TestParse_AliasBomb: a few lines that stand for billions of values.
func TestParse_AliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("services:\n  - name: s\n    body: x\n    payload:\n      l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "      l%d: &l%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", i-1), 10), ", "))
	}
	_, err := Parse([]byte(b.String()), Options{})
	if err == nil || !strings.Contains(err.Error(), "once its aliases are followed") {
		t.Errorf("%.300v", err)
	}
	for _, deep := range []string{"services: " + strings.Repeat("[", 5000), `{"services":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}",
		"x: &a\n  y: *a\n", "devices:\n  - &a {<<: *a, name: x}\n"} {
		if _, err := Parse([]byte(deep), Options{}); err == nil {
			t.Errorf("%.20q was taken", deep)
		}
	}
}

func TestParse_EmptyIsNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "{}", "devices:\npools: []\n", "null"} {
		f, err := Parse([]byte(text), Options{})
		if err != nil || len(f.Devices)+len(f.Pools) != 0 {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSecrets_AreInNoMessage(t *testing.T) {
	const canary = "cAnArY"
	for _, text := range []string{
		"credentials:\n  - {name: c, username: u, pasword: " + canary + "}\n",
		"credentials:\n  - {name: c, username: u, password: [" + canary + "]}\n",
		"credentials:\n  - {name: c, username: u, private_key: " + canary + "}\n",
		"credentials:\n  - {name: c, username: u, password: \"" + canary + "\\n\"}\n",
		"credentials:\n  - {name: c, username: u, passphrase: " + canary + "}\n",
		"users:\n  - {name: u, role: viewer, password: {x: " + canary + "}}\n",
	} {
		_, err := Parse([]byte(text), Options{})
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%v", err)
		}
	}
	f, err := Parse([]byte("credentials:\n  - {name: c, username: u, password: "+canary+"}\n"), Options{})
	if err != nil || strings.Contains(fmt.Sprintf("%+v %v %s", f.Inputs(), *f.Credentials[0].Password, mustJSON(t, f.Document)), canary) {
		t.Errorf("%v", err)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSecrets_FromElsewhere(t *testing.T) {
	f, err := Parse([]byte("credentials:\n  - {name: c, username: u, password_file: secret.txt, become_password_env: OPS_PASSWORD}\n"), options())
	if err != nil {
		t.Fatal(err)
	}
	c := f.Credentials[0]
	if c.Password.Reveal() != "from a file" || c.BecomePassword.Reveal() != "from OPS_PASSWORD" || c.PasswordFile != nil {
		t.Errorf("%+v", c)
	}
}

func TestJudge(t *testing.T) {
	f, err := Parse([]byte(`devices:
  - {name: R1, address: a, credential: c1, jump: J, pools: [P, Own]}
pools:
  - {name: Own}
  - {name: M, match: [{field: name, op: equals, value: x}]}
  - {name: N, query: name = x}
  - {name: S, query: ''}
services:
  - {name: s, body: x, credential: c2, targets: {devices: [R1, R9], pools: [M, Q]}}
users:
  - {name: u, role: viewer}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := f.Needs()
	want := Needs{References: inventory.References{Devices: []string{"J", "R9"}, Pools: []string{"P", "Q"}, Credentials: []string{"c1", "c2"}},
		Users: []string{"u"}, StaticPools: []string{"Own", "P"}, MatchedPools: []string{"M", "N"}}
	if !reflect.DeepEqual(n, want) {
		t.Errorf("%+v", n)
	}
	if err := f.Judge(Found{}); err != nil {
		t.Error(err)
	}
	err = f.Judge(Found{Missing: n.References, MissingUsers: n.Users, ComputedPools: []string{"Own"}, FilledPools: []string{"M", "N"}})
	wantText := `line 2, column 40: devices[0].credential: there is no credential named "c1", neither in the file nor in the installation
line 2, column 50: devices[0].jump: there is no device named "J", neither in the file nor in the installation
line 2, column 61: devices[0].pools[0]: there is no pool named "P", neither in the file nor in the installation
line 2, column 64: devices[0].pools[1]: the members of pool "Own" are computed; a device cannot be put into it
line 5, column 22: pools[1].match: devices have been put into the pool "M"; take them out before it gets criteria
line 6, column 22: pools[2].query: devices have been put into the pool "N"; take them out before it gets criteria
line 9, column 36: services[0].credential: there is no credential named "c2", neither in the file nor in the installation
line 9, column 64: services[0].targets.devices[1]: there is no device named "R9", neither in the file nor in the installation
line 9, column 80: services[0].targets.pools[1]: there is no pool named "Q", neither in the file nor in the installation
line 11, column 5: users[0].password: a new user needs a password`
	if err == nil || err.Error() != wantText {
		t.Errorf("%v", err)
	}
}

func schema(t *testing.T) (*jsonschema.Schema, map[string]any) {
	t.Helper()
	const path = "../../docs/fleet.schema.json"
	s, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	return s, tree
}

// TestSchema_HasTheFields: every field of the structs is in the schema and the
// other way round, with a type that fits.
func TestSchema_HasTheFields(t *testing.T) {
	_, tree := schema(t)
	defs := tree["$defs"].(map[string]any)
	var compare func(path string, node map[string]any, typ reflect.Type)
	compare = func(path string, node map[string]any, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if ref, ok := node["$ref"].(string); ok {
			node = defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
		kind := map[reflect.Kind]string{reflect.String: "string", reflect.Int: "integer", reflect.Bool: "boolean", reflect.Map: "object", reflect.Struct: "object", reflect.Slice: "array"}[typ.Kind()]
		if typ.Kind() == reflect.Int64 {
			kind = "integer"
		}
		if typ == durationType {
			kind = "string"
		}
		if typ == rawType {
			kind = "object"
		}
		if typ == stopType {
			kind = "[integer string]"
		}
		if got := fmt.Sprint(node["type"]); got != kind && got != "["+kind+" null]" {
			t.Errorf("%s: the schema says %s; it is %s", path, got, kind)
		}
		switch {
		case typ == rawType, typ == stopType:
		case typ.Kind() == reflect.Slice:
			compare(path+"[]", node["items"].(map[string]any), typ.Elem())
		case typ.Kind() == reflect.Struct:
			props := node["properties"].(map[string]any)
			if node["additionalProperties"] != false {
				t.Errorf("%s: the schema lets unknown fields through", path)
			}
			names := fieldNames(typ)
			for name := range props {
				if !slices.Contains(names, name) {
					t.Errorf("%s.%s is in the schema only", path, name)
				}
			}
			for i, name := range names {
				prop, ok := props[name].(map[string]any)
				if !ok {
					t.Errorf("%s.%s is not in the schema", path, name)
					continue
				}
				if prop["$ref"] == nil && prop["items"] == nil && prop["description"] == nil {
					t.Errorf("%s.%s has no description", path, name)
				}
				compare(path+"."+name, prop, typ.Field(i).Type)
			}
		}
	}
	compare("file", tree, reflect.TypeFor[Document]())
}

// TestSchema_AgreesWithParse: what one takes the other takes, where a schema
// can tell.
func TestSchema_AgreesWithParse(t *testing.T) {
	s, _ := schema(t)
	const edKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	for _, c := range []struct {
		ok   bool
		file string
	}{
		{true, sample},
		{true, ""},
		{true, "devices:\n"},
		{true, "devices: [{name: a, address: b, host_key: '" + edKey + "'}]"},
		{true, "devices: [{name: a, address: b, labels: {}, pools: [], credential: '', jump: ''}]"},
		{true, "credentials: [{name: a, username: b, password_env: OPS_PASSWORD, become_password_file: secret.txt}]"},
		{true, "pools: [{name: a, match: []}]"},
		{true, "services: [{name: a, body: b, timeout: 1h30m, retries: {}, targets: {}, become: {}, payload: {}}]"},
		{true, "services: [{name: a, body: b, stop_after: 3, run_timeout: 0s}, {name: b, body: b, stop_after: 100%}, {name: c, body: b, stop_after: 0}]"},
		{false, "services: [{name: a, body: b, stop_after: 101%}]"},
		{false, "services: [{name: a, body: b, stop_after: '3'}]"},
		{false, "services: [{name: a, body: b, stop_after: -1}]"},
		{false, "services: [{name: a, body: b, stop_after: 2.5}]"},
		{false, "services: [{name: a, body: b, stop_after: [1]}]"},
		{false, "services: [{name: a, body: b, run_timeout: 3600}]"},
		{true, "pools: [{name: a, query: ''}, {name: b, query: name = c}]"},
		{false, "pools: [{name: a, query: 3}]"},
		{true, "services: [{name: a, body: b, retries: {wait: 0s}, output_limit: 0, disabled: true}]"},
		{false, "[]"},
		{false, "device: []"},
		{false, "devices: {}"},
		{false, "devices: [{name: a}]"},
		{false, "devices: [{address: a}]"},
		{false, "devices: [{name: '', address: a}]"},
		{false, "devices: [{name: a/b, address: a}]"},
		{false, "devices: [{name: a, address: b, port: 0}]"},
		{false, "devices: [{name: a, address: b, port: '22'}]"},
		{false, "devices: [{name: a, address: b, platform: plan9}]"},
		{false, "devices: [{name: a, address: b, host_key: maybe}]"},
		{false, "devices: [{name: a, address: b, labels: {'-x': y}}]"},
		{false, "devices: [{name: a, address: b, labels: {x: 1}}]"},
		{false, "devices: [{name: a, address: b, ssh_algorithms: old}]"},
		{false, "devices: [{name: a, address: b, pools: P}]"},
		{false, "devices: [{name: a, address: b, color: red}]"},
		{false, "credentials: [{name: a}]"},
		{false, "credentials: [{name: a, username: ''}]"},
		{false, "credentials: [{name: a, username: b, password: c, password_env: D}]"},
		{false, "pools: [{name: a, match: [{field: x, op: equals, value: y}]}]"},
		{false, "pools: [{name: a, match: [{field: name, op: like, value: y}]}]"},
		{false, "pools: [{name: a, match: [{field: name, op: equals}]}]"},
		{false, "services: [{name: a}]"},
		{false, "services: [{name: a, body: ' '}]"},
		{false, "services: [{name: a, body: b, type: cli}]"},
		{false, "services: [{name: a, body: b, timeout: 30}]"},
		{false, "services: [{name: a, body: b, timeout: -3s}]"},
		{false, "services: [{name: a, body: b, concurrency: 0}]"},
		{false, "services: [{name: a, body: b, on_unknown: panic}]"},
		{false, "services: [{name: a, body: b, payload: []}]"},
		{false, "services: [{name: a, body: b, output_limit: 99999999}]"},
		{false, "services: [{name: a, body: b, become: {method: doas, user: x}}]"},
		{false, "users: [{name: a}]"},
		{false, "users: [{name: a, role: root}]"},
		{false, "users: [{name: a, role: admin, password: ''}]"},
	} {
		var tree any
		if err := yaml.Unmarshal([]byte(c.file), &tree); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(tree); (err == nil) != c.ok {
			t.Errorf("%s: the schema says %v", c.file, err)
		}
		if _, err := Parse([]byte(c.file), options()); (err == nil) != c.ok {
			t.Errorf("%s: Parse says %v", c.file, err)
		}
	}
}

// TestMeant_IsNear: one letter wrong is always recognised.
func TestMeant_IsNear(t *testing.T) {
	names := fieldNames(reflect.TypeFor[Device]())
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "name")
		i := rapid.IntRange(0, len(name)-1).Draw(t, "at")
		wrong := name[:i] + "#" + name[i+1:]
		if got := meant(wrong, names); got != fmt.Sprintf("; did you mean %q?", name) {
			t.Fatalf("%s: %s", wrong, got)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{sample, `{"devices":[{"name":"R1","address":"a"}]}`, "a: &a [*a]", "<<: {a: b}", "devices: [{name: !!binary x}]", "- - -", "? [a]: b",
		"services: [{name: s, body: x, payload: {a: 0x1f, b: .inf, c: 2001-01-01}}]", "\ufeffpools: []", `{"a":1e999}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data, options())
		if err != nil {
			var bad *Error
			if !errors.As(err, &bad) || len(bad.Problems) == 0 || len(bad.Problems) > MaxProblems || bad.Error() == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		body, err := file.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(body, Options{})
		if err != nil {
			t.Fatalf("what was taken is refused when it is sent: %v\n%s", err, body)
		}
		if again, _ := back.Encode(); string(again) != string(body) {
			t.Fatalf("%s\n%s", body, again)
		}
	})
}
