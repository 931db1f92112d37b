package inventory_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/search"
)

var (
	webHost = inventory.Candidate{
		Device: job.Device{
			Meta:    job.Meta{ID: 12, Name: "web-01.example.org", CreatedBy: "ann", Created: time.Date(2026, 3, 9, 8, 0, 0, 0, time.UTC)},
			Address: "10.0.0.12", Port: 22, Platform: job.PlatformLinux, PoolIDs: []int64{3, 4}, Labels: map[string]string{"site": "lab", "role": "web"},
			Description: "Front door", Vendor: "Dell", Model: "R640", Location: "Rack 4", OperatingSystem: "Debian", OSVersion: "12.4",
		},
		Pools: []string{"core", "lab"},
	}
	emptyHost = inventory.Candidate{Device: job.Device{
		Meta: job.Meta{ID: 1, Name: "10.0.0.1", CreatedBy: "bob", Created: time.Date(2026, 3, 10, 8, 0, 0, 0, time.UTC)}, Address: "10.0.0.1", Platform: job.PlatformWindows,
	}}
)

func TestDeviceFields(t *testing.T) {
	for _, c := range []struct {
		query      string
		web, empty bool
	}{
		{`name = web-01.example.org`, true, false},
		{`id = 12`, true, false},
		{`id ^ (1, 12)`, true, true},
		{`ip = 10.0.0.12`, true, false},
		{`comment ~ front`, true, false},
		{`model = R640`, true, false},
		{`vendor = Dell`, true, false},
		{`os = Debian`, true, false},
		{`os_name = Debian`, true, false},
		{`os_title = "Debian 12.4"`, true, false},
		{`os_description ~ "debian 12"`, true, false},
		{`os_major >= 12 and os_minor < 10`, true, false},
		{`null? os_major`, false, true},
		{`location = "Rack 4"`, true, false},
		{`platform = linux`, true, false},
		{`owner = current_user`, true, false},
		{`owner = bob`, false, true},
		{`user.login = ann`, true, false},
		{`created_at = yesterday`, true, false},
		{`created_at > yesterday`, false, true},
		{`null? last_report`, true, true},
		{`managed`, true, true},
		{`managed = false`, false, false},
		{`params.site = lab`, true, false},
		{`labels.role ~ WEB`, true, false},
		{`set? params.site`, true, false},
		{`not params.site = lab`, false, true},
		{`params.site != lab`, false, false},
		{`params_name = role`, true, false},
		{`facts.kernel = Linux`, true, false},
		{`facts.operatingsystemrelease = 12.4`, true, false},
		{`facts.ipaddress ~ 10.0.0.*`, true, true},
		{`null? facts.model`, false, true},
		{`hostgroup = lab`, true, false},
		{`hostgroup_name = core`, true, false},
		{`hostgroup_title = core`, true, false},
		{`hostgroup_fullname ~ cor`, true, false},
		{`hostgroup_id = 4`, true, false},
		{`hostgroup != lab`, false, false},
		{`null? hostgroup`, false, true},
		// Bare words.
		{`example`, true, false},
		{`10.0.0`, true, true},
		{`door`, true, false},
		{`r640`, true, false},
		{`core`, true, false},
		{`debian`, true, false},
		{`"debian 12"`, true, false},
		{`dell`, false, false},
	} {
		q, err := search.Compile(c.query, inventory.DeviceFields(), search.Strict, search.Env{Now: now, User: "ann"})
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		if web, empty := q.Match(webHost), q.Match(emptyHost); web != c.web || empty != c.empty {
			t.Errorf("%s: %v, %v; want %v, %v", c.query, web, empty, c.web, c.empty)
		}
	}
}

