package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/dispatch"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/secret"
)

func TestSave_TwiceChangesNothing(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	same := func(os []dispatch.Outcome, err error) {
		t.Helper()
		must(t, err)
		for _, o := range os {
			if o.Err != nil || o.Action != dispatch.Unchanged {
				t.Errorf("%s is %s (%v)", o.Name, o.Action, o.Err)
			}
		}
	}
	before, _, err := b.Audit(ctx, admin, dispatch.Page{Limit: 1000})
	must(t, err)
	same(b.SaveCredentials(ctx, admin, []inventory.CredentialInput{{Name: "lab", Username: ptr("drover"), Password: ptr(job.Secret("canary-pw"))}}))
	same(b.SavePools(ctx, admin, []inventory.PoolInput{{Name: "Static", Devices: &[]string{"R1", "R2"}}, {Name: "Edge"}}))
	same(b.SaveDevices(ctx, admin, []inventory.DeviceInput{{Name: "R3", Address: ptr("127.1.0.3"), Jump: ptr("R1"), Labels: &map[string]string{"site": "lab"}}}))
	same(b.SaveServices(ctx, admin, []inventory.ServiceInput{{Name: "hello", Payload: ptr(json.RawMessage(`{"a": 1, "b": 2}`))}}))
	after, _, err := b.Audit(ctx, admin, dispatch.Page{Limit: 1000})
	must(t, err)
	if len(after) != len(before) {
		t.Errorf("%d audit entries for no change", len(after)-len(before))
	}
}

func TestSave_ItemsStandAlone(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	os, err := b.SaveDevices(ctx, admin, []inventory.DeviceInput{
		{Name: "R4", Address: ptr("127.1.0.4"), Pools: &[]string{"nope"}},
		{Name: "R5", Address: ptr("127.1.0.5")},
		{Name: "R6", Port: ptr(99999), Address: ptr("127.1.0.6")},
		{Name: "R5", Description: ptr("second mention, after the first")},
		{Name: "R1", NewName: ptr("R1new")},
	})
	must(t, err)
	var got []string
	for _, o := range os {
		got = append(got, fmt.Sprintf("%s %s %s", o.Name, o.Action, job.CodeOf(o.Err)))
	}
	want := "R4  invalid|R5 created |R6  invalid|R5 updated |R1new updated "
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	d, err := b.Device(ctx, viewer, "R5")
	must(t, err)
	if d.Description == "" {
		t.Error("the later input of a name was lost")
	}
	for _, gone := range []string{"R4", "R6", "R1"} {
		_, err := b.Device(ctx, viewer, gone)
		wantCode(t, err, job.NotFound)
	}
	if d, err = b.Device(ctx, viewer, "R3"); err != nil || d.Jump != "R1new" {
		t.Errorf("the jump host of R3 is %q after its rename, %v", d.Jump, err)
	}
}

func TestSave_OneNameManyTimes(t *testing.T) {
	b := newBench(t)
	inputs := make([]inventory.PoolInput, 102)
	for i := range inputs {
		inputs[i] = inventory.PoolInput{Name: "P", Description: ptr(fmt.Sprint(i))}
	}
	os, err := b.SavePools(context.Background(), admin, inputs)
	must(t, err)
	for i, o := range os {
		if (o.Err == nil) != (i < 100) {
			t.Errorf("item %d: %v", i, o.Err)
		}
	}
	p, err := b.Pool(context.Background(), viewer, "P")
	must(t, err)
	if p.Description != "99" {
		t.Errorf("the last one that counts was not the last one saved: %q", p.Description)
	}
}

