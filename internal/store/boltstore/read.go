package boltstore

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/law"
)

// view runs a read transaction. What a damaged page does to bbolt becomes Corrupt.
func (s *Store) view(ctx context.Context, read func(*bbolt.Tx) error) (err error) {
	if err := law.Context(ctx); err != nil {
		return err
	}
	tx, err := s.db.Begin(false)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return errClosed()
	}
	if err != nil {
		return job.Wrap(job.Unavailable, err, "cannot read the data file")
	}
	defer rollback(tx)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverCorrupt(s.path, &err)
	return read(tx)
}

// Get implements store.Driver.
func (s *Store) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	keys, err := law.Keys(keys)
	if err != nil {
		return nil, err
	}
	rows := make([]store.Row, 0, len(keys))
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		b, now := tx.Bucket(bucketRows), s.clock()
		for _, k := range keys {
			stored := b.Get(rowKey(k))
			if stored == nil {
				continue
			}
			rev, expires, value, err := decodeRow(stored)
			if err != nil {
				return err
			}
			if !law.Expired(expires, now) {
				rows = append(rows, readRow(k, rev, expires, value))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func readRow(k store.Key, rev uint64, expires int64, value []byte) store.Row {
	return store.Row{Key: k, Value: append([]byte{}, value...), Rev: revToken(rev), Expires: law.Time(expires)}
}

// Query implements store.Driver.
func (s *Store) Query(ctx context.Context, q store.Query) (store.Page, error) {
	r, err := law.Resolve(q)
	if err != nil {
		return store.Page{}, err
	}
	var page store.Page
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		if r.Empty {
			return nil
		}
		prefix := partitionKey(nil, r.Partition)
		now, size, seen := s.clock(), 0, 0
		w := newWalk(tx.Bucket(bucketRows).Cursor(), prefix, r)
		for k, v := w.start(); k != nil; k, v = w.next() {
			if seen++; seen%1024 == 0 { // a long run of expired rows
				if err := law.Context(ctx); err != nil {
					return err
				}
			}
			rev, expires, value, err := decodeRow(v)
			if err != nil {
				return err
			}
			if law.Expired(expires, now) {
				continue
			}
			if len(page.Rows) == r.Limit || size >= law.PageBytes {
				page.Next = r.Cursor(page.Rows[len(page.Rows)-1].Key.Sort)
				return nil
			}
			page.Rows = append(page.Rows, readRow(store.Key{Partition: r.Partition, Sort: string(k[len(prefix):])}, rev, expires, value))
			size += len(value)
		}
		return nil
	})
	if err != nil {
		return store.Page{}, err
	}
	return page, nil
}

// walk goes through a range of a partition in either direction.
type walk struct {
	c        *bbolt.Cursor
	prefix   []byte
	from, to []byte // to is nil when the range is open
	reverse  bool
}

func newWalk(c *bbolt.Cursor, prefix []byte, r law.Range) *walk {
	w := &walk{c: c, prefix: prefix, reverse: r.Reverse}
	w.from = append(append([]byte{}, prefix...), r.From...)
	if r.To != "" {
		w.to = append(append([]byte{}, prefix...), r.To...)
	}
	return w
}

func (w *walk) start() (k, v []byte) {
	if !w.reverse {
		return w.bounded(w.c.Seek(w.from))
	}
	end := w.to
	if end == nil {
		end = after(w.prefix)
	}
	if k, _ = w.c.Seek(end); k == nil {
		return w.bounded(w.c.Last())
	}
	return w.bounded(w.c.Prev())
}

func (w *walk) next() (k, v []byte) {
	if w.reverse {
		return w.bounded(w.c.Prev())
	}
	return w.bounded(w.c.Next())
}

func (w *walk) bounded(k, v []byte) ([]byte, []byte) {
	if !bytes.HasPrefix(k, w.prefix) || bytes.Compare(k, w.from) < 0 || (w.to != nil && bytes.Compare(k, w.to) >= 0) {
		return nil, nil
	}
	return k, v
}

// after returns the smallest key above every key with this prefix. A prefix
// starts with the length of a partition, at most 1,024: it is never all 0xff.
func after(prefix []byte) []byte {
	end := append([]byte{}, prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// counter returns a counter's value, which is Add of nothing.
func (s *Store) counter(ctx context.Context, key store.Key) (value int64, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketCounters).Get(rowKey(key))
		if b == nil {
			return nil
		}
		n, expires, err := decodeCounter(b)
		if err == nil && !law.Expired(expires, s.clock()) {
			value = n
		}
		return err
	})
	return value, err
}
