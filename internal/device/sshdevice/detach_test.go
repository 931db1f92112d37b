package sshdevice

import (
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
