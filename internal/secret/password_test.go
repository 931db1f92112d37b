package secret_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"drover/internal/job"
	"drover/internal/secret"
)

// The start of a hash that costs next to nothing.
const cheapHash = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$"

func TestHashPassword_VerifiesThatPasswordOnly(t *testing.T) {
	hash, err := secret.HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash is %q", hash)
	}
	for pw, want := range map[job.Secret]bool{"correct horse": true, "correct horsf": false, "Correct horse": false, "correct horse ": false, "": false} {
		if got := secret.VerifyPassword(hash, pw); got != want {
			t.Errorf("VerifyPassword(%q) = %v", pw.Reveal(), got)
		}
	}
	if again, _ := secret.HashPassword("correct horse"); again == hash {
		t.Error("two hashes of one password are equal: no salt")
	}
}

func TestHashPassword_RefusesEmptyAndOverlong(t *testing.T) {
	long := job.Secret(strings.Repeat("x", secret.MaxPassword+1))
	for _, pw := range []job.Secret{"", long} {
		if _, err := secret.HashPassword(pw); job.CodeOf(err) != job.Invalid {
			t.Errorf("%d bytes: code %q, want invalid", len(pw), job.CodeOf(err))
		}
	}
	hash, err := secret.HashPassword(long[1:])
	if err != nil || !secret.VerifyPassword(hash, long[1:]) || secret.VerifyPassword(hash, long) {
		t.Errorf("the longest password: %v", err)
	}
}

// The vector is of the reference implementation's own tests (argon2id, version
// 19, m=65536, t=2, p=1).
func TestVerifyPassword_ReferenceVector(t *testing.T) {
	const ref = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if !secret.VerifyPassword(ref, "password") || secret.VerifyPassword(ref, "passwore") {
		t.Error("the reference vector does not verify")
	}
}

func TestCheckHash_RefusesWhatIsMalformedOrTooDear(t *testing.T) {
	const salt, key = "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	with := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt + "$" + key }
	if err := secret.CheckHash(with("m=65536,t=8,p=4")); err != nil {
		t.Fatalf("the dearest hash is refused: %v", err)
	}
	for _, hash := range []string{
		"", "plain", "$", "$$$$$", "$2b$12$abcdefghijklmnopqrstuv",
		with("m=65537,t=1,p=1"), with("m=4294967295,t=1,p=1"), with("m=99999999999999999999,t=1,p=1"),
		with("m=64,t=9,p=1"), with("m=64,t=0,p=1"), with("m=64,t=1,p=0"), with("m=64,t=1,p=5"), with("m=7,t=1,p=1"), with("m=31,t=1,p=4"),
		with("m=-64,t=1,p=1"), with("m=+64,t=1,p=1"), with("m=064,t=1,p=1"), with("m=0x40,t=1,p=1"), with("m=64,t=1"), with("t=1,m=64,p=1"),
		with("m=64,t=1,p=1,k=1"), with("m= 64,t=1,p=1"),
		strings.Replace(with("m=64,t=1,p=1"), "argon2id", "argon2i", 1),
		strings.Replace(with("m=64,t=1,p=1"), "v=19", "v=16", 1),
		"$argon2id$v=19$m=64,t=1,p=1$$" + key, "$argon2id$v=19$m=64,t=1,p=1$c2hvcnQ$" + key,
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$", "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$c2hvcnQ",
		with("m=64,t=1,p=1") + "=", with("m=64,t=1,p=1") + "\n", with("m=64,t=1,p=1") + "$", " " + with("m=64,t=1,p=1"),
		"$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("A", 4096) + "$" + key,
	} {
		err := secret.CheckHash(hash)
		if job.CodeOf(err) != job.Invalid {
			t.Errorf("%q: code %q, want invalid", hash, job.CodeOf(err))
			continue
		}
		if len(hash) > 8 && strings.Contains(err.Error(), hash) || strings.Contains(err.Error(), key) {
			t.Errorf("%q: the error holds the hash", hash)
		}
		if secret.VerifyPassword(hash, "password") {
			t.Errorf("%q verifies", hash)
		}
	}
}

func TestVerifyPassword_ManyAtOnce(t *testing.T) {
	hash, err := secret.HashPassword("password")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			pw := job.Secret([]string{"password", fmt.Sprint("other", i)}[i%2])
			if secret.VerifyPassword(hash, pw) != (i%2 == 0) {
				t.Errorf("%d: wrong answer", i)
			}
		})
	}
	wg.Wait()
}

func FuzzCheckHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add(cheapHash + "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add(cheapHash)
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$$")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA\n$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$$$$$$$")
	f.Fuzz(func(t *testing.T, hash string) {
		err := secret.CheckHash(hash)
		if err != nil && job.CodeOf(err) != job.Invalid {
			t.Errorf("code %q", job.CodeOf(err))
		}
		if err == nil && len(hash) > 256 {
			t.Error("accepts a string of any length")
		}
		if err != nil && secret.VerifyPassword(hash, "password") {
			t.Error("verifies against a hash that is refused")
		}
	})
}

// TestNobodysHash: it is as dear as a fresh hash, and never the same.
func TestNobodysHash(t *testing.T) {
	fresh, err := secret.HashPassword("a-password")
	if err != nil {
		t.Fatal(err)
	}
	a, b := secret.NobodysHash(), secret.NobodysHash()
	if err := secret.CheckHash(a); err != nil || a == b {
		t.Errorf("%s, %s: %v", a, b, err)
	}
	// $argon2id$v=19$m=..,t=..,p=..$salt$key
	cost := func(h string) (c [3]string) {
		parts := strings.Split(h, "$")
		return [3]string{parts[3], strconv.Itoa(len(parts[4])), strconv.Itoa(len(parts[5]))}
	}
	if cost(a) != cost(fresh) {
		t.Errorf("costs %v, a fresh one %v", cost(a), cost(fresh))
	}
	if secret.VerifyPassword(a, "a-password") || secret.VerifyPassword(a, "") {
		t.Error("somebody has it")
	}
}
