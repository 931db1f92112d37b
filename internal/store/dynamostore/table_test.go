package dynamostore

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"drover/internal/job"
	"drover/internal/store"
)

// The results of a large run lie in as many partitions as were planned, evenly,
// and reading them page by page gives each once, in order, also where a page of
// DynamoDB ends at its 1 MB.
func TestResults_SpreadOverShards(t *testing.T) {
	client, table := newTable(t, http.DefaultTransport)
	d, err := Open(Options{Client: client, Table: table})
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(d, store.Options{Clock: time.Now})
	total := 3*store.ResultsPerShard + 1
	run := job.Run{ID: "r", Tenant: "a", Total: total, Shards: store.ShardsFor(total)}
	if run.Shards != 4 {
		t.Fatalf("%d shards for %d devices, want 4", run.Shards, total)
	}
	var want []int
	for i := 2880; i < total; i++ {
		want = append(want, i)
		if _, err := s.PutResult(t.Context(), run, job.Result{Index: i, Status: job.ResultFailed, Message: strings.Repeat("x", 40_000)}); err != nil {
			t.Fatal(err)
		}
	}

	held := map[string]int{}
	for pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ProjectionExpression: aws.String(AttrPartition)}); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range page.Items {
			held[string(it[AttrPartition].(*types.AttributeValueMemberB).Value)]++
		}
	}
	if len(held) != 4 {
		t.Fatalf("rows in %d partitions, want 4: %v", len(held), held)
	}
	for partition, n := range held {
		if n < len(want)/4 || n > len(want)/4+1 {
			t.Errorf("partition %q holds %d of %d rows", partition, n, len(want))
		}
	}

	for _, limit := range []int{7, 60, store.MaxPageRows} {
		var got []int
		for from := 0; ; from = got[len(got)-1] + 1 {
			rs, err := s.Results(t.Context(), run, from, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(rs) == 0 {
				break
			}
			for _, r := range rs {
				got = append(got, r.Index)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d results, want %d in order: %v", limit, len(got), len(want), got)
		}
	}
}

// DynamoDB itself, told which attribute is the time to live, removes a row that
// has expired and one that has not stays.
func TestExpired_IsRemovedByTheTable(t *testing.T) {
	client, table := newTable(t, http.DefaultTransport)
	if _, err := client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(AttrExpires), Enabled: aws.Bool(true)}}); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Client: client, Table: table})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for key, expires := range map[store.Key]time.Time{k1: now.Add(-time.Minute), k2: now.Add(time.Hour)} {
		if _, err := s.Put(t.Context(), store.Row{Key: key, Value: []byte("v"), Expires: expires}, store.Always()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Add(t.Context(), k1, 1, now.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	left := func() (keys []string) {
		out, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range out.Items {
			keys = append(keys, fmt.Sprintf("%s%s", it[AttrPartition].(*types.AttributeValueMemberB).Value, it[AttrSort].(*types.AttributeValueMemberB).Value))
		}
		return keys
	}
	limit := time.Now().Add(time.Minute)
	for !slices.Equal(left(), []string{"rp2"}) {
		if time.Now().After(limit) {
			t.Fatalf("after a minute the table holds %q; want the row that has not expired", left())
		}
		time.Sleep(100 * time.Millisecond) // another process: there is nothing to wait on
	}
}

// While the table throttles, the client sends less, calls included that were not
// refused themselves. (In real time: with a clock that stands still between
// sleeps, the SDK's limiter waits for a rounding error for ever.)
func TestThrottled_SlowsDown(t *testing.T) {
	throttle := false
	s := openOn(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		if throttle {
			return response(r, http.StatusBadRequest, `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}`), nil
		}
		return response(r, http.StatusOK, `{}`), nil
	}))
	put := func() (time.Duration, error) {
		ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer stop()
		began := time.Now()
		_, err := s.Put(ctx, store.Row{Key: k1}, store.Always())
		return time.Since(began), err
	}
	for range 100 {
		if _, err := put(); err != nil {
			t.Fatal(err)
		}
	}
	// How much one throttled call takes off the rate depends on the rate, which a
	// loaded machine measures differently: throttled again and again, any client that
	// adapts is slow in the end.
	var slow time.Duration
	for range 20 {
		throttle = true
		if _, err := put(); err == nil {
			t.Fatal("a throttled call succeeded")
		}
		throttle, slow = false, 0
		for range 5 {
			d, _ := put() // in time or not
			slow += d
		}
		if slow >= 500*time.Millisecond {
			return
		}
	}
	t.Errorf("after throttling five calls took %v: they did not slow down", slow)
}
