package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseAt(t *testing.T) {
	now := time.Date(2026, 3, 10, 14, 30, 0, 0, time.UTC)
	for _, c := range []struct{ at, zone, want string }{
		{"2026-11-27T20:15:00Z", "", "2026-11-27T20:15:00Z"},
		{"2026-11-27T20:15:00+01:00", "America/New_York", "2026-11-27T19:15:00Z"},
		{"2026-11-27 20:15", "", "2026-11-27T20:15:00Z"},
		{"2026-11-27 20:15:30", "Europe/Berlin", "2026-11-27T19:15:30Z"},
		{"2026-11-27T20:15", "", "2026-11-27T20:15:00Z"},
		{"+90m", "", "2026-03-10T16:00:00Z"},
	} {
		got, err := parseAt(c.at, c.zone, now)
		if err != nil || got.UTC().Format(time.RFC3339) != c.want {
			t.Errorf("%q in %q: %v, %v; want %s", c.at, c.zone, got, err, c.want)
		}
	}
	for _, bad := range []struct{ at, zone string }{{"tomorrow", ""}, {"+soon", ""}, {"+-3h", ""}, {"2026-13-01 00:00", ""}, {"2026-11-27 20:15", "Mars/Phobos"}} {
		if got, err := parseAt(bad.at, bad.zone, now); err == nil {
			t.Errorf("%q in %q is %v", bad.at, bad.zone, got)
		}
	}
}

func TestSchedules(t *testing.T) {
	l := newLab(t, 2)
	l.ok("import", l.fleetFile(hello))
	if out := l.ok("schedules"); out != "there are no schedules\n" {
		t.Errorf("%q", out)
	}
	if out := l.ok("schedules", "--json"); out != "[]\n" {
		t.Errorf("%q", out)
	}
	out := l.ok("run", "hello", "--cron", "0 3 * * sun", "--zone", "Europe/Berlin", "--query", "name ~ R*")
	if !strings.HasPrefix(out, "schedule 1: run ") || !strings.Contains(out, " is to start at ") {
		t.Errorf("%q", out)
	}
	l.ok("run", "hello", "--at", "+2h", "--device", "R1")
	var list []map[string]any
	decode(t, l.ok("schedules", "--json"), &list)
	if len(list) != 2 {
		t.Fatalf("%v", list)
	}
	keys(t, list[0], "id state service creator created schedule runs next next_run last last_run")
	if out := l.ok("schedules"); !strings.Contains(out, "cron 0 3 * * sun Europe/Berlin") || !strings.Contains(out, "active") {
		t.Errorf("%s", out)
	}
	var runs []map[string]any
	decode(t, l.ok("runs", "--json", "--status", "scheduled"), &runs)
	if len(runs) != 2 {
		t.Fatalf("%v", runs)
	}
	keys(t, runs[0], "id status reason service creator counts created started ended planned schedule_id")
	if out := l.ok("show", runs[0]["id"].(string)); !strings.Contains(out, "planned for ") || !strings.Contains(out, "by schedule 2") {
		t.Errorf("%s", out)
	}
	for _, step := range []struct{ do, want string }{
		{"pause", "schedule 1 paused: next run at "}, {"resume", "schedule 1 active: next run at "}, {"cancel", "schedule 1 canceled\n"},
	} {
		if out := l.ok("schedules", step.do, "1"); !strings.HasPrefix(out, step.want) {
			t.Errorf("%s: %q", step.do, out)
		}
	}
	if out := l.ok("schedules", "show", "1"); !strings.Contains(out, "schedule 1 of hello by admin, cron 0 3 * * sun Europe/Berlin\ncanceled\n") || !strings.Contains(out, "RUN") {
		t.Errorf("%s", out)
	}
	var shown map[string]any
	decode(t, l.ok("schedules", "show", "2", "--json"), &shown)
	if shown["state"] != "active" || len(shown["latest"].([]any)) != 1 {
		t.Errorf("%v", shown)
	}
	if out := l.ok("schedules", "delete", "2"); out != "schedule 2 is gone\n" {
		t.Errorf("%q", out)
	}
	for _, c := range []struct {
		args   []string
		status int
		err    string
	}{
		{[]string{"schedules", "show", "2"}, 1, "drover: "},
		{[]string{"schedules", "pause", "nightly"}, 1, `drover: "nightly" is not the number of a schedule; drover schedules lists them` + "\n"},
		{[]string{"schedules", "resume", "1"}, 1, "drover: "},
		{[]string{"schedules", "cancel"}, 2, "drover: cancel: ID is missing (see drover schedules cancel --help)\n"},
		{[]string{"run", "hello", "--at", "+2h", "--cron", "* * * * *"}, 2, "drover: --at and --cron: only one of them can be given\n"},
		{[]string{"run", "hello", "--at", "+2h", "--watch"}, 2, "drover: --watch: "},
		{[]string{"run", "hello", "--zone", "UTC"}, 2, "drover: --zone: is for --at and --cron\n"},
		{[]string{"run", "hello", "--cron", "foo"}, 2, "drover: "},
		{[]string{"run", "hello", "--query", "name ="}, 2, "drover: search: no value follows '=' (at byte 5)\n"},
		{[]string{"run", "hello", "--query", "name = R1", "--pool", "Lab"}, 2, "drover: query: "},
		{[]string{"run", "hello", "--stop-after", "some"}, 2, "drover: stop_after: "},
		{[]string{"run", "hello", "--run-timeout", "-1h"}, 2, "drover: run_timeout: "},
	} {
		if r := l.run(c.args...); r.status != c.status || !strings.HasPrefix(r.err, c.err) {
			t.Errorf("%q: %+v, want %d %q", c.args, r, c.status, c.err)
		}
	}
	if l.fleet.Executions() != 0 {
		t.Error("a command ran")
	}
}

