// Package sfnworkflow is the workflow of the cloud: executions of a Step
// Functions state machine of type Standard, as statemachines/run.asl.json
// defines it. An execution's name is its run's id; its input is
// {"tenant", "run"} and nothing else. Names stay taken for 90 days after an
// execution is over.
package sfnworkflow

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"

	"drover/internal/job"
)

// API is the part of the Step Functions client that is used, and so what the
// policy of a function must allow: states:StartExecution on the state machine,
// states:StopExecution and, for who calls Ended, states:DescribeExecution on its
// executions.
type API interface {
	StartExecution(context.Context, *sfn.StartExecutionInput, ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
	StopExecution(context.Context, *sfn.StopExecutionInput, ...func(*sfn.Options)) (*sfn.StopExecutionOutput, error)
	DescribeExecution(context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
}

// Workflow starts and stops executions of one state machine. It implements
// workflow.Workflow.
type Workflow struct {
	client     API
	machine    string // ARN
	executions string // ARN of an execution without its name
}

// New returns the workflow of a state machine, which is not looked at before
// the first call. An ARN that is not one of a state machine is Invalid.
func New(client API, stateMachineARN string) (*Workflow, error) {
	// arn:partition:states:region:account:stateMachine:name
	parts := strings.Split(stateMachineARN, ":")
	if len(parts) != 7 || parts[0] != "arn" || parts[2] != "states" || parts[5] != "stateMachine" || parts[6] == "" {
		return nil, job.Errorf(job.Invalid, "%q is not the ARN of a state machine", stateMachineARN)
	}
	parts[5] = "execution"
	return &Workflow{client: client, machine: stateMachineARN, executions: strings.Join(parts, ":") + ":"}, nil
}

// input is what an execution is given.
type input struct {
	Tenant string `json:"tenant"`
	Run    string `json:"run"`
}

// Start begins the execution of a run. One that is running or over already is
// left alone.
func (w *Workflow) Start(ctx context.Context, tenant, run string) error {
	in, err := json.Marshal(input{Tenant: tenant, Run: run})
	if err != nil {
		return job.Wrap(job.Internal, err, "encode the input of an execution")
	}
	_, err = w.client.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: &w.machine,
		Name:            &run,
		Input:           aws.String(string(in)),
	})
	var exists *types.ExecutionAlreadyExists
	if err == nil || errors.As(err, &exists) {
		return nil
	}
	return classify(ctx, err, "start the execution")
}

// maxCause is the longest cause that a stopped execution may have.
const maxCause = 32_768

// Stop ends the execution of a run. One that is over or was never started is
// left alone.
func (w *Workflow) Stop(ctx context.Context, _, run, reason string) error {
	_, err := w.client.StopExecution(ctx, &sfn.StopExecutionInput{
		ExecutionArn: aws.String(w.executions + run),
		Error:        aws.String("Stopped"),
		Cause:        aws.String(strings.ToValidUTF8(reason[:min(len(reason), maxCause)], "")),
	})
	var missing *types.ExecutionDoesNotExist
	if err == nil || errors.As(err, &missing) || notRunning(err) {
		return nil
	}
	return classify(ctx, err, "stop the execution")
}

// Ended reports whether the execution of a run is over. The service forgets one
// 90 days after its end.
func (w *Workflow) Ended(ctx context.Context, _, run string) (bool, error) {
	out, err := w.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{
		ExecutionArn: aws.String(w.executions + run),
		IncludedData: types.IncludedDataMetadataOnly,
	})
	var missing *types.ExecutionDoesNotExist
	switch {
	case errors.As(err, &missing):
		return false, nil
	case err != nil:
		return false, classify(ctx, err, "describe the execution")
	}
	switch out.Status {
	case types.ExecutionStatusSucceeded, types.ExecutionStatusFailed, types.ExecutionStatusTimedOut, types.ExecutionStatusAborted:
		return true, nil
	}
	return false, nil // also one that waits to be begun again
}

// notRunning reports whether a stop was refused because the execution is over.
// The service may say so with a ValidationException; one without a reason can
// mean nothing else here, because New saw to the ARN.
func notRunning(err error) bool {
	var invalid *types.ValidationException
	return errors.As(err, &invalid) && invalid.Reason == ""
}

// classify gives an error of the service its code.
func classify(ctx context.Context, err error, doing string) error {
	code := job.Unavailable
	var api smithy.APIError
	switch {
	case ctx.Err() != nil:
		code = job.Canceled
	case errors.As(err, &api):
		_, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]
		if throttled || api.ErrorCode() == "ExecutionLimitExceeded" {
			code = job.Exhausted
		}
	}
	return job.Wrap(code, err, "%s", doing)
}
