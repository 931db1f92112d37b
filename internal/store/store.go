// Package store keeps everything that Drover remembers: the fleet, jobs and
// runs, results, pinned host keys, users, the audit record. Store is a concrete
// type that owns all meaning (keys, encodings, atomic groups); a small Driver
// below it only moves bytes.
//
// Guarantees: a write is durable before its method returns; a record that was
// changed since it was read is never overwritten (job.Conflict); what belongs
// together is written in one atomic group or not at all; a missing thing is
// job.NotFound, never a nil error.
//
// Not guaranteed: that a listing is a snapshot. A page shows each row as it was
// when the page was read.
package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"drover/internal/job"
)

// Options configure a Store.
type Options struct {
	// Clock returns the time; nil means time.Now.
	Clock func() time.Time
	// Keep is how long a run is kept after its end; 0 keeps it for ever.
	Keep time.Duration
}

// Store is safe for use by many goroutines at once.
type Store struct {
	d     Driver
	clock func() time.Time
	keep  time.Duration
}

// New returns a Store over a driver. Close closes the driver too.
func New(d Driver, o Options) *Store {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Store{d: d, clock: o.Clock, keep: o.Keep}
}

// Close closes the driver.
func (s *Store) Close() error { return s.d.Close() }

// Driver returns the driver, for its optional abilities (Sweeper, Backuper).
func (s *Store) Driver() Driver { return s.d }

// Now returns the store's time in UTC.
func (s *Store) Now() time.Time { return s.clock().UTC() }

// PageQuery asks for part of a listing. Limit 0 means 100; the most is
// MaxPageRows. After is the Next of the page before.
type PageQuery struct {
	Limit int
	After string
}

func (q PageQuery) limit() int {
	switch {
	case q.Limit <= 0:
		return 100
	case q.Limit > MaxPageRows:
		return MaxPageRows
	}
	return q.Limit
}

// get reads one row.
func (s *Store) get(ctx context.Context, k Key) (Row, error) {
	rows, err := s.d.Get(ctx, k)
	if err != nil {
		return Row{}, err
	}
	if len(rows) == 0 {
		return Row{}, job.Errorf(job.NotFound, "not found")
	}
	return rows[0], nil
}

// getAll reads any number of rows, in batches, by key.
func (s *Store) getAll(ctx context.Context, keys []Key) (map[Key]Row, error) {
	found := make(map[Key]Row, len(keys))
	for len(keys) > 0 {
		n := min(len(keys), MaxBatch)
		rows, err := s.d.Get(ctx, keys[:n]...)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			found[r.Key] = r
		}
		keys = keys[n:]
	}
	return found, nil
}

// encode marshals a record. Records are plain structs: failing is a defect.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: %T does not encode: %v", v, err))
	}
	return b
}

func decode[T any](r Row) (T, error) {
	var v T
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return v, job.Wrap(job.Corrupt, err, "row %s | %s cannot be read", r.Key.Partition, r.Key.Sort)
	}
	return v, nil
}

// Counter adds delta to an installation-wide counter and returns its value. The
// counter starts again at 0 after expires.
func (s *Store) Counter(ctx context.Context, name string, delta int64, expires time.Time) (int64, error) {
	return s.d.Add(ctx, Key{"counter", name}, delta, expires)
}

// Setting returns a small installation-wide value.
func (s *Store) Setting(ctx context.Context, name string) ([]byte, error) {
	r, err := s.get(ctx, Key{"setting", name})
	return r.Value, err
}

// PutSettingIfMissing stores a value unless there is one, and returns the one
// that is stored now.
func (s *Store) PutSettingIfMissing(ctx context.Context, name string, value []byte) ([]byte, error) {
	_, err := s.d.Put(ctx, Row{Key: Key{"setting", name}, Value: value}, IfMissing())
	if err == nil {
		return value, nil
	}
	if job.CodeOf(err) != job.Conflict {
		return nil, err
	}
	return s.Setting(ctx, name)
}
