package secret

import (
	"strings"
	"testing"

	"drover/internal/job"
)

func TestToken_OnlyItsOwnHashKnowsIt(t *testing.T) {
	a, hashA := NewToken()
	b, hashB := NewToken()
	if a == b || hashA == hashB || !IsToken(a) || len(a.Reveal()) < len(TokenPrefix)+26 {
		t.Fatalf("%d %d bytes", len(a.Reveal()), len(b.Reveal()))
	}
	if !VerifyToken(hashA, a) || VerifyToken(hashA, b) || VerifyToken("", a) || VerifyToken(hashA, "") {
		t.Error("a token is known by another's hash, or not by its own")
	}
	if strings.Contains(hashA, strings.TrimPrefix(a.Reveal(), TokenPrefix)) || IsToken(job.Secret("password")) {
		t.Error("the hash shows the token")
	}
}
