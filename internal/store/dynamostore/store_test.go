package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/storetest"
)

func TestStore_Conforms(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Harness {
		client, table := newTable(t, http.DefaultTransport)
		return storetest.Harness{
			Open: func(t testing.TB, clock func() time.Time) store.Driver {
				s, err := Open(Options{Client: client, Table: table, Clock: clock})
				if err != nil {
					t.Fatalf("Open: %v", err)
				}
				return s
			},
			Without: map[storetest.Capability]string{
				storetest.Sweep:  "DynamoDB removes expired rows itself, by its time-to-live",
				storetest.Backup: "DynamoDB has backups of its own",
			},
		}
	})
}

func openLossy(t *testing.T, target string) (*Store, *lossy) {
	wire := &lossy{next: http.DefaultTransport, target: target}
	client, table := newTable(t, wire)
	s, err := Open(Options{Client: client, Table: table})
	if err != nil {
		t.Fatal(err)
	}
	return s, wire
}

var (
	k1 = store.Key{Partition: "p", Sort: "1"}
	k2 = store.Key{Partition: "p", Sort: "2"}
)

func mustGet(t *testing.T, s *Store, k store.Key) store.Row {
	t.Helper()
	rows, err := s.Get(t.Context(), k)
	if err != nil || len(rows) != 1 {
		t.Fatalf("Get: %v, %v; want one row", rows, err)
	}
	return rows[0]
}