// What is not known here is refused: ignoring it would run a command on more
// devices than were meant.
func TestDeviceFields_Unknown(t *testing.T) {
	for _, field := range []string{"uuid", "domain", "job_invocation.id", "execution_status", "facts", "params", "Name", "organization", "address"} {
		_, err := search.Compile(field+" = 1", inventory.DeviceFields(), search.Lenient, search.Env{Now: now})
		if err == nil || !strings.Contains(err.Error(), "Field '"+field+"' not recognized for searching!") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestFacts(t *testing.T) {
	want := map[string]string{
		"fqdn": "web-01.example.org", "hostname": "web-01", "domain": "example.org", "ipaddress": "10.0.0.12", "kernel": "Linux",
		"operatingsystem": "Debian", "operatingsystemrelease": "12.4", "operatingsystemmajrelease": "12",
		"model": "R640", "productname": "R640", "vendor": "Dell", "manufacturer": "Dell",
	}
	if d := cmp.Diff(want, inventory.Facts(webHost.Device)); d != "" {
		t.Error(d)
	}
	want = map[string]string{"fqdn": "10.0.0.1", "hostname": "10.0.0.1", "ipaddress": "10.0.0.1", "kernel": "windows"}
	if d := cmp.Diff(want, inventory.Facts(emptyHost.Device)); d != "" {
		t.Error(d)
	}
}

func TestParams(t *testing.T) {
	got := inventory.Params(webHost.Device)
	if d := cmp.Diff(map[string]string{"site": "lab", "role": "web"}, got); d != "" {
		t.Error(d)
	}
	got["site"] = "elsewhere"
	if webHost.Device.Labels["site"] != "lab" {
		t.Error("a change of the parameters reaches the device")
	}
	inventory.Params(emptyHost.Device)["site"] = "nowhere"
}

func TestPoolQuery(t *testing.T) {
	apply := func(query string, match ...job.Criterion) (job.Pool, error) {
		return inventory.PoolInput{Name: "p", Query: &query, Match: &match}.Apply(job.Pool{}, true, inventory.Refs{})
	}
	pool, err := apply(`created_at = yesterday params.site = lab`)
	if err != nil || !pool.Dynamic() {
		t.Fatalf("%+v, %v", pool, err)
	}
	c, err := inventory.CompilePool(pool, now)
	if err != nil || !c.Contains(webHost.Device) || c.Contains(emptyHost.Device) {
		t.Errorf("the query does not decide: %v", err)
	}
	later, err := inventory.CompilePool(pool, now.AddDate(0, 0, 1))
	if err != nil || later.Contains(webHost.Device) {
		t.Errorf("yesterday is not relative to now: %v", err)
	}
	if pool, err = apply(""); err != nil || pool.Dynamic() {
		t.Errorf("without a query: %+v, %v", pool, err)
	}
	for query, want := range map[string]string{
		`params.site =`:     "query: no value follows '=' (at byte 12)",
		`site = lab`:        "query: Field 'site' not recognized for searching! (at byte 0)",
		` `:                 "query: an empty query would select everything (at byte 0)",
		`hostgroup = lab`:   "query: Field 'hostgroup' not recognized for searching! (at byte 0)",
		`name = a) or b`:    "query: a ')' closes nothing (at byte 8)",
		"name = \xff":       "query: is not valid UTF-8",
		longQuery:           "query: is 4101 bytes long; at most 4096 are allowed",
		`id = web and "" x`: "query: Value 'web' is not valid for field 'id' (at byte 5)",
	} {
		if _, err := apply(query); job.CodeOf(err) != job.Invalid || job.MessageOf(err) != want {
			t.Errorf("%.40q: %q; want %q", query, job.MessageOf(err), want)
		}
	}
	devices := []string{"d"}
	query := "name = d"
	_, err = inventory.PoolInput{Name: "p", Query: &query, Devices: &devices}.Apply(job.Pool{}, true, inventory.Refs{Devices: map[string]int64{"d": 1}})
	if job.CodeOf(err) != job.Invalid {
		t.Errorf("a pool with a query was given devices: %v", err)
	}
}

var longQuery = "name" + strings.Repeat("x", 4097)

func TestStopAfter(t *testing.T) {
	for text, want := range map[string]job.StopAfter{"": {}, "0": {}, "3": {Count: 3}, "10%": {Percent: 10}, "100%": {Percent: 100}, "0%": {}} {
		got, err := inventory.ParseStopAfter("stop_after", text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, s := range []job.StopAfter{{}, {Count: 7}, {Percent: 5}} {
		if got, err := inventory.ParseStopAfter("f", inventory.StopAfterText(s)); err != nil || got != s {
			t.Errorf("%+v is read back as %+v, %v", s, got, err)
		}
	}
	for _, text := range []string{"x", "-1", "+1", "%", "101%", "1.5", "10 %", "100001", "5%%", "99999999999999999999"} {
		if _, err := inventory.ParseStopAfter("stop_after", text); job.CodeOf(err) != job.Invalid || !strings.HasPrefix(job.MessageOf(err), "stop_after: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
	hour, long, both := time.Hour, 8*24*time.Hour, job.StopAfter{Count: 1, Percent: 1}
	body := "true"
	in := inventory.ServiceInput{Name: "s", Body: &body, RunTimeout: &hour, StopAfter: &job.StopAfter{Percent: 20}}
	svc, err := in.Apply(job.Service{}, true, inventory.Refs{})
	if err != nil || svc.Limits.RunTimeout != time.Hour || svc.Limits.StopAfter.Percent != 20 {
		t.Errorf("%+v, %v", svc.Limits, err)
	}
	for field, in := range map[string]inventory.ServiceInput{"run_timeout": {Name: "s", RunTimeout: &long}, "stop_after": {Name: "s", StopAfter: &both}} {
		if _, err := in.Apply(svc, false, inventory.Refs{}); !strings.HasPrefix(job.MessageOf(err), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
