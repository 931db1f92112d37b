// Command enms is the Lambda function that answers eNMS's REST API.
package main

import (
	"context"
	"net/http"
	"time"

	"drover/internal/api"
	"drover/internal/api/enms"
	"drover/internal/cloud"
	"drover/internal/cloud/front"
)

func main() {
	cloud.Main(func(ctx context.Context) (any, error) {
		f, err := front.Open(ctx, api.FamilyENMS)
		if err != nil {
			return nil, err
		}
		family := func(patience time.Duration) http.Handler {
			return enms.New(enms.Config{Dispatch: f.Dispatch, Auth: f.Auth, Clock: time.Now, Log: f.Log, SyncTimeout: patience,
				MaxAnswer: front.MaxAnswer})
		}
		return f.Serve(api.FamilyENMS, family(front.SyncTimeout), family(cloud.LongestAttempt))
	})
}
