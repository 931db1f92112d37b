package store

import (
	"context"
	"time"
)

// Driver keeps rows. It is the small port below Store: ordered partitions of
// opaque values with conditional writes. Every driver passes the suite in
// package storetest, which states these laws as tests.
//
// All methods honour ctx, may be called by many goroutines at once, and return
// errors of type *job.Error: Conflict where a condition did not hold,
// Exhausted where the service throttles, TooLarge over a limit below,
// Canceled where ctx ended, Unavailable where the medium fails (disk full
// included), Invalid for a foreign cursor. A write is durable before it is
// answered. Values in and out are copies.
type Driver interface {
	// Get reads up to MaxBatch rows, consistently each, in any order of
	// answer. Rows that are missing or expired are left out: missing is
	// the caller's to notice (Store turns it into job.NotFound).
	Get(ctx context.Context, keys ...Key) ([]Row, error)

	// Put writes one row if cond holds and returns its new revision.
	Put(ctx context.Context, row Row, cond Cond) (rev string, err error)

	// Delete removes one row if cond holds. Deleting a missing row without
	// a condition succeeds.
	Delete(ctx context.Context, key Key, cond Cond) error

	// Query returns rows of one partition in byte order of Sort. A page
	// holds at most q.Limit rows (default and maximum 1,000) and about
	// 1 MiB; Page.Next is "" on the last one and otherwise goes into
	// q.After. Rows written while paging neither repeat nor hide others.
	Query(ctx context.Context, q Query) (Page, error)

	// Atomic does all of up to MaxAtomic operations or none. A row may
	// appear once only. Conflict names no row.
	Atomic(ctx context.Context, ops ...Op) error

	// Add adds delta to the counter at key (0 when missing) and returns
	// the new value. Counters are not rows: Get and Query do not show
	// them. expires as in Row, set anew by every call. A delta of 0 only
	// reads: it writes nothing and leaves the expiry as it is.
	Add(ctx context.Context, key Key, delta int64, expires time.Time) (int64, error)

	// Close releases what Open acquired. Calls after it fail.
	Close() error
}

// Limits of the strictest driver, enforced by all.
const (
	MaxBatch     = 100
	MaxAtomic    = 100
	MaxKeyBytes  = 1024      // each of Partition and Sort; neither is empty
	MaxRowBytes  = 380 << 10 // of Value
	MaxPageRows  = 1000
	MaxGroupSize = 4 << 20 // sum of values of one Atomic
)

// Key names a row.
type Key struct {
	Partition string
	Sort      string
}

// Row is one stored value. Rev is set by the driver: a token that differs
// after every write of the row. Expires is a time in whole seconds after which
// the row reads as missing (the zero time: never), even before it is swept.
type Row struct {
	Key     Key
	Value   []byte
	Rev     string
	Expires time.Time
}

// Cond is a condition on the row as it is now. An expired row counts as missing.
type Cond struct {
	kind condKind
	rev  string
}

type condKind int

const (
	condNone condKind = iota
	condMissing
	condRev
	condExists
)

// Always holds.
func Always() Cond { return Cond{} }

// IfMissing holds when there is no such row.
func IfMissing() Cond { return Cond{kind: condMissing} }

// IfRev holds when the row is there at this revision.
func IfRev(rev string) Cond { return Cond{kind: condRev, rev: rev} }

// IfExists holds when the row is there.
func IfExists() Cond { return Cond{kind: condExists} }

// Switch lets a driver act on the kind of condition without seeing its
// representation: exactly one of the functions is called.
func (c Cond) Switch(always, missing func(), rev func(string), exists func()) {
	switch c.kind {
	case condMissing:
		missing()
	case condRev:
		rev(c.rev)
	case condExists:
		exists()
	default:
		always()
	}
}

// Holds reports whether the condition holds for a row that is there at
// revision rev, or missing.
func (c Cond) Holds(there bool, rev string) bool {
	switch c.kind {
	case condMissing:
		return !there
	case condRev:
		return there && rev == c.rev
	case condExists:
		return there
	}
	return true
}

// Query selects rows of a partition.
type Query struct {
	Partition string
	From      string // first Sort, inclusive; "": from the start
	To        string // first Sort not included; "": to the end
	Reverse   bool   // descending
	Limit     int
	After     string // Page.Next of the page before, with the same query
}

// Page is part of a query's answer.
type Page struct {
	Rows []Row
	Next string
}

// OpKind is what an Op does.
type OpKind int

// The operations of an atomic group.
const (
	OpPut OpKind = iota
	OpDelete
	OpCheck // no write: the condition must hold
)

// Op is one operation of an atomic group. Delete and Check use Row.Key only.
type Op struct {
	Kind OpKind
	Row  Row
	Cond Cond
}

// Sweeper is an optional ability: a driver whose medium does not remove
// expired rows by itself removes up to limit of them per call and returns how
// many it removed.
type Sweeper interface {
	Sweep(ctx context.Context, now time.Time, limit int) (int, error)
}

// Backuper is an optional ability: a driver that can write a consistent copy
// of everything while it serves.
type Backuper interface {
	Backup(ctx context.Context, w interface{ Write([]byte) (int, error) }) (int64, error)
}
