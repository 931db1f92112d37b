// Package kmssecret keeps the keyset of a secret.Box wrapped by a key of AWS
// KMS: what lies in the table is of no use without the right to call Decrypt on
// that key, with the encryption context that this package sends.
package kmssecret

import (
	"bytes"
	"context"
	"errors"

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

// Open returns a box over the wrapped keyset that load reads, and makes and
// stores one when load answers job.NotFound. storeIfMissing stores a value
// unless there is one already and returns the stored one, so that functions that
// start at the same time for the first time end with the same keyset.
//
// Open calls KMS once (twice when another process won that race); the box never
// does. Call it once per process.
func Open(ctx context.Context, client Client, keyID string,
	load func(context.Context) ([]byte, error),
	storeIfMissing func(context.Context, []byte) ([]byte, error),
) (*secret.Box, error) {
	k := key{client: client, id: keyID}
	wrapped, err := load(ctx)
	if job.CodeOf(err) == job.NotFound {
		return create(ctx, k, storeIfMissing)
	}
	if err != nil {
		return nil, err
	}
	return k.unwrap(ctx, wrapped)
}

func create(ctx context.Context, k key, storeIfMissing func(context.Context, []byte) ([]byte, error)) (*secret.Box, error) {
	h, err := secret.NewKeyset()
	if err != nil {
		return nil, err
	}
	wrapped, err := k.wrap(ctx, h)
	if err != nil {
		return nil, err
	}
	stored, err := storeIfMissing(ctx, wrapped)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(stored, wrapped) { // another process was faster: its keyset counts
		return k.unwrap(ctx, stored)
	}
	return secret.NewBox(h)
}

// key is the key of KMS that wraps. A keyset is far below the 4 KiB that
// Encrypt takes, even after dozens of rotations.
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
func (k key) unwrap(ctx context.Context, wrapped []byte) (*secret.Box, error) {
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
	return secret.NewBox(h)
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
