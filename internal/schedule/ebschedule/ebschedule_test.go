package ebschedule_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/smithy-go"

	"drover/internal/job"
	"drover/internal/schedule"
	"drover/internal/schedule/ebschedule"
)

// answers is a client that answers with errors, in order.
type answers struct {
	create, update, delete []error
	calls                  []string
}

func (a *answers) next(call string, from *[]error) error {
	a.calls = append(a.calls, call)
	if len(*from) == 0 {
		return nil
	}
	err := (*from)[0]
	*from = (*from)[1:]
	return err
}

func (a *answers) CreateSchedule(context.Context, *scheduler.CreateScheduleInput, ...func(*scheduler.Options)) (*scheduler.CreateScheduleOutput, error) {
	return nil, a.next("create", &a.create)
}

func (a *answers) UpdateSchedule(context.Context, *scheduler.UpdateScheduleInput, ...func(*scheduler.Options)) (*scheduler.UpdateScheduleOutput, error) {
	return nil, a.next("update", &a.update)
}

func (a *answers) DeleteSchedule(context.Context, *scheduler.DeleteScheduleInput, ...func(*scheduler.Options)) (*scheduler.DeleteScheduleOutput, error) {
	return nil, a.next("delete", &a.delete)
}

func driver(t *testing.T, client ebschedule.API) *ebschedule.Alarms {
	t.Helper()
	a, err := ebschedule.New(ebschedule.Config{Client: client, Group: "g", Target: "arn:aws:lambda:x", Role: "arn:aws:iam::x", Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestErrors(t *testing.T) {
	exists, missing := &types.ConflictException{}, &types.ResourceNotFoundException{}
	throttled, full := &smithy.GenericAPIError{Code: "ThrottlingException"}, &smithy.GenericAPIError{Code: "ServiceQuotaExceededException"}
	other := errors.New("connection refused")
	next := time.Now().Add(time.Hour)
	set := func(a *ebschedule.Alarms) error {
		return a.Set(t.Context(), schedule.Alarm{Tenant: "a", ID: 1, Next: next, Recurrence: job.Recurrence{At: &next}})
	}
	del := func(a *ebschedule.Alarms) error { return a.Delete(t.Context(), "a", 1) }
	for _, tt := range []struct {
		why     string
		client  answers
		do      func(*ebschedule.Alarms) error
		code    job.Code
		calls   string
		tooMany bool
	}{
		{why: "a new one", do: set, calls: "create"},
		{why: "in place of one", client: answers{create: []error{exists}}, do: set, calls: "create update"},
		{why: "it went meanwhile", client: answers{create: []error{exists}, update: []error{missing}}, do: set, calls: "create update create"},
		{why: "another changes it", client: answers{create: []error{exists, exists}, update: []error{exists}}, do: set, calls: "create update create update"},
		{why: "throttled", client: answers{create: []error{throttled}}, do: set, code: job.Exhausted, calls: "create"},
		{why: "too many schedules", client: answers{create: []error{full}}, do: set, code: job.Exhausted, calls: "create"},
		{why: "the group is gone", client: answers{create: []error{missing}}, do: set, code: job.Unavailable, calls: "create"},
		{why: "the network", client: answers{create: []error{exists}, update: []error{other}}, do: set, code: job.Unavailable, calls: "create update"},
		{why: "coming and going for ever", client: answers{create: []error{exists, exists, exists, exists, exists}, update: []error{missing, missing, missing, missing, missing}},
			do: set, code: job.Unavailable, calls: strings.TrimSpace(strings.Repeat("create update ", 5))},
		{why: "delete", do: del, calls: "delete"},
		{why: "delete what is gone", client: answers{delete: []error{missing}}, do: del, calls: "delete"},
		{why: "delete, throttled", client: answers{delete: []error{throttled}}, do: del, code: job.Exhausted, calls: "delete"},
		{why: "delete, the network", client: answers{delete: []error{other}}, do: del, code: job.Unavailable, calls: "delete"},
	} {
		err := tt.do(driver(t, &tt.client))
		if got := strings.Join(tt.client.calls, " "); job.CodeOf(err) != tt.code || got != tt.calls {
			t.Errorf("%s: %v after %s; want %q after %s", tt.why, err, got, tt.code, tt.calls)
		}
	}
}

func TestName(t *testing.T) {
	legal := regexp.MustCompile(`^[0-9a-zA-Z_.-]{1,59}$`) // and "-late"
	seen := map[string]bool{}
	for _, tenant := range []string{"a", "a1", "Net/Ops", strings.Repeat("é", 100)} {
		for _, id := range []int64{1, 11, 1<<63 - 1} {
			n := ebschedule.Name(tenant, id)
			if !legal.MatchString(n) || seen[n] {
				t.Errorf("%s/%d: %q", tenant, id, n)
			}
			seen[n] = true
		}
	}
}

func TestPlanned(t *testing.T) {
	want := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for text, ok := range map[string]bool{"2026-11-24T10:00:00Z": true, "2026-11-24T11:00:00+01:00": true, "<aws.scheduler.scheduled-time>": false, "": false} {
		if got, is := (ebschedule.Event{Time: text}).Planned(); is != ok || ok && !got.Equal(want) {
			t.Errorf("%q: %v %v", text, got, is)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []ebschedule.Config{
		{Group: "g", Target: "x", Role: "arn:aws:iam::x"}, {Group: "g", Target: "arn:aws:lambda:x"}, {Target: "arn:aws:lambda:x", Role: "arn:aws:iam::x"},
	} {
		if _, err := ebschedule.New(c); job.CodeOf(err) != job.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