func TestSave_PoolMembersReplaceAndDynamicPoolsRefuseThem(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	b.saved(t)(b.SavePools(ctx, admin, []inventory.PoolInput{{Name: "Static", Devices: &[]string{"R2", "R3"}}}))
	p, err := b.Pool(ctx, viewer, "Static")
	must(t, err)
	if s := strings.Join(p.Devices, " "); s != "R3 R2" && s != "R2 R3" {
		t.Errorf("members %q", s)
	}
	for name, in := range map[string]inventory.PoolInput{
		"devices for a dynamic pool":       {Name: "Edge", Devices: &[]string{"R1"}},
		"criteria for a pool with members": {Name: "Static", Match: &[]job.Criterion{{Field: "name", Op: job.OpEmpty, Invert: true}}},
	} {
		os, err := b.SavePools(ctx, admin, []inventory.PoolInput{in})
		must(t, err)
		if job.CodeOf(os[0].Err) != job.Invalid {
			t.Errorf("%s: %v", name, os[0].Err)
		}
	}
	_, err = b.DeletePool(ctx, admin, "Static")
	must(t, err)
	d, err := b.Device(ctx, viewer, "R2")
	must(t, err)
	if len(d.PoolIDs) != 0 {
		t.Errorf("R2 is still in %v", d.PoolIDs)
	}
}

func TestDelete_WhatIsInUseStays(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	_, err := b.DeleteCredential(ctx, admin, "lab")
	wantCode(t, err, job.Conflict)
	_, err = b.DeleteDevice(ctx, admin, "R1")
	wantCode(t, err, job.Conflict)
	for _, d := range []string{"R3", "R1", "R2"} {
		_, err = b.DeleteDevice(ctx, admin, d)
		must(t, err)
	}
	_, err = b.DeleteCredential(ctx, admin, "lab")
	must(t, err)
	_, err = b.DeleteService(ctx, operator, "hello")
	wantCode(t, err, job.Forbidden)
}

func TestTenants_SeeOnlyThemselves(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	b.fleet(t, other) // the same names, no clash
	_, err := b.DeleteDevice(ctx, other, "R3")
	must(t, err)
	if _, err := b.Device(ctx, admin, "R3"); err != nil {
		t.Fatal("a tenant deleted another's device: ", err)
	}
	if _, err := dispatch.In(other, "default"); job.CodeOf(err) != job.NotFound {
		t.Errorf("another tenant's admin got into the default tenant: %v", err)
	}
	if _, err := dispatch.In(operator, "acme"); job.CodeOf(err) != job.NotFound {
		t.Errorf("an operator got into another tenant: %v", err)
	}
	p, err := dispatch.In(admin, "acme")
	must(t, err)
	ds, _, err := b.Devices(ctx, p, dispatch.Page{})
	must(t, err)
	if len(ds) != 2 {
		t.Errorf("the installation's admin sees %d devices of acme", len(ds))
	}
	os, err := b.SaveUsers(ctx, other, []inventory.UserInput{{Name: "spy", Tenant: "default", Password: ptr(job.Secret("x"))}})
	must(t, err)
	wantCode(t, os[0].Err, job.NotFound)
}

func TestUsers_PasswordIsHashedAndNeverShown(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	in := inventory.UserInput{Name: "ops", Role: ptr("operator"), Password: ptr(job.Secret("canary-user-pw"))}
	b.saved(t)(b.SaveUsers(ctx, admin, []inventory.UserInput{in}))
	stored, err := b.store.User(ctx, "ops")
	must(t, err)
	if !secret.VerifyPassword(stored.PasswordHash, "canary-user-pw") {
		t.Error("the password does not verify")
	}
	os, err := b.SaveUsers(ctx, admin, []inventory.UserInput{in})
	must(t, err)
	if os[0].Action != dispatch.Unchanged {
		t.Errorf("the same password again: %s", os[0].Action)
	}
	u, err := b.User(ctx, viewer, "ops")
	must(t, err)
	if u.PasswordHash != "" {
		t.Error("the hash is shown")
	}
	os, err = b.SaveUsers(ctx, other, []inventory.UserInput{{Name: "ops", Password: ptr(job.Secret("x"))}})
	must(t, err)
	wantCode(t, os[0].Err, job.AlreadyExists)
	_, err = b.DeleteUser(ctx, job.Principal{Tenant: "default", Name: "ops", Role: job.Admin}, "ops")
	wantCode(t, err, job.Conflict)
	_, err = b.DeleteUser(ctx, admin, "ops")
	must(t, err)
}

