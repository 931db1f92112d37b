package runtimetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/internal/job"
	"drover/internal/secret"
)

// built builds all functions, as they are deployed, once for the tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "functions")
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("../../../scripts/build-functions", "host", dir).CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w: %s", err, out)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w -buildid=", "-o", filepath.Join(dir, "empty", "bootstrap"), "./testdata/empty")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := built(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// services answers at once what functions ask of AWS when they start: rows of
// the table by their keys, and a key that wraps nothing.
type services struct {
	mu    sync.Mutex
	rows  map[string]json.RawMessage
	calls []string
}

func (s *services) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, _ := io.ReadAll(r.Body)
	var in struct {
		Key, Item                 map[string]json.RawMessage
		Plaintext, CiphertextBlob []byte
		TransactItems             []struct {
			Put struct{ Item map[string]json.RawMessage }
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, operation)
	key := func(row map[string]json.RawMessage) string { return string(row["pk"]) + string(row["sk"]) }
	put := func(row map[string]json.RawMessage) {
		b, _ := json.Marshal(row)
		s.rows[key(row)] = b
	}
	answer := "{}"
	switch operation {
	case "GetItem":
		if row := s.rows[key(in.Key)]; row != nil {
			answer = `{"Item":` + string(row) + `}`
		}
	case "PutItem":
		put(in.Item)
	case "TransactWriteItems":
		for _, item := range in.TransactItems {
			if item.Put.Item != nil {
				put(item.Put.Item)
			}
		}
	case "UpdateItem": // a counter
		answer = `{"Attributes":{"n":{"N":"1"}}}`
	case "Encrypt":
		b, _ := json.Marshal(map[string][]byte{"CiphertextBlob": in.Plaintext})
		answer = string(b)
	case "Decrypt":
		b, _ := json.Marshal(map[string][]byte{"Plaintext": in.CiphertextBlob})
		answer = string(b)
	default:
		http.Error(w, operation+" is not expected before the first event", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(answer))), 10))
	_, _ = io.WriteString(w, answer)
}

func (s *services) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// How many times as long as an empty function a function may take to be ready,
// and of how many starts that is the median.
const (
	maxStarts = 4
	starts    = 20
)

// TestColdStart: from the start of its process to the first time that it asks
// for an event a function takes at most four times as long as one that does
// nothing, and by then its clients exist: those that need the keyset have had it
// unwrapped. AWS answers at once here.
func TestColdStart(t *testing.T) {
	if testing.Short() {
		t.Skip("builds every function")
	}
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	aws := &services{rows: map[string]json.RawMessage{}}
	server := httptest.NewServer(aws)
	defer server.Close()
	hash, err := secret.HashPassword(job.Secret("a-password"))
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"AWS_ENDPOINT_URL=" + server.URL, "DROVER_TABLE=t", "DROVER_KEEP=90d", "DROVER_BUCKET=b", "DROVER_KMS_KEY_ID=k", "DROVER_EVENT_BUS=e",
		"DROVER_CONCURRENCY=200", "DROVER_STATE_MACHINE_ARN=arn:aws:states:us-east-1:000000000000:stateMachine:m", "DROVER_ADMIN_PASSWORD_HASH=" + hash,
		"DROVER_SCHEDULE_GROUP=g", "DROVER_TRIGGER_ARN=arn:aws:lambda:us-east-1:000000000000:function:t",
		"DROVER_SCHEDULER_ROLE_ARN=arn:aws:iam::000000000000:role/s", "DROVER_DEAD_LETTERS_ARN=arn:aws:sqs:us-east-1:000000000000:d"}
	start := func(name string) (time.Duration, []string) {
		p, err := Start(filepath.Join(dir, name, "bootstrap"), env...)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Stop()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		took, err := p.Ready(ctx)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return took, aws.take()
	}
	functions := []string{"empty", "planner", "executor", "finisher", "sweeper", "trigger", "console", "enms", "foreman"}
	for _, name := range functions { // the very first starts make the keyset and admin, and warm the disk's cache
		start(name)
	}
	// What else this machine does can only make a start slower: the best of
	// three measurements counts.
	for attempt := 1; ; attempt++ {
		slow := measure(t, functions, start)
		if len(slow) == 0 {
			return
		}
		if attempt == 3 {
			t.Fatalf("ready too late: %v", slow)
		}
	}
}

// measure starts each function so many times and returns those that are too
// slow.
func measure(t *testing.T, functions []string, start func(string) (time.Duration, []string)) (slow []string) {
	times, calls := map[string][]time.Duration{}, map[string][]string{}
	for range starts {
		for _, name := range functions { // interleaved: what else this machine does hits all alike
			took, called := start(name)
			times[name] = append(times[name], took)
			calls[name] = called
		}
	}
	median := func(name string) time.Duration {
		slices.Sort(times[name])
		return (times[name][starts/2-1] + times[name][starts/2]) / 2
	}
	empty := median("empty")
	for _, name := range functions {
		took := median(name)
		t.Logf("%-9s %6.1f ms %4.1fx  %s", name, float64(took.Microseconds())/1000, float64(took)/float64(empty), strings.Join(calls[name], " "))
		if took > maxStarts*empty {
			slow = append(slow, fmt.Sprintf("%s after %s, an empty function after %s", name, took, empty))
		}
		unwraps := slices.Contains([]string{"executor", "console", "enms", "foreman"}, name)
		if slices.Contains(calls[name], "Decrypt") != unwraps {
			t.Errorf("%s has called %v before its first event", name, calls[name])
		}
	}
	return slow
}

// TestProcess: the runtime API here is one that Lambda's own library takes for
// real, and a function that is late is killed.
func TestProcess(t *testing.T) {
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(filepath.Join(dir, "empty", "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	for range 2 {
		a, err := p.Invoke([]byte(`{}`), time.Now().Add(10*time.Second))
		if err != nil || a.Failed || !bytes.Equal(a.Payload, []byte("null")) {
			t.Errorf("%s %v %v", a.Payload, a.Failed, err)
		}
	}
	p.Stop()
	if _, err := p.Invoke([]byte(`{}`), time.Now().Add(time.Second)); err == nil {
		t.Error("a dead function answers")
	}
}
