package foreman

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"
)

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestTimes(t *testing.T) {
	for in, want := range map[string]string{
		"2030-01-01":                    "2030-01-01T00:00:00Z",
		"2030-01-01 10:20":              "2030-01-01T10:20:00Z",
		"2030-01-01 10:20:30 UTC":       "2030-01-01T10:20:30Z",
		"2030-01-01T10:20:30Z":          "2030-01-01T10:20:30Z",
		"2030-01-01T10:20:30.999Z":      "2030-01-01T10:20:30Z",
		"2030-01-01T10:00:00+00:00":     "2030-01-01T10:00:00Z",
		"2030-01-01T10:00:00+02:00":     "2030-01-01T08:00:00Z",
		"2030-01-01 10:00:00 -0500":     "2030-01-01T15:00:00Z",
		" 2030-01-01 10:20:30 ":         "2030-01-01T10:20:30Z",
		"soon":                          "",
		"":                              "",
		"2030-13-01":                    "",
		"2030-02-30":                    "",
		"2030-01-01 25:00":              "",
		"2030-01-01 10:20:30 Mars/Base": "",
		"1893456000":                    "",
	} {
		got, err := parseTime(in)
		if (err != nil) != (want == "") || err == nil && got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q is %v (%v), want %s", in, got, err, want)
		}
	}
	at := time.Date(2023, 11, 27, 21, 15, 8, 608_999_000, time.FixedZone("", 3600))
	if got := stamp(at); got != "2023-11-27 20:15:08 UTC" {
		t.Error(got)
	}
	if got := iso(at); got != "2023-11-27T20:15:08.608Z" {
		t.Error(got)
	}
	if stampOf(nil) != nil || stampOf(&time.Time{}) != nil || stampOf(&at) != stamp(at) {
		t.Error("no moment is null")
	}
}

func TestValue_Boolean(t *testing.T) {
	for in, want := range map[string]string{
		`true`: "true true", `"TRUE"`: "true true", `"t"`: "true true", `"Yes"`: "true true", `"y"`: "true true", `"on"`: "true true", `1`: "true true", `"1"`: "true true",
		`false`: "false true", `"False"`: "false true", `"f"`: "false true", `"no"`: "false true", `"n"`: "false true", `"off"`: "false true", `0`: "false true",
		`""`: "false false", `null`: "false false", `" "`: "false false", `2`: "error", `"maybe"`: "error", `[]`: "error", `{}`: "error",
	} {
		b, given, err := value{raw: json.RawMessage(in)}.boolean()
		got := fmt.Sprint(b, given)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
	if _, given, err := (value{}).boolean(); given || err != nil {
		t.Error("absent is not given")
	}
}

func TestValue_BlankIsNotGiven(t *testing.T) {
	for in, want := range map[string]bool{`null`: true, `""`: true, `"  "`: true, `{}`: true, `[]`: true, `{ }`: true,
		`0`: false, `false`: false, `"x"`: false, `[null]`: false, `{"a":null}`: false} {
		if got := (value{raw: json.RawMessage(in)}).blank(); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
}

func TestValue_Integer(t *testing.T) {
	for in, want := range map[string]string{`5`: "5 true", `"5"`: "5 true", `" 5 "`: "5 true", `-5`: "-5 true", `""`: "0 false", `null`: "0 false",
		`5.5`: "error", `"x"`: "error", `1e3`: "error", `9007199254740992`: "error", `99999999999999999999`: "error", `true`: "error", `[5]`: "error"} {
		n, given, err := value{raw: json.RawMessage(in)}.integer()
		got := fmt.Sprint(n, given)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

func TestObject_KeepsTheOrderAndTheLastOfTwo(t *testing.T) {
	o, err := decodeBody([]byte(`{"z":1,"a":{"y":2},"z":3}`))
	if err != nil || fmt.Sprint(o.keys) != "[z a]" || string(o.get("z").raw) != "3" {
		t.Fatal(o, err)
	}
	inner, err := o.get("a").object()
	if v := inner.get("y"); err != nil || v.name != "a.y" {
		t.Error(v.name, err)
	}
	if _, err := o.get("z").object(); err == nil {
		t.Error("a number is no object")
	}
}

func TestPaging_Window(t *testing.T) {
	for _, c := range []struct{ page, per, n, from, to int }{
		{1, 20, 67, 0, 20}, {4, 20, 67, 60, 67}, {5, 20, 67, 67, 67}, {1, 4294967296, 67, 0, 67}, {2, 4294967296, 67, 67, 67},
		{1 << 31, 1 << 52, 67, 67, 67}, {3, 1, 2, 2, 2}, {1, 20, 0, 0, 0}, {2, 1, 2, 1, 2},
	} {
		if from, to := (paging{page: c.page, perPage: c.per}).window(c.n); from != c.from || to != c.to {
			t.Errorf("%+v: %d to %d", c, from, to)
		}
	}
}

func TestSplitPathAndFind(t *testing.T) {
	rr := newRouter(routes())
	for path, want := range map[string]string{
		"/api/hosts/web-01.example.com":      "hosts.show id=web-01.example.com",
		"/api/v2/hosts/5.json":               "hosts.show id=5",
		"/api/hosts/a.json":                  "hosts.show id=a.json",
		"/api/hosts.json":                    "hosts.index",
		"/api/job_templates/a%2Fb":           "job_templates.show id=a/b",
		"/api/v1/job_templates/":             "job_templates.index",
		"/foreman_tasks/api/v2/tasks/x":      "foreman_tasks.show id=x",
		"/api/v2":                            "home.index",
		"/api/v3/hosts":                      "",
		"/api/hosts//facts":                  "",
		"/api/job_invocations/1/hosts/2/raw": "job_invocations.raw_output host_id=2 id=1",
		"/api":                               "home.index",
		"/api/hosts/R1/extra/extra":          "",
	} {
		segments, ok := splitPath(mustURL(t, path))
		got := ""
		if r, vars := rr.find("GET", segments); ok && r != nil {
			got = r.resource + "." + r.action
			for _, name := range []string{"host_id", "id"} {
				if v := vars[name]; v != "" {
					got += " " + name + "=" + v
				}
			}
		}
		if got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestHumanize(t *testing.T) {
	for in, want := range map[string]string{"name": "Name", "job_category": "Job category", "template_inputs.fact_name": "Template inputs fact name",
		"job_template_id": "Job template", "execution_timeout_interval": "Execution timeout interval",
		"": "", "änderung": "Änderung", "_": " ", "_id": ""} {
		if got := humanize(in); got != want {
			t.Errorf("%s is %s", in, got)
		}
	}
	if got := (problem{"base", "All is wrong."}).full(); got != "All is wrong." {
		t.Error(got)
	}
}
