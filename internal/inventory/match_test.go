package inventory_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"drover/internal/inventory"
	"drover/internal/job"
)

func TestMatches(t *testing.T) {
	d := job.Device{
		Meta: job.Meta{ID: 7, Name: "dc1-R1"}, Address: "10.0.0.1", Port: 22, Platform: "linux", Model: "Arista",
		Description: "d", Vendor: "V", Location: "Rack 4", OperatingSystem: "EOS", OSVersion: "4.2", Labels: map[string]string{"site": "lab"},
	}
	for _, c := range []struct {
		c    job.Criterion
		want bool
	}{
		{job.Criterion{Field: "name", Op: job.OpEquals, Value: "dc1-R1"}, true},
		{job.Criterion{Field: "name", Op: job.OpEquals, Value: "DC1-R1"}, false},
		{job.Criterion{Field: "name", Op: job.OpContains, Value: "C1-r"}, true},
		{job.Criterion{Field: "name", Op: job.OpRegex, Value: "^dc1-"}, true},
		{job.Criterion{Field: "name", Op: job.OpRegex, Value: "R[0-9]"}, true},
		{job.Criterion{Field: "name", Op: job.OpRegex, Value: "^R"}, false},
		{job.Criterion{Field: "name", Op: job.OpRegex, Value: "^R", Invert: true}, true},
		{job.Criterion{Field: "address", Op: job.OpContains, Value: "10."}, true},
		{job.Criterion{Field: "port", Op: job.OpEquals, Value: "22"}, true},
		{job.Criterion{Field: "platform", Op: job.OpEquals, Value: "linux"}, true},
		{job.Criterion{Field: "model", Op: job.OpContains, Value: "arista"}, true},
		{job.Criterion{Field: "model", Op: job.OpContains, Value: "arista", Invert: true}, false},
		{job.Criterion{Field: "description", Op: job.OpEquals, Value: "d"}, true},
		{job.Criterion{Field: "vendor", Op: job.OpEmpty}, false},
		{job.Criterion{Field: "vendor", Op: job.OpEmpty, Invert: true}, true},
		{job.Criterion{Field: "location", Op: job.OpContains, Value: "rack"}, true},
		{job.Criterion{Field: "operating_system", Op: job.OpEquals, Value: "EOS"}, true},
		{job.Criterion{Field: "os_version", Op: job.OpEquals, Value: "4.2"}, true},
		{job.Criterion{Field: "labels.site", Op: job.OpEquals, Value: "lab"}, true},
		{job.Criterion{Field: "labels.none", Op: job.OpEmpty}, true},
		{job.Criterion{Field: "labels.none", Op: job.OpEquals, Value: "x", Invert: true}, true},
		{job.Criterion{Field: "colour", Op: job.OpEmpty}, false},
		{job.Criterion{Field: "name", Op: job.OpRegex, Value: "("}, false},
	} {
		if got := inventory.Matches(d, c.c); got != c.want {
			t.Errorf("%+v: %v", c.c, got)
		}
	}
}

func TestMatcher_NoCriteriaMatchNothing(t *testing.T) {
	m, err := inventory.CompileCriteria("match", nil)
	if err != nil || m.Matches(job.Device{}) {
		t.Errorf("matches without criteria; %v", err)
	}
}

var now = time.Date(2026, 3, 10, 14, 30, 0, 0, time.UTC)

