// Command finisher is the Lambda function that settles a run: the task Finish of the state
// machine.
package main

import (
	"context"

	"drover/internal/cloud"
	"drover/internal/cloud/finisher"
)

func main() {
	cloud.Main(func(ctx context.Context) (any, error) {
		tasks, err := finisher.Open(ctx)
		if err != nil {
			return nil, err
		}
		return tasks.Finish, nil
	})
}
