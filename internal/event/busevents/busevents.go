// Package busevents hands events to a bus of Amazon EventBridge. An event's
// source is "drover", its detail type the event's kind (event.RunEnded …), its
// detail the JSON form of event.Event: a rule can match on any of its fields.
//
// Delivery is at least once: an event whose first answer was lost is sent
// again, with the same id in its detail.
package busevents

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"drover/internal/event"
	"drover/internal/job"
)

// Source is what every event's source says. A policy may demand it
// (events:source).
const Source = "drover"

// MaxBytes is the largest entry that EventBridge takes: source, detail type,
// detail and the 14 bytes that a time counts for.
const MaxBytes = 256 << 10

const timeBytes = 14

// Attempts at one event. The pauses between them are random, up to a ceiling
// that doubles: 1.5 s altogether at most, because the caller waits.
const (
	attempts   = 5
	firstPause = 100 * time.Millisecond
)

// API is what is needed of EventBridge, and so what a function's policy must
// allow: events:PutEvents on the bus. *eventbridge.Client is one.
type API interface {
	PutEvents(context.Context, *eventbridge.PutEventsInput, ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

// Config says where events go. Client and Bus are required.
type Config struct {
	Client API
	Bus    string // name or ARN
	// Sleep waits, or returns ctx's error when that ends first; nil: a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// Jitter returns a number in [0,1); nil: math/rand.
	Jitter func() float64
}

// Sink is an event.Sink. It is safe for concurrent use and has nothing to close.
type Sink struct{ c Config }

var _ event.Sink = (*Sink)(nil)

// New returns the sink of a bus. It does not call EventBridge. No bus is
// job.Invalid.
func New(c Config) (*Sink, error) {
	if c.Client == nil || c.Bus == "" {
		return nil, job.Errorf(job.Invalid, "the event bus has no name")
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	return &Sink{c: c}, nil
}

// Publish returns when the bus has taken the event. What EventBridge refuses
// for the moment is sent again a few times. The codes of its errors: Invalid,
// larger than MaxBytes; Exhausted, throttled to the end; Canceled, ctx ended;
// Unavailable, everything else.
func (s *Sink) Publish(ctx context.Context, e event.Event) error {
	detail, err := json.Marshal(e)
	if err != nil {
		return job.Wrap(job.Internal, err, "encode event %s", e.ID)
	}
	if n := len(Source) + len(e.Kind) + len(detail) + timeBytes; n > MaxBytes {
		return job.Errorf(job.Invalid, "event %s has %d bytes, and the bus takes %d", e.ID, n, MaxBytes)
	}
	in := &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		EventBusName: &s.c.Bus,
		Source:       aws.String(Source),
		DetailType:   &e.Kind,
		Time:         &e.Time,
		Detail:       aws.String(string(detail)),
	}}}
	for attempt := 1; ; attempt++ {
		err := s.put(ctx, in)
		if err == nil {
			return nil
		}
		code, again := judge(ctx, err)
		if again && attempt < attempts {
			ceiling := firstPause << (attempt - 1)
			if s.c.Sleep(ctx, time.Duration(s.c.Jitter()*float64(ceiling))) == nil {
				continue
			}
			code = job.Canceled
		}
		return job.Wrap(code, err, "publish event %s", e.ID)
	}
}

// put makes one call. The service may answer it with success and refuse the
// entry inside: that is an error too.
func (s *Sink) put(ctx context.Context, in *eventbridge.PutEventsInput) error {
	out, err := s.c.Client.PutEvents(ctx, in)
	if err != nil {
		return err
	}
	for _, entry := range out.Entries {
		if code := aws.ToString(entry.ErrorCode); code != "" {
			return &refusedError{smithy.GenericAPIError{Code: code, Message: aws.ToString(entry.ErrorMessage)}}
		}
	}
	if out.FailedEntryCount > 0 {
		return &refusedError{smithy.GenericAPIError{Code: "InternalFailure", Message: "refused without a reason"}}
	}
	return nil
}

// refusedError is an entry that was refused in a successful answer. The SDK
// retries calls, not entries, so this one is ours to send again.
type refusedError struct{ smithy.GenericAPIError }

// judge says what an error is, and whether sending the event again can help.
// Calls that failed were tried again by the client already, except throttled
// ones, for which its patience is short.
func judge(ctx context.Context, err error) (code job.Code, again bool) {
	if ctx.Err() != nil {
		return job.Canceled, false
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return job.Unavailable, false
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; throttled {
		return job.Exhausted, true
	}
	var refused *refusedError
	if errors.As(err, &refused) && api.ErrorCode() == "InternalFailure" {
		return job.Unavailable, true
	}
	return job.Unavailable, false
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
