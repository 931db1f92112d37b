package costtest

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"

	"drover/internal/blob"
)

// meter counts what goes to AWS.
type meter struct {
	mu       sync.Mutex
	usage    Usage
	requests map[string]int // of the table, by operation
	rows     int            // that the table answered with
	// told is what DynamoDB Local says that the same requests consumed, to judge
	// our own reckoning by.
	told float64
}

func newMeter() *meter { return &meter{usage: Usage{}, requests: map[string]int{}} }

func (m *meter) add(item Item, n float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage[item] += n
}

// reading is what a meter has counted.
type reading struct {
	usage    Usage
	requests map[string]int
	rows     int
	told     float64
}

// take returns what was counted since the last call.
func (m *meter) take() reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := reading{m.usage, m.requests, m.rows, m.told}
	m.usage, m.requests, m.rows, m.told = Usage{}, map[string]int{}, 0, 0
	return r
}

// table has the client of the table report every request with its answer.
func (m *meter) table(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("meter", func(
			ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
		) (middleware.InitializeOutput, middleware.Metadata, error) {
			ask(in.Parameters)
			out, md, err := next.HandleInitialize(ctx, in)
			m.request(middleware.GetOperationName(ctx), in.Parameters, out.Result)
			return out, md, err
		}), middleware.After)
	})
}

// ask asks for the judge's own count.
func ask(in any) {
	const all = types.ReturnConsumedCapacityTotal
	switch in := in.(type) {
	case *dynamodb.GetItemInput:
		in.ReturnConsumedCapacity = all
	case *dynamodb.BatchGetItemInput:
		in.ReturnConsumedCapacity = all
	case *dynamodb.QueryInput:
		in.ReturnConsumedCapacity = all
	case *dynamodb.PutItemInput:
		in.ReturnConsumedCapacity = all
	case *dynamodb.UpdateItemInput:
		in.ReturnConsumedCapacity = all
	case *dynamodb.DeleteItemInput:
		in.ReturnConsumedCapacity = all
	case *dynamodb.TransactWriteItemsInput:
		in.ReturnConsumedCapacity = all
	}
}

type item = map[string]types.AttributeValue

// size is how many bytes DynamoDB counts for an item.
func size(it item) int {
	n := 0
	for name, v := range it {
		n += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberB:
			n += len(v.Value)
		case *types.AttributeValueMemberS:
			n += len(v.Value)
		case *types.AttributeValueMemberN:
			n += (len(v.Value)+1)/2 + 1
		}
	}
	return n
}

// units is how many units of a size n bytes are, at least one.
func units(n, unit int) float64 { return float64(max(1, (n+unit-1)/unit)) }

const (
	readUnit  = 4 << 10
	writeUnit = 1 << 10
)

