//go:build cloud

package cloudtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"drover/internal/device/sshsim"
	"drover/internal/e2etest"
)

// The bad days in the emulator: what internal/faulttest injects at the drivers is
// injected here between the functions and AWS, and functions are killed.
const (
	badRuns    = 2
	badDevices = 4
	// badPatience bounds a day. The longest has a claim run out: the command's
	// limit and 40 s.
	badPatience = 150 * time.Second
	badPassword = "canary-bad-day-password"
)

// badDay is one of them.
type badDay struct {
	name  string
	fault func(request) *refusal
	// during is called when the runs are submitted.
	during func(b *bad) error
	// large has the outputs become objects.
	large bool
	// ends is how every run must end, where that is certain.
	ends string
}

// is says whether a request is one of these to a service, by one of the tasks.
func is(r request, service string, functions ...string) bool {
	for _, f := range functions {
		if r.service == service && r.function == f {
			return true
		}
	}
	return false
}

func badDays() []badDay {
	var starts atomic.Int64
	return []badDay{
		{name: "throttled table", ends: "succeeded", fault: func(r request) *refusal {
			if is(r, "dynamodb", "Console", "Planner", "Executor", "Finisher", "Sweeper") && rand.IntN(5) == 0 {
				return throttle
			}
			return nil
		}},
		{name: "S3 fails, now and then", large: true, ends: "succeeded", fault: func(r request) *refusal {
			if is(r, "s3", "Executor") && rand.IntN(2) == 0 {
				return slowDown
			}
			return nil
		}},
		{name: "start that never happened", ends: "succeeded", fault: func(r request) *refusal {
			if r.operation == "StartExecution" && starts.Add(1) <= badRuns {
				return swallowed
			}
			return nil
		}},
		{name: "execution ended before its plan", ends: "failed", fault: func(r request) *refusal {
			if is(r, "dynamodb", "Planner") {
				return throttle
			}
			return nil
		}, during: (*bad).abort},
		{name: "function killed in the middle", during: (*bad).kill},
	}
}

// bad is a bad day that is under way.
type bad struct {
	t      *testing.T
	target e2etest.Target
	cfg    aws.Config
	d      *Deployment
	proxy  *between
	sweep  string // the sweeper's name
	fleet  *sshsim.Fleet
	runs   []string
}

