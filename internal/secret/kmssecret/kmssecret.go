// Package kmssecret keeps the keyset of a secret.Box wrapped by a key of AWS
// KMS: what lies in the table is of no use without the right to call Decrypt on
// that key, with the encryption context that this package sends.
package kmssecret

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"drover/internal/job"
	"drover/internal/secret"
)

// Client is what is needed of KMS; *kms.Client is one.
type Client interface {
	Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error)
	Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

// EncryptionContext is what every call to KMS carries; a key policy may demand it.
func EncryptionContext() map[string]string {
	return map[string]string{"service": "drover", "purpose": "keyset"}
}

// Place is where the wrapped keyset lies, for all processes the same.
type Place interface {
	// Load returns what lies there, or job.NotFound.
	Load(context.Context) ([]byte, error)
	// StoreIfMissing stores a value unless there is one already and returns the
	// stored one, so that functions that start at the same time for the first
	// time end with the same keyset.
	StoreIfMissing(ctx context.Context, value []byte) ([]byte, error)
	// Replace stores next where old lies, or answers job.Conflict.
	Replace(ctx context.Context, old, next []byte) error
}

// MaxKeys is how many keys a keyset may have: so many stay below the 4 KiB that
// KMS encrypts.
const MaxKeys = 30

// Open returns a box over the wrapped keyset that lies in a place, and makes and
// stores one when there is none.
//
// Open calls KMS once (twice when another process won that race); the box calls
// it when another process has rotated the keyset, and to rotate it. Call Open once
// per process.
func Open(ctx context.Context, client Client, keyID string, place Place) (*secret.Box, error) {
	k := &keeper{key: key{client: client, id: keyID}, place: place}
	h, err := k.Load(ctx)
	if job.CodeOf(err) == job.NotFound {
		h, err = k.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	return secret.NewKeptBox(h, k)
}

// keeper keeps the keyset. It unwraps a value once.
type keeper struct {
	key   key
	place Place

	mu      sync.Mutex
	wrapped []byte
	keyset  *keyset.Handle
}

// Load returns the keyset as it lies in its place.
func (k *keeper) Load(ctx context.Context) (*keyset.Handle, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.load(ctx)
}

func (k *keeper) load(ctx context.Context) (*keyset.Handle, error) {
	wrapped, err := k.place.Load(ctx)
	if err != nil {
		return nil, err
	}
	return k.open(ctx, wrapped)
}

// open unwraps a value, unless it is the one that was unwrapped last.
func (k *keeper) open(ctx context.Context, wrapped []byte) (*keyset.Handle, error) {
	if k.keyset != nil && bytes.Equal(wrapped, k.wrapped) {
		return k.keyset, nil
	}
	h, err := k.key.unwrap(ctx, wrapped)
	if err != nil {
		return nil, err
	}
	k.wrapped, k.keyset = wrapped, h
	return h, nil
}

func (k *keeper) create(ctx context.Context) (*keyset.Handle, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h, err := secret.NewKeyset()
	if err != nil {
		return nil, err
	}
	wrapped, err := k.key.wrap(ctx, h)
	if err != nil {
		return nil, err
	}
	stored, err := k.place.StoreIfMissing(ctx, wrapped)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(stored, wrapped) {
		k.wrapped, k.keyset = wrapped, h
	}
	return k.open(ctx, stored) // another process may have been faster: its keyset counts
}

// rotateTries is how often a rotation meets another one and begins again.
const rotateTries = 5

// Rotate adds a key to the keyset as it lies in its place. Of rotations at the
// same time each adds its own.
func (k *keeper) Rotate(ctx context.Context) (*keyset.Handle, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for try := 0; ; try++ {
		h, err := k.load(ctx)
		if err != nil {
			return nil, err
		}
		if h.Len() >= MaxKeys {
			return nil, job.Errorf(job.Unsupported, "the keyset has %d keys: it takes no more", h.Len())
		}
		old := k.wrapped
		if h, err = secret.AddKey(h); err != nil {
			return nil, err
		}
		wrapped, err := k.key.wrap(ctx, h)
		if err != nil {
			return nil, err
		}
		switch err := k.place.Replace(ctx, old, wrapped); {
		case err == nil:
			k.wrapped, k.keyset = wrapped, h
			return h, nil
		case job.CodeOf(err) != job.Conflict || try >= rotateTries:
			return nil, err
		}
	}
}

// key is the key of KMS that wraps.
type key struct {
	client Client
	id     string
}

func (k key) wrap(ctx context.Context, h *keyset.Handle) ([]byte, error) {
	var plain bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewBinaryWriter(&plain)); err != nil {
		return nil, job.Wrap(job.Internal, err, "encoding the keyset")
	}
	out, err := k.client.Encrypt(ctx, &kms.EncryptInput{
		KeyId: aws.String(k.id), Plaintext: plain.Bytes(), EncryptionContext: EncryptionContext(),
	})
	if err != nil {
		return nil, classify(ctx, err, "wrapping the keyset with KMS")
	}
	return out.CiphertextBlob, nil
}

// unwrap names the key, so that a value wrapped with anybody else's is refused.
func (k key) unwrap(ctx context.Context, wrapped []byte) (*keyset.Handle, error) {
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId: aws.String(k.id), CiphertextBlob: wrapped, EncryptionContext: EncryptionContext(),
	})
	if err != nil {
		return nil, classify(ctx, err, "unwrapping the keyset with KMS")
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(out.Plaintext)))
	if err != nil { // its words may quote what was read
		return nil, job.Errorf(job.Corrupt, "what KMS unwrapped is not a keyset")
	}
	return h, nil
}

// classify gives an error of KMS a code.
func classify(ctx context.Context, err error, doing string) error {
	var changed *kmstypes.InvalidCiphertextException
	var otherKey *kmstypes.IncorrectKeyException
	switch {
	case ctx.Err() != nil:
		return job.Wrap(job.Canceled, ctx.Err(), "%s", doing)
	case errors.As(err, &changed), errors.As(err, &otherKey):
		return job.Wrap(job.Corrupt, err, "%s: it was changed, or wrapped with another key", doing)
	}
	return job.Wrap(job.Unavailable, err, "%s", doing)
}
