package devicetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/device"
	"drover/internal/device/sshsim"
	"drover/internal/job"
)

// Run checks a Dialer against pretend devices.
func Run(t *testing.T, h Harness) {
	for _, law := range []struct {
		name  string
		check func(*testing.T, Harness)
	}{
		{"ExitAndStreams", testExit},
		{"HostileNetwork", testHostileNetwork},
		{"Noise", testNoise},
		{"OutputLimit", testOutputLimit},
		{"Follow", testFollow},
		{"SentIsCalledOnceBefore", testSent},
		{"ManyCommandsOneSession", testManyCommands},
		{"Login", testLogin},
		{"HostKeys", testHostKeys},
		{"Hang", testHang},
		{"HandshakeTimeout", testHandshakeTimeout},
		{"Drop", testDrop},
		{"NobodyThere", testNobodyThere},
		{"Kill", testKill},
		{"DeadPeer", testDeadPeer},
		{"Become", testBecome},
		{"Detach", testDetach},
		{"Jump", testJump},
		{"RateLimit", testRateLimit},
	} {
		t.Run(law.name, func(t *testing.T) {
			NoLeaks(t)
			law.check(t, h)
		})
	}
}

func testExit(t *testing.T, h Harness) {
	sim := one(t, sshsim.Behaviour{})
	d := h.New(Options{})
	for _, c := range []struct {
		script, out, err string
		status           int
		signal           string
	}{
		{script: "", out: ""},
		{script: "echo hello", out: "hello\n"},
		{script: "echo hello\n", out: "hello\n"},
		{script: "echo out; echo err >&2; exit 3", out: "out\n", err: "err\n", status: 3},
		{script: "#!/bin/bash\n# a comment\nprintf '%s' 'no end of line'", out: "no end of line"},
		{script: "#!/usr/bin/env python3\necho run by another interpreter", out: "run by another interpreter\n"},
		{script: "nonesuch", err: "sh: nonesuch: not found\n", status: 127},
		{script: "false || echo no; true && echo yes", out: "no\nyes\n"},
		{script: "invalid-utf8", out: "caf\xe9 \xff\xfe \xf0\x9f\x98\n"},
		{script: "echo before; kill -TERM $$; echo after", out: "before\n", status: -1, signal: "TERM"},
	} {
		exit := mustRun(t, d, To(sim), device.Command{Script: c.script})
		if exit.Status != c.status || exit.Signal != c.signal || string(exit.Stdout) != c.out || string(exit.Stderr) != c.err {
			t.Errorf("%q: %d %q, out %q, err %q", c.script, exit.Status, exit.Signal, exit.Stdout, exit.Stderr)
		}
		if exit.Killed || exit.TimedOut || exit.KillConfirmed {
			t.Errorf("%q: claims to have been killed: %+v", c.script, exit)
		}
		all := sim.Executions()
		if got := all[len(all)-1].Script; got != c.script {
			t.Errorf("the device was sent %q, want %q", got, c.script)
		}
	}
}

func testHostileNetwork(t *testing.T, h Harness) {
	for name, b := range map[string]sshsim.Behaviour{
		"one byte at a time": {OneByte: true, BecomePassword: "pw"},
		"slow":               {Slow: time.Millisecond, BecomePassword: "pw"},
	} {
		t.Run(name, func(t *testing.T) {
			sim := one(t, b)
			script := "# " + strings.Repeat("long ", 1000) + "\necho out; echo err >&2; exit 7"
			for _, become := range []job.Become{{}, {User: "root", Method: job.BecomeSudo}, {User: "root", Method: job.BecomeSu}} {
				exit := mustRun(t, h.New(Options{}), To(sim), device.Command{Script: script, Become: become, BecomePassword: "pw"})
				if exit.Status != 7 || string(exit.Stdout) != "out\n" || string(exit.Stderr) != "err\n" {
					t.Errorf("%+v: %d, out %q, err %q", become, exit.Status, exit.Stdout, exit.Stderr)
				}
			}
			if n := sim.Count(); n != 3 {
				t.Errorf("%d executions, want 3", n)
			}
		})
	}
}

