// Package auth finds out who makes a call: it turns the user name and password
// of a request (Basic) into a job.Principal.
//
// A failure says nothing about its cause. Unknown user, wrong password, no
// credentials and a lock-out are one error, job.Unauthenticated with one
// message, after the work of one password verification. (Credentials that are
// missing or over MaxCredential are refused before it: they reveal nothing.)
//
// The user's row is read for every request, so a new role acts and a deleted
// user is refused from the next request on. A password that was verified is
// remembered for a while under an HMAC over it and the stored hash, with a key
// that only this process has: a changed password is forgotten by itself.
//
// Ten failures for one user from one address within five minutes lock that pair
// out for five minutes, in every process that shares the counters; even the
// right password is refused meanwhile. Another process learns of a lock-out
// within lockFresh. Only failures write.
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"golang.org/x/sync/singleflight"

	"drover/internal/job"
	"drover/internal/secret"
)

// MaxCredential is the longest user name and the longest password, in bytes.
const MaxCredential = secret.MaxPassword

// DefaultRemember is how long a verified password is remembered unless said
// otherwise.
const DefaultRemember = 5 * time.Minute

// UserReader reads a user by name, job.NotFound when there is none.
type UserReader interface {
	User(ctx context.Context, name string) (job.User, error)
}

// Counters are counters that all processes of the installation share. Counter
// adds delta and returns the value; the counter starts again at 0 after expires.
// A delta of 0 only reads and leaves the expiry as it is.
type Counters interface {
	Counter(ctx context.Context, name string, delta int64, expires time.Time) (int64, error)
}

// Config is what an Authenticator needs. Users and Counters are required.
type Config struct {
	Users     UserReader
	Counters  Counters
	Clock     func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: slog.Default()
	Remember  time.Duration    // 0: DefaultRemember; negative: nothing is remembered
	LockedOut func()           // called at each lock-out that begins here; may be nil
}

// Authenticator checks credentials. It is safe for use by many goroutines.
type Authenticator struct {
	users     UserReader
	clock     func() time.Time
	log       *slog.Logger
	key       [32]byte // of the HMACs; this process's own
	remember  time.Duration
	verified  *cache[mark, struct{}]
	lockouts  lockouts
	flights   singleflight.Group
	verifying chan struct{}
	verify    func(hash string, pw job.Secret) bool // secret.VerifyPassword; counted by tests
}

// mark stands for credentials that were verified, or are being.
type mark [sha256.Size]byte

// patience is how long a verification waits for its turn and for the store.
const patience = 20 * time.Second

// maxRemembered bounds what is remembered: about 100 bytes each.
const maxRemembered = 10_000

// dummyHash is what a password is verified against when there is no user to
// have one: no known password has it, and it costs what a fresh hash costs.
var dummyHash = secret.NobodysHash()

// New returns an Authenticator.
func New(c Config) *Authenticator {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Remember == 0 {
		c.Remember = DefaultRemember
	}
	if c.LockedOut == nil {
		c.LockedOut = func() {}
	}
	a := &Authenticator{
		users:     c.Users,
		clock:     c.Clock,
		log:       c.Log,
		remember:  c.Remember,
		verified:  newCache[mark, struct{}](maxRemembered),
		lockouts:  newLockouts(c.Counters, c.Clock, c.LockedOut),
		verifying: make(chan struct{}, runtime.GOMAXPROCS(0)),
		verify:    secret.VerifyPassword,
	}
	_, _ = rand.Read(a.key[:]) // never fails: it ends the process instead
	return a
}

// errRefused is every failure. It is made anew for each caller, who may hold on to it.
func errRefused() error {
	return job.Errorf(job.Unauthenticated, "the user name or the password is not right")
}

// Basic authenticates a request by its Authorization header of the Basic
// scheme. address is the caller's network address without port, as the caller of
// Basic trusts it; lock-outs are counted by it, and it becomes part of the
// principal.
//
// The error is job.Unauthenticated for every cause that lies with the request.
// When the store does not answer, too many wait for a verification, or ctx ends,
// the error has that code, since it says nothing about the credentials.
func (a *Authenticator) Basic(ctx context.Context, r *http.Request, address string) (job.Principal, error) {
	name, pw, ok := r.BasicAuth()
	if !ok {
		return job.Principal{}, errRefused()
	}
	return a.Password(ctx, name, job.Secret(pw), address)
}

