//go:build cloud

package cloudtest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// request is what a function asks of AWS.
type request struct {
	function  string // as in the template
	service   string // dynamodb, s3, states
	operation string // PutItem, StartExecution; of S3 the method
}

// refusal is an answer that is given in the place of AWS's.
type refusal struct {
	status int
	kind   string // of the content
	body   string
}

var (
	throttle  = &refusal{http.StatusBadRequest, "application/x-amz-json-1.0", `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"too much"}`}
	slowDown  = &refusal{http.StatusServiceUnavailable, "application/xml", `<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`}
	swallowed = &refusal{http.StatusOK, "application/x-amz-json-1.0", `{"executionArn":"arn:aws:states:us-east-1:000000000000:execution:none:none","startDate":1.7e9}`}
)

// between stands between the functions and the emulator, on an address for each
// function, and refuses what the fault of the day says.
type between struct {
	fault atomic.Pointer[func(request) *refusal]
	hits  atomic.Int64
}

// redirected are the services whose requests go through it.
var redirected = []string{"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SFN"}

// redirect puts it there until the test is over.
func redirect(t *testing.T, endpoint string, d *Deployment) *between {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	functions, err := d.Functions(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	b := &between{}
	for id, name := range functions {
		pass := httputil.NewSingleHostReverseProxy(target)
		pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if f := b.fault.Load(); f != nil {
				if no := (*f)(of(id, r)); no != nil {
					b.hits.Add(1)
					_, _ = io.Copy(io.Discard, r.Body)
					w.Header().Set("Content-Type", no.kind)
					w.WriteHeader(no.status)
					_, _ = io.WriteString(w, no.body)
					return
				}
			}
			pass.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		point(t, endpoint, name, server.URL)
		t.Cleanup(func() { point(t, endpoint, name, "") })
	}
	return b
}

// point has a function's next process send its requests elsewhere; "": to the
// emulator itself.
func point(t *testing.T, endpoint, function, to string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	client := lambda.NewFromConfig(Config(endpoint))
	f, err := client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	if f.Environment != nil && f.Environment.Variables != nil {
		env = f.Environment.Variables
	}
	for _, name := range redirected {
		delete(env, name)
		if to != "" {
			env[name] = to
		}
	}
	if _, err := client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: &function, Environment: &types.Environment{Variables: env}}); err != nil {
		t.Fatal(err)
	}
}

// of says what a request asks for. Its signature names the service.
func of(function string, r *http.Request) request {
	out := request{function: function, operation: r.Method}
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	if parts := strings.Split(scope, "/"); len(parts) == 5 { // key/date/region/service/aws4_request
		out.service = parts[3]
	}
	if _, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		out.operation = operation
	}
	return out
}

// does sets the fault of the day; nil: none.
func (b *between) does(fault func(request) *refusal) {
	if fault == nil {
		b.fault.Store(nil)
		return
	}
	b.fault.Store(&fault)
}
