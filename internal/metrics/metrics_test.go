package metrics

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/device"
	"drover/internal/job"
)

// scrape returns the samples by name and labels, as the handler prints them.
func scrape(t *testing.T, m *Metrics) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("status %d, %s", w.Code, w.Header().Get("Content-Type"))
	}
	samples := map[string]string{}
	for line := range strings.Lines(w.Body.String()) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && !strings.HasPrefix(line, "#") {
			samples[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return samples
}

func expect(t *testing.T, m *Metrics, want map[string]string) {
	t.Helper()
	got := scrape(t, m)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %s", name, got[name], value)
		}
	}
}

// useAll makes every series of every metric appear.
func useAll(m *Metrics) {
	m.RunStarted()
	m.RunSettled(job.Failed, job.Counts{Total: 5, Succeeded: 3, Failed: 1, Unknown: 1})
	for _, p := range []device.Phase{device.PhaseJump, device.PhaseConnect, device.PhaseHandshake, device.PhaseHostKey, device.PhaseAuth,
		device.PhaseStart, device.PhaseRun} {
		m.Phase(p, 30*time.Millisecond, nil)
	}
	m.Phase(device.PhaseAuth, time.Second, errors.New("refused"))
	m.Commit(7, 3*time.Millisecond, nil)
	m.Commit(1, time.Millisecond, errors.New("disk full"))
	m.LockedOut()
	m.Webhook("delivered")
	m.Request("enms", "POST /rest/run_service", 200, time.Millisecond)
}

func TestMetrics_CountWhatTheyAreTold(t *testing.T) {
	m := New("1.2.3")
	useAll(m)
	m.SetQueue(func() float64 { return 4 }, func() float64 { return 40 })
	expect(t, m, map[string]string{
		`drover_build_info{version="1.2.3"}`:                                                                   "1",
		`drover_runs_started_total`:                                                                            "1",
		`drover_runs_ended_total{status="failed"}`:                                                             "1",
		`drover_runs_ended_total{status="missed"}`:                                                             "0",
		`drover_results_total{status="succeeded"}`:                                                             "3",
		`drover_results_total{status="unknown"}`:                                                               "1",
		`drover_results_total{status="skipped"}`:                                                               "0",
		`drover_runs_open`:                                                                                     "4",
		`drover_units_waiting`:                                                                                 "40",
		`drover_store_commits_total{result="ok"}`:                                                              "1",
		`drover_store_commits_total{result="error"}`:                                                           "1",
		`drover_store_commit_writes_sum`:                                                                       "8",
		`drover_store_commit_duration_seconds_count`:                                                           "2",
		`drover_lockouts_total`:                                                                                "1",
		`drover_webhook_events_total{result="delivered"}`:                                                      "1",
		`drover_webhook_events_total{result="dropped"}`:                                                        "0",
		`drover_ssh_phase_duration_seconds_count{phase="auth",result="error"}`:                                 "1",
		`drover_ssh_phase_duration_seconds_bucket{phase="connect",result="ok",le="0.025"}`:                     "0",
		`drover_ssh_phase_duration_seconds_bucket{phase="connect",result="ok",le="0.05"}`:                      "1",
		`drover_http_requests_total{family="enms",route="POST /rest/run_service",status="2xx"}`:                "1",
		`drover_http_request_duration_seconds_count{family="enms",route="POST /rest/run_service"}`:             "1",
		`drover_http_request_duration_seconds_bucket{family="enms",route="POST /rest/run_service",le="0.001"}`: "1",
	})
}

