package devicetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"drover/internal/device"
	"drover/internal/device/sshsim"
	"drover/internal/job"
)

// detacher logs in and returns the session as a Detacher; ok is false where the
// sessions of this Dialer are none.
func detacher(t testing.TB, d device.Dialer, to device.Endpoint) device.Detacher {
	t.Helper()
	s, ok := dial(t, d, to).(device.Detacher)
	if !ok {
		t.Skip("the sessions of this Dialer do not detach")
	}
	return s
}

// detach starts a command, or ends the test.
func detach(t testing.TB, s device.Detacher, cmd device.DetachedCommand) device.Progress {
	t.Helper()
	if cmd.Timeout == 0 {
		cmd.Timeout = time.Hour
	}
	p, err := s.Detach(within(t), cmd)
	if err != nil {
		t.Fatalf("detach: %v", err)
	}
	return p
}

// look looks at a command, or ends the test.
func look(t testing.TB, s device.Detacher, c device.Detached, from device.Offsets, wait time.Duration) device.Progress {
	t.Helper()
	p, err := s.Look(within(t), c, from, wait)
	if err != nil {
		t.Fatalf("look: %v", err)
	}
	return p
}

// wait is longer than any command of these tests takes by itself.
const wait = 10 * time.Second

// detachLaws are what holds on pretend devices and on real ones, for each
// effective user.
func detachLaws(t *testing.T, d device.Dialer, to device.Endpoint, as device.Detached) {
	name := func(n string) device.Detached {
		c := as
		c.Name = n
		return c
	}
	t.Run("to the end", func(t *testing.T) {
		s := detacher(t, d, to)
		c := name("run-1-1")
		for range 2 { // the second finds the first
			p := detach(t, s, device.DetachedCommand{Detached: c, Script: "echo out; echo 'e r r' >&2; exit 3", Wait: wait})
			if p.State != device.DetachedEnded || p.Status != 3 || string(p.Stdout) != "out\n" || string(p.Stderr) != "e r r\n" || p.StdoutBytes != 4 || p.TimedOut {
				t.Fatalf("%+v: out %q, err %q", p, p.Stdout, p.Stderr)
			}
		}
		if p := look(t, s, c, device.Offsets{Stdout: 2, Stderr: 6}, 0); p.State != device.DetachedEnded || string(p.Stdout) != "t\n" || len(p.Stderr) != 0 || p.StderrBytes != 6 {
			t.Errorf("%+v: out %q, err %q", p, p.Stdout, p.Stderr)
		}
		for range 2 {
			if err := s.Forget(within(t), c); err != nil {
				t.Fatal(err)
			}
			if p := look(t, s, c, device.Offsets{}, 0); p.State != device.DetachedMissing {
				t.Errorf("forgotten, and %+v", p)
			}
		}
	})
	t.Run("apart from the connection", func(t *testing.T) {
		c := name("run-1-2")
		first := dial(t, d, to)
		p := detach(t, first.(device.Detacher), device.DetachedCommand{Detached: c, Script: "echo one; sleep 1.5; echo two"})
		if p.State != device.DetachedRunning {
			t.Fatalf("%+v", p)
		}
		_ = first.Close()
		s := detacher(t, d, to)
		var at device.Offsets
		var all []byte
		for p.State != device.DetachedEnded {
			p = look(t, s, c, at, 200*time.Millisecond)
			all = append(all, p.Stdout...)
			at.Stdout += int64(len(p.Stdout))
		}
		if string(all) != "one\ntwo\n" || p.Status != 0 {
			t.Errorf("%+v, in all %q", p, all)
		}
		_ = s.Forget(within(t), c)
	})
	t.Run("time limit", func(t *testing.T) {
		s := detacher(t, d, to)
		c := name("run-1-3")
		p := detach(t, s, device.DetachedCommand{Detached: c, Script: "echo begun; sleep 1000", Timeout: 400 * time.Millisecond, Wait: wait})
		if p.State != device.DetachedEnded || !p.TimedOut || !p.KillConfirmed || string(p.Stdout) != "begun\n" {
			t.Errorf("%+v", p)
		}
		_ = s.Forget(within(t), c)
	})
	t.Run("kill", func(t *testing.T) {
		s := detacher(t, d, to)
		c := name("run-1-4")
		if p := detach(t, s, device.DetachedCommand{Detached: c, Script: "echo begun; sleep 1000"}); p.State != device.DetachedRunning {
			t.Fatalf("%+v", p)
		}
		for _, want := range []bool{true, false} {
			found, gone, err := s.Kill(within(t), c)
			if err != nil || found != want || !gone {
				t.Errorf("found %v, gone %v, %v", found, gone, err)
			}
		}
		if p := look(t, s, c, device.Offsets{}, wait); p.State != device.DetachedEnded || p.Status == 0 || p.TimedOut || string(p.Stdout) != "begun\n" {
			t.Errorf("%+v: out %q", p, p.Stdout)
		}
		_ = s.Forget(within(t), c)
		if found, gone, err := s.Kill(within(t), c); err != nil || found || !gone {
			t.Errorf("forgotten: found %v, gone %v, %v", found, gone, err)
		}
	})
	t.Run("output limit", func(t *testing.T) {
		s := detacher(t, d, to)
		c := name("run-1-5")
		p := detach(t, s, device.DetachedCommand{Detached: c, Script: "printf 123456789; echo ab >&2", OutputLimit: 5, Wait: wait})
		if string(p.Stdout) != "12345" || p.StdoutBytes != 9 || string(p.Stderr) != "ab\n" || p.StderrBytes != 3 {
			t.Errorf("%+v: out %q, err %q", p, p.Stdout, p.Stderr)
		}
		_ = s.Forget(within(t), c)
	})
	t.Run("cannot be", func(t *testing.T) {
		s := detacher(t, d, to)
		for _, c := range []device.DetachedCommand{
			{Detached: name("../x"), Script: "echo", Timeout: time.Hour}, {Detached: name(""), Script: "echo", Timeout: time.Hour},
			{Detached: name("x"), Script: "echo"}, {Detached: name("x"), Script: "#!relative\necho", Timeout: time.Hour},
		} {
			_, err := s.Detach(within(t), c)
			wantError(t, err, device.PhaseStart, job.ReasonUnsupported, false)
		}
		windows := to
		windows.Platform = job.PlatformWindows
		_, err := detacher(t, d, windows).Detach(within(t), device.DetachedCommand{Detached: name("x"), Script: "echo", Timeout: time.Hour})
		wantError(t, err, device.PhaseStart, job.ReasonUnsupported, false)
	})
}

