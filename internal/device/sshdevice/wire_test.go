package sshdevice

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"drover/internal/device"
	"drover/internal/job"
)

const testNonce = "0123456789abcdef01234567"

// shells are what login shells hand the command line on with; missing ones are
// left out, sh is always there.
func shells(t *testing.T) map[string][]string {
	all := map[string][]string{}
	for name, args := range map[string][]string{
		"sh": {"sh", "-c"}, "bash": {"bash", "-c"}, "dash": {"dash", "-c"}, "zsh": {"zsh", "-c"}, "ksh": {"ksh", "-c"},
		"fish": {"fish", "-c"}, "csh": {"csh", "-c"}, "tcsh": {"tcsh", "-c"}, "busybox": {"busybox", "sh", "-c"},
	} {
		if path, err := exec.LookPath(args[0]); err == nil {
			all[name] = append([]string{path}, args[1:]...)
		}
	}
	if all["sh"] == nil {
		t.Skip("there is no sh here")
	}
	return all
}

// local runs a request as a login shell would, without a device.
func local(t *testing.T, shell []string, line string, stdin []byte, env ...string) (stdout, stderr string, status int) {
	t.Helper()
	c := exec.Command(shell[0], append(shell[1:len(shell):len(shell)], line)...)
	c.Stdin = bytes.NewReader(stdin)
	c.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

func TestStages_RunInEveryShell(t *testing.T) {
	scripts := map[string]string{
		"":                                   "",
		"echo hello":                         "hello\n",
		"printf 'no end'":                    "no end",
		"echo \"it's $((1+1))\"\n\n\n":       "it's 2\n",
		"cat; read x; echo ${x:-empty}":      "empty\n",
		"#!/bin/sh\necho $# ${drover-unset}": "0 unset\n",
		"#!/bin/cat\nlines\n":                "#!/bin/cat\nlines\n",
		"#!/usr/bin/env cat\nlines":          "#!/usr/bin/env cat\nlines",
	}
	for name, shell := range shells(t) {
		// A PATH without bash or setsid shows the ways around them.
		bare := t.TempDir()
		for _, program := range []string{"sh", "cat", "mktemp", "wc", "rm", "env"} {
			path, err := exec.LookPath(program)
			if err != nil {
				t.Fatal(err)
			}
			if name == "busybox" { // its sh for every stage, and its other programs
				path = shell[0]
			}
			if err := os.Symlink(path, filepath.Join(bare, program)); err != nil {
				t.Fatal(err)
			}
		}
		for _, env := range []string{"DROVER_TEST=1", "PATH=" + bare} {
			for script, want := range scripts {
				req, err := newRequest(job.PlatformLinux, &device.Command{Script: script}, testNonce)
				if err != nil {
					t.Fatal(err)
				}
				out, errs, status := local(t, shell, req.line, req.stdin, env)
				h := newHead(testNonce, job.Become{})
				rest := h.feed([]byte(errs))
				if out != want || status != 0 || !h.found || len(rest) != 0 {
					t.Errorf("%s, %s: %q: status %d, out %q, err %q", name, env, script, status, out, errs)
				}
				if env != "PATH="+bare && h.where.group == 0 {
					t.Errorf("%s: %q: its process group is not known: %q", name, script, errs)
				}
			}
		}
	}
}

// A script that is cut off, or has something in front of it, must not run in
// part: "rm -rf /tmp/x" must never become "rm -rf /".
func TestStages_HalfAScriptDoesNotRun(t *testing.T) {
	shell := shells(t)["sh"]
	for _, script := range []string{"echo ran\necho again\n", "#!/usr/bin/env sh -u\necho ran\n"} {
		req, err := newRequest(job.PlatformLinux, &device.Command{Script: script}, testNonce)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range len(req.stdin) {
			if cut%7 != 0 && cut < len(req.stdin)-3 {
				continue
			}
			out, _, status := local(t, shell, req.line, req.stdin[:cut])
			if out != "" || status != incompleteStatus {
				t.Errorf("cut at %d of %d: status %d, out %q", cut, len(req.stdin), status, out)
			}
		}
		out, _, status := local(t, shell, req.line, append([]byte("password\n"), req.stdin...))
		if out != "" || status != incompleteStatus {
			t.Errorf("something in front: status %d, out %q", status, out)
		}
	}
}

func TestLaunch_LineIsPlain(t *testing.T) {
	for _, become := range []job.Become{{}, {User: "root"}, {User: "DOM\\some one", Method: job.BecomeDzdo}, {Method: job.BecomeSu}} {
		req, err := newRequest(job.PlatformLinux, &device.Command{Script: "echo SCRIPT", Become: become, BecomePassword: "PASSWORD"}, testNonce)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(req.line, "\n\r!") || strings.Contains(req.line, "SCRIPT") || strings.Contains(req.line, "PASSWORD") {
			t.Errorf("%+v: %s", become, req.line)
		}
	}
	for _, stage := range []string{stageOne, evalStage, fileStage, killStage} {
		if strings.ContainsAny(stage, "'\n!") {
			t.Errorf("not plain: %s", stage)
		}
	}
}

// fish takes a backslash before the closing quote for an escape.
func TestLaunch_RefusesNamesThatNoQuoteHolds(t *testing.T) {
	for _, user := range []string{`DOM\`, `\`, "a'b", "a!", "-u", "a\nb", "#0", "a`b"} {
		for _, method := range []job.BecomeMethod{job.BecomeSudo, job.BecomeSu} {
			if line, err := launch(job.Become{User: user, Method: method}, testNonce, "sh -c true"); !errors.Is(err, errUser) {
				t.Errorf("%q by %s: %q, %v", user, method, line, err)
			}
		}
	}
}

func TestShebang(t *testing.T) {
	for script, want := range map[string]string{
		"echo":                             "",
		"#!":                               "",
		"#!/bin/sh":                        "",
		"#!/bin/bash -e\n":                 "",
		"#! /usr/bin/env bash":             "",
		"#!/usr/bin/env python3\r\nprint":  "/usr/bin/env python3",
		"#!/usr/bin/perl -w\n":             "/usr/bin/perl -w",
		"#!/usr/bin/env -S awk -f\nBEGIN":  "/usr/bin/env -S awk -f",
		"#!python3":                        "error",
		"#!/bin/$(reboot)":                 "error",
		"#!/usr/bin/env 'python3'\nprint1": "error",
	} {
		got, err := shebang(script)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", script, got, want)
		}
	}
}

