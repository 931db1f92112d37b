package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// The tests run against Amazon's DynamoDB Local: at DROVER_DYNAMODB_ENDPOINT,
// else one that they start from the cache. Where there is neither they skip,
// saying why; under CI=true that is a failure.
const endpointVariable = "DROVER_DYNAMODB_ENDPOINT"

var (
	local       *exec.Cmd
	tether      = func(*exec.Cmd) {} // where the system can, ties a child's life to ours
	endpoint    = sync.OnceValues(findEndpoint)
	tableNumber atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if local != nil {
		_ = local.Process.Kill()
		_ = local.Wait()
	}
	os.Exit(code)
}

func findEndpoint() (string, error) {
	if url := os.Getenv(endpointVariable); url != "" {
		return url, nil
	}
	root, err := os.Getwd()
	if err != nil {
		return "", err
	}
	script := filepath.Join(root, "..", "..", "..", "scripts", "dynamodb-local")
	if err := exec.Command(script, "installed").Run(); err != nil {
		return "", fmt.Errorf("%s is not set and DynamoDB Local is not installed (scripts/dynamodb-local install)", endpointVariable)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		return "", err
	}
	local = exec.Command(script, "start", port)
	tether(local)
	if err := local.Start(); err != nil {
		return "", fmt.Errorf("DynamoDB Local does not start: %w", err)
	}
	url := "http://127.0.0.1:" + port
	return url, answers(url)
}

// answers waits until a server that was just started answers.
func answers(url string) error {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("DynamoDB Local does not answer: %w", err)
		case <-time.After(50 * time.Millisecond): // another process: there is nothing to wait on
		}
	}
}

// newTable makes a table of the test's own and returns its name and a client
// whose requests go through transport.
func newTable(t testing.TB, transport http.RoundTripper) (*dynamodb.Client, string) {
	t.Helper()
	url, err := endpoint()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("under CI=true the driver of DynamoDB must be tested: %v", err)
		}
		t.Skipf("SKIPPED, the driver of DynamoDB is not tested here: %v", err)
	}
	client := dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(url),
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:   &http.Client{Transport: transport},
	})
	name := fmt.Sprintf("t%d-%d", os.Getpid(), tableNumber.Add(1))
	if _, err := client.CreateTable(t.Context(), TableSpec(name)); err != nil {
		t.Fatalf("CreateTable: %v", err)
	}
	t.Cleanup(func() {
		if _, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
			t.Errorf("DeleteTable: %v", err)
		}
	})
	return client, name
}

// lossy loses the answers to calls of one kind: the server has acted, the
// client learns of a broken connection.
type lossy struct {
	next   http.RoundTripper
	target string
	lose   atomic.Int32 // how many more answers to lose
}

var errLost = errors.New("the connection broke")

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err == nil && r.Header.Get("X-Amz-Target") == "DynamoDB_20120810."+l.target && l.lose.Add(-1) >= 0 {
		_ = resp.Body.Close()
		return nil, errLost
	}
	return resp, err
}
