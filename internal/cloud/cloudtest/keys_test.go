//go:build cloud

package cloudtest

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"drover/internal/device/sshsim"
	"drover/internal/e2etest"
)

// keysAreRotated has the keyset rotated between runs, by processes that hold it
// and go on: what the fresh key seals opens at once where it is not known, and
// what the older one has sealed still does.
func keysAreRotated(t *testing.T, target e2etest.Target) {
	b := &bad{t: t, target: target}
	var err error
	b.fleet, err = sshsim.Start(sshsim.Config{Devices: badDevices, Password: badPassword, Behave: func(int) sshsim.Behaviour {
		return sshsim.Behaviour{Respond: func(sshsim.Invocation) sshsim.Reply { return sshsim.Reply{Stdout: []byte("ok\n")} }}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.fleet.Close() }()
	run := func(service string) {
		t.Helper()
		var made struct {
			Run struct {
				ID string `json:"id"`
			} `json:"run"`
		}
		b.call(http.MethodPost, "/drover/v1/runs", map[string]any{"service": service}, &made, "Idempotency-Key", fmt.Sprint(service, "-", b.fleet.Executions()))
		for end := time.Now().Add(target.Patience); ; time.Sleep(200 * time.Millisecond) {
			r := b.run(made.Run.ID)
			if r.Ended != nil || time.Now().After(end) {
				if r.Status != "succeeded" {
					t.Errorf("%s: %+v", service, r)
				}
				return
			}
		}
	}
	older, newer := fmt.Sprint("keys-older-", time.Now().UnixMilli()), fmt.Sprint("keys-newer-", time.Now().UnixMilli())
	b.load(older)
	run(older + "-0") // executors that hold the keyset as it is
	var got struct {
		Keys int `json:"keys"`
	}
	b.call(http.MethodPost, "/drover/v1/keys/rotate", nil, &got)
	if got.Keys < 2 {
		t.Errorf("%d keys after a rotation", got.Keys)
	}
	b.load(newer)
	run(newer + "-0")
	run(older + "-1")
}
