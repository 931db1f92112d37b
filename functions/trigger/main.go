// Command trigger is the Lambda function that EventBridge Scheduler calls when a
// run of a schedule is due.
package main

import (
	"context"

	"drover/internal/cloud"
	"drover/internal/cloud/trigger"
)

func main() {
	cloud.Main(func(ctx context.Context) (any, error) { return trigger.Open(ctx) })
}
