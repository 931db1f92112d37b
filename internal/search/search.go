// Package search is a language in which people select things: devices for a
// job, runs in a listing. A query is parsed into a tree once and then asked
// about one thing at a time; what can be asked about is a Schema's business.
//
// The grammar is the subset of scoped_search that foreman.md 7 describes, as
// its real parser reads it. Lenient reading degrades a broken query as that
// parser does, which can widen it; Strict refuses every query that would be
// degraded, and is what must be used where a query selects what a command runs on.
package search

import (
	"time"

	"drover/internal/job"
)

// Mode is how a query is read.
type Mode int

// The modes.
const (
	Strict Mode = iota
	Lenient
)

// Type is the type of a field's values.
type Type int

// The types.
const (
	Text Type = iota
	Integer
	Time
	Bool
	Enum
)

// Field describes what can be asked about.
type Field struct {
	Name    string // as in a query; of a field with keys the part before the dot
	Type    Type
	Default bool     // searched by bare words
	Keyed   bool     // takes a key after a dot: params.site
	Values  []string // of an Enum
	// ID says that only whole numbers are valid values (E13 otherwise).
	ID bool
	// Get returns the values that a thing has in the field; none means null.
	// key is "" unless Keyed. Integers are in decimal, times in RFC 3339 UTC,
	// booleans "true" or "false".
	Get func(thing any, key string) []string
}

// Schema is a set of fields under their names; an alias is a second Field.
type Schema []Field

// Env is what values in a query mean that depend on who asks and when.
type Env struct {
	Now  time.Time
	User string // what the value current_user stands for
}

// Query is a query that was understood. It is immutable.
type Query struct{}

// Error is why a query is refused: a message for a person and where, as a byte
// offset into the query. It is returned inside a job.Error with code Invalid and
// field "search".
type Error struct {
	At      int
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Compile parses a query and checks its fields, operators and values against a
// schema. An empty query matches everything, in Lenient mode only.
func Compile(query string, schema Schema, mode Mode, env Env) (*Query, error) {
	return nil, job.Errorf(job.Unsupported, "search is not available yet")
}

// Match reports whether a thing meets the query.
func (q *Query) Match(thing any) bool { return false }

// Values returns what the query compares a field with, by =, != , in or not in:
// for schemas whose values have to be fetched first.
func (q *Query) Values(field string) []string { return nil }

// SortKey says how an "order" parameter ("name DESC") sorts: the field and
// whether descending. An unknown field is an Error.
func (s Schema) SortKey(order string) (f Field, key string, descending bool, err error) {
	return Field{}, "", false, job.Errorf(job.Unsupported, "search is not available yet")
}
