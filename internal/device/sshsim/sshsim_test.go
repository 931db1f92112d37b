package sshsim_test

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"drover/internal/device/sshsim"
)

func start(t testing.TB, c sshsim.Config) *sshsim.Fleet {
	t.Helper()
	f, err := sshsim.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func dial(t testing.TB, d *sshsim.Device) *ssh.Client {
	t.Helper()
	c, err := ssh.Dial("tcp", net.JoinHostPort(d.Address, strconv.Itoa(d.Port)), &ssh.ClientConfig{
		User: "drover", Auth: []ssh.AuthMethod{ssh.Password("drover")},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // a pretend device
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// The language, as a plain SSH client meets it: a command line, or a script on
// the standard input of sh.
func TestShell(t *testing.T) {
	f := start(t, sshsim.Config{})
	client := dial(t, f.Devices[0])
	for _, c := range []struct {
		script, out, err string
		status           int
	}{
		{"", "", "", 0},
		{"echo a  b", "a b\n", "", 0},
		{"echo -n x; echo y", "xy\n", "", 0},
		{`echo "it's" 'a "b"' c\ d`, "it's a \"b\" c d\n", "", 0},
		{`echo "$HOSTNAME" '$HOSTNAME' $?`, "R1 $HOSTNAME 0\n", "", 0},
		{"echo out; echo err >&2", "out\n", "err\n", 0},
		{"echo gone >/dev/null; nope 2>/dev/null", "", "", 127},
		{"true && echo yes || echo no; false && echo no || echo yes", "yes\nyes\n", "", 0},
		{"exit 3; echo never", "", "", 3},
		{"exit 300", "", "", 44},
		{"# comment only", "", "", 0},
		{"echo a # comment", "a\n", "", 0},
		{"hostname; uname; whoami", "R1\nLinux\ndrover\n", "", 0},
		{`printf '%s=%d%%\n' a 5`, "a=5%\n", "", 0},
		{"cat; echo end", "end\n", "", 0},
		{"sleep 0.001; sleep x", "", "sleep: invalid time interval\n", 1},
		{"bytes 5", "01234", "", 0},
		{"sh -c 'echo inner; exit 4'", "inner\n", "", 4},
		{"echo 'open", "", "sh: syntax error: unterminated quote\n", 2},
		{"kill -9 1", "", "kill: no such process\n", 1},
		{"nope", "", "sh: nope: not found\n", 127},
	} {
		for _, line := range []string{"sh -s", c.script} {
			if line == "" || line == c.script && strings.Contains(line, "'open") {
				continue // an empty line is a login shell; half a quote is no command line
			}
			s, err := client.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			s.Stdout, s.Stderr = &out, &errs
			if line == "sh -s" {
				s.Stdin = strings.NewReader(c.script)
			}
			err = s.Run(line)
			status := 0
			if exit, ok := err.(*ssh.ExitError); ok { //nolint:errorlint // as documented
				status = exit.ExitStatus()
			} else if err != nil {
				t.Fatalf("%q: %v", c.script, err)
			}
			if out.String() != c.out || errs.String() != c.err || status != c.status {
				t.Errorf("%q by %q: %d, out %q, err %q", c.script, line, status, out.String(), errs.String())
			}
		}
	}
}

func TestFleet_CountsEveryScript(t *testing.T) {
	f := start(t, sshsim.Config{Devices: 20, Address: "127.9.0.1", Port: freePort(t), OneHostKey: true})
	if f.Devices[19].Address != "127.9.0.20" || f.Devices[0].HostKey() != f.Devices[19].HostKey() {
		t.Errorf("device 20 is at %s", f.Devices[19].Address)
	}
	var wg sync.WaitGroup
	for i, d := range f.Devices {
		wg.Go(func() {
			client := dial(t, d)
			for range i {
				s, err := client.NewSession()
				if err != nil {
					t.Error(err)
					return
				}
				if out, err := s.Output("hostname"); err != nil || string(out) != d.Name+"\n" {
					t.Errorf("%q, %v", out, err)
				}
			}
		})
	}
	wg.Wait()
	for i, d := range f.Devices {
		if d.Count() != i || d.Running() != 0 {
			t.Errorf("%s: %d executions, want %d; %d running", d.Name, d.Count(), i, d.Running())
		}
		for _, e := range d.Executions() {
			if e.Script != "hostname" || e.Status != 0 || e.Ended.Before(e.Started) {
				t.Errorf("%+v", e)
			}
		}
	}
	if n := f.Executions(); n != 190 {
		t.Errorf("%d executions in all", n)
	}
}

func TestRespond_ReplacesTheInterpreter(t *testing.T) {
	var seen sshsim.Invocation
	f := start(t, sshsim.Config{Behave: func(int) sshsim.Behaviour {
		return sshsim.Behaviour{Respond: func(i sshsim.Invocation) sshsim.Reply {
			seen = i
			return sshsim.Reply{Stdout: []byte("o"), Stderr: []byte("e"), Status: 9}
		}}
	}})
	s, err := dial(t, f.Devices[0]).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.CombinedOutput("show version")
	var exit *ssh.ExitError
	if exit, _ = err.(*ssh.ExitError); exit == nil || exit.ExitStatus() != 9 || len(out) != 2 { //nolint:errorlint // as documented
		t.Errorf("%q, %v", out, err)
	}
	if seen.Script != "show version" || seen.Device != "R1" || seen.User != "drover" {
		t.Errorf("%+v", seen)
	}
}

func TestStart_Refuses(t *testing.T) {
	for name, c := range map[string]sshsim.Config{
		"a public address": {Address: "192.0.2.1"},
		"no address":       {Address: "here"},
		"no key":           {AuthorizedKeys: []string{"nothing"}},
	} {
		if f, err := sshsim.Start(c); err == nil {
			_ = f.Close()
			t.Errorf("%s: started", name)
		}
	}
	taken := start(t, sshsim.Config{})
	if f, err := sshsim.Start(sshsim.Config{Address: taken.Devices[0].Address, Port: taken.Devices[0].Port}); err == nil {
		_ = f.Close()
		t.Error("two fleets on one port")
	}
}

func TestClose_DropsWhatHangs(t *testing.T) {
	for _, at := range sshsim.Stages() {
		f := start(t, sshsim.Config{Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{HangAt: at} }})
		c, err := net.Dial("tcp", net.JoinHostPort(f.Devices[0].Address, strconv.Itoa(f.Devices[0].Port)))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil { // returns only when all its goroutines have
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func FuzzShell(f *testing.F) {
	fleet := start(f, sshsim.Config{})
	for _, s := range []string{"echo a; b && c || d >&2", `echo "x\"y" 'z' $? $$`, "printf %s%", "exit -1", "sleep 1e-9"} {
		f.Add(s)
	}
	client := dial(f, fleet.Devices[0])
	f.Fuzz(func(t *testing.T, script string) {
		if strings.Contains(script, "sleep") || strings.Contains(script, "bytes") || len(script) > 1000 {
			return
		}
		s, err := client.NewSession()
		if err != nil {
			t.Fatal(err) // the device has panicked
		}
		_, _ = s.CombinedOutput(script)
	})
}
