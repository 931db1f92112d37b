// Package secret seals the secrets that Drover has to give back in clear (the
// credentials of devices) and hashes those that it never does (the passwords of
// users).
//
// A Box seals with AES-256-GCM under the primary key of a Tink keyset and opens
// with whichever of its keys sealed. Every sealed value is bound to its place
// (AAD): copied to another row or field it does not open. Whoever holds both
// the store and the keyset can read everything; the keyset is therefore kept
// apart from the store, in a key file (OpenKeyFile) or wrapped by a key service
// (package kmssecret).
//
// No error of this package holds key material, a secret or a hash.
package secret

import (
	"context"
	"encoding/binary"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/core/cryptofmt"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"drover/internal/job"
)

// Box seals and opens secrets. It is safe for use by many goroutines at once.
//
// A keyset that is kept elsewhere (OpenKeyFile, package kmssecret) may be rotated
// by another process. The box looks there again before it seals, when it has not
// done so for RefreshAfter, and whenever it is to open what a key has sealed that
// it does not know.
type Box struct {
	keys   atomic.Value // holder: replaced as a whole
	keeper Keeper       // nil: the caller keeps the keyset
	now    func() time.Time

	mu      sync.Mutex           // held while the keeper is asked
	looked  time.Time            // when the keeper was last asked
	unknown map[uint32]time.Time // keys that it did not have, and when
}

// Keyset is a keyset, for who keeps one and does not look into it.
type Keyset = keyset.Handle

// Keeper keeps a keyset where other processes find it too.
type Keeper interface {
	// Load returns the keyset as it is now.
	Load(ctx context.Context) (*keyset.Handle, error)
	// Rotate adds a fresh key, which is the primary one from then on, and
	// returns the keyset. When it fails nothing has changed.
	Rotate(ctx context.Context) (*keyset.Handle, error)
}

const (
	// RefreshAfter is how old a box's knowledge of its keyset may be when it
	// seals.
	RefreshAfter = 5 * time.Minute
	// askAgain is how long a key that the keeper does not have is not asked for
	// again: whatever is stored must not make every reader ask.
	askAgain = 10 * time.Second
	// askWithin bounds one look.
	askWithin = 10 * time.Second
	// maxUnknown bounds how many such keys are remembered.
	maxUnknown = 100
)

// holder gives every AEAD the one concrete type that atomic.Value asks for.
type holder struct {
	tink.AEAD
	ids map[uint32]bool
}

// NewBox returns a box over a keyset of AEAD keys that the caller keeps.
func NewBox(h *keyset.Handle) (*Box, error) { return NewKeptBox(h, nil) }

// NewKeptBox returns a box over a keyset that was just read from its keeper.
func NewKeptBox(h *keyset.Handle, k Keeper) (*Box, error) {
	b := &Box{keeper: k, now: time.Now, unknown: map[uint32]time.Time{}}
	if err := b.use(h); err != nil {
		return nil, err
	}
	b.looked = b.now()
	return b, nil
}

// NewKeyset makes a keyset with one fresh AES-256-GCM key.
func NewKeyset() (*keyset.Handle, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, job.Wrap(job.Internal, err, "making a key")
	}
	return h, nil
}

// use makes h the box's keyset.
func (b *Box) use(h *keyset.Handle) error {
	if h == nil {
		return job.Errorf(job.Corrupt, "there is no keyset")
	}
	a, err := aead.New(h)
	if err != nil {
		return job.Errorf(job.Corrupt, "the keyset does not hold keys that seal (AEAD keys)")
	}
	ids := map[uint32]bool{}
	for _, k := range h.KeysetInfo().GetKeyInfo() {
		ids[k.GetKeyId()] = true
	}
	b.keys.Store(holder{a, ids})
	return nil
}

func (b *Box) held() holder { return b.keys.Load().(holder) }

// Keys returns how many keys the keyset has, as far as the box knows.
func (b *Box) Keys() int { return len(b.held().ids) }

