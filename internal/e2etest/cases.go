package e2etest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/device/sshsim"
)

// Cases runs every case against an installation. Devices that the cases need
// are started, and stopped, here. Cases that mostly wait are run beside each other
// when the others are over.
func Cases(t *testing.T, target Target) {
	t.Run("cases", func(t *testing.T) {
		for _, c := range []struct {
			name  string
			run   func(client)
			waits bool
		}{
			{"health", health, false},
			{"sync", syncRun, false},
			{"async", asyncRun, false},
			{"failing and unreachable device", failing, false},
			{"wrong device password", wrongDevicePassword, false},
			{"wrong password", wrongPassword, false},
			{"idempotent submit", idempotent, false},
			{"bad input", badInput, false},
			{"300 devices", many, false},
			{"an answer that is too long", longAnswer, false},
			{"bad day", badDay, false},
			{"a command for three hours", long, true},
			{"cancel", cancel, true},
			{"runs that are scheduled", scheduled, true},
			{"a synchronous call that outlives its patience", outlives, true},
			{"Ansible's collection for Foreman", ansible, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				if c.waits {
					t.Parallel()
				}
				start := time.Now()
				c.run(client{t, target})
				t.Logf("%s", time.Since(start).Round(time.Millisecond))
			})
		}
	})
	t.Run("restart in the middle of a run", func(t *testing.T) {
		start := time.Now()
		restart(client{t, target})
		t.Logf("%s", time.Since(start).Round(time.Millisecond))
	})
}

// fleet starts n devices and returns them with the file that describes them:
// one pool and one service, all named after the case.
func fleet(c client, name string, n int, script string) (*sshsim.Fleet, object) {
	c.t.Helper()
	return fleetOf(c, name, sshsim.Config{Devices: n}, script)
}

// fleetOf is fleet with devices of another kind.
func fleetOf(c client, name string, config sshsim.Config, script string) (*sshsim.Fleet, object) {
	c.t.Helper()
	config.OneHostKey, config.Password = true, devicePassword
	f, err := sshsim.Start(config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = f.Close() })
	name = "e2e-" + name
	devices := make([]any, len(f.Devices))
	for i, d := range f.Devices {
		devices[i] = object{"name": name + "-" + d.Name, "address": d.Address, "port": d.Port, "platform": "linux",
			"credential": name, "pools": []string{name}}
	}
	return f, object{
		"credentials": []any{object{"name": name, "username": "drover", "password": devicePassword}},
		"pools":       []any{object{"name": name}},
		"devices":     devices,
		"services": []any{object{"name": name, "type": "script", "body": script, "timeout": "60s",
			"retries": object{"count": 0}, "targets": object{"pools": []string{name}}}},
	}
}

func health(c client) {
	if a := c.call(http.MethodGet, "/healthz", nil); a.status != http.StatusOK {
		c.t.Errorf("%d %s", a.status, a.body)
	}
	// eNMS's own workflows send a body with a GET, and Ansible the body null.
	for _, body := range []any{nil, object{"a": 1}, json.RawMessage("null")} {
		if a := c.call(http.MethodGet, "/rest/is_alive?x=1", body); a.status != http.StatusOK {
			c.t.Errorf("with body %v: %d %s", body, a.status, a.body)
		}
	}
}

func syncRun(c client) {
	f, file := fleet(c, "sync", 3, `echo {{ payload["aid"] }} from {{ device.name }}`)
	c.load(file)
	o := c.run(object{"name": "e2e-sync", "aid": "1-2-3"})
	want := names("sync", 3)
	if !o.Success || !slices.Equal(slices.Sorted(slices.Values(o.Summary.Success)), want) || len(o.Summary.Failure) > 0 {
		c.t.Fatalf("%+v", o)
	}
	for _, n := range want {
		if d := o.Devices[n]; !d.Success || strings.TrimSpace(d.Result) != "1-2-3 from "+n || d.Code != "0" {
			c.t.Errorf("%s: %+v", n, d)
		}
	}
	ranOnce(c, f)

	// One device of them, chosen by the request; twice is two runs.
	o = c.run(object{"name": "e2e-sync", "aid": "x", "devices": want[:1]})
	if len(o.Devices) != 1 || f.Devices[0].Count() != 2 || f.Executions() != 4 {
		c.t.Errorf("%+v; %d commands", o, f.Executions())
	}
	if status, again := c.result("e2e-sync", o.Runtime); status != "Completed" || len(again.Devices) != 1 || again.Devices[want[0]] != o.Devices[want[0]] {
		c.t.Errorf("read again: %s %+v", status, again)
	}
}

// ranOnce expects one command on every device.
func ranOnce(c client, f *sshsim.Fleet) {
	c.t.Helper()
	for _, d := range f.Devices {
		if n := d.Count(); n != 1 {
			c.t.Errorf("%s ran %d commands", d.Name, n)
		}
	}
}

