package devicetest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"drover/internal/device"
	"drover/internal/device/sshsim"
	"drover/internal/job"
)

// newKey makes a private key in OpenSSH form, and its public line.
func newKey(t testing.TB, key crypto.Signer, passphrase string) (private job.Secret, public string) {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return job.Secret(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(p))
}

func newEd25519(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testLogin(t *testing.T, h Harness) {
	plain, line1 := newKey(t, newEd25519(t), "")
	locked, line2 := newKey(t, newEd25519(t), "open sesame")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, line3 := newKey(t, ec, "")
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, line4 := newKey(t, rs, "")
	stranger, _ := newKey(t, newEd25519(t), "")
	keys := []string{line1, line2, line3, line4}

	password := sshsim.Config{}
	questions := sshsim.Config{KeyboardInteractive: true}
	keyOnly := sshsim.Config{AuthorizedKeys: keys, KeyOnly: true}
	both := sshsim.Config{AuthorizedKeys: keys}
	for _, c := range []struct {
		name    string
		server  sshsim.Config
		auth    device.Auth
		reason  string // "": logs in
		touches bool   // the device is asked at all
		refused int    // attempts that the device refused
	}{
		{"password", password, device.Auth{Username: "drover", Password: "drover"}, "", true, 0},
		{"keyboard-interactive", questions, device.Auth{Username: "drover", Password: "drover"}, "", true, 0},
		{"key", keyOnly, device.Auth{Username: "drover", PrivateKey: plain}, "", true, 0},
		{"key with passphrase", keyOnly, device.Auth{Username: "drover", PrivateKey: locked, Passphrase: "open sesame"}, "", true, 0},
		{"passphrase not needed", keyOnly, device.Auth{Username: "drover", PrivateKey: plain, Passphrase: "any"}, "", true, 0},
		{"ecdsa key", keyOnly, device.Auth{Username: "drover", PrivateKey: ecKey}, "", true, 0},
		{"rsa key", keyOnly, device.Auth{Username: "drover", PrivateKey: rsaKey}, "", true, 0},
		{"key before password", both, device.Auth{Username: "drover", PrivateKey: plain, Password: "wrong"}, "", true, 0},
		{"password after key", both, device.Auth{Username: "drover", PrivateKey: stranger, Password: "drover"}, "", true, 1},
		{"wrong password", password, device.Auth{Username: "drover", Password: "wr0ng-one"}, job.ReasonAuthentication, true, 1},
		{"wrong answer", questions, device.Auth{Username: "drover", Password: "wr0ng-one"}, job.ReasonAuthentication, true, 1},
		{"wrong user", password, device.Auth{Username: "nobody", Password: "drover"}, job.ReasonAuthentication, true, 1},
		{"key that is not authorised", keyOnly, device.Auth{Username: "drover", PrivateKey: stranger}, job.ReasonAuthentication, true, 1},
		{"password where only keys count", keyOnly, device.Auth{Username: "drover", Password: "drover"}, job.ReasonAuthentication, true, 0},
		{"nothing to show", password, device.Auth{Username: "drover"}, job.ReasonAuthentication, true, 0},
		{"no user", password, device.Auth{Password: "drover"}, job.ReasonNoCredential, false, 0},
		{"not a key", keyOnly, device.Auth{Username: "drover", PrivateKey: "s3cret but no key"}, job.ReasonAuthentication, false, 0},
		{"passphrase missing", keyOnly, device.Auth{Username: "drover", PrivateKey: locked}, job.ReasonAuthentication, false, 0},
		{"wrong passphrase", keyOnly, device.Auth{Username: "drover", PrivateKey: locked, Passphrase: "wr0ng-one"}, job.ReasonAuthentication, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim := start(t, c.server).Devices[0]
			to := To(sim)
			to.Auth = c.auth
			s, err := h.New(Options{}).Dial(within(t), to)
			if got := sim.Stats(); got.Refused != c.refused || got.Accepted > 0 != c.touches {
				t.Errorf("the device saw %+v", got)
			}
			if c.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = s.Close()
				return
			}
			wantError(t, err, device.PhaseAuth, c.reason, false)
			for _, secret := range []string{"wr0ng-one", "s3cret", "open sesame"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells a secret: %v", err)
				}
			}
		})
	}
	t.Run("the three bad keys are told apart", func(t *testing.T) {
		sim := start(t, keyOnly).Devices[0]
		seen := map[string]bool{}
		for _, a := range []device.Auth{
			{Username: "drover", PrivateKey: "no key"},
			{Username: "drover", PrivateKey: locked},
			{Username: "drover", PrivateKey: locked, Passphrase: "x"},
		} {
			to := To(sim)
			to.Auth = a
			_, err := h.New(Options{}).Dial(within(t), to)
			seen[failure(t, err).Error()] = true
		}
		if len(seen) != 3 {
			t.Errorf("messages: %v", seen)
		}
	})
}