// testDetach checks detached commands on pretend devices.
func testDetach(t *testing.T, h Harness) {
	sim := one(t, sshsim.Behaviour{Greeting: "welcome\n", GreetingOut: "hello\n"})
	d := h.New(Options{})
	detachLaws(t, d, To(sim), device.Detached{})
	if n := sim.Count(); n != 5 {
		t.Errorf("%d commands were started, want 5", n)
	}
	for _, method := range []job.BecomeMethod{job.BecomeSudo, job.BecomeSu} {
		t.Run(string(method), func(t *testing.T) {
			sim := one(t, sshsim.Behaviour{BecomePassword: "pw"})
			become := job.Become{User: "deploy", Method: method}
			detachLaws(t, d, To(sim), device.Detached{Become: become, BecomePassword: "pw"})
			if got := sim.Executions(); len(got) != 5 || got[0].User != "deploy" {
				t.Errorf("%+v", got)
			}
			_, err := detacher(t, d, To(sim)).Detach(within(t), device.DetachedCommand{Timeout: time.Hour, Script: "echo",
				Detached: device.Detached{Name: "x", Become: become, BecomePassword: "wrong"}})
			wantError(t, err, device.PhaseAuth, job.ReasonAuthentication, false)
		})
	}
	c := device.Detached{Name: "run-1"}
	cmd := device.DetachedCommand{Detached: c, Script: "echo hello", Timeout: time.Hour, Wait: wait}
	t.Run("lost before and after it was started", func(t *testing.T) {
		for _, stage := range []sshsim.Stage{sshsim.StageScript, sshsim.StageOutput} {
			sim := one(t, sshsim.Behaviour{DropAt: stage})
			_, err := detacher(t, d, To(sim)).Detach(within(t), cmd)
			wantError(t, err, device.PhaseRun, job.ReasonLost, true)
			sim.Behave(func(b *sshsim.Behaviour) { *b = sshsim.Behaviour{} })
			again := cmd
			again.Tried = time.Minute
			if p := detach(t, detacher(t, d, To(sim)), again); p.State != device.DetachedEnded || string(p.Stdout) != "hello\n" || sim.Count() != 1 {
				t.Errorf("lost at %s: %+v after %d commands", stage, p, sim.Count())
			}
		}
	})
	t.Run("a device that is restarted", func(t *testing.T) {
		for forget, want := range map[bool]device.DetachedState{false: device.DetachedLost, true: device.DetachedMissing} {
			sim := one(t, sshsim.Behaviour{})
			long := cmd
			long.Script, long.Wait = "sleep 1000", 0
			if p := detach(t, detacher(t, d, To(sim)), long); p.State != device.DetachedRunning {
				t.Fatalf("%+v", p)
			}
			sim.Restart(forget)
			s := detacher(t, d, To(sim))
			if p := look(t, s, c, device.Offsets{}, 0); p.State != want {
				t.Errorf("%+v, want %s", p, want)
			}
			// Somebody who does not know whether it was started starts nothing.
			long.Tried = time.Minute
			if p := detach(t, s, long); p.State != want || sim.Count() != 1 {
				t.Errorf("%+v, want %s; %d commands", p, want, sim.Count())
			}
		}
	})
	t.Run("a device that cannot", func(t *testing.T) {
		sim := one(t, sshsim.Behaviour{NoDetach: true})
		_, err := detacher(t, d, To(sim)).Detach(within(t), cmd)
		if e := wantError(t, err, device.PhaseStart, job.ReasonUnsupported, false); !strings.Contains(e.Error(), "setsid") {
			t.Errorf("what the device said is missing: %v", e)
		}
	})
	t.Run("a command that cannot be killed", func(t *testing.T) {
		sim := one(t, sshsim.Behaviour{Immortal: true, Respond: func(sshsim.Invocation) sshsim.Reply { return sshsim.Reply{Delay: time.Hour} }})
		s := detacher(t, d, To(sim))
		long := cmd
		long.Wait = 0
		detach(t, s, long)
		if found, gone, err := s.Kill(within(t), c); err != nil || gone {
			t.Errorf("found %v, gone %v, %v", found, gone, err)
		}
	})
}

