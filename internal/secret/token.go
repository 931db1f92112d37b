package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"drover/internal/job"
)

// TokenPrefix begins every token, so that people and scanners know one when
// they see it.
const TokenPrefix = "drover_"

// NewToken returns a fresh token of 130 random bits or more, and its hash.
func NewToken() (token job.Secret, hash string) {
	t := TokenPrefix + strings.ToLower(rand.Text())
	return job.Secret(t), HashToken(job.Secret(t))
}

// HashToken returns what is stored of a token. A token is random, so that a
// plain hash is as good as a slow one.
func HashToken(t job.Secret) string {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// IsToken reports whether a secret has a token's form.
func IsToken(t job.Secret) bool { return strings.HasPrefix(t.Reveal(), TokenPrefix) }

// VerifyToken reports whether a token is the one that was hashed. What it takes
// does not depend on either.
func VerifyToken(hash string, t job.Secret) bool {
	return subtle.ConstantTimeCompare([]byte(hash), []byte(HashToken(t))) == 1
}