func TestPut_RecognisesItselfWhenItsAnswerWasLost(t *testing.T) {
	s, wire := openLossy(t, "PutItem")
	for _, lost := range []int32{1, 2} {
		wire.lose.Store(lost)
		rev, err := s.Put(t.Context(), store.Row{Key: k1, Value: []byte("1")}, store.IfMissing())
		if err != nil || wire.lose.Load() >= 0 {
			t.Fatalf("create, %d answers lost: %v (left %d)", lost, err, wire.lose.Load())
		}
		if got := mustGet(t, s, k1).Rev; got != rev {
			t.Fatalf("answered revision %q; the row has %q", rev, got)
		}
		wire.lose.Store(lost)
		if rev, err = s.Put(t.Context(), store.Row{Key: k1, Value: []byte("2")}, store.IfRev(rev)); err != nil {
			t.Fatalf("replace, %d answers lost: %v", lost, err)
		}
		if r := mustGet(t, s, k1); r.Rev != rev || string(r.Value) != "2" {
			t.Fatalf("answered revision %q; the row is %+v", rev, r)
		}
		if err := s.Delete(t.Context(), k1, store.IfRev(rev)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPut_ALostAnswerHidesNoRealConflict(t *testing.T) {
	s, wire := openLossy(t, "PutItem")
	if _, err := s.Put(t.Context(), store.Row{Key: k1, Value: []byte("theirs")}, store.IfMissing()); err != nil {
		t.Fatal(err)
	}
	wire.lose.Store(1)
	_, err := s.Put(t.Context(), store.Row{Key: k1, Value: []byte("mine")}, store.IfMissing())
	if job.CodeOf(err) != job.Conflict {
		t.Fatalf("got %v; want a conflict", err)
	}
	if r := mustGet(t, s, k1); string(r.Value) != "theirs" {
		t.Fatalf("the row holds %q", r.Value)
	}
}

func TestAtomic_RecognisesItselfWhenItsAnswerWasLost(t *testing.T) {
	s, wire := openLossy(t, "TransactWriteItems")
	wire.lose.Store(1)
	ops := []store.Op{
		{Kind: store.OpPut, Row: store.Row{Key: k1}, Cond: store.IfMissing()},
		{Kind: store.OpPut, Row: store.Row{Key: k2}, Cond: store.IfMissing()},
	}
	if err := s.Atomic(t.Context(), ops...); err != nil || wire.lose.Load() >= 0 {
		t.Fatalf("group: %v", err)
	}
	if err := s.Atomic(t.Context(), ops...); job.CodeOf(err) != job.Conflict {
		t.Fatalf("the same group as another call: %v; want a conflict", err)
	}
	rev := mustGet(t, s, k1).Rev
	wire.lose.Store(1)
	if err := s.Delete(t.Context(), k1, store.IfRev(rev)); err != nil || wire.lose.Load() >= 0 {
		t.Fatalf("conditional delete: %v", err)
	}
	if rows, err := s.Get(t.Context(), k1); err != nil || len(rows) != 0 {
		t.Fatalf("after the delete: %v, %v", rows, err)
	}
}

func TestAdd_CountsOnceWhenItsAnswerWasLost(t *testing.T) {
	s, wire := openLossy(t, "UpdateItem")
	for want := int64(1); want <= 3; want++ {
		wire.lose.Store(1)
		if got, err := s.Add(t.Context(), k1, 1, time.Time{}); err != nil || got != want {
			t.Fatalf("got %d, %v; want %d", got, err, want)
		}
	}
}

func TestWrites_AreUnavailableWhenNothingAnswers(t *testing.T) {
	s, wire := openLossy(t, "PutItem")
	wire.lose.Store(maxAttempts)
	_, err := s.Put(t.Context(), store.Row{Key: k1}, store.Always())
	if job.CodeOf(err) != job.Unavailable || !errors.Is(err, errLost) {
		t.Fatalf("got %v; want Unavailable", err)
	}
}

func TestOpen_WithoutATable(t *testing.T) {
	client, _ := newTable(t, http.DefaultTransport)
	if _, err := Open(Options{Client: client}); job.CodeOf(err) != job.Invalid {
		t.Fatalf("no name: %v", err)
	}
	s, err := Open(Options{Client: client, Table: "nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), k1); job.CodeOf(err) != job.Unavailable {
		t.Fatalf("missing table: %v; want Unavailable", err)
	}
}

func TestGet_RefusesForeignItems(t *testing.T) {
	client, table := newTable(t, http.DefaultTransport)
	s, err := Open(Options{Client: client, Table: table})
	if err != nil {
		t.Fatal(err)
	}
	it := keyItem(rowPrefix, k1)
	it["somebody"] = text("else's")
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: it}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), k1); job.CodeOf(err) != job.Corrupt {
		t.Fatalf("got %v; want Corrupt", err)
	}
}

func canceled(codes ...string) error {
	e := &types.TransactionCanceledException{}
	for _, c := range codes {
		e.CancellationReasons = append(e.CancellationReasons, types.CancellationReason{Code: aws.String(c)})
	}
	return &smithy.OperationError{ServiceID: "DynamoDB", OperationName: "TransactWriteItems", Err: e}
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err   error
		code  job.Code
		again aws.Ternary // whether the retryer is told something of it
	}{
		{&types.ConditionalCheckFailedException{}, job.Conflict, aws.UnknownTernary},
		{&types.ProvisionedThroughputExceededException{}, job.Exhausted, aws.UnknownTernary},
		{&types.RequestLimitExceeded{}, job.Exhausted, aws.UnknownTernary},
		{&types.ThrottlingException{}, job.Exhausted, aws.UnknownTernary},
		{&types.TransactionConflictException{}, job.Exhausted, aws.TrueTernary},
		{&types.TransactionInProgressException{}, job.Exhausted, aws.UnknownTernary},
		{&types.ReplicatedWriteConflictException{}, job.Exhausted, aws.UnknownTernary},
		{&types.ResourceNotFoundException{}, job.Unavailable, aws.UnknownTernary},
		{&types.InternalServerError{}, job.Unavailable, aws.UnknownTernary},
		{&smithy.GenericAPIError{Code: "AccessDeniedException"}, job.Unavailable, aws.UnknownTernary},
		{&smithy.GenericAPIError{Code: "ValidationException"}, job.Internal, aws.UnknownTernary},
		{errLost, job.Unavailable, aws.UnknownTernary},
		{canceled("None", "ConditionalCheckFailed"), job.Conflict, aws.FalseTernary},
		{canceled("TransactionConflict", "ConditionalCheckFailed"), job.Conflict, aws.FalseTernary},
		{canceled("None", "TransactionConflict"), job.Exhausted, aws.TrueTernary},
		{canceled("ThrottlingError"), job.Exhausted, aws.TrueTernary},
		{canceled("ProvisionedThroughputExceeded", "None"), job.Exhausted, aws.TrueTernary},
		{canceled("ValidationError", "TransactionConflict"), job.Internal, aws.FalseTernary},
		{canceled("ItemCollectionSizeLimitExceeded"), job.Internal, aws.FalseTernary},
		{fmt.Errorf("deep: %w", &types.ConditionalCheckFailedException{}), job.Conflict, aws.UnknownTernary},
	} {
		if got := codeOf(c.err); got != c.code {
			t.Errorf("%v: code %q; want %q", c.err, got, c.code)
		}
		if got := collided(c.err); got != c.again {
			t.Errorf("%v: again %v; want %v", c.err, got, c.again)
		}
	}
}

