package sfnworkflow_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// script is scripts/emulator.
const script = "../../../scripts/emulator"

// startEmulator starts an emulator for this test alone, with env added to its
// environment, and returns its endpoint. A shared one would not do: waits are
// made shorter, and answers mocked, for the whole process. Where it is not
// installed the test is skipped, which is a failure under CI=true.
func startEmulator(t *testing.T, name string, env ...string) string {
	t.Helper()
	if err := exec.Command(script, "installed", name).Run(); err != nil {
		missing(t, name)
	}
	dir := t.TempDir()
	start := exec.Command(script, "start", name, "--port", "0", "--dir", dir)
	start.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	start.Stderr = &stderr
	out, err := start.Output()
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("the last of %s's log:\n%s", name, log[max(0, len(log)-8_000):])
		}
		if err := exec.Command(script, "stop", name, "--dir", dir).Run(); err != nil {
			t.Errorf("stop %s: %v", name, err)
		}
	})
	if err != nil {
		t.Fatalf("start %s: %v\n%s", name, err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// missing ends a test whose emulator is not installed, or installs it under
// CI=true.
func missing(t *testing.T, name string) {
	t.Helper()
	reason := name + " is not installed (scripts/emulator install " + name + ")"
	if os.Getenv("CI") != "true" {
		t.Skipf("skipped: %s", reason)
	}
	// Status 3 is the one absence that CI allows: a machine without Python 3.13.
	out, err := exec.Command(script, "install", name).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return
	case name == "localstack" && errors.As(err, &exit) && exit.ExitCode() == 3:
		t.Skip("skipped, as allowed: localstack needs Python 3.13, which is missing here")
	}
	t.Fatalf("%s, and CI=true allows no skip: %v\n%s", reason, err, out)
}

// config is a configuration for an emulator, with the keys of somebody.
func config(endpoint, id, secret string) aws.Config {
	return aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider(id, secret, ""),
	}
}

// poll looks every 100 ms whether something is so, for at most a minute.
func poll(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}
