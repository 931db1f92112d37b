package job

import (
	"errors"
	"fmt"
)

// Code classifies an error for programs. Callers act on the code, never on
// the text of a message.
type Code string

// The codes. They are few on purpose; a new one needs a caller that acts on it.
const (
	Invalid         Code = "invalid"         // the request itself is wrong; Error.Field names where
	NotFound        Code = "not_found"       // no such thing, or not visible to this principal
	AlreadyExists   Code = "already_exists"  // a create met an existing thing
	Conflict        Code = "conflict"        // the thing changed meanwhile (a condition did not hold)
	KeyReused       Code = "key_reused"      // the idempotency key was used with another body
	Unauthenticated Code = "unauthenticated" // no valid credentials
	Forbidden       Code = "forbidden"       // valid credentials, not allowed
	Disabled        Code = "disabled"        // the service is switched off
	TooLarge        Code = "too_large"       // over a documented size limit
	Unsupported     Code = "unsupported"     // understood, and not offered
	Exhausted       Code = "exhausted"       // throttled; worth trying again later
	Unavailable     Code = "unavailable"     // a part that is needed does not answer
	Canceled        Code = "canceled"        // the caller's context ended
	Corrupt         Code = "corrupt"         // stored data cannot be read
	Internal        Code = "internal"        // a defect of ours
)

// Error is the one error type of the module: what kind (Code), what to tell a
// person (Message), which input field if one is to blame (Field), and the
// cause for the log (Err). Message never holds a secret.
type Error struct {
	Code    Code
	Message string
	Field   string
	Err     error
}

// Error returns the message, led by the field when there is one and followed
// by the cause when there is one.
func (e *Error) Error() string {
	s := e.Message
	if s == "" {
		s = string(e.Code)
	}
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error without a cause.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// FieldErrorf returns an Invalid error that blames one input field.
func FieldErrorf(field, format string, args ...any) *Error {
	return &Error{Code: Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error with a cause. The message says what was being done.
func Wrap(code Code, err error, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}

// CodeOf returns the code of the outermost Error in err's chain, "" for nil,
// and Internal for anything else.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// MessageOf returns what a caller may be shown: the message and field of an
// Error without its cause, and a bland sentence for anything else.
func MessageOf(err error) string {
	var e *Error
	if !errors.As(err, &e) || e.Code == Internal {
		return "internal error"
	}
	return (&Error{Code: e.Code, Message: e.Message, Field: e.Field}).Error()
}