func asyncRun(c client) {
	f, file := fleet(c, "async", 2, "sleep 1; echo done")
	c.load(file)
	o := c.run(object{"name": "e2e-async", "async": true})
	if len(o.Devices) > 0 {
		c.t.Errorf("an asynchronous answer with results: %+v", o)
	}
	status, o := c.wait("e2e-async", o.Runtime, c.target.Settle)
	if status != "Completed" || !o.Success || len(o.Summary.Success) != 2 {
		c.t.Errorf("%s %+v", status, o)
	}
	ranOnce(c, f)
}

func failing(c client) {
	f, file := fleet(c, "failing", 3, `echo out; exit {{ 3 if device.name == "e2e-failing-R1" else 0 }}`)
	// R2's port is closed: nobody listens where its listener was.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	file["devices"].([]any)[1].(object)["port"] = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	c.load(file)
	o := c.run(object{"name": "e2e-failing"})
	all := names("failing", 3)
	if o.Success || !slices.Equal(o.Summary.Success, all[2:]) || !slices.Equal(slices.Sorted(slices.Values(o.Summary.Failure)), all[:2]) {
		c.t.Fatalf("%+v", o)
	}
	if d := o.Devices[all[0]]; d.Success || d.Code != "3" || strings.TrimSpace(d.Result) != "out" {
		c.t.Errorf("failing: %+v", d)
	}
	if d := o.Devices[all[1]]; d.Success || d.Code != "" || d.Result == "" {
		c.t.Errorf("unreachable: %+v", d)
	}
	if f.Devices[0].Count() != 1 || f.Devices[1].Count() != 0 || f.Devices[2].Count() != 1 {
		c.t.Errorf("%d commands", f.Executions())
	}
}

// Canaries are passwords that the cases store in Target. Nothing but sealed
// secrets may hold them.
func Canaries() []string { return []string{devicePassword, wrongLogin} }

const (
	devicePassword = "canary-e2e-device"
	wrongLogin     = "canary-e2e-login"
)

func wrongDevicePassword(c client) {
	f, file := fleet(c, "login", 1, "echo never")
	file["credentials"].([]any)[0].(object)["password"] = wrongLogin
	c.load(file)
	a := c.call(http.MethodPost, "/rest/run_service", object{"name": "e2e-login"})
	var o outcome
	a.into(c.t, &o)
	if a.status != http.StatusOK || o.Success || len(o.Summary.Failure) != 1 || f.Executions() != 0 {
		c.t.Errorf("%d %s", a.status, a.body)
	}
	if strings.Contains(string(a.body), wrongLogin) {
		c.t.Errorf("the password is in the answer: %s", a.body)
	}
}

// wrongPassword stays far below what locks the administrator out.
func wrongPassword(c client) {
	for _, try := range []struct{ user, password, method, path string }{
		{c.target.User, "wrong", http.MethodPost, "/rest/run_service"},
		{"e2e-nobody", "wrong", http.MethodPost, "/rest/run_service"},
		{"", "", http.MethodGet, "/rest/instance/device/e2e-sync-R1"},
		{"e2e-nobody", "wrong", http.MethodGet, "/drover/v1/runs"},
	} {
		if a := c.callAs(try.user, try.password, try.method, try.path, object{"name": "e2e-sync"}); a.status != http.StatusUnauthorized {
			c.t.Errorf("%s %s as %q: %d %s", try.method, try.path, try.user, a.status, a.body)
		}
	}
}

func idempotent(c client) {
	f, file := fleet(c, "key", 2, "echo once")
	c.load(file)
	key := []string{"Idempotency-Key", "e2e-" + time.Now().Format(time.RFC3339Nano)}
	body := object{"name": "e2e-key"}
	first := c.run(body, key...)
	again := c.run(body, key...)
	if first.Runtime != again.Runtime || !again.Success {
		c.t.Errorf("first %+v, again %+v", first, again)
	}
	ranOnce(c, f)
	if a := c.call(http.MethodPost, "/rest/run_service", object{"name": "e2e-key", "other": 1}, key...); a.status != http.StatusUnprocessableEntity {
		c.t.Errorf("same key, other body: %d %s", a.status, a.body)
	}
	ranOnce(c, f)
}

