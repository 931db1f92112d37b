package sshdevice

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"drover/internal/device"
	"drover/internal/job"
)

// hostKeyCheck checks one connection's host key against the pins.
type hostKeyCheck struct {
	to     *device.Endpoint
	pinned ssh.PublicKey // nil: none yet

	passed  bool
	failure *device.Error // why verify refused
}

// newHostKeyCheck reads the pin, because it decides which type of key to ask for.
func newHostKeyCheck(ctx context.Context, to *device.Endpoint) (*hostKeyCheck, error) {
	c := &hostKeyCheck{to: to}
	if to.HostKey == job.HostKeyOff {
		return c, nil
	}
	if to.Pins == nil {
		return nil, &device.Error{Phase: device.PhaseHostKey, Reason: job.ReasonInternal,
			Msg: "no memory of host keys was given for " + to.Name}
	}
	text, err := to.Pins.Pinned(ctx, to.DeviceID)
	if err != nil {
		return nil, &device.Error{Phase: device.PhaseHostKey, Reason: reasonOf(err, job.ReasonInternal),
			Msg: "the pinned host key of " + to.Name + " cannot be read", Err: err}
	}
	if text != "" {
		if c.pinned, err = parsePin(text); err != nil {
			return nil, &device.Error{Phase: device.PhaseHostKey, Reason: job.ReasonInternal,
				Msg: "the pinned host key of " + to.Name + " is not a key", Err: err}
		}
	} else if to.HostKey == job.HostKeyStrict {
		return nil, &device.Error{Phase: device.PhaseHostKey, Reason: job.ReasonHostKeyUnknown,
			Msg: "no host key is pinned for " + to.Name + " and its policy is strict"}
	}
	return c, nil
}

// verify is called when the device has proved that it holds the private part
// of key: package ssh checks the signature first.
func (c *hostKeyCheck) verify(ctx context.Context, key ssh.PublicKey) error {
	if c.to.HostKey == job.HostKeyOff {
		c.passed = true
		return nil
	}
	if c.pinned == nil {
		text, err := c.to.Pins.Pin(ctx, c.to.DeviceID, c.to.Name, formatPin(key))
		if err == nil {
			c.pinned, err = parsePin(text)
		}
		if err != nil {
			return c.fail(reasonOf(err, job.ReasonInternal), "the host key of "+c.to.Name+" cannot be pinned", err)
		}
	}
	if bytes.Equal(c.pinned.Marshal(), key.Marshal()) {
		c.passed = true
		return nil
	}
	// The record of the refusal is made even when the caller is leaving.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := c.to.Pins.Refused(ctx, c.to.DeviceID, c.to.Name, formatPin(key))
	return c.fail(job.ReasonHostKeyChanged, "the host key of "+c.to.Name+" is not the pinned one: it shows "+
		ssh.FingerprintSHA256(key)+", pinned is "+ssh.FingerprintSHA256(c.pinned), err)
}

func (c *hostKeyCheck) fail(reason, msg string, cause error) error {
	c.failure = &device.Error{Phase: device.PhaseHostKey, Reason: reason, Msg: msg, Err: cause}
	return c.failure
}

// parsePin reads a key in authorized_keys form: type, base64, and anything
// after it as a comment. Options in front are refused.
func parsePin(text string) (ssh.PublicKey, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	switch {
	case err != nil:
		return nil, err
	case len(options) > 0 || len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("more than a key")
	}
	return key, nil
}

func formatPin(key ssh.PublicKey) string {
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n")
}

var (
	hostKeyDefaults = plainKeys(ssh.SupportedAlgorithms().HostKeys)
	hostKeyLegacy   = append(slices.Clone(hostKeyDefaults), plainKeys(ssh.InsecureAlgorithms().HostKeys)...)

	// legacyAlgorithms offers what x/crypto/ssh calls insecure after the rest.
	legacyAlgorithms = ssh.Config{
		KeyExchanges: append(ssh.SupportedAlgorithms().KeyExchanges, ssh.InsecureAlgorithms().KeyExchanges...),
		Ciphers:      append(ssh.SupportedAlgorithms().Ciphers, ssh.InsecureAlgorithms().Ciphers...),
		MACs:         append(ssh.SupportedAlgorithms().MACs, ssh.InsecureAlgorithms().MACs...),
	}
)

// plainKeys leaves certificates out: a pin is a key.
func plainKeys(algorithms []string) []string {
	return slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool { return strings.Contains(a, "-cert-") })
}

// algorithms is the order in which host keys are asked for: the pinned key's
// type first, so that a host with several keys shows that one. The others
// follow, so that a host which lost it is refused for its key, by name.
func (c *hostKeyCheck) algorithms(legacy bool) []string {
	all := hostKeyDefaults
	if legacy {
		all = hostKeyLegacy
	}
	if c.pinned == nil {
		return all
	}
	kind := c.pinned.Type()
	first := func(a string) bool {
		return a == kind || kind == ssh.KeyAlgoRSA && (a == ssh.KeyAlgoRSASHA256 || a == ssh.KeyAlgoRSASHA512)
	}
	ordered := make([]string, 0, len(all))
	for _, a := range all {
		if first(a) {
			ordered = append(ordered, a)
		}
	}
	for _, a := range all {
		if !first(a) {
			ordered = append(ordered, a)
		}
	}
	return ordered
}
