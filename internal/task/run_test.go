package task

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"drover/internal/device/sshsim"
	"drover/internal/event"
	"drover/internal/job"
	"drover/internal/planner"
)

func TestRun_AllSucceed(t *testing.T) {
	l := newLab(t, 5, nil)
	f := l.functions(nil)
	ref := l.submit(jobSpec{body: `echo {{ payload["aid"] }} from {{ device.name }} of {{ len(devices) }}`, payload: `{"aid": 7}`})
	l.must(l.run(t.Context(), f, ref))
	run, rows := l.settled(ref)
	if run.Status != job.Succeeded || run.Started == nil || run.Counts.Succeeded != 5 {
		t.Errorf("%+v", run)
	}
	for i, r := range rows {
		if want := "7 from R" + string(rune('1'+i)) + " of 5\n"; r.Output.Stdout != want || r.Attempts != 1 || r.Exit == nil || *r.Exit != 0 {
			t.Errorf("device %d: %+v, want %q", i, r, want)
		}
	}
	if got := l.events.of(event.RunEnded); len(got) != 1 || got[0].Counts.Succeeded != 5 {
		t.Errorf("events %+v", got)
	}
	if n := l.fleet.Executions(); n != 5 {
		t.Errorf("%d commands", n)
	}
}

func TestRun_Twice(t *testing.T) {
	l := newLab(t, 3, nil)
	f := l.functions(nil)
	ref := l.submit(jobSpec{body: "echo hello"})
	l.must(l.run(t.Context(), f, ref))
	before, _ := l.settled(ref)
	for _, again := range []*Functions{f, l.functions(nil)} {
		l.must(l.run(t.Context(), again, ref))
	}
	after, _ := l.settled(ref)
	if !reflect.DeepEqual(before, after) || l.fleet.Executions() != 3 {
		t.Errorf("%+v\nbecame\n%+v after %d commands", before, after, l.fleet.Executions())
	}
}

func TestRun_Outcomes(t *testing.T) {
	l := newLab(t, 6, func(i int) sshsim.Behaviour {
		switch i {
		case 1:
			return sshsim.Behaviour{DropAt: sshsim.StageKex}
		case 2:
			return sshsim.Behaviour{DropAt: sshsim.StageOutput}
		}
		return sshsim.Behaviour{}
	})
	f := l.functions(nil)
	targets := make([]job.Target, 6)
	for i, d := range l.fleet.Devices {
		targets[i] = job.Target{ID: l.ids[i], Name: d.Name}
	}
	d := l.fleet.Devices[3]
	targets[3].ID = l.device(job.Device{Meta: job.Meta{Name: "wrong"}, Address: d.Address, Port: d.Port, CredentialID: l.credential("wrong", "wr0ng-pw")})
	targets[4].ID = l.device(job.Device{Meta: job.Meta{Name: "none"}, Address: d.Address, Port: d.Port})
	targets[5].ID = 1 << 40
	ref := l.submit(jobSpec{body: "echo dr0ver-pw; exit 3", targets: targets})
	l.must(l.run(t.Context(), f, ref))
	run, rows := l.settled(ref)
	if run.Status != job.Failed || run.Reason != job.ReasonDevices {
		t.Errorf("%s %q", run.Status, run.Reason)
	}
	for i, want := range []struct {
		status job.ResultStatus
		reason string
	}{
		{job.ResultFailed, job.ReasonExitStatus}, {job.ResultUnreachable, job.ReasonConnect}, {job.ResultUnknown, job.ReasonLost},
		{job.ResultFailed, job.ReasonAuthentication}, {job.ResultFailed, job.ReasonNoCredential}, {job.ResultFailed, job.ReasonDeviceGone},
	} {
		if r := rows[i]; r.Status != want.status || r.Reason != want.reason {
			t.Errorf("device %d: %s %q %q, want %s %q", i, r.Status, r.Reason, r.Message, want.status, want.reason)
		}
	}
	if out := rows[0].Output.Stdout; out != job.Redacted+"\n" {
		t.Errorf("output %q", out)
	}
}

