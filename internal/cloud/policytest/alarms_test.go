//go:build cloud

package policytest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"drover/internal/schedule/ebschedule"
)

// alarmCases are those of schedules, which Scheduler is asked about.
func alarmCases() map[string]testCase {
	all := map[string]testCase{
		"a run by the trigger": {run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error {
				if err := s.plan(ctx, "console", time.Second, ""); err != nil {
					return err
				}
				time.Sleep(2 * time.Second)
				if err := s.rings(ctx, s.schedule); err != nil {
					return err
				}
				return eventually(ctx, patience, func() error { return s.over(ctx, "succeeded") })
			})
		}},
		"a run that comes too late": {run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error {
				if err := s.plan(ctx, "console", time.Second, time.Now().Add(3*time.Second).UTC().Format(time.RFC3339)); err != nil {
					return err
				}
				time.Sleep(4 * time.Second)
				if err := s.rings(ctx, s.schedule); err != nil {
					return err
				}
				return errors.Join(s.over(ctx, "missed"), s.told(ctx, "run.ended"))
			})
		}},
		// A schedule that is not there any more, and whose alarm still is.
		"an alarm for nothing": {run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error {
				const gone = 1 << 40
				if err := s.setAlarm(ctx, gone); err != nil {
					return fmt.Errorf("PROOF BROKEN: %w", err)
				}
				defer s.dropAlarm(gone)
				if err := s.rings(ctx, gone); err != nil {
					return err
				}
				return s.alarm(ctx, gone, false)
			})
		}},
		"an alarm that was lost": {without: [][2]string{{"console", "SetAlarms"}, {"trigger", "ReadTable"}}, run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error {
				if err := s.plan(ctx, "console", time.Second, ""); err != nil {
					return err
				}
				if err := s.setAlarm(ctx, s.schedule); err != nil {
					return fmt.Errorf("PROOF BROKEN: %w", err)
				}
				defer s.dropAlarm(s.schedule)
				time.Sleep(25 * time.Second) // the sweeper gives the alarm half a minute
				return s.swept(ctx, func() error { return errors.Join(s.over(ctx, "succeeded"), s.alarm(ctx, s.schedule, false)) })
			})
		}},
	}
	for _, front := range []string{"foreman", "console"} {
		all["an alarm by "+front] = testCase{run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error {
				if err := s.plan(ctx, front, time.Hour, ""); err != nil {
					return err
				}
				if err := s.alarm(ctx, s.schedule, true); err != nil {
					return err
				}
				if err := s.cancel(ctx, front); err != nil {
					return err
				}
				return s.alarm(ctx, s.schedule, false)
			})
		}}
	}
	return all
}

// plan submits for later.
func (s *site) plan(ctx context.Context, front string, in time.Duration, before string) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	at := time.Now().Add(in).UTC().Format(time.RFC3339)
	if front == "foreman" {
		if err := s.invoke(ctx, object{"start_at": at}); err != nil {
			return err
		}
	} else {
		var out struct {
			Run struct {
				ID string `json:"id"`
			} `json:"run"`
		}
		if err := s.w.call(ctx, http.MethodPost, "/drover/v1/runs", object{"service": s.name, "schedule": object{"at": at}, "start_before": before}, &out); err != nil {
			return err
		}
		s.run = out.Run.ID
	}
	var run struct {
		ScheduleID int64 `json:"schedule_id"`
	}
	if err := s.w.call(ctx, http.MethodGet, "/drover/v1/runs/"+s.run, nil, &run); err != nil {
		return err
	}
	if s.schedule = run.ScheduleID; s.schedule == 0 {
		return errors.New("the run belongs to no schedule")
	}
	return nil
}

// rings calls the trigger as Scheduler would.
func (s *site) rings(ctx context.Context, id int64) error {
	name := s.w.functions["trigger"]
	payload := fmt.Appendf(nil, `{"v":1,"tenant":"default","schedule":%d,"time":"%s"}`, id, time.Now().UTC().Format(time.RFC3339))
	out, err := lambda.NewFromConfig(s.w.cfg).Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: payload})
	if err == nil && out.FunctionError != nil {
		err = fmt.Errorf("the trigger: %s", out.Payload)
	}
	return err
}

// group is the stack's group of schedules.
const group = "Drover"

// alarm expects that Scheduler has the alarm of a schedule, or not.
func (s *site) alarm(ctx context.Context, id int64, want bool) error {
	name := ebschedule.Name("default", id)
	_, err := scheduler.NewFromConfig(s.w.cfg).GetSchedule(ctx, &scheduler.GetScheduleInput{Name: &name, GroupName: aws.String(group)})
	var missing *types.ResourceNotFoundException
	switch {
	case errors.As(err, &missing) && want:
		return errors.New("Scheduler has no alarm")
	case err == nil && !want:
		return errors.New("Scheduler still has the alarm")
	case errors.As(err, &missing):
		return nil
	}
	return err
}

// setAlarm makes an alarm that rings in a year, by nobody's role.
func (s *site) setAlarm(ctx context.Context, id int64) error {
	name := ebschedule.Name("default", id)
	_, err := scheduler.NewFromConfig(s.w.cfg).CreateSchedule(ctx, &scheduler.CreateScheduleInput{
		Name: &name, GroupName: aws.String(group), ScheduleExpression: aws.String("at(" + time.Now().AddDate(1, 0, 0).UTC().Format("2006-01-02T15:04:05") + ")"),
		FlexibleTimeWindow: &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
		Target:             &types.Target{Arn: aws.String("arn:aws:lambda:us-east-1:000000000000:function:none"), RoleArn: aws.String("arn:aws:iam::000000000000:role/none")},
	})
	return err
}

// dropAlarm takes it away where the case has failed.
func (s *site) dropAlarm(id int64) {
	name := ebschedule.Name("default", id)
	_, _ = scheduler.NewFromConfig(s.w.cfg).DeleteSchedule(context.Background(), &scheduler.DeleteScheduleInput{Name: &name, GroupName: aws.String(group)})
}