// thief shows another's public key and signs with its own.
type thief struct {
	ssh.Signer
	shown ssh.PublicKey
}

func (l thief) PublicKey() ssh.PublicKey { return l.shown }

func (l thief) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return l.Signer.Sign(rand, data)
}

func newHostKey(t testing.TB) ssh.Signer {
	t.Helper()
	key, err := sshsim.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testHostKeys(t *testing.T, h Harness) {
	checked := func(sim *sshsim.Device, policy job.HostKeyPolicy, pins device.Pins) device.Endpoint {
		to := To(sim)
		to.HostKey, to.Pins, to.DeviceID = policy, pins, 7
		return to
	}
	d := h.New(Options{})
	t.Run("accept-new pins the first key and holds to it", func(t *testing.T) {
		sim, pins := one(t, sshsim.Behaviour{}), new(Pins)
		first := sim.HostKey()
		for range 2 {
			mustRun(t, d, checked(sim, job.HostKeyAcceptNew, pins), device.Command{Script: "true"})
			if pins.Key(7) != first {
				t.Fatalf("pinned %q, want %q", pins.Key(7), first)
			}
		}
		sim.SetHostKey(newHostKey(t))
		_, err := d.Dial(within(t), checked(sim, job.HostKeyAcceptNew, pins))
		wantError(t, err, device.PhaseHostKey, job.ReasonHostKeyChanged, false)
		if pins.Key(7) != first || pins.RefusedKey(7) != sim.HostKey() {
			t.Errorf("pinned %q, refused %q", pins.Key(7), pins.RefusedKey(7))
		}
		if got := sim.Stats(); got.Logins != 2 || got.Refused != 0 {
			t.Errorf("a changed key was shown a password: %+v", got)
		}
	})
	t.Run("empty policy checks", func(t *testing.T) {
		sim, pins := one(t, sshsim.Behaviour{}), new(Pins)
		mustRun(t, d, checked(sim, "", pins), device.Command{Script: "true"})
		if pins.Key(7) != sim.HostKey() {
			t.Error("not pinned")
		}
		_, err := d.Dial(within(t), checked(sim, "", nil))
		wantError(t, err, device.PhaseHostKey, job.ReasonInternal, false)
	})
	t.Run("strict", func(t *testing.T) {
		sim, pins := one(t, sshsim.Behaviour{}), new(Pins)
		_, err := d.Dial(within(t), checked(sim, job.HostKeyStrict, pins))
		wantError(t, err, device.PhaseHostKey, job.ReasonHostKeyUnknown, false)
		if pins.Key(7) != "" {
			t.Error("strict pinned a key")
		}
		pins.Set(7, sim.HostKey()+" a comment")
		mustRun(t, d, checked(sim, job.HostKeyStrict, pins), device.Command{Script: "true"})
	})
	t.Run("off", func(t *testing.T) {
		sim := one(t, sshsim.Behaviour{})
		mustRun(t, d, checked(sim, job.HostKeyOff, nil), device.Command{Script: "true"})
	})
	t.Run("a rival pinned first", func(t *testing.T) {
		sim := one(t, sshsim.Behaviour{})
		same := &Pins{Rival: sim.HostKey()}
		mustRun(t, d, checked(sim, job.HostKeyAcceptNew, same), device.Command{Script: "true"})
		other := &Pins{Rival: one(t, sshsim.Behaviour{}).HostKey()}
		_, err := d.Dial(within(t), checked(sim, job.HostKeyAcceptNew, other))
		wantError(t, err, device.PhaseHostKey, job.ReasonHostKeyChanged, false)
	})
	t.Run("no pin without proof of possession", func(t *testing.T) {
		sim, pins := one(t, sshsim.Behaviour{}), new(Pins)
		sim.SetHostKey(thief{newHostKey(t), newHostKey(t).PublicKey()})
		_, err := d.Dial(within(t), checked(sim, job.HostKeyAcceptNew, pins))
		wantError(t, err, device.PhaseHandshake, job.ReasonConnect, false)
		if pins.Key(7) != "" {
			t.Error("a key was pinned that the device does not hold")
		}
	})
	t.Run("another type of key is a changed key", func(t *testing.T) {
		sim, pins := one(t, sshsim.Behaviour{}), new(Pins)
		mustRun(t, d, checked(sim, job.HostKeyAcceptNew, pins), device.Command{Script: "true"})
		ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.NewSignerFromSigner(ec)
		if err != nil {
			t.Fatal(err)
		}
		sim.SetHostKey(key)
		_, err = d.Dial(within(t), checked(sim, job.HostKeyAcceptNew, pins))
		wantError(t, err, device.PhaseHostKey, job.ReasonHostKeyChanged, false)
	})
	t.Run("pins that cannot be read", func(t *testing.T) {
		sim := one(t, sshsim.Behaviour{})
		broken := &Pins{Err: errors.New("disk on fire")}
		_, err := d.Dial(within(t), checked(sim, job.HostKeyAcceptNew, broken))
		wantError(t, err, device.PhaseHostKey, job.ReasonInternal, false)
		garbage := new(Pins)
		garbage.Set(7, "not a key")
		_, err = d.Dial(within(t), checked(sim, job.HostKeyAcceptNew, garbage))
		wantError(t, err, device.PhaseHostKey, job.ReasonInternal, false)
	})
	t.Run("legacy algorithms only when asked", func(t *testing.T) {
		old := &ssh.Config{KeyExchanges: []string{ssh.InsecureKeyExchangeDH1SHA1}, Ciphers: []string{ssh.InsecureCipherAES128CBC}}
		sim := start(t, sshsim.Config{Server: old}).Devices[0]
		_, err := d.Dial(within(t), To(sim))
		wantError(t, err, device.PhaseHandshake, job.ReasonConnect, false)
		to := To(sim)
		to.Legacy = true
		mustRun(t, d, to, device.Command{Script: "true"})
	})
}

func testJump(t *testing.T, h Harness) {
	d := h.New(Options{HandshakeTimeout: patience, KillTimeout: patience / 4})
	chain := func(f *sshsim.Fleet) device.Endpoint { // R1 behind R2 behind R3 ...
		to := To(f.Devices[0])
		at := &to
		for _, sim := range f.Devices[1:] {
			jump := To(sim)
			at.Jump = &jump
			at = at.Jump
		}
		return to
	}
	for _, n := range []int{1, 2, 5} {
		f := start(t, sshsim.Config{Devices: n + 1})
		exit := mustRun(t, d, chain(f), device.Command{Script: "hostname"})
		if string(exit.Stdout) != "R1\n" {
			t.Errorf("out %q", exit.Stdout)
		}
		for _, sim := range f.Devices[1:] {
			if sim.Stats().Forwards != 1 || sim.Count() != 0 {
				t.Errorf("%s: %+v, %d executions", sim.Name, sim.Stats(), sim.Count())
			}
		}
	}
	refused := func(t *testing.T, to device.Endpoint, f *sshsim.Fleet) error {
		t.Helper()
		_, err := d.Dial(within(t), to)
		wantError(t, err, device.PhaseJump, job.ReasonJump, false)
		eventually(t, "all connections are closed", func() bool {
			for _, sim := range f.Devices {
				if sim.Stats().Open != 0 {
					return false
				}
			}
			return true
		})
		return err
	}
	t.Run("too many", func(t *testing.T) {
		f := start(t, sshsim.Config{Devices: 7})
		refused(t, chain(f), f)
	})
	t.Run("circle", func(t *testing.T) {
		f := start(t, sshsim.Config{Devices: 2})
		to := chain(f)
		to.Jump.Jump = &to
		refused(t, to, f)
		again := To(f.Devices[0])
		to.Jump.Jump = &again
		refused(t, to, f)
	})
	t.Run("forwarding off", func(t *testing.T) {
		f := start(t, sshsim.Config{Devices: 2, Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{NoForward: true} }})
		refused(t, chain(f), f)
	})
	t.Run("the jump host's key is checked by itself", func(t *testing.T) {
		f := start(t, sshsim.Config{Devices: 2})
		pins := new(Pins)
		to := chain(f)
		to.HostKey, to.Pins, to.DeviceID = job.HostKeyAcceptNew, pins, 1
		to.Jump.HostKey, to.Jump.Pins, to.Jump.DeviceID = job.HostKeyAcceptNew, pins, 2
		mustRun(t, d, to, device.Command{Script: "true"})
		if pins.Key(1) != f.Devices[0].HostKey() || pins.Key(2) != f.Devices[1].HostKey() {
			t.Error("wrong pins")
		}
		f.Devices[1].SetHostKey(newHostKey(t))
		_, err := d.Dial(within(t), to)
		e := wantError(t, err, device.PhaseJump, job.ReasonJump, false)
		if inner := failure(t, e.Err); inner.Reason != job.ReasonHostKeyChanged || pins.RefusedKey(2) == "" {
			t.Errorf("%v", err)
		}
	})
	t.Run("behind it nobody is there", func(t *testing.T) {
		f := start(t, sshsim.Config{Devices: 2})
		to := chain(f)
		to.Port = 1
		refused(t, to, f)
	})
	t.Run("behind it the device hangs", func(t *testing.T) {
		for _, at := range sshsim.Stages()[:4] {
			f := start(t, sshsim.Config{Devices: 2, Behave: func(i int) sshsim.Behaviour {
				if i == 0 {
					return sshsim.Behaviour{HangAt: at}
				}
				return sshsim.Behaviour{}
			}})
			ctx, cancel := context.WithCancel(within(t))
			go func() {
				for f.Devices[1].Stats().Forwards == 0 && ctx.Err() == nil {
					<-yield()
				}
				cancel()
			}()
			_, err := d.Dial(ctx, chain(f))
			cancel()
			if e := failure(t, err); e.Reason != job.ReasonCanceled || e.Sent {
				t.Errorf("%s: %v", at, err)
			}
		}
	})
	t.Run("a fleet behind one that takes few logins at once", func(t *testing.T) {
		jump := one(t, sshsim.Behaviour{MaxStartups: 10})
		f := start(t, sshsim.Config{Devices: 40, OneHostKey: true})
		d := h.New(Options{HandshakeTimeout: patience})
		var wg sync.WaitGroup
		for _, sim := range f.Devices {
			wg.Go(func() {
				to, through := To(sim), To(jump)
				to.Jump = &through
				s, err := d.Dial(within(t), to)
				if err != nil {
					t.Error(err)
					return
				}
				_ = s.Close()
			})
		}
		wg.Wait()
		if got := jump.Stats().Forwards; got != 40 {
			t.Errorf("%d connections went through", got)
		}
	})
	t.Run("kill goes through it", func(t *testing.T) {
		f := start(t, sshsim.Config{Devices: 2, Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{MaxSessions: 1, IgnoreSignals: true} }})
		ctx, cancel := context.WithCancel(within(t))
		defer cancel()
		exit, err := dial(t, d, chain(f)).Run(ctx, device.Command{Script: "echo on; sleep 3600", Follow: func(int, []byte) { cancel() }})
		if err != nil || !exit.Killed || !exit.KillConfirmed {
			t.Errorf("%+v, %v", exit, err)
		}
	})
}
