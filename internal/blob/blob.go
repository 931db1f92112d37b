// Package blob is the port for large values: outputs, long scripts, backups.
// Objects are written once under a name of the caller's and never changed.
package blob

import "context"

// Bucket keeps objects. Names are slash-separated segments of the characters
// A-Z a-z 0-9 . _ = - ; no segment is empty, "." or "..". Errors are
// *job.Error: NotFound for a missing object, Invalid for a bad name, Unavailable
// where the medium fails, TooLarge over MaxBytes.
type Bucket interface {
	// Put writes an object, durably. Writing the same name again replaces it whole: a reader
	// sees the old or the new bytes, never a mixture.
	Put(ctx context.Context, name string, data []byte) error
	// Get returns an object's bytes.
	Get(ctx context.Context, name string) ([]byte, error)
	// Delete removes an object; a missing one is no error.
	Delete(ctx context.Context, name string) error
	// DeletePrefix removes every object whose name starts with prefix
	// (which ends in a slash) and returns how many.
	DeletePrefix(ctx context.Context, prefix string) (int, error)
}

// MaxBytes is the largest object.
const MaxBytes = 64 << 20