// Password authenticates by user name and password; see Basic.
func (a *Authenticator) Password(ctx context.Context, name string, pw job.Secret, address string) (job.Principal, error) {
	if name == "" || len(name) > MaxCredential || pw == "" || len(pw) > MaxCredential {
		return job.Principal{}, errRefused()
	}
	user, err := a.user(ctx, name)
	if err != nil {
		return job.Principal{}, err
	}
	from := pairOf(name, address)
	known := a.mark(name, pw.Reveal(), user.PasswordHash)
	locked, err := a.lockouts.locked(ctx, from)
	if err != nil {
		return job.Principal{}, err
	}
	if secret.IsToken(pw) && !locked && a.token(user, pw) {
		return job.Principal{Tenant: user.Tenant, Name: user.Name, Role: user.Role, Address: address, ByToken: true}, nil
	}
	if _, ok := a.verified.get(known, a.clock()); !ok || locked {
		if ok, err = a.flight(ctx, address, from, known, user, pw); err != nil {
			return job.Principal{}, err
		} else if !ok {
			return job.Principal{}, errRefused()
		}
	}
	return job.Principal{Tenant: user.Tenant, Name: user.Name, Role: user.Role, Address: address}, nil
}

// user reads a user. One that does not exist is one that has the dummy hash and
// no name.
func (a *Authenticator) user(ctx context.Context, name string) (job.User, error) {
	u, err := a.users.User(ctx, name)
	switch job.CodeOf(err) {
	case "":
		if u.Name == name && u.PasswordHash != "" {
			return u, nil
		}
	case job.NotFound, job.Invalid: // a name that cannot be stored is nobody's
	default:
		return job.User{}, err
	}
	return job.User{PasswordHash: dummyHash}, nil
}

// token reports whether a user has a token that is still good. One that is not
// goes the way of a wrong password, and costs and counts as one.
func (a *Authenticator) token(user job.User, t job.Secret) (good bool) {
	now := a.clock()
	for _, known := range user.Tokens {
		if secret.VerifyToken(known.Hash, t) && (known.Expires == nil || now.Before(*known.Expires)) {
			good = true
		}
	}
	return good
}

// flight verifies a password; requests that come with the same credentials
// from the same address meanwhile wait for the one answer.
func (a *Authenticator) flight(ctx context.Context, address string, from pair, known mark, user job.User, pw job.Secret) (bool, error) {
	own := a.mark(string(known[:]), address)
	done := a.flights.DoChan(string(own[:]), func() (any, error) {
		// The first caller's going away must not fail the others.
		return a.check(context.WithoutCancel(ctx), address, from, known, user, pw)
	})
	select {
	case r := <-done:
		ok, _ := r.Val.(bool)
		return ok, r.Err
	case <-ctx.Done():
		return false, job.Wrap(job.Canceled, ctx.Err(), "authenticating")
	}
}

// check verifies one password and counts it when it is wrong. Every failure has
// cost one verification.
func (a *Authenticator) check(ctx context.Context, address string, from pair, known mark, user job.User, pw job.Secret) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The lock-out is looked at only after waiting for a place: of a thousand
	// guesses sent at once no more than the places go beyond the limit.
	select {
	case a.verifying <- struct{}{}:
		defer func() { <-a.verifying }()
	case <-ctx.Done():
		return false, job.Errorf(job.Exhausted, "too many logins at once")
	}
	locked, err := a.lockouts.locked(ctx, from)
	if err != nil {
		return false, err
	}
	if _, ok := a.verified.get(known, a.clock()); ok && !locked {
		return true, nil // the flight before this one landed between the caller's look and ours
	}
	right := a.verify(user.PasswordHash, pw) && user.Name != ""
	switch {
	case locked:
		return false, nil
	case right:
		a.verified.put(known, struct{}{}, a.clock().Add(a.remember))
		return true, nil
	}
	began, err := a.lockouts.fail(ctx, from)
	if err != nil {
		a.log.ErrorContext(ctx, "a failed login was not counted", "address", address, "err", err)
	}
	if began {
		// An unknown name is not logged: it may be a password in the wrong field.
		a.log.WarnContext(ctx, "locked out after too many failed logins", "user", user.Name, "address", address,
			"for", lockFor.String())
	}
	return false, nil
}

// mark is an HMAC over parts, unambiguous whatever they contain.
func (a *Authenticator) mark(parts ...string) mark {
	h := hmac.New(sha256.New, a.key[:])
	for _, p := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(p))) // a hash takes everything
		_, _ = h.Write([]byte(p))
	}
	return mark(h.Sum(nil))
}
