// Command localcloud is what `make emulator` and `make sam-invoke` need beyond a
// shell: it deploys the synthesised template into an emulator of AWS, and tells
// what a deployed function's environment is.
//
//	localcloud deploy ENDPOINT ASSEMBLY      the password of admin comes from DROVER_ADMIN_PASSWORD
//	localcloud environment ENDPOINT FUNCTION SEEN
//
// The second prints the file that `sam local invoke --env-vars` takes. SEEN is
// the emulator's endpoint as it is seen from inside a container.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"drover/internal/cloud/cloudtest"
	"drover/internal/job"
	"drover/internal/secret"
)

// stack is the stack's name, as in infra.
const stack = "Drover"

func main() {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "localcloud:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "deploy":
		return deploy(ctx, args[1], args[2], job.Secret(os.Getenv("DROVER_ADMIN_PASSWORD")))
	case len(args) == 4 && args[0] == "environment":
		return environment(ctx, args[1], args[2], args[3])
	}
	return errors.New("usage: localcloud deploy ENDPOINT ASSEMBLY | localcloud environment ENDPOINT FUNCTION SEEN")
}

func deploy(ctx context.Context, endpoint, assembly string, password job.Secret) error {
	if password == "" {
		return errors.New("DROVER_ADMIN_PASSWORD is not set")
	}
	hash, err := secret.HashPassword(password)
	if err != nil {
		return err
	}
	d, err := cloudtest.Deploy(ctx, endpoint, assembly, stack, map[string]string{"AdminPasswordHash": hash})
	if err != nil {
		return err
	}
	return print(d.Outputs)
}

// environment asks the emulator for what the function was deployed with: names
// of tables and buckets are known only there.
func environment(ctx context.Context, endpoint, function, seen string) error {
	cfg := cloudtest.Config(endpoint)
	resources, err := cloudformation.NewFromConfig(cfg).DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: aws.String(stack)})
	if err != nil {
		return fmt.Errorf("there is no stack %s in %s (make emulator deploys one): %w", stack, endpoint, err)
	}
	// CDK's logical ids are its own ids and a hash.
	id, err := regexp.Compile("(?i)^" + regexp.QuoteMeta(function) + "[0-9A-F]{8}$")
	if err != nil {
		return err
	}
	for _, r := range resources.StackResources {
		if aws.ToString(r.ResourceType) != "AWS::Lambda::Function" || !id.MatchString(aws.ToString(r.LogicalResourceId)) {
			continue
		}
		f, err := lambda.NewFromConfig(cfg).GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: r.PhysicalResourceId})
		if err != nil {
			return err
		}
		variables := map[string]string{}
		if f.Environment != nil {
			for k, v := range f.Environment.Variables {
				if strings.HasPrefix(k, "DROVER_") {
					variables[k] = v
				}
			}
		}
		variables["AWS_ENDPOINT_URL"] = seen
		return print(map[string]any{"Parameters": variables})
	}
	return fmt.Errorf("stack %s in %s has no function %s", stack, endpoint, function)
}

func print(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