// request reckons one request by the sizes of its items. A deletion is taken for
// one unit: what this store deletes by itself are small rows.
func (m *meter) request(operation string, in, out any) {
	var reads, writes, told float64
	rows := 0
	capacity := func(c *types.ConsumedCapacity) {
		if c != nil {
			told += aws.ToFloat64(c.CapacityUnits)
		}
	}
	switch in := in.(type) {
	case *dynamodb.GetItemInput:
		if out, ok := out.(*dynamodb.GetItemOutput); ok && out != nil {
			reads = units(size(out.Item), readUnit)
			rows += min(1, len(out.Item))
			capacity(out.ConsumedCapacity)
		}
	case *dynamodb.BatchGetItemInput:
		if out, ok := out.(*dynamodb.BatchGetItemOutput); ok && out != nil {
			asked, found := 0, 0
			for _, k := range in.RequestItems {
				asked += len(k.Keys)
			}
			for _, items := range out.Responses {
				found += len(items)
				for _, it := range items {
					reads += units(size(it), readUnit)
				}
			}
			reads += float64(asked - found) // a missing item is a unit too
			rows += found
			for _, c := range out.ConsumedCapacity {
				capacity(&c)
			}
		}
	case *dynamodb.QueryInput:
		if out, ok := out.(*dynamodb.QueryOutput); ok && out != nil {
			n := 0
			for _, it := range out.Items {
				n += size(it)
			}
			reads = units(n, readUnit)
			rows += len(out.Items)
			capacity(out.ConsumedCapacity)
		}
	case *dynamodb.PutItemInput:
		writes = units(size(in.Item), writeUnit)
		if out, ok := out.(*dynamodb.PutItemOutput); ok && out != nil {
			capacity(out.ConsumedCapacity)
		}
	case *dynamodb.UpdateItemInput:
		writes = 1
		if out, ok := out.(*dynamodb.UpdateItemOutput); ok && out != nil {
			capacity(out.ConsumedCapacity)
		}
	case *dynamodb.DeleteItemInput:
		writes = 1
		if out, ok := out.(*dynamodb.DeleteItemOutput); ok && out != nil {
			capacity(out.ConsumedCapacity)
		}
	case *dynamodb.TransactWriteItemsInput:
		for _, it := range in.TransactItems {
			n := 1
			if it.Put != nil {
				n = size(it.Put.Item)
			}
			writes += 2 * units(n, writeUnit)
		}
		if out, ok := out.(*dynamodb.TransactWriteItemsOutput); ok && out != nil {
			for _, c := range out.ConsumedCapacity {
				capacity(&c)
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[operation]++
	m.usage[TableReads] += reads
	m.usage[TableWrites] += writes
	m.rows += rows
	m.told += told
}

// bucket counts the requests to a bucket.
type bucket struct {
	blob.Bucket
	m *meter
}

func (b bucket) Put(ctx context.Context, name string, data []byte) error {
	b.m.add(ObjectWrites, 1)
	return b.Bucket.Put(ctx, name, data)
}

func (b bucket) Get(ctx context.Context, name string) ([]byte, error) {
	b.m.add(ObjectReads, 1)
	return b.Bucket.Get(ctx, name)
}

// keys counts calls to KMS. What it wraps is as open as before: the test has no
// secrets.
type keys struct{ m *meter }

func (k keys) Encrypt(_ context.Context, in *kms.EncryptInput, _ ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	k.m.add(KeyCalls, 1)
	return &kms.EncryptOutput{CiphertextBlob: in.Plaintext}, nil
}

func (k keys) Decrypt(_ context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	k.m.add(KeyCalls, 1)
	return &kms.DecryptOutput{Plaintext: in.CiphertextBlob}, nil
}

// eventOverhead is what CloudWatch Logs adds to the bytes of every line.
const eventOverhead = 26

// logWriter counts the bytes of a function's log; a Write is a line.
type logWriter struct{ m *meter }

func (w logWriter) Write(p []byte) (int, error) {
	w.m.add(LogBytes, float64(len(p)+eventOverhead))
	return len(p), nil
}

// What Lambda itself writes into the log of a function.
const (
	platformStart  = "START RequestId: 8f5a2ec1-5e4a-4f0e-8c55-3f8a0c1b2d3e Version: $LATEST\n"
	platformEnd    = "END RequestId: 8f5a2ec1-5e4a-4f0e-8c55-3f8a0c1b2d3e\n"
	platformReport = "REPORT RequestId: 8f5a2ec1-5e4a-4f0e-8c55-3f8a0c1b2d3e\tDuration: 10034.12 ms\tBilled Duration: 10035 ms\tMemory Size: 256 MB\tMax Memory Used: 64 MB\t\n"
	platformTrace  = "XRAY TraceId: 1-67a0b1c2-0123456789abcdef01234567\tSegmentId: 0123456789abcdef\tSampled: true\t\n"
	platformInit   = "INIT_START Runtime Version: provided:al2023.v100\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
	// gatewayLine is a line of the HTTP API's access log.
	gatewayLine = `{"requestId":"Abcdefgh1234567=","ip":"203.0.113.10","requestTime":"21/Nov/2026:12:00:00 +0000","httpMethod":"POST","routeKey":"POST /rest/run_service","status":"200","protocol":"HTTP/1.1","responseLength":"512","integrationLatency":"41"}` + "\n"
)

func lines(texts ...string) float64 {
	n := 0
	for _, t := range texts {
		n += len(t) + eventOverhead
	}
	return float64(n)
}
