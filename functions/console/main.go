// Command console is the Lambda function that answers Drover's own API.
package main

import (
	"context"

	"drover/internal/api"
	"drover/internal/cloud"
	"drover/internal/cloud/front"
	"drover/internal/console"
)

// version is set by the linker.
var version = "dev"

func main() {
	cloud.Main(func(ctx context.Context) (any, error) {
		f, err := front.Open(ctx, api.FamilyConsole)
		if err != nil {
			return nil, err
		}
		h := console.New(console.Config{Dispatch: f.Dispatch, Auth: f.Auth, Log: f.Log, Version: version, MaxAnswer: front.MaxAnswer})
		return f.Serve(api.FamilyConsole, h, h)
	})
}
