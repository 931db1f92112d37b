package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"drover/internal/device/sshsim"
	"drover/internal/standalone"
)

// TestMain lets the test binary be the program, for tests that need a process.
func TestMain(m *testing.M) {
	if os.Getenv("DROVER_TEST_IS_THE_PROGRAM") == "1" {
		main()
	}
	os.Exit(m.Run())
}

const adminPassword = "correct horse"

// lab is a service with devices, and the command line in front of it.
type lab struct {
	t     *testing.T
	app   *standalone.App
	data  string
	fleet *sshsim.Fleet
	url   string
	env   map[string]string
	dir   string // for files
	log   *logBuffer
}

func newLab(t *testing.T, devices int) *lab {
	t.Helper()
	l := &lab{t: t, data: t.TempDir(), dir: t.TempDir(), log: &logBuffer{}}
	var err error
	if l.fleet, err = sshsim.Start(sshsim.Config{Devices: devices, OneHostKey: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.fleet.Close() })
	l.app, err = standalone.Open(t.Context(), standalone.Config{Data: l.data, Version: "test", AdminPassword: adminPassword,
		Log: slog.New(slog.NewJSONHandler(l.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.app.Run(ctx) }()
	srv := httptest.NewServer(l.app.Handler())
	l.url = srv.URL
	t.Cleanup(func() {
		srv.Close()
		stop()
		<-done
		_ = l.app.Close()
	})
	l.env = map[string]string{"DROVER_URL": l.url, "DROVER_PASSWORD": adminPassword}
	return l
}

// ran is what a call of the program did.
type ran struct {
	status   int
	out, err string
}

func (l *lab) with(env ...string) *lab {
	c := *l
	c.env = map[string]string{}
	for k, v := range l.env {
		c.env[k] = v
	}
	for i := 0; i+1 < len(env); i += 2 {
		c.env[env[i]] = env[i+1]
	}
	return &c
}

func (l *lab) run(args ...string) ran { return l.runIn(context.Background(), "", args...) }

func (l *lab) runIn(ctx context.Context, stdin string, args ...string) ran {
	var out, errs bytes.Buffer
	env := func(name string) (string, bool) { v, ok := l.env[name]; return v, ok }
	status := run(ctx, args, strings.NewReader(stdin), &out, &errs, env)
	return ran{status, out.String(), errs.String()}
}

// ok runs the program and expects success.
func (l *lab) ok(args ...string) string {
	l.t.Helper()
	r := l.run(args...)
	if r.status != 0 {
		l.t.Fatalf("drover %q: status %d\n%s%s", args, r.status, r.out, r.err)
	}
	return r.out
}

func (l *lab) file(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// fleetFile describes the lab's devices: all in the pool Lab.
func (l *lab) fleetFile(services string) string {
	var b strings.Builder
	b.WriteString("credentials:\n  - {name: lab, username: drover, password: drover}\npools:\n  - {name: Lab}\ndevices:\n")
	for _, d := range l.fleet.Devices {
		fmt.Fprintf(&b, "  - {name: %s, address: %s, port: %d, credential: lab, pools: [Lab]}\n", d.Name, d.Address, d.Port)
	}
	return l.file("fleet.yaml", b.String()+services)
}

const hello = `services:
  - name: hello
    body: echo {{ payload["aid"] }} from {{ device.name }}
    targets: {pools: [Lab]}
    payload: {aid: none}
  - name: failing
    body: exit {{ 3 if device.name == "R2" else 0 }}
    targets: {pools: [Lab]}
  - name: slow
    body: sleep 30
    targets: {pools: [Lab]}
`

// logBuffer keeps what several goroutines log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestImport_TwiceChangesNothing(t *testing.T) {
	l := newLab(t, 2)
	file := l.fleetFile(hello)
	first := l.ok("import", file)
	for _, want := range []string{"created credential lab", "created device R1", "credentials: 1 created, 0 updated, 0 unchanged",
		"pools: 1 created", "devices: 2 created", "services: 3 created"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in\n%s", want, first)
		}
	}
	if second := l.ok("import", file); strings.Contains(second, " 1 created") || !strings.Contains(second, "devices: 0 created, 0 updated, 2 unchanged") {
		t.Errorf("%s", second)
	}
	changed := l.file("change.yaml", fmt.Sprintf("devices: [{name: R1, address: %s, labels: {x: y}}]", l.fleet.Devices[0].Address))
	if got := l.ok("import", changed); !strings.Contains(got, "updated device R1") || !strings.Contains(got, "devices: 0 created, 1 updated") {
		t.Errorf("%s", got)
	}
	if got := l.ok("import", "--check", file); !strings.Contains(got, "nothing is wrong") {
		t.Errorf("%s", got)
	}
	if r := l.runIn(t.Context(), "pools: [{name: FromStdin}]", "import", "-"); r.status != 0 || !strings.Contains(r.out, "created pool FromStdin") {
		t.Errorf("%+v", r)
	}
	for _, empty := range []string{"", "# nothing yet\n", "{}", "devices: []\n"} {
		if got := l.ok("import", l.file("empty.yaml", empty)); !strings.HasSuffix(got, "empty.yaml: there is nothing in it to import\n") {
			t.Errorf("%q: %s", empty, got)
		}
	}
}

func TestImport_BadFileChangesNothing(t *testing.T) {
	l := newLab(t, 1)
	l.ok("import", l.fleetFile(hello))
	before := l.everything()
	for name, c := range map[string]struct{ file, want string }{
		"field":      {"pools: [{name: New}]\ndevices:\n  - {name: X, address: 10.0.0.1, prot: 22}\n", `line 3, column 34: devices[0].prot: there is no such field; did you mean "port"?`},
		"value":      {"pools: [{name: New}]\ndevices:\n  - {name: X, address: 10.0.0.1, port: 0}\n", "line 3, column 40: devices[0].port: 0 is not between 1 and 65535"},
		"reference":  {"pools: [{name: New}]\ndevices:\n  - {name: X, address: 10.0.0.1, credential: nope}\n", `line 3, column 46: devices[0].credential: there is no credential named "nope", neither in the file nor in the installation`},
		"template":   {"pools: [{name: New}]\nservices:\n  - {name: s, body: 'echo {{ device. }}'}\n", "line 3, column 21: services[0].body: "},
		"user":       {"pools: [{name: New}]\nusers:\n  - {name: u, role: viewer}\n", "line 3, column 5: users[0].password: a new user needs a password"},
		"not yaml":   {"pools: [{name: New}]\nusers: [\n", "line 3, column 1: this is not valid YAML"},
		"match":      {"pools:\n  - {name: New}\n  - {name: Lab, match: [{field: name, op: equals, value: x}]}\n", `line 3, column 24: pools[1].match: devices have been put into the pool "Lab"`},
		"unset":      {"pools: [{name: New}]\nusers:\n  - {name: u, role: viewer, password_env: NOT_SET}\n", `line 3, column 43: users[0].password_env: the environment variable "NOT_SET" is not set`},
		"no file":    {"pools: [{name: New}]\nusers:\n  - {name: u, role: viewer, password_file: nope}\n", "line 3, column 44: users[0].password_file: cannot be read: no such file or directory"},
		"no section": {"fleet: []\n", "line 1, column 1: fleet: there is no such field"},
	} {
		t.Run(name, func(t *testing.T) {
			file := l.file("bad.yaml", c.file)
			for _, args := range [][]string{{"import", file}, {"import", "--check", file}} {
				r := l.run(args...)
				if r.status != 1 || r.out != "" || !strings.Contains(r.err, file+": "+c.want) || !strings.HasSuffix(r.err, "drover: "+file+" is refused; nothing was changed\n") {
					t.Errorf("%+v, want %s", r, c.want)
				}
			}
			if after := l.everything(); after != before {
				t.Errorf("something changed:\n%s\nbefore\n%s", after, before)
			}
		})
	}
}

// everything is all that the installation shows of itself.
func (l *lab) everything() string {
	l.t.Helper()
	var b strings.Builder
	p := &program{in: strings.NewReader(""), out: &b, err: &b, env: func(string) (string, bool) { return "", false }}
	r := &remote{p: p, url: l.url, user: "admin", password: adminPassword}
	if err := r.open(); err != nil {
		l.t.Fatal(err)
	}
	for _, kind := range []string{"devices", "pools", "credentials", "services", "users", "audit", "hostkeys", "runs"} {
		var page json.RawMessage
		if err := r.call(l.t.Context(), "GET", kind+"?limit=200", nil, &page); err != nil {
			l.t.Fatal(err)
		}
		b.Write(page)
	}
	return b.String()
}

func TestImport_ManyParts(t *testing.T) {
	l := newLab(t, 1)
	var b strings.Builder
	b.WriteString("pools: [{name: P}]\ndevices:\n")
	for i := range 1100 {
		fmt.Fprintf(&b, "  - {name: D%d, address: 10.0.%d.%d, pools: [P]}\n", i, i/250, i%250)
	}
	out := l.ok("import", l.file("many.yaml", b.String()))
	if !strings.Contains(out, "devices: 1100 created") || strings.Count(out, "\n") > 60 {
		t.Errorf("%.2000s", out)
	}
	// A fault in the last of many is found before the first is sent.
	before := l.everything()
	bad := strings.ReplaceAll(b.String(), "name: D", "name: E") + "  - {name: Last, address: a, jump: nowhere}\n"
	if r := l.run("import", l.file("bad.yaml", bad)); r.status != 1 || !strings.Contains(r.err, `"nowhere"`) || l.everything() != before {
		t.Errorf("%+v", r)
	}
}

func TestRun_ExitStatus(t *testing.T) {
	l := newLab(t, 3)
	l.ok("import", l.fleetFile(hello))
	for _, c := range []struct {
		args     []string
		status   int
		out, err string
	}{
		{[]string{"hello"}, 0, "succeeded: 3 succeeded", ""},
		{[]string{"hello", "--device", "R1", "--device", "R3"}, 0, "succeeded: 2 succeeded", ""},
		{[]string{"hello", "--pool", "Lab", "--watch", "--var", "aid=1 2=3"}, 0, "  1 2=3 from R2\n", ""},
		{[]string{"failing"}, 1, "R2: failed (exit_status), exit status 3", ""},
		{[]string{"failing", "--device", "R1"}, 0, "succeeded: 1 succeeded", ""},
		{[]string{"nope"}, 2, "", `drover: no service "nope"` + "\n"},
		{[]string{"hello", "--device", "R9", "--pool", "Q"}, 2, "", "drover: unknown: device \"R9\", pool \"Q\"\n"},
		{[]string{"hello", "--var", "novalue"}, 2, "", "drover: --var: want k=v, not \"novalue\"\n"},
		{[]string{"hello", "--nope"}, 2, "", "drover: unknown flag: --nope (see drover run --help)\n"},
		{[]string{}, 2, "", "drover: run: SERVICE is missing (see drover run --help)\n"},
		{[]string{"hello", "--user", "nobody"}, 2, "", "drover: the user name or the password is not right (user nobody at " + l.url + ")\n"},
		{[]string{"hello", "--url", "ftp://x"}, 2, "", "drover: --url: \"ftp://x\" is not an address such as http://127.0.0.1:8080\n"},
	} {
		r := l.run(append([]string{"run"}, c.args...)...)
		if r.status != c.status || !strings.Contains(r.out, c.out) || c.err != "" && r.err != c.err || c.status == 0 && strings.Contains(r.err, "drover:") {
			t.Errorf("run %q: %+v", c.args, r)
		}
	}
}

func TestRun_DryRunTouchesNothing(t *testing.T) {
	l := newLab(t, 2)
	l.ok("import", l.fleetFile(hello+"  - {name: partly, body: 'echo {{ payload[device.name] }}', targets: {pools: [Lab]}, payload: {R1: x}}\n"))
	before := l.everything()
	if out := l.ok("run", "hello", "--dry-run", "--var", "aid=7"); !strings.Contains(out, "  echo 7 from R1\n") || !strings.Contains(out, "2 devices; nothing was run") {
		t.Errorf("%s", out)
	}
	if r := l.run("run", "partly", "--dry-run"); r.status != 1 || !strings.Contains(r.out, "cannot be rendered: ") || !strings.Contains(r.out, "  echo x\n") {
		t.Errorf("%+v", r)
	}
	if r := l.run("run", "nope", "--dry-run"); r.status != 2 {
		t.Errorf("%+v", r)
	}
	if l.fleet.Executions() != 0 || l.everything() != before {
		t.Error("a dry run did something")
	}
}

func TestRuns_ShowAndCancel(t *testing.T) {
	l := newLab(t, 2)
	l.ok("import", l.fleetFile(hello))
	if out := l.ok("runs", "--json"); out != "[]\n" {
		t.Errorf("%q", out)
	}
	l.run("run", "failing")
	var runs []map[string]any
	decode(t, l.ok("runs", "--json"), &runs)
	if len(runs) != 1 {
		t.Fatalf("%v", runs)
	}
	keys(t, runs[0], "id status reason service creator counts created started ended")
	keys(t, runs[0]["counts"].(map[string]any), "total pending running succeeded failed unreachable canceled skipped timed_out unknown")
	id := runs[0]["id"].(string)

	var shown map[string]any
	decode(t, l.ok("show", id, "--json"), &shown)
	keys(t, shown, "id status reason service creator counts created started ended results")
	for i, status := range []string{"succeeded", "failed"} {
		r := shown["results"].([]any)[i].(map[string]any)
		keys(t, r, "device step status reason message exit_status stdout stderr attempts started ended")
		if r["status"] != status {
			t.Errorf("%v", r)
		}
	}
	if out := l.ok("show", id); !strings.Contains(out, "R2: failed (exit_status), exit status 3") {
		t.Errorf("%s", out)
	}
	if r := l.run("show", "nope"); r.status != 1 || !strings.HasPrefix(r.err, "drover: ") {
		t.Errorf("%+v", r)
	}

	// An interrupt leaves the run going and says how to go on.
	ctx, interrupt := context.WithCancel(context.Background())
	go func() {
		for l.fleet.Executions() < 4 { // two of failing, two of slow
			if sleep(ctx, 5e6) != nil {
				return
			}
		}
		interrupt()
	}()
	r := l.runIn(ctx, "", "run", "slow", "--watch")
	if r.status != exitInterrupted || !strings.Contains(r.err, "goes on; to watch it: drover show ") {
		t.Fatalf("%+v", r)
	}
	decode(t, l.ok("runs", "--json", "--limit", "1", "--service", "slow"), &runs)
	if len(runs) != 1 || runs[0]["status"] != "running" || runs[0]["ended"] != nil {
		t.Fatalf("%v", runs)
	}
	slow := runs[0]["id"].(string)
	l.ok("cancel", slow)
	r = l.run("show", slow, "--watch")
	if r.status != 1 || !strings.Contains(r.out, "canceled") {
		t.Errorf("%+v", r)
	}
	if out := l.ok("runs", "--status", "canceled"); !strings.Contains(out, slow) || strings.Contains(out, id) {
		t.Errorf("%s", out)
	}
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// keys expects exactly these keys.
func keys(t *testing.T, m map[string]any, want string) {
	t.Helper()
	for _, k := range strings.Fields(want) {
		if _, ok := m[k]; !ok {
			t.Errorf("%s is not in %v", k, m)
		}
	}
	if len(m) != len(strings.Fields(want)) {
		t.Errorf("%v has other keys than %s", m, want)
	}
}