func badInput(c client) {
	for _, b := range []struct {
		method, path string
		body         any
		want         int
	}{
		{http.MethodPost, "/rest/run_service", []int{1}, http.StatusBadRequest},
		{http.MethodPost, "/rest/run_service", object{"devices": []string{"e2e-sync-R1"}}, http.StatusBadRequest},
		{http.MethodPost, "/rest/run_service", object{"name": "e2e-no such service"}, http.StatusForbidden},
		{http.MethodGet, "/rest/run_service", nil, http.StatusNotFound},
		{http.MethodGet, "/rest/no/such/path", nil, http.StatusNotFound},
		{http.MethodGet, "/rest/result/e2e-sync/2020-01-01%2000:00:00.000000", nil, http.StatusNotFound},
	} {
		if a := c.call(b.method, b.path, b.body); a.status != b.want {
			c.t.Errorf("%s %s %v: %d %s, want %d", b.method, b.path, b.body, a.status, a.body, b.want)
		}
	}
}

// cancel stops a run of which one device works and the other one, concurrency
// being one, has not begun.
func cancel(c client) {
	f, file := fleet(c, "cancel", 2, "sleep 50; echo too late")
	file["services"].([]any)[0].(object)["concurrency"] = 1
	c.load(file)
	o := c.run(object{"name": "e2e-cancel", "async": true})
	if !c.eventually(time.Minute, func() bool { return f.Executions() > 0 }) {
		c.t.Fatal("no device began")
	}
	asked := time.Now()
	if a := c.call(http.MethodPost, "/rest/stop_run/"+strings.ReplaceAll(o.Runtime, " ", "%20"), nil); a.status != http.StatusOK {
		c.t.Fatalf("stop_run: %d %s", a.status, a.body)
	}
	status, o := c.wait("e2e-cancel", o.Runtime, c.target.Settle)
	if status != "Aborted" || o.Success || len(o.Summary.Success) > 0 || len(o.Summary.Failure) != 2 {
		c.t.Errorf("%s %+v", status, o)
	}
	if f.Executions() > 2 {
		c.t.Errorf("%d commands", f.Executions())
	}
	for _, d := range f.Devices {
		for _, e := range d.Executions() {
			if e.Status != -1 || e.Started.After(asked.Add(time.Second)) {
				c.t.Errorf("%s: %+v, asked to stop at %s", d.Name, e, asked)
			}
		}
	}
}

func many(c client) {
	const n = 300
	f, file := fleet(c, "many", n, "echo {{ device.name }}")
	c.load(file)
	// An emulator may lose a function in the middle of its work, and what it was
	// doing is rightly unknown then: one such run is told and followed by another.
	for try := 1; ; try++ {
		o := c.run(object{"name": "e2e-many", "async": true})
		status, o := c.wait("e2e-many", o.Runtime, 5*time.Minute)
		for _, d := range f.Devices {
			if d.Count() > try {
				c.t.Errorf("%s ran %d commands in %d runs", d.Name, d.Count(), try)
			}
		}
		if len(o.Devices) != n {
			c.t.Fatalf("%s, %d entries", status, len(o.Devices))
		}
		lost := 0
		for n, d := range o.Devices {
			switch {
			case !d.Success && try == 1:
				lost++
				c.t.Logf("%s: %+v", n, d)
			case !d.Success || strings.TrimSpace(d.Result) != n:
				c.t.Errorf("%s: %+v", n, d)
			}
		}
		if lost == 0 {
			if status != "Completed" || !o.Success || len(o.Summary.Success) != n {
				c.t.Errorf("%s, %d succeeded, %d failed", status, len(o.Summary.Success), len(o.Summary.Failure))
			}
			return
		}
	}
}

// maxAnswer is the most that an answer may have, in bytes.
const maxAnswer = 5 << 20

// longAnswer has seven devices answer with nearly a megabyte each: all of them are
// in the answer, which stays within its limit because the texts are cut and say so.
func longAnswer(c client) {
	const n, size = 7, 1000 << 10
	line := strings.Repeat("0123456789abcdef", 63) + "\n"
	f, file := fleetOf(c, "long", sshsim.Config{Devices: n, Behave: func(int) sshsim.Behaviour {
		return sshsim.Behaviour{Respond: func(in sshsim.Invocation) sshsim.Reply {
			return sshsim.Reply{Stdout: []byte(in.Device + strings.Repeat(line, size/len(line)))}
		}}
	}}, "show everything")
	c.load(file)
	o := c.run(object{"name": "e2e-long", "async": true})
	runtime := o.Runtime
	_, o = c.wait("e2e-long", runtime, 2*time.Minute)
	a := c.call(http.MethodGet, "/rest/result/e2e-long/"+url.PathEscape(runtime), nil)
	var whole struct {
		Cut struct{ Texts, Devices int }
	}
	a.into(c.t, &whole)
	if len(a.body) > maxAnswer || len(a.body) < maxAnswer/4 {
		c.t.Errorf("the answer has %d bytes, at most %d are allowed", len(a.body), maxAnswer)
	}
	if !o.Success || len(o.Devices) != n || whole.Cut.Texts == 0 || whole.Cut.Devices != 0 {
		c.t.Errorf("success %v, %d devices, cut %+v", o.Success, len(o.Devices), whole.Cut)
	}
	for name, d := range o.Devices {
		if !d.Success || !strings.Contains(d.Result, "\n[cut: ") || !strings.HasSuffix(d.Result, " bytes are left out]") {
			c.t.Errorf("%s: %v, %d bytes that end in %q", name, d.Success, len(d.Result), d.Result[max(0, len(d.Result)-60):])
		}
	}
	ranOnce(c, f)
}

