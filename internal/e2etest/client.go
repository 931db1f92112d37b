// Package e2etest holds the end-to-end cases. They are the same code for the one
// process and for the functions in a cloud: they know a base URL, an
// administrator, and nothing of what is behind them. The devices are pretend
// ones that listen on loopback addresses, so whatever connects to them runs on
// this machine.
package e2etest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// Target is an installation under test. It may be in use by others; what the
// cases store in it begins with "e2e-".
type Target struct {
	URL      string // without a slash at the end
	Host     string // of the Host header; "": as in URL
	User     string // an administrator
	Password string
	// Settle bounds what the sweeper may have to do: a cancel, most of all.
	Settle time.Duration
	// Patience is how long a synchronous call may wait for its run.
	Patience time.Duration
	// Restart ends everything in the middle of what it does, and starts it again
	// with what it has kept.
	Restart func() error
	// Meddle does to the execution that was started last what happens on bad days:
	// calls its tasks once more while they are under way, sweeps meanwhile, and
	// ends it from outside. Nil where there is nothing to meddle with.
	Meddle func() error
}

// client makes calls of one case.
type client struct {
	t      *testing.T
	target Target
}

// answer is what a call returned.
type answer struct {
	status int
	body   []byte
}

// call sends a JSON body (none when nil) with the administrator's credentials.
func (c client) call(method, path string, body any, header ...string) answer {
	c.t.Helper()
	return c.callAs(c.target.User, c.target.Password, method, path, body, header...)
}

func (c client) callAs(user, password, method, path string, body any, header ...string) answer {
	c.t.Helper()
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		sent = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.target.URL+path, sent)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.target.Host != "" {
		r.Host = c.target.Host
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{resp.StatusCode, got}
}

// outcome is a run's answer, as much of it as the cases look at.
type outcome struct {
	Runtime string   `json:"runtime"`
	Success bool     `json:"success"`
	Errors  []string `json:"errors"`
	Summary struct {
		Success []string `json:"success"`
		Failure []string `json:"failure"`
	} `json:"summary"`
	Devices map[string]struct {
		Success bool   `json:"success"`
		Result  string `json:"result"`
		Code    string `json:"return_code"`
	} `json:"devices"`
}

// run calls run_service and expects it to be accepted.
func (c client) run(body map[string]any, header ...string) outcome {
	c.t.Helper()
	a := c.call(http.MethodPost, "/rest/run_service", body, header...)
	if a.status != http.StatusOK {
		c.t.Fatalf("run_service: %d %s", a.status, a.body)
	}
	var o outcome
	a.into(c.t, &o)
	if o.Runtime == "" || len(o.Errors) > 0 {
		c.t.Fatalf("run_service: %s", a.body)
	}
	return o
}

// result asks for a run's result; status is "Running" until it is over.
func (c client) result(service, runtime string) (status string, o outcome) {
	c.t.Helper()
	a := c.call(http.MethodGet, "/rest/result/"+url.PathEscape(service)+"/"+url.PathEscape(runtime), nil)
	if a.status != http.StatusOK {
		c.t.Fatalf("result: %d %s", a.status, a.body)
	}
	var got struct {
		Status string          `json:"status"`
		Result json.RawMessage `json:"result"`
	}
	a.into(c.t, &got)
	if got.Status != "Running" {
		answer{body: got.Result}.into(c.t, &o)
	}
	return got.Status, o
}

// wait asks until the run is over.
func (c client) wait(service, runtime string, limit time.Duration) (status string, o outcome) {
	c.t.Helper()
	ok := c.eventually(limit, func() bool {
		status, o = c.result(service, runtime)
		return status != "Running"
	})
	if !ok {
		c.t.Fatalf("the run %s is not over after %s", runtime, limit)
	}
	return status, o
}

// eventually asks twice a second: what it asks is another process, so there is
// nothing to wait on.
func (c client) eventually(limit time.Duration, done func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(500 * time.Millisecond) {
		if done() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

// object is a piece of a fleet file.
type object = map[string]any

// load imports a fleet and expects all of it to be taken.
func (c client) load(fleet object) {
	c.t.Helper()
	if a := c.call(http.MethodPost, "/drover/v1/import", fleet); a.status != http.StatusOK {
		c.t.Fatalf("import: %d %s", a.status, a.body)
	}
}

// names are "<prefix>-R1" and so on.
func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("e2e-%s-R%d", prefix, i+1)
	}
	return all
}