func TestMembers(t *testing.T) {
	devices := []job.Device{
		{Meta: job.Meta{ID: 1, Name: "a"}, PoolIDs: []int64{5}, Model: "X"},
		{Meta: job.Meta{ID: 2, Name: "b"}, Model: "X", Vendor: "V"},
		{Meta: job.Meta{ID: 3, Name: "c"}, PoolIDs: []int64{4, 5}},
	}
	names := func(p job.Pool) []string {
		t.Helper()
		members, err := inventory.Members(p, slices.Values(devices), now)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, d := range members {
			out = append(out, d.Name)
		}
		return out
	}
	static := job.Pool{Meta: job.Meta{ID: 5}}
	if d := cmp.Diff([]string{"a", "c"}, names(static)); d != "" {
		t.Error(d)
	}
	dynamic := static
	dynamic.Match = []job.Criterion{{Field: "model", Op: job.OpEquals, Value: "X"}, {Field: "vendor", Op: job.OpEmpty, Invert: true}}
	if d := cmp.Diff([]string{"b"}, names(dynamic)); d != "" {
		t.Error(d)
	}
	asked := static
	asked.Query = "model = X"
	if d := cmp.Diff([]string{"a", "b"}, names(asked)); d != "" {
		t.Error(d)
	}
	asked.Match = dynamic.Match[1:]
	if d := cmp.Diff([]string{"b"}, names(asked)); d != "" {
		t.Error(d)
	}
	dynamic.Match[0].Op = "like"
	if _, err := inventory.Members(dynamic, slices.Values(devices), now); job.CodeOf(err) != job.Invalid {
		t.Errorf("a pool that cannot be compiled has members: %v", err)
	}
}

// An inverted criterion is met exactly when the plain one is not, and a
// matcher of several criteria is their conjunction.
func TestMatcher_Laws(t *testing.T) {
	fields := []string{"name", "address", "port", "platform", "vendor", "labels.a", "labels.b"}
	ops := []job.CriterionOp{job.OpEquals, job.OpContains, job.OpRegex, job.OpEmpty}
	text := rapid.StringOfN(rapid.SampledFrom([]rune("aAb1.")), 0, 4, -1)
	rapid.Check(t, func(t *rapid.T) {
		d := job.Device{
			Meta: job.Meta{Name: text.Draw(t, "name")}, Address: text.Draw(t, "address"), Port: rapid.IntRange(1, 30).Draw(t, "port"),
			Vendor: text.Draw(t, "vendor"), Labels: map[string]string{"a": text.Draw(t, "label")},
		}
		n := rapid.IntRange(1, 4).Draw(t, "n")
		var all []job.Criterion
		want := true
		for range n {
			c := job.Criterion{
				Field: rapid.SampledFrom(fields).Draw(t, "field"), Op: rapid.SampledFrom(ops).Draw(t, "op"),
				Value: text.Filter(func(s string) bool { return s != "" }).Draw(t, "value"), Invert: rapid.Bool().Draw(t, "invert"),
			}
			flipped := c
			flipped.Invert = !c.Invert
			if inventory.Matches(d, c) == inventory.Matches(d, flipped) {
				t.Fatalf("%+v and its inverse agree on %+v", c, d)
			}
			want = want && inventory.Matches(d, c)
			all = append(all, c)
		}
		m, err := inventory.CompileCriteria("match", all)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Matches(d); got != want {
			t.Fatalf("all of %+v on %+v: %v", all, d, got)
		}
	})
}

func TestTargets(t *testing.T) {
	a, b, c := job.Target{ID: 1, Name: "a"}, job.Target{ID: 2, Name: "b"}, job.Target{ID: 3, Name: "c"}
	found := inventory.Found{
		Devices:   map[string]job.Target{"a": a, "b": b},
		Addresses: map[string]job.Target{"10.0.0.1": a, "10.0.0.3": c},
		Pools:     map[string][]job.Target{"P": {c, b, a}, "none": nil},
	}
	for _, x := range []struct {
		name    string
		w       inventory.Wanted
		want    []job.Target
		unknown []inventory.Unknown
	}{
		{"nothing", inventory.Wanted{}, nil, nil},
		{"request order", inventory.Wanted{Pools: []string{"P"}, Addresses: []string{"10.0.0.3"}, Devices: []string{"b"}}, []job.Target{b, c, a}, nil},
		{"once", inventory.Wanted{Devices: []string{"a", "a"}, Addresses: []string{"10.0.0.1"}, Pools: []string{"P", "P"}}, []job.Target{a, c, b}, nil},
		{"empty pool", inventory.Wanted{Pools: []string{"none"}}, nil, nil},
		{"unknown", inventory.Wanted{Devices: []string{"x", "a", "x"}, Addresses: []string{"y"}, Pools: []string{"z"}}, []job.Target{a},
			[]inventory.Unknown{{"device", "x"}, {"device", "x"}, {"address", "y"}, {"pool", "z"}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			got, unknown := inventory.Targets(x.w, found)
			if d := cmp.Diff(x.want, got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(x.unknown, unknown); d != "" {
				t.Error(d)
			}
		})
	}
}

// Whatever is asked, each device that is reached appears exactly once, in the
// order of its first mention.
func TestUnion_Laws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOf(rapid.SliceOf(rapid.Int64Range(1, 20))).Draw(t, "lists")
		var lists [][]job.Target
		var mentions []int64
		for _, l := range ids {
			var targets []job.Target
			for _, id := range l {
				targets = append(targets, job.Target{ID: id})
				if !slices.Contains(mentions, id) {
					mentions = append(mentions, id)
				}
			}
			lists = append(lists, targets)
		}
		var got []int64
		for _, target := range inventory.Union(lists...) {
			got = append(got, target.ID)
		}
		if !slices.Equal(got, mentions) {
			t.Fatalf("got %v, want %v", got, mentions)
		}
	})
}

