package standalone_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/internal/device/sshsim"
)

// kills is how often the process is killed.
const kills = 100

// server is the real program, started from its binary.
type server struct {
	t    *testing.T
	bin  string
	dir  string
	addr string
	cmd  *exec.Cmd
	log  *os.File
}

const crashPassword = "crash-test-password"

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, "serve", "--addr", s.addr, "--data", s.dir)
	s.cmd.Env = append(os.Environ(), "DROVER_ADMIN_PASSWORD="+crashPassword)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get("http://" + s.addr + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
			return
		}
		if time.Since(begin) > 30*time.Second {
			out, _ := os.ReadFile(s.log.Name())
			s.t.Fatalf("the server does not answer: %v\n%s", err, out)
		}
	}
}

// kill is kill -9: no defer runs, no file is closed.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// call returns the answer, or an error when the server went away.
func (s *server) call(method, path string, body any, header ...string) (map[string]any, error) {
	data, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequest(method, "http://"+s.addr+path, bytes.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth("admin", crashPassword)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s %s", method, path, resp.Status, out)
	}
	var v map[string]any
	if err := json.Unmarshal(out, &v); err != nil {
		s.t.Fatalf("%s %s: %v: %s", method, path, err, out)
	}
	return v, nil
}

func (s *server) must(v map[string]any, err error) map[string]any {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// TestCrash_EveryRunEndsAndNoCommandRunsTwice kills the real process at a
// hundred random moments, and counts what the devices were told to do.
func TestCrash_EveryRunEndsAndNoCommandRunsTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: kills a process a hundred times")
	}
	const devices = 6
	fleet, err := sshsim.Start(sshsim.Config{Devices: devices, OneHostKey: true, Behave: func(i int) sshsim.Behaviour {
		return sshsim.Behaviour{Delay: time.Duration(10+20*i) * time.Millisecond}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fleet.Close() }()

	dir := t.TempDir()
	s := &server{t: t, bin: filepath.Join(dir, "drover"), dir: filepath.Join(dir, "data"), addr: freeAddr(t)}
	if out, err := exec.Command("go", "build", "-o", s.bin, "drover/cmd/drover").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.log.Close() }()
	s.start()
	defer func() { s.kill() }()

	var names []string
	var devs, svcs []map[string]any
	for i, d := range fleet.Devices {
		names = append(names, fmt.Sprintf("d%d", i))
		devs = append(devs, map[string]any{"name": names[i], "address": d.Address, "port": d.Port, "credential": "lab"})
	}
	for name, onUnknown := range map[string]string{"once": "report", "repeat": "repeat"} {
		svcs = append(svcs, map[string]any{"name": name, "type": "script", "body": `echo {{payload["n"]}}`, "on_unknown": onUnknown,
			"concurrency": 4, "targets": map[string]any{"devices": names}})
	}
	s.must(s.call("POST", "/drover/v1/import", map[string]any{
		"credentials": []any{map[string]any{"name": "lab", "username": "drover", "password": "drover"}},
		"devices":     devs, "services": svcs,
	}))

	submit := func(n int) (map[string]any, error) {
		return s.call("POST", "/rest/run_service", map[string]any{"name": []string{"once", "repeat"}[n%2], "async": true, "n": fmt.Sprintf("run-%03d", n)},
			"Idempotency-Key", fmt.Sprintf("key-%d", n))
	}
	for n := range kills {
		moment := time.Duration(rand.Int64N(int64(160 * time.Millisecond)))
		timer := time.AfterFunc(moment, func() { _ = s.cmd.Process.Kill() })
		_, _ = submit(n) // may be cut off: the same key is sent again below
		time.Sleep(max(0, moment-time.Millisecond))
		timer.Stop()
		s.kill()
		s.start()
	}
	// What was cut off is sent again under its key; what was accepted is not
	// made twice.
	for n := range kills {
		s.must(submit(n))
	}
	checkRuns(t, s)
	checkDevices(t, s, fleet)
}

// checkRuns waits until every run is over and compares counts with results.
func checkRuns(t *testing.T, s *server) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		page := s.must(s.call("GET", "/drover/v1/runs?limit=200", nil))
		runs, _ := page["runs"].([]any)
		if len(runs) != kills {
			t.Fatalf("%d runs, want %d", len(runs), kills)
		}
		open := 0
		for _, r := range runs {
			run := r.(map[string]any)
			switch run["status"] {
			case "queued", "running":
				open++
				continue
			case "succeeded", "failed":
			default:
				t.Errorf("run %v is %v", run["id"], run["status"])
			}
			counts := run["counts"].(map[string]any)
			sum := 0.0
			for k, v := range counts {
				if k != "total" {
					sum += v.(float64)
				}
			}
			if sum != counts["total"] || counts["pending"] != 0.0 || counts["running"] != 0.0 {
				t.Errorf("run %v: counts %v", run["id"], counts)
			}
		}
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d runs have not ended", open)
		}
	}
}

// checkDevices compares what the devices were told with what was recorded.
func checkDevices(t *testing.T, s *server, fleet *sshsim.Fleet) {
	t.Helper()
	told := map[string]int{} // device and run
	for i, d := range fleet.Devices {
		for _, e := range d.Executions() {
			told[fmt.Sprintf("d%d %s", i, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(e.Script), "echo ")))]++
		}
	}
	unknown, repeated := 0, 0
	page := s.must(s.call("GET", "/drover/v1/runs?limit=200", nil))
	byCreated := map[string]int{}
	for _, r := range page["runs"].([]any) {
		run := r.(map[string]any)
		shown := s.must(s.call("GET", "/drover/v1/runs/"+run["id"].(string)+"/results?limit=100", nil))
		byCreated[run["id"].(string)]++
		for _, x := range shown["results"].([]any) {
			res := x.(map[string]any)
			if res["status"] == "unknown" {
				unknown++
			}
			stdout := strings.TrimSpace(fmt.Sprint(res["stdout"]))
			if res["status"] == "succeeded" && told[fmt.Sprint(res["device"], " ", stdout)] == 0 {
				t.Errorf("%v is said to have run %q and was never told to", res["device"], stdout)
			}
		}
	}
	for what, n := range told {
		var number int
		if _, err := fmt.Sscanf(what[strings.Index(what, "run-"):], "run-%d", &number); err != nil {
			t.Fatal(what, err)
		}
		if n > 1 && number%2 == 0 {
			t.Errorf("%s was told %d times", what, n)
		}
		if n > 1 {
			repeated++
		}
	}
	t.Logf("%d kills: %d commands, %d results unknown, %d commands repeated where the service allows it", kills, len(told), unknown, repeated)
	if len(told) < kills {
		t.Errorf("only %d commands were begun: the kills came too early to say anything", len(told))
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
