// Package devicetest is what every device.Dialer must pass: one suite against
// pretend devices (package sshsim), with every fault they know, and one
// against a real OpenSSH server.
package devicetest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/device"
	"drover/internal/device/sshsim"
	"drover/internal/job"
)

// Options are what the suites adjust in a Dialer. Zero means its default.
type Options struct {
	HandshakeTimeout  time.Duration
	KeepAlive         time.Duration
	KillTimeout       time.Duration
	NewConnsPerSecond float64
}

// Harness makes the Dialer under test.
type Harness struct {
	New func(Options) device.Dialer
}

// patience is how long anything that should happen at once may take on a busy machine.
const patience = 20 * time.Second

// Pins is a device.Pins in memory. It is safe for use by many goroutines.
type Pins struct {
	mu      sync.Mutex
	keys    map[int64]string
	refused map[int64]string

	// Rival, when not "", is the key that another caller pins an instant
	// before every Pin.
	Rival string
	// Err, when not nil, is what every method returns.
	Err error
}

// Set pins a key beforehand.
func (p *Pins) Set(id int64, key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys == nil {
		p.keys = make(map[int64]string)
	}
	p.keys[id] = key
}

// Key is the key that is pinned for a device now, "" when none is.
func (p *Pins) Key(id int64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[id]
}

// RefusedKey is the key that was last refused for a device.
func (p *Pins) RefusedKey(id int64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[id]
}

// Pinned implements device.Pins.
func (p *Pins) Pinned(_ context.Context, id int64) (string, error) { return p.Key(id), p.Err }

// Pin implements device.Pins.
func (p *Pins) Pin(_ context.Context, id int64, _, key string) (string, error) {
	if p.Err != nil {
		return "", p.Err
	}
	if p.Rival != "" {
		p.Set(id, p.Rival)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys == nil {
		p.keys = make(map[int64]string)
	}
	if p.keys[id] == "" {
		p.keys[id] = key
	}
	return p.keys[id], nil
}

// Refused implements device.Pins.
func (p *Pins) Refused(_ context.Context, id int64, _, offered string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused == nil {
		p.refused = make(map[int64]string)
	}
	p.refused[id] = offered
	return p.Err
}

// To is the endpoint of a pretend device that was started with the default
// user and password; its host key is not checked.
func To(d *sshsim.Device) device.Endpoint {
	return device.Endpoint{Name: d.Name, Address: d.Address, Port: d.Port, Platform: job.PlatformLinux,
		Auth: device.Auth{Username: "drover", Password: "drover"}, HostKey: job.HostKeyOff}
}

// start starts a fleet that ends with the test.
func start(t testing.TB, c sshsim.Config) *sshsim.Fleet {
	t.Helper()
	f, err := sshsim.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// one starts one pretend device.
func one(t testing.TB, b sshsim.Behaviour) *sshsim.Device {
	t.Helper()
	return start(t, sshsim.Config{Behave: func(int) sshsim.Behaviour { return b }}).Devices[0]
}

// within is a context that fails the test's calls rather than the test binary.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// dial logs in, or ends the test.
func dial(t testing.TB, d device.Dialer, to device.Endpoint) device.Session {
	t.Helper()
	s, err := d.Dial(within(t), to)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// run logs in and runs a command; a session that cannot be had ends the test.
func run(t testing.TB, d device.Dialer, to device.Endpoint, cmd device.Command) (device.Exit, error) {
	t.Helper()
	return dial(t, d, to).Run(within(t), cmd)
}

// mustRun is run for commands that must have an exit.
func mustRun(t testing.TB, d device.Dialer, to device.Endpoint, cmd device.Command) device.Exit {
	t.Helper()
	exit, err := run(t, d, to, cmd)
	if err != nil {
		t.Fatalf("run: %v (exit %+v)", err, exit)
	}
	return exit
}

// failure is err as a *device.Error, or ends the test.
func failure(t testing.TB, err error) *device.Error {
	t.Helper()
	var e *device.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %T %v, want a *device.Error", err, err)
	}
	return e
}

// wantError checks where and why something failed.
func wantError(t testing.TB, err error, phase device.Phase, reason string, sent bool) *device.Error {
	t.Helper()
	e := failure(t, err)
	if e.Phase != phase || e.Reason != reason || e.Sent != sent {
		t.Errorf("error %q is phase %s, reason %s, sent %v; want %s, %s, %v", err, e.Phase, e.Reason, e.Sent, phase, reason, sent)
	}
	return e
}

// eventually waits until a condition that depends on other goroutines holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// NoLeaks fails the test when it leaves goroutines behind that run code of
// this module's device packages or of package ssh. Call it first in the test;
// it looks after everything registered later has been cleaned up.
func NoLeaks(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		deadline := time.Now().Add(patience)
		for {
			left := leaked()
			if left == "" || t.Failed() {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("goroutines left behind:\n%s", left)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

func leaked() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for i, g := range strings.Split(string(stacks), "\n\n") {
		if i > 0 && (strings.Contains(g, "drover/internal/device/sshdevice.") || strings.Contains(g, "drover/internal/device/sshsim.") || strings.Contains(g, "crypto/ssh.")) {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}

// yield lets a moment pass.
func yield() <-chan time.Time { return time.After(time.Millisecond) }
