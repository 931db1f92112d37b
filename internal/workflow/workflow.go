// Package workflow is the port that runs the tasks of a run: Plan, then
// Execute for every unit with bounded concurrency, then Finish. The cloud
// driver is a Step Functions state machine, the driver of one machine plain Go;
// the suite in package workflowtest demands the same sequence of task calls of
// both.
package workflow

import "context"

// Workflow starts and stops the executions of runs. An execution is named by
// its run's id.
type Workflow interface {
	// Start begins the execution. Starting one that was started before,
	// running or over, succeeds and does nothing.
	Start(ctx context.Context, tenant, run string) error
	// Stop ends an execution: no task is called for it after those that
	// are under way. Stopping one that is over or unknown succeeds. Stop
	// does not call Finish; who stops, settles.
	Stop(ctx context.Context, tenant, run, reason string) error
	// Ended reports whether the execution was started and is over, however it
	// ended. One that goes on, and one that is not known, are not. The answer
	// may be as old as some seconds.
	Ended(ctx context.Context, tenant, run string) (bool, error)
}
