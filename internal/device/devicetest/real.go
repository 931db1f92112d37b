package devicetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"drover/internal/device"
	"drover/internal/job"
)

// RunOpenSSH checks a Dialer against a real OpenSSH server.
func RunOpenSSH(t *testing.T, h Harness) {
	o := StartOpenSSH(t)
	for _, law := range []struct {
		name  string
		check func(*testing.T, Harness, *OpenSSH)
	}{
		{"ExitAndStreams", realExit},
		{"WholeScripts", realScripts},
		{"OtherInterpreters", realInterpreters},
		{"BigOutput", realBigOutput},
		{"Login", realLogin},
		{"HostKeys", realHostKeys},
		{"KillTakesGrandchildren", realKill},
		{"KillWithOneSession", realKillOneSession},
		{"Sudo", realSudo},
		{"Su", realSu},
		{"NothingSecretInProc", realNothingInProc},
		{"Detach", realDetach},
		{"Jump", realJump},
		{"Legacy", realLegacy},
	} {
		t.Run(law.name, func(t *testing.T) {
			NoLeaks(t)
			law.check(t, h, o)
		})
	}
}

func realExit(t *testing.T, h Harness, o *OpenSSH) {
	s := dial(t, h.New(Options{}), o.To())
	for _, c := range []struct {
		script, out, err string
		status           int
		signal           string
	}{
		{script: ""},
		{script: "echo out; echo err >&2; exit 42", out: "out\n", err: "err\n", status: 42},
		{script: "#!/bin/bash\necho a | tr a b", out: "b\n"},
		{script: "#!/bin/sh\necho \"$#:$0\"", out: "0:drover\n"},
		{script: `printf '\377\376\000x'`, out: "\xff\xfe\x00x"},
		{script: "kill -TERM $$; sleep 5", status: -1, signal: "TERM"},
		{script: "kill -KILL $$; sleep 5", status: -1, signal: "KILL"},
		{script: "nonesuch-program 2>/dev/null", status: 127},
		{script: "set -e; false; echo not reached", status: 1},
		{script: "trap 'echo bye' EXIT; exit 3", out: "bye\n", status: 3},
		{script: "cat <<'E'\n'quoted' \"text\" $x `y` \\ !\nE\n", out: "'quoted' \"text\" $x `y` \\ !\n"},
		{script: "echo ${drover-clean}", out: "clean\n"},
	} {
		exit, err := s.Run(within(t), device.Command{Script: c.script})
		if err != nil {
			t.Fatalf("%q: %v", c.script, err)
		}
		if exit.Status != c.status || exit.Signal != c.signal || string(exit.Stdout) != c.out || string(exit.Stderr) != c.err {
			t.Errorf("%q: %d %q, out %q, err %q", c.script, exit.Status, exit.Signal, exit.Stdout, exit.Stderr)
		}
	}
}

func realScripts(t *testing.T, h Harness, o *OpenSSH) {
	d := h.New(Options{})
	// Commands that read standard input find none of the script there.
	exit := mustRun(t, d, o.To(), device.Command{Script: "cat\nread x || echo nothing to read\ncat >/dev/null\necho end"})
	if string(exit.Stdout) != "nothing to read\nend\n" || exit.Status != 0 {
		t.Errorf("%d, out %q, err %q", exit.Status, exit.Stdout, exit.Stderr)
	}
	long := "n=0\n" + strings.Repeat("n=$((n+1)) # a line of some length, to make the script a long one\n", 50_000) + "echo $n"
	exit = mustRun(t, d, o.To(), device.Command{Script: long})
	if string(exit.Stdout) != "50000\n" {
		t.Errorf("%d, out %q, err %.200q", exit.Status, exit.Stdout, exit.Stderr)
	}
}

