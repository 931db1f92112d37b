// Command sweeper is the Lambda function that is called every minute: what was
// accepted starts, what is overdue ends.
package main

import (
	"context"

	"drover/internal/cloud"
	"drover/internal/cloud/runs"
)

func main() {
	cloud.Main(func(ctx context.Context) (any, error) { return runs.Sweeper(ctx) })
}
