// Package dynamostore keeps the store's rows in one DynamoDB table, without
// secondary indexes.
//
// Partition and sort keys are binary attributes, which DynamoDB orders by
// unsigned bytes; the partition is led by a letter that keeps counters apart
// from rows. A row's revision is a random token chosen by the writer. That is
// also how a write recognises itself: when the answer to a conditional write
// was lost and its repetition meets the condition's failure, the row carries the
// token of this very call, and the write is reported as the success it was.
//
// Expired rows are filtered by every read and every condition; the table's
// time-to-live on attribute exp removes them in DynamoDB's own time.
package dynamostore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	mathrand "math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/law"
)

// The attributes of an item. The first three are what a deployment must agree
// on with this package: both keys are of type B (binary), and time-to-live is
// switched on for AttrExpires.
const (
	AttrPartition = "pk"
	AttrSort      = "sk"
	AttrExpires   = "exp" // N, seconds since 1970

	attrValue   = "v"   // B
	attrRev     = "rev" // S
	attrCount   = "n"   // N, counters only
	attrCounted = "tok" // S, counters only: the call that counted last
)

const (
	rowPrefix     = "r"
	counterPrefix = "c"
)

// Options tell Open what to use. Client and Table are required.
type Options struct {
	Client *dynamodb.Client
	Table  string
	Clock  func() time.Time // for expiry; default time.Now
}

// Store is a store.Driver on one table. It needs the rights GetItem,
// BatchGetItem, Query, PutItem, UpdateItem, DeleteItem and ConditionCheckItem.
type Store struct {
	client  *dynamodb.Client
	table   *string
	clock   func() time.Time
	retries func(*dynamodb.Options)
	closed  atomic.Bool
}

var _ store.Driver = (*Store)(nil)

// Open returns the store. It does not call DynamoDB: a missing table shows at
// the first call, as Unavailable.
func Open(o Options) (*Store, error) {
	if o.Client == nil || o.Table == "" {
		return nil, job.Errorf(job.Invalid, "dynamostore needs a client and the name of a table")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	retryer := newRetryer()
	return &Store{
		client:  o.Client,
		table:   aws.String(o.Table),
		clock:   o.Clock,
		retries: func(o *dynamodb.Options) { o.Retryer = retryer },
	}, nil
}

// maxAttempts bounds the tries of one call: with the pauses of backoff it gives
// up within three seconds, and later only while the table throttles.
const maxAttempts = 8

// backoff is the pause before another try: full jitter under a doubling bound.
func backoff(attempt int) time.Duration {
	return mathrand.N(min(25*time.Millisecond<<min(attempt, 16), time.Second))
}

// newRetryer returns the SDK's adaptive retryer, which slows down while the
// table throttles, and which also tries transactions that collided again.
func newRetryer() aws.Retryer {
	return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
		o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) {
			o.MaxAttempts = maxAttempts
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) { return backoff(attempt), nil })
			o.RateLimiter = ratelimit.None // bounded by attempts; a quota shared by all calls would fail calls that never failed before
			o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(collided)}, o.Retryables...)
		})
	})
}

// Close ends the store. Calls after it fail as Unavailable.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

// ready refuses calls on a closed store or with an ended context.
func (s *Store) ready(ctx context.Context) error {
	if s.closed.Load() {
		return job.Errorf(job.Unavailable, "the store is closed")
	}
	return law.Context(ctx)
}

// TableSpec returns the request that creates the table for a test or a local
// emulator. A deployment's template says the same.
func TableSpec(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(name),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(AttrPartition), AttributeType: types.ScalarAttributeTypeB},
			{AttributeName: aws.String(AttrSort), AttributeType: types.ScalarAttributeTypeB},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(AttrPartition), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(AttrSort), KeyType: types.KeyTypeRange},
		},
	}
}

type item = map[string]types.AttributeValue

func keyItem(prefix string, k store.Key) item {
	return item{AttrPartition: binary(prefix + k.Partition), AttrSort: binary(k.Sort)}
}

func binary(s string) types.AttributeValue { return &types.AttributeValueMemberB{Value: []byte(s)} }
func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func newItem(r store.Row, rev string) item {
	it := keyItem(rowPrefix, r.Key)
	value := r.Value
	if value == nil {
		value = []byte{}
	}
	it[attrValue] = &types.AttributeValueMemberB{Value: value}
	it[attrRev] = text(rev)
	if sec := law.Seconds(r.Expires); sec != 0 {
		it[AttrExpires] = number(sec)
	}
	return it
}

