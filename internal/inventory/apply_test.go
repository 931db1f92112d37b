package inventory_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/inventory"
	"drover/internal/job"
)

func ptr[T any](v T) *T { return &v }

const (
	ed25519Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	quoteError = "Names cannot contain a slash or a quote."
)

var refs = inventory.Refs{
	Devices:     map[string]int64{"R1": 1, "R2": 2, "bastion": 9},
	Pools:       map[string]int64{"P1": 11, "P2": 12, "Edge": 13},
	Credentials: map[string]int64{"lab": 21},
	Dynamic:     map[int64]bool{13: true},
}

// fieldOf returns the code and field of an error.
func fieldOf(t *testing.T, err error) (job.Code, string) {
	t.Helper()
	var e *job.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T) is not a *job.Error", err, err)
	}
	return e.Code, e.Field
}

func TestDeviceInput_CreateFillsDefaults(t *testing.T) {
	in := inventory.DeviceInput{Name: "R1", Address: ptr("10.0.0.1")}
	got, err := in.Apply(job.Device{Meta: job.Meta{ID: 1, Tenant: "t"}}, true, refs)
	if err != nil {
		t.Fatal(err)
	}
	want := job.Device{
		Meta: job.Meta{ID: 1, Tenant: "t", Name: "R1"}, Address: "10.0.0.1", Port: 22,
		Platform: job.PlatformLinux, HostKey: job.HostKeyAcceptNew,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDeviceInput_EveryFieldIsTaken(t *testing.T) {
	in := inventory.DeviceInput{
		Name: "R1", NewName: ptr("R1b"), Address: ptr("r1.example.net"), Port: ptr(2222), Platform: ptr("windows"),
		Credential: ptr("lab"), Pools: ptr([]string{"P2", "P1", "P2"}), Labels: ptr(map[string]string{"site": "lab"}),
		HostKey: ptr(ed25519Key + " root@r1"), Jump: ptr("bastion"), LegacyAlgorithms: ptr(true), Description: ptr("two\nlines"),
		Vendor: ptr("v"), Model: ptr("m"), Location: ptr("l"), OperatingSystem: ptr("os"), OSVersion: ptr("1"),
		Extra: map[string]json.RawMessage{"a": json.RawMessage(` {"x": 1} `)},
	}
	base := job.Device{Meta: job.Meta{ID: 1, Name: "R1", Extra: map[string]json.RawMessage{"b": json.RawMessage("2")}}, Port: 22}
	got, err := in.Apply(base, false, refs)
	if err != nil {
		t.Fatal(err)
	}
	want := job.Device{
		Meta:    job.Meta{ID: 1, Name: "R1b", Extra: map[string]json.RawMessage{"a": json.RawMessage(`{"x":1}`), "b": json.RawMessage("2")}},
		Address: "r1.example.net", Port: 2222, Platform: "windows", CredentialID: 21, PoolIDs: []int64{11, 12},
		Labels: map[string]string{"site": "lab"}, HostKey: job.HostKeyStrict, JumpID: 9, LegacyAlgorithms: true,
		Description: "two\nlines", Vendor: "v", Model: "m", Location: "l", OperatingSystem: "os", OSVersion: "1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(base.Extra) != 1 {
		t.Error("the base was changed")
	}
	if key, ok, err := in.PinnedKey(); key != ed25519Key || !ok || err != nil {
		t.Errorf("PinnedKey = %q, %v, %v", key, ok, err)
	}
	again, err := inventory.DeviceInput{Name: "R1b", Pools: in.Pools, Labels: in.Labels, Extra: in.Extra, Port: in.Port}.Apply(got, false, refs)
	if err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("the same values again changed the device: %v %s", err, cmp.Diff(got, again))
	}
	cleared, err := inventory.DeviceInput{
		Name: "R1b", Credential: ptr(""), Jump: ptr(""), Pools: ptr([]string{}), Labels: ptr(map[string]string{}),
		Extra: map[string]json.RawMessage{"a": json.RawMessage("null"), "b": json.RawMessage("null")},
	}.Apply(got, false, refs)
	if err != nil {
		t.Fatal(err)
	}
	if cleared.CredentialID != 0 || cleared.JumpID != 0 || cleared.PoolIDs != nil || cleared.Labels != nil || cleared.Extra != nil {
		t.Errorf("not cleared: %+v", cleared)
	}
}

func TestDeviceInput_Refusals(t *testing.T) {
	long := strings.Repeat("x", 256)
	many := map[string]string{}
	for i := range 65 {
		many["k"+strings.Repeat("k", i%40)+string(rune('a'+i%26))+string(rune('A'+i/26))] = ""
	}
	for _, c := range []struct {
		name  string
		in    inventory.DeviceInput
		code  job.Code
		field string
		text  string
	}{
		{"no name", inventory.DeviceInput{}, job.Invalid, "name", "required"},
		{"blank name", inventory.DeviceInput{Name: "  "}, job.Invalid, "name", "required"},
		{"slash", inventory.DeviceInput{Name: "a/b"}, job.Invalid, "name", quoteError},
		{"backslash", inventory.DeviceInput{Name: `a\b`}, job.Invalid, "name", quoteError},
		{"quote", inventory.DeviceInput{Name: `a'b`}, job.Invalid, "name", quoteError},
		{"double quote", inventory.DeviceInput{Name: `a"b`}, job.Invalid, "name", quoteError},
		{"long name", inventory.DeviceInput{Name: long}, job.Invalid, "name", "256 bytes"},
		{"not UTF-8", inventory.DeviceInput{Name: "a\xff"}, job.Invalid, "name", "UTF-8"},
		{"control", inventory.DeviceInput{Name: "a\x1b[2J"}, job.Invalid, "name", "control"},
		{"NUL", inventory.DeviceInput{Name: "a\x00"}, job.Invalid, "name", "NUL"},
		{"dots", inventory.DeviceInput{Name: ".."}, job.Invalid, "name", "URL"},
		{"rename of nothing", inventory.DeviceInput{Name: "a", NewName: ptr("b")}, job.Invalid, "new_name", "no device"},
		{"no address", inventory.DeviceInput{Name: "a"}, job.Invalid, "address", "required"},
		{"port in address", dev(func(d *inventory.DeviceInput) { d.Address = ptr("10.0.0.1:22") }), job.Invalid, "address", "port"},
		{"space in address", dev(func(d *inventory.DeviceInput) { d.Address = ptr("a b") }), job.Invalid, "address", "neither"},
		{"impossible IP", dev(func(d *inventory.DeviceInput) { d.Address = ptr("300.1.1.1") }), job.Invalid, "address", "neither"},
		{"option as address", dev(func(d *inventory.DeviceInput) { d.Address = ptr("-oProxyCommand") }), job.Invalid, "address", "neither"},
		{"port 0", dev(func(d *inventory.DeviceInput) { d.Port = ptr(0) }), job.Invalid, "port", "1 and 65535"},
		{"port 65536", dev(func(d *inventory.DeviceInput) { d.Port = ptr(65536) }), job.Invalid, "port", "1 and 65535"},
		{"platform", dev(func(d *inventory.DeviceInput) { d.Platform = ptr("ios") }), job.Unsupported, "platform", `"ios"`},
		{"label key", dev(func(d *inventory.DeviceInput) { d.Labels = &map[string]string{"a b": ""} }), job.Invalid, "labels", `"a b"`},
		{"empty label key", dev(func(d *inventory.DeviceInput) { d.Labels = &map[string]string{"": ""} }), job.Invalid, "labels", "key"},
		{"long label key", dev(func(d *inventory.DeviceInput) { d.Labels = &map[string]string{long[:64]: ""} }), job.Invalid, "labels", "63"},
		{"label value", dev(func(d *inventory.DeviceInput) { d.Labels = &map[string]string{"a": long} }), job.Invalid, "labels.a", "255"},
		{"labels", dev(func(d *inventory.DeviceInput) { d.Labels = &many }), job.Invalid, "labels", "64"},
		{"host key policy", dev(func(d *inventory.DeviceInput) { d.HostKey = ptr("yes") }), job.Invalid, "host_key", `"yes"`},
		{"host key", dev(func(d *inventory.DeviceInput) { d.HostKey = ptr("ssh-ed25519 AAAA") }), job.Invalid, "host_key", "not a key"},
		{"credential", dev(func(d *inventory.DeviceInput) { d.Credential = ptr("nope") }), job.Invalid, "credential", `"nope"`},
		{"jump", dev(func(d *inventory.DeviceInput) { d.Jump = ptr("nope") }), job.Invalid, "jump", `"nope"`},
		{"own jump", dev(func(d *inventory.DeviceInput) { d.Name = "R1"; d.Jump = ptr("R1") }), job.Invalid, "jump", "own"},
		{"pool", dev(func(d *inventory.DeviceInput) { d.Pools = &[]string{"P1", "nope"} }), job.Invalid, "pools", `"nope"`},
		{"dynamic pool", dev(func(d *inventory.DeviceInput) { d.Pools = &[]string{"Edge"} }), job.Invalid, "pools", `"Edge"`},
		{"vendor", dev(func(d *inventory.DeviceInput) { d.Vendor = ptr("a\nb") }), job.Invalid, "vendor", "control"},
		{"description", dev(func(d *inventory.DeviceInput) { d.Description = ptr(strings.Repeat("x", 4097)) }), job.Invalid, "description", "4096"},
		{"extra", dev(func(d *inventory.DeviceInput) { d.Extra = map[string]json.RawMessage{"a": json.RawMessage("{")} }), job.Invalid, "extra", "JSON"},
		{"long extra", dev(func(d *inventory.DeviceInput) {
			d.Extra = map[string]json.RawMessage{"a": json.RawMessage(`"` + strings.Repeat("x", 64<<10) + `"`)}
		}), job.Invalid, "extra", "65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.in.Apply(job.Device{}, true, refs)
			code, field := fieldOf(t, err)
			if code != c.code || field != c.field || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %s at %q: %v; want %s at %q with %q", code, field, err, c.code, c.field, c.text)
			}
		})
	}
}

