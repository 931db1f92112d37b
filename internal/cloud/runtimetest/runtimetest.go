// Package runtimetest is Lambda's side of a function: the runtime API that a
// bootstrap asks for events and answers to, so that tests run the real binaries
// without Lambda.
package runtimetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Process is a function that was started. It is one execution environment: one
// event at a time.
type Process struct {
	cmd     *exec.Cmd
	server  *httptest.Server
	started time.Time
	asked   chan time.Time // a /next
	events  chan event
	answers chan Answer
	exited  chan struct{}
	once    sync.Once

	mu  sync.Mutex
	log bytes.Buffer
}

type event struct {
	payload  []byte
	deadline time.Time
}

// Answer is what a function made of an event.
type Answer struct {
	Payload []byte
	Failed  bool // it is the description of an error
	At      time.Time
}

// Start runs the bootstrap with nothing in its environment but env and what
// Lambda adds.
func Start(bootstrap string, env ...string) (*Process, error) {
	p := &Process{asked: make(chan time.Time, 1), events: make(chan event), answers: make(chan Answer, 1), exited: make(chan struct{})}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	p.cmd = exec.Command(bootstrap)
	p.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(p.server.URL, "http://"),
		"AWS_LAMBDA_FUNCTION_NAME=function", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
	}, env...)
	p.cmd.Stdout, p.cmd.Stderr = writer{p}, writer{p}
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		p.server.Close()
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // Stop kills it; who waits for an answer sees its log
		close(p.exited)
	}()
	return p, nil
}

// Ready waits for the first time that the function asks for an event, and
// returns how long it took to get there.
func (p *Process) Ready(ctx context.Context) (time.Duration, error) {
	select {
	case at := <-p.asked:
		return at.Sub(p.started), nil
	case <-p.exited:
		return 0, fmt.Errorf("the function ended before it asked for an event: %s", p.Log())
	case <-ctx.Done():
		return 0, fmt.Errorf("the function does not ask for an event: %s", p.Log())
	}
}

// Invoke hands an event to the function, and as Lambda does kills the function
// when the deadline has come: then it is an error.
func (p *Process) Invoke(payload []byte, deadline time.Time) (Answer, error) {
	end := time.NewTimer(time.Until(deadline))
	defer end.Stop()
	select {
	case p.events <- event{payload, deadline}:
	case <-p.exited:
		return Answer{}, fmt.Errorf("the function has ended: %s", p.Log())
	case <-end.C:
		return Answer{}, fmt.Errorf("the function does not ask for an event: %s", p.Log())
	}
	select {
	case a := <-p.answers:
		return a, nil
	case <-p.exited:
		return Answer{}, fmt.Errorf("the function has ended: %s", p.Log())
	case <-end.C:
		p.Stop()
		return Answer{}, fmt.Errorf("the function was killed at its deadline: %s", p.Log())
	}
}

// Stop kills the function, if it still runs, and returns when it is gone.
func (p *Process) Stop() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		p.server.CloseClientConnections()
		p.server.Close()
	})
}

// Log returns what the function has written.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

type writer struct{ p *Process }

func (w writer) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.log.Write(b)
}

// serve is the runtime API: GET …/invocation/next, POST …/invocation/ID/response
// and …/error.
func (p *Process) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/2018-06-01/runtime/invocation/")
	if path == "next" {
		select {
		case p.asked <- time.Now():
		default:
		}
		select {
		case e := <-p.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadline.UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:function")
			_, _ = w.Write(e.payload)
		case <-r.Context().Done():
		}
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the function was killed in the middle
	}
	p.answers <- Answer{Payload: body, Failed: strings.HasSuffix(path, "/error"), At: time.Now()}
	w.WriteHeader(http.StatusAccepted)
}