// realDetach checks detached commands on a real host.
func realDetach(t *testing.T, h Harness, o *OpenSSH) {
	d := h.New(Options{})
	t.Cleanup(func() { forgetFolders(o) })
	detachLaws(t, d, o.To(), device.Detached{})
	t.Run("started once by many", func(t *testing.T) {
		counter := filepath.Join(t.TempDir(), "runs")
		open(t, filepath.Dir(counter))
		c := device.Detached{Name: "run-2-1"}
		ended := make(chan device.Progress, 5)
		for range cap(ended) {
			s := detacher(t, d, o.To())
			go func() {
				p, err := s.Detach(within(t), device.DetachedCommand{Detached: c, Script: "echo x >>" + counter + "; sleep 0.5; echo done", Timeout: time.Hour, Wait: wait})
				if err != nil {
					t.Error(err)
				}
				ended <- p
			}()
		}
		for range cap(ended) {
			if p := <-ended; p.State != device.DetachedEnded || string(p.Stdout) != "done\n" {
				t.Errorf("%+v: out %q", p, p.Stdout)
			}
		}
		if n, err := os.ReadFile(counter); err != nil || string(n) != "x\n" {
			t.Errorf("the script ran %q, %v", n, err)
		}
		_ = detacher(t, d, o.To()).Forget(within(t), c)
	})
	t.Run("kill takes grandchildren", func(t *testing.T) {
		for _, limit := range []time.Duration{time.Hour, 1500 * time.Millisecond} {
			s := detacher(t, d, o.To())
			c := device.Detached{Name: "run-2-2"}
			detach(t, s, device.DetachedCommand{Detached: c, Script: family, Timeout: limit})
			var p device.Progress
			for !strings.Contains(string(p.Stdout), "complete") {
				p = look(t, s, c, device.Offsets{}, 100*time.Millisecond)
			}
			if limit == time.Hour {
				if found, gone, err := s.Kill(within(t), c); err != nil || !found || !gone {
					t.Errorf("found %v, gone %v, %v", found, gone, err)
				}
			}
			p = look(t, s, c, device.Offsets{}, wait)
			if p.State != device.DetachedEnded || p.TimedOut != (limit < time.Hour) || p.Status != 137 {
				t.Errorf("%+v", p)
			}
			if left := alive(t, string(p.Stdout)); len(left) > 0 {
				t.Errorf("alive: %v", left)
			}
			_ = s.Forget(within(t), c)
		}
	})
	t.Run("whole scripts, other interpreters, big outputs", func(t *testing.T) {
		find(t, "python3", "python3")
		s := detacher(t, d, o.To())
		long := "n=0\n" + strings.Repeat("n=$((n+1)) # a line of some length, to make the script a long one\n", 20_000) + "echo $n"
		for i, c := range []struct{ script, out string }{
			{long, "20000\n"},
			{"#!/usr/bin/env python3\nimport sys\nprint(len(sys.stdin.read()), len(sys.argv), 'it''s')", "0 1 its\n"},
			{"cat <<'E'\n'quoted' \"text\" $x `y` \\ !\nE\nread x || echo nothing", "'quoted' \"text\" $x `y` \\ !\nnothing\n"},
			{"sleep 30 & echo left behind", "left behind\n"},
			{"", ""},
		} {
			n := device.Detached{Name: fmt.Sprintf("run-3-%d", i)}
			p := detach(t, s, device.DetachedCommand{Detached: n, Script: c.script, Wait: wait})
			if string(p.Stdout) != c.out || p.State != device.DetachedEnded || p.Status != 0 {
				t.Errorf("%.80q: %s %d, out %q, err %.300q", c.script, p.State, p.Status, p.Stdout, p.Stderr)
			}
			_ = s.Forget(within(t), n)
		}
		const size = 4 << 20
		n := device.Detached{Name: "run-3-big"}
		p := detach(t, s, device.DetachedCommand{Detached: n, Script: fmt.Sprintf("head -c %d /dev/zero; head -c %d /dev/zero >&2; exit 1", size, size), OutputLimit: 50_000, Wait: wait})
		if p.StdoutBytes != size || p.StderrBytes != size || len(p.Stdout) != 50_000 || len(p.Stderr) != 50_000 || p.Status != 1 {
			t.Errorf("%d and %d bytes, kept %d and %d, status %d", p.StdoutBytes, p.StderrBytes, len(p.Stdout), len(p.Stderr), p.Status)
		}
		_ = s.Forget(within(t), n)
	})
	t.Run("nothing secret in files or in proc", func(t *testing.T) {
		o.Sudo(t)
		c := device.Detached{Name: "run-4-1", Become: job.Become{User: "root", Method: job.BecomeSudo}, BecomePassword: o.Password}
		const canary = "Canary-in-the-script"
		s := detacher(t, d, o.To())
		p := detach(t, s, device.DetachedCommand{Detached: c, Script: "x=" + canary + "; id -un; sleep 1; echo end"})
		if p.State != device.DetachedRunning {
			t.Fatalf("%+v", p)
		}
		folder := "/var/tmp/drover-0/run-4-1"
		for _, dir := range []string{filepath.Dir(folder), folder} {
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v", dir, info, err)
			}
		}
		files, _ := filepath.Glob(folder + "/*")
		for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ"} {
			more, _ := filepath.Glob(pattern)
			files = append(files, more...)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || info.Mode()&os.ModeNamedPipe != 0 {
				continue
			}
			text, _ := os.ReadFile(file)
			for _, word := range []string{canary, o.Password.Reveal()} {
				if strings.Contains(string(text), word) {
					t.Errorf("%s holds a secret", file)
				}
			}
		}
		if p = look(t, s, c, device.Offsets{}, wait); string(p.Stdout) != "root\nend\n" {
			t.Errorf("%+v: out %q, err %q", p, p.Stdout, p.Stderr)
		}
		_ = s.Forget(within(t), c)
		if _, err := os.Stat(folder); err == nil {
			t.Error("the folder is still there")
		}
	})
	for name, as := range map[string]device.Detached{
		"sudo": {Become: job.Become{User: o.Other, Method: job.BecomeSudo}, BecomePassword: o.Password},
		"su":   {Become: job.Become{User: o.Other, Method: job.BecomeSu}, BecomePassword: o.OtherPassword},
	} {
		t.Run(name, func(t *testing.T) {
			o.Sudo(t)
			detachLaws(t, d, o.To(), as)
		})
	}
	t.Run("a folder that is not safe", func(t *testing.T) {
		if !o.Root {
			Missing(t, "only root can take a user's folder away")
		}
		uid := strings.TrimSpace(string(mustRun(t, d, o.To(), device.Command{Script: "id -u"}).Stdout))
		elsewhere := t.TempDir()
		open(t, elsewhere)
		for _, base := range []string{"/var/tmp/drover-", "/tmp/drover-"} {
			_ = os.RemoveAll(base + uid)
			if err := os.Symlink(elsewhere, base+uid); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(base + uid) })
		}
		_, err := detacher(t, d, o.To()).Detach(within(t), device.DetachedCommand{Detached: device.Detached{Name: "x"}, Script: "echo", Timeout: time.Hour})
		wantError(t, err, device.PhaseStart, job.ReasonUnsupported, false)
		if left, _ := os.ReadDir(elsewhere); len(left) > 0 {
			t.Errorf("written elsewhere: %v", left)
		}
	})
}

// open lets everybody into a folder of a test.
func open(t testing.TB, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // the users of the test write there
			t.Fatal(err)
		}
	}
}

// forgetFolders removes the folders of the throw-away users, and root's.
func forgetFolders(o *OpenSSH) {
	if !o.Root {
		return
	}
	_ = os.Remove("/var/tmp/drover-0") // root's, if it is empty
	for _, user := range []string{o.User, o.Other} {
		out, err := commandOutput("id", "-u", user)
		uid := strings.TrimSpace(out)
		if n, e := strconv.Atoi(uid); err != nil || e != nil || n == 0 {
			continue
		}
		for _, base := range []string{"/var/tmp/drover-", "/tmp/drover-"} {
			_ = os.RemoveAll(base + uid)
		}
	}
}
