package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is the program as a process of its own.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
	out *lineReader
	err bytes.Buffer
}

// lineReader reads standard output line by line.
type lineReader struct{ lines chan string }

var listensOn = regexp.MustCompile(`listens on (https?://\S+),`)

// startProcess starts "drover serve" on a port of the system's choice.
func startProcess(t *testing.T, data string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t}
	p.cmd = exec.Command(os.Args[0], append([]string{"serve", "--addr", "127.0.0.1:0", "--data", data}, args...)...)
	p.cmd.Env = append([]string{"DROVER_TEST_IS_THE_PROGRAM=1", "DROVER_ADMIN_PASSWORD=" + adminPassword, "PATH=" + os.Getenv("PATH"), "GOCOVERDIR=" + t.TempDir()}, env...)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = &p.err
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	p.out = &lineReader{lines: make(chan string, 100)}
	go func() {
		defer close(p.out.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.out.lines <- s.Text()
		}
	}()
	select {
	case line, ok := <-p.out.lines:
		m := listensOn.FindStringSubmatch(line)
		if !ok || m == nil {
			_ = p.cmd.Wait()
			t.Fatalf("it does not listen: %q %s", line, &p.err)
		}
		p.url = m[1]
	case <-time.After(time.Minute):
		t.Fatal("it does not start")
	}
	return p
}