// dev is a valid input with one change.
func dev(change func(*inventory.DeviceInput)) inventory.DeviceInput {
	in := inventory.DeviceInput{Name: "a", Address: ptr("10.0.0.1")}
	change(&in)
	return in
}

func TestDeviceInput_Addresses(t *testing.T) {
	for _, a := range []string{"10.0.0.1", "::1", "fe80::1%eth0", "r1", "r1.example.net.", "my_host", "xn--bcher-kva.example"} {
		if _, err := dev(func(d *inventory.DeviceInput) { d.Address = &a }).Apply(job.Device{}, true, refs); err != nil {
			t.Errorf("%q refused: %v", a, err)
		}
	}
	for _, a := range []string{"[::1]", "a..b", "ssh://a", "root@a", "a-", strings.Repeat("a", 64), strings.Repeat("a.", 130), "bücher.example", "1.2.3", "a\x00"} {
		if _, err := dev(func(d *inventory.DeviceInput) { d.Address = &a }).Apply(job.Device{}, true, refs); err == nil {
			t.Errorf("%q accepted", a)
		}
	}
}

func TestPoolInput(t *testing.T) {
	match := []job.Criterion{{Field: "labels.site", Op: job.OpEquals, Value: "lab"}}
	in := inventory.PoolInput{Name: "P", Description: ptr("d"), Devices: ptr([]string{"R2", "R1", "R2"})}
	p, err := in.Apply(job.Pool{Meta: job.Meta{ID: 5}}, true, refs)
	if err != nil || p.Name != "P" || p.Description != "d" || p.Match != nil {
		t.Fatalf("%+v, %v", p, err)
	}
	ids, given, err := in.MemberIDs(refs)
	if d := cmp.Diff([]int64{1, 2}, ids); d != "" || !given || err != nil {
		t.Error(d, given, err)
	}
	if _, given, _ := (inventory.PoolInput{Name: "P"}).MemberIDs(refs); given {
		t.Error("an input without devices says something about members")
	}
	p, err = inventory.PoolInput{Name: "P", Match: &match, Devices: ptr([]string{})}.Apply(p, false, refs)
	if err != nil || !p.Dynamic() {
		t.Fatalf("%+v, %v", p, err)
	}
	match[0].Value = "changed"
	if p.Match[0].Value != "lab" {
		t.Error("the pool shares the input's memory")
	}
	for _, c := range []struct {
		in    inventory.PoolInput
		field string
	}{
		{inventory.PoolInput{Name: "P", Devices: ptr([]string{"R1"})}, "devices"}, // the pool is dynamic by now
		{inventory.PoolInput{Name: "P", Match: &[]job.Criterion{}, Devices: ptr([]string{"R3"})}, "devices"},
		{inventory.PoolInput{Name: "P", Match: &[]job.Criterion{{Field: "colour", Op: job.OpEmpty}}}, "match[0].field"},
		{inventory.PoolInput{Name: "P", Match: &[]job.Criterion{match[0], {Field: "labels.", Op: job.OpEmpty}}}, "match[1].field"},
		{inventory.PoolInput{Name: "P", Match: &[]job.Criterion{{Field: "name", Op: "like", Value: "x"}}}, "match[0].op"},
		{inventory.PoolInput{Name: "P", Match: &[]job.Criterion{{Field: "name", Op: job.OpRegex, Value: "("}}}, "match[0].value"},
		{inventory.PoolInput{Name: "P", Match: &[]job.Criterion{{Field: "name", Op: job.OpContains}}}, "match[0].value"},
		{inventory.PoolInput{Name: "P", Match: ptr(make([]job.Criterion, 51))}, "match"},
	} {
		_, err := c.in.Apply(p, false, refs)
		if code, field := fieldOf(t, err); code != job.Invalid || field != c.field {
			t.Errorf("got %s at %q, want at %q: %v", code, field, c.field, err)
		}
	}
	if p, err = (inventory.PoolInput{Name: "P", Match: &[]job.Criterion{}}).Apply(p, false, refs); err != nil || p.Match != nil {
		t.Errorf("criteria not removed: %+v, %v", p, err)
	}
}

