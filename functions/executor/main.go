// Command executor is the Lambda function that works on the devices of one
// unit: the task Execute of the state machine.
package main

import (
	"context"

	"drover/internal/cloud"
	"drover/internal/cloud/executor"
)

func main() {
	cloud.Main(func(ctx context.Context) (any, error) {
		tasks, err := executor.Open(ctx)
		if err != nil {
			return nil, err
		}
		return tasks.Execute, nil
	})
}