func TestRun_WithoutDevices(t *testing.T) {
	for needs, want := range map[bool]job.Status{false: job.Succeeded, true: job.Failed} {
		l := newLab(t, 1, nil)
		f := l.functions(nil)
		ref := l.submit(jobSpec{body: "echo", targets: []job.Target{}, change: func(r *job.Run, _ *job.Job) { r.NeedsTargets = needs }})
		p, err := f.Plan(t.Context(), ref)
		l.must(err)
		if p.Map != MapNone || len(p.Units) != 0 || p.Concurrency < 1 {
			t.Errorf("%+v", p)
		}
		l.must(l.run(t.Context(), f, ref))
		if run, _ := l.settled(ref); run.Status != want {
			t.Errorf("needs targets %v: %s %q", needs, run.Status, run.Reason)
		}
	}
}

func TestRun_LongSpecAndLongOutput(t *testing.T) {
	l := newLab(t, 1, func(int) sshsim.Behaviour {
		return sshsim.Behaviour{Respond: func(i sshsim.Invocation) sshsim.Reply {
			return sshsim.Reply{Stdout: noise(50 << 10)}
		}}
	})
	ref := l.submit(jobSpec{body: "cat it", specBlob: true})
	l.must(l.run(t.Context(), l.functions(nil), ref))
	_, rows := l.settled(ref)
	if got := rows[0].Output.Stdout; got != string(noise(50<<10)) {
		t.Errorf("%d bytes", len(got))
	}
	if l.bucket.puts != 2 {
		t.Errorf("%d objects written, want the specification and one output", l.bucket.puts)
	}
}

// noise is text that does not compress well.
func noise(n int) []byte {
	p := make([]byte, n)
	x := uint32(1)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = ' ' + byte(x>>24)%90
	}
	return p
}

func TestRun_UnitsOfSeveralDevices(t *testing.T) {
	l := newLab(t, 5, nil)
	f := l.functions(nil)
	ref := l.submit(jobSpec{body: "echo {{ device.name }}"})
	_, err := f.Plan(t.Context(), ref)
	l.must(err)
	run := l.stored(ref)
	next := run
	next.DevicesPerUnit, next.Units = 2, 3
	l.must(l.store.UpdateRun(t.Context(), run, next, job.AuditEntry{}))
	for u := range 3 {
		l.must(l.unit(t.Context(), f, ref, u))
	}
	if _, err := f.Execute(t.Context(), UnitRef{Tenant: ref.Tenant, Run: ref.Run, Unit: 3}); reflect.TypeOf(err) != reflect.TypeFor[InvalidInputError]() {
		t.Errorf("a unit too many: %v", err)
	}
	_, err = f.Finish(t.Context(), ref)
	l.must(err)
	if run, _ := l.settled(ref); run.Counts.Succeeded != 5 {
		t.Errorf("%+v", run.Counts)
	}
}

