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
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"drover/internal/job"
)

// Box seals and opens secrets. It is safe for use by many goroutines at once.
type Box struct {
	aead atomic.Value // tink.AEAD, in a holder: replaced as a whole by Rotate

	rotate sync.Mutex
	path   string // of the key file; "" when the keyset is kept elsewhere
}

// holder gives every AEAD the one concrete type that atomic.Value asks for.
type holder struct{ tink.AEAD }

// NewBox returns a box over a keyset of AEAD keys that the caller keeps.
func NewBox(h *keyset.Handle) (*Box, error) {
	b := &Box{}
	if err := b.use(h); err != nil {
		return nil, err
	}
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
	b.aead.Store(holder{a})
	return nil
}

// Seal encrypts a secret and binds it to its place, which Open has to be given
// again. The empty secret seals to nil: that none is set is not a secret.
func (b *Box) Seal(plain job.Secret, aad string) (job.Sealed, error) {
	if plain == "" {
		return nil, nil
	}
	sealed, err := b.aead.Load().(holder).Encrypt([]byte(plain.Reveal()), []byte(aad))
	if err != nil {
		return nil, job.Wrap(job.Internal, err, "sealing a secret")
	}
	return sealed, nil
}

// Open decrypts what Seal made for the same place. The error's code is
// job.Corrupt when the place is another, the value was changed, or its key is
// not in the keyset; which of them cannot be told.
func (b *Box) Open(s job.Sealed, aad string) (job.Secret, error) {
	if !s.Set() {
		return "", nil
	}
	plain, err := b.aead.Load().(holder).Decrypt(s, []byte(aad))
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