// The page and the registry say the same: names, types and labels.
func TestDocs_ListExactlyWhatIsExposed(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	type metric struct {
		Type   string
		Labels []string
	}
	documented := map[string]metric{}
	row := regexp.MustCompile("(?m)^\\| `(drover_[a-z_]+)` \\| (\\w+) \\|([^|]*)\\|")
	word := regexp.MustCompile("`(\\w+)`")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		d := metric{Type: m[2]}
		for _, l := range word.FindAllStringSubmatch(m[3], -1) {
			d.Labels = append(d.Labels, l[1])
		}
		slices.Sort(d.Labels)
		documented[m[1]] = d
	}

	m := New("test")
	useAll(m)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exposed := map[string]metric{}
	var values []string // of labels from closed sets: the page tells each
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_") {
			continue
		}
		e := metric{Type: strings.ToLower(f.GetType().String())}
		for _, l := range f.GetMetric()[0].GetLabel() {
			e.Labels = append(e.Labels, l.GetName())
		}
		slices.Sort(e.Labels)
		exposed[f.GetName()] = e
		for _, s := range f.GetMetric() {
			for _, l := range s.GetLabel() {
				switch l.GetName() {
				case "status", "result", "phase":
					values = append(values, l.GetValue())
				}
			}
		}
	}
	if diff := cmp.Diff(exposed, documented); diff != "" {
		t.Errorf("-exposed +documented in docs/metrics.md:\n%s", diff)
	}
	for _, v := range values {
		if !strings.Contains(string(page), "`"+v+"`") {
			t.Errorf("docs/metrics.md does not tell the label value %q", v)
		}
	}
	// Alarms name metrics that exist.
	for _, name := range regexp.MustCompile(`drover_[a-z_]+`).FindAllString(string(page), -1) {
		if _, ok := exposed[name]; !ok {
			t.Errorf("docs/metrics.md names %s, which is not exposed (%v)", name, slices.Sorted(maps.Keys(exposed)))
		}
	}
}

func TestMetrics_GoAndProcess(t *testing.T) {
	got := scrape(t, New("test"))
	if _, ok := got["go_goroutines"]; !ok {
		t.Error("go_goroutines is missing")
	}
}

func TestMetrics_LabelValuesAreBounded(t *testing.T) {
	m := New("test")
	for i := range 2000 {
		s := fmt.Sprint("made-up-", i)
		m.RunEnded(job.Status(s))
		m.Results(job.ResultStatus(s), 1)
		m.Phase(device.Phase(s), time.Second, nil)
		m.Webhook(s)
		m.Request("enms", "GET /"+s, i, time.Second)
	}
	m.RunEnded(job.Running) // not an end
	m.Results(job.ResultRunning, 2)
	m.Results(job.ResultFailed, -1)
	expect(t, m, map[string]string{
		`drover_runs_ended_total{status="other"}`:                            "2001",
		`drover_results_total{status="other"}`:                               "2002",
		`drover_results_total{status="failed"}`:                              "0",
		`drover_webhook_events_total{result="other"}`:                        "2000",
		`drover_ssh_phase_duration_seconds_count{phase="other",result="ok"}`: "2000",
	})
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); n > maxRoutes+6 { // "other" has every class of status
			t.Errorf("%s has %d series", f.GetName(), n)
		}
	}
}

func TestHTTP_CountsByRouteAndClass(t *testing.T) {
	m := New("test")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /things/{id}", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("id") {
		case "missing":
			http.NotFound(w, r)
		case "stream":
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "later")
			w.(http.Flusher).Flush()
		case "early":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusCreated)
		case "panics":
			panic(http.ErrAbortHandler)
		case "half":
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		case "silent":
		default:
			_, _ = io.WriteString(w, "ok")
		}
	})
	h := m.HTTP("enms", mux)
	get := func(method, path string) {
		defer func() { _ = recover() }()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
	}
	for _, id := range []string{"1", "2", "stream", "early", "missing", "panics", "half", "silent"} {
		get("GET", "/things/"+id)
	}
	get("GET", "/../secret")
	get("GET", "/nothing")
	get("PUT", "/things/1")
	expect(t, m, map[string]string{
		`drover_http_requests_total{family="enms",route="GET /things/{id}",status="2xx"}`:    "6",
		`drover_http_requests_total{family="enms",route="GET /things/{id}",status="4xx"}`:    "1",
		`drover_http_requests_total{family="enms",route="GET /things/{id}",status="5xx"}`:    "1",
		`drover_http_request_duration_seconds_count{family="enms",route="GET /things/{id}"}`: "8",
		`drover_http_requests_total{family="enms",route="none",status="4xx"}`:                "2",
	})
	for name := range scrape(t, m) {
		if strings.Contains(name, "secret") || strings.Contains(name, "nothing") {
			t.Errorf("a path became a label: %s", name)
		}
	}
}

func TestMetrics_ManyGoroutines(t *testing.T) {
	m := New("test")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				useAll(m)
				m.SetQueue(func() float64 { return float64(i) }, nil)
			}
		})
	}
	for range 5 {
		scrape(t, m)
	}
	wg.Wait()
	expect(t, m, map[string]string{`drover_runs_started_total`: "400", `drover_units_waiting`: "0"})
}
