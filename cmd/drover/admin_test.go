package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"drover/internal/device/sshsim"
	"drover/internal/secret"
)

func TestErrors_AreOneLine(t *testing.T) {
	l := newLab(t, 1)
	strange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer strange.Close()
	away := httptest.NewServer(http.RedirectHandler("http://198.51.100.1/", http.StatusFound))
	defer away.Close()
	for _, c := range []struct {
		env    []string
		args   []string
		status int
		want   string
	}{
		{[]string{"DROVER_PASSWORD", "wrong"}, []string{"runs"}, 1, "drover: the user name or the password is not right (user admin at " + l.url + ")\n"},
		{[]string{"DROVER_URL", "http://127.0.0.1:1"}, []string{"runs"}, 1, "drover: no answer from http://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused; is the service running there?\n"},
		{[]string{"DROVER_URL", strange.URL}, []string{"runs"}, 1, "drover: " + strange.URL + " does not answer like Drover\n"},
		{[]string{"DROVER_URL", away.URL}, []string{"runs"}, 1, "drover: " + away.URL + " answers 302 Found and not like Drover; is the address right?\n"},
		{[]string{"DROVER_URL", "127.0.0.1:8080"}, []string{"runs"}, 2, "drover: --url: \"127.0.0.1:8080\" is not an address such as http://127.0.0.1:8080\n"},
		{nil, []string{"import", "/nope"}, 1, "drover: cannot read the fleet file: open /nope: no such file or directory\n"},
		{nil, []string{"cancel", "nope"}, 1, "drover: no run \"nope\"\n"},
		{nil, []string{"runs", "--status", "done"}, 1, "drover: status: \"done\" is no status of a run\n"},
		{nil, []string{"frobnicate"}, 2, "drover: unknown command \"frobnicate\" for \"drover\" (see drover --help)\n"},
		{nil, []string{"user", "frobnicate"}, 2, "drover: unknown command \"frobnicate\" for \"drover user\" (see drover user --help)\n"},
		{nil, []string{"hostkey", "frobnicate"}, 2, "drover: unknown command \"frobnicate\" for \"drover hostkey\" (see drover hostkey --help)\n"},
		{nil, []string{"run"}, 2, "drover: run: SERVICE is missing (see drover run --help)\n"},
		{nil, []string{"run", "a", "b"}, 2, "drover: run: \"b\" is one argument too many (see drover run --help)\n"},
		{nil, []string{"user", "add", "x"}, 2, "drover: required flag(s) \"role\" not set (see drover user add --help)\n"},
		{nil, []string{"runs", "--limit", "x"}, 2, "drover: invalid argument \"x\" for \"--limit\" flag: "},
		{nil, []string{"runs", "--tenant", "a/b"}, 1, "drover: tenant: \"a/b\" is not the name of a tenant: up to 63 letters, digits, _, - and .\n"},
		{nil, []string{"user", "add", "x", "--role", "king", "--password-stdin"}, 1, "drover: role: \"king\" is not one of viewer, operator and admin\n"},
		{nil, []string{"backup", "/nope/file"}, 1, "drover: cannot write the backup: "},
		{nil, []string{"backup", "/dev/null"}, 1, "drover: /dev/null is not a file\n"},
		{nil, []string{"restore", "/nope", "--data", "/nope"}, 1, "drover: cannot read the backup: open /nope: no such file or directory\n"},
	} {
		r := l.with(c.env...).run(c.args...)
		if r.status != c.status || r.out != "" || !strings.HasPrefix(r.err, c.want) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%q: %+v, want %q", c.args, r, c.want)
		}
	}
	delete(l.env, "DROVER_PASSWORD")
	if r := l.run("runs"); r.status != 1 || r.err != "drover: no password: set DROVER_PASSWORD\n" {
		t.Errorf("%+v", r)
	}
}