const pemKey = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"

func TestCredentialInput(t *testing.T) {
	in := inventory.CredentialInput{
		Name: "c", Username: ptr("drover"), Password: ptr(job.Secret("pw")), PrivateKey: ptr(job.Secret(pemKey)),
		Passphrase: ptr(job.Secret("pp")), BecomePassword: ptr(job.Secret("")),
	}
	c, changes, err := in.Apply(job.Credential{}, true, refs)
	if err != nil {
		t.Fatal(err)
	}
	if c.Password.Set() || c.PrivateKey.Set() {
		t.Error("a secret is in the credential before it was sealed")
	}
	for _, s := range changes {
		*s.Sealed(&c) = job.Sealed("sealed " + s.Field)
	}
	want := job.Credential{
		Meta: job.Meta{Name: "c"}, Username: "drover", Password: job.Sealed("sealed password"), PrivateKey: job.Sealed("sealed private_key"),
		Passphrase: job.Sealed("sealed passphrase"), BecomePassword: job.Sealed("sealed become_password"),
	}
	if d := cmp.Diff(want, c); d != "" {
		t.Error(d)
	}
	if len(changes) != 4 || changes[1].Value.Reveal() != pemKey {
		t.Errorf("changes: %v", changes)
	}
	for _, bad := range []struct {
		in    inventory.CredentialInput
		field string
	}{
		{inventory.CredentialInput{Name: "c", Username: ptr("")}, "username"},
		{inventory.CredentialInput{Name: "c", Username: ptr("a\nb")}, "username"},
		{inventory.CredentialInput{Name: "c", Password: ptr(job.Secret("canary\x00"))}, "password"},
		{inventory.CredentialInput{Name: "c", Password: ptr(job.Secret("canary\nb"))}, "password"},
		{inventory.CredentialInput{Name: "c", BecomePassword: ptr(job.Secret("canary\xff"))}, "become_password"},
		{inventory.CredentialInput{Name: "c", PrivateKey: ptr(job.Secret("canary"))}, "private_key"},
		{inventory.CredentialInput{Name: "c", PrivateKey: ptr(job.Secret("")), Passphrase: ptr(job.Secret("canary"))}, "passphrase"},
		{inventory.CredentialInput{Name: "c", PrivateKey: ptr(job.Secret("canary" + strings.Repeat("x", 64<<10)))}, "private_key"},
	} {
		_, _, err := bad.in.Apply(c, false, refs)
		if code, field := fieldOf(t, err); code != job.Invalid || field != bad.field || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %s at %q, want at %q: %v", code, field, bad.field, err)
		}
	}
	if _, _, err := (inventory.CredentialInput{Name: "c"}).Apply(job.Credential{}, true, refs); err == nil {
		t.Error("a credential without a user name was created")
	}
	if _, changes, err := (inventory.CredentialInput{Name: "c", Passphrase: ptr(job.Secret("pp"))}).Apply(c, false, refs); err != nil || len(changes) != 1 {
		t.Errorf("a passphrase for a stored key: %v, %v", changes, err)
	}
}