// outlives calls synchronously for a run that takes longer than the call may: the
// answer comes in time and names the run, which goes on.
func outlives(c client) {
	f, file := fleet(c, "outlives", 1, fmt.Sprintf("sleep %d; echo at last", int((c.target.Patience+5*time.Second).Seconds())))
	c.load(file)
	start := time.Now()
	a := c.call(http.MethodPost, "/rest/run_service", object{"name": "e2e-outlives"})
	took := time.Since(start)
	var o outcome
	a.into(c.t, &o)
	if a.status != http.StatusGatewayTimeout || o.Runtime == "" || took < c.target.Patience-time.Second || took > c.target.Patience+2*time.Second {
		c.t.Fatalf("%d after %s: %s", a.status, took, a.body)
	}
	status, o := c.wait("e2e-outlives", o.Runtime, time.Minute)
	if status != "Completed" || !o.Success || strings.TrimSpace(o.Devices["e2e-outlives-R1"].Result) != "at last" {
		c.t.Errorf("%s %+v", status, o)
	}
	ranOnce(c, f)
}

// badDay has others meddle with the execution of a run. The run, which is stopped
// then, ends, and no device gets a second command.
func badDay(c client) {
	if c.target.Meddle == nil {
		c.t.Log("one process has no execution that others could reach")
		return
	}
	f, file := fleet(c, "bad-day", 2, "sleep 6; echo done")
	file["services"].([]any)[0].(object)["timeout"] = "10s"
	c.load(file)
	runtime := c.run(object{"name": "e2e-bad-day", "async": true}).Runtime
	if !c.eventually(time.Minute, func() bool { return f.Executions() == 2 }) {
		c.t.Fatalf("%d devices began", f.Executions())
	}
	if err := c.target.Meddle(); err != nil {
		c.t.Fatal(err)
	}
	if a := c.call(http.MethodPost, "/rest/stop_run/"+url.PathEscape(runtime), nil); a.status != http.StatusOK {
		c.t.Errorf("stop_run: %d %s", a.status, a.body)
	}
	c.t.Parallel() // what is left is waiting
	status, o := c.wait("e2e-bad-day", runtime, c.target.Settle)
	if all := len(o.Summary.Success) + len(o.Summary.Failure); status == "Running" || all != 2 || len(o.Devices) != 2 {
		c.t.Errorf("%s %+v", status, o)
	}
	ranOnce(c, f)
}

// restart has everything restarted while devices work. The run, which
// is stopped then, ends with all four results; no device gets a second command;
// and the service serves.
func restart(c client) {
	f, file := fleet(c, "restart", 4, "sleep 6; echo done")
	service := file["services"].([]any)[0].(object)
	service["concurrency"], service["timeout"] = 2, "10s"
	c.load(file)
	runtime := c.run(object{"name": "e2e-restart", "async": true}).Runtime
	if !c.eventually(time.Minute, func() bool { return f.Executions() > 1 }) {
		c.t.Fatalf("%d devices began", f.Executions())
	}
	if err := c.target.Restart(); err != nil {
		c.t.Fatal(err)
	}
	if a := c.call(http.MethodPost, "/rest/stop_run/"+url.PathEscape(runtime), nil); a.status != http.StatusOK {
		c.t.Errorf("stop_run: %d %s", a.status, a.body)
	}
	status, o := c.wait("e2e-restart", runtime, c.target.Settle)
	all := append(slices.Clone(o.Summary.Success), o.Summary.Failure...)
	slices.Sort(all)
	if status == "Running" || !slices.Equal(all, names("restart", 4)) {
		c.t.Errorf("%s %+v", status, o)
	}
	c.t.Logf("%s: %d succeeded, %d not; %d commands", status, len(o.Summary.Success), len(o.Summary.Failure), f.Executions())
	for _, d := range f.Devices {
		if n := d.Count(); n > 1 {
			c.t.Errorf("%s ran %d commands", d.Name, n)
		}
	}
	before := f.Executions()
	if o := c.run(object{"name": "e2e-restart", "devices": names("restart", 1)}); !o.Success || f.Executions() != before+1 {
		c.t.Errorf("after the restart: %+v, %d commands", o, f.Executions()-before)
	}
}