func TestUsers_RolesAndTenants(t *testing.T) {
	l := newLab(t, 1)
	l.ok("import", l.fleetFile(hello))
	for name, role := range map[string]string{"eve": "viewer", "oscar": "operator", "ada": "admin"} {
		if r := l.with("DROVER_NEW_PASSWORD", "pw-"+name).run("user", "add", name, "--role", role); r.status != 0 || r.out != "user "+name+" created\n" {
			t.Fatalf("%+v", r)
		}
	}
	if r := l.runIn(t.Context(), "pw-theo\n", "user", "add", "theo", "--role", "admin", "--tenant", "other", "--password-stdin"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	as := func(name string) *lab { return l.with("DROVER_USER", name, "DROVER_PASSWORD", "pw-"+name) }
	for _, c := range []struct {
		user   string
		args   []string
		status int
	}{
		{"eve", []string{"runs"}, 0},
		{"eve", []string{"run", "hello"}, 2},
		{"eve", []string{"import", l.dir + "/fleet.yaml"}, 1},
		{"eve", []string{"audit"}, 1},
		{"oscar", []string{"run", "hello"}, 0},
		{"oscar", []string{"import", l.dir + "/fleet.yaml"}, 1},
		{"oscar", []string{"hostkey", "forget", "R1"}, 1},
		{"oscar", []string{"backup", l.dir + "/b"}, 1},
		{"oscar", []string{"keys", "rotate"}, 1},
		{"theo", []string{"keys", "rotate"}, 1},
		{"oscar", []string{"user", "add", "x", "--role", "admin"}, 1},
		{"ada", []string{"import", l.dir + "/fleet.yaml"}, 0},
		{"theo", []string{"run", "hello"}, 2},
		{"theo", []string{"backup", l.dir + "/b"}, 1},
		{"theo", []string{"runs", "--tenant", "default"}, 1},
		{"theo", []string{"import", l.dir + "/fleet.yaml"}, 0}, // the same names, in a tenant of their own
	} {
		u := as(c.user).with("DROVER_NEW_PASSWORD", "x")
		if r := u.run(c.args...); r.status != c.status || r.status != 0 && !strings.HasPrefix(r.err, "drover: ") {
			t.Errorf("%s: drover %q: %+v, want %d", c.user, c.args, r, c.status)
		}
	}
	if out := as("theo").ok("runs", "--json"); out != "[]\n" {
		t.Errorf("a tenant sees another's runs: %s", out)
	}
	if out := l.ok("audit", "--tenant", "other"); !strings.Contains(out, "theo") || strings.Contains(out, "oscar") {
		t.Errorf("%s", out)
	}
	if _, err := os.Stat(l.dir + "/b"); err == nil {
		t.Error("a refused backup left a file")
	}
	// A changed password counts from the next call on.
	if r := l.with("DROVER_NEW_PASSWORD", "new").run("user", "add", "eve", "--role", "viewer"); r.out != "user eve updated\n" {
		t.Errorf("%+v", r)
	}
	if r := as("eve").run("runs"); r.status != 1 {
		t.Errorf("%+v", r)
	}
}

func TestUserHash(t *testing.T) {
	l := &lab{t: t, env: map[string]string{"DROVER_NEW_PASSWORD": "pw"}}
	hash := strings.TrimSpace(l.ok("user", "hash"))
	if !secret.VerifyPassword(hash, "pw") || secret.VerifyPassword(hash, "other") {
		t.Error(hash)
	}
}

// What older keys sealed opens after a rotation, here and after a restart.
func TestKeysRotate(t *testing.T) {
	l := newLab(t, 1)
	l.ok("import", l.fleetFile(hello))
	for n := 2; n < 4; n++ {
		if out := l.ok("keys", "rotate"); out != fmt.Sprintf("%d keys; secrets are sealed with the newest from now on\n", n) {
			t.Errorf("%q", out)
		}
		l.ok("run", "hello")
	}
	if out := l.ok("audit"); !strings.Contains(out, "keys.rotate") {
		t.Errorf("%s", out)
	}
}

func TestBackupAndRestore(t *testing.T) {
	l := newLab(t, 1)
	l.ok("import", l.fleetFile(hello))
	l.ok("run", "hello")
	file := filepath.Join(l.dir, "backup.tar")
	for range 2 { // the second one replaces the first
		l.ok("backup", file)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if left, err := filepath.Glob(filepath.Join(l.dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
	data := filepath.Join(l.dir, "restored")
	out := l.ok("restore", file, "--data", data)
	if !strings.Contains(out, "now put the key file where it belongs") {
		t.Errorf("%s", out)
	}
	if r := l.run("restore", file, "--data", data); r.status != 1 || !strings.Contains(r.err, "there is a data file already") {
		t.Errorf("%+v", r)
	}
	key, err := os.ReadFile(filepath.Join(l.data, "drover.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "drover.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, data, nil)
	r := l.with("DROVER_URL", p.url)
	if out := r.ok("runs"); !strings.Contains(out, "hello") {
		t.Errorf("%s", out)
	}
	r.ok("run", "hello") // the restored secrets can be read
	p.end(syscall.SIGTERM)

	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"half": string(whole[:len(whole)/2]), "nothing": "", "noise": strings.Repeat("noise", 1000)} {
		bad, into := l.file(name, text), filepath.Join(l.dir, "into-"+name)
		if r := l.run("restore", bad, "--data", into); r.status != 1 || !strings.HasPrefix(r.err, "drover: ") {
			t.Errorf("%s: %+v", name, r)
		}
		if _, err := os.Stat(filepath.Join(into, "drover.db")); err == nil {
			t.Errorf("%s: there is a data file", name)
		}
	}
}

// TestBackup_ThatBreaksOff leaves no file, and an older one as it was.
func TestBackup_ThatBreaksOff(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 100_000))
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	l := &lab{t: t, dir: t.TempDir(), env: map[string]string{"DROVER_URL": srv.URL, "DROVER_PASSWORD": "x"}}
	old := l.file("old.tar", "older")
	for _, name := range []string{old, filepath.Join(l.dir, "new.tar")} {
		if r := l.run("backup", name); r.status != 1 || !strings.HasPrefix(r.err, "drover: the backup broke off, nothing was kept") {
			t.Errorf("%+v", r)
		}
	}
	files, err := os.ReadDir(l.dir)
	if text, _ := os.ReadFile(old); err != nil || len(files) != 1 || string(text) != "older" {
		t.Errorf("%v %v %s", files, err, text)
	}
}

func TestHostKeys(t *testing.T) {
	l := newLab(t, 2)
	l.ok("import", l.fleetFile(hello))
	l.ok("run", "hello", "--device", "R1")
	pinned := l.ok("hostkey", "list")
	if !strings.Contains(pinned, "(first use)") || !strings.Contains(pinned, fingerprint(l.fleet.Devices[0].HostKey())) || strings.Contains(pinned, "R2") {
		t.Errorf("%s", pinned)
	}
	// The device shows another key: refused, listed, accepted.
	other, err := sshsim.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	l.fleet.Devices[0].SetHostKey(other)
	if r := l.run("run", "hello", "--device", "R1"); r.status != 1 || !strings.Contains(r.out, "host_key_changed") || strings.Count(r.err, "drover hostkey accept DEVICE\n") != 1 {
		t.Errorf("%+v", r)
	}
	if out := l.ok("hostkey", "list"); !strings.Contains(out, fingerprint(l.fleet.Devices[0].HostKey())) {
		t.Errorf("%s", out)
	}
	if out := l.ok("hostkey", "accept", "R1"); !strings.Contains(out, "R1: pinned "+fingerprint(l.fleet.Devices[0].HostKey())) {
		t.Errorf("%s", out)
	}
	l.ok("run", "hello", "--device", "R1")
	if r := l.run("hostkey", "accept", "R1"); r.status != 1 {
		t.Errorf("%+v", r)
	}
	l.ok("hostkey", "forget", "R1")

	d := l.fleet.Devices[1]
	name := fmt.Sprintf("[%s]:%d", d.Address, d.Port)
	known := l.file("known_hosts", "# comment\n\nother.example "+d.HostKey()+"\n@revoked "+name+" "+d.HostKey()+"\n"+name+" "+d.HostKey()+" comment\n*.wild "+d.HostKey()+"\nnonsense\n")
	r := l.run("hostkey", "import", known)
	if r.status != 0 || r.out != "1 host key pinned, 3 lines of the file left out, 1 line of no device here\n" || !strings.Contains(r.err, "line 4: left out") {
		t.Errorf("%+v", r)
	}
	var keys []hostKey
	decode(t, l.ok("hostkey", "list", "--json"), &keys)
	if len(keys) != 1 || keys[0].Device != "R2" || keys[0].PinnedBy != "admin" || keys[0].Key != d.HostKey() {
		t.Errorf("%+v", keys)
	}
	if r := l.run("hostkey", "import", l.file("empty", "#\n")); r.status != 1 {
		t.Errorf("%+v", r)
	}
	strangers := l.file("strangers", "other.example "+d.HostKey()+"\n")
	if r := l.run("hostkey", "import", strangers); r.status != 1 || r.out != "" || r.err != "drover: nothing was pinned: no device has an address and port of the file's 1 host key\n" {
		t.Errorf("%+v", r)
	}
}

func TestKnownHosts_Hashed(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	salt := []byte("0123456789abcdefghij")
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte("[192.0.2.1]:2222"))
	b64 := base64.StdEncoding.EncodeToString
	known, skipped := parseKnownHosts("|1|" + b64(salt) + "|" + b64(mac.Sum(nil)) + " " + key + "\nhost.example,2001:db8::1\t" + key + "\n[2001:db8::2]:2200 " + key)
	if len(known) != 3 || len(skipped) != 0 {
		t.Fatalf("%v %v", known, skipped)
	}
	for _, c := range []struct {
		line          int
		address, port string
		is            bool
	}{
		{0, "192.0.2.1", "2222", true}, {0, "192.0.2.1", "22", false}, {0, "192.0.2.2", "2222", false},
		{1, "host.example", "22", true}, {1, "HOST.example", "22", true}, {1, "host.example", "2222", false}, {1, "2001:db8::1", "22", true},
		{2, "2001:db8::2", "2200", true}, {2, "2001:db8::2", "22", false},
	} {
		if known[c.line].is(c.address, c.port) != c.is {
			t.Errorf("%+v", c)
		}
	}
}

func FuzzKnownHosts(f *testing.F) {
	f.Add("host ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n", "host", "22")
	f.Add("|1|a|b ssh-rsa AAAA\n@revoked x\n", "[x]", "")
	f.Fuzz(func(t *testing.T, text, address, port string) {
		known, skipped := parseKnownHosts(text)
		if lines := strings.Count(text, "\n") + 1; len(known)+len(skipped) > lines {
			t.Fatalf("%d of %d lines", len(known)+len(skipped), lines)
		}
		for _, k := range known {
			k.is(address, port)
			if bestKey([]string{k.key}) != k.key {
				t.Fatalf("%q is no key to choose", k.key)
			}
		}
	})
}

// TestSecrets_AreNowhere: what a fleet file holds as a secret is in no output,
// log, error or file of the installation.
func TestSecrets_AreNowhere(t *testing.T) {
	l := newLab(t, 1)
	const canary = "cAnArY-5e2f"
	file := l.fleetFile(hello + `users:
  - {name: u, role: viewer, password: "` + canary + `-user"}
`)
	more := l.file("more.yaml", `credentials:
  - {name: c2, username: drover, password: "`+canary+`-password", become_password_env: BECOME}
devices:
  - {name: X, address: `+l.fleet.Devices[0].Address+`, port: `+fmt.Sprint(l.fleet.Devices[0].Port)+`, credential: c2}
`)
	l = l.with("BECOME", canary+"-become", "DROVER_NEW_PASSWORD", canary+"-new")
	var seen strings.Builder
	for _, args := range [][]string{
		{"import", file}, {"import", more}, {"import", "--check", more}, {"run", "hello", "--device", "X"}, {"runs", "--json"}, {"audit", "--json"},
		{"user", "add", "v", "--role", "viewer"}, {"hostkey", "list", "--json"},
		{"import", l.file("bad1.yaml", "credentials: [{name: a, username: b, pasword: "+canary+"}]")},
		{"import", l.file("bad2.yaml", "credentials: [{name: a, username: b, private_key: "+canary+"}]")},
		{"import", l.file("bad3.yaml", "credentials: [{name: a, username: b, password: ["+canary+"]}]")},
		{"import", l.file("bad4.yaml", "users: [{name: a, role: "+canary+"x, password: "+canary+"y, password_env: Z}]")},
	} {
		r := l.run(args...)
		seen.WriteString(r.out + r.err)
	}
	if strings.Contains(strings.ReplaceAll(seen.String(), canary+"x", ""), canary) {
		t.Errorf("an output holds a secret:\n%s", &seen)
	}
	if !strings.Contains(seen.String(), "X: failed (authentication)") {
		t.Errorf("the device was not refused:\n%s", &seen)
	}
	if strings.Contains(l.log.String(), canary) {
		t.Errorf("the log holds a secret:\n%s", l.log)
	}
	err := filepath.WalkDir(l.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(canary)) {
			t.Errorf("%s holds a secret", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n": "plain\ttext\n", "\x1b[2Jgone": "\ufffd[2Jgone", "a\rb": "a\ufffdb", "\u202eabc": "\ufffdabc", "\u009b": "\ufffd", "ü€": "ü€",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := indent("a\r\nb\n\n"); got != "  a\n  b\n" {
		t.Errorf("%q", got)
	}
}

// TestRun_SurvivesALostAnswer: a submit whose answer is lost is repeated, and
// makes one run.
func TestRun_SurvivesALostAnswer(t *testing.T) {
	l := newLab(t, 1)
	l.ok("import", l.fleetFile(hello))
	lost := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		l.app.Handler().ServeHTTP(rec, r)
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/runs") && lost < 2 {
			lost++
			panic(http.ErrAbortHandler)
		}
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}))
	defer proxy.Close()
	r := l.with("DROVER_URL", proxy.URL).runIn(context.Background(), "", "run", "hello")
	if r.status != 0 || lost != 2 || strings.Count(r.err, "; trying again\n") != 1 {
		t.Errorf("%+v, %d answers lost", r, lost)
	}
	if n := l.fleet.Executions(); n != 1 {
		t.Errorf("%d commands ran", n)
	}
}
