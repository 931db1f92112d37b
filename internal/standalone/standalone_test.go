package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/device/sshsim"
	"drover/internal/e2etest"
	"drover/internal/event"
	"drover/internal/job"
	"drover/internal/standalone"
)

const password = "standalone-test-password"

// running is an App that serves.
type running struct {
	*standalone.App
	url  string
	stop func()
}

// safeBuffer takes log lines of many goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func start(t *testing.T, cfg standalone.Config) *running {
	t.Helper()
	if cfg.AdminPassword == "" {
		cfg.AdminPassword = password
	}
	app, err := standalone.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	srv := httptest.NewServer(app.Handler())
	var once sync.Once
	r := &running{App: app, url: srv.URL, stop: func() {
		once.Do(func() {
			srv.CloseClientConnections()
			srv.Close()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := app.Close(); err != nil {
				t.Error(err)
			}
		})
	}}
	t.Cleanup(r.stop)
	return r
}

func (r *running) call(t *testing.T, method, path string, body any) (int, string) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(method, r.url+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(out)
}

func (r *running) ok(t *testing.T, method, path string, body any) string {
	t.Helper()
	status, out := r.call(t, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, status, out)
	}
	return out
}

// fleet starts devices and imports them with a service that runs script on all.
func (r *running) fleet(t *testing.T, n int, script string, extra map[string]any) *sshsim.Fleet {
	t.Helper()
	f, err := sshsim.Start(sshsim.Config{Devices: n, OneHostKey: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	var devices []any
	for i, d := range f.Devices {
		devices = append(devices, map[string]any{"name": fmt.Sprintf("R%d", i), "address": d.Address, "port": d.Port, "credential": "lab", "pools": []string{"all"}})
	}
	svc := map[string]any{"name": "hello", "type": "script", "body": script, "targets": map[string]any{"pools": []string{"all"}}}
	for k, v := range extra {
		svc[k] = v
	}
	r.ok(t, "POST", "/drover/v1/import", map[string]any{
		"credentials": []any{map[string]any{"name": "lab", "username": "drover", "password": "drover"}},
		"pools":       []any{map[string]any{"name": "all"}}, "devices": devices, "services": []any{svc}})
	return f
}

// TestEndToEnd runs the cases that the cloud's shape runs too.
func TestEndToEnd(t *testing.T) {
	cfg := standalone.Config{Data: t.TempDir(), SyncTimeout: 15 * time.Second}
	var mu sync.Mutex
	r := start(t, cfg)
	handler := func() http.Handler {
		mu.Lock()
		defer mu.Unlock()
		return r.Handler()
	}
	// One address, whichever process is behind it.
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { handler().ServeHTTP(w, req) }))
	defer front.Close()
	e2etest.Cases(t, e2etest.Target{URL: front.URL, User: "admin", Password: password, Settle: 30 * time.Second, Patience: cfg.SyncTimeout,
		Restart: func() error {
			mu.Lock()
			defer mu.Unlock()
			r.stop() // cuts off what runs, as a crash does
			r = start(t, cfg)
			return nil
		}})
}