func realInterpreters(t *testing.T, h Harness, o *OpenSSH) {
	find(t, "python3", "python3")
	before, _ := filepath.Glob(filepath.Join(os.TempDir(), "tmp.*"))
	exit := mustRun(t, h.New(Options{}), o.To(), device.Command{Script: "#!/usr/bin/env python3\nimport sys\nprint(len(sys.stdin.read()), len(sys.argv))\nsys.exit(9)"})
	if string(exit.Stdout) != "0 1\n" || exit.Status != 9 {
		t.Errorf("%d, out %q, err %q", exit.Status, exit.Stdout, exit.Stderr)
	}
	after, _ := filepath.Glob(filepath.Join(os.TempDir(), "tmp.*"))
	if len(after) > len(before) {
		t.Errorf("files left behind: %v", after)
	}
}

func realBigOutput(t *testing.T, h Harness, o *OpenSSH) {
	const size = 8 << 20
	exit := mustRun(t, h.New(Options{}), o.To(), device.Command{
		Script:      fmt.Sprintf("head -c %d /dev/zero; head -c %d /dev/zero >&2; exit 1", size, size),
		OutputLimit: 5000,
	})
	if exit.StdoutBytes != size || exit.StderrBytes != size || len(exit.Stdout) != 5000 || len(exit.Stderr) != 5000 || exit.Status != 1 {
		t.Errorf("%d and %d bytes, kept %d and %d", exit.StdoutBytes, exit.StderrBytes, len(exit.Stdout), len(exit.Stderr))
	}
}

func realLogin(t *testing.T, h Harness, o *OpenSSH) {
	d := h.New(Options{})
	stranger, _ := newKey(t, newEd25519(t), "")
	to := o.To()
	to.Auth.PrivateKey = stranger
	_, err := d.Dial(within(t), to)
	wantError(t, err, device.PhaseAuth, job.ReasonAuthentication, false)
	if !o.Root {
		Missing(t, "only root can make a user whose password is known")
	}
	to.Auth.Password = o.Password
	mustRun(t, d, to, device.Command{Script: "true"})
	to.Auth.PrivateKey, to.Auth.Password = "", "wrong"
	_, err = d.Dial(within(t), to)
	wantError(t, err, device.PhaseAuth, job.ReasonAuthentication, false)

	questions := StartOpenSSH(t, "PasswordAuthentication no", "KbdInteractiveAuthentication yes")
	to = questions.To()
	to.Auth.PrivateKey, to.Auth.Password = "", questions.Password
	mustRun(t, d, to, device.Command{Script: "true"})

	// A server that has enough of wrong logins disconnects: that is a refusal too.
	curt := StartOpenSSH(t, "MaxAuthTries 1")
	to = curt.To()
	to.Auth.PrivateKey, to.Auth.Password = stranger, "wrong"
	_, err = d.Dial(within(t), to)
	wantError(t, err, device.PhaseAuth, job.ReasonAuthentication, false)
}

func realHostKeys(t *testing.T, h Harness, o *OpenSSH) {
	d := h.New(Options{})
	to := o.To()
	to.DeviceID, to.HostKey = 1, job.HostKeyStrict
	for _, key := range o.HostKeys { // whichever is pinned is asked for
		pins := new(Pins)
		pins.Set(1, key)
		to.Pins = pins
		mustRun(t, d, to, device.Command{Script: "true"})
	}
	pins := new(Pins)
	pins.Set(1, strings.TrimSpace(string(publicLine(t))))
	to.Pins = pins
	_, err := d.Dial(within(t), to)
	wantError(t, err, device.PhaseHostKey, job.ReasonHostKeyChanged, false)
}

func publicLine(t testing.TB) string {
	_, line := newKey(t, newEd25519(t), "")
	return line
}

// family starts a child, a grandchild, one in a process group of its own and
// one that ignores signals, prints their numbers, and waits.
const family = `sleep 1000 & a=$!
sh -c 'sleep 1000 & echo $!; wait' & b=$!
set -m; sleep 1000 & c=$!; set +m
sh -c 'trap "" TERM HUP INT; sleep 1000; sleep 1000' & d=$!
sleep 0.3
echo $$ $a $b $c $d
echo complete
wait`

