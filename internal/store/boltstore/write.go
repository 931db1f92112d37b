package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/law"
)

// txn is the transaction that a group of changes shares. Its methods never
// fail for one change's fault; what bbolt refuses fails the whole group.
type txn struct {
	rows, expiry, counters *bbolt.Bucket
	now                    time.Time
	dirty                  bool
	fatal                  error
}

func (t *txn) note(err error) {
	if err != nil && t.fatal == nil {
		t.fatal = err
	}
}

func (t *txn) put(b *bbolt.Bucket, key, value []byte) {
	t.dirty = true
	t.note(b.Put(key, value))
}

func (t *txn) remove(b *bbolt.Bucket, key []byte) {
	t.dirty = true
	t.note(b.Delete(key))
}

// reindex moves an entry of the expiry index.
func (t *txn) reindex(kind byte, key []byte, before, after int64) {
	if before == after {
		return
	}
	if before != 0 {
		t.remove(t.expiry, indexKey(before, kind, key))
	}
	if after != 0 {
		t.put(t.expiry, indexKey(after, kind, key), nil)
	}
}

// found is what a change sees of a row before it writes.
type found struct {
	key     []byte
	stored  bool  // there may be an expired row: missing, and still in the file
	expires int64 // of what is stored
}

// check reads a row and tests the condition on it.
func (t *txn) check(k store.Key, cond store.Cond) (found, error) {
	f := found{key: rowKey(k)}
	there, rev := false, ""
	if b := t.rows.Get(f.key); b != nil {
		n, expires, _, err := decodeRow(b)
		if err != nil {
			return f, err
		}
		f.stored, f.expires = true, expires
		there, rev = !law.Expired(expires, t.now), revToken(n)
	}
	if !cond.Holds(there, rev) {
		return f, job.Errorf(job.Conflict, "the row was changed by somebody else")
	}
	return f, nil
}

func (t *txn) putRow(f found, r store.Row) uint64 {
	rev, err := t.rows.NextSequence()
	t.note(err)
	expires := law.Seconds(r.Expires)
	t.reindex(kindRow, f.key, f.expires, expires)
	t.put(t.rows, f.key, encodeRow(rev, expires, r.Value))
	return rev
}

func (t *txn) deleteRow(f found) {
	if f.stored {
		t.reindex(kindRow, f.key, f.expires, 0)
		t.remove(t.rows, f.key)
	}
}

