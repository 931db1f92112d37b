package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/job"
	"drover/internal/secret"
)

// shared is what processes share: users, settings and counters that expire.
type shared struct {
	mu       sync.Mutex
	now      time.Time
	users    map[string]job.User
	settings map[string][]byte
	counters map[string]counter
	writes   int // of counters
	down     error
}

type counter struct {
	n       int64
	expires time.Time
}

func newShared() *shared {
	return &shared{
		now:      time.Date(2026, 11, 21, 12, 0, 30, 0, time.UTC),
		users:    map[string]job.User{},
		settings: map[string][]byte{},
		counters: map[string]counter{},
	}
}

func (s *shared) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *shared) jump(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *shared) User(_ context.Context, name string) (job.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return job.User{}, s.down
	}
	u, ok := s.users[name]
	if !ok {
		return job.User{}, job.Errorf(job.NotFound, "no user %q", name)
	}
	return u, nil
}

func (s *shared) PutUser(_ context.Context, u *job.User) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.users[u.Name]; ok && u.Rev == "" {
		return job.Errorf(job.AlreadyExists, "there is already a user %q", u.Name)
	}
	s.users[u.Name] = *u
	return nil
}

func (s *shared) Setting(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.settings[name]
	if !ok {
		return nil, job.Errorf(job.NotFound, "no setting %q", name)
	}
	return v, nil
}

func (s *shared) PutSettingIfMissing(_ context.Context, name string, v []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return nil, s.down
	}
	if old, ok := s.settings[name]; ok {
		return old, nil
	}
	s.settings[name] = v
	return v, nil
}

func (s *shared) Counter(_ context.Context, name string, delta int64, expires time.Time) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return 0, s.down
	}
	c := s.counters[name]
	if !s.now.Before(c.expires) {
		c = counter{}
	}
	if delta != 0 {
		s.writes++
		c.n, c.expires = c.n+delta, expires
		s.counters[name] = c
	}
	return c.n, nil
}

// hashes are made once: each costs what a verification does.
var hashes = sync.OnceValue(func() map[job.Secret]string {
	m := map[job.Secret]string{}
	for _, pw := range []job.Secret{"right", "new"} {
		h, err := secret.HashPassword(pw)
		if err != nil {
			panic(err)
		}
		m[pw] = h
	}
	return m
})

func (s *shared) add(name string, pw job.Secret, role job.Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[name] = job.User{Meta: job.Meta{Name: name, Tenant: "default", Rev: "1"}, Role: role, PasswordHash: hashes()[pw]}
}

// process is one Authenticator that counts its verifications by hash. Unless
// real is set it compares instead of computing argon2.
type process struct {
	*Authenticator
	t      *testing.T
	log    *bytes.Buffer
	locks  atomic.Int32
	mu     sync.Mutex
	hashes []string
}

func newProcess(t *testing.T, s *shared) *process {
	p := &process{t: t, log: &bytes.Buffer{}}
	p.Authenticator = New(Config{Users: s, Counters: s, Clock: s.Now, LockedOut: func() { p.locks.Add(1) },
		Log: slog.New(slog.NewTextHandler(p.log, nil))})
	p.verify = func(hash string, pw job.Secret) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.hashes = append(p.hashes, hash)
		return hash == hashes()[pw]
	}
	return p
}

func (p *process) verifications() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.hashes)
}

func (p *process) login(name, pw, address string) (job.Principal, error) {
	r := httptest.NewRequest("GET", "/", nil)
	r.SetBasicAuth(name, pw)
	return p.Basic(p.t.Context(), r, address)
}

func (p *process) accepts(name, pw, address string) {
	p.t.Helper()
	if _, err := p.login(name, pw, address); err != nil {
		p.t.Errorf("%s from %s is refused: %v", name, address, err)
	}
}

func (p *process) refuses(name, pw, address string) {
	p.t.Helper()
	who, err := p.login(name, pw, address)
	if job.CodeOf(err) != job.Unauthenticated || err.Error() != errRefused().Error() || errors.Unwrap(err) != nil || who != (job.Principal{}) {
		p.t.Errorf("%s from %s: %v, %v; want the one refusal", name, address, who, err)
	}
}

