//go:build cloud

package cloudtest

import (
	"context"
	"net/url"
	"os"
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
