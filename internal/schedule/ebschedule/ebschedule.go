// Package ebschedule sets alarms in EventBridge Scheduler: one schedule for each
// alarm, in one group, whose target is the function that calls Fire. A schedule
// is named after the schedule's id and a hash of its tenant and id.
//
// Where package schedule's Exact has an expression for the recurrence, Scheduler
// rings at all its occurrences. Otherwise the schedule is a one-time one, which
// Fire's set moves on to the next time. Scheduler deletes one-time schedules
// itself once they have rung, but for those that are moved on: a deletion that
// comes after the move would lose the next time. Those stay, completed, until
// Delete.
//
// Scheduler rings within a minute after the time, sometimes more than once, and hands
// what it cannot deliver within a quarter of an hour to the dead letters.
package ebschedule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/smithy-go"

	"drover/internal/job"
	"drover/internal/schedule"
)

// API is the part of the Scheduler client that is used, and so what the policy
// of a function must allow: these three on the schedules of the group, and
// iam:PassRole on the role of the target.
type API interface {
	CreateSchedule(context.Context, *scheduler.CreateScheduleInput, ...func(*scheduler.Options)) (*scheduler.CreateScheduleOutput, error)
	UpdateSchedule(context.Context, *scheduler.UpdateScheduleInput, ...func(*scheduler.Options)) (*scheduler.UpdateScheduleOutput, error)
	DeleteSchedule(context.Context, *scheduler.DeleteScheduleInput, ...func(*scheduler.Options)) (*scheduler.DeleteScheduleOutput, error)
}

// Config is what Alarms need. All but DeadLetters are required.
type Config struct {
	Client      API
	Group       string // of the schedules
	Target      string // ARN of what is called
	Role        string // ARN of the role that may call it
	DeadLetters string // ARN of the queue of what could not be delivered; "": it is lost
	Clock       func() time.Time
}

// Alarms implements schedule.Alarms. It is safe for use by many goroutines at once.
type Alarms struct{ Config }

// New returns the alarms of a group, which is not looked at before the first call.
func New(c Config) (*Alarms, error) {
	for name, value := range map[string]string{"target": c.Target, "role": c.Role} {
		if !strings.HasPrefix(value, "arn:") {
			return nil, job.Errorf(job.Invalid, "%q is not the ARN of the %s of schedules", value, name)
		}
	}
	if c.Group == "" {
		return nil, job.Errorf(job.Invalid, "the group of the schedules is missing")
	}
	return &Alarms{c}, nil
}

// Version is the version of Event.
const Version = 1

// Event is what the target gets.
type Event struct {
	V        int    `json:"v"`
	Tenant   string `json:"tenant"`
	Schedule int64  `json:"schedule"`
	Time     string `json:"time"` // see Planned
}

// scheduledTime is what Scheduler puts the time of the occurrence for.
const scheduledTime = "<aws.scheduler.scheduled-time>"

// Planned returns the time that the alarm was set for. ok is false where Scheduler
// did not say, as some of its emulators do not.
func (e Event) Planned() (planned time.Time, ok bool) {
	t, err := time.Parse(time.RFC3339, e.Time)
	return t.UTC(), err == nil
}

func (a *Alarms) event(tenant string, id int64, when string) *string {
	// Not by package json, which writes the angle brackets as escapes that
	// Scheduler does not know; a tenant's name is plain.
	quoted, _ := json.Marshal(tenant)
	return aws.String(fmt.Sprintf(`{"v":%d,"tenant":%s,"schedule":%d,"time":"%s"}`, Version, quoted, id, when))
}

// soon is how far ahead a schedule is set whose time is past: Scheduler refuses
// times that are.
const soon = 5 * time.Second

// Set implements schedule.Alarms.
func (a *Alarms) Set(ctx context.Context, alarm schedule.Alarm) error {
	if err := ctx.Err(); err != nil {
		return job.Wrap(job.Canceled, err, "set an alarm")
	}
	name := Name(alarm.Tenant, alarm.ID)
	if !alarm.Repeats() {
		once := a.once(name, alarm)
		if alarm.Recurrence.At == nil && alarm.Recurrence != (job.Recurrence{}) {
			once.ActionAfterCompletion = types.ActionAfterCompletionNone
		}
		return a.put(ctx, once)
	}
	if alarm.Next.Before(a.Clock().Add(soon)) {
		// The repeating schedule would not ring for a time that is past: another
		// one does, which nobody needs to delete.
		if err := a.put(ctx, a.once(name+"-late", alarm)); err != nil {
			return err
		}
		next, ok := schedule.Next(alarm.Recurrence, a.Clock().Add(soon))
		if !ok {
			return a.Delete(ctx, alarm.Tenant, alarm.ID)
		}
		alarm.Next = next
	}
	return a.put(ctx, a.repeating(name, alarm))
}

