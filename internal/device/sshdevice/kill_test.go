package sshdevice

import (
	"fmt"
	"os/exec"
	"syscall"
	"testing"

	"drover/internal/job"
)

// killers are the shells that killStage may meet as sh.
func killers(t *testing.T) map[string][]string {
	all := map[string][]string{}
	for name, args := range map[string][]string{"sh": {"sh"}, "dash": {"dash"}, "bash": {"bash"}, "busybox": {"busybox", "sh"}, "zsh": {"zsh", "--emulate", "sh"}} {
		if path, err := exec.LookPath(args[0]); err == nil {
			all[name] = append([]string{path}, args[1:]...)
		}
	}
	if len(all) == 0 {
		t.Skip("there is no shell here")
	}
	return all
}

func TestKillStage_TellsWhatIsLeft(t *testing.T) {
	for name, shell := range killers(t) {
		t.Run(name, func(t *testing.T) {
			victim := exec.Command("sh", "-c", "sleep 1000 & sleep 1000")
			victim.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := victim.Start(); err != nil {
				t.Fatal(err)
			}
			group := victim.Process.Pid
			kill := func() (gone, found bool) {
				args := append(shell[1:len(shell):len(shell)], "-c", killStage, "drover-kill", fmt.Sprint(group), fmt.Sprint(group), testNonce)
				out, _ := exec.Command(shell[0], args...).Output()
				return parseGone(string(out), testNonce)
			}
			gone, found := kill() // the victim is our child: it stays a zombie, which is not alive
			if !gone || !found {
				t.Errorf("gone %v, found %v; want both", gone, found)
			}
			if err := syscall.Kill(-group, 0); err != nil {
				t.Errorf("the zombie that the test needs is not there: %v", err)
			}
			_ = victim.Wait()
			if gone, found := kill(); !gone || found {
				t.Errorf("the second time: gone %v, found %v", gone, found)
			}
		})
	}
}

// Another's group cannot be signalled: that is never called gone.
func TestKillStage_DoesNotClaimWhatItMayNotKill(t *testing.T) {
	if syscall.Getuid() != 0 {
		t.Skip("only root can make a process that another user may not kill")
	}
	victim := exec.Command("sleep", "1000")
	victim.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = victim.Process.Kill(); _ = victim.Wait() }()
	group := victim.Process.Pid
	killer := exec.Command("sh", "-c", killStage, "drover-kill", fmt.Sprint(group), fmt.Sprint(group), testNonce)
	killer.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := killer.Output()
	if gone, _ := parseGone(string(out), testNonce); gone || err == nil {
		t.Errorf("claims that a process is gone that lives: %q", out)
	}
}

func TestParseGone(t *testing.T) {
	for out, want := range map[string][2]bool{
		"":                                  {false, false},
		"drover-gone " + testNonce + " 0\n": {true, false},
		"motd\ndrover-gone " + testNonce + " 1\n": {true, true},
		"drover-gone other 1\n":                   {false, false},
		"drover-gone " + testNonce + " 10\n":      {false, false},
	} {
		gone, found := parseGone(out, testNonce)
		if [2]bool{gone, found} != want {
			t.Errorf("%q: gone %v, found %v", out, gone, found)
		}
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{"": "''", "a b": "'a b'", "it's": `'it'\''s'`} {
		if got := quote(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
	for user, ok := range map[string]bool{"root": true, "svc-x": true, `DOM\user`: true, "a@b.c": true, "-x": false, "": false, "a'b": false, "a\nb": false, "$x": false} {
		if safeUser.MatchString(user) != ok {
			t.Errorf("user name %q: %v, want %v", user, !ok, ok)
		}
	}
	if _, err := launch(job.Become{Method: "other"}, testNonce, "x"); err == nil {
		t.Error("an unknown method is accepted")
	}
}