// AddKey returns a keyset with a fresh key more, which is its primary one.
func AddKey(h *keyset.Handle) (*keyset.Handle, error) {
	m := keyset.NewManagerFromHandle(h)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err == nil {
		h, err = m.Handle()
	}
	if err != nil {
		return nil, job.Wrap(job.Internal, err, "adding a key")
	}
	return h, nil
}

// Rotate adds a fresh key, with which everything is sealed from now on; other
// processes learn of it within RefreshAfter. What older keys sealed still opens.
// When Rotate fails nothing has changed. A box whose caller keeps the keyset
// answers job.Unsupported.
func (b *Box) Rotate(ctx context.Context) error {
	if b.keeper == nil {
		return job.Errorf(job.Unsupported, "this keyset is not kept where it can be rotated")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	h, err := b.keeper.Rotate(ctx)
	if err != nil {
		return err
	}
	b.looked = b.now()
	return b.use(h)
}

// look asks the keeper, with b.mu held.
func (b *Box) look() error {
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	h, err := b.keeper.Load(ctx)
	if err != nil {
		return err
	}
	b.looked = b.now()
	return b.use(h)
}

// refresh looks again when it is time to. One that fails leaves the box with the
// keys that it has: what they seal opens as well.
func (b *Box) refresh() {
	if b.keeper == nil || !b.mu.TryLock() { // else somebody else is about to
		return
	}
	defer b.mu.Unlock()
	if b.now().Sub(b.looked) < RefreshAfter {
		return
	}
	if b.look() != nil {
		b.looked = b.now().Add(askAgain - RefreshAfter)
	}
}

// learn looks for a key that the box does not have.
func (b *Box) learn(id uint32) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held().ids[id] || b.now().Before(b.unknown[id].Add(askAgain)) {
		return nil
	}
	if err := b.look(); err != nil {
		return err
	}
	if !b.held().ids[id] {
		if len(b.unknown) >= maxUnknown {
			clear(b.unknown)
		}
		b.unknown[id] = b.now()
	}
	return nil
}

// keyOf returns the id of the key that has sealed something.
func keyOf(s job.Sealed) (id uint32, ok bool) {
	const prefix = 5 // Tink's: a version and the id
	if len(s) < prefix || s[0] != cryptofmt.TinkStartByte {
		return 0, false
	}
	return binary.BigEndian.Uint32(s[1:prefix]), true
}

// Seal encrypts a secret and binds it to its place, which Open has to be given
// again. The empty secret seals to nil: that none is set is not a secret.
func (b *Box) Seal(plain job.Secret, aad string) (job.Sealed, error) {
	if plain == "" {
		return nil, nil
	}
	b.refresh()
	sealed, err := b.held().Encrypt([]byte(plain.Reveal()), []byte(aad))
	if err != nil {
		return nil, job.Wrap(job.Internal, err, "sealing a secret")
	}
	return sealed, nil
}

// Open decrypts what Seal made for the same place. The error's code is
// job.Corrupt when the place is another, the value was changed, or its key is
// not in the keyset; which of them cannot be told. Another code means that a newer
// keyset could not be read, and a later try may do.
func (b *Box) Open(s job.Sealed, aad string) (job.Secret, error) {
	if !s.Set() {
		return "", nil
	}
	if id, ok := keyOf(s); ok && b.keeper != nil && !b.held().ids[id] {
		if err := b.learn(id); err != nil {
			return "", err
		}
	}
	plain, err := b.held().Decrypt(s, []byte(aad))
	if err != nil {
		return "", job.Errorf(job.Corrupt, "a sealed secret does not open: it was changed, moved, or sealed with a key that is not here")
	}
	return job.Secret(plain), nil
}

// AAD names the place of a secret: a field of an object of a tenant. Different
// places have different names, whatever characters they contain.
func AAD(tenant, kind string, id int64, field string) string {
	return url.PathEscape(kind) + "/" + url.PathEscape(tenant) + "/" + strconv.FormatInt(id, 10) + "/" + url.PathEscape(field)
}
