// Package depot opens what only some functions need: the bucket of large values
// and the keyset that seals secrets.
package depot

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"drover/internal/blob"
	"drover/internal/blob/s3blob"
	"drover/internal/cloud"
	"drover/internal/secret"
	"drover/internal/secret/kmssecret"
)

// Config is what is needed for both.
type Config struct {
	Bucket string `env:"DROVER_BUCKET"`
	Key    string `env:"DROVER_KMS_KEY_ID"` // wraps the keyset
}

// keyset is the setting that holds the wrapped keyset.
const keyset = "keyset"

// Open returns the bucket, which it does not call, and the box over the
// installation's keyset, which it unwraps, or makes, with one call to KMS.
func (cfg Config) Open(ctx context.Context, c cloud.Clients) (blob.Bucket, *secret.Box, error) {
	// An endpoint of one's own has no name for every bucket: it is part of the path.
	client := s3.NewFromConfig(c.AWS, func(o *s3.Options) { o.UsePathStyle = c.AWS.BaseEndpoint != nil })
	box, err := kmssecret.Open(ctx, kms.NewFromConfig(c.AWS), cfg.Key, c.Store.SettingAt(keyset))
	return s3blob.New(client, cfg.Bucket, ""), box, err
}