// A thousand devices times a megabyte of text must not be held at once.
func TestPreview_EndsEarlyRatherThanTakeAllMemory(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	devices, names := make([]inventory.DeviceInput, 20), make([]string, 20)
	for i := range devices {
		names[i] = fmt.Sprint("P", i)
		devices[i] = inventory.DeviceInput{Name: names[i], Address: ptr("127.1.0.1")}
	}
	b.saved(t)(b.SaveDevices(ctx, admin, devices))
	b.saved(t)(b.SaveServices(ctx, admin, []inventory.ServiceInput{{Name: "long", Type: ptr("script"), Body: ptr(`{{ "x" * 1000000 }}`), Devices: &names}}))
	rows, total, _, err := b.Preview(ctx, admin, dispatch.Submission{Service: "long"}, 1000)
	must(t, err)
	if len(rows) != 8 || total != 20 || rows[0].Err != "" || len(rows[7].Text) != 1_000_000 {
		t.Errorf("%d of %d devices (%s)", len(rows), total, rows[0].Err)
	}
}

func TestUsers_AnAdministratorStaysOne(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	pw := ptr(job.Secret("a password"))
	b.saved(t)(b.SaveUsers(ctx, admin, []inventory.UserInput{
		{Name: admin.Name, Role: ptr("admin"), Password: pw}, {Name: "second", Role: ptr("admin"), Password: pw}}))
	os, err := b.SaveUsers(ctx, admin, []inventory.UserInput{{Name: admin.Name, Role: ptr("operator")}, {Name: "second", Role: ptr("viewer")}})
	must(t, err)
	wantCode(t, os[0].Err, job.Invalid)
	must(t, os[1].Err)
	u, err := b.User(ctx, admin, admin.Name)
	must(t, err)
	if u.Role != job.Admin {
		t.Errorf("the last administrator is %s now", u.Role)
	}
}

func TestSecrets_AreNotInTheDataFile(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	b.saved(t)(b.SaveUsers(ctx, admin, []inventory.UserInput{{Name: "ops", Password: ptr(job.Secret("canary-user-pw"))}}))
	dir := filepath.Dir(b.key)
	seen := 0
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		seen++
		if strings.Contains(string(data), "canary") {
			t.Errorf("%s holds a secret in clear", path)
		}
		return err
	})
	if err != nil || seen < 2 {
		t.Fatal(seen, err)
	}
}

func TestHostKeys_AcceptWhatWasRefused(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	b.fleet(t, admin)
	const k1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"
	const k2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP8CAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"
	_, err := b.AcceptHostKey(ctx, admin, "R1", "")
	wantCode(t, err, job.NotFound)
	_, err = b.AcceptHostKey(ctx, admin, "R1", "garbage")
	wantCode(t, err, job.Invalid)
	_, err = b.AcceptHostKey(ctx, operator, "R1", k1)
	wantCode(t, err, job.Forbidden)
	k, err := b.AcceptHostKey(ctx, admin, "R1", k1)
	must(t, err)
	if k.Key != k1 || k.PinnedBy != "admin" {
		t.Errorf("pinned %+v", k)
	}
	now := b.clock()
	k.Offered, k.OfferedAt = k2, &now
	must(t, b.store.PutHostKey(ctx, admin.Tenant, k))
	k, err = b.AcceptHostKey(ctx, admin, "R1", "")
	must(t, err)
	if k.Key != k2 || k.Offered != "" {
		t.Errorf("pinned %+v", k)
	}
	must(t, b.ForgetHostKey(ctx, admin, "R1"))
	ks, _, err := b.HostKeys(ctx, viewer, dispatch.Page{})
	must(t, err)
	if len(ks) != 0 {
		t.Errorf("keys %+v", ks)
	}
}
