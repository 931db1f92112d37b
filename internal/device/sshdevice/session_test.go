package sshdevice

import (
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"drover/internal/device"
	"drover/internal/job"
)

// What a device calls a signal goes into the result's row as it is.
func TestWatch_SignalIsAShortWord(t *testing.T) {
	for sent, want := range map[string]string{
		"KILL": "KILL", "USR1": "USR1", "INFO@openssh.com": "INFO@openssh.com",
		strings.Repeat("A", 200_000): "unknown", "\x1b[2J": "unknown", "\xff": "unknown", "": "unknown", "a b": "unknown",
	} {
		r := newRunning(nil, &device.Command{}, newHead(testNonce, job.Become{}))
		reqs := make(chan *ssh.Request, 1)
		reqs <- &ssh.Request{Type: "exit-signal", Payload: ssh.Marshal(struct {
			Signal        string
			Core          bool
			Message, Lang string
		}{Signal: sent})}
		close(reqs)
		r.wg.Add(1)
		r.watch(reqs)
		if e := r.exit(); e.Signal != want || e.Status != -1 {
			t.Errorf("%.20q: signal %.40q, status %d", sent, e.Signal, e.Status)
		}
	}
}
