package sshdevice

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"drover/internal/device"
	"drover/internal/job"
)

func TestParseProgress(t *testing.T) {
	const k = "0123456789abcdef"
	at := "\x01" + k + " "
	for _, c := range []struct {
		name, out, err string
		want           device.Progress
		said           string
		ok             bool
	}{
		{"nothing", "", "", device.Progress{}, "", false},
		{"another's", "\x01other running 1 2\nx", "", device.Progress{}, "", false},
		{"cut in the line", at + "running 1 2", "", device.Progress{State: device.DetachedRunning}, "", false},
		{"running, after a greeting", "hello\n" + at + "running 3 2 \nout", "hi\n\x01" + k + "\ner", device.Progress{State: device.DetachedRunning, Stdout: []byte("out"), Stderr: []byte("er"), StdoutBytes: 3, StderrBytes: 2}, "", true},
		{"ended", at + "ended 3 0 137 1 1 30 0\nout", "\x01" + k + "\n", device.Progress{State: device.DetachedEnded, Stdout: []byte("out"), Status: 137, TimedOut: true, KillConfirmed: true, StdoutBytes: 30}, "", true},
		{"ended, without an end", at + "ended 3 0 1\nout", "", device.Progress{}, "", false},
		{"a number that is none", at + "running x 0\n", "", device.Progress{}, "", false},
		{"a negative number", at + "running -1 0\n", "", device.Progress{}, "", false},
		{"missing", at + "missing\n", "", device.Progress{State: device.DetachedMissing}, "", true},
		{"starting", at + "starting\n", "", device.Progress{State: device.DetachedStarting}, "", true},
		{"refused", at + "refused there is no setsid\n", "", device.Progress{State: "refused"}, "there is no setsid", true},
		{"what nobody says", at + "strange 1 2\n", "", device.Progress{}, "", false},
	} {
		p, said, ok := parseProgress(device.Exit{Stdout: []byte(c.out), Stderr: []byte(c.err)}, k)
		if ok != c.ok || said != c.said {
			t.Errorf("%s: %q, %v", c.name, said, ok)
		}
		if ok && (p.State != c.want.State || string(p.Stdout) != string(c.want.Stdout) || string(p.Stderr) != string(c.want.Stderr) || p.Status != c.want.Status ||
			p.TimedOut != c.want.TimedOut || p.KillConfirmed != c.want.KillConfirmed || p.StdoutBytes != c.want.StdoutBytes || p.StderrBytes != c.want.StderrBytes) {
			t.Errorf("%s: %+v, want %+v", c.name, p, c.want)
		}
	}
}

func FuzzParseProgress(f *testing.F) {
	const k = "0123456789abcdef"
	f.Add("\x01"+k+" ended 3 0 137 1 1 30 0\nout", "\x01"+k+"\nerr")
	f.Add("\x01"+k+" refused no\n", "")
	f.Fuzz(func(t *testing.T, out, errs string) {
		p, said, ok := parseProgress(device.Exit{Stdout: []byte(out), Stderr: []byte(errs)}, k)
		if ok && (p.StdoutBytes < 0 || p.StderrBytes < 0 || len(p.Stdout) > len(out) || said != "" && p.State != "refused") {
			t.Errorf("%+v, %q", p, said)
		}
	})
}

// What a device says about itself is told, not what the command printed: cut off in
// the middle of a secret it could not be redacted any more.
func TestUnanswered(t *testing.T) {
	err := new(session).unanswered(device.Exit{Stderr: []byte("sh: no fork\n\x0118 n\n" + strings.Repeat("x", 280) + "Canary-pw")})
	if got := err.Error(); strings.Contains(got, "xxx") || !strings.Contains(got, "sh: no fork") {
		t.Error(got)
	}
}

