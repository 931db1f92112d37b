package secret_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"pgregory.net/rapid"

	"drover/internal/job"
	"drover/internal/secret"
)

func newBox(t interface{ Fatal(...any) }) *secret.Box {
	h, err := secret.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	b, err := secret.NewBox(h)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBox_OpensWhatItSealedInItsPlaceOnly(t *testing.T) {
	b, other := newBox(t), newBox(t)
	rapid.Check(t, func(t *rapid.T) {
		plain := job.Secret(rapid.StringN(1, -1, 4096).Draw(t, "plain"))
		aad := rapid.String().Draw(t, "aad")
		sealed, err := b.Seal(plain, aad)
		if err != nil {
			t.Fatal(err)
		}
		if len(plain) >= 4 && bytes.Contains(sealed, []byte(plain.Reveal())) {
			t.Fatal("sealed value holds the plain one")
		}
		if got, err := b.Open(sealed, aad); err != nil || got.Reveal() != plain.Reveal() {
			t.Fatalf("does not open: %v", err)
		}
		if again, _ := b.Seal(plain, aad); bytes.Equal(again, sealed) {
			t.Fatal("sealing is not randomised")
		}

		elsewhere := rapid.String().Filter(func(s string) bool { return s != aad }).Draw(t, "elsewhere")
		mustNotOpen(t, b, sealed, elsewhere, plain)
		mustNotOpen(t, other, sealed, aad, plain)
		mustNotOpen(t, b, sealed[:rapid.IntRange(1, len(sealed)-1).Draw(t, "cut")], aad, plain)

		bit := rapid.IntRange(0, len(sealed)*8-1).Draw(t, "bit")
		flipped := bytes.Clone(sealed)
		flipped[bit/8] ^= 1 << (bit % 8)
		mustNotOpen(t, b, flipped, aad, plain)
	})
}

func mustNotOpen(t *rapid.T, b *secret.Box, s job.Sealed, aad string, plain job.Secret) {
	got, err := b.Open(s, aad)
	if job.CodeOf(err) != job.Corrupt || got != "" {
		t.Fatalf("opened, or refused with code %q", job.CodeOf(err))
	}
	if len(plain) >= 8 && strings.Contains(err.Error(), plain.Reveal()) {
		t.Fatal("the error holds the secret")
	}
}

func TestBox_EmptySecretIsNotSet(t *testing.T) {
	b := newBox(t)
	sealed, err := b.Seal("", "place")
	if err != nil || sealed != nil || sealed.Set() {
		t.Fatalf("Seal = %v, %v", sealed, err)
	}
	if plain, err := b.Open(sealed, "elsewhere"); plain != "" || err != nil {
		t.Fatalf("Open = %v, %v", plain, err)
	}
}

func TestNewBox_RefusesAKeysetThatDoesNotSeal(t *testing.T) {
	h, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []*keyset.Handle{nil, h} {
		if _, err := secret.NewBox(h); job.CodeOf(err) != job.Corrupt {
			t.Errorf("NewBox: code %q, want corrupt", job.CodeOf(err))
		}
	}
}

func TestBox_ManyGoroutines(t *testing.T) {
	b := newBox(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			plain, aad := job.Secret(fmt.Sprint("secret", i)), fmt.Sprint("place", i)
			for range 100 {
				sealed, err := b.Seal(plain, aad)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := b.Open(sealed, aad); err != nil || got != plain {
					t.Errorf("Open: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestAAD_DifferentPlacesHaveDifferentNames(t *testing.T) {
	if got, want := secret.AAD("default", "credential", 7, "password"), "credential/default/7/password"; got != want {
		t.Errorf("AAD = %q, want %q", got, want)
	}
	type place struct {
		Tenant, Kind, Field string
		ID                  int64
	}
	draw := func(t *rapid.T, label string) place {
		s := rapid.StringOf(rapid.SampledFrom([]rune("a/%2F1")))
		return place{s.Draw(t, label), s.Draw(t, label), s.Draw(t, label), rapid.Int64Range(0, 3).Draw(t, label)}
	}
	name := func(p place) string { return secret.AAD(p.Tenant, p.Kind, p.ID, p.Field) }
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		if (name(a) == name(b)) != (a == b) {
			t.Fatalf("%+v is %q, %+v is %q", a, name(a), b, name(b))
		}
	})
}
