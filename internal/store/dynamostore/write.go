package dynamostore

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/law"
)

const returnOld = types.ReturnValuesOnConditionCheckFailureAllOld

// Put implements store.Driver. When the answer to a write was lost and another
// writer replaced the row before it was repeated, it is a Conflict although it
// took place for that moment; nobody can tell then.
func (s *Store) Put(ctx context.Context, row store.Row, cond store.Cond) (string, error) {
	if err := s.ready(ctx); err != nil {
		return "", err
	}
	if err := law.Row(row); err != nil {
		return "", err
	}
	rev := token()
	in := &dynamodb.PutItemInput{TableName: s.table, Item: newItem(row, rev)}
	if c := s.condition(cond); c != nil {
		in.ConditionExpression, in.ExpressionAttributeValues = c.expression, c.values
		in.ReturnValuesOnConditionCheckFailure = returnOld
	}
	_, err := s.client.PutItem(ctx, in, s.retries)
	var refused *types.ConditionalCheckFailedException
	if errors.As(err, &refused) && textOf(refused.Item, attrRev) == rev {
		return rev, nil // the row that stands in the way is this call's own
	}
	if err != nil {
		return "", s.fail(ctx, err, "cannot write a row")
	}
	return rev, nil
}

// Delete implements store.Driver. With a condition it is a transaction of one,
// because only transactions recognise their own repetition when they leave
// nothing behind.
func (s *Store) Delete(ctx context.Context, key store.Key, cond store.Cond) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := law.Key(key); err != nil {
		return err
	}
	if s.condition(cond) != nil {
		return s.Atomic(ctx, store.Op{Kind: store.OpDelete, Row: store.Row{Key: key}, Cond: cond})
	}
	_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: s.table, Key: keyItem(rowPrefix, key)}, s.retries)
	if err != nil {
		return s.fail(ctx, err, "cannot delete a row")
	}
	return nil
}

// Atomic implements store.Driver.
func (s *Store) Atomic(ctx context.Context, ops ...store.Op) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := law.Group(ops); err != nil {
		return err
	}
	rev := token() // one for the whole group: revisions are compared within a row only
	items := make([]types.TransactWriteItem, 0, len(ops))
	for _, op := range ops {
		if it, ok := s.transactItem(op, rev); ok {
			items = append(items, it)
		}
	}
	if len(items) == 0 {
		return nil
	}
	_, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems: items, ClientRequestToken: aws.String(rev)}, s.retries)
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		for _, r := range canceled.CancellationReasons {
			if textOf(r.Item, attrRev) == rev {
				return nil // it took place whole, and this is its repetition
			}
		}
	}
	if err != nil {
		return s.fail(ctx, err, "cannot write a group of rows")
	}
	return nil
}

// transactItem translates an operation; a check that always holds is none.
func (s *Store) transactItem(op store.Op, rev string) (types.TransactWriteItem, bool) {
	c := s.condition(op.Cond)
	if c == nil {
		c = &condition{}
	}
	switch op.Kind {
	case store.OpPut:
		put := &types.Put{TableName: s.table, Item: newItem(op.Row, rev),
			ConditionExpression: c.expression, ExpressionAttributeValues: c.values}
		if c.expression != nil {
			put.ReturnValuesOnConditionCheckFailure = returnOld
		}
		return types.TransactWriteItem{Put: put}, true
	case store.OpDelete:
		return types.TransactWriteItem{Delete: &types.Delete{TableName: s.table, Key: keyItem(rowPrefix, op.Row.Key),
			ConditionExpression: c.expression, ExpressionAttributeValues: c.values}}, true
	default:
		return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: s.table, Key: keyItem(rowPrefix, op.Row.Key),
			ConditionExpression: c.expression, ExpressionAttributeValues: c.values}}, c.expression != nil
	}
}

// What a call of Add finds in its way.
const (
	notCounted = "(attribute_not_exists(" + attrCounted + ") OR " + attrCounted + " <> :tok)"
	countOn    = notCounted + " AND " + live
	startOver  = notCounted + " AND " + AttrExpires + " <= " + valNow
)

// Add implements store.Driver. No two calls are answered with the same value
// of a counter that only grows. A call whose answer was lost counts once, unless
// another call came between it and its repetition: then it counts twice.
func (s *Store) Add(ctx context.Context, key store.Key, delta int64, expires time.Time) (int64, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	if err := law.Key(key); err != nil {
		return 0, err
	}
	if delta == 0 {
		return s.counter(ctx, key)
	}
	tok, sec := token(), law.Seconds(expires)
	values := item{":tok": text(tok), ":delta": number(delta)}
	set, tail := "SET "+attrCounted+" = :tok", " REMOVE "+AttrExpires
	if sec != 0 {
		values[":exp"] = number(sec)
		set, tail = set+", "+AttrExpires+" = :exp", ""
	}
	steps := [...]struct{ update, condition string }{
		{set + tail + " ADD " + attrCount + " :delta", countOn},
		{set + ", " + attrCount + " = :delta" + tail, startOver}, // the counter has expired
	}
	for try := range 2 * maxAttempts {
		step := steps[try%len(steps)]
		v := maps.Clone(values)
		v[valNow] = number(s.clock().Unix())
		out, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:                           s.table,
			Key:                                 keyItem(counterPrefix, key),
			UpdateExpression:                    aws.String(step.update),
			ConditionExpression:                 aws.String(step.condition),
			ExpressionAttributeValues:           v,
			ReturnValues:                        types.ReturnValueAllNew,
			ReturnValuesOnConditionCheckFailure: returnOld,
		}, s.retries)
		var refused *types.ConditionalCheckFailedException
		switch {
		case err == nil:
			return numberOf(out.Attributes, attrCount)
		case !errors.As(err, &refused):
			return 0, s.fail(ctx, err, "cannot count")
		case textOf(refused.Item, attrCounted) == tok:
			return numberOf(refused.Item, attrCount) // counted by this call; its answer was lost
		}
	}
	return 0, job.Errorf(job.Exhausted, "a counter in table %s is in dispute", *s.table)
}

// counter returns a counter's value, which is Add of nothing.
func (s *Store) counter(ctx context.Context, key store.Key) (int64, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: s.table, Key: keyItem(counterPrefix, key), ConsistentRead: aws.Bool(true)}, s.retries)
	if err != nil {
		return 0, s.fail(ctx, err, "cannot read a counter")
	}
	expires, err := numberOf(out.Item, AttrExpires)
	if err != nil || law.Expired(expires, s.clock()) {
		return 0, err
	}
	return numberOf(out.Item, attrCount)
}