func TestWindowsScript_IsOneLine(t *testing.T) {
	text := windowsScript("Write-Output 'a'\nWrite-Output \"b\"\n")
	if n := bytes.Count(bytes.TrimRight(text, "\n"), []byte("\n")); n != 0 {
		t.Errorf("%d line ends in %q", n, text)
	}
}

// However standard error is cut into chunks, the same place is found and the
// same output comes out.
func TestHead_CutAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := rapid.StringMatching(`[a-z\x01 \n]{0,40}`).Draw(t, "before")
		after := rapid.StringN(0, 40, -1).Draw(t, "after")
		sudo := rapid.Bool().Draw(t, "sudo")
		become := job.Become{}
		asked := ""
		if sudo {
			become.Method = job.BecomeSudo
			asked = promptOf(testNonce)
		}
		all := before + asked + fmt.Sprintf("\x01drover %s 4711 4712\n", testNonce) + after
		h := newHead(testNonce, become)
		var got []byte
		for all != "" {
			n := rapid.IntRange(1, len(all)).Draw(t, "n")
			got = append(got, h.feed([]byte(all[:n]))...)
			all = all[n:]
		}
		want := before + after
		if sudo {
			want = after
		}
		if !h.found || h.where != (place{4711, 4712}) || string(got) != want {
			t.Fatalf("found %v at %+v, output %q, want %q", h.found, h.where, got, want)
		}
		if sudo && h.prompts > 1 {
			t.Fatalf("%d prompts", h.prompts)
		}
	})
}

func TestHead_GivesUp(t *testing.T) {
	h := newHead(testNonce, job.Become{})
	text := bytes.Repeat([]byte("x"), maxHead+1)
	if got := h.feed(text); !h.gaveUp || !bytes.Equal(got, text) {
		t.Errorf("gave up %v, %d bytes", h.gaveUp, len(got))
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte("\x01drover "+testNonce+" 12 12\nout"), 3, byte(0))
	f.Add([]byte("noise\x01drover "+testNonce+" -1 12\n"), 1, byte(1))
	f.Add([]byte("drover-password-"+testNonce+":Sorry"), 5, byte(1))
	f.Add([]byte("Password: su: Authentication failure\n"), 10, byte(2))
	f.Fuzz(func(t *testing.T, text []byte, step int, kind byte) {
		become := []job.Become{{}, {Method: job.BecomeSudo}, {Method: job.BecomeSu}}[kind%3]
		h := newHead(testNonce, become)
		step = max(1, step)
		out := 0
		for i := 0; i < len(text); i += min(step, len(text)-i) {
			out += len(h.feed(text[i : i+min(step, len(text)-i)]))
		}
		if out+len(h.buf) > len(text) {
			t.Fatalf("%d bytes became %d", len(text), out+len(h.buf))
		}
		if h.where.group != 0 && (!h.found || h.where.group < 2) {
			t.Fatalf("place %+v", h.where)
		}
	})
}

func FuzzParsePlace(f *testing.F) {
	for _, s := range []string{"1 1", "2 2", "0 0", "-5 3", "99999999999 1", "+7 7", "4711 4712 4713"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p := parsePlace(s); p != (place{}) && (p.group < 2 || fmt.Sprintf("%d %d", p.group, p.session) == "") {
			t.Fatalf("%q: %+v", s, p)
		}
	})
}

func FuzzParsePin(f *testing.F) {
	key, err := parsePin("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4RZrZp9j8oyW1vPwVqPpD2x0rHcB0sUoKXvJk3m1sN comment")
	if err == nil {
		f.Add(formatPin(key))
	}
	for _, s := range []string{"", "ssh-rsa", "ssh-ed25519 AAAA", `command="x" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4RZrZp9j8oyW1vPwVqPpD2x0rHcB0sUoKXvJk3m1sN`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := parsePin(s)
		if err != nil {
			return
		}
		again, err := parsePin(formatPin(key))
		if err != nil || !bytes.Equal(again.Marshal(), key.Marshal()) {
			t.Fatalf("%q does not come back: %v", s, err)
		}
	})
}

func FuzzShebang(f *testing.F) {
	f.Add("#!/usr/bin/env python3\n")
	f.Add("#!/bin/$(x)")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := shebang(s)
		if err == nil && strings.ContainsAny(got, "'\"`$;&|<>()\n\r!*?\\") {
			t.Fatalf("%q goes to a command line", got)
		}
	})
}
