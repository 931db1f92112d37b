// Package dynamotest gives a test a table of its own in Amazon's DynamoDB Local,
// so that what is built on the store can be tested over the cloud's driver.
package dynamotest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Endpoint is the variable that names a DynamoDB Local which runs already.
// Without it one is started from the cache, once per process.
const Endpoint = "DROVER_DYNAMODB_ENDPOINT"

var (
	server  *exec.Cmd
	start   = sync.OnceValues(begin)
	tables  atomic.Int64
	stopped sync.Once
)

// Stop ends the server that this process started, if it did. TestMain calls it
// after the tests.
func Stop() {
	stopped.Do(func() {
		if server != nil {
			_ = server.Process.Kill()
			_ = server.Wait()
		}
	})
}

// Table makes a table as spec says, which goes with the test, and returns its
// name and a client for it. Where there is no DynamoDB Local the test is skipped, which is a
// failure under CI=true.
func Table(t testing.TB, spec func(name string) *dynamodb.CreateTableInput, options ...func(*dynamodb.Options)) (*dynamodb.Client, string) {
	t.Helper()
	url, err := start()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI=true allows no skip: %v", err)
		}
		t.Skipf("skipped: %v", err)
	}
	client := dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: &url,
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}, options...)
	name := fmt.Sprintf("t%d-%d", os.Getpid(), tables.Add(1))
	if _, err := client.CreateTable(t.Context(), spec(name)); err != nil {
		t.Fatalf("CreateTable: %v", err)
	}
	t.Cleanup(func() {
		if _, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: aws.String(name)}); err != nil {
			t.Errorf("DeleteTable: %v", err)
		}
	})
	return client, name
}

func begin() (string, error) {
	if url := os.Getenv(Endpoint); url != "" {
		return url, nil
	}
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "..", "..", "..", "scripts", "dynamodb-local")
	if err := exec.Command(script, "installed").Run(); err != nil {
		return "", fmt.Errorf("%s is not set and DynamoDB Local is not installed (scripts/dynamodb-local install)", Endpoint)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		return "", err
	}
	server = exec.Command(script, "start", port)
	tether(server)
	if err := server.Start(); err != nil {
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
