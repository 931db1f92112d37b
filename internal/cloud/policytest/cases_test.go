//go:build cloud

package policytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"drover/internal/device/sshsim"
)

// testCase is one thing that the service does, from the API to the device.
type testCase struct {
	without [][2]string // rights that it takes away: policy and statement
	run     func(ctx context.Context, w *world) error
}

// patience is how long a case waits for what takes a second or two.
const patience = 8 * time.Second

func cases() map[string]testCase {
	all := map[string]testCase{
		"a changed host key": {run: hostKey},
		"a run that is told": {run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error {
				return errors.Join(s.completes(ctx, "enms"), s.told(ctx, "run.ended"))
			})
		}},
		"a start that was lost": {without: [][2]string{{"enms", "StartRuns"}}, run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error {
				if err := s.submit(ctx, "enms"); err != nil {
					return err
				}
				return s.swept(ctx, func() error { return s.over(ctx, "succeeded") })
			})
		}},
		"a stop that was lost": {without: lost, run: func(ctx context.Context, w *world) error {
			return w.with(ctx, slow(), func(s *site) error {
				if err := s.cancelRunning(ctx, "enms"); err != nil {
					return err
				}
				return s.swept(ctx, func() error { return s.aborted(ctx) })
			})
		}},
		// Without its table the planner begins nothing, and is tried again.
		"an execution that was ended before it began": {without: [][2]string{{"planner", "WriteTable"}}, run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error {
				if err := s.submit(ctx, "enms"); err != nil {
					return err
				}
				arn := s.execution()
				if _, err := sfn.NewFromConfig(w.cfg).StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: &arn}); err != nil {
					return err
				}
				return s.swept(ctx, func() error { return s.over(ctx, "failed") })
			})
		}},
		"an end that was lost": {without: lost, run: func(ctx context.Context, w *world) error {
			return w.with(ctx, slow(), func(s *site) error {
				if err := s.cancelRunning(ctx, "enms"); err != nil {
					return err
				}
				if err := s.swept(ctx, func() error { return s.over(ctx, "canceled") }); err != nil {
					return err
				}
				return s.told(ctx, "run.ended")
			})
		}},
	}
	maps.Copy(all, alarmCases())
	for _, front := range []string{"enms", "foreman", "console"} {
		all["a run by "+front] = testCase{run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error { return s.completes(ctx, front) })
		}}
		all["a large output by "+front] = testCase{run: func(ctx context.Context, w *world) error {
			out := noise(40_000)
			return w.with(ctx, sshsim.Config{Behave: func(int) sshsim.Behaviour {
				return sshsim.Behaviour{Respond: func(sshsim.Invocation) sshsim.Reply { return sshsim.Reply{Stdout: []byte(out)} }}
			}}, func(s *site) error {
				if err := s.completes(ctx, front); err != nil {
					return err
				}
				return s.shows(ctx, front, out)
			})
		}}
		all["a long script by "+front] = testCase{run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error {
				s.script = "echo ok # " + noise(20_000)
				return s.completes(ctx, front)
			})
		}}
		all["a cancel by "+front] = testCase{run: func(ctx context.Context, w *world) error {
			return w.with(ctx, slow(), func(s *site) error {
				return errors.Join(s.cancelRunning(ctx, front), eventually(ctx, 3*time.Second, func() error { return s.aborted(ctx) }))
			})
		}}
		all["a cancel before the start by "+front] = testCase{without: [][2]string{{front, "StartRuns"}}, run: func(ctx context.Context, w *world) error {
			return w.with(ctx, quick(), func(s *site) error {
				if err := errors.Join(s.submit(ctx, front), s.cancel(ctx, front)); err != nil {
					return err
				}
				return errors.Join(s.over(ctx, "canceled"), s.told(ctx, "run.ended"))
			})
		}}
	}
	return all
}

// lost is what leaves a canceled run to the sweeper.
var lost = [][2]string{{"enms", "StopRuns"}, {"finisher", "WriteTable"}}

// answering is a device that answers every script at once.
func answering(out string) sshsim.Config {
	return sshsim.Config{Behave: func(int) sshsim.Behaviour {
		return sshsim.Behaviour{Respond: func(sshsim.Invocation) sshsim.Reply { return sshsim.Reply{Stdout: []byte(out)} }}
	}}
}

func quick() sshsim.Config { return answering("ok\n") }

// slow is a device that does what the script says: it sleeps.
func slow() sshsim.Config { return sshsim.Config{} }

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// noise does not compress well.
func noise(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
		if i%80 == 79 {
			b[i] = '\n'
		}
	}
	return string(b)
}