// Put implements store.Driver.
func (s *Store) Put(ctx context.Context, row store.Row, cond store.Cond) (string, error) {
	if err := law.Row(row); err != nil {
		return "", err
	}
	var rev uint64
	err := s.committer.do(ctx, len(row.Value), func(t *txn) error {
		f, err := t.check(row.Key, cond)
		if err == nil {
			rev = t.putRow(f, row)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return revToken(rev), nil
}

// Delete implements store.Driver.
func (s *Store) Delete(ctx context.Context, key store.Key, cond store.Cond) error {
	if err := law.Key(key); err != nil {
		return err
	}
	return s.committer.do(ctx, 0, func(t *txn) error {
		f, err := t.check(key, cond)
		if err == nil {
			t.deleteRow(f)
		}
		return err
	})
}

// Atomic implements store.Driver.
func (s *Store) Atomic(ctx context.Context, ops ...store.Op) error {
	if err := law.Group(ops); err != nil {
		return err
	}
	bytes := 0
	for _, op := range ops {
		bytes += len(op.Row.Value)
	}
	return s.committer.do(ctx, bytes, func(t *txn) error {
		at := make([]found, len(ops))
		for i, op := range ops {
			f, err := t.check(op.Row.Key, op.Cond)
			if err != nil {
				return err
			}
			at[i] = f
		}
		for i, op := range ops {
			switch op.Kind {
			case store.OpPut:
				t.putRow(at[i], op.Row)
			case store.OpDelete:
				t.deleteRow(at[i])
			}
		}
		return nil
	})
}

// Add implements store.Driver.
func (s *Store) Add(ctx context.Context, key store.Key, delta int64, expires time.Time) (int64, error) {
	if err := law.Key(key); err != nil {
		return 0, err
	}
	if delta == 0 {
		return s.counter(ctx, key)
	}
	var sum int64
	err := s.committer.do(ctx, 0, func(t *txn) error {
		k, after := rowKey(key), law.Seconds(expires)
		var value, before int64
		if b := t.counters.Get(k); b != nil {
			var err error
			if value, before, err = decodeCounter(b); err != nil {
				return err
			}
			if law.Expired(before, t.now) {
				value = 0
			}
		}
		sum = value + delta
		t.reindex(kindCounter, k, before, after)
		t.put(t.counters, k, encodeCounter(sum, after))
		return nil
	})
	return sum, err
}

// Sweep implements store.Sweeper: it removes rows and counters that have
// expired at now, the oldest first.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (int, error) {
	removed := 0
	for removed < limit {
		n, err := s.sweepSome(ctx, now, min(limit-removed, 500)) // short transactions: others wait for each
		removed += n
		if err != nil || n == 0 {
			return removed, err
		}
	}
	return removed, nil
}

func (s *Store) sweepSome(ctx context.Context, now time.Time, limit int) (int, error) {
	removed := 0
	err := s.committer.do(ctx, 0, func(t *txn) error {
		due := make([][]byte, 0, limit) // collected first: a cursor does not survive deletions
		c := t.expiry.Cursor()
		for k, _ := c.First(); k != nil && len(due) < limit; k, _ = c.Next() {
			if len(k) <= indexHead {
				return job.Errorf(job.Corrupt, "the data file holds an entry of %d bytes in its expiry index", len(k))
			}
			if !law.Expired(int64(binary.BigEndian.Uint64(k)), now) {
				break
			}
			due = append(due, append([]byte(nil), k...))
		}
		for _, k := range due {
			from := t.rows
			if k[8] == kindCounter {
				from = t.counters
			}
			t.remove(from, k[indexHead:])
			t.remove(t.expiry, k)
		}
		removed = len(due)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// commit applies a group of changes in one transaction, makes it durable and
// answers every member: its own error when it was refused, and for all alike
// when the transaction fails.
func (s *Store) commit(group []*change) {
	errs := make([]error, len(group))
	began := time.Now() // a measure, not the store's time
	failed := s.transact(group, errs)
	s.committed(len(group), time.Since(began), failed)
	for i, ch := range group {
		if failed != nil {
			ch.done <- failed
			continue
		}
		ch.done <- errs[i]
	}
}

func (s *Store) transact(group []*change, errs []error) (failed error) {
	if b := s.broken.Load(); b != nil {
		return b
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		return job.Wrap(job.Unavailable, err, "cannot write to the data file")
	}
	defer func() {
		if r := recover(); r != nil {
			failed = s.poison(corrupt(s.path, fmt.Errorf("%v", r)))
			rollback(tx)
		}
	}()
	t := &txn{rows: tx.Bucket(bucketRows), expiry: tx.Bucket(bucketExpiry), counters: tx.Bucket(bucketCounters), now: s.clock()}
	for i, ch := range group {
		errs[i] = ch.apply(t)
	}
	if t.fatal != nil || !t.dirty {
		rollback(tx)
		if t.fatal != nil {
			return job.Wrap(job.Internal, t.fatal, "the data file refused a write")
		}
		return nil
	}
	id := tx.ID()
	if err := tx.Commit(); err != nil {
		rollback(tx)
		return s.commitFailed(id, err)
	}
	return nil
}

// commitFailed decides what a failed commit leaves. Nearly always nothing: the
// disk was full before the new root was written, and the next commit may
// succeed. When the new root reached the file and only its sync failed, what
// the disk holds is not known: nothing is written any more until the file was
// opened afresh.
func (s *Store) commitFailed(id int, cause error) error {
	s.log.Error("a commit failed", "err", cause)
	visible := 0
	if err := s.db.View(func(tx *bbolt.Tx) error { visible = tx.ID(); return nil }); err != nil || visible >= id {
		return s.poison(job.Wrap(job.Unavailable, cause, "the disk failed while the data file was written; restart to see what it holds"))
	}
	return job.Wrap(job.Unavailable, cause, "cannot write to the data file %s", s.path)
}

func (s *Store) poison(err *job.Error) error {
	if s.broken.CompareAndSwap(nil, err) {
		s.log.Error("the data file is not written any more", "err", err)
	}
	return s.broken.Load()
}

// rollback ends a transaction in whatever state it is.
func rollback(tx *bbolt.Tx) {
	defer func() { _ = recover() }() // after a panic inside bbolt its own bookkeeping may fail too
	_ = tx.Rollback()
}
