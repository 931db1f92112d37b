// Command foreman is the Lambda function that answers Foreman's API of remote
// execution.
package main

import (
	"context"
	"os"
	"time"

	"drover/internal/api"
	"drover/internal/api/foreman"
	"drover/internal/cloud"
	"drover/internal/cloud/front"
)

func main() {
	cloud.Main(func(ctx context.Context) (any, error) {
		var own struct {
			EffectiveUser string `env:"DROVER_FOREMAN_EFFECTIVE_USER,optional"`
		}
		if err := cloud.Read(&own, os.Getenv); err != nil {
			return nil, err
		}
		f, err := front.Open(ctx, api.FamilyForeman)
		if err != nil {
			return nil, err
		}
		defaults := foreman.Defaults()
		f.Dispatch.Defaults = &defaults
		h := foreman.New(foreman.Config{Dispatch: f.Dispatch, Auth: f.Auth, Clock: time.Now, Log: f.Log, MaxAnswer: front.MaxAnswer,
			EffectiveUser: own.EffectiveUser})
		return f.Serve(api.FamilyForeman, h, h)
	})
}
