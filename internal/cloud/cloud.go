package cloud

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/dynamostore"
)

// Base is what every function needs.
type Base struct {
	Table string        `env:"DROVER_TABLE"`
	Keep  time.Duration `env:"DROVER_KEEP"` // how long a run stays after its end
	Level slog.Level    `env:"DROVER_LOG,optional"`
}

const (
	// Invocation is how long one call of the executor may take: its time
	// limit in the template, which is the longest that Lambda gives.
	Invocation = 15 * time.Minute
	// LongestAttempt is the longest time limit of a service: what an
	// invocation lasts, less what connecting and recording take.
	LongestAttempt = 14 * time.Minute
)

// Clients are the AWS clients of one function and what is made from them.
// Nothing is shared between processes but what is in the table.
type Clients struct {
	AWS   aws.Config
	Store *store.Store
	Log   *slog.Logger
}

// Connect makes the clients that every function needs. It calls nothing.
func (b Base) Connect(ctx context.Context, function string) (Clients, error) {
	c := Clients{Log: slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: b.Level})).With("function", function)}
	var err error
	if c.AWS, err = settings(os.Getenv); err != nil {
		return c, err
	}
	driver, err := dynamostore.Open(dynamostore.Options{Client: dynamodb.NewFromConfig(c.AWS), Table: b.Table})
	if err != nil {
		return c, err
	}
	c.Store = store.New(driver, store.Options{Clock: time.Now, Keep: b.Keep})
	return c, nil
}

// settings is the SDK's configuration from what Lambda puts into a function's
// environment, and from AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>. The SDK's own way to it looks for
// credentials in a dozen other places, and the clients for those would make
// every function half again as long to start.
func settings(lookup func(string) string) (aws.Config, error) {
	cfg := aws.Config{Region: lookup("AWS_REGION")}
	keys := aws.Credentials{AccessKeyID: lookup("AWS_ACCESS_KEY_ID"), SecretAccessKey: lookup("AWS_SECRET_ACCESS_KEY"),
		SessionToken: lookup("AWS_SESSION_TOKEN"), Source: "environment"}
	if cfg.Region == "" || !keys.HasKeys() {
		return cfg, job.Errorf(job.Invalid, "AWS_REGION, AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is missing in the environment, where Lambda puts them")
	}
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys, nil })
	if endpoint := lookup("AWS_ENDPOINT_URL"); endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	cfg.ConfigSources = []any{endpoints(lookup)}
	return cfg, nil
}

// endpoints tells the SDK's clients of an endpoint for one service, by the
// variables that the SDK itself reads.
type endpoints func(string) string

// GetServiceBaseEndpoint is called when a client is made.
func (e endpoints) GetServiceBaseEndpoint(_ context.Context, service string) (string, bool, error) {
	url := e("AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(service, " ", "_")))
	return url, url != "", nil
}

// Main is what a function's main does: open wires everything, so that all
// clients exist before the first event is asked for, and returns what the
// Lambda runtime is to call. Main does not return. A function that cannot be
// wired says why in its log and ends.
func Main(open func(ctx context.Context) (handler any, err error)) {
	handler, err := open(context.Background())
	if err != nil {
		slog.New(slog.NewJSONHandler(os.Stderr, nil)).Error("cannot start", "err", err)
		os.Exit(1)
	}
	lambda.Start(handler)
}