func testNoise(t *testing.T, h Harness) {
	sim := one(t, sshsim.Behaviour{
		Banner:      "Authorised use only.\r\n" + strings.Repeat("*", 3000) + "\r\n",
		PreVersion:  "Welcome\r\nto the terminal server\r\n",
		Greeting:    "start-up file says hello",
		GreetingOut: "motd\n",
	})
	exit := mustRun(t, h.New(Options{}), To(sim), device.Command{Script: "echo x; echo y >&2"})
	if string(exit.Stdout) != "motd\nx\n" || string(exit.Stderr) != "start-up file says helloy\n" {
		t.Errorf("out %q, err %q", exit.Stdout, exit.Stderr)
	}

	// A shell that does not know the wrapper is a result.
	sim.Behave(func(b *sshsim.Behaviour) { *b = sshsim.Behaviour{NoMarker: true} })
	exit = mustRun(t, h.New(Options{}), To(sim), device.Command{Script: "echo x"})
	if exit.Status != 127 || !strings.Contains(string(exit.Stderr), "not found") {
		t.Errorf("%d %q", exit.Status, exit.Stderr)
	}
}

func testOutputLimit(t *testing.T, h Harness) {
	sim := one(t, sshsim.Behaviour{})
	d := h.New(Options{})
	const size = 6 << 20 // more than any window
	exit := mustRun(t, d, To(sim), device.Command{Script: fmt.Sprintf("bytes %d; bytes %d >&2; exit 4", size, size), OutputLimit: 1000})
	if len(exit.Stdout) != 1000 || len(exit.Stderr) != 1000 || exit.StdoutBytes != size || exit.StderrBytes != size || exit.Status != 4 {
		t.Errorf("kept %d and %d of %d and %d, status %d", len(exit.Stdout), len(exit.Stderr), exit.StdoutBytes, exit.StderrBytes, exit.Status)
	}
	exit = mustRun(t, d, To(sim), device.Command{Script: fmt.Sprintf("bytes %d", size)})
	if len(exit.Stdout) != job.DefaultOutputLimit || exit.StdoutBytes != size {
		t.Errorf("kept %d of %d by default", len(exit.Stdout), exit.StdoutBytes)
	}
}

func testFollow(t *testing.T, h Harness) {
	sim := one(t, sshsim.Behaviour{})
	var seen [3]bytes.Buffer
	exit := mustRun(t, h.New(Options{}), To(sim), device.Command{
		Script:      "echo one; echo two >&2; bytes 100000",
		OutputLimit: 10,
		Follow:      func(stream int, p []byte) { seen[stream].Write(p) }, // never two at once: the race detector looks
	})
	if int64(seen[1].Len()) != exit.StdoutBytes || seen[1].Len() != 100004 || seen[2].String() != "two\n" {
		t.Errorf("followed %d bytes of %d, and %q", seen[1].Len(), exit.StdoutBytes, seen[2].String())
	}
}

func testSent(t *testing.T, h Harness) {
	sim := one(t, sshsim.Behaviour{BecomePassword: "pw"})
	d := h.New(Options{})
	for _, become := range []job.Become{{}, {User: "root", Method: job.BecomeSudo}} {
		before := sim.Count()
		calls := 0
		mustRun(t, d, To(sim), device.Command{Script: "true", Become: become, BecomePassword: "pw", Sent: func() error {
			calls++
			if sim.Count() != before {
				t.Error("the script ran before Sent was called")
			}
			return nil
		}})
		if calls != 1 {
			t.Errorf("Sent was called %d times", calls)
		}
		broken := errors.New("disk full")
		_, err := run(t, d, To(sim), device.Command{Script: "true", Become: become, BecomePassword: "pw", Sent: func() error { return broken }})
		if e := failure(t, err); e.Sent || !errors.Is(err, broken) {
			t.Errorf("sent %v, %v", e.Sent, err)
		}
		eventually(t, "the unsent command is over", func() bool { return sim.Running() == 0 })
		if n := sim.Count(); n != before+1 {
			t.Errorf("%d executions, want %d", n, before+1)
		}
	}
}