// end sends signals and returns the exit status.
func (p *process) end(signals ...os.Signal) int {
	p.t.Helper()
	for _, s := range signals {
		if err := p.cmd.Process.Signal(s); err != nil {
			p.t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = p.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		p.t.Fatal("it does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

func TestServe_FirstStartPrintsThePasswordOnce(t *testing.T) {
	data := t.TempDir()
	for i := range 2 {
		p := startProcess(t, data, []string{"DROVER_ADMIN_PASSWORD="})
		if code := p.end(syscall.SIGTERM); code != 0 {
			t.Errorf("exit status %d: %s", code, &p.err)
		}
		var rest strings.Builder
		for line := range p.out.lines {
			rest.WriteString(line)
		}
		m := regexp.MustCompile(`the user admin has the password (\w{20,})`).FindStringSubmatch(rest.String())
		if (m != nil) != (i == 0) {
			t.Errorf("start %d prints %q", i+1, rest.String())
		}
		if m != nil && strings.Contains(p.err.String(), m[1]) {
			t.Error("the log holds the password")
		}
	}
}

// TestServe_Drains: what a device is doing is finished, what was not begun
// goes on after the next start, and the command line that waits sees the end.
func TestServe_Drains(t *testing.T) {
	l := newLab(t, 2)
	data := t.TempDir()
	p := startProcess(t, data, nil, "--log", "json")
	l = l.with("DROVER_URL", p.url)
	l.ok("import", l.fleetFile("services:\n  - {name: slow, body: 'sleep 2; echo done', concurrency: 1, targets: {pools: [Lab]}}\n"))
	answered := make(chan ran, 1)
	go func() { answered <- l.run("run", "slow") }()
	waitFor(t, func() bool { return l.fleet.Executions() == 1 })
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit status %d: %s", code, &p.err)
	}
	if n := l.fleet.Executions(); n != 1 || l.fleet.Devices[0].Running()+l.fleet.Devices[1].Running() != 0 {
		t.Errorf("%d commands were begun, some still run", n)
	}
	again := startProcess(t, data, nil, "--addr", strings.TrimPrefix(p.url, "http://"))
	if r := <-answered; r.status != 0 || !strings.Contains(r.out, "succeeded: 2 succeeded") {
		t.Errorf("the command line that waited: %+v", r)
	}
	if n := l.fleet.Executions(); n != 2 {
		t.Errorf("%d commands", n)
	}
	if code := again.end(syscall.SIGINT); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestServe_SecondSignalStopsAtOnce(t *testing.T) {
	l := newLab(t, 1)
	p := startProcess(t, t.TempDir(), nil)
	l = l.with("DROVER_URL", p.url)
	l.ok("import", l.fleetFile("services:\n  - {name: slow, body: sleep 50, targets: {pools: [Lab]}}\n"))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { l.runIn(ctx, "", "run", "slow") }()
	waitFor(t, func() bool { return l.fleet.Executions() == 1 })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { // it has stopped listening: the first signal was taken
		c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	start := time.Now()
	if code := p.end(syscall.SIGTERM); code != 1 || time.Since(start) > 20*time.Second || !strings.Contains(p.err.String(), "drover: stopped at once") {
		t.Errorf("exit status %d after %s: %s", code, time.Since(start), &p.err)
	}
}

func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); {
		if time.Now().After(end) {
			t.Fatal("it does not come to that")
		}
		if err := sleep(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServe_RefusesWhatCannotBe(t *testing.T) {
	data := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	running := startProcess(t, data, nil)
	notAFolder := filepath.Join(t.TempDir(), "file")
	corrupt, loose := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{notAFolder: "x", filepath.Join(corrupt, "drover.db"): strings.Repeat("not a data file ", 1000)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	startProcess(t, loose, nil).end(syscall.SIGTERM)
	if err := os.Chmod(filepath.Join(loose, "drover.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"no data", []string{}, 2, "drover: --data (or DROVER_DATA): the folder for the data is required"},
		{"in use", []string{"--data", data}, 1, "another process"},
		{"address in use", []string{"--data", t.TempDir(), "--addr", busy.Addr().String()}, 1, "drover: cannot listen on " + busy.Addr().String()},
		{"not a folder", []string{"--data", notAFolder}, 1, "drover: cannot make the data folder"},
		{"corrupt", []string{"--data", corrupt}, 1, "drover: "},
		{"key for all", []string{"--data", loose}, 1, "drover.key"},
		{"log", []string{"--data", data, "--log", "xml"}, 2, `drover: --log: "xml" is neither text nor json`},
		{"level", []string{"--data", data, "--log-level", "loud"}, 2, `drover: --log-level: "loud" is not debug, info, warn or error`},
		{"keep", []string{"--data", data, "--keep", "soon"}, 2, "want a time such as 90d or 12h, or 0"},
		{"half of TLS", []string{"--data", data, "--tls-cert", "x"}, 2, "drover: --tls-cert and --tls-key belong together"},
		{"no certificate", []string{"--data", data, "--tls-cert", "/nope", "--tls-key", "/nope"}, 2, "drover: --tls-cert, --tls-key: "},
		{"concurrency", []string{"--data", data, "--concurrency", "0"}, 2, "drover: --concurrency: at least 1 is needed"},
		{"connections", []string{"--data", data, "--conns-per-second", "-1"}, 2, "drover: --conns-per-second: want a number from 0 on"},
		{"no number", []string{"--data", data, "--conns-per-second", "NaN"}, 2, "drover: --conns-per-second: want a number from 0 on"},
		{"waiting", []string{"--data", data, "--sync-timeout", "-3s"}, 2, "drover: --sync-timeout: want a time such as 5m, or 0"},
		{"argument", []string{"--data", data, "now"}, 2, `drover: unknown command "now"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name != "address in use" {
				c.args = append([]string{"--addr", "127.0.0.1:0"}, c.args...)
			}
			var out, errs bytes.Buffer
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			status := run(ctx, append([]string{"serve"}, c.args...), strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false })
			last := errs.String()
			if i := strings.Index(last, "drover: "); i >= 0 {
				last = last[i:]
			}
			if status != c.status || !strings.Contains(last, c.want) || strings.Count(last, "\n") != 1 || out.Len() != 0 {
				t.Errorf("status %d, %q, %q", status, out.String(), errs.String())
			}
		})
	}
	if code := running.end(syscall.SIGTERM); code != 0 {
		t.Errorf("the process that has the data ended with %d: %s", code, &running.err)
	}
}

func TestServe_TLS(t *testing.T) {
	dir := t.TempDir()
	cert, key, pool := certificate(t, dir)
	p := startProcess(t, t.TempDir(), nil, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(p.url, "https://") {
		t.Fatal(p.url)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: pool}, Timeout: time.Minute}
	resp, err := client.Get(p.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || !strings.Contains(string(body), "ok") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	// What waiting does not cure is not waited for: one line, at once.
	for _, url := range []string{p.url, "http" + strings.TrimPrefix(p.url, "https")} {
		var out, errs bytes.Buffer
		env := map[string]string{"DROVER_URL": url, "DROVER_PASSWORD": "x"}
		status := run(t.Context(), []string{"run", "hello"}, strings.NewReader(""), &out, &errs, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		if status != exitUsage || !strings.HasPrefix(errs.String(), "drover: ") || !strings.Contains(errs.String(), url) || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%s: status %d, %q, %q", url, status, &out, &errs)
		}
	}
	p.end(syscall.SIGTERM)
}

func TestServe_Settings(t *testing.T) {
	data := t.TempDir()
	p := startProcess(t, data, []string{"DROVER_LOG=json", "DROVER_LOG_LEVEL=debug", "DROVER_KEEP=12h", "DROVER_TRUST_PROXY=true"})
	resp, err := http.Get(p.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if !bytes.Contains(metrics, []byte("drover_")) {
		t.Errorf("%.300s", metrics)
	}
	r, _ := http.NewRequest("GET", p.url+"/drover/v1/me", nil)
	r.Header.Set("X-Forwarded-For", "192.0.2.9")
	if resp, err = http.DefaultClient.Do(r); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if code := p.end(os.Interrupt); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if !strings.Contains(p.err.String(), `"address":"192.0.2.9"`) {
		t.Errorf("%s", &p.err)
	}
	for _, name := range []string{"drover.db", "drover.key"} {
		if info, err := os.Stat(filepath.Join(data, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
}

func TestDays(t *testing.T) {
	for text, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "0": 0, "0d": 0, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute} {
		var d days
		if err := d.Set(text); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v %v", text, time.Duration(d), err)
		}
		var again days
		if err := again.Set(d.String()); err != nil || again != d {
			t.Errorf("%s is written %s", text, d.String())
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "-3h", "99999999d", "soon"} {
		var d days
		if err := d.Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestDemo_LeavesNothingBehind(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var out, errs bytes.Buffer
	status := run(t.Context(), []string{"demo"}, strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false })
	if status != 0 || errs.Len() != 0 {
		t.Fatalf("status %d\n%s%s", status, &out, &errs)
	}
	for _, want := range []string{"devices: 25 created", "R25: 1-2-3 from R25", "25 of 25 devices are done", "R13: ", "R7: checked R7 (exit status 3)", "49 commands ran on the devices, each exactly once"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestVersionAndHelp(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--help"}, {"serve", "--help"}, {"run", "--help"}} {
		var out, errs bytes.Buffer
		status := run(t.Context(), args, strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false })
		if status != 0 || errs.Len() != 0 || !strings.Contains(out.String(), "drover") {
			t.Errorf("%q: status %d, %q, %q", args, status, &out, &errs)
		}
	}
}

// certificate writes a certificate for 127.0.0.1 and its key.
func certificate(t *testing.T, dir string) (cert, key string, pool *tls.Config) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return cert, key, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}
