package sshdevice

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"sync"

	"golang.org/x/crypto/ssh"

	"drover/internal/device"
	"drover/internal/job"
)

// Causes of a login that could not even be tried. They are the Err of a
// *device.Error of PhaseAuth.
var (
	ErrBadKey            = errors.New("the private key cannot be read: it is in no form that SSH knows")
	ErrPassphraseMissing = errors.New("the private key needs a passphrase and none is set")
	ErrBadPassphrase     = errors.New("the passphrase does not open the private key")
)

// maxQuestions is how many rounds of keyboard-interactive questions are
// answered in one login.
const maxQuestions = 10

// authMethods returns the ways to log in, in the order key, password,
// keyboard-interactive.
func (d *Dialer) authMethods(to *device.Endpoint) ([]ssh.AuthMethod, error) {
	a := &to.Auth
	if a.Username == "" {
		return nil, &device.Error{Phase: device.PhaseAuth, Reason: job.ReasonNoCredential,
			Msg: "no user name to log in to " + to.Name}
	}
	methods := make([]ssh.AuthMethod, 0, 3)
	if a.PrivateKey != "" {
		signer, err := d.keys.signer(a.PrivateKey, a.Passphrase)
		if err != nil {
			return nil, &device.Error{Phase: device.PhaseAuth, Reason: job.ReasonAuthentication,
				Msg: "the credential for " + to.Name, Err: err}
		}
		methods = append(methods, ssh.PublicKeys(signer))
	}
	if a.Password != "" {
		password := a.Password.Reveal()
		methods = append(methods, ssh.Password(password), ssh.KeyboardInteractive(answer(password)))
	}
	return methods, nil
}

// answer gives the password to every hidden question, and nothing to others.
func answer(password string) ssh.KeyboardInteractiveChallenge {
	rounds := 0
	return func(_, _ string, questions []string, echo []bool) ([]string, error) {
		if rounds++; rounds > maxQuestions {
			return nil, errors.New("too many questions at the login")
		}
		answers := make([]string, len(questions))
		for i := range questions {
			if !echo[i] {
				answers[i] = password
			}
		}
		return answers, nil
	}
}

// keyCache remembers parsed private keys by the hash of their text: opening a
// key with a passphrase is slow on purpose, and one key serves a whole fleet.
type keyCache struct {
	mu   sync.Mutex
	keys map[[sha256.Size]byte]*cachedKey
}

type cachedKey struct {
	once   sync.Once
	signer ssh.Signer
	err    error
}

// maxCachedKeys bounds the cache; when full it starts anew.
const maxCachedKeys = 512

func (c *keyCache) signer(key, passphrase job.Secret) (ssh.Signer, error) {
	h := sha256.New()
	h.Write([]byte(key.Reveal()))
	h.Write([]byte{0})
	h.Write([]byte(passphrase.Reveal()))
	var id [sha256.Size]byte
	h.Sum(id[:0])

	c.mu.Lock()
	entry := c.keys[id]
	if entry == nil {
		if c.keys == nil || len(c.keys) >= maxCachedKeys {
			c.keys = make(map[[sha256.Size]byte]*cachedKey)
		}
		entry = new(cachedKey)
		c.keys[id] = entry
	}
	c.mu.Unlock()
	entry.once.Do(func() { entry.signer, entry.err = parseKey(key, passphrase) })
	return entry.signer, entry.err
}

// parseKey never returns the parser's own error: its text could quote the key.
func parseKey(key, passphrase job.Secret) (ssh.Signer, error) {
	text := []byte(key.Reveal())
	signer, err := ssh.ParsePrivateKey(text)
	if err == nil {
		return signer, nil // a passphrase that is not needed does no harm
	}
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		return nil, ErrBadKey
	}
	if passphrase == "" {
		return nil, ErrPassphraseMissing
	}
	signer, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase.Reveal()))
	switch {
	case err == nil:
		return signer, nil
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, ErrBadPassphrase
	default:
		// PEM encryption has no check of its own: a wrong passphrase can
		// also show as a key that does not parse.
		return nil, ErrBadPassphrase
	}
}