// alive lists which of the processes named in a script's output still run.
func alive(t testing.TB, output string) []string {
	t.Helper()
	var left []string
	for _, pid := range strings.Fields(strings.ReplaceAll(output, "complete", "")) {
		if _, err := strconv.Atoi(pid); err != nil {
			t.Fatalf("output is %q", output)
		}
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(stat), ") ")
		if !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X") {
			left = append(left, pid)
		}
	}
	return left
}

func killed(t *testing.T, d device.Dialer, to device.Endpoint, cmd device.Command) {
	t.Helper()
	for _, byTimeout := range []bool{true, false} {
		ctx, cancel := context.WithCancel(within(t))
		cmd := cmd
		cmd.Script = family
		var seen bytes.Buffer
		cmd.Follow = func(stream int, p []byte) {
			seen.Write(p)
			if !byTimeout && strings.Contains(seen.String(), "complete") {
				cancel()
			}
		}
		if byTimeout {
			cmd.Timeout = 1500 * time.Millisecond
		}
		begin := time.Now()
		exit, err := dial(t, d, to).Run(ctx, cmd)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if !exit.Killed || !exit.KillConfirmed || exit.TimedOut != byTimeout {
			t.Errorf("%+v, err %q", exit, exit.Stderr)
		}
		if n := len(strings.Fields(string(exit.Stdout))); n != 7 {
			t.Fatalf("out %q, err %q", exit.Stdout, exit.Stderr)
		}
		if left := alive(t, string(exit.Stdout)); len(left) > 0 {
			t.Errorf("confirmed, and alive: %v", left)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	}
}

func realKill(t *testing.T, h Harness, o *OpenSSH) {
	killed(t, h.New(Options{}), o.To(), device.Command{})

	// What ended by itself is not called killed, even when the order to kill
	// comes before its channel closes: a child holds the output open.
	s := dial(t, h.New(Options{}), o.To())
	exit, err := s.Run(within(t), device.Command{Script: "sleep 1000 & echo $!; exit 6", Timeout: 700 * time.Millisecond})
	if err != nil || !exit.Killed || !exit.KillConfirmed || exit.Status != 6 {
		t.Errorf("%+v, %v", exit, err)
	}
	if left := alive(t, string(exit.Stdout)); len(left) > 0 {
		t.Errorf("alive: %v", left)
	}
	if exit, err = s.Run(within(t), device.Command{Script: "echo again"}); err != nil || string(exit.Stdout) != "again\n" {
		t.Errorf("the session is of no use after a kill: %+v, %v", exit, err)
	}
}

func realKillOneSession(t *testing.T, h Harness, _ *OpenSSH) {
	killed(t, h.New(Options{}), StartOpenSSH(t, "MaxSessions 1").To(), device.Command{})
}

func realSudo(t *testing.T, h Harness, o *OpenSSH) {
	o.Sudo(t)
	d := h.New(Options{})
	become := job.Become{User: "root", Method: job.BecomeSudo}
	script := "id -un; cat; echo err >&2; exit 5"
	exit := mustRun(t, d, o.To(), device.Command{Script: script, Become: become, BecomePassword: o.Password})
	if exit.Status != 5 || string(exit.Stdout) != "root\n" || string(exit.Stderr) != "err\n" {
		t.Errorf("%d, out %q, err %q", exit.Status, exit.Stdout, exit.Stderr)
	}
	exit = mustRun(t, d, o.To(), device.Command{Script: script, Become: job.Become{User: o.Other}, BecomePassword: o.Password})
	if exit.Status != 5 || string(exit.Stdout) != o.Other+"\n" {
		t.Errorf("%d, out %q, err %q", exit.Status, exit.Stdout, exit.Stderr)
	}
	exit = mustRun(t, d, o.To(), device.Command{Script: script, Become: job.Become{User: "nobody"}, BecomePassword: o.Password})
	if exit.Status != 5 || string(exit.Stdout) != "nobody\n" {
		t.Errorf("without a password: %d, out %q, err %q", exit.Status, exit.Stdout, exit.Stderr)
	}
	marker := filepath.Join(t.TempDir(), "ran")
	for _, password := range []job.Secret{"wrong-Canary", ""} {
		_, err := run(t, d, o.To(), device.Command{Script: "touch " + marker, Become: become, BecomePassword: password})
		wantError(t, err, device.PhaseAuth, job.ReasonAuthentication, false)
		if strings.Contains(err.Error(), "Canary") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the script ran in spite of a wrong password")
	}
	killed(t, d, o.To(), device.Command{Become: become, BecomePassword: o.Password})
}

func realSu(t *testing.T, h Harness, o *OpenSSH) {
	if !o.Root {
		Missing(t, "only root can make users for su")
	}
	d := h.New(Options{})
	become := job.Become{User: o.Other, Method: job.BecomeSu}
	script := "id -un; cat; echo err >&2; exit 5"
	exit := mustRun(t, d, o.To(), device.Command{Script: script, Become: become, BecomePassword: o.OtherPassword})
	if exit.Status != 5 || string(exit.Stdout) != o.Other+"\n" || string(exit.Stderr) != "err\n" {
		t.Errorf("%d, out %q, err %q", exit.Status, exit.Stdout, exit.Stderr)
	}
	for _, password := range []job.Secret{"wrong-Canary", ""} {
		_, err := run(t, d, o.To(), device.Command{Script: script, Become: become, BecomePassword: password})
		wantError(t, err, device.PhaseAuth, job.ReasonAuthentication, false)
		if strings.Contains(err.Error(), "Canary") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	killed(t, d, o.To(), device.Command{Become: become, BecomePassword: o.OtherPassword})
}

// realNothingInProc looks at every command line and environment of the machine
// while scripts run as another user.
func realNothingInProc(t *testing.T, h Harness, o *OpenSSH) {
	o.Sudo(t)
	for _, c := range []device.Command{
		{Become: job.Become{User: "root", Method: job.BecomeSudo}, BecomePassword: o.Password},
		{Become: job.Become{User: o.Other, Method: job.BecomeSu}, BecomePassword: o.OtherPassword},
	} {
		const canary = "Canary-in-the-script"
		c.Script = "x=" + canary + "; echo ready; sleep 0.5; echo done"
		scans := 0
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				for _, name := range []string{"cmdline", "environ"} {
					files, _ := filepath.Glob("/proc/[0-9]*/" + name)
					for _, file := range files {
						text, _ := os.ReadFile(file)
						for _, secret := range []string{c.BecomePassword.Reveal(), canary} {
							if bytes.Contains(text, []byte(secret)) {
								t.Errorf("%s shows a secret: %q", file, text)
							}
						}
					}
				}
				scans++
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
		exit := mustRun(t, h.New(Options{}), o.To(), c)
		close(stop)
		<-stopped
		if string(exit.Stdout) != "ready\ndone\n" || scans < 2 {
			t.Errorf("out %q, err %q, %d scans", exit.Stdout, exit.Stderr, scans)
		}
	}
}

func realJump(t *testing.T, h Harness, o *OpenSSH) {
	far := StartOpenSSH(t)
	to, jump := far.To(), o.To()
	to.Jump = &jump
	exit := mustRun(t, h.New(Options{}), to, device.Command{Script: "id -un"})
	if string(exit.Stdout) != far.User+"\n" {
		t.Errorf("out %q", exit.Stdout)
	}
	killed(t, h.New(Options{}), to, device.Command{})
}

func realLegacy(t *testing.T, h Harness, _ *OpenSSH) {
	old := StartOpenSSH(t, "KexAlgorithms diffie-hellman-group14-sha1", "HostKeyAlgorithms ssh-rsa", "Ciphers aes128-cbc", "MACs hmac-sha1")
	d := h.New(Options{})
	_, err := d.Dial(within(t), old.To())
	wantError(t, err, device.PhaseHandshake, job.ReasonConnect, false)
	to := old.To()
	to.Legacy = true
	mustRun(t, d, to, device.Command{Script: "true"})
}