// The parts of an operation that go between single quotes hold none, and nothing
// of an operation's script is on a command line.
func TestOperation_Text(t *testing.T) {
	for name, stage := range map[string]string{"super": superStage, "watch": watchStage, "kill": killStage, "eval": evalBody, "file": fileBody} {
		if strings.Contains(stage, "'") {
			t.Errorf("%s has a single quote", name)
		}
	}
	op := operation{name: "start", of: device.Detached{Name: "run-1", Become: job.Become{User: "x"}, BecomePassword: "Canary-pw"},
		nonce: "n", limit: 90 * time.Minute, keep: 5, body: evalBody, script: "echo 'it'"}
	text := op.text()
	if strings.Contains(text, "Canary-pw") {
		t.Error("the password is in the script")
	}
	if first, _, _ := strings.Cut(text, "\n"); first != "# drover-detach start run-1 n 0 5400 5 0 0 0" {
		t.Errorf("first line %q", first)
	}
	if !strings.Contains(text, `script='echo '\''it'\'''`) {
		t.Error("the script is not quoted as a shell wants it")
	}
}

// operated runs an operation by this machine's own shell, after other lines.
func operated(t *testing.T, before string, op operation) (device.Progress, string) {
	t.Helper()
	op.of.Name, op.nonce = "run-"+strings.ReplaceAll(t.Name(), "/", "-")+"-"+op.of.Name, newNonce()
	if op.name == "start" {
		op.limit, op.keep, op.body, op.script = time.Minute, 1000, evalBody, op.nonce+op.script+op.nonce
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "sh")
	cmd.Stdin = strings.NewReader(before + "\n" + op.text())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	p, said, ok := parseProgress(device.Exit{Stdout: out}, op.nonce)
	if op.name == "start" && !ok {
		t.Fatalf("%s: %q", op.of.Name, out)
	}
	return p, said
}

// forgotten has a command killed and forgotten when the test is over.
func forgotten(t *testing.T, name string) {
	if runtime.GOOS != "linux" {
		t.Skip("the scripts are for linux")
	}
	t.Cleanup(func() {
		operated(t, "", operation{name: "kill", of: device.Detached{Name: name}})
		operated(t, "", operation{name: "forget", of: device.Detached{Name: name}})
		_ = os.Remove("/var/tmp/drover-" + strconv.Itoa(os.Getuid())) // if it is empty
	})
}

// A command whose end could not be written down is not begun.
func TestOperation_NothingCanBeWritten(t *testing.T) {
	forgotten(t, "1")
	ran := filepath.Join(t.TempDir(), "ran")
	p, said := operated(t, `trap "" XFSZ; ulimit -f 0`, operation{name: "start", of: device.Detached{Name: "1"}, script: "mkdir " + ran, wait: time.Second})
	if _, err := os.Stat(ran); err == nil || !strings.Contains(said, "nothing can be written") {
		t.Errorf("it ran: %v; %s, %q", err == nil, p.State, said)
	}
	if p, _ := operated(t, "", operation{name: "look", of: device.Detached{Name: "1"}}); p.State != device.DetachedMissing {
		t.Errorf("afterwards: %s", p.State)
	}
}

// The clock of a host may jump while a command runs: its folder is old then, and
// stays.
func TestOperation_OldFolders(t *testing.T) {
	forgotten(t, "1")
	forgotten(t, "2")
	forgotten(t, "3")
	for name, script := range map[string]string{"1": "sleep 60", "2": "echo done"} {
		operated(t, "", operation{name: "start", of: device.Detached{Name: name}, script: script, wait: time.Second})
		folder := "/var/tmp/drover-" + strconv.Itoa(os.Getuid()) + "/run-" + t.Name() + "-" + name
		if long := time.Now().Add(-20 * 24 * time.Hour); os.Chtimes(folder, long, long) != nil {
			t.Fatal("no folder")
		}
	}
	operated(t, "", operation{name: "start", of: device.Detached{Name: "3"}, script: "echo", wait: time.Second})
	for name, want := range map[string]device.DetachedState{"1": device.DetachedRunning, "2": device.DetachedMissing, "3": device.DetachedEnded} {
		if p, _ := operated(t, "", operation{name: "look", of: device.Detached{Name: name}}); p.State != want {
			t.Errorf("%s: %s, want %s", name, p.State, want)
		}
	}
}
