package ebschedule_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"drover/internal/awstest"
	"drover/internal/job"
	"drover/internal/schedule"
	"drover/internal/schedule/ebschedule"
	"drover/internal/schedule/scheduletest"
)

// TestConforms runs the suite against the emulators. What is called is a state
// machine that does nothing: its executions are the rings.
func TestConforms(t *testing.T) {
	awstest.Each(t, func(t *testing.T, cfg aws.Config) {
		role := ""
		if strings.HasSuffix(t.Name(), "ministack") {
			role = newRole(t, cfg)
		}
		scheduletest.Run(t, func(t *testing.T, test func(*testing.T)) { test(t) }, func(t *testing.T) scheduletest.Harness {
			return newHarness(t, cfg, role)
		})
	})
}

type harness struct {
	cfg     aws.Config
	group   string
	machine string
	rings   bool
}

// newHarness makes a group, and a machine with a role where there is one.
func newHarness(t *testing.T, cfg aws.Config, role string) *harness {
	t.Helper()
	h := &harness{cfg: cfg, group: awstest.Name(), machine: "arn:aws:states:us-east-1:000000000000:stateMachine:none", rings: role != ""}
	if _, err := scheduler.NewFromConfig(cfg).CreateScheduleGroup(t.Context(), &scheduler.CreateScheduleGroupInput{Name: &h.group}); err != nil {
		t.Fatal(err)
	}
	if h.rings {
		out, err := sfn.NewFromConfig(cfg).CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
			Name: &h.group, RoleArn: &role,
			Definition: aws.String(`{"StartAt":"Rang","States":{"Rang":{"Type":"Succeed"}}}`)})
		if err != nil {
			t.Fatal(err)
		}
		h.machine = aws.ToString(out.StateMachineArn)
	}
	return h
}