func TestOpen_RefusesClearly(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		code    job.Code
		says    string
	}{
		{"another process on the same data", func(t *testing.T, dir string) { start(t, standalone.Config{Data: dir}) }, job.Unavailable, "another process"},
		{"a corrupt data file", func(t *testing.T, dir string) { write(t, filepath.Join(dir, standalone.DataFile), "garbage") }, job.Corrupt, standalone.DataFile},
		{"a key file that is gone", func(t *testing.T, dir string) {
			start(t, standalone.Config{Data: dir}).stop()
			if err := os.Remove(filepath.Join(dir, standalone.KeyFile)); err != nil {
				t.Fatal(err)
			}
		}, job.NotFound, "put it back"},
		{"a key file that others read", func(t *testing.T, dir string) {
			start(t, standalone.Config{Data: dir}).stop()
			if err := os.Chmod(filepath.Join(dir, standalone.KeyFile), 0o644); err != nil {
				t.Fatal(err)
			}
		}, job.Forbidden, "chmod"},
		{"a data folder that is a file", func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			write(t, dir, "")
		}, job.Unavailable, "data folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			c.prepare(t, dir)
			app, err := standalone.Open(t.Context(), standalone.Config{Data: dir})
			if err == nil {
				_ = app.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not say %q", err, c.says)
			}
			if got := job.CodeOf(err); got != c.code {
				t.Errorf("%v has code %q, want %q", err, got, c.code)
			}
		})
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpen_TheFirstStartMakesAnAdmin(t *testing.T) {
	dir := t.TempDir()
	app, err := standalone.Open(t.Context(), standalone.Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	generated := app.GeneratedPassword()
	if len(generated.Reveal()) < 16 {
		t.Errorf("a generated password of %d characters", len(generated.Reveal()))
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := standalone.Open(t.Context(), standalone.Config{Data: dir, AdminPassword: "ignored-from-now-on"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if again.GeneratedPassword() != "" {
		t.Error("a second start made another password")
	}
	srv := httptest.NewServer(again.Handler())
	defer srv.Close()
	for pw, want := range map[string]int{generated.Reveal(): http.StatusOK, "ignored-from-now-on": http.StatusUnauthorized} {
		req, err := http.NewRequest("GET", srv.URL+"/drover/v1/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("admin", pw)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("status %d, want %d", resp.StatusCode, want)
		}
	}
}

func TestBackup_RestoresEverythingButTheKey(t *testing.T) {
	dir := t.TempDir()
	r := start(t, standalone.Config{Data: dir})
	// Output that does not compress to a few kilobytes is a blob.
	r.fleet(t, 1, "echo "+noise(40_000), nil)
	var answer struct{ Runtime string }
	if err := json.Unmarshal([]byte(r.ok(t, "POST", "/rest/run_service", map[string]any{"name": "hello"})), &answer); err != nil {
		t.Fatal(err)
	}
	result := "/rest/result/hello/" + strings.ReplaceAll(answer.Runtime, " ", "%20")
	want := r.ok(t, "GET", result, nil)
	var backup bytes.Buffer
	if err := r.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	r.stop()

	to := filepath.Join(t.TempDir(), "restored")
	for cut := 0; cut < backup.Len(); cut += backup.Len()/7 + 1 {
		if _, err := standalone.Restore(bytes.NewReader(backup.Bytes()[:cut]), to); job.CodeOf(err) != job.Corrupt {
			t.Errorf("a backup cut at %d: %v", cut, err)
		}
		if _, err := os.Stat(filepath.Join(to, standalone.DataFile)); err == nil {
			t.Fatal("a damaged backup left a data file")
		}
	}
	got, err := standalone.Restore(bytes.NewReader(backup.Bytes()), to)
	if err != nil || got.HasKey || got.Blobs == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := standalone.Restore(bytes.NewReader(backup.Bytes()), to); job.CodeOf(err) != job.AlreadyExists {
		t.Errorf("restored over a data file: %v", err)
	}
	key, err := os.ReadFile(filepath.Join(dir, standalone.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(backup.Bytes(), key[len(key)/3:len(key)/2]) {
		t.Error("the key is in the backup")
	}
	if _, err := standalone.Open(t.Context(), standalone.Config{Data: to}); job.CodeOf(err) != job.NotFound {
		t.Errorf("opened without the key file: %v", err)
	}
	write(t, got.KeyFile, string(key))
	r = start(t, standalone.Config{Data: to})
	if again := r.ok(t, "GET", result, nil); again != want {
		t.Errorf("another answer after the restore:\n%.300s\n%.300s", again, want)
	}
	if out := r.ok(t, "POST", "/rest/run_service", map[string]any{"name": "hello"}); !strings.Contains(out, `"success":true`) {
		t.Errorf("the restored credential does not log in: %.300s", out)
	}
}

// noise is text without repetition.
func noise(n int) string {
	var b strings.Builder
	for x := uint64(88172645463325252); b.Len() < n; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		fmt.Fprintf(&b, "%x", x)
	}
	return b.String()
}

func TestRun_ResumesWhatAnEarlierProcessLeft(t *testing.T) {
	dir := t.TempDir()
	r := start(t, standalone.Config{Data: dir})
	f := r.fleet(t, 4, "sleep 1; echo done", map[string]any{"concurrency": 2})
	var answer struct{ Runtime string }
	if err := json.Unmarshal([]byte(r.ok(t, "POST", "/rest/run_service", map[string]any{"name": "hello", "async": true})), &answer); err != nil {
		t.Fatal(err)
	}
	for f.Executions() < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	r.stop() // cuts two commands off
	r = start(t, standalone.Config{Data: dir})
	result := "/rest/result/hello/" + strings.ReplaceAll(answer.Runtime, " ", "%20")
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		out := r.ok(t, "GET", result, nil)
		if !strings.Contains(out, `"status":"Running"`) {
			if !strings.Contains(out, `"success":false`) {
				t.Errorf("a run with lost devices succeeded: %s", out)
			}
			break
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatal("the resumed run does not end")
		}
	}
	if n := f.Executions(); n != 4 {
		t.Errorf("%d commands on 4 devices", n)
	}
}

func TestDrain_LetsWhatRunsFinishAndStartsNoOther(t *testing.T) {
	r := start(t, standalone.Config{Data: t.TempDir()})
	f := r.fleet(t, 3, "sleep 1; echo done", map[string]any{"concurrency": 1})
	r.ok(t, "POST", "/rest/run_service", map[string]any{"name": "hello", "async": true})
	for f.Executions() < 1 {
		time.Sleep(5 * time.Millisecond)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, d := range f.Devices {
		for _, e := range d.Executions() {
			total++
			if e.Status != 0 {
				t.Errorf("%s was cut off", d.Name)
			}
		}
	}
	if total != 1 {
		t.Errorf("%d commands were begun", total)
	}
}

func TestKeep_EndedRunsGoAfterTheirTime(t *testing.T) {
	var mu sync.Mutex
	shift := time.Duration(0)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(shift)
	}
	dir := t.TempDir()
	r := start(t, standalone.Config{Data: dir, Keep: 24 * time.Hour, Clock: clock})
	r.fleet(t, 1, "echo "+noise(40_000), nil)
	r.ok(t, "POST", "/rest/run_service", map[string]any{"name": "hello"})
	blobs := func() int {
		n := 0
		err := filepath.WalkDir(filepath.Join(dir, standalone.BlobDir), func(_ string, e os.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				n++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if blobs() == 0 {
		t.Fatal("a long output made no blob")
	}
	mu.Lock()
	shift = 25 * time.Hour
	mu.Unlock()
	if _, err := r.Dispatcher().Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := r.ok(t, "GET", "/drover/v1/runs", nil); !strings.Contains(out, `"runs":[]`) {
		t.Errorf("the run is still listed: %s", out)
	}
	if n := blobs(); n != 0 {
		t.Errorf("%d blobs are left", n)
	}
}

func TestWebhook_IsToldOfTheEnd(t *testing.T) {
	told := make(chan event.Event, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var e event.Event
		if err := json.NewDecoder(req.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		told <- e
	}))
	defer hook.Close()
	r := start(t, standalone.Config{Data: t.TempDir(), WebhookURL: hook.URL, WebhookSecret: "s"})
	r.fleet(t, 2, "echo hi", nil)
	r.ok(t, "POST", "/rest/run_service", map[string]any{"name": "hello"})
	select {
	case e := <-told:
		if e.Kind != event.RunEnded || e.Status != job.Succeeded || e.Counts == nil || e.Counts.Succeeded != 2 {
			t.Errorf("%+v", e)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("not told")
	}
}

// TestDrain_DoesNotWaitForAWebhookThatIsDown: the receiver takes the request
// and never answers, while further events wait behind it.
func TestDrain_DoesNotWaitForAWebhookThatIsDown(t *testing.T) {
	down := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-down }))
	defer hook.Close()
	defer close(down)
	log := &safeBuffer{}
	r := start(t, standalone.Config{Data: t.TempDir(), WebhookURL: hook.URL, WebhookGrace: 50 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(log, nil))})
	r.fleet(t, 1, "echo hi", nil)
	for range 3 {
		r.ok(t, "POST", "/rest/run_service", map[string]any{"name": "hello"})
	}
	begun := time.Now()
	if err := r.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 5*time.Second { // one attempt alone has 10 s
		t.Errorf("drained in %s", took)
	}
	for _, lost := range []string{"event not delivered", "the webhook was closed"} {
		if !strings.Contains(log.String(), lost) {
			t.Errorf("%q is not in the log:\n%s", lost, log)
		}
	}
}

// TestLeaks puts a canary into every secret there is and looks for it in
// everything that comes out: answers, log, metrics, and every file.
func TestLeaks_NoSecretInAnyOutput(t *testing.T) {
	dir := t.TempDir()
	log := &safeBuffer{}
	r := start(t, standalone.Config{Data: dir, Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		AdminPassword: password, WebhookURL: "http://user:canary-hook-password@127.0.0.1:1/", WebhookSecret: "canary-hook-secret"})
	f, err := sshsim.Start(sshsim.Config{Devices: 2, Password: "canary-device-password", OneHostKey: true, Behave: func(i int) sshsim.Behaviour {
		return sshsim.Behaviour{BecomePassword: "canary-become-password", Respond: func(in sshsim.Invocation) sshsim.Reply {
			return sshsim.Reply{Stdout: []byte("you typed canary-device-password\nand canary-become-password\n"), Stderr: []byte("canary-device-password"), Status: i}
		}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out strings.Builder
	say := func(method, path string, body any) {
		_, s := r.call(t, method, path, body)
		out.WriteString(s)
	}
	say("POST", "/drover/v1/import", map[string]any{
		"credentials": []any{map[string]any{"name": "lab", "username": "drover", "password": "canary-device-password", "become_password": "canary-become-password"},
			map[string]any{"name": "wrong", "username": "drover", "password": "canary-wrong-password"}},
		"devices": []any{
			map[string]any{"name": "A", "address": f.Devices[0].Address, "port": f.Devices[0].Port, "credential": "lab"},
			map[string]any{"name": "B", "address": f.Devices[1].Address, "port": f.Devices[1].Port, "credential": "lab"},
			map[string]any{"name": "C", "address": f.Devices[1].Address, "port": f.Devices[1].Port, "credential": "wrong"}},
		"services": []any{map[string]any{"name": "hello", "type": "script", "body": "echo", "targets": map[string]any{"devices": []string{"A", "B", "C"}}}},
		"users":    []any{map[string]any{"name": "ops", "role": "operator", "password": "canary-user-password"}},
	})
	say("POST", "/rest/instance/credential", map[string]any{"name": "viarest", "username": "u", "password": "canary-rest-password", "bogus": "x"})
	say("POST", "/rest/run_service", map[string]any{"name": "hello"})
	for _, path := range []string{"/drover/v1/runs", "/drover/v1/credentials", "/drover/v1/devices", "/drover/v1/services", "/drover/v1/users", "/drover/v1/audit",
		"/drover/v1/hostkeys", "/rest/instance/credential/lab", "/rest/instance/user/ops", "/rest/instance/device/A", "/metrics", "/drover/v1/users/ops"} {
		say("GET", path, nil)
	}
	if n := strings.Count(out.String(), job.Redacted); n < 3 {
		t.Errorf("the devices' answers were redacted %d times: did they come at all?\n%s", n, out.String())
	}
	var backup bytes.Buffer
	if err := r.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	r.stop()
	places := map[string]string{"the answers": out.String(), "the log": log.String(), "the backup": backup.String()}
	err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		places[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range places {
		for _, secret := range []string{"canary", password} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s holds a secret: …%q…", where, text[max(0, i-60):min(len(text), i+40)])
			}
		}
	}
}

func TestMetrics_TellWhatHappened(t *testing.T) {
	r := start(t, standalone.Config{Data: t.TempDir()})
	r.fleet(t, 2, "echo hi", nil)
	r.ok(t, "POST", "/rest/run_service", map[string]any{"name": "hello"})
	out := r.ok(t, "GET", "/metrics", nil)
	for _, want := range []string{
		`drover_runs_started_total 1`, `drover_runs_ended_total{status="succeeded"} 1`, `drover_results_total{status="succeeded"} 2`,
		`drover_ssh_phase_duration_seconds_count{phase="handshake",result="ok"} 2`, `drover_store_commits_total{result="ok"} `,
		`drover_http_requests_total{family="enms",route="POST /rest/run_service",status="2xx"} 1`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("/metrics does not say %s", want)
		}
	}
	if strings.Contains(out, "drover_store_commits_total{result=\"ok\"} 0\n") {
		t.Error("no commit was counted")
	}
}
