package task

import (
	"fmt"

	"drover/internal/job"
)

// The errors that a task returns. The state machine and the local driver match
// them by the names of their types, which is why they are returned as they
// are, never wrapped, and why the names are frozen.
type (
	// ThrottledError says that a service in use was throttled: try again
	// later, many times.
	ThrottledError struct{ Message string }
	// InvalidInputError says that the input is wrong or names no run: trying
	// again does not help.
	InvalidInputError struct{ Message string }
	// VersionError says that the input is of a newer version than this one.
	VersionError struct{ Message string }
	// InternalError is everything else: try again a few times.
	InternalError struct{ Message string }
)

func (e ThrottledError) Error() string    { return e.Message }
func (e InvalidInputError) Error() string { return e.Message }
func (e VersionError) Error() string      { return e.Message }
func (e InternalError) Error() string     { return e.Message }

// ErrorNames lists the names of all errors that a task returns.
func ErrorNames() []string {
	return []string{"ThrottledError", "InvalidInputError", "VersionError", "InternalError"}
}

// exit is the one way out of a task for errors.
func exit(err error) error {
	if err == nil {
		return nil
	}
	switch err.(type) {
	case VersionError:
		return err
	}
	switch job.CodeOf(err) {
	case job.Exhausted:
		return ThrottledError{err.Error()}
	case job.Invalid, job.NotFound:
		return InvalidInputError{err.Error()}
	}
	return InternalError{err.Error()}
}

// check refuses inputs that no run can have.
func check(version int, tenant, run string) error {
	if version > Version {
		return VersionError{fmt.Sprintf("the input has version %d, this is %d", version, Version)}
	}
	if tenant == "" || run == "" {
		return job.Errorf(job.Invalid, "tenant and run are required")
	}
	return nil
}
