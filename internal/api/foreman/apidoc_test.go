package foreman_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"drover/internal/api/apitest"
)

type apidoc struct {
	Docs struct {
		Resources map[string]struct {
			Methods []struct {
				Name string
				Apis []struct {
					URL    string `json:"api_url"`
					Method string `json:"http_method"`
					Short  string `json:"short_description"`
				}
				Params   []apidocParam
				Examples []any
			}
		}
	}
}

type apidocParam struct {
	Name, FullName, Validator string
	Description               *string
	Required                  bool
	AllowNil                  bool   `json:"allow_nil"`
	Type                      string `json:"expected_type"`
	Full                      string `json:"full_name"`
	Params                    []apidocParam
}

func loadApidoc(t *testing.T, s *apitest.Service, path string) (apidoc, string) {
	t.Helper()
	a := s.Do(apitest.Request{Method: "GET", Path: path})
	var doc apidoc
	if err := json.Unmarshal([]byte(a.Body), &doc); a.Status != 200 || err != nil {
		t.Fatalf("%s: %d %v", path, a.Status, err)
	}
	return doc, a.Header.Get("Apipie-Checksum")
}

func TestApidoc_Checksum(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	a := s.Do(apitest.Request{Method: "GET", Path: "/apidoc/apipie_checksum"})
	sum, _ := decoded(a)["checksum"].(string)
	if sum == "" || sum != a.Header.Get("Apipie-Checksum") || strings.ContainsAny(sum, "/.: ") {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	first := s.Do(apitest.Request{Method: "GET", Path: "/apidoc/v2.json"}).Body
	for _, path := range []string{"/apidoc/v2.json", "/apidoc/v2.en.json", "/apidoc/v2.pt_BR.json", "/apidoc/v2"} {
		b := s.Do(apitest.Request{Method: "GET", Path: path})
		if b.Status != 200 || b.Body != first || b.Header.Get("Apipie-Checksum") != sum {
			t.Errorf("%s: %d, %s", path, b.Status, b.Header.Get("Apipie-Checksum"))
		}
	}
	for _, q := range []apitest.Request{get("/api/status"), get("/api/hosts/77"), {Method: "GET", Path: "/api/hosts"}} {
		if got := s.Do(q).Header.Get("Apipie-Checksum"); got != sum {
			t.Errorf("%s: checksum %q", q.Path, got)
		}
	}
	other := apitest.Start(t, apitest.Options{})
	if b := other.Do(apitest.Request{Method: "GET", Path: "/apidoc/apipie_checksum"}); b.Body != a.Body {
		t.Error("another process has another checksum")
	}
	if b := s.Do(apitest.Request{Method: "GET", Path: "/apidoc/v3.json", User: apitest.Admin}); b.Status != 404 {
		t.Errorf("v3: %d", b.Status)
	}
}

// What real clients were seen to need in the description.
func TestApidoc_HasWhatClientsNeed(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	doc, _ := loadApidoc(t, s, "/apidoc/v2.json")
	for _, stub := range strings.Fields("architectures compute_resources domains foreman_tasks hostgroups locations media operatingsystems organizations " +
		"provisioning_templates ptables roles smart_proxies subnets usergroups users") {
		if r, ok := doc.Docs.Resources[stub]; !ok || r.Methods == nil {
			t.Errorf("no resource %s", stub)
		}
	}
	table, err := os.ReadFile("testdata/apidoc.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		words := strings.Fields(line)
		if len(words) < 4 || words[0] == "#" {
			continue
		}
		resource, action, method, url, params := words[0], words[1], words[2], words[3], words[4:]
		found := false
		for _, m := range doc.Docs.Resources[resource].Methods {
			for _, api := range m.Apis {
				if m.Name != action || api.Method != method || api.URL != url {
					continue
				}
				found = true
				for _, p := range params {
					if !slices.Contains(written(m.Params), p) {
						t.Errorf("%s.%s has no parameter %s: %s", resource, action, p, strings.Join(written(m.Params), " "))
					}
				}
			}
		}
		if !found {
			t.Errorf("no %s.%s %s %s", resource, action, method, url)
		}
	}
}

// written are parameters as testdata/apidoc.txt writes them: full name, type, !
// when required, ? when null is allowed.
func written(params []apidocParam) []string {
	var out []string
	for _, p := range params {
		w := p.Full + ":" + p.Type[:1]
		if p.Required {
			w += "!"
		}
		if p.AllowNil {
			w += "?"
		}
		out = append(append(out, w), written(p.Params)...)
	}
	return out
}

// The rules that hold for every method and every parameter.
func TestApidoc_IsWellFormed(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	doc, _ := loadApidoc(t, s, "/apidoc/v2.json")
	methods := 0
	for name, r := range doc.Docs.Resources {
		seen := map[string]bool{}
		for _, m := range r.Methods {
			methods++
			where := name + "." + m.Name
			if seen[m.Name] || len(m.Apis) == 0 || m.Examples == nil || m.Params == nil {
				t.Errorf("%s: twice, or nothing in it", where)
			}
			seen[m.Name] = true
			for _, api := range m.Apis {
				if api.Short == "" || !strings.HasPrefix(api.URL, "/api") && !strings.HasPrefix(api.URL, "/foreman_tasks/api/") {
					t.Errorf("%s: %+v", where, api)
				}
				for _, part := range strings.Split(api.URL, "/") {
					if strings.HasPrefix(part, ":") && !slices.ContainsFunc(m.Params, func(p apidocParam) bool { return p.Name == part[1:] }) {
						t.Errorf("%s: %s has no parameter %s", where, api.URL, part)
					}
				}
			}
			wellFormed(t, where, m.Params)
			var flat []string
			for _, w := range written(m.Params) {
				n, _, _ := strings.Cut(w, ":")
				flat = append(flat, strings.TrimSuffix(n[strings.LastIndex(n, "[")+1:], "]"))
			}
			slices.Sort(flat)
			if name != "hosts" && len(slices.Compact(slices.Clone(flat))) != len(flat) && m.Name != "clone" {
				t.Errorf("%s: a client cannot tell parameters of one name apart: %v", where, flat)
			}
		}
	}
	if methods < 40 {
		t.Errorf("%d methods", methods)
	}
}

func wellFormed(t *testing.T, where string, params []apidocParam) {
	t.Helper()
	for _, p := range params {
		if p.Description == nil || p.Validator == "" || !slices.Contains([]string{"string", "numeric", "boolean", "hash", "array", "any_type"}, p.Type) {
			t.Errorf("%s: %+v", where, p)
		}
		wellFormed(t, where, p.Params)
	}
}