// once is a schedule that rings at Next, or soon if that is past.
func (a *Alarms) once(name string, alarm schedule.Alarm) *scheduler.CreateScheduleInput {
	at := alarm.Next
	if earliest := a.Clock().Add(soon); at.Before(earliest) {
		at = earliest
	}
	in := a.schedule(name, schedule.At(at), a.event(alarm.Tenant, alarm.ID, alarm.Next.UTC().Format(time.RFC3339Nano)))
	in.ActionAfterCompletion = types.ActionAfterCompletionDelete
	return in
}

// repeating is a schedule that rings at Next and what follows.
func (a *Alarms) repeating(name string, alarm schedule.Alarm) *scheduler.CreateScheduleInput {
	expression, _, end, _ := schedule.Exact(alarm.Recurrence)
	in := a.schedule(name, expression, a.event(alarm.Tenant, alarm.ID, scheduledTime))
	// Half a minute before, so that it does not matter whether the start belongs
	// to the time that the schedule rings in. Scheduler refuses a start that is past.
	if start := alarm.Next.Add(-30 * time.Second); start.After(a.Clock()) {
		in.StartDate = &start
	}
	in.EndDate = end
	in.ActionAfterCompletion = types.ActionAfterCompletionDelete // after EndDate
	return in
}

func (a *Alarms) schedule(name, expression string, input *string) *scheduler.CreateScheduleInput {
	target := &types.Target{
		Arn: &a.Target, RoleArn: &a.Role, Input: input,
		// What comes later is missed: the sweeper has looked after the run.
		RetryPolicy: &types.RetryPolicy{MaximumEventAgeInSeconds: aws.Int32(900), MaximumRetryAttempts: aws.Int32(20)},
	}
	if a.DeadLetters != "" {
		target.DeadLetterConfig = &types.DeadLetterConfig{Arn: &a.DeadLetters}
	}
	return &scheduler.CreateScheduleInput{
		Name: &name, GroupName: &a.Group, ScheduleExpression: &expression, ScheduleExpressionTimezone: aws.String("UTC"),
		FlexibleTimeWindow: &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
		State:              types.ScheduleStateEnabled, Target: target,
	}
}

// put creates a schedule or replaces it. Between the two another call may create
// or delete it, or Scheduler itself, once it has rung.
func (a *Alarms) put(ctx context.Context, in *scheduler.CreateScheduleInput) error {
	for try := 0; ; try++ {
		_, err := a.Client.CreateSchedule(ctx, in)
		var exists *types.ConflictException
		if err == nil || !errors.As(err, &exists) {
			return classify(ctx, err, "create a schedule")
		}
		_, err = a.Client.UpdateSchedule(ctx, &scheduler.UpdateScheduleInput{
			Name: in.Name, GroupName: in.GroupName, ScheduleExpression: in.ScheduleExpression, ScheduleExpressionTimezone: in.ScheduleExpressionTimezone,
			FlexibleTimeWindow: in.FlexibleTimeWindow, State: in.State, Target: in.Target, StartDate: in.StartDate, EndDate: in.EndDate,
			ActionAfterCompletion: in.ActionAfterCompletion,
		})
		var missing *types.ResourceNotFoundException
		var conflict *types.ConflictException
		if err == nil || try == 4 || !errors.As(err, &missing) && !errors.As(err, &conflict) {
			return classify(ctx, err, "update a schedule")
		}
	}
}

// Delete implements schedule.Alarms.
func (a *Alarms) Delete(ctx context.Context, tenant string, id int64) error {
	if err := ctx.Err(); err != nil {
		return job.Wrap(job.Canceled, err, "delete an alarm")
	}
	name := Name(tenant, id)
	_, err := a.Client.DeleteSchedule(ctx, &scheduler.DeleteScheduleInput{Name: &name, GroupName: &a.Group})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return nil
	}
	return classify(ctx, err, "delete a schedule")
}

// Name is the name of an alarm's schedule. Scheduler allows 64 letters, digits,
// hyphens, underscores and dots: fewer than a tenant's name may have.
func Name(tenant string, id int64) string {
	n := strconv.FormatInt(id, 10)
	sum := sha256.Sum256([]byte(tenant + "\x00" + n))
	return "schedule-" + n + "-" + hex.EncodeToString(sum[:12])
}

// classify gives an error of the service its code.
func classify(ctx context.Context, err error, doing string) error {
	if err == nil {
		return nil
	}
	code := job.Unavailable
	var api smithy.APIError
	switch {
	case ctx.Err() != nil:
		code = job.Canceled
	case errors.As(err, &api):
		_, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]
		if throttled || api.ErrorCode() == "ServiceQuotaExceededException" {
			code = job.Exhausted
		}
	}
	return job.Wrap(code, err, "%s", doing)
}
