package standalone_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"drover/internal/device/sshsim"
	"drover/internal/standalone"
)

// long starts an App with a service of three hours on a fleet, and runs it. It
// returns when the commands run, with the path of the result.
func long(t *testing.T, cfg standalone.Config, script string) (*running, *sshsim.Fleet, string) {
	t.Helper()
	r := start(t, cfg)
	f := r.fleet(t, 4, script, map[string]any{"concurrency": 4, "timeout": "3h"})
	var answer struct{ Runtime string }
	if err := json.Unmarshal([]byte(r.ok(t, "POST", "/rest/run_service", map[string]any{"name": "hello", "async": true})), &answer); err != nil {
		t.Fatal(err)
	}
	for f.Executions() < 4 {
		time.Sleep(5 * time.Millisecond)
	}
	return r, f, "/rest/result/hello/" + strings.ReplaceAll(answer.Runtime, " ", "%20")
}

// end waits for the end of a run.
func (r *running) end(t *testing.T, result string) string {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		out := r.ok(t, "GET", result, nil)
		if !strings.Contains(out, `"status":"Running"`) {
			return out
		}
		if time.Since(begin) > 60*time.Second {
			t.Fatalf("the run does not end: %s", out)
		}
	}
}

// Long commands do not notice that the process is started anew, whether it was
// cut off or drained.
func TestDetached_GoOnOverARestart(t *testing.T) {
	for _, drain := range []bool{false, true} {
		cfg := standalone.Config{Data: t.TempDir()}
		r, f, result := long(t, cfg, "echo begun; sleep 2; echo done")
		if drain {
			begin := time.Now()
			if err := r.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("draining took %s", took)
			}
		}
		r.stop()
		r = start(t, cfg)
		if out := r.end(t, result); !strings.Contains(out, `"success":true`) || strings.Count(out, `begun\ndone`) < 4 {
			t.Errorf("drain %v: %s", drain, out)
		}
		if n := f.Executions(); n != 4 {
			t.Errorf("drain %v: %d commands on 4 devices", drain, n)
		}
	}
}

func TestDetached_Cancel(t *testing.T) {
	r, f, result := long(t, standalone.Config{Data: t.TempDir()}, "echo begun; sleep 3600")
	var runs struct {
		Runs []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(r.ok(t, "GET", "/drover/v1/runs", nil)), &runs); err != nil || len(runs.Runs) != 1 {
		t.Fatal(runs, err)
	}
	r.ok(t, "POST", "/drover/v1/runs/"+runs.Runs[0].ID+"/cancel", map[string]any{})
	begin := time.Now()
	out := r.end(t, result)
	if strings.Contains(out, `"success":true`) || time.Since(begin) > 30*time.Second {
		t.Errorf("after %s: %s", time.Since(begin), out)
	}
	for _, d := range f.Devices {
		if d.Running() != 0 || d.Count() != 1 {
			t.Errorf("%s: %d of %d commands run", d.Name, d.Running(), d.Count())
		}
	}
}
