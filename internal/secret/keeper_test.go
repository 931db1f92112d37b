package secret

import (
	"context"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/keyset"

	"drover/internal/job"
)

// kept is a keeper that counts.
type kept struct {
	h     *keyset.Handle
	err   error
	loads int
}

func (k *kept) Load(context.Context) (*keyset.Handle, error) {
	k.loads++
	return k.h, k.err
}

func (k *kept) Rotate(context.Context) (*keyset.Handle, error) {
	h, err := AddKey(k.h)
	if err == nil {
		k.h = h
	}
	return h, err
}

// TestBox_LearnsOfAnotherProcessesKeys: within RefreshAfter for sealing, and at
// once for opening; and whatever garbage is to be opened, the keeper is seldom
// asked.
func TestBox_LearnsOfAnotherProcessesKeys(t *testing.T) {
	h, err := NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	k, now := &kept{h: h}, time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	open := func() *Box {
		b, err := NewKeptBox(k.h, k)
		if err != nil {
			t.Fatal(err)
		}
		b.now = func() time.Time { return now }
		b.looked = now
		return b
	}
	seal := func(b *Box) job.Sealed {
		s, err := b.Seal("s3cret", "place")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := open(), open()
	old := seal(b)
	if err := a.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := func(s job.Sealed) uint32 {
		id, ok := keyOf(s)
		if !ok {
			t.Fatalf("no key in % x", s[:5])
		}
		return id
	}
	if id(seal(a)) == id(old) {
		t.Error("who rotated seals with the old key")
	}
	if now = now.Add(RefreshAfter - time.Second); id(seal(b)) != id(old) || k.loads != 0 {
		t.Errorf("asked %d times, before it was time to", k.loads)
	}
	if now = now.Add(time.Second); id(seal(b)) != id(seal(a)) || k.loads == 0 {
		t.Error("the new key is not known in time")
	}

	// Opening does not wait.
	if err := a.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh := seal(a)
	k.loads = 0
	for range 3 {
		if v, err := b.Open(fresh, "place"); err != nil || v.Reveal() != "s3cret" {
			t.Fatal(err)
		}
	}
	if k.loads != 1 {
		t.Errorf("asked %d times for one key", k.loads)
	}

	// What cannot be read is not what is not there.
	if err := a.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	newest := seal(a)
	k.err = job.Errorf(job.Unavailable, "away")
	if _, err := b.Open(newest, "place"); job.CodeOf(err) != job.Unavailable {
		t.Errorf("%v", err)
	}
	if now = now.Add(2 * RefreshAfter); !seal(b).Set() {
		t.Error("nothing is sealed while the keeper is away")
	}
	k.err = nil
	if _, err := b.Open(newest, "place"); err != nil {
		t.Error(err)
	}

	k.loads = 0
	for i := range 3 * maxUnknown {
		for range 3 {
			garbage := append(job.Sealed{1, 7, 7, byte(i), byte(i >> 8)}, fresh[5:]...)
			if _, err := b.Open(garbage, "place"); job.CodeOf(err) != job.Corrupt {
				t.Fatal(err)
			}
		}
	}
	if k.loads > 3*maxUnknown || len(b.unknown) > maxUnknown {
		t.Errorf("asked %d times, %d keys remembered", k.loads, len(b.unknown))
	}
}
