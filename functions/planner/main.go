// Command planner is the Lambda function that plans a run: the task Plan of the state
// machine.
package main

import (
	"context"

	"drover/internal/cloud"
	"drover/internal/cloud/planner"
)

func main() {
	cloud.Main(func(ctx context.Context) (any, error) {
		tasks, err := planner.Open(ctx)
		if err != nil {
			return nil, err
		}
		return tasks.Plan, nil
	})
}