func testManyCommands(t *testing.T, h Harness) {
	sim := one(t, sshsim.Behaviour{})
	s := dial(t, h.New(Options{}), To(sim))
	for i := range 20 {
		exit, err := s.Run(within(t), device.Command{Script: fmt.Sprintf("echo %d", i)})
		if err != nil || string(exit.Stdout) != fmt.Sprintf("%d\n", i) {
			t.Fatalf("%d: %q, %v", i, exit.Stdout, err)
		}
	}
	if got := sim.Stats(); got.Accepted != 1 || sim.Count() != 20 {
		t.Errorf("%+v, %d executions", got, sim.Count())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_, err := s.Run(within(t), device.Command{Script: "echo late"})
	if failure(t, err).Sent {
		t.Error("a closed session claims to have sent a command")
	}
}

// neverSent lists the stages before the script's first byte.
func neverSent(at sshsim.Stage) bool { return at != sshsim.StageScript && at != sshsim.StageOutput }

func testHang(t *testing.T, h Harness) {
	for _, at := range sshsim.Stages() {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			sim := one(t, sshsim.Behaviour{HangAt: at})
			d := h.New(Options{KillTimeout: 300 * time.Millisecond})
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			time.AfterFunc(100*time.Millisecond, cancel)
			begin := time.Now()
			s, err := d.Dial(ctx, To(sim))
			var exit device.Exit
			if err == nil {
				defer func() { _ = s.Close() }()
				exit, err = s.Run(ctx, device.Command{Script: "echo hello"})
			}
			if took := time.Since(begin); took > patience/2 {
				t.Errorf("a cancel took %v", took)
			}
			if neverSent(at) {
				e := failure(t, err)
				if e.Sent || e.Reason != job.ReasonCanceled || !errors.Is(err, context.Canceled) {
					t.Errorf("sent %v, reason %s: %v", e.Sent, e.Reason, err)
				}
				if sim.Count() != 0 {
					t.Error("the script was started")
				}
				return
			}
			if err != nil || !exit.Killed || exit.TimedOut {
				t.Errorf("%+v, %v", exit, err)
			}
		})
	}
}

func testHandshakeTimeout(t *testing.T, h Harness) {
	for _, at := range []sshsim.Stage{sshsim.StageAccept, sshsim.StageVersion, sshsim.StageKex, sshsim.StageAuth} {
		sim := one(t, sshsim.Behaviour{HangAt: at})
		_, err := h.New(Options{HandshakeTimeout: 50 * time.Millisecond}).Dial(within(t), To(sim))
		wantError(t, err, device.PhaseHandshake, job.ReasonConnect, false)
	}
}

func testDrop(t *testing.T, h Harness) {
	for _, at := range sshsim.Stages() {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			sim := one(t, sshsim.Behaviour{DropAt: at})
			d := h.New(Options{})
			s, err := d.Dial(within(t), To(sim))
			if err != nil {
				wantError(t, err, device.PhaseHandshake, job.ReasonConnect, false)
				return
			}
			defer func() { _ = s.Close() }()
			exit, err := s.Run(within(t), device.Command{Script: "echo hello"})
			if neverSent(at) {
				wantError(t, err, device.PhaseStart, job.ReasonConnect, false)
				if sim.Count() != 0 {
					t.Error("the script was started")
				}
				return
			}
			wantError(t, err, device.PhaseRun, job.ReasonLost, true)
			if exit.Status != -1 || exit.Killed {
				t.Errorf("exit %+v", exit)
			}
			if at == sshsim.StageOutput && string(exit.Stdout) != "hello\n" {
				t.Errorf("output so far is %q", exit.Stdout)
			}
			if n := sim.Count(); n > 1 {
				t.Errorf("the script was started %d times", n)
			}
		})
	}
	t.Run("exec refused", func(t *testing.T) {
		sim := one(t, sshsim.Behaviour{RefuseExec: true})
		_, err := run(t, h.New(Options{}), To(sim), device.Command{Script: "echo hello"})
		wantError(t, err, device.PhaseStart, job.ReasonConnect, false)
	})
}

