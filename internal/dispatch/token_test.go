package dispatch_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/secret"
)

// Who sets another password means to keep out who had the one before, and what
// was made with it.
func TestToken_GoesWithThePassword(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	save := func(password, role string) {
		t.Helper()
		pw := job.Secret(password)
		outs, err := b.SaveUsers(ctx, admin, []inventory.UserInput{{Name: "eye", Password: &pw, Role: &role}})
		if err != nil || outs[0].Err != nil {
			t.Fatal(outs, err)
		}
	}
	left := func() int {
		t.Helper()
		tokens, err := b.Tokens(ctx, viewer)
		if err != nil {
			t.Fatal(err)
		}
		return len(tokens)
	}
	save("first", "viewer")
	if _, _, err := b.AddToken(ctx, viewer, "ci", 0); err != nil {
		t.Fatal(err)
	}
	save("first", "operator") // the same password again, as an import of the same file says it
	if n := left(); n != 1 {
		t.Errorf("%d tokens after the same password", n)
	}
	save("second", "viewer")
	if n := left(); n != 0 {
		t.Errorf("%d tokens after another password", n)
	}
}

func TestToken_MakesNoTokens(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	pw, role := job.Secret("x"), "viewer"
	if outs, err := b.SaveUsers(ctx, admin, []inventory.UserInput{{Name: "eye", Password: &pw, Role: &role}}); err != nil || outs[0].Err != nil {
		t.Fatal(outs, err)
	}
	if _, _, err := b.AddToken(ctx, viewer, "ci", time.Hour); err != nil {
		t.Fatal(err)
	}
	by := viewer
	by.ByToken = true
	if _, _, err := b.AddToken(ctx, by, "longer", 0); job.CodeOf(err) != job.Forbidden {
		t.Errorf("a token made a token: %v", err)
	}
	if err := b.RemoveToken(ctx, by, "ci"); err != nil {
		t.Errorf("a token cannot be removed by itself: %v", err)
	}
}

func TestToken_IsToldOnceAndKeptAsAHash(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	password := job.Secret("canary-password")
	role := string(job.Viewer)
	if outs, err := b.SaveUsers(ctx, admin, []inventory.UserInput{{Name: "eye", Password: &password, Role: &role}}); err != nil || outs[0].Err != nil {
		t.Fatal(outs, err)
	}
	made, token, err := b.AddToken(ctx, viewer, "ci", time.Hour)
	if err != nil || made.Hash != "" || !secret.IsToken(token) || !made.Expires.Equal(b.clock().Add(time.Hour)) {
		t.Fatal(made, err)
	}
	u, err := b.store.User(ctx, "eye")
	if err != nil || len(u.Tokens) != 1 || !secret.VerifyToken(u.Tokens[0].Hash, token) || strings.Contains(fmt.Sprintf("%+v", u), token.Reveal()) {
		t.Fatalf("%+v %v", u, err)
	}
	if seen, err := b.User(ctx, viewer, "eye"); err != nil || len(seen.Tokens) != 0 {
		t.Errorf("others see %+v, %v", seen.Tokens, err)
	}
	for _, c := range []struct {
		name     string
		lifetime time.Duration
		want     job.Code
	}{{"ci", 0, job.AlreadyExists}, {"", 0, job.Invalid}, {"x", -time.Second, job.Invalid}, {strings.Repeat("x", 256), 0, job.Invalid}} {
		if _, _, err := b.AddToken(ctx, viewer, c.name, c.lifetime); job.CodeOf(err) != c.want {
			t.Errorf("%.10q %s: %v", c.name, c.lifetime, err)
		}
	}
	// One that is over makes room.
	b.advance(2 * time.Hour)
	for i := range job.MaxTokens {
		if _, _, err := b.AddToken(ctx, viewer, fmt.Sprint(i), 0); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, _, err := b.AddToken(ctx, viewer, "more", 0); job.CodeOf(err) != job.TooLarge {
		t.Errorf("one more: %v", err)
	}
	if err := b.RemoveToken(ctx, viewer, "0"); err != nil {
		t.Error(err)
	}
	if err := b.RemoveToken(ctx, viewer, "0"); job.CodeOf(err) != job.NotFound {
		t.Errorf("again: %v", err)
	}
	tokens, err := b.Tokens(ctx, viewer)
	if err != nil || len(tokens) != job.MaxTokens-1 || tokens[0].Name != "1" || tokens[0].Hash != "" {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
}
