package secret

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"drover/internal/job"
)

// MaxPassword is the longest password, in bytes, that is hashed or verified.
const MaxPassword = 1 << 10

// New hashes take 19 MiB and two passes on one core: OWASP's first choice for
// machines that also have other work, about 25 ms on ours.
const (
	hashMemory  = 19 << 10 // KiB
	hashPasses  = 2
	hashThreads = 1
	hashSalt    = 16
	hashKey     = 32
)

// What a stored hash may ask of us at most. A hash that asks for more does not
// verify: whoever can write one must not be able to exhaust the process.
const (
	maxMemory  = 64 << 10 // KiB
	maxPasses  = 8
	maxThreads = 4
	maxSalt    = 64
	maxKey     = 64
	maxPHC     = 256 // bytes of the whole string
)

// hashing bounds how many hashes are computed at once, and so their memory.
var hashing = make(chan struct{}, min(max(runtime.GOMAXPROCS(0), 2), 8))

// phc is an argon2id hash in its parts.
type phc struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
	salt    []byte
	key     []byte
}

// HashPassword returns the argon2id hash of a password as a PHC string. An
// empty password and one over MaxPassword are refused with job.Invalid.
func HashPassword(pw job.Secret) (string, error) {
	if pw == "" || len(pw) > MaxPassword {
		return "", job.Errorf(job.Invalid, "a password has 1 to %d bytes", MaxPassword)
	}
	h := phc{memory: hashMemory, passes: hashPasses, threads: hashThreads, salt: make([]byte, hashSalt)}
	_, _ = rand.Read(h.salt) // never fails: it ends the process instead
	h.key = h.derive(pw, hashKey)
	return h.String(), nil
}

// NobodysHash returns a hash that costs as much to verify as a fresh one and that
// no password is known for: its key is random. Making it costs nothing.
func NobodysHash() string {
	h := phc{memory: hashMemory, passes: hashPasses, threads: hashThreads, salt: make([]byte, hashSalt), key: make([]byte, hashKey)}
	_, _ = rand.Read(h.salt)
	_, _ = rand.Read(h.key)
	return h.String()
}

// VerifyPassword reports whether a password is the one that was hashed. What it
// costs depends on the hash's parameters and not on the password; it waits
// while as many verifications as the machine has cores are under way. A hash
// that is malformed or dearer than the limits is nobody's.
func VerifyPassword(hash string, pw job.Secret) bool {
	h, err := parsePHC(hash)
	if err != nil || pw == "" || len(pw) > MaxPassword {
		return false
	}
	return subtle.ConstantTimeCompare(h.derive(pw, len(h.key)), h.key) == 1
}

// CheckHash reports, as job.Invalid, why VerifyPassword would accept no
// password at all for a hash; nil when it is sound.
func CheckHash(hash string) error {
	_, err := parsePHC(hash)
	return err
}

func (h phc) derive(pw job.Secret, size int) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(pw.Reveal()), h.salt, h.passes, h.memory, h.threads, uint32(size))
}

// String returns the PHC form.
func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key))
}

// parsePHC reads exactly what String writes: argon2id, version 19, parameters in
// this order and within the limits. The error says nothing of the hash.
func parsePHC(s string) (phc, error) {
	var h phc
	if len(s) > maxPHC {
		return h, badHash("it is too long")
	}
	part := strings.Split(s, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" {
		return h, badHash("it does not look like $argon2id$v=19$m=…,t=…,p=…$salt$hash")
	}
	if part[2] != "v="+strconv.Itoa(argon2.Version) {
		return h, badHash("its version is not 19")
	}
	param := strings.Split(part[3], ",")
	if len(param) != 3 {
		return h, badHash("its parameters are not m, t and p")
	}
	threads, ok3 := parseParam(param[2], "p=", 1, maxThreads)
	passes, ok2 := parseParam(param[1], "t=", 1, maxPasses)
	memory, ok1 := parseParam(param[0], "m=", 8*threads, maxMemory)
	if !ok1 || !ok2 || !ok3 {
		return h, badHash("its parameters m, t, p are outside of what is accepted")
	}
	h.memory, h.passes, h.threads = uint32(memory), uint32(passes), uint8(threads)
	strict := base64.RawStdEncoding.Strict()
	var err error
	if h.salt, err = strict.DecodeString(part[4]); err != nil || len(h.salt) < 8 || len(h.salt) > maxSalt {
		return h, badHash("its salt is not 8 to 64 bytes in base64")
	}
	if h.key, err = strict.DecodeString(part[5]); err != nil || len(h.key) < 16 || len(h.key) > maxKey {
		return h, badHash("its last part is not 16 to 64 bytes in base64")
	}
	if h.String() != s { // line breaks in base64, which the decoder skips
		return h, badHash("it is not in its canonical form")
	}
	return h, nil
}

func badHash(why string) error {
	return job.Errorf(job.Invalid, "not a password hash that can be used: %s", why)
}

// parseParam reads a decimal number after its name, without sign and leading zeros.
func parseParam(s, name string, low, high int) (int, bool) {
	digits, ok := strings.CutPrefix(s, name)
	if !ok || digits == "" || digits[0] < '1' || digits[0] > '9' {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= low && n <= high
}