func testNobodyThere(t *testing.T, h Harness) {
	f := start(t, sshsim.Config{})
	to := To(f.Devices[0])
	_ = f.Close()
	_, err := h.New(Options{}).Dial(within(t), to)
	wantError(t, err, device.PhaseConnect, job.ReasonConnect, false)
}

func testKill(t *testing.T, h Harness) {
	const long = "echo started; sleep 3600; echo ended"
	for _, c := range []struct {
		name      string
		b         sshsim.Behaviour
		become    job.Become
		confirmed bool
	}{
		{"plain", sshsim.Behaviour{}, job.Become{}, true},
		{"signals ignored", sshsim.Behaviour{IgnoreSignals: true}, job.Become{}, true},
		{"one session at a time", sshsim.Behaviour{MaxSessions: 1, IgnoreSignals: true}, job.Become{}, true},
		{"cannot be killed", sshsim.Behaviour{Immortal: true}, job.Become{}, false},
		{"sudo", sshsim.Behaviour{IgnoreSignals: true, BecomePassword: "pw"}, job.Become{User: "root", Method: job.BecomeSudo}, true},
		{"su", sshsim.Behaviour{IgnoreSignals: true, BecomePassword: "pw"}, job.Become{User: "root", Method: job.BecomeSu}, true},
	} {
		for _, byTimeout := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/timeout=%v", c.name, byTimeout), func(t *testing.T) {
				t.Parallel()
				sim := one(t, c.b)
				s := dial(t, h.New(Options{KillTimeout: 3 * time.Second}), To(sim))
				ctx, cancel := context.WithCancel(within(t))
				defer cancel()
				cmd := device.Command{Script: long, Become: c.become, BecomePassword: "pw"}
				if byTimeout {
					cmd.Timeout = 50 * time.Millisecond
				} else {
					cmd.Follow = func(int, []byte) { cancel() }
				}
				exit, err := s.Run(ctx, cmd)
				if err != nil {
					t.Fatal(err)
				}
				if !exit.Killed || exit.TimedOut != byTimeout || exit.KillConfirmed != c.confirmed || exit.Status != -1 {
					t.Errorf("%+v", exit)
				}
				if c.confirmed && sim.Running() != 0 {
					t.Error("confirmed, and it still runs")
				}
				if n := sim.Count(); n != 1 {
					t.Errorf("%d executions", n)
				}
			})
		}
	}
	t.Run("before it is sent", func(t *testing.T) {
		sim := one(t, sshsim.Behaviour{})
		s := dial(t, h.New(Options{}), To(sim))
		ctx, cancel := context.WithCancel(within(t))
		cancel()
		_, err := s.Run(ctx, device.Command{Script: "true"})
		if e := failure(t, err); e.Sent || e.Reason != job.ReasonCanceled || sim.Count() != 0 {
			t.Errorf("%v, %d executions", err, sim.Count())
		}
	})
	t.Run("windows is given up", func(t *testing.T) {
		sim := one(t, sshsim.Behaviour{Respond: func(sshsim.Invocation) sshsim.Reply { return sshsim.Reply{Delay: time.Hour} }, IgnoreSignals: true})
		to := To(sim)
		to.Platform = job.PlatformWindows
		exit, err := run(t, h.New(Options{}), to, device.Command{Script: "Get-Date", Timeout: 50 * time.Millisecond})
		if err != nil || !exit.Killed || exit.KillConfirmed || !exit.TimedOut {
			t.Errorf("%+v, %v", exit, err)
		}
	})
}

func testDeadPeer(t *testing.T, h Harness) {
	sim := one(t, sshsim.Behaviour{Mute: true})
	exit, err := run(t, h.New(Options{KeepAlive: 20 * time.Millisecond}), To(sim), device.Command{Script: "echo alive; sleep 3600"})
	wantError(t, err, device.PhaseRun, job.ReasonLost, true)
	if string(exit.Stdout) != "alive\n" {
		t.Errorf("output so far is %q", exit.Stdout)
	}

	// A peer that answers may be silent as long as it likes.
	sim = one(t, sshsim.Behaviour{Delay: 400 * time.Millisecond})
	if exit := mustRun(t, h.New(Options{KeepAlive: 20 * time.Millisecond}), To(sim), device.Command{Script: "exit 5"}); exit.Status != 5 {
		t.Errorf("exit %+v", exit)
	}
}