func TestParseHostKey(t *testing.T) {
	const p256 = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, line := range []string{ed25519Key, p256} {
		if got, err := inventory.ParseHostKey("  " + line + "   some comment \n"); err != nil || got != line {
			t.Errorf("got %q, %v", got, err)
		}
	}
	body := strings.Fields(ed25519Key)[1]
	for _, line := range []string{
		"", "ssh-ed25519", "ssh-rsa " + body, "ssh-dss " + body, "no-pty ssh-ed25519 " + body, "ssh-ed25519 !!!!", "ssh-ed25519 " + body[:40],
		"ssh-ed25519 " + body + "AAAA", ed25519Key + "\n" + ed25519Key, "ssh-ed25519-cert-v01@openssh.com " + body, strings.Repeat("a ", 10000),
		"ecdsa-sha2-nistp384" + strings.TrimPrefix(p256, "ecdsa-sha2-nistp256"),
	} {
		if _, err := inventory.ParseHostKey(line); job.CodeOf(err) != job.Invalid {
			t.Errorf("%.80q: %v", line, err)
		}
	}
}

// A key that is accepted is its own normal form.
func FuzzParseHostKey(f *testing.F) {
	f.Add(ed25519Key + " comment")
	f.Add("ssh-rsa AAAA")
	f.Add("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAAAA")
	f.Fuzz(func(t *testing.T, line string) {
		key, err := inventory.ParseHostKey(line)
		if err != nil {
			return
		}
		if again, err := inventory.ParseHostKey(key); err != nil || again != key {
			t.Errorf("%q became %q, which became %q, %v", line, key, again, err)
		}
	})
}

// An accepted device has a name, an address and a label that keep the rules
// which the rest of the system relies on.
func FuzzDeviceInput(f *testing.F) {
	f.Add("R1", "10.0.0.1", "site", "lab")
	f.Add("a/b", "h:22", "a b", "\x00")
	f.Add("", "fe80::1%eth0", "", "\xff")
	f.Fuzz(func(t *testing.T, name, address, key, value string) {
		d, err := inventory.DeviceInput{Name: name, Address: &address, Labels: &map[string]string{key: value}}.Apply(job.Device{}, true, inventory.Refs{})
		if err != nil {
			if job.CodeOf(err) != job.Invalid {
				t.Errorf("not Invalid: %v", err)
			}
			return
		}
		if d.Name != name || name == "" || strings.ContainsAny(name, "/\\'\"\x00\n") || len(name) > 255 {
			t.Errorf("accepted the name %q", name)
		}
		if strings.ContainsAny(address, " /@[]\x00\n") || strings.HasPrefix(address, "-") || address == "" {
			t.Errorf("accepted the address %q", address)
		}
		if d.Labels[key] != value || strings.ContainsAny(key, " \x00\n") || strings.ContainsAny(value, "\x00\n") {
			t.Errorf("accepted the label %q=%q", key, value)
		}
	})
}
