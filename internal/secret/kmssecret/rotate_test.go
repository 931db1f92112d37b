package kmssecret_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"drover/internal/awstest"
	"drover/internal/job"
	"drover/internal/secret"
	"drover/internal/secret/kmssecret"
)

func TestRotate(t *testing.T) {
	t.Run("service in this test", func(t *testing.T) { testRotate(t, newService(t), "key-1") })
	awstest.Each(t, func(t *testing.T, cfg aws.Config) {
		client := kms.NewFromConfig(cfg)
		made, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		testRotate(t, client, aws.ToString(made.KeyMetadata.KeyId))
	})
}

// testRotate: while processes seal and open, others rotate; whatever any of them
// has sealed opens in all of them at any time, and at last all rotations are in
// the one keyset.
func testRotate(t *testing.T, client kmssecret.Client, keyID string) {
	at := &setting{}
	const processes, rotations = 3, 2
	boxes := make([]*secret.Box, processes)
	for i := range boxes {
		var err error
		if boxes[i], err = kmssecret.Open(t.Context(), client, keyID, at); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i, b := range boxes {
		wg.Go(func() {
			for range rotations {
				if err := b.Rotate(t.Context()); err != nil {
					t.Error(err)
					return
				}
				sealed, err := b.Seal("s3cret", "place")
				if err != nil {
					t.Error(err)
					return
				}
				for j, other := range boxes {
					if v, err := other.Open(sealed, "place"); err != nil || v.Reveal() != "s3cret" {
						t.Errorf("what process %d sealed does not open in %d: %v", i, j, err)
					}
				}
			}
		})
	}
	wg.Wait()
	last, err := kmssecret.Open(t.Context(), client, keyID, at)
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + processes*rotations; last.Keys() != want {
		t.Errorf("%d keys, want %d", last.Keys(), want)
	}
}

func TestRotate_Refuses(t *testing.T) {
	svc, at := newService(t), &setting{}
	b, err := kmssecret.Open(t.Context(), svc, "key-1", at)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(at.value)
	svc.err = errors.New("KMS is away")
	if err := b.Rotate(t.Context()); job.CodeOf(err) != job.Unavailable || !bytes.Equal(at.value, before) || b.Keys() != 1 {
		t.Errorf("KMS away: %v, %d keys", err, b.Keys())
	}
	svc.err = nil
	for b.Keys() < kmssecret.MaxKeys {
		if err := b.Rotate(t.Context()); err != nil { // also: they all fit
			t.Fatal(err)
		}
	}
	if err := b.Rotate(t.Context()); job.CodeOf(err) != job.Unsupported || b.Keys() != kmssecret.MaxKeys {
		t.Errorf("one too many: %v, %d keys", err, b.Keys())
	}
}

// What a newer key has sealed is not lost because KMS is away for a moment: the
// error says that a later try may do, and it does.
func TestOpen_NewerKeyWhileKMSIsAway(t *testing.T) {
	svc, at := newService(t), &setting{}
	var boxes [2]*secret.Box
	for i := range boxes {
		var err error
		if boxes[i], err = kmssecret.Open(t.Context(), svc, "key-1", at); err != nil {
			t.Fatal(err)
		}
	}
	if err := boxes[0].Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	sealed, err := boxes[0].Seal("s3cret", "place")
	if err != nil {
		t.Fatal(err)
	}
	svc.err = errors.New("KMS is away")
	if _, err := boxes[1].Open(sealed, "place"); job.CodeOf(err) != job.Unavailable {
		t.Errorf("KMS away: %v", err)
	}
	svc.err = nil
	if v, err := boxes[1].Open(sealed, "place"); err != nil || v.Reveal() != "s3cret" {
		t.Errorf("KMS there again: %v", err)
	}
	if decrypts := svc.decrypts; decrypts != 3 { // at the start of the second, and two for the newer one
		t.Errorf("%d calls of Decrypt", decrypts)
	}
	if _, err := boxes[1].Open(append(job.Sealed{1, 9, 9, 9, 9}, sealed[5:]...), "place"); job.CodeOf(err) != job.Corrupt {
		t.Errorf("a key that is nowhere: %v", err)
	}
	if svc.decrypts != 3 {
		t.Error("KMS is asked for a keyset that it has unwrapped")
	}
}
