// Package awstest hands the emulators of AWS to the tests of drivers.
// scripts/test starts each of them once for all packages, so a test makes what
// it needs (a bucket, a key, a bus) under a name of its own.
package awstest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// emulators are the judges of the drivers, and the variables that name their
// endpoints.
var emulators = []struct{ name, variable string }{
	{"ministack", "DROVER_MINISTACK_ENDPOINT"},
	{"localstack", "DROVER_LOCALSTACK_ENDPOINT"},
}

// Each runs a test against every emulator, as a subtest with its name and with
// a configuration whose keys may do everything there. An emulator that is not
// there is skipped, with the reason; under CI=true that is a failure, but for
// LocalStack where Python 3.13 is missing.
func Each(t *testing.T, test func(t *testing.T, cfg aws.Config)) {
	t.Helper()
	for _, e := range emulators {
		t.Run(e.name, func(t *testing.T) {
			endpoint := os.Getenv(e.variable)
			if endpoint == "" {
				absent(t, e.name, e.variable)
			}
			test(t, aws.Config{
				Region:       "us-east-1",
				BaseEndpoint: aws.String(endpoint),
				Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
				}),
			})
		})
	}
}

// absent ends a test whose emulator was not started.
func absent(t *testing.T, name, variable string) {
	t.Helper()
	why := fmt.Sprintf("%s names no emulator (make test starts it once it is installed: scripts/emulator install %s)", variable, name)
	if os.Getenv("CI") != "true" {
		t.Skip("skipped: " + why)
	}
	// The script's status 3 says that the Python of an emulator is missing.
	_, here, _, _ := runtime.Caller(0)
	out, err := exec.Command(filepath.Join(filepath.Dir(here), "../../scripts/emulator"), "install", name).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && name == "localstack" && exit.ExitCode() == 3 {
		t.Skip("skipped, as allowed: localstack needs Python 3.13, which is missing here")
	}
	t.Fatalf("CI=true allows no skip: %s\n%s", why, out)
}

var names atomic.Int64

// Name returns a name that no other test has: lower-case letters, digits and
// hyphens.
func Name() string { return fmt.Sprintf("drover-%d-%d", os.Getpid(), names.Add(1)) }
