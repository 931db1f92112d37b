package cloud

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

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

// Connect makes the clients that every function needs. The SDK reads region,
// credentials and AWS_ENDPOINT_URL from the environment. It calls nothing.
func (b Base) Connect(ctx context.Context, function string) (Clients, error) {
	c := Clients{Log: slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: b.Level})).With("function", function)}
	var err error
	if c.AWS, err = config.LoadDefaultConfig(ctx); err != nil {
		return c, err
	}
	driver, err := dynamostore.Open(dynamostore.Options{Client: dynamodb.NewFromConfig(c.AWS), Table: b.Table})
	if err != nil {
		return c, err
	}
	c.Store = store.New(driver, store.Options{Clock: time.Now, Keep: b.Keep})
	return c, nil
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
