// Package law holds what every driver of the store refuses and computes in the
// same way, so that no two drivers can differ: the limits of keys, rows and
// groups, when a row is expired, and cursors. It knows no medium.
package law

import (
	"context"
	"time"

	"drover/internal/job"
	"drover/internal/store"
)

// OpOverhead is what each operation of a group is taken to weigh beside its
// key and value.
const OpOverhead = 128

// Context returns a Canceled error when ctx has ended.
func Context(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return job.Wrap(job.Canceled, err, "the call was given up")
	}
	return nil
}

// Key checks a key: Invalid when a part is empty, TooLarge when one is too long.
func Key(k store.Key) error {
	for _, part := range [...]struct{ name, value string }{{"partition", k.Partition}, {"sort", k.Sort}} {
		if part.value == "" {
			return job.FieldErrorf(part.name, "this part of a row's key is empty")
		}
		if len(part.value) > store.MaxKeyBytes {
			return job.Errorf(job.TooLarge, "%s: this part of a row's key has %d bytes; at most %d are allowed", part.name, len(part.value), store.MaxKeyBytes)
		}
	}
	return nil
}

// Keys checks the keys of a batch read and returns them without repetitions.
func Keys(keys []store.Key) ([]store.Key, error) {
	if len(keys) > store.MaxBatch {
		return nil, job.Errorf(job.TooLarge, "%d rows asked for at once; at most %d are allowed", len(keys), store.MaxBatch)
	}
	if len(keys) == 1 {
		return keys, Key(keys[0])
	}
	once := make([]store.Key, 0, len(keys))
	seen := make(map[store.Key]struct{}, len(keys))
	for _, k := range keys {
		if err := Key(k); err != nil {
			return nil, err
		}
		if _, dup := seen[k]; !dup {
			seen[k] = struct{}{}
			once = append(once, k)
		}
	}
	return once, nil
}

// Row checks a row that is to be written.
func Row(r store.Row) error {
	if err := Key(r.Key); err != nil {
		return err
	}
	if len(r.Value) > store.MaxRowBytes {
		return job.Errorf(job.TooLarge, "a row has %d bytes; at most %d are allowed", len(r.Value), store.MaxRowBytes)
	}
	return nil
}

// Group checks the operations of an atomic group.
func Group(ops []store.Op) error {
	if len(ops) > store.MaxAtomic {
		return job.Errorf(job.TooLarge, "%d operations in one group; at most %d are allowed", len(ops), store.MaxAtomic)
	}
	size := 0
	seen := make(map[store.Key]struct{}, len(ops))
	for _, op := range ops {
		switch op.Kind {
		case store.OpPut:
			if err := Row(op.Row); err != nil {
				return err
			}
			size += len(op.Row.Value)
		case store.OpDelete, store.OpCheck:
			if err := Key(op.Row.Key); err != nil {
				return err
			}
		default:
			return job.Errorf(job.Invalid, "a group holds an unknown kind of operation (%d)", op.Kind)
		}
		if _, dup := seen[op.Row.Key]; dup {
			return job.Errorf(job.Invalid, "a row appears twice in one group")
		}
		seen[op.Row.Key] = struct{}{}
		size += len(op.Row.Key.Partition) + len(op.Row.Key.Sort) + OpOverhead
	}
	if size > store.MaxGroupSize {
		return job.Errorf(job.TooLarge, "a group weighs %d bytes; at most %d are allowed", size, store.MaxGroupSize)
	}
	return nil
}

// Seconds is a row's expiry as drivers keep it: whole seconds since 1970,
// rounded down; 0 for never. Times before 1970 are 1: long expired.
func Seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.Unix(), 1)
}

// Time is the inverse of Seconds.
func Time(sec int64) time.Time {
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, 0).UTC()
}

// Expired reports whether a row with this expiry reads as missing now: it does
// from its second on.
func Expired(sec int64, now time.Time) bool {
	return sec != 0 && now.Unix() >= sec
}