// site is a device with a service of its own.
type site struct {
	w            *world
	fleet        *sshsim.Fleet
	name, script string
	run, runtime string
	number       int // Foreman's of the run
	schedule     int64
	loaded       bool
}

var sites atomic.Int64

// with starts a device, imports nothing yet, and plays.
func (w *world) with(ctx context.Context, c sshsim.Config, play func(*site) error) error {
	c.Devices, c.Password = 1, "policy-device-password"
	f, err := sshsim.Start(c)
	if err != nil {
		return fmt.Errorf("PROOF BROKEN: %w", err)
	}
	defer func() { _ = f.Close() }()
	s := &site{w: w, fleet: f, name: fmt.Sprintf("policy-%d", sites.Add(1)), script: "sleep 40"}
	return play(s)
}

// load imports the device and its service.
func (s *site) load(ctx context.Context) error {
	d := s.fleet.Devices[0]
	if !s.loaded {
		if err := s.w.call(ctx, http.MethodPost, "/drover/v1/import", object{
			"credentials": []any{object{"name": s.name, "username": "drover", "password": "policy-device-password"}},
			"devices":     []any{object{"name": s.name, "address": d.Address, "port": d.Port, "platform": "linux", "credential": s.name}},
			"services": []any{object{"name": s.name, "type": "script", "body": s.script, "timeout": "60s",
				"retries": object{"count": 0}, "targets": object{"devices": []string{s.name}}}},
		}, nil); err != nil {
			return err
		}
		s.loaded = true
	}
	return nil
}

// submit imports, and submits by a front.
func (s *site) submit(ctx context.Context, front string) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	if front == "foreman" {
		return s.invoke(ctx, nil)
	}
	if front == "console" {
		var out struct {
			Run struct {
				ID string `json:"id"`
			} `json:"run"`
		}
		err := s.w.call(ctx, http.MethodPost, "/drover/v1/runs", object{"service": s.name}, &out)
		s.run = out.Run.ID
		return err
	}
	var out struct {
		Runtime string `json:"runtime"`
	}
	if err := s.w.call(ctx, http.MethodPost, "/rest/run_service", object{"name": s.name, "async": true}, &out); err != nil {
		return err
	}
	s.runtime = out.Runtime
	var runs struct {
		Runs []struct {
			ID string `json:"id"`
		} `json:"runs"`
	}
	if err := s.w.call(ctx, http.MethodGet, "/drover/v1/runs?limit=1&service="+s.name, nil, &runs); err != nil {
		return err
	}
	if len(runs.Runs) != 1 {
		return errors.New("no run is listed")
	}
	s.run = runs.Runs[0].ID
	return nil
}

// invoke submits by Foreman's API, now or as the scheduling says.
func (s *site) invoke(ctx context.Context, scheduling object) error {
	var out struct {
		ID int `json:"id"`
	}
	// The effective user is the one that logs in: nothing is switched.
	if err := s.w.call(ctx, http.MethodPost, "/api/job_invocations", object{"job_invocation": object{
		"feature": "run_script", "search_query": "name = " + s.name, "targeting_type": "static_query", "inputs": object{"command": s.script},
		"ssh": object{"effective_user": "drover"}, "scheduling": scheduling}}, &out); err != nil {
		return err
	}
	s.number = out.ID
	var runs struct {
		Runs []struct {
			ID string `json:"id"`
		} `json:"runs"`
	}
	if err := s.w.call(ctx, http.MethodGet, "/drover/v1/runs?limit=1", nil, &runs); err != nil {
		return err
	}
	if len(runs.Runs) != 1 {
		return errors.New("no run is listed")
	}
	s.run = runs.Runs[0].ID
	return nil
}

// eventually asks until there is no error, or returns the last one.
func eventually(ctx context.Context, limit time.Duration, ask func() error) error {
	for end := time.Now().Add(limit); ; {
		err := ask()
		if err == nil || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond) // another process: there is nothing to wait on
	}
}

// over asks once whether the run has ended so.
func (s *site) over(ctx context.Context, status string) error {
	var run struct {
		Status string `json:"status"`
	}
	if err := s.w.call(ctx, http.MethodGet, "/drover/v1/runs/"+s.run, nil, &run); err != nil {
		return err
	}
	if run.Status != status {
		return fmt.Errorf("the run is %s, not %s", run.Status, status)
	}
	return nil
}

// completes submits and waits for success.
func (s *site) completes(ctx context.Context, front string) error {
	if err := s.submit(ctx, front); err != nil {
		return err
	}
	return eventually(ctx, patience, func() error { return s.over(ctx, "succeeded") })
}