func TestRerun(t *testing.T) {
	l := newLab(t, 3)
	l.ok("import", l.fleetFile(hello))
	l.run("run", "failing")
	var runs []map[string]any
	decode(t, l.ok("runs", "--json"), &runs)
	id := runs[0]["id"].(string)
	for _, c := range []struct {
		args   []string
		status int
		out    string
	}{
		{nil, 1, "failed (devices): 2 succeeded, 1 failed,"},
		{[]string{"--failed", "--watch"}, 1, "failed (devices): 1 failed,"},
		{[]string{"--status", "succeeded"}, 0, "succeeded: 2 succeeded,"},
		{[]string{"--status", "succeeded", "--status", "failed"}, 1, "2 succeeded, 1 failed,"},
		{[]string{"--status", "unreachable"}, 2, "no devices"},
		{[]string{"--status", "sad"}, 2, ""},
	} {
		if r := l.run(append([]string{"rerun", id}, c.args...)...); r.status != c.status || !strings.Contains(r.out, c.out) {
			t.Errorf("%q: %+v", c.args, r)
		}
	}
	decode(t, l.ok("runs", "--json", "--limit", "1"), &runs)
	keys(t, runs[0], "id status reason service creator counts created started ended rerun_of")
	if runs[0]["rerun_of"] != id {
		t.Errorf("%v", runs[0])
	}
	if r := l.run("rerun", "nope"); r.status != 2 || !strings.HasPrefix(r.err, "drover: ") {
		t.Errorf("%+v", r)
	}
}

func TestRun_Query(t *testing.T) {
	l := newLab(t, 3)
	l.ok("import", l.fleetFile(hello))
	if out := l.ok("run", "hello", "--query", "name ^ (R1, R3)", "--stop-after", "50%", "--run-timeout", "1m"); !strings.Contains(out, "succeeded: 2 succeeded") {
		t.Errorf("%s", out)
	}
	if out := l.ok("run", "hello", "--query", "not name = R1", "--dry-run"); !strings.Contains(out, "2 devices; nothing was run") {
		t.Errorf("%s", out)
	}
	if r := l.run("run", "hello", "--query", "name = nobody"); r.status != 2 {
		t.Errorf("%+v", r)
	}
}

func TestCancel_Force(t *testing.T) {
	l := newLab(t, 1)
	l.ok("import", l.fleetFile(hello))
	var runs []map[string]any
	go l.run("run", "slow")
	for deadline := time.Now().Add(20 * time.Second); l.fleet.Executions() == 0 && time.Now().Before(deadline); {
		if sleep(t.Context(), 5*time.Millisecond) != nil {
			return
		}
	}
	decode(t, l.ok("runs", "--json", "--limit", "1"), &runs)
	id := runs[0]["id"].(string)
	l.ok("cancel", id, "--force")
	if r := l.run("show", id, "--watch"); r.status != 1 || !strings.Contains(r.out, "canceled") {
		t.Errorf("%+v", r)
	}
}