// playBadDays plays them one after another and prints what they cost; with
// DROVER_FAULTS=FILE into that file too.
func playBadDays(t *testing.T, target e2etest.Target, d *Deployment) {
	proxy := redirect(t, target.URL, d)
	functions, err := d.Functions(t.Context(), target.URL)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "fault, in the emulator\ttimes\tlost\ttwice\tstuck\tresults\tof which unknown\t")
	for i, day := range badDays() {
		t.Run(strings.ReplaceAll(day.name, " ", "_"), func(t *testing.T) {
			b := &bad{t: t, target: target, cfg: Config(target.URL), d: d, proxy: proxy, sweep: functions["Sweeper"]}
			b.play(i, day, out)
		})
	}
	_ = out.Flush()
	t.Log("\n" + text.String())
	if file := os.Getenv("DROVER_FAULTS"); file != "" {
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bad) play(i int, day badDay, out io.Writer) {
	t, began := b.t, time.Now()
	output := "all is well\n"
	if day.large {
		output = noise(16 << 10)
	}
	var err error
	b.fleet, err = sshsim.Start(sshsim.Config{Devices: badDevices, Password: badPassword, Behave: func(int) sshsim.Behaviour {
		return sshsim.Behaviour{Respond: func(sshsim.Invocation) sshsim.Reply {
			return sshsim.Reply{Stdout: []byte(output), Delay: 300 * time.Millisecond}
		}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.fleet.Close() }()
	prefix := fmt.Sprintf("bad-%d-%d", i, time.Now().UnixMilli())
	b.load(prefix)

	hits := b.proxy.hits.Load()
	b.proxy.does(day.fault)
	for n := range badRuns {
		var made struct {
			Run struct {
				ID string `json:"id"`
			} `json:"run"`
		}
		b.call(http.MethodPost, "/drover/v1/runs", map[string]any{"service": fmt.Sprint(prefix, "-", n)}, &made, "Idempotency-Key", fmt.Sprint(prefix, "-", n))
		b.runs = append(b.runs, made.Run.ID)
	}
	if day.during != nil {
		if err := day.during(b); err != nil {
			t.Fatal(err)
		}
	}
	stuck := b.wait(began.Add(badPatience))
	b.proxy.does(nil)
	hits = b.proxy.hits.Load() - hits

	lost, twice, unknown := 0, 0, 0
	for n, id := range b.runs {
		l, w, u := b.judge(id, fmt.Sprint("work ", n), day.ends)
		lost, twice, unknown = lost+l, twice+w, unknown+u
	}
	fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", day.name, hits, lost, twice, stuck, badRuns*badDevices, unknown)
	t.Logf("%s: %d times, %d lost, %d twice, %d stuck, %d unknown, in %s", day.name, hits, lost, twice, stuck, unknown, time.Since(began).Round(time.Second))
	if lost+twice+stuck > 0 {
		t.Errorf("%d lost, %d twice, %d stuck", lost, twice, stuck)
	}
	if hits == 0 {
		t.Error("nothing was injected: this shows nothing")
	}
}

// load imports the devices, and a service for each run so that commands tell
// which run they are of.
func (b *bad) load(prefix string) {
	b.t.Helper()
	var devices, services []any
	var names []string
	for n, d := range b.fleet.Devices {
		name := fmt.Sprint(prefix, "-", n)
		names = append(names, name)
		devices = append(devices, map[string]any{"name": name, "address": d.Address, "port": d.Port, "platform": "linux", "credential": prefix})
	}
	for n := range badRuns {
		services = append(services, map[string]any{"name": fmt.Sprint(prefix, "-", n), "type": "script", "body": fmt.Sprint("work ", n), "timeout": "1s",
			"retries": map[string]any{"count": 0}, "targets": map[string]any{"devices": names}})
	}
	b.call(http.MethodPost, "/drover/v1/import", map[string]any{
		"credentials": []any{map[string]any{"name": prefix, "username": "drover", "password": badPassword}},
		"devices":     devices, "services": services}, nil)
}

// call asks the API, again for as long as it answers that something is away.
func (b *bad) call(method, path string, body, into any, header ...string) {
	b.t.Helper()
	sent, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		status, got, err := b.ask(method, path, sent, header)
		if err == nil && status < 300 {
			if into != nil {
				if err := json.Unmarshal(got, into); err != nil {
					b.t.Fatalf("%s %s: %v in %s", method, path, err, got)
				}
			}
			return
		}
		if err == nil && status < 500 && status != http.StatusTooManyRequests || time.Now().After(end) {
			b.t.Fatalf("%s %s: %d %s %v", method, path, status, got, err)
		}
		time.Sleep(200 * time.Millisecond) // another process: there is nothing to wait on
	}
}

func (b *bad) ask(method, path string, sent []byte, header []string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, b.target.URL+path, bytes.NewReader(sent))
	if err != nil {
		return 0, nil, err
	}
	r.Host = b.target.Host
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.SetBasicAuth(b.target.User, b.target.Password)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp.StatusCode, got, err
}

// runOf is what the API says of a run.
type runOf struct {
	Status string         `json:"status"`
	Reason string         `json:"reason"`
	Ended  *time.Time     `json:"ended"`
	Counts map[string]int `json:"counts"`
}

func (b *bad) run(id string) (r runOf) {
	b.t.Helper()
	var got struct {
		Run *runOf `json:"run"`
		runOf
	}
	b.call(http.MethodGet, "/drover/v1/runs/"+id, nil, &got)
	if got.Run != nil {
		return *got.Run
	}
	return got.runOf
}

// wait sweeps until the runs are over, and returns how many are not.
func (b *bad) wait(end time.Time) (stuck int) {
	b.t.Helper()
	client := lambda.NewFromConfig(b.cfg)
	for {
		stuck = 0
		for _, id := range b.runs {
			if b.run(id).Ended == nil {
				stuck++
			}
		}
		if stuck == 0 || time.Now().After(end) {
			return stuck
		}
		// The emulator's own minute is too long for a test. What goes wrong with a
		// sweep the next one does again.
		_, _ = client.Invoke(b.t.Context(), &lambda.InvokeInput{FunctionName: &b.sweep, Payload: []byte("{}")})
		time.Sleep(500 * time.Millisecond)
	}
}

// judge holds the results of a run against what its devices saw.
func (b *bad) judge(id, script, ends string) (lost, twice, unknown int) {
	b.t.Helper()
	run := b.run(id)
	var page struct {
		Results []struct {
			Device, Status, Reason, Message string
		} `json:"results"`
	}
	b.call(http.MethodGet, "/drover/v1/runs/"+id+"/results", nil, &page)
	counts := map[string]int{"total": len(page.Results)}
	for i, r := range page.Results {
		counts[r.Status]++
		n := 0
		for _, e := range b.fleet.Devices[i].Executions() {
			if strings.TrimSpace(e.Script) == script {
				n++
			}
		}
		wrong := n > 0 && (r.Status == "skipped" || r.Reason == "never_started") || n == 0 && r.Status == "succeeded"
		switch {
		case n > 1:
			twice++
		case wrong:
			lost++
		}
		if wrong || n > 1 || ends == "succeeded" && r.Status != ends {
			b.t.Errorf("run %s: device %s ran %d commands: %+v", id, r.Device, n, r)
		}
		if r.Status == "unknown" {
			unknown++
		}
	}
	if len(page.Results) != badDevices {
		lost += badDevices - len(page.Results)
	}
	for status, n := range run.Counts {
		if counts[status] != n {
			b.t.Errorf("run %s: counts %v, results %v", id, run.Counts, counts)
			lost++
		}
	}
	if ends != "" && run.Status != ends {
		b.t.Errorf("run %s is %s %s, want %s", id, run.Status, run.Reason, ends)
	}
	return lost, twice, unknown
}

// abort ends the executions from outside while their plans fail.
func (b *bad) abort() error {
	client := sfn.NewFromConfig(b.cfg)
	for _, id := range b.runs {
		arn := strings.Replace(b.d.Outputs["StateMachineArn"], ":stateMachine:", ":execution:", 1) + ":" + id
		if _, err := client.StopExecution(b.t.Context(), &sfn.StopExecutionInput{ExecutionArn: &arn}); err != nil {
			return err
		}
		b.proxy.hits.Add(1)
	}
	return nil
}

// kill ends the executor's processes when devices are at work.
func (b *bad) kill() error {
	functions, err := b.d.Functions(b.t.Context(), b.target.URL)
	if err != nil {
		return err
	}
	for end := time.Now().Add(badPatience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if b.fleet.Executions() == 0 {
			continue
		}
		for _, pid := range processes("AWS_LAMBDA_FUNCTION_NAME="+functions["Executor"], "AWS_ENDPOINT_URL="+b.target.URL) {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				b.proxy.hits.Add(1)
			}
		}
		return nil
	}
	return fmt.Errorf("no device began")
}

// processes are those that have all these variables: the emulator's port makes
// them this test's own.
func processes(variables ...string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		found := true
		for _, v := range variables {
			found = found && bytes.Contains(append([]byte{0}, env...), []byte("\x00"+v+"\x00"))
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && found {
			pids = append(pids, pid)
		}
	}
	return pids
}

// noise does not compress well.
func noise(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + rand.IntN(90))
	}
	return string(b)
}
