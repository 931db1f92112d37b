package kmssecret_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"drover/internal/awstest"
	"drover/internal/job"
	"drover/internal/secret"
	"drover/internal/secret/kmssecret"
)

// setting is the place in the table.
type setting struct {
	mu    sync.Mutex
	value []byte
}

func (s *setting) Load(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value == nil {
		return nil, job.Errorf(job.NotFound, "no such setting")
	}
	return bytes.Clone(s.value), nil
}

func (s *setting) StoreIfMissing(_ context.Context, v []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value == nil {
		s.value = bytes.Clone(v)
	}
	return bytes.Clone(s.value), nil
}

func (s *setting) Replace(_ context.Context, old, next []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value == nil || !bytes.Equal(s.value, old) {
		return job.Errorf(job.Conflict, "it is another one now")
	}
	s.value = bytes.Clone(next)
	return nil
}

// functions answers as its functions say.
type functions struct {
	load  func(context.Context) ([]byte, error)
	store func(context.Context, []byte) ([]byte, error)
	*setting
}

func (f functions) Load(ctx context.Context) ([]byte, error) {
	if f.load == nil {
		return f.setting.Load(ctx)
	}
	return f.load(ctx)
}

func (f functions) StoreIfMissing(ctx context.Context, v []byte) ([]byte, error) {
	if f.store == nil {
		return f.setting.StoreIfMissing(ctx, v)
	}
	return f.store(ctx, v)
}

// service answers like KMS: it seals for a key and a context and opens for the
// same ones only.
type service struct {
	box      *secret.Box
	mu       sync.Mutex
	encrypts int
	decrypts int
	err      error
}

func newService(t *testing.T) *service {
	t.Helper()
	h, err := secret.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.NewBox(h)
	if err != nil {
		t.Fatal(err)
	}
	return &service{box: box}
}

func place(keyID *string, ec map[string]string) string { return fmt.Sprint(aws.ToString(keyID), ec) }

func (s *service) Encrypt(ctx context.Context, in *kms.EncryptInput, _ ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.encrypts++
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return nil, err
	}
	if n := len(in.Plaintext); n == 0 || n > 4096 {
		return nil, fmt.Errorf("plaintext of %d bytes", n)
	}
	sealed, err := s.box.Seal(job.Secret(in.Plaintext), place(in.KeyId, in.EncryptionContext))
	return &kms.EncryptOutput{CiphertextBlob: sealed}, err
}

func (s *service) Decrypt(ctx context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decrypts++
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return nil, err
	}
	plain, err := s.box.Open(in.CiphertextBlob, place(in.KeyId, in.EncryptionContext))
	if err != nil {
		return nil, &kmstypes.InvalidCiphertextException{}
	}
	return &kms.DecryptOutput{Plaintext: []byte(plain.Reveal())}, nil
}

func TestOpen(t *testing.T) {
	t.Run("service in this test", func(t *testing.T) { testOpen(t, newService(t), "key-1") })
	awstest.Each(t, func(t *testing.T, cfg aws.Config) {
		client := kms.NewFromConfig(cfg)
		made, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		testOpen(t, client, aws.ToString(made.KeyMetadata.KeyId))
	})
}

// testOpen states what holds with every KMS.
func testOpen(t *testing.T, client kmssecret.Client, keyID string) {
	var at setting
	open := func() *secret.Box {
		t.Helper()
		b, err := kmssecret.Open(t.Context(), client, keyID, &at)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sealed, err := open().Seal("s3cret", "place")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := open().Open(sealed, "place"); err != nil || plain.Reveal() != "s3cret" {
		t.Errorf("the next process does not open it: %v", err)
	}

	whole := at.value
	at.value = bytes.Clone(whole)
	at.value[len(at.value)-1] ^= 1
	if _, err := kmssecret.Open(t.Context(), client, keyID, &at); err == nil {
		t.Error("a changed keyset is accepted")
	}
	at.value = whole
	if out, err := client.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &keyID, CiphertextBlob: whole}); err == nil {
		t.Errorf("unwraps %d bytes without the encryption context", len(out.Plaintext))
	}
}

