package sshdevice

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"drover/internal/device"
	"drover/internal/job"
)

// killedStatus is what servers and programs that do not pass signals on say
// of a command that was killed.
const killedStatus = 128 + 9

// settle is how long a killed command's channel may take to end.
const settle = 2 * time.Second

// kill stops the command, because of its time limit or because the caller is
// leaving, and says what is known about it. A command that turns out to have
// ended by itself just before keeps its exit.
func (r *running) kill(timedOut bool) device.Exit {
	r.hush()
	conf := &r.s.dialer.conf
	ctx, cancel := context.WithTimeout(context.Background(), conf.KillTimeout)
	defer cancel()

	_, _ = r.ch.SendRequest("signal", false, ssh.Marshal(struct{ Name string }{"KILL"}))
	where := r.place(ctx)
	gone, found := false, false
	if where.group != 0 {
		gone, found = r.s.killGroup(ctx, r.cmd, where)
	}
	r.await(ctx, settle)
	_ = r.ch.Close()
	exit := r.exit()

	r.mu.Lock()
	exited := r.exited
	r.mu.Unlock()
	if exited && gone && !found && exit.Signal == "" && exit.Status != killedStatus {
		return exit // there was nothing left to kill
	}
	exit.TimedOut, exit.Killed, exit.KillConfirmed = timedOut, true, gone
	conf.Log.LogAttrs(ctx, slog.LevelDebug, "killed", slog.String("device", r.s.to.Name),
		slog.Bool("timed_out", timedOut), slog.Bool("confirmed", gone))
	return exit
}

// place waits a moment for the marker of a command that was only just sent.
func (r *running) place(ctx context.Context) place {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	for {
		r.mu.Lock()
		where, passed := r.head.where, r.head.passed()
		r.mu.Unlock()
		if passed {
			return where
		}
		select {
		case <-r.note:
		case <-r.over:
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.head.where
		case <-timer.C:
			return place{}
		case <-ctx.Done():
			return place{}
		}
	}
}

// await waits for the channel's end.
func (r *running) await(ctx context.Context, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-r.over:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// killGroup kills a process group as the user who started it, through another
// channel or, when that does not come to a good end (no second session is
// granted, no answer), through another connection. gone means that the device
// looked and found nothing left, found that there was something to kill.
func (s *session) killGroup(ctx context.Context, cmd *device.Command, where place) (gone, found bool) {
	first, cancel := context.WithTimeout(ctx, s.dialer.conf.KillTimeout/2)
	gone, found = s.tryKill(first, cmd, where)
	cancel()
	if gone || ctx.Err() != nil {
		return gone, found
	}
	other, err := s.dialer.Dial(ctx, s.to)
	if err != nil {
		return false, found
	}
	defer func() { _ = other.Close() }()
	gone, again := other.(*session).tryKill(ctx, cmd, where)
	return gone, found || again
}

func (s *session) tryKill(ctx context.Context, cmd *device.Command, where place) (gone, found bool) {
	nonce := newNonce()
	stage := fmt.Sprintf("sh -c %s drover-kill %d %d %s", quote(killStage), where.group, where.session, nonce)
	killer := &device.Command{Become: cmd.Become, BecomePassword: cmd.BecomePassword, OutputLimit: 4 << 10}
	line, err := launch(killer.Become, nonce, stage)
	if err != nil {
		return false, false
	}
	r := newRunning(s, killer, newHead(nonce, killer.Become))
	// The guard of start closes the connection when time is up: one on which
	// no channel can be opened is of no more use.
	if r.start(ctx, line) != nil {
		return false, false
	}
	defer func() { _ = r.ch.Close() }()
	answered := false
	for {
		r.mu.Lock()
		prompts := r.head.prompts
		r.mu.Unlock()
		if prompts > 1 {
			return false, false
		}
		if prompts == 1 && !answered && killer.Become != (job.Become{}) {
			answered = true
			password := []byte(killer.BecomePassword.Reveal() + "\n")
			go func() {
				_, _ = r.ch.Write(password)
				clear(password)
			}()
		}
		select {
		case <-r.note:
		case <-r.over:
			return parseGone(string(r.exit().Stdout), nonce)
		case <-ctx.Done():
			return false, false
		}
	}
}

// parseGone looks for the line by which killStage says that nothing is left.
func parseGone(out, nonce string) (gone, found bool) {
	for line := range strings.Lines(out) {
		switch strings.TrimSuffix(line, "\n") {
		case "drover-gone " + nonce + " 0":
			return true, false
		case "drover-gone " + nonce + " 1":
			return true, true
		}
	}
	return false, false
}
