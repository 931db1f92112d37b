package cloud

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"drover/internal/job"
)

// TestSettings: region, keys and endpoint are those of the environment, as
// Lambda and sam local invoke fill it.
func TestSettings(t *testing.T) {
	complete := []string{"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=key", "AWS_SESSION_TOKEN=token"}
	cfg, err := settings(lookup(complete...))
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || cfg.Region != "eu-west-1" || cfg.BaseEndpoint != nil || got.AccessKeyID != "id" || got.SecretAccessKey != "key" || got.SessionToken != "token" {
		t.Errorf("%+v %+v %v", cfg, got, err)
	}
	if cfg, err = settings(lookup(append(complete, "AWS_ENDPOINT_URL=http://127.0.0.1:4566")...)); err != nil || cfg.BaseEndpoint == nil || *cfg.BaseEndpoint != "http://127.0.0.1:4566" {
		t.Errorf("endpoint %v, error %v", cfg.BaseEndpoint, err)
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:8000")
	if cfg, err = settings(lookup(append(complete, "AWS_ENDPOINT_URL=http://127.0.0.1:4566", "AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000")...)); err != nil {
		t.Fatal(err)
	}
	if at := dynamodb.NewFromConfig(cfg).Options().BaseEndpoint; aws.ToString(at) != "http://127.0.0.1:8000" {
		t.Errorf("the table's own endpoint is %s", aws.ToString(at))
	}
	if at := s3.NewFromConfig(cfg).Options().BaseEndpoint; aws.ToString(at) != "http://127.0.0.1:4566" {
		t.Errorf("that of the others is %s", aws.ToString(at))
	}
	for i := range 3 {
		incomplete := append(append([]string{}, complete[:i]...), complete[i+1:]...)
		if _, err := settings(lookup(incomplete...)); job.CodeOf(err) != job.Invalid {
			t.Errorf("%v: %v", incomplete, err)
		}
	}
}
