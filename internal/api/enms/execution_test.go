package enms_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/api/apitest"
	"drover/internal/device/sshsim"
	"drover/internal/inventory"
	"drover/internal/job"
	"drover/internal/standalone"
)

// 38: a caller that hangs up leaves the run going; 504 names the run.
func TestChecklist_SyncGoesOnWithoutItsCaller(t *testing.T) {
	s := start(t, apitest.Options{})
	s.Script("brief", "sleep 0.3\necho done", nil)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan apitest.Answer)
	go func() {
		over <- s.DoContext(ctx, apitest.Request{Method: "POST", Path: "/rest/run_service", Body: `{"name":"brief","devices":["R1"]}`, User: apitest.Admin})
	}()
	s.Eventually("the command runs", func() bool { return s.Fleet.Devices[0].Running() == 1 })
	cancel()
	if a := <-over; a.Status != 499 {
		t.Errorf("the log says %d", a.Status)
	}
	s.Eventually("the run is over", func() bool {
		return s.Fleet.Devices[0].Running() == 0 && s.Fleet.Devices[0].Count() == 1
	})
	if st := s.Fleet.Devices[0].Executions()[0].Status; st != 0 {
		t.Errorf("the command ended with %d", st)
	}
}

func TestSync_AnswersInTimeWithTheRuntime(t *testing.T) {
	s := start(t, apitest.Options{Adjust: func(c *standalone.Config) { c.SyncTimeout = 50 * time.Millisecond }})
	s.Script("brief", "sleep 0.5\necho done", nil)
	a := run(s, `{"name":"brief","devices":["R1"]}`)
	at := runtimeOf(a)
	if a.Status != http.StatusGatewayTimeout || at == "" || fmt.Sprint(decoded(a)["errors"]) != "[]" || !strings.HasPrefix(fmt.Sprint(decoded(a)["alert"]), "Error 504 - ") {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	s.Eventually("the result is there", func() bool {
		return decoded(s.Do(apitest.Request{Method: "GET", Path: resultPath("brief", at), User: apitest.Admin}))["status"] == "Completed"
	})
}

// A gateway gives up at a time of its own: what cannot be read by then is a
// 504 of ours.
func TestResult_TooSlowForTheCallerIs504(t *testing.T) {
	s := start(t, apitest.Options{})
	s.Script("brief", "echo done", nil)
	at := runtimeOf(run(s, `{"name":"brief","devices":["R1"]}`))
	ctx, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	for _, path := range []string{resultPath("brief", at), "/rest/run_log/" + url.PathEscape(at)} {
		a := s.DoContext(ctx, apitest.Request{Method: "GET", Path: path, User: apitest.Admin})
		if want := "{\"alert\":\"Error 504 - The answer takes longer than this way of asking allows.\"}\n"; a.Status != http.StatusGatewayTimeout || a.Body != want {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
}

// 62 and 82: stop kills what runs, and says what happened to whom.
func TestChecklist_Stop(t *testing.T) {
	s := start(t, apitest.Options{})
	one := 1
	s.Script("mixed", `{{ "echo quick" if device.name == "R1" else "echo begun\nsleep 60" }}`, func(in *inventory.ServiceInput) { in.Concurrency = &one })
	at := runtimeOf(run(s, `{"name":"mixed","devices":["R1","R2","R3"],"async":true}`))
	s.Eventually("R2 runs", func() bool { return s.Fleet.Devices[1].Running() == 1 })
	stop := apitest.Request{Method: "POST", Path: "/rest/stop_run/" + url.PathEscape(at), User: apitest.Operator}
	if a := s.Do(stop); a.Status != 200 || a.Body != "true\n" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	var last object
	s.Eventually("the run is over", func() bool {
		last = decoded(s.Do(apitest.Request{Method: "GET", Path: resultPath("mixed", at), User: apitest.Admin}))
		return last["status"] != "Running"
	})
	if last["status"] != "Aborted" {
		t.Fatalf("%v", last)
	}
	main := last["result"].(object)
	if got := fmt.Sprint(main["summary"]); got != "map[discard:[] failure:[R2 R3] success:[R1]]" || main["success"] != false {
		t.Errorf("summary %s", got)
	}
	devices := main["devices"].(object)
	if r1, _ := devices["R1"].(object); r1["result"] != "quick\n" || r1["success"] != true {
		t.Errorf("R1 finished before: %v", r1)
	}
	if r2, _ := devices["R2"].(object); r2["result"] != "Aborted" || r2["success"] != false {
		t.Errorf("R2 was stopped: %v", r2)
	}
	if _, there := devices["R3"]; there || s.Fleet.Devices[2].Count() != 0 {
		t.Errorf("R3 never started: %v", devices["R3"])
	}
	s.Eventually("the command is killed", func() bool { return s.Fleet.Devices[1].Running() == 0 })
	if a := s.Do(stop); a.Body != "null\n" {
		t.Errorf("a second stop: %s", a.Body)
	}
}

// 65 and 66: how many at once, and how often.
func TestChecklist_ProcessesAndRetries(t *testing.T) {
	s := start(t, apitest.Options{Devices: 6, Behave: func(int) sshsim.Behaviour { return sshsim.Behaviour{Delay: 30 * time.Millisecond} }})
	for _, c := range []struct {
		body string
		most int
	}{{`"multiprocessing": false`, 1}, {`"multiprocessing": true, "max_processes": 3`, 3}} {
		mustSave(t, s, "unix_shell_script_service", `{"name": "width", "source_code": "sleep 0.05", `+c.body+`}`)
		before := time.Now()
		if o := decoded(run(s, `{"name":"width","pools":["all"]}`)); o["success"] != true {
			t.Fatalf("%v", o)
		}
		if most := mostAtOnce(s, before); most > c.most || c.most > 1 && most == 1 {
			t.Errorf("row 65, %s: %d at once", c.body, most)
		}
	}
	mustSave(t, s, "unix_shell_script_service", `{"name": "again", "source_code": "false", "number_of_retries": 2, "time_between_retries": 0.05}`)
	before := s.Fleet.Devices[0].Count()
	run(s, `{"name":"again","devices":["R1"]}`)
	tries := s.Fleet.Devices[0].Executions()[before:]
	if len(tries) != 3 {
		t.Fatalf("row 66: %d attempts", len(tries))
	}
	for i := 1; i < len(tries); i++ {
		if pause := tries[i].Started.Sub(tries[i-1].Ended); pause < 45*time.Millisecond {
			t.Errorf("row 66: %v between attempts", pause)
		}
	}
}

// mostAtOnce is how many scripts overlapped since a moment.
func mostAtOnce(s *apitest.Service, since time.Time) int {
	type edge struct {
		at time.Time
		by int
	}
	var edges []edge
	for _, d := range s.Fleet.Devices {
		for _, e := range d.Executions() {
			if e.Started.After(since) {
				edges = append(edges, edge{e.Started, 1}, edge{e.Ended, -1})
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	now, most := 0, 0
	for _, e := range edges {
		now += e.by
		most = max(most, now)
	}
	return most
}

// 72 and 73: a device that fails in its own way fails alone, and says how.
func TestChecklist_DevicesThatCannotBeUsed(t *testing.T) {
	s := start(t, apitest.Options{})
	mustSave(t, s, "credential", `{"name": "bad", "username": "drover", "password": "wrong"}`)
	mustSave(t, s, "device", fmt.Sprintf(`[{"name": "nocred", "ip_address": %q, "port": %d},
		{"name": "badpw", "ip_address": %q, "port": %d, "credential": "bad"}, {"name": "down", "ip_address": "127.0.0.1", "port": 1, "credential": "lab"}]`,
		s.Fleet.Devices[1].Address, s.Fleet.Devices[1].Port, s.Fleet.Devices[1].Address, s.Fleet.Devices[1].Port))
	a := run(s, `{"name":"hello","devices":["R1","nocred","badpw","down"]}`)
	o := decoded(a)
	if got := fmt.Sprint(o["summary"]); got != "map[discard:[] failure:[nocred badpw down] success:[R1]]" {
		t.Errorf("%s", a.Body)
	}
	devices := o["devices"].(object)
	for name, want := range map[string]string{"nocred": "No matching credentials found for DEVICE 'nocred'", "badpw": "Authentication to device failed.", "down": "The device cannot be reached."} {
		entry, _ := devices[name].(object)
		if text, _ := entry["result"].(string); !strings.HasPrefix(text, want) || entry["success"] != false || entry["return_code"] != nil {
			t.Errorf("%s: %v", name, entry)
		}
	}
	if strings.Contains(a.Body, "wrong") {
		t.Errorf("the password is in the answer: %s", a.Body)
	}
}

// The run log tells what happened, and no output.
func TestRunLog(t *testing.T) {
	s := start(t, apitest.Options{})
	at := runtimeOf(run(s, `{"name":"second","devices":["R1","R2"]}`))
	a := s.Do(apitest.Request{Method: "GET", Path: "/rest/run_log/" + url.PathEscape(at), User: apitest.Viewer})
	o := decoded(a)
	log, _ := o["logs"].(string)
	for _, want := range []string{"run of 2 devices accepted", "started", "DEVICE R1 - succeeded, attempt 1, exit status 0", "error - USER admin - SERVICE second - DEVICE R2 - failed, attempt 1, exit_status, exit status 3", "ended: failed devices"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in %s", want, log)
		}
	}
	if o["refresh"] != false || strings.Contains(log, "fine") {
		t.Errorf("%s", a.Body)
	}
	if a := s.Do(apitest.Request{Method: "GET", Path: "/rest/run_log/now", User: apitest.Viewer}); a.Status != 404 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// An answer has at most 5 MiB: long texts go first, and it says so.
func TestAnswers_AreBounded(t *testing.T) {
	s := start(t, apitest.Options{})
	big := int64(8 << 20)
	s.Script("big", `bytes {{ "4000000" if device.name != "R1" else "100" }}`, func(in *inventory.ServiceInput) { in.OutputLimit = &big })
	a := run(s, `{"name":"big","devices":["R1","R2","R3"]}`)
	o := decoded(a)
	if len(a.Body) > 5<<20 || fmt.Sprint(o["cut"]) != "map[devices:0 texts:2]" {
		t.Fatalf("%d bytes, cut %v", len(a.Body), o["cut"])
	}
	devices := o["devices"].(object)
	if text := devices["R1"].(object)["result"].(string); len(text) != 100 {
		t.Errorf("the short text has %d bytes", len(text))
	}
	if text := devices["R2"].(object)["result"].(string); !regexp.MustCompile(`\n\[cut: \d+ of 4000000 bytes are left out\]$`).MatchString(text) {
		t.Errorf("the long text ends in %q", text[len(text)-80:])
	}
	if d := job.DefaultOutputLimit; d > 5<<20 {
		t.Errorf("the default of one output, %d, is more than an answer", d)
	}
}
