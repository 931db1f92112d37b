//go:build cloud

package samtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"drover/internal/cloud/cloudtest"
	"drover/internal/device/sshsim"
	"drover/internal/secret"
)

type object = map[string]any

// installation is the stack in the emulator.
type installation struct {
	endpoint, host string
}

// TestSAM takes a run that is accepted and not started through its three tasks,
// each by `sam local invoke` in a container of its own: the planner plans it,
// the executor reaches a device, the finisher settles it, and the API behind the
// emulator's gateway shows the result.
func TestSAM(t *testing.T) {
	at := deploy(t)
	fleet := devices(t)
	at.call(t, http.MethodPost, "/drover/v1/import", object{
		"credentials": []any{object{"name": "sam", "username": "drover", "password": "sam-device-password"}},
		"devices":     []any{object{"name": "R1", "address": os.Getenv("SAM_HOST"), "port": forward(t, fleet.Devices[0]), "platform": "linux", "credential": "sam"}},
		"services": []any{object{"name": "hello", "type": "script", "body": `echo {{ payload["aid"] }} from {{ device.name }}`,
			"retries": object{"count": 0}, "targets": object{"devices": []string{"R1"}}}},
	}, nil)

	// The sample event of enms is a submit.
	var submitted struct {
		StatusCode int    `json:"statusCode"`
		Body       string `json:"body"`
	}
	invoke(t, at, "enms", "", &submitted)
	var accepted struct {
		Runtime string `json:"runtime"`
	}
	if err := json.Unmarshal([]byte(submitted.Body), &accepted); err != nil || submitted.StatusCode != http.StatusOK || accepted.Runtime == "" {
		t.Fatalf("enms: %+v", submitted)
	}
	var runs struct {
		Runs []struct {
			ID string `json:"id"`
		} `json:"runs"`
	}
	at.call(t, http.MethodGet, "/drover/v1/runs?limit=1", nil, &runs)
	if len(runs.Runs) != 1 {
		t.Fatal("the API shows no run")
	}
	run := runs.Runs[0].ID

	var planned struct {
		Units []int `json:"units"`
	}
	invoke(t, at, "planner", run, &planned)
	if fmt.Sprint(planned.Units) != "[0]" {
		t.Fatalf("planned %+v", planned)
	}
	var executed struct {
		Again bool `json:"again"`
	}
	invoke(t, at, "executor", run, &executed)
	if n := fleet.Executions(); executed.Again || n != 1 {
		t.Fatalf("executed %+v; %d commands", executed, n)
	}
	var finished struct {
		Settled bool   `json:"settled"`
		Status  string `json:"status"`
	}
	invoke(t, at, "finisher", run, &finished)
	if !finished.Settled || finished.Status != "succeeded" {
		t.Fatalf("finished %+v", finished)
	}
	var result struct {
		Status string `json:"status"`
		Result struct {
			Success bool `json:"success"`
			Devices map[string]struct {
				Result string `json:"result"`
			} `json:"devices"`
		} `json:"result"`
	}
	at.call(t, http.MethodGet, "/rest/result/hello/"+url.PathEscape(accepted.Runtime), nil, &result)
	if got := strings.TrimSpace(result.Result.Devices["R1"].Result); result.Status != "Completed" || !result.Result.Success || got != "1-2-3 from R1" {
		t.Errorf("result %+v", result)
	}

	// The sample event of foreman is a job of one host; that of the trigger is an
	// alarm of a schedule that is gone, which is no failure.
	invoke(t, at, "foreman", "", &submitted)
	if submitted.StatusCode != http.StatusCreated {
		t.Errorf("foreman: %+v", submitted)
	}
	var nothing any
	if invoke(t, at, "trigger", "", &nothing); nothing != nil {
		t.Errorf("trigger: %v", nothing)
	}
}

// deploy puts the stack into the emulator and takes the state machine out: what
// is submitted then waits for its tasks to be called by hand.
func deploy(t *testing.T) installation {
	t.Helper()
	endpoint, assembly := os.Getenv("ENDPOINT"), os.Getenv("DROVER_ASSEMBLY")
	if endpoint == "" || assembly == "" || os.Getenv("SAM_HOST") == "" || os.Getenv("SAM") == "" {
		t.Fatal("ENDPOINT, DROVER_ASSEMBLY, SAM_HOST and SAM are not set: run SAM=1 scripts/test-cloud")
	}
	hash, err := secret.HashPassword("admin") // as in the sample events
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	d, err := cloudtest.Deploy(ctx, endpoint, assembly, "Drover", map[string]string{"AdminPasswordHash": hash})
	if err != nil {
		t.Fatal(err)
	}
	machine := d.Outputs["StateMachineArn"]
	if _, err := sfn.NewFromConfig(cloudtest.Config(endpoint)).DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: &machine}); err != nil {
		t.Fatal(err)
	}
	api, err := url.Parse(d.Outputs["ApiUrl"])
	if err != nil {
		t.Fatal(err)
	}
	emulator, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ := strings.Cut(api.Hostname(), ".")
	return installation{endpoint, id + ".execute-api.localhost:" + emulator.Port()}
}

// call asks the API behind the emulator's gateway.
func (at installation) call(t *testing.T, method, path string, body, into any) {
	t.Helper()
	sent, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, at.endpoint+path, bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = at.host
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("admin", "admin")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, got, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(got, into); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, got)
	}
}

// invoke runs `make sam-invoke` with the function's sample event, its run
// replaced unless run is empty, and decodes what the function answered.
func invoke(t *testing.T, at installation, function, run string, into any) {
	t.Helper()
	sample, err := os.ReadFile("../../../events/" + function + ".json")
	if err != nil {
		t.Fatal(err)
	}
	event := filepath.Join(t.TempDir(), function+".json")
	if run != "" {
		var e object
		if err := json.Unmarshal(sample, &e); err != nil {
			t.Fatal(err)
		}
		e["run"] = run
		if sample, err = json.Marshal(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(event, sample, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "-C", "../../..", "sam-invoke", "FUNCTION="+function, "EVENT="+event)
	var log bytes.Buffer
	cmd.Stderr = &log
	began := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("make sam-invoke FUNCTION=%s: %v\n%s%s", function, err, out, &log)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("%s answered %s\n%s", function, out, &log)
	}
	t.Logf("%s: %s in %s", function, bytes.TrimSpace(out), time.Since(began).Round(time.Millisecond))
}

// devices starts one pretend device.
func devices(t *testing.T) *sshsim.Fleet {
	t.Helper()
	f, err := sshsim.Start(sshsim.Config{Devices: 1, Password: "sam-device-password"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// forward lets containers reach a device, which listens on loopback only, and
// returns the port.
func forward(t *testing.T, d *sshsim.Device) int {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return // closed: the test is over
			}
			to, err := net.Dial("tcp", net.JoinHostPort(d.Address, fmt.Sprint(d.Port)))
			if err != nil {
				_ = from.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
				}()
			}
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
