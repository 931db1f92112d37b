package s3blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"drover/internal/awstest"
	"drover/internal/blob"
	"drover/internal/blob/blobtest"
	"drover/internal/job"
)

func newClient(url string, transport http.RoundTripper) *s3.Client {
	return s3.New(s3.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(url),
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:   &http.Client{Transport: transport},
	})
}

// newBucket makes an S3 bucket of the test's own.
func newBucket(t testing.TB, cfg aws.Config) (*s3.Client, string) {
	t.Helper()
	client, name := newClient(*cfg.BaseEndpoint, http.DefaultTransport), awstest.Name()
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("CreateBucket: %v", err)
	}
	return client, name
}

func TestBucket_Conforms(t *testing.T) {
	awstest.Each(t, func(t *testing.T, cfg aws.Config) {
		for _, prefix := range []string{"", "/outputs/"} {
			t.Run("prefix "+prefix, func(t *testing.T) {
				blobtest.Run(t, func(t testing.TB) blobtest.Open {
					client, name := newBucket(t, cfg)
					return func(testing.TB) blob.Bucket { return New(client, name, prefix) }
				})
			})
		}
	})
}

func TestBucket_PrefixesDoNotMix(t *testing.T) {
	awstest.Each(t, func(t *testing.T, cfg aws.Config) {
		client, name := newBucket(t, cfg)
		one, other := New(client, name, "one"), New(client, name, "other")
		if err := errors.Join(one.Put(t.Context(), "a/b", []byte("1")), other.Put(t.Context(), "a/b", []byte("2"))); err != nil {
			t.Fatal(err)
		}
		if n, err := one.DeletePrefix(t.Context(), "a/"); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if got, err := other.Get(t.Context(), "a/b"); string(got) != "2" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		code job.Code
	}{
		{&types.NoSuchKey{}, job.NotFound},
		{&types.NotFound{}, job.NotFound},
		{&types.NoSuchBucket{}, job.Unavailable},
		{&smithy.GenericAPIError{Code: "SlowDown"}, job.Exhausted},
		{&smithy.GenericAPIError{Code: "ServiceUnavailable"}, job.Exhausted},
		{&smithy.GenericAPIError{Code: "AccessDenied"}, job.Unavailable},
		{errors.New("no connection"), job.Unavailable},
		{fmt.Errorf("deep: %w", &smithy.GenericAPIError{Code: "NoSuchKey"}), job.NotFound},
	} {
		if got := codeOf(c.err); got != c.code {
			t.Errorf("%v: code %q; want %q", c.err, got, c.code)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// brokenBody ends in the middle, as a lost connection does.
type brokenBody struct{ io.Reader }

func (brokenBody) Close() error { return nil }

func TestGet_BrokenAnswerIsNoShortObject(t *testing.T) {
	b := New(newClient("http://s3.invalid", roundTripper(func(r *http.Request) (*http.Response, error) {
		body := io.MultiReader(strings.NewReader("half"), errReader{})
		return &http.Response{StatusCode: http.StatusOK, Request: r, Header: http.Header{}, Body: brokenBody{body}, ContentLength: 8}, nil
	})), "b", "")
	if data, err := b.Get(t.Context(), "a"); job.CodeOf(err) != job.Unavailable {
		t.Fatalf("got %q, %v; want Unavailable", data, err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestDeletePrefix_ReportsWhatStayed(t *testing.T) {
	b := New(newClient("http://s3.invalid", roundTripper(func(r *http.Request) (*http.Response, error) {
		body := `<ListBucketResult><Contents><Key>a/1</Key></Contents><Contents><Key>a/2</Key></Contents></ListBucketResult>`
		if r.Method == http.MethodPost {
			body = `<DeleteResult><Error><Key>a/2</Key><Code>AccessDenied</Code></Error></DeleteResult>`
		}
		return &http.Response{StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {"application/xml"}},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
	})), "b", "")
	n, err := b.DeletePrefix(context.Background(), "a/")
	if n != 1 || job.CodeOf(err) != job.Unavailable || !strings.Contains(err.Error(), "AccessDenied") {
		t.Fatalf("%d, %v; want 1 and the refusal", n, err)
	}
}
