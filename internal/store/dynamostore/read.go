package dynamostore

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/law"
)

// Get implements store.Driver. Each row is read consistently, not all at one
// moment.
func (s *Store) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	keys, err := law.Keys(keys)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	var items []item
	if len(keys) == 1 {
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: s.table, Key: keyItem(rowPrefix, keys[0]), ConsistentRead: aws.Bool(true)}, s.retries)
		if err != nil {
			return nil, s.fail(ctx, err, "cannot read a row")
		}
		if len(out.Item) > 0 {
			items = []item{out.Item}
		}
	} else if items, err = s.batch(ctx, keys); err != nil {
		return nil, err
	}
	rows := make([]store.Row, 0, len(items))
	now := s.clock()
	for _, it := range items {
		r, expires, err := readItem(it)
		if err != nil {
			return nil, err
		}
		if !law.Expired(expires, now) {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// batch reads several rows, asking again for those that DynamoDB left for
// later: an answer holds 16 MB at most, and less while it throttles.
func (s *Store) batch(ctx context.Context, keys []store.Key) ([]item, error) {
	want := make([]item, len(keys))
	for i, k := range keys {
		want[i] = keyItem(rowPrefix, k)
	}
	var items []item
	for stalled := 0; len(want) > 0; {
		out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
			*s.table: {Keys: want, ConsistentRead: aws.Bool(true)},
		}}, s.retries)
		if err != nil {
			return nil, s.fail(ctx, err, "cannot read rows")
		}
		items = append(items, out.Responses[*s.table]...)
		left := out.UnprocessedKeys[*s.table].Keys
		if len(left) < len(want) {
			stalled = 0
		} else if stalled++; stalled == maxAttempts {
			return nil, job.Errorf(job.Exhausted, "table %s throttles reads", *s.table)
		} else if err := pause(ctx, stalled); err != nil {
			return nil, err
		}
		want = left
	}
	return items, nil
}

// pause waits before another try.
func pause(ctx context.Context, attempt int) error {
	t := time.NewTimer(backoff(attempt))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return law.Context(ctx)
	}
}

// Query implements store.Driver. It reads one row more than a page holds, and
// so knows whether a page is the last one, whatever had to be filtered.
func (s *Store) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := s.ready(ctx); err != nil {
		return store.Page{}, err
	}
	r, err := law.Resolve(q)
	if err != nil || r.Empty {
		return store.Page{}, err
	}
	now := s.clock()
	in := s.queryInput(q, r, now)
	var page store.Page
	for size, ask := 0, r.Limit+2; ; ask *= 2 { // one to look ahead, one for a bound that BETWEEN includes
		in.Limit = aws.Int32(int32(min(ask-len(page.Rows), store.MaxPageRows+2)))
		out, err := s.client.Query(ctx, in, s.retries)
		if err != nil {
			return store.Page{}, s.fail(ctx, err, "cannot list rows")
		}
		for _, it := range out.Items {
			row, expires, err := readItem(it)
			if err != nil {
				return store.Page{}, err
			}
			if law.Expired(expires, now) || (q.To != "" && row.Key.Sort >= q.To) {
				continue
			}
			if len(page.Rows) == r.Limit || size >= law.PageBytes {
				page.Next = r.Cursor(page.Rows[len(page.Rows)-1].Key.Sort)
				return page, nil
			}
			page.Rows = append(page.Rows, row)
			size += len(row.Value)
		}
		if len(out.LastEvaluatedKey) == 0 {
			return page, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

func (s *Store) queryInput(q store.Query, r law.Range, now time.Time) *dynamodb.QueryInput {
	const pk, sk = AttrPartition + " = :pk", " AND " + AttrSort
	values := item{":pk": binary(rowPrefix + q.Partition), valNow: number(now.Unix())}
	condition := pk
	switch {
	case q.From != "" && q.To != "":
		condition += sk + " BETWEEN :from AND :to" // includes :to, which Query drops
	case q.From != "":
		condition += sk + " >= :from"
	case q.To != "":
		condition += sk + " < :to"
	}
	if q.From != "" {
		values[":from"] = binary(q.From)
	}
	if q.To != "" {
		values[":to"] = binary(q.To)
	}
	in := &dynamodb.QueryInput{
		TableName:                 s.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String(condition),
		FilterExpression:          aws.String(live),
		ExpressionAttributeValues: values,
		ScanIndexForward:          aws.Bool(!q.Reverse),
	}
	if r.Last != "" {
		in.ExclusiveStartKey = keyItem(rowPrefix, store.Key{Partition: q.Partition, Sort: r.Last})
	}
	return in
}
