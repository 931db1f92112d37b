package sfnworkflow_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"

	"drover/internal/job"
	"drover/internal/workflow/sfnworkflow"
)

const machine = "arn:aws:states:eu-west-1:123456789012:stateMachine:run"

// answers is a client that answers every call alike and keeps the inputs.
type answers struct {
	err   error
	start *sfn.StartExecutionInput
	stop  *sfn.StopExecutionInput
	asked *sfn.DescribeExecutionInput
	is    types.ExecutionStatus
}

func (a *answers) DescribeExecution(_ context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	a.asked = in
	return &sfn.DescribeExecutionOutput{Status: a.is}, a.err
}

func (a *answers) StartExecution(_ context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	a.start = in
	return &sfn.StartExecutionOutput{}, a.err
}

func (a *answers) StopExecution(_ context.Context, in *sfn.StopExecutionInput, _ ...func(*sfn.Options)) (*sfn.StopExecutionOutput, error) {
	a.stop = in
	return &sfn.StopExecutionOutput{}, a.err
}

func TestNew_RefusesWhatIsNoStateMachine(t *testing.T) {
	for _, arn := range []string{
		"", "run", "arn:aws:states:eu-west-1:123456789012:execution:run:x",
		"arn:aws:lambda:eu-west-1:123456789012:function:run", "arn:aws:states:eu-west-1:123456789012:stateMachine:",
	} {
		if _, err := sfnworkflow.New(&answers{}, arn); job.CodeOf(err) != job.Invalid {
			t.Errorf("%q: %v", arn, err)
		}
	}
}

func TestStart_SendsTenantAndRunOnly(t *testing.T) {
	client := &answers{}
	w, err := sfnworkflow.New(client, machine)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context(), `a"b`, "01RUN"); err != nil {
		t.Fatal(err)
	}
	if got, want := aws.ToString(client.start.Input), `{"tenant":"a\"b","run":"01RUN"}`; got != want {
		t.Errorf("input %s, want %s", got, want)
	}
	if aws.ToString(client.start.Name) != "01RUN" || aws.ToString(client.start.StateMachineArn) != machine {
		t.Errorf("name %s of machine %s", aws.ToString(client.start.Name), aws.ToString(client.start.StateMachineArn))
	}
}

func TestStop_NamesTheExecution(t *testing.T) {
	client := &answers{}
	w, err := sfnworkflow.New(client, machine)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Stop(t.Context(), "t", "01RUN", strings.Repeat("é", 20_000)); err != nil {
		t.Fatal(err)
	}
	if got, want := aws.ToString(client.stop.ExecutionArn), "arn:aws:states:eu-west-1:123456789012:execution:run:01RUN"; got != want {
		t.Errorf("execution %s, want %s", got, want)
	}
	if n := len(aws.ToString(client.stop.Cause)); n > 32_768 {
		t.Errorf("a cause of %d bytes is refused by the service", n)
	}
}

func TestEnded(t *testing.T) {
	client := &answers{}
	w, err := sfnworkflow.New(client, machine)
	if err != nil {
		t.Fatal(err)
	}
	over := map[types.ExecutionStatus]bool{types.ExecutionStatusSucceeded: true, types.ExecutionStatusFailed: true,
		types.ExecutionStatusTimedOut: true, types.ExecutionStatusAborted: true}
	for _, status := range append(types.ExecutionStatusRunning.Values(), "A_LATER_ONE") {
		client.is = status
		if ended, err := w.Ended(t.Context(), "t", "01RUN"); err != nil || ended != over[status] {
			t.Errorf("%s: %v, %v", status, ended, err)
		}
	}
	if got, want := aws.ToString(client.asked.ExecutionArn), "arn:aws:states:eu-west-1:123456789012:execution:run:01RUN"; got != want {
		t.Errorf("execution %s, want %s", got, want)
	}
}

func TestErrors(t *testing.T) {
	api := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "m"} }
	ended, end := context.WithCancel(t.Context())
	end()
	tests := []struct {
		name        string
		ctx         context.Context
		err         error
		start, stop job.Code
		ended       job.Code
	}{
		{"no error", t.Context(), nil, "", "", ""},
		{"the name is taken", t.Context(), &types.ExecutionAlreadyExists{}, "", job.Unavailable, job.Unavailable},
		{"no such execution", t.Context(), &types.ExecutionDoesNotExist{}, job.Unavailable, "", ""},
		{"not running", t.Context(), &types.ValidationException{}, job.Unavailable, "", job.Unavailable},
		{"not valid for a reason", t.Context(), &types.ValidationException{Reason: types.ValidationExceptionReasonMissingRequiredParameter}, job.Unavailable, job.Unavailable, job.Unavailable},
		{"no such machine", t.Context(), &types.StateMachineDoesNotExist{}, job.Unavailable, job.Unavailable, job.Unavailable},
		{"throttled", t.Context(), api("ThrottlingException"), job.Exhausted, job.Exhausted, job.Exhausted},
		{"too many requests", t.Context(), api("TooManyRequestsException"), job.Exhausted, job.Exhausted, job.Exhausted},
		{"too many executions", t.Context(), &types.ExecutionLimitExceeded{}, job.Exhausted, job.Exhausted, job.Exhausted},
		{"denied", t.Context(), api("AccessDeniedException"), job.Unavailable, job.Unavailable, job.Unavailable},
		{"no network", t.Context(), errors.New("dial"), job.Unavailable, job.Unavailable, job.Unavailable},
		{"the caller left", ended, context.Canceled, job.Canceled, job.Canceled, job.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := sfnworkflow.New(&answers{err: tt.err}, machine)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Start(tt.ctx, "t", "r"); job.CodeOf(err) != tt.start {
				t.Errorf("Start: %v, want %q", err, tt.start)
			}
			if err := w.Stop(tt.ctx, "t", "r", "why"); job.CodeOf(err) != tt.stop {
				t.Errorf("Stop: %v, want %q", err, tt.stop)
			}
			if ended, err := w.Ended(tt.ctx, "t", "r"); job.CodeOf(err) != tt.ended || ended {
				t.Errorf("Ended: %v, %v, want %q", ended, err, tt.ended)
			}
		})
	}
}
