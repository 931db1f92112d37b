package localworkflow_test

import (
	"context"
	"testing"
	"time"

	"drover/internal/workflow"
	"drover/internal/workflow/localworkflow"
	"drover/internal/workflow/workflowtest"
)

// atOnce is a clock that jumps: every wait is over when it begins.
func atOnce(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func TestConformance(t *testing.T) {
	workflowtest.Run(t, func(t *testing.T, tasks workflowtest.Tasks) workflowtest.Harness {
		w := localworkflow.New(localworkflow.Config{
			Plan: tasks.Plan, Execute: tasks.Execute, Finish: tasks.Finish, Sleep: atOnce,
		})
		t.Cleanup(func() {
			if err := w.Close(context.Background()); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return &local{w}
	})
}

// local is the harness of this driver. It can show everything.
type local struct{ w *localworkflow.Workflow }

func (l *local) Workflow() workflow.Workflow { return l.w }

func (l *local) Lacks() map[workflowtest.Capability]string { return nil }

func (l *local) Over(t *testing.T, tenant, run string) {
	t.Helper()
	select {
	case <-l.w.Over(tenant, run):
	case <-time.After(time.Minute):
		t.Fatalf("run %s is not over", run)
	}
}