func TestBasic_WithRealHashes(t *testing.T) {
	s := newShared()
	s.add("ops", "right", job.Operator)
	p := newProcess(t, s)
	p.verify = secret.VerifyPassword
	who, err := p.login("ops", "right", "10.0.0.1")
	if want := (job.Principal{Tenant: "default", Name: "ops", Role: job.Operator, Address: "10.0.0.1"}); err != nil || who != want {
		t.Errorf("Basic = %+v, %v; want %+v", who, err, want)
	}
	p.refuses("ops", "wrong", "a")
	p.refuses("nobody", "right", "a")
}

func TestBasic_EveryFailureIsTheSame(t *testing.T) {
	s := newShared()
	s.add("ops", "right", job.Operator)
	s.add("nohash", "right", job.Operator)
	u := s.users["nohash"]
	u.PasswordHash = ""
	s.users["nohash"] = u
	p := newProcess(t, s)
	long := strings.Repeat("x", MaxCredential+1)
	tests := []struct {
		name, user, pw string
		verifications  int
	}{
		{"wrong password", "ops", "wrong", 1},
		{"unknown user", "nobody", "right", 1},
		{"other case", "OPS", "right", 1},
		{"user without hash", "nohash", "right", 1},
		{"a zero byte", "ops\x00", "right", 1},
		{"invalid UTF-8", "\xff", "\xff", 1},
		{"empty user", "", "right", 0},
		{"empty password", "ops", "", 0},
		{"overlong user", long, "right", 0},
		{"overlong password", "ops", long, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, writes := p.verifications(), s.writes
			p.refuses(tt.user, tt.pw, "a")
			if got := p.verifications() - before; got != tt.verifications {
				t.Errorf("%d verifications, want %d", got, tt.verifications)
			}
			if got := s.writes - writes; got != tt.verifications {
				t.Errorf("%d counters written, want %d", got, tt.verifications)
			}
		})
	}
	for _, header := range []string{"", "Basic", "Basic !!!", "Basic b3Bz", "Bearer b3BzOnJpZ2h0", "Digest x"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", header)
		if _, err := p.Basic(t.Context(), r, "a"); job.CodeOf(err) != job.Unauthenticated || err.Error() != errRefused().Error() {
			t.Errorf("%q: %v, want the one refusal", header, err)
		}
	}
	if strings.Contains(p.log.String(), "right") || strings.Contains(p.log.String(), "wrong") {
		t.Errorf("the log holds a password:\n%s", p.log)
	}
}

func TestDummyHash_CostsWhatAFreshHashCosts(t *testing.T) {
	if params := func(h string) string { return strings.Join(strings.Split(h, "$")[:4], "$") }; params(dummyHash) != params(hashes()["right"]) {
		t.Errorf("the dummy hash has parameters %s, fresh ones %s", params(dummyHash), params(hashes()["right"]))
	}
}

func TestBasic_RemembersForAWhile(t *testing.T) {
	s := newShared()
	s.add("ops", "right", job.Operator)
	p := newProcess(t, s)
	for range 3 {
		p.accepts("ops", "right", "a")
	}
	p.accepts("ops", "right", "b") // the password is as right from there
	if n := p.verifications(); n != 1 {
		t.Errorf("%d verifications of one password, want 1", n)
	}
	s.jump(DefaultRemember - time.Second)
	p.accepts("ops", "right", "a")
	if n := p.verifications(); n != 1 {
		t.Errorf("%d verifications within the time, want 1", n)
	}
	s.jump(time.Second)
	p.accepts("ops", "right", "a")
	if n := p.verifications(); n != 2 {
		t.Errorf("%d verifications after it, want 2", n)
	}
	if s.writes != 0 {
		t.Errorf("successes wrote %d counters", s.writes)
	}
	newProcess(t, s).accepts("ops", "right", "a") // knows nothing of this process's memory
}

func TestBasic_ChangesActAtOnce(t *testing.T) {
	s := newShared()
	s.add("ops", "right", job.Admin)
	p := newProcess(t, s)
	p.accepts("ops", "right", "a")

	s.add("ops", "right", job.Viewer)
	if who, err := p.login("ops", "right", "a"); err != nil || who.Role != job.Viewer {
		t.Errorf("after the change of role: %+v, %v", who, err)
	}
	if n := p.verifications(); n != 1 {
		t.Errorf("a change of role cost a verification (%d)", n)
	}
	s.add("ops", "new", job.Viewer)
	p.refuses("ops", "right", "a")
	p.accepts("ops", "new", "a")

	s.mu.Lock()
	delete(s.users, "ops")
	s.mu.Unlock()
	p.refuses("ops", "new", "a")
}

