//go:build cloud

package cloudtest

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/internal/e2etest"
	"drover/internal/secret"
)

// TestCloud runs the end-to-end cases against the template in an emulator that
// enforces IAM. scripts/test-cloud sets the two variables.
func TestCloud(t *testing.T) {
	endpoint, assembly := os.Getenv("DROVER_EMULATOR"), os.Getenv("DROVER_ASSEMBLY")
	if endpoint == "" || assembly == "" {
		t.Fatal("DROVER_EMULATOR and DROVER_ASSEMBLY are not set: run scripts/test-cloud")
	}
	const password = "canary-admin-password"
	hash, err := secret.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	start := time.Now()
	d, err := Deploy(ctx, endpoint, assembly, "Drover", map[string]string{"AdminPasswordHash": hash})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("deployed in %s: %v", time.Since(start).Round(time.Millisecond), d.Outputs)
	api, err := url.Parse(d.Outputs["ApiUrl"])
	if err != nil {
		t.Fatal(err)
	}
	emulator, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ := strings.Cut(api.Hostname(), ".")
	e2etest.Cases(t, e2etest.Target{
		URL: endpoint, Host: id + ".execute-api.localhost:" + emulator.Port(),
		User: "admin", Password: password, Settle: 150 * time.Second,
	})
}

// maxPackage is the design's limit of a function's package.
const maxPackage = 15 << 20

// TestPackages packs every function as it is uploaded, and starts it without
// any configuration: it must say what is missing and end.
func TestPackages(t *testing.T) {
	dir := os.Getenv("DROVER_FUNCTIONS")
	functions, err := filepath.Glob(filepath.Join(dir, "*", "bootstrap"))
	if err != nil || len(functions) == 0 {
		t.Fatalf("no functions in DROVER_FUNCTIONS=%q (%v): run scripts/test-cloud", dir, err)
	}
	for _, f := range functions {
		name := filepath.Base(filepath.Dir(f))
		packed, err := pack(filepath.Dir(f), "zip")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-9s %5.1f MB zipped", name, float64(len(packed))/(1<<20))
		if len(packed) > maxPackage {
			t.Errorf("%s: %d bytes, the limit is %d", name, len(packed), maxPackage)
		}
		cmd := exec.Command(f)
		cmd.Env = []string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:1", "DROVER_KEEP=90d"}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "missing in the environment: DROVER_TABLE") {
			t.Errorf("%s without configuration: %v, %s", name, err, out)
		}
	}
}