func TestRun_JumpHostAndPins(t *testing.T) {
	l := newLab(t, 2, nil)
	f := l.functions(nil)
	d := l.fleet.Devices[1]
	behind := l.device(job.Device{Meta: job.Meta{Name: "behind"}, Address: d.Address, Port: d.Port, CredentialID: 1, JumpID: l.ids[0]})
	ref := l.submit(jobSpec{body: "echo hello", targets: []job.Target{{ID: behind, Name: "behind"}}})
	l.must(l.run(t.Context(), f, ref))
	if run, rows := l.settled(ref); run.Status != job.Succeeded {
		t.Fatalf("%+v", rows)
	}
	if n := l.fleet.Devices[0].Stats().Forwards; n != 1 {
		t.Errorf("%d connections through the jump host", n)
	}
	for _, id := range []int64{behind, l.ids[0]} {
		if k, err := l.store.HostKey(t.Context(), tenant, id); err != nil || k.Key != d.HostKey() {
			t.Errorf("device %d: pinned %q, %v", id, k.Key, err)
		}
	}
	other, err := sshsim.NewHostKey()
	l.must(err)
	d.SetHostKey(other)
	for range 2 {
		ref = l.submit(jobSpec{body: "echo hello", targets: []job.Target{{ID: behind, Name: "behind"}}})
		l.must(l.run(t.Context(), f, ref))
		if _, rows := l.settled(ref); rows[0].Status != job.ResultFailed || rows[0].Reason != job.ReasonHostKeyChanged {
			t.Errorf("%+v", rows[0])
		}
	}
	if got := l.events.of(event.HostKeyChanged); len(got) != 1 || got[0].Device != "behind" {
		t.Errorf("events %+v", got)
	}
	if k, err := l.store.HostKey(t.Context(), tenant, behind); err != nil || k.Offered != d.HostKey() || k.OfferedAt == nil {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestRun_CircleOfJumpHosts(t *testing.T) {
	l := newLab(t, 1, nil)
	d, err := l.store.Device(t.Context(), tenant, l.ids[0])
	l.must(err)
	next := d
	next.JumpID = d.ID
	l.must(l.store.PutDevice(t.Context(), &d, &next))
	ref := l.submit(jobSpec{body: "echo"})
	l.must(l.run(t.Context(), l.functions(nil), ref))
	if _, rows := l.settled(ref); rows[0].Status != job.ResultFailed || rows[0].Reason != job.ReasonJump || l.fleet.Executions() != 0 {
		t.Errorf("%+v", rows[0])
	}
}

func TestRun_RetriesWithLongWaits(t *testing.T) {
	fail := true
	l := newLab(t, 1, func(int) sshsim.Behaviour {
		return sshsim.Behaviour{Respond: func(sshsim.Invocation) sshsim.Reply {
			if fail {
				fail = false
				return sshsim.Reply{Status: 1}
			}
			return sshsim.Reply{Stdout: []byte("ok")}
		}}
	})
	limits := quick()
	limits.Retries = job.Retries{Count: 1, Wait: 10 * time.Minute}
	ref := l.submit(jobSpec{body: "x", limits: limits})
	l.must(l.run(t.Context(), l.functions(nil), ref))
	if _, rows := l.settled(ref); rows[0].Attempts != 2 || rows[0].Output.Stdout != "ok" {
		t.Errorf("%+v", rows[0])
	}
}

func TestPlan_KeepsItsPlan(t *testing.T) {
	l := newLab(t, 3, nil)
	f := l.functions(nil)
	ref := l.submit(jobSpec{body: "echo"})
	first, err := f.Plan(t.Context(), ref)
	l.must(err)
	run := l.stored(ref)
	l.ahead.Add(int64(10 * time.Second))
	second, err := f.Plan(t.Context(), ref)
	l.must(err)
	if !reflect.DeepEqual(first, second) || !reflect.DeepEqual(run, l.stored(ref)) {
		t.Errorf("%+v\nthen %+v", first, second)
	}
	if run.Status != job.Running || !run.Due.Equal(*run.Deadline) || run.Units != 3 || run.DevicesPerUnit != 1 || len(first.Units) != 3 || first.Map != MapInline {
		t.Errorf("%+v", run)
	}
	l.cancel(ref)
	if third, err := f.Plan(t.Context(), ref); err != nil || third.Map != MapNone {
		t.Errorf("canceled: %+v, %v", third, err)
	}
}

func TestPlan_TooLateToStart(t *testing.T) {
	l := newLab(t, 2, nil)
	f := l.functions(nil)
	late := l.now().Add(-time.Second)
	ref := l.submit(jobSpec{body: "echo", change: func(r *job.Run, _ *job.Job) { r.Deadline = &late }})
	l.must(l.run(t.Context(), f, ref))
	if run, _ := l.settled(ref); run.Status != job.TimedOut || run.Counts.Skipped != 2 || l.fleet.Executions() != 0 {
		t.Errorf("%+v", run)
	}
}

// Owners are compared to tell one's own claim from another's.
func TestNew_OwnersDiffer(t *testing.T) {
	one, _ := New(Config{}).enter(runID{})
	two, _ := New(Config{}).enter(runID{})
	if one == two {
		t.Errorf("two processes are both %q", one)
	}
}

func TestMaps_AreThePlanners(t *testing.T) {
	for want, m := range map[string]planner.Map{MapNone: planner.None, MapInline: planner.Inline, MapExpress: planner.Express, MapStandard: planner.Standard} {
		if string(m) != want {
			t.Errorf("%s is %s here", m, want)
		}
	}
}

func TestErrors_Names(t *testing.T) {
	l := newLab(t, 1, nil)
	f := l.functions(nil)
	known := map[string]bool{}
	for _, n := range ErrorNames() {
		known[n] = true
	}
	_, version := f.Plan(t.Context(), RunRef{V: Version + 1, Tenant: "t", Run: "r"})
	_, empty := f.Finish(t.Context(), RunRef{})
	_, gone := f.Execute(t.Context(), UnitRef{Tenant: "t", Run: "r"})
	_, planned := f.Plan(t.Context(), RunRef{Tenant: "t", Run: "r"})
	for _, c := range []struct {
		err  error
		want string
	}{
		{version, "VersionError"}, {empty, "InvalidInputError"}, {gone, "InvalidInputError"}, {planned, "InvalidInputError"},
		{exit(job.Errorf(job.Exhausted, "x")), "ThrottledError"},
		{exit(job.Errorf(job.Unavailable, "x")), "InternalError"},
		{exit(context.Canceled), "InternalError"},
		{exit(VersionError{"x"}), "VersionError"},
	} {
		got := reflect.TypeOf(c.err).Name()
		if got != c.want || !known[got] {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
	if exit(nil) != nil {
		t.Error("no error became one")
	}
}

// Two writes and one batch read for a device that needs one attempt.
func TestExecute_WhatTheStoreIsAskedFor(t *testing.T) {
	l := newLab(t, 4, nil)
	f := l.functions(func(c *Config) { c.Every = time.Minute })
	l.must(l.run(t.Context(), f, l.submit(jobSpec{body: "echo pins the keys"})))
	body := "echo " + strings.Repeat("x", 4<<10)
	ref := l.submit(jobSpec{body: body})
	p, err := f.Plan(t.Context(), ref)
	l.must(err)
	for i, u := range p.Units {
		l.driver.reset()
		l.must(l.unit(t.Context(), f, ref, u))
		if n := len(l.driver.puts); n != 2 || l.driver.groups != 0 {
			t.Errorf("device %d: %d writes, %d groups, want 2 and none", i, n, l.driver.groups)
		}
		units := 0
		for _, row := range l.driver.puts {
			units += (len(row.Value) + len(row.Key.Partition) + len(row.Key.Sort) + 1023) / 1024
		}
		if units > 5 {
			t.Errorf("device %d: %d write units, want at most 5", i, units)
		}
		batches, bytes := 0, 0
		for j, n := range l.driver.gets {
			bytes += n
			if l.driver.keys[j] > 1 {
				batches++
			}
		}
		if i > 0 && (batches != 1 || bytes > 8<<10) {
			t.Errorf("device %d: %d batch reads, %d bytes, want one of at most 8 KiB", i, batches, bytes)
		}
		if bytes > 8<<10+job.TargetsPerChunk*100 {
			t.Errorf("the first device: %d bytes read", bytes)
		}
	}
}

func TestExecute_LargestInlineOutputFitsTheBudget(t *testing.T) {
	for _, size := range []int{600, 2000, 3000, 3400, 4000, 8000} {
		l := newLab(t, 1, func(int) sshsim.Behaviour {
			return sshsim.Behaviour{Respond: func(sshsim.Invocation) sshsim.Reply { return sshsim.Reply{Stdout: noise(size)} }}
		})
		f := l.functions(func(c *Config) { c.Every = time.Minute })
		ref := l.submit(jobSpec{body: "x"})
		_, err := f.Plan(t.Context(), ref)
		l.must(err)
		l.driver.reset()
		l.must(l.unit(t.Context(), f, ref, 0))
		units := 0
		for _, row := range l.driver.puts {
			if isResult(row) {
				units += (len(row.Value) + len(row.Key.Partition) + len(row.Key.Sort) + 1023) / 1024
			}
		}
		if units > 5 {
			t.Errorf("output of %d bytes: %d write units", size, units)
		}
	}
}