func testBecome(t *testing.T, h Harness) {
	for _, method := range []job.BecomeMethod{job.BecomeSudo, job.BecomeSu, job.BecomeDzdo} {
		t.Run(string(method), func(t *testing.T) {
			become := job.Become{User: "deploy", Method: method}
			script := "whoami; echo err >&2; exit 2"
			sim := one(t, sshsim.Behaviour{BecomePassword: "s3cret-pass"})
			d := h.New(Options{})
			exit := mustRun(t, d, To(sim), device.Command{Script: script, Become: become, BecomePassword: "s3cret-pass"})
			if exit.Status != 2 || string(exit.Stdout) != "deploy\n" || string(exit.Stderr) != "err\n" {
				t.Errorf("%d, out %q, err %q", exit.Status, exit.Stdout, exit.Stderr)
			}
			for _, password := range []job.Secret{"wr0ng", ""} {
				_, err := run(t, d, To(sim), device.Command{Script: script, Become: become, BecomePassword: password})
				wantError(t, err, device.PhaseAuth, job.ReasonAuthentication, false)
				if strings.Contains(err.Error(), "wr0ng") {
					t.Errorf("the error tells the password: %v", err)
				}
			}
			sim.Behave(func(b *sshsim.Behaviour) { b.BecomeDenied = true })
			_, err := run(t, d, To(sim), device.Command{Script: script, Become: become, BecomePassword: "s3cret-pass"})
			wantError(t, err, device.PhaseAuth, job.ReasonAuthentication, false)
			if !strings.Contains(err.Error(), "not allowed") {
				t.Errorf("what the device said is missing: %v", err)
			}
			// Where no password is asked for, none is sent.
			sim.Behave(func(b *sshsim.Behaviour) { *b = sshsim.Behaviour{} })
			exit = mustRun(t, d, To(sim), device.Command{Script: script, Become: become, BecomePassword: "s3cret-pass"})
			if exit.Status != 2 || string(exit.Stdout) != "deploy\n" {
				t.Errorf("%d, out %q", exit.Status, exit.Stdout)
			}
			if n := sim.Count(); n != 2 {
				t.Errorf("%d executions, want 2", n)
			}
			for _, e := range sim.Executions() {
				if e.Script != script || e.User != "deploy" {
					t.Errorf("ran %q as %s", e.Script, e.User)
				}
			}
		})
	}
	for _, become := range []job.Become{{User: "-u", Method: job.BecomeSudo}, {User: "a'b", Method: job.BecomeSu}, {User: "x", Method: "doas"}} {
		sim := one(t, sshsim.Behaviour{})
		_, err := run(t, h.New(Options{}), To(sim), device.Command{Script: "true", Become: become})
		wantError(t, err, device.PhaseStart, job.ReasonUnsupported, false)
	}
	t.Run("drop while asking", func(t *testing.T) {
		sim := one(t, sshsim.Behaviour{BecomePassword: "pw"})
		s := dial(t, h.New(Options{}), To(sim))
		ctx, cancel := context.WithTimeout(within(t), patience)
		defer cancel()
		var once sync.Once
		_, err := s.Run(ctx, device.Command{Script: "true", Become: job.Become{Method: job.BecomeSudo}, BecomePassword: "pw",
			Sent: func() error { once.Do(sim.DropAll); return nil }})
		wantError(t, err, device.PhaseRun, job.ReasonLost, true)
	})
}

func testRateLimit(t *testing.T, h Harness) {
	sim := one(t, sshsim.Behaviour{})
	d := h.New(Options{NewConnsPerSecond: 0.001})
	dial(t, d, To(sim))
	ctx, cancel := context.WithTimeout(within(t), 20*time.Millisecond)
	defer cancel()
	_, err := d.Dial(ctx, To(sim))
	wantError(t, err, device.PhaseConnect, job.ReasonConnect, false)
	if got := sim.Stats().Accepted; got != 1 {
		t.Errorf("%d connections", got)
	}
}