func TestOpen_AllThatStartAtOnceEndWithOneKeyset(t *testing.T) {
	svc, at := newService(t), &setting{}
	const n = 8
	var ready, wg sync.WaitGroup
	ready.Add(n)
	boxes := make([]*secret.Box, n)
	for i := range boxes {
		wg.Go(func() {
			// All see that there is none before any goes on.
			load := func(ctx context.Context) ([]byte, error) {
				v, err := at.Load(ctx)
				ready.Done()
				ready.Wait()
				return v, err
			}
			var err error
			if boxes[i], err = kmssecret.Open(t.Context(), svc, "key-1", functions{load: load, setting: at}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	sealed, err := boxes[0].Seal("s3cret", "place")
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range boxes {
		if _, err := b.Open(sealed, "place"); err != nil {
			t.Errorf("process %d: %v", i, err)
		}
	}
	if svc.encrypts != n || svc.decrypts != n-1 {
		t.Errorf("%d calls of Encrypt, %d of Decrypt; want %d, %d", svc.encrypts, svc.decrypts, n, n-1)
	}
}

func TestOpen_UnwrapsOncePerProcess(t *testing.T) {
	svc, at := newService(t), &setting{}
	if _, err := kmssecret.Open(t.Context(), svc, "key-1", at); err != nil {
		t.Fatal(err)
	}
	if svc.encrypts != 1 || svc.decrypts != 0 {
		t.Errorf("making it: %d calls of Encrypt, %d of Decrypt; want 1, 0", svc.encrypts, svc.decrypts)
	}
	b, err := kmssecret.Open(t.Context(), svc, "key-1", at)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		sealed, err := b.Seal("s3cret", "place")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Open(sealed, "place"); err != nil {
			t.Fatal(err)
		}
	}
	if svc.encrypts != 1 || svc.decrypts != 1 {
		t.Errorf("after use: %d calls of Encrypt, %d of Decrypt; want 1, 1", svc.encrypts, svc.decrypts)
	}
}

func TestOpen_Errors(t *testing.T) {
	whole := &setting{}
	if _, err := kmssecret.Open(t.Context(), newService(t), "key-1", whole); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	other := newService(t)
	notKeyset, err := other.Encrypt(t.Context(), &kms.EncryptInput{
		KeyId: aws.String("key-1"), Plaintext: []byte("hunter2"), EncryptionContext: kmssecret.EncryptionContext()})
	if err != nil {
		t.Fatal(err)
	}
	fails := func(code job.Code) func(context.Context) ([]byte, error) {
		return func(context.Context) ([]byte, error) { return nil, job.Errorf(code, "the table says no") }
	}
	down := newService(t)
	down.err = errors.New("KMS is away")
	tests := []struct {
		name   string
		ctx    context.Context
		client *service
		load   func(context.Context) ([]byte, error)
		store  func(context.Context, []byte) ([]byte, error)
		want   job.Code
	}{
		{"wrapped with another key", t.Context(), newService(t), whole.Load, nil, job.Corrupt},
		{"no keyset inside", t.Context(), other, (&setting{value: notKeyset.CiphertextBlob}).Load, nil, job.Corrupt},
		{"KMS away, reading", t.Context(), down, whole.Load, nil, job.Unavailable},
		{"KMS away, making", t.Context(), down, (&setting{}).Load, nil, job.Unavailable},
		{"table fails to read", t.Context(), newService(t), fails(job.Unavailable), nil, job.Unavailable},
		{"table fails to store", t.Context(), newService(t), fails(job.NotFound), func(ctx context.Context, _ []byte) ([]byte, error) {
			return fails(job.Exhausted)(ctx)
		}, job.Exhausted},
		{"context ended", ended, newService(t), whole.Load, nil, job.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := kmssecret.Open(tt.ctx, tt.client, "key-1", functions{tt.load, tt.store, &setting{}})
			if b != nil || job.CodeOf(err) != tt.want {
				t.Errorf("code %q, want %q: %v", job.CodeOf(err), tt.want, err)
			}
			if err != nil && bytes.Contains([]byte(err.Error()), []byte("hunter2")) {
				t.Error("the error holds what was unwrapped")
			}
		})
	}
}

func TestEncryptionContext_IsFrozen(t *testing.T) {
	// What was wrapped with another context never opens again.
	if want := map[string]string{"service": "drover", "purpose": "keyset"}; !maps.Equal(kmssecret.EncryptionContext(), want) {
		t.Errorf("EncryptionContext() = %v, want %v", kmssecret.EncryptionContext(), want)
	}
}
