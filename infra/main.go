// Command infra writes the CloudFormation template of the cloud's shape. The
// CDK command runs it (cdk.json); without it:
//
//	CDK_OUTDIR=cdk.out go run ./infra
//
// It takes the built functions from the folder in DROVER_FUNCTIONS (default
// build/functions-arm64, one folder with a bootstrap for each) and the context value
// "arch": arm64 (default) or x86_64, which the functions must be built for. Other
// context values: "vpcId", "subnetIds", "routeTableIds", "vpcEgress" (see
// addNetwork), "tableName", "bucketName", "keyArn" (see addData), "tags" and
// "endpoint".
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

func main() {
	defer jsii.Close()
	dir := os.Getenv("DROVER_FUNCTIONS")
	if dir == "" {
		dir = "build/functions-arm64"
	}
	for _, f := range functions() {
		if _, err := os.Stat(bootstrap(dir, f.name)); err != nil {
			fmt.Fprintf(os.Stderr, "infra: function %s is not built: %v (scripts/build-functions builds all)\n", f.name, err)
			os.Exit(1)
		}
	}
	app := awscdk.NewApp(&awscdk.AppProps{AnalyticsReporting: jsii.Bool(false)})
	newStack(app, "Drover", dir)
	app.Synth(nil)
}
