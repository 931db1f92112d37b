package busevents_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"drover/internal/event"
	"drover/internal/event/busevents"
	"drover/internal/job"
)

// bus answers call after call; the last answer is that of all further calls.
type bus struct {
	answers []answer
	calls   []*eventbridge.PutEventsInput
}

type answer struct {
	err    error  // the call fails
	code   string // the entry is refused
	failed int32
}

func (b *bus) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	b.calls = append(b.calls, in)
	a := b.answers[min(len(b.calls), len(b.answers))-1]
	if a.err != nil {
		return nil, a.err
	}
	out := &eventbridge.PutEventsOutput{FailedEntryCount: a.failed, Entries: []types.PutEventsResultEntry{{}}}
	if a.code != "" {
		out.FailedEntryCount = 1
		out.Entries[0] = types.PutEventsResultEntry{ErrorCode: &a.code, ErrorMessage: aws.String("no")}
	} else if a.failed == 0 {
		out.Entries[0].EventId = aws.String("id")
	}
	return out, nil
}

func TestPublish_RetriesWhatMayPass(t *testing.T) {
	throttled := answer{err: &smithy.GenericAPIError{Code: "ThrottlingException"}}
	tests := []struct {
		name    string
		answers []answer
		calls   int
		want    job.Code
	}{
		{"taken", []answer{{}}, 1, ""},
		{"the call is throttled, then taken", []answer{throttled, throttled, {}}, 3, ""},
		{"the entry is throttled, then taken", []answer{{code: "ThrottlingException"}, {}}, 2, ""},
		{"the entry fails inside, then taken", []answer{{code: "InternalFailure"}, {}}, 2, ""},
		{"refused without a reason, then taken", []answer{{failed: 1}, {}}, 2, ""},
		{"throttled to the end", []answer{throttled}, 5, job.Exhausted},
		{"the entry is throttled to the end", []answer{{code: "ThrottlingException"}}, 5, job.Exhausted},
		{"the entry fails inside to the end", []answer{{code: "InternalFailure"}}, 5, job.Unavailable},
		{"the entry is malformed", []answer{{code: "MalformedDetail"}}, 1, job.Unavailable},
		{"denied", []answer{{err: &smithy.GenericAPIError{Code: "AccessDeniedException"}}}, 1, job.Unavailable},
		{"no network, tried by the client already", []answer{{err: errors.New("dial")}}, 1, job.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &bus{answers: tt.answers}
			var pauses []time.Duration
			s := open(t, busevents.Config{Client: b, Bus: "b",
				Jitter: func() float64 { return 0.5 },
				Sleep:  func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }})
			err := s.Publish(t.Context(), event.Event{ID: "e1", Kind: event.RunEnded})
			if job.CodeOf(err) != tt.want || len(b.calls) != tt.calls {
				t.Errorf("%d calls, %v; want %d calls, code %q", len(b.calls), err, tt.calls, tt.want)
			}
			if len(pauses) != tt.calls-1 {
				t.Fatalf("%d pauses between %d calls", len(pauses), tt.calls)
			}
			for i, d := range pauses {
				if want := 50 * time.Millisecond << i; d != want {
					t.Errorf("pause %d: %v, want %v", i, d, want)
				}
			}
		})
	}
}

func TestPublish_EndsWithItsContext(t *testing.T) {
	b := &bus{answers: []answer{{code: "ThrottlingException"}}}
	ctx, stop := context.WithCancel(t.Context())
	stopping := open(t, busevents.Config{Client: b, Bus: "b", Sleep: func(ctx context.Context, _ time.Duration) error {
		stop()
		return ctx.Err()
	}})
	if err := stopping.Publish(ctx, event.Event{ID: "e1"}); job.CodeOf(err) != job.Canceled || len(b.calls) != 1 {
		t.Errorf("ended in a pause: %d calls, %v", len(b.calls), err)
	}
	b.answers = []answer{{err: context.Canceled}}
	if err := open(t, busevents.Config{Client: b, Bus: "b"}).Publish(ctx, event.Event{ID: "e1"}); job.CodeOf(err) != job.Canceled {
		t.Errorf("ended in a call: %v", err)
	}
}

func TestPublish_Sends(t *testing.T) {
	b := &bus{answers: []answer{{}}}
	at := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)
	if err := open(t, busevents.Config{Client: b, Bus: "the-bus"}).Publish(t.Context(), event.Event{ID: "e1", Kind: event.HostKeyChanged, Time: at, Tenant: "t", Device: "d"}); err != nil {
		t.Fatal(err)
	}
	e := b.calls[0].Entries[0]
	if aws.ToString(e.EventBusName) != "the-bus" || aws.ToString(e.Source) != "drover" ||
		aws.ToString(e.DetailType) != "host_key.changed" || !aws.ToTime(e.Time).Equal(at) {
		t.Errorf("sent %q %q %q %v", aws.ToString(e.EventBusName), aws.ToString(e.Source), aws.ToString(e.DetailType), e.Time)
	}
	if got, want := aws.ToString(e.Detail), `{"id":"e1","kind":"host_key.changed","time":"2026-11-21T01:02:03Z","tenant":"t","device":"d"}`; got != want {
		t.Errorf("detail %s, want %s", got, want)
	}
}

func TestPublish_Size(t *testing.T) {
	e := event.Event{ID: "e1", Kind: event.RunEnded}
	b := &bus{answers: []answer{{}}}
	s := open(t, busevents.Config{Client: b, Bus: "b"})
	if err := s.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	size := len("drover") + len(e.Kind) + len(aws.ToString(b.calls[0].Entries[0].Detail)) + len(`,"detail":""`) + 14
	e.Detail = strings.Repeat("x", 256*1024-size)
	if err := s.Publish(t.Context(), e); err != nil {
		t.Errorf("exactly 256 KiB: %v", err)
	}
	e.Detail += "x"
	if err := s.Publish(t.Context(), e); job.CodeOf(err) != job.Invalid || len(b.calls) != 2 {
		t.Errorf("one byte more: %d calls, %v", len(b.calls), err)
	}
}

func TestNew_WantsABus(t *testing.T) {
	for _, c := range []busevents.Config{{}, {Bus: "b"}, {Client: &bus{}}} {
		if _, err := busevents.New(c); job.CodeOf(err) != job.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func open(t *testing.T, c busevents.Config) *busevents.Sink {
	t.Helper()
	s, err := busevents.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
