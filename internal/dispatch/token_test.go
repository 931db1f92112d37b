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