// answering answers every request with one error of DynamoDB's.
type answering struct {
	status int
	body   string
	calls  int
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.calls++
	return response(r, a.status, a.body), nil
}

func TestThrottled_IsExhaustedAfterBoundedTries(t *testing.T) {
	synctest.Test(t, testThrottled_IsExhaustedAfterBoundedTries)
}

func testThrottled_IsExhaustedAfterBoundedTries(t *testing.T) {
	for _, body := range []string{
		`{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}`,
		`{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":"busy"}`,
		`{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"busy","CancellationReasons":[{"Code":"TransactionConflict"}]}`,
	} {
		wire := &answering{status: http.StatusBadRequest, body: body}
		s := openOn(t, wire)
		_, err := s.Put(t.Context(), store.Row{Key: k1}, store.IfMissing())
		if job.CodeOf(err) != job.Exhausted || wire.calls != maxAttempts {
			t.Errorf("%s: %v after %d calls; want Exhausted after %d", body, err, wire.calls, maxAttempts)
		}
	}
}

func TestCanceled_WhileWaitingToTryAgain(t *testing.T) {
	synctest.Test(t, testCanceled_WhileWaitingToTryAgain)
}

func testCanceled_WhileWaitingToTryAgain(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	s := openOn(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		stop()
		return response(r, http.StatusBadRequest, `{"__type":"x#ThrottlingException"}`), nil
	}))
	if _, err := s.Put(ctx, store.Row{Key: k1}, store.IfMissing()); job.CodeOf(err) != job.Canceled {
		t.Fatalf("got %v; want Canceled", err)
	}
}

func TestGet_AsksAgainForUnprocessedKeys(t *testing.T) {
	synctest.Test(t, testGet_AsksAgainForUnprocessedKeys)
}

func testGet_AsksAgainForUnprocessedKeys(t *testing.T) {
	left := `{"Responses":{},"UnprocessedKeys":{"t":{"Keys":[{"pk":{"B":"cnA="},"sk":{"B":"MQ=="}},{"pk":{"B":"cnA="},"sk":{"B":"Mg=="}}],"ConsistentRead":true}}}`
	one := `{"Responses":{"t":[{"pk":{"B":"cnA="},"sk":{"B":"MQ=="},"v":{"B":"MQ=="},"rev":{"S":"a"}}]},"UnprocessedKeys":{"t":{"Keys":[{"pk":{"B":"cnA="},"sk":{"B":"Mg=="}}]}}}`
	two := `{"Responses":{"t":[{"pk":{"B":"cnA="},"sk":{"B":"Mg=="},"v":{"B":""},"rev":{"S":"b"}}]},"UnprocessedKeys":{}}`
	answers := []string{left, one, left, two}
	s := openOn(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		body := answers[0]
		answers = answers[1:]
		return response(r, http.StatusOK, body), nil
	}))
	rows, err := s.Get(t.Context(), k1, k2)
	if err != nil || len(rows) != 2 || rows[0].Key != k1 || rows[1].Key != k2 || len(answers) != 0 {
		t.Fatalf("got %v, %v; %d answers left", rows, err, len(answers))
	}
	stuck := openOn(t, roundTripper(func(r *http.Request) (*http.Response, error) { return response(r, http.StatusOK, left), nil }))
	if _, err := stuck.Get(t.Context(), k1, k2); job.CodeOf(err) != job.Exhausted {
		t.Fatalf("no progress: %v; want Exhausted", err)
	}
}
