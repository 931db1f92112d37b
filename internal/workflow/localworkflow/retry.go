package localworkflow

import (
	"reflect"
	"slices"
	"time"
)

// Retrier is a rule for calling a task again after an error: one element of a
// Retry field in Amazon States Language, with full jitter.
type Retrier struct {
	// Errors are the names that the rule is for; AnyError matches all.
	Errors []string
	// Interval is the longest wait before the first retry. It doubles with
	// every further one, up to MaxDelay.
	Interval time.Duration
	MaxDelay time.Duration
	// Attempts is how many retries there are; 0: such an error is final.
	Attempts int
}

// AnyError is the name that matches every error.
const AnyError = "States.ALL"

// DefaultRetry is the Retry field of every task in statemachines/run.asl.json,
// less the names that only Lambda gives to errors. A test compares the two.
func DefaultRetry() []Retrier {
	return []Retrier{
		{Errors: []string{"ThrottledError"}, Interval: time.Second, MaxDelay: 20 * time.Second, Attempts: 30},
		{Errors: []string{"InvalidInputError", "VersionError"}},
		{Errors: []string{AnyError}, Interval: 2 * time.Second, MaxDelay: 20 * time.Second, Attempts: 4},
	}
}

// wait is the longest wait before the retry that follows n earlier ones.
func (r Retrier) wait(n int) time.Duration {
	d := r.Interval
	for ; n > 0 && d < r.MaxDelay; n-- {
		d *= 2
	}
	return min(d, r.MaxDelay)
}

// match returns the index of the first retrier for an error, -1 if none is. As
// in the state machine the first match decides: one that is used up is not
// followed by another.
func match(rs []Retrier, name string) int {
	return slices.IndexFunc(rs, func(r Retrier) bool {
		return slices.Contains(r.Errors, name) || slices.Contains(r.Errors, AnyError)
	})
}

// errorName is the name by which Step Functions would know an error: the type
// of the outermost one, as the Go runtime of Lambda reports it. What an error
// wraps does not count.
func errorName(err error) string {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}