func TestBasic_ConcurrentRequestsVerifyOnce(t *testing.T) {
	s := newShared()
	s.add("ops", "right", job.Operator)
	p := newProcess(t, s)
	verify, release := p.verify, make(chan struct{})
	p.verify = func(hash string, pw job.Secret) bool { <-release; return verify(hash, pw) }
	const n = 20
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { p.accepts("ops", "right", "a") })
	}
	// One gives up while it waits: the others do not notice.
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := p.Password(ctx, "ops", "right", "a")
		gone <- err
	}()
	cancel()
	if err := <-gone; job.CodeOf(err) != job.Canceled {
		t.Errorf("the one that gave up: %v", err)
	}
	close(release)
	wg.Wait()
	if got := p.verifications(); got != 1 {
		t.Errorf("%d verifications for %d requests at once, want 1", got, n)
	}
}

func TestBasic_StoreDownIsNotAWrongPassword(t *testing.T) {
	s := newShared()
	s.add("ops", "right", job.Operator)
	p := newProcess(t, s)
	s.down = job.Errorf(job.Unavailable, "the disk is full")
	for _, pw := range []string{"right", "wrong"} {
		if _, err := p.login("ops", pw, "a"); job.CodeOf(err) != job.Unavailable {
			t.Errorf("code %q, want unavailable", job.CodeOf(err))
		}
	}
	s.down = nil
	p.accepts("ops", "right", "a")
}

func TestCache_IsBounded(t *testing.T) {
	now := time.Now()
	c := newCache[string, int](3)
	for i := range 10 {
		c.put(fmt.Sprint(i), i, now.Add(time.Hour))
		c.get("0", now) // in use: stays
	}
	if c.size() != 3 {
		t.Errorf("holds %d values, want 3", c.size())
	}
	for key, want := range map[string]bool{"0": true, "9": true, "8": true, "7": false} {
		if _, ok := c.get(key, now); ok != want {
			t.Errorf("%s is remembered: %v, want %v", key, ok, want)
		}
	}
	c.add("9", 90, now, now.Add(time.Hour))
	if v, _ := c.get("9", now); v != 9 {
		t.Errorf("add replaced a value by %d", v)
	}
	c.add("9", 90, now.Add(time.Hour), now.Add(2*time.Hour))
	if v, _ := c.get("9", now.Add(time.Hour)); v != 90 {
		t.Errorf("add kept a value whose moment has come: %d", v)
	}
}

func TestBasic_TakesATokenInThePasswordsPlace(t *testing.T) {
	s := newShared()
	s.add("ops", "right", job.Operator)
	s.add("eve", "right", job.Admin)
	token, hash := secret.NewToken()
	end := s.Now().Add(time.Hour)
	u := s.users["ops"]
	u.Tokens = []job.Token{{Name: "ci", Hash: hash, Expires: &end}}
	s.users["ops"] = u
	p := newProcess(t, s)

	p.accepts("ops", token.Reveal(), "a")
	if n := p.verifications(); n != 0 {
		t.Errorf("a token cost %d verifications of a password", n)
	}
	// Another user's, a changed one, one that is removed, one that is over: each
	// is a wrong password, and counts as one.
	p.refuses("eve", token.Reveal(), "a")
	p.refuses("ops", token.Reveal()+"x", "a")
	s.jump(time.Hour)
	p.refuses("ops", token.Reveal(), "a")
	if n := p.verifications(); n != 3 {
		t.Errorf("three wrong tokens cost %d verifications", n)
	}
	s.jump(-time.Hour)
	p.accepts("ops", token.Reveal(), "a")
	for range 10 {
		p.refuses("ops", secret.TokenPrefix+"guess", "b")
	}
	p.refuses("ops", token.Reveal(), "b") // locked out, even with the right one
	if strings.Contains(p.log.String(), token.Reveal()) {
		t.Error("the token is in the log")
	}
}
