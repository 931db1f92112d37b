// Package search is a language in which people select things: devices for a
// job, runs in a listing. A query is parsed into a tree once and then asked
// about one thing at a time; what can be asked about is a Schema's business.
//
// The grammar is the subset of scoped_search that foreman.md 7 describes, as
// its real parser reads it. Lenient reading degrades a broken query as that
// parser does, which can widen it; Strict refuses every query that would be
// degraded, and is what must be used where a query selects what a command runs on.
// What both accept means the same in both.
//
// A field may have several values. It is equal to, like or in what one of them
// is; it is not equal, unlike or not in when none of them is and there is one.
package search

import (
	"fmt"
	"time"
	"unicode/utf8"

	"drover/internal/job"
)

// What a query may have at most, so that neither reading it nor asking it takes
// long.
const (
	MaxQuery      = 256 << 10 // bytes; a list of names may be long
	MaxConditions = 256       // comparisons and bare words; a list of values is one
	MaxDepth      = 64        // parentheses and negations within each other
	MaxPattern    = 1 << 10   // bytes of a value of ~ and !~
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

// String is the type's name in messages.
func (t Type) String() string {
	switch t {
	case Text:
		return "string"
	case Time:
		return "datetime"
	case Bool:
		return "boolean"
	}
	return "integer" // an Enum's values stand for numbers
}

// Field describes what can be asked about.
type Field struct {
	Name    string // as in a query; of a field with keys the part before the dot
	Type    Type
	Default bool     // searched by bare words; of use for Text and Integer
	Keyed   bool     // takes a key after a dot: params.site
	Values  []string // of an Enum
	// ID says that only whole numbers are valid values (E13 otherwise).
	ID bool
	// User says that the value current_user stands for who asks.
	User bool
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
type Query struct {
	holds  func(thing any) bool
	values map[string][]string
}

// Error is why a query is refused: a message for a person and where, as a byte
// offset into the query. It is returned inside a job.Error with code Invalid and
// field "search", whose own message says the place too.
type Error struct {
	At      int
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func refuse(at int, format string, args ...any) *Error {
	return &Error{At: at, Message: fmt.Sprintf(format, args...)}
}

// Compile parses a query and checks its fields, operators and values against a
// schema. An empty query matches everything, in Lenient mode only.
func Compile(query string, schema Schema, mode Mode, env Env) (*Query, error) {
	q, err := compile(query, schema, mode, env)
	if err != nil {
		return nil, &job.Error{Code: job.Invalid, Field: "search", Message: fmt.Sprintf("%s (at byte %d)", err.Message, err.At), Err: err}
	}
	return q, nil
}

func compile(query string, schema Schema, mode Mode, env Env) (*Query, *Error) {
	if len(query) > MaxQuery {
		return nil, refuse(MaxQuery, "the query has %d bytes, more than %d", len(query), MaxQuery)
	}
	if !utf8.ValidString(query) {
		return nil, refuse(badByte(query), "the query is not UTF-8")
	}
	tree, err := parse(query, mode)
	if err != nil {
		return nil, err
	}
	c := compiler{schema: schema, mode: mode, env: env, values: map[string][]string{}}
	holds, err := c.tree(tree)
	if err != nil {
		return nil, err
	}
	return &Query{holds: holds, values: c.values}, nil
}

func badByte(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return len(s)
}

// Match reports whether a thing meets the query.
func (q *Query) Match(thing any) bool { return q.holds(thing) }

// Values returns what the query compares a field with, by =, != , in or not in:
// for schemas whose values have to be fetched first. A field with keys is named
// with its key.
func (q *Query) Values(field string) []string { return q.values[field] }