// readItem decodes a row. expires is its expiry in seconds, for the caller to judge.
func readItem(it item) (r store.Row, expires int64, err error) {
	pk, ok1 := it[AttrPartition].(*types.AttributeValueMemberB)
	sk, ok2 := it[AttrSort].(*types.AttributeValueMemberB)
	value, ok3 := it[attrValue].(*types.AttributeValueMemberB)
	rev := textOf(it, attrRev)
	if !ok1 || !ok2 || !ok3 || rev == "" || len(pk.Value) <= len(rowPrefix) {
		return store.Row{}, 0, job.Errorf(job.Corrupt, "the table holds an item that is not a row of Drover")
	}
	if expires, err = numberOf(it, AttrExpires); err != nil {
		return store.Row{}, 0, err
	}
	return store.Row{
		Key:     store.Key{Partition: string(pk.Value[len(rowPrefix):]), Sort: string(sk.Value)},
		Value:   value.Value,
		Rev:     rev,
		Expires: law.Time(expires),
	}, expires, nil
}

func textOf(it item, name string) string {
	if v, ok := it[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

// numberOf returns a number, 0 when the attribute is missing.
func numberOf(it item, name string) (int64, error) {
	v, ok := it[name]
	if !ok {
		return 0, nil
	}
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0, job.Errorf(job.Corrupt, "the table holds an item whose attribute %s is not a number", name)
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return 0, job.Wrap(job.Corrupt, err, "the table holds an item whose attribute %s is not a whole number", name)
	}
	return i, nil
}

// token returns 16 random characters: a revision, or the name of a call.
func token() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// condition is a store.Cond in DynamoDB's words; nil when it always holds.
type condition struct {
	expression *string
	values     item
}

// The values of an expression.
const (
	valNow   = ":now"
	valRev   = ":rev"
	live     = "(attribute_not_exists(" + AttrExpires + ") OR " + AttrExpires + " > " + valNow + ")"
	isThere  = "attribute_exists(" + AttrPartition + ") AND " + live
	isAbsent = "attribute_not_exists(" + AttrPartition + ") OR " + AttrExpires + " <= " + valNow
	isAtRev  = attrRev + " = " + valRev + " AND " + live
)

func (s *Store) condition(c store.Cond) *condition {
	var out *condition
	set := func(expression string, rev ...string) {
		out = &condition{aws.String(expression), item{valNow: number(s.clock().Unix())}}
		if len(rev) > 0 {
			out.values[valRev] = text(rev[0])
		}
	}
	c.Switch(
		func() {},
		func() { set(isAbsent) },
		func(rev string) { set(isAtRev, rev) },
		func() { set(isThere) },
	)
	return out
}

// fail gives an error of the SDK its code. The texts of DynamoDB go to the
// cause, for the log.
func (s *Store) fail(ctx context.Context, err error, doing string) error {
	if ctx.Err() != nil {
		return job.Wrap(job.Canceled, err, "the call was given up; whether a write arrived is not known")
	}
	return job.Wrap(codeOf(err), err, "%s in table %s", doing, *s.table)
}

func codeOf(err error) job.Code {
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		switch {
		case hasReason(canceled, "ConditionalCheckFailed"):
			return job.Conflict
		case collided(err) == aws.TrueTernary:
			return job.Exhausted
		}
		return job.Internal
	}
	var api interface{ ErrorCode() string }
	if !errors.As(err, &api) {
		return job.Unavailable // no answer from DynamoDB
	}
	switch api.ErrorCode() {
	case "ConditionalCheckFailedException":
		return job.Conflict
	case "ThrottlingException", "Throttling", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
		"TransactionConflictException", "TransactionInProgressException", "ReplicatedWriteConflictException":
		return job.Exhausted
	case "ValidationException", "IdempotentParameterMismatchException", "ItemCollectionSizeLimitExceededException":
		return job.Internal // the request was ours to get right
	}
	return job.Unavailable // no such table, no right to it, or a fault of the service
}

// collided reports whether an error is a collision of transactions or the
// throttling of one, and nothing else: worth another try.
func collided(err error) aws.Ternary {
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		again := hasReason(canceled, "TransactionConflict") || hasReason(canceled, "ThrottlingError") ||
			hasReason(canceled, "ProvisionedThroughputExceeded")
		for _, final := range []string{"ConditionalCheckFailed", "ValidationError", "ItemCollectionSizeLimitExceeded"} {
			again = again && !hasReason(canceled, final)
		}
		return aws.BoolTernary(again)
	}
	var conflict *types.TransactionConflictException
	if errors.As(err, &conflict) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

func hasReason(c *types.TransactionCanceledException, code string) bool {
	for _, r := range c.CancellationReasons {
		if aws.ToString(r.Code) == code {
			return true
		}
	}
	return false
}