// shows expects the whole output in the front's answer.
func (s *site) shows(ctx context.Context, front, want string) error {
	path := "/drover/v1/runs/" + s.run + "/results"
	switch front {
	case "foreman":
		path = fmt.Sprintf("/api/job_invocations/%d/outputs?raw=true", s.number)
	case "enms":
		path = "/rest/result/" + s.name + "/" + url.PathEscape(s.runtime)
	}
	var out any
	if err := s.w.call(ctx, http.MethodGet, path, nil, &out); err != nil {
		return err
	}
	if !strings.Contains(fmt.Sprint(out), want) {
		return errors.New("the output is not in the result")
	}
	return nil
}

// cancel asks a front to cancel.
func (s *site) cancel(ctx context.Context, front string) error {
	if front == "foreman" {
		return s.w.call(ctx, http.MethodPost, fmt.Sprintf("/api/job_invocations/%d/cancel", s.number), object{}, nil)
	}
	if front == "console" {
		return s.w.call(ctx, http.MethodPost, "/drover/v1/runs/"+s.run+"/cancel", object{}, nil)
	}
	return s.w.call(ctx, http.MethodPost, "/rest/stop_run/"+url.PathEscape(s.runtime), nil, nil)
}

// cancelRunning cancels when the device is at work.
func (s *site) cancelRunning(ctx context.Context, front string) error {
	if err := s.submit(ctx, front); err != nil {
		return err
	}
	if err := eventually(ctx, patience, func() error {
		if s.fleet.Executions() == 0 {
			return errors.New("the device does not begin")
		}
		return nil
	}); err != nil {
		return err
	}
	return s.cancel(ctx, front)
}

// execution is the ARN of the run's execution.
func (s *site) execution() string {
	return strings.Replace(s.w.outputs["StateMachineArn"], ":stateMachine:", ":execution:", 1) + ":" + s.run
}

// aborted asks once whether the execution was stopped from outside.
func (s *site) aborted(ctx context.Context) error {
	arn := s.execution()
	out, err := sfn.NewFromConfig(s.w.cfg).DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	if err != nil {
		return err
	}
	if out.Status != "ABORTED" {
		return fmt.Errorf("the execution is %s", out.Status)
	}
	return nil
}

// swept calls the sweeper until something is so. It looks at what is due, which
// a lost start is after 15 s.
func (s *site) swept(ctx context.Context, so func() error) error {
	return eventually(ctx, 30*time.Second, func() error {
		name := s.w.functions["sweeper"]
		out, err := lambda.NewFromConfig(s.w.cfg).Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: []byte("{}")})
		if err != nil {
			return err
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
		if err := so(); err != nil {
			return fmt.Errorf("%w %s", err, cmp.Or(aws.ToString(out.FunctionError), ""))
		}
		return nil
	})
}

var body = regexp.MustCompile(`(?s)<Body>(.*?)</Body>`)

var receipt = regexp.MustCompile(`(?s)<ReceiptHandle>(.*?)</ReceiptHandle>`)

// told waits for an event of the run or of the device.
func (s *site) told(ctx context.Context, kind string) error {
	return eventually(ctx, patience, func() error {
		b, err := s.w.query(ctx, "sqs", "2012-11-05", url.Values{"Action": {"ReceiveMessage"}, "QueueUrl": {s.w.queue}, "MaxNumberOfMessages": {"10"}})
		if err != nil {
			return err
		}
		found := false
		for _, m := range body.FindAllSubmatch(b, -1) {
			text := strings.ReplaceAll(string(m[1]), "&quot;", `"`)
			found = found || strings.Contains(text, kind) && (strings.Contains(text, s.run) || strings.Contains(text, s.name))
		}
		for _, m := range receipt.FindAllSubmatch(b, -1) {
			if _, err := s.w.query(ctx, "sqs", "2012-11-05", url.Values{"Action": {"DeleteMessage"}, "QueueUrl": {s.w.queue}, "ReceiptHandle": {string(m[1])}}); err != nil {
				return err
			}
		}
		if !found {
			return fmt.Errorf("no event %s", kind)
		}
		return nil
	})
}

// hostKey runs, changes the device's key, and runs again: the device is refused
// and somebody is told.
func hostKey(ctx context.Context, w *world) error {
	return w.with(ctx, quick(), func(s *site) error {
		if err := s.completes(ctx, "enms"); err != nil {
			return err
		}
		key, err := sshsim.NewHostKey()
		if err != nil {
			return fmt.Errorf("PROOF BROKEN: %w", err)
		}
		s.fleet.Devices[0].SetHostKey(key)
		if err := s.submit(ctx, "enms"); err != nil {
			return err
		}
		if err := eventually(ctx, patience, func() error { return s.over(ctx, "failed") }); err != nil {
			return err
		}
		return s.told(ctx, "host_key.changed")
	})
}
