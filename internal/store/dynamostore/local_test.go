package dynamostore

import (
	"errors"
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"drover/internal/store/dynamotest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	dynamotest.Stop()
	os.Exit(code)
}

// newTable makes a table of the test's own and returns its name and a client
// whose requests go through transport.
func newTable(t testing.TB, transport http.RoundTripper) (*dynamodb.Client, string) {
	t.Helper()
	return dynamotest.Table(t, TableSpec, func(o *dynamodb.Options) { o.HTTPClient = &http.Client{Transport: transport} })
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