// newRole makes a role for state machines.
func newRole(t *testing.T, cfg aws.Config) string {
	t.Helper()
	client, name := cloudformation.NewFromConfig(cfg), awstest.Name()
	_, err := client.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &name, Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityIam},
		TemplateBody: aws.String(`{"Resources":{"Role":{"Type":"AWS::IAM::Role","Properties":{"AssumeRolePolicyDocument":{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Principal":{"Service":["states.amazonaws.com","scheduler.amazonaws.com"]},"Action":"sts:AssumeRole"}]}}}},
			"Outputs":{"Role":{"Value":{"Fn::GetAtt":["Role","Arn"]}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	in := &cloudformation.DescribeStacksInput{StackName: &name}
	if err := cloudformation.NewStackCreateCompleteWaiter(client, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
	}).Wait(t.Context(), in, time.Minute); err != nil {
		t.Fatal(err)
	}
	out, err := client.DescribeStacks(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.Stacks[0].Outputs[0].OutputValue)
}

// Late is ministack's tick, twice, and a little.
func (h *harness) Late() time.Duration { return 25 * time.Second }

func (h *harness) Lacks() map[scheduletest.Capability]string {
	lacks := map[scheduletest.Capability]string{
		scheduletest.Retries: "the emulator does not look at what becomes of a call",
		scheduletest.Chains:  "ministack rings a one-time schedule of one name once, however often it is updated",
		scheduletest.Stops:   "the scheduler is a service that goes on",
	}
	if !h.rings {
		lacks[scheduletest.Rings] = "LocalStack keeps schedules and calls nothing"
	}
	return lacks
}

func (h *harness) driver(t *testing.T) *ebschedule.Alarms {
	t.Helper()
	a, err := ebschedule.New(ebschedule.Config{Client: scheduler.NewFromConfig(h.cfg), Group: h.group, Target: h.machine,
		Role: "arn:aws:iam::000000000000:role/scheduler", DeadLetters: "arn:aws:sqs:us-east-1:000000000000:dead", Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Open calls fire for each new execution.
func (h *harness) Open(t *testing.T, fire schedule.Fire) (schedule.Alarms, func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	if h.rings {
		watching.Go(func() { h.watch(ctx, t, fire) })
	}
	return h.driver(t), func() { cancel(); watching.Wait() }
}

func (h *harness) watch(ctx context.Context, t *testing.T, fire schedule.Fire) {
	client := sfn.NewFromConfig(h.cfg)
	seen := map[string]bool{}
	for tick := time.NewTicker(500 * time.Millisecond); ; {
		pages := sfn.NewListExecutionsPaginator(client, &sfn.ListExecutionsInput{StateMachineArn: &h.machine, MaxResults: 1000})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				t.Errorf("list executions: %v", err)
				return
			}
			for _, e := range page.Executions {
				arn := aws.ToString(e.ExecutionArn)
				if seen[arn] {
					continue
				}
				seen[arn] = true
				out, err := client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
				if err != nil {
					t.Errorf("describe %s: %v", arn, err)
					return
				}
				h.rang(ctx, t, aws.ToString(out.Input), aws.ToTime(out.StartDate), fire)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (h *harness) rang(ctx context.Context, t *testing.T, input string, began time.Time, fire schedule.Fire) {
	var e ebschedule.Event
	if err := json.Unmarshal([]byte(input), &e); err != nil || e.V != ebschedule.Version {
		t.Errorf("the input %s: %v", input, err)
		return
	}
	planned, ok := e.Planned()
	if !ok {
		planned = began.Truncate(time.Minute) // ministack does not say
	}
	_ = fire(ctx, e.Tenant, e.Schedule, planned)
}

// TestSet_WhatIsStored: what Scheduler is told, as it says itself.
func TestSet_WhatIsStored(t *testing.T) {
	awstest.Each(t, func(t *testing.T, cfg aws.Config) {
		h := newHarness(t, cfg, "")
		localstack := strings.HasSuffix(t.Name(), "localstack") // keeps ActionAfterCompletion as it was made
		alarms, client := h.driver(t), scheduler.NewFromConfig(cfg)
		next := time.Now().UTC().Add(48 * time.Hour).Truncate(time.Minute)
		end := next.Add(time.Hour)
		get := func(name string) *scheduler.GetScheduleOutput {
			t.Helper()
			out, err := client.GetSchedule(t.Context(), &scheduler.GetScheduleInput{GroupName: &h.group, Name: &name})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		at := "at(" + next.Format("2006-01-02T15:04:05") + ")"
		planned := next.Format(time.RFC3339)
		for _, tt := range []struct {
			why        string
			next       time.Time
			r          job.Recurrence
			expression string // "": not looked at
			time       string
			after      types.ActionAfterCompletion
			start, end *time.Time
		}{
			{"once", next, job.Recurrence{At: &next}, at, planned, "DELETE", nil, nil},
			{"without a recurrence", next, job.Recurrence{}, at, planned, "DELETE", nil, nil},
			{"one of a chain", next, job.Recurrence{Cron: "0 0 13 * fri"}, at, planned, "NONE", nil, nil},
			{"exactly", next, job.Recurrence{Cron: "*/30 * * * *", End: &end}, "cron(0,30 * * * ? *)", "<aws.scheduler.scheduled-time>", "DELETE",
				aws.Time(next.Add(-30 * time.Second)), aws.Time(end.Add(-time.Second))},
			{"exactly, at once", time.Now().Add(-time.Hour), job.Recurrence{Cron: "* * * * *"}, "cron(* * * * ? *)", "<aws.scheduler.scheduled-time>", "DELETE", nil, nil},
			{"once again", next, job.Recurrence{At: &next}, at, planned, "DELETE", nil, nil},
		} {
			if err := alarms.Set(t.Context(), schedule.Alarm{Tenant: "Net/Ops", ID: 7, Next: tt.next, Recurrence: tt.r}); err != nil {
				t.Fatalf("%s: %v", tt.why, err)
			}
			out := get(ebschedule.Name("Net/Ops", 7))
			if aws.ToString(out.ScheduleExpression) != tt.expression || aws.ToString(out.ScheduleExpressionTimezone) != "UTC" || out.State != "ENABLED" ||
				out.FlexibleTimeWindow.Mode != "OFF" || !localstack && out.ActionAfterCompletion != tt.after {
				t.Errorf("%s: %s %s %s %s %s", tt.why, aws.ToString(out.ScheduleExpression), aws.ToString(out.ScheduleExpressionTimezone), out.State,
					out.FlexibleTimeWindow.Mode, out.ActionAfterCompletion)
			}
			if !same(out.EndDate, tt.end) || tt.why != "exactly, at once" && !same(out.StartDate, tt.start) {
				t.Errorf("%s: from %v to %v, want %v to %v", tt.why, out.StartDate, out.EndDate, tt.start, tt.end)
			}
			target := out.Target
			if want := `{"v":1,"tenant":"Net/Ops","schedule":7,"time":"` + tt.time + `"}`; aws.ToString(target.Input) != want {
				t.Errorf("%s: input %s, want %s", tt.why, aws.ToString(target.Input), want)
			}
			if aws.ToString(target.Arn) != h.machine || aws.ToString(target.RoleArn) != "arn:aws:iam::000000000000:role/scheduler" ||
				aws.ToString(target.DeadLetterConfig.Arn) != "arn:aws:sqs:us-east-1:000000000000:dead" ||
				aws.ToInt32(target.RetryPolicy.MaximumEventAgeInSeconds) != 900 || aws.ToInt32(target.RetryPolicy.MaximumRetryAttempts) != 20 {
				t.Errorf("%s: target %+v", tt.why, target)
			}
		}
		if out := get(ebschedule.Name("Net/Ops", 7) + "-late"); !strings.HasPrefix(aws.ToString(out.ScheduleExpression), "at(") || out.ActionAfterCompletion != "DELETE" {
			t.Errorf("the past time of a repeating alarm: %+v", out)
		}
	})
}

func same(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}