func TestServiceInput_CreateFillsDefaults(t *testing.T) {
	got, err := inventory.ServiceInput{Name: "s", Body: ptr("uptime")}.Apply(job.Service{}, true, refs)
	if err != nil {
		t.Fatal(err)
	}
	want := job.Service{
		Meta: job.Meta{Name: "s"}, Type: job.TypeScript, Body: "uptime",
		Limits: job.Limits{Timeout: time.Minute, Concurrency: 50, Retries: job.Retries{Wait: 10 * time.Second}, OnUnknown: job.OnUnknownReport},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestServiceInput_EveryFieldIsTaken(t *testing.T) {
	in := inventory.ServiceInput{
		Name: "s", NewName: ptr("s2"), Type: ptr("script"), Description: ptr("d"), Body: ptr("true"), Devices: ptr([]string{"R2", "R1", "R2"}),
		Pools: ptr([]string{"Edge"}), Timeout: ptr(time.Second), Concurrency: ptr(1), RetryCount: ptr(2), RetryWait: ptr(time.Duration(0)),
		OnUnknown: ptr("repeat"), OutputLimit: ptr(int64(1000)), BecomeUser: ptr("root"), BecomeMethod: ptr("su"),
		Payload: ptr(json.RawMessage(` { "a" : "<b>" } `)), Credential: ptr("lab"), Disabled: ptr(true),
		Extra: map[string]json.RawMessage{"k": json.RawMessage("1")},
	}
	got, err := in.Apply(job.Service{Meta: job.Meta{Name: "s"}}, false, refs)
	if err != nil {
		t.Fatal(err)
	}
	want := job.Service{
		Meta: job.Meta{Name: "s2", Extra: in.Extra}, Type: job.TypeScript, Description: "d", Body: "true",
		Targets: job.Targets{DeviceIDs: []int64{2, 1}, PoolIDs: []int64{13}},
		Limits: job.Limits{Timeout: time.Second, Concurrency: 1, Retries: job.Retries{Count: 2}, OnUnknown: job.OnUnknownRepeat,
			OutputLimit: 1000},
		Become: job.Become{User: "root", Method: job.BecomeSu}, Payload: json.RawMessage(`{"a":"\u003cb\u003e"}`), CredentialID: 21, Disabled: true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	stored, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var read job.Service
	if err := json.Unmarshal(stored, &read); err != nil {
		t.Fatal(err)
	}
	in.Name, in.NewName = "s2", nil
	if again, err := in.Apply(read, false, refs); err != nil || !reflect.DeepEqual(again, read) {
		t.Errorf("the same input on the stored service is a change: %v %s", err, cmp.Diff(read, again))
	}
}

func TestServiceInput_Become(t *testing.T) {
	for _, c := range []struct {
		base         job.Become
		user, method *string
		want         job.Become
	}{
		{job.Become{}, ptr("root"), nil, job.Become{User: "root", Method: job.BecomeSudo}},
		{job.Become{User: "root", Method: job.BecomeSu}, ptr("app"), nil, job.Become{User: "app", Method: job.BecomeSu}},
		{job.Become{User: "root", Method: job.BecomeSu}, ptr(""), nil, job.Become{}},
		{job.Become{User: "root", Method: job.BecomeSu}, nil, ptr("dzdo"), job.Become{User: "root", Method: job.BecomeDzdo}},
		{job.Become{User: "root", Method: job.BecomeSu}, ptr(""), ptr(""), job.Become{}},
		{job.Become{}, nil, nil, job.Become{}},
	} {
		got, err := inventory.ServiceInput{Name: "s", BecomeUser: c.user, BecomeMethod: c.method}.Apply(job.Service{Become: c.base}, false, refs)
		if err != nil || got.Become != c.want {
			t.Errorf("%+v + %v/%v = %+v, %v; want %+v", c.base, c.user, c.method, got.Become, err, c.want)
		}
	}
}

func TestServiceInput_Refusals(t *testing.T) {
	big := strings.Repeat("x", 256<<10)
	for _, c := range []struct {
		name  string
		in    inventory.ServiceInput
		code  job.Code
		field string
	}{
		{"type", inventory.ServiceInput{Type: ptr("netconf")}, job.Unsupported, "type"},
		{"no body", inventory.ServiceInput{}, job.Invalid, "body"},
		{"blank body", inventory.ServiceInput{Body: ptr(" \n")}, job.Invalid, "body"},
		{"NUL", inventory.ServiceInput{Body: ptr("a\x00")}, job.Invalid, "body"},
		{"not UTF-8", inventory.ServiceInput{Body: ptr("a\xff")}, job.Invalid, "body"},
		{"long body", inventory.ServiceInput{Body: ptr(big + "x")}, job.Invalid, "body"},
		{"device", inventory.ServiceInput{Body: ptr("x"), Devices: ptr([]string{"R1", "no"})}, job.Invalid, "devices"},
		{"pool", inventory.ServiceInput{Body: ptr("x"), Pools: ptr([]string{"no"})}, job.Invalid, "pools"},
		{"credential", inventory.ServiceInput{Body: ptr("x"), Credential: ptr("no")}, job.Invalid, "credential"},
		{"timeout 0", inventory.ServiceInput{Body: ptr("x"), Timeout: ptr(time.Duration(0))}, job.Invalid, "timeout"},
		{"timeout", inventory.ServiceInput{Body: ptr("x"), Timeout: ptr(24*time.Hour + 1)}, job.Invalid, "timeout"},
		{"concurrency 0", inventory.ServiceInput{Body: ptr("x"), Concurrency: ptr(0)}, job.Invalid, "concurrency"},
		{"concurrency", inventory.ServiceInput{Body: ptr("x"), Concurrency: ptr(10001)}, job.Invalid, "concurrency"},
		{"retries", inventory.ServiceInput{Body: ptr("x"), RetryCount: ptr(101)}, job.Invalid, "retry_count"},
		{"retries below 0", inventory.ServiceInput{Body: ptr("x"), RetryCount: ptr(-1)}, job.Invalid, "retry_count"},
		{"wait", inventory.ServiceInput{Body: ptr("x"), RetryWait: ptr(25 * time.Hour)}, job.Invalid, "retry_wait"},
		{"wait below 0", inventory.ServiceInput{Body: ptr("x"), RetryWait: ptr(-time.Second)}, job.Invalid, "retry_wait"},
		{"on_unknown", inventory.ServiceInput{Body: ptr("x"), OnUnknown: ptr("ignore")}, job.Invalid, "on_unknown"},
		{"output", inventory.ServiceInput{Body: ptr("x"), OutputLimit: ptr(int64(1 << 30))}, job.Invalid, "output_limit"},
		{"method", inventory.ServiceInput{Body: ptr("x"), BecomeMethod: ptr("doas")}, job.Invalid, "become_method"},
		{"method alone", inventory.ServiceInput{Body: ptr("x"), BecomeMethod: ptr("su")}, job.Invalid, "become_user"},
		{"user as option", inventory.ServiceInput{Body: ptr("x"), BecomeUser: ptr("-s")}, job.Invalid, "become_user"},
		{"user", inventory.ServiceInput{Body: ptr("x"), BecomeUser: ptr("a b")}, job.Invalid, "become_user"},
		{"payload list", inventory.ServiceInput{Body: ptr("x"), Payload: ptr(json.RawMessage("[]"))}, job.Invalid, "payload"},
		{"payload null", inventory.ServiceInput{Body: ptr("x"), Payload: ptr(json.RawMessage("null"))}, job.Invalid, "payload"},
		{"payload broken", inventory.ServiceInput{Body: ptr("x"), Payload: ptr(json.RawMessage("{"))}, job.Invalid, "payload"},
		{"payload long", inventory.ServiceInput{Body: ptr("x"), Payload: ptr(json.RawMessage(`{"a":"` + big + `"}`))}, job.Invalid, "payload"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.in.Name = "s"
			_, err := c.in.Apply(job.Service{}, true, refs)
			if code, field := fieldOf(t, err); code != c.code || field != c.field {
				t.Errorf("got %s at %q: %v", code, field, err)
			}
		})
	}
}

func TestUserInput(t *testing.T) {
	u, err := inventory.UserInput{Name: "ops", Password: ptr(job.Secret("p"))}.Apply(job.User{Meta: job.Meta{Tenant: "default"}}, true, refs)
	if err != nil || u.Role != job.Viewer || u.Tenant != "default" {
		t.Fatalf("%+v, %v", u, err)
	}
	u, err = inventory.UserInput{Name: "ops", Tenant: "default", Role: ptr("operator")}.Apply(u, false, refs)
	if err != nil || u.Role != job.Operator {
		t.Fatalf("%+v, %v", u, err)
	}
	for _, c := range []struct {
		in     inventory.UserInput
		create bool
		field  string
	}{
		{inventory.UserInput{Name: "a:b", Password: ptr(job.Secret("p"))}, true, "name"},
		{inventory.UserInput{Name: "a'b", Password: ptr(job.Secret("p"))}, true, "name"},
		{inventory.UserInput{Name: "ops"}, true, "password"},
		{inventory.UserInput{Name: "ops", Password: ptr(job.Secret(""))}, false, "password"},
		{inventory.UserInput{Name: "ops", Password: ptr(job.Secret("canary\x00"))}, false, "password"},
		{inventory.UserInput{Name: "ops", Tenant: "other"}, false, "tenant"},
		{inventory.UserInput{Name: "ops", Tenant: "a b", Password: ptr(job.Secret("p"))}, true, "tenant"},
		{inventory.UserInput{Name: "ops", Role: ptr("root")}, false, "role"},
	} {
		_, err := c.in.Apply(u, c.create, refs)
		if code, field := fieldOf(t, err); code != job.Invalid || field != c.field || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %s at %q, want at %q: %v", code, field, c.field, err)
		}
	}
}

func TestReferences(t *testing.T) {
	d := inventory.DeviceInput{Jump: ptr("bastion"), Pools: ptr([]string{"P2", "P1", "P2"}), Credential: ptr("")}.References()
	s := inventory.ServiceInput{Devices: ptr([]string{"R9", "R1"}), Pools: ptr([]string{"P1"}), Credential: ptr("lab")}.References()
	p := inventory.PoolInput{Devices: ptr([]string{"R1"})}.References()
	all := d.Merge(s).Merge(p).Merge(inventory.UserInput{}.References()).Merge(inventory.CredentialInput{}.References())
	want := inventory.References{Devices: []string{"R1", "R9", "bastion"}, Pools: []string{"P1", "P2"}, Credentials: []string{"lab"}}
	if d := cmp.Diff(want, all); d != "" {
		t.Error(d)
	}
	missing := refs.Missing(all)
	if d := cmp.Diff(inventory.References{Devices: []string{"R9"}}, missing); d != "" || missing.Empty() {
		t.Error(d)
	}
}
