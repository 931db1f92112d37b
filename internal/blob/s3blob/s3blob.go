// Package s3blob keeps objects in an S3 bucket.
package s3blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"drover/internal/blob"
	"drover/internal/job"
)

// Bucket is a blob.Bucket in S3. It needs the rights GetObject, PutObject and
// DeleteObject below its prefix, and ListBucket: without the last, S3 does not
// tell a missing object from a forbidden one.
type Bucket struct {
	client *s3.Client
	bucket *string
	prefix string
}

var _ blob.Bucket = (*Bucket)(nil)

// New returns the bucket. Objects' names are led by prefix and a slash when
// prefix is not empty. It does not call S3.
func New(client *s3.Client, bucket, prefix string) *Bucket {
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return &Bucket{client: client, bucket: aws.String(bucket), prefix: prefix}
}

func (b *Bucket) key(name string) *string { return aws.String(b.prefix + name) }

// Put implements blob.Bucket.
func (b *Bucket) Put(ctx context.Context, name string, data []byte) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	if err := blob.CheckSize(data); err != nil {
		return err
	}
	_, err := b.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: b.bucket, Key: b.key(name), Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data)))})
	if err != nil {
		return b.fail(ctx, err, "cannot write object "+name)
	}
	return nil
}

// Get implements blob.Bucket.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: b.bucket, Key: b.key(name)})
	if err != nil {
		return nil, b.fail(ctx, err, "cannot read object "+name)
	}
	data, err := io.ReadAll(io.LimitReader(out.Body, blob.MaxBytes+1))
	if err := errors.Join(err, out.Body.Close()); err != nil {
		return nil, b.fail(ctx, err, "cannot read object "+name)
	}
	if err := blob.CheckSize(data); err != nil {
		return nil, err
	}
	return data, nil
}

// Delete implements blob.Bucket.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b.bucket, Key: b.key(name)})
	if err != nil {
		return b.fail(ctx, err, "cannot delete object "+name)
	}
	return nil
}

// DeletePrefix implements blob.Bucket. When it fails midway, the count is of
// what was removed until then, and calling it again goes on.
func (b *Bucket) DeletePrefix(ctx context.Context, prefix string) (int, error) {
	if err := blob.CheckPrefix(prefix); err != nil {
		return 0, err
	}
	removed := 0
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: b.bucket, Prefix: b.key(prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return removed, b.fail(ctx, err, "cannot list the objects of "+prefix)
		}
		if len(page.Contents) == 0 {
			continue
		}
		names := make([]types.ObjectIdentifier, len(page.Contents)) // at most 1,000, which is what one deletion takes
		for i, o := range page.Contents {
			names[i].Key = o.Key
		}
		out, err := b.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: b.bucket, Delete: &types.Delete{Objects: names, Quiet: aws.Bool(true)}})
		if err != nil {
			return removed, b.fail(ctx, err, "cannot delete the objects of "+prefix)
		}
		removed += len(names) - len(out.Errors)
		if len(out.Errors) > 0 {
			first := out.Errors[0]
			return removed, job.Errorf(job.Unavailable, "cannot delete %d objects of %s: %s", len(out.Errors), prefix, aws.ToString(first.Code))
		}
	}
	return removed, nil
}

// fail gives an error of the SDK its code.
func (b *Bucket) fail(ctx context.Context, err error, doing string) error {
	if ctx.Err() != nil {
		return job.Wrap(job.Canceled, err, "the call was given up")
	}
	return job.Wrap(codeOf(err), err, "%s in bucket %s", doing, *b.bucket)
}

func codeOf(err error) job.Code {
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchKey", "NotFound":
			return job.NotFound
		case "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "ServiceUnavailable":
			return job.Exhausted
		}
	}
	return job.Unavailable
}
