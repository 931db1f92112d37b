// Package metrics counts and times what Drover does, for Prometheus. All that it
// exposes is described in docs/metrics.md; a test compares the two.
//
// Label values come from closed sets, or are cut off at a fixed number, so that
// neither fleets nor callers can make series without bound. No metric tells a
// tenant, a user, a device or an address.
package metrics

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"drover/internal/device"
	"drover/internal/job"
)

// maxRoutes is how many routes are told apart; further ones are "other". All API
// families together have fewer.
const maxRoutes = 300

// other stands for a label value outside of its set.
const other = "other"

// Metrics is one process's metrics. It is safe for use by many goroutines, and
// no method blocks. It is a device.Observer.
type Metrics struct {
	registry *prometheus.Registry

	runsStarted  prometheus.Counter
	runsEnded    *prometheus.CounterVec
	results      *prometheus.CounterVec
	sshPhase     *prometheus.HistogramVec
	httpRequests *prometheus.CounterVec
	httpDuration *prometheus.HistogramVec
	commits      *prometheus.CounterVec
	commitTime   prometheus.Histogram
	commitOps    prometheus.Histogram
	lockouts     prometheus.Counter
	webhook      *prometheus.CounterVec

	mu           sync.Mutex
	runsOpen     func() float64
	unitsWaiting func() float64
	routes       map[[2]string]bool
}

var _ device.Observer = (*Metrics)(nil)

// New returns metrics that are all at zero. version is that of the program.
func New(version string) *Metrics {
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		runsStarted: counter("runs_started_total", "Runs whose work has begun."),
		runsEnded:   counters("runs_ended_total", "Runs that ended, by final status.", "status"),
		results:     counters("results_total", "Results of devices that ended, by status.", "status"),
		sshPhase: histograms("ssh_phase_duration_seconds", "Time that the phases of SSH sessions took, by phase and whether it succeeded.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}, "phase", "result"),
		httpRequests: counters("http_requests_total", "HTTP requests answered, by API family, route pattern and class of status.",
			"family", "route", "status"),
		httpDuration: histograms("http_request_duration_seconds", "Time to answer HTTP requests, by API family and route pattern.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "family", "route"),
		commits: counters("store_commits_total", "Commits of the store, by whether they succeeded.", "result"),
		commitTime: histogram("store_commit_duration_seconds", "Time that a commit of the store took, the disk's included.",
			[]float64{.0005, .001, .002, .004, .008, .016, .032, .064, .128, .256, .512, 1, 2, 5}),
		commitOps: histogram("store_commit_writes", "Writes that went into one commit of the store.",
			[]float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}),
		lockouts: counter("lockouts_total", "Times that a user at an address was locked out after too many failed logins."),
		webhook:  counters("webhook_events_total", "Events for the webhook, by what became of them.", "result"),
		routes:   map[[2]string]bool{},
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "drover_build_info", Help: "Always 1; the label tells the version.", ConstLabels: prometheus.Labels{"version": version},
	}, func() float64 { return 1 })
	m.registry.MustRegister(build, m.runsStarted, m.runsEnded, m.results, m.sshPhase, m.httpRequests, m.httpDuration,
		m.commits, m.commitTime, m.commitOps, m.lockouts, m.webhook,
		m.gauge("runs_open", "Runs that are accepted and not over, as of the last sweep.", func() func() float64 { return m.runsOpen }),
		m.gauge("units_waiting", "Units of started runs that wait for their turn.", func() func() float64 { return m.unitsWaiting }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	// Series of closed sets exist from the start: a rate needs the zero before
	// the first one.
	for _, s := range job.Statuses() {
		if s.Terminal() {
			m.runsEnded.WithLabelValues(string(s))
		}
	}
	for _, s := range job.ResultStatuses() {
		if s.Terminal() {
			m.results.WithLabelValues(string(s))
		}
	}
	for _, r := range webhookResults {
		m.webhook.WithLabelValues(r)
	}
	for _, r := range []string{"ok", "error"} {
		m.commits.WithLabelValues(r)
	}
	return m
}

// Handler answers with the metrics in Prometheus' text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// SetQueue says how the depth of the queue is learned at every scrape: the runs
// that are accepted and not over, and the units of started runs that wait.
// The functions must be quick and safe for concurrent use; nil ones stand for 0.
func (m *Metrics) SetQueue(runsOpen, unitsWaiting func() float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runsOpen, m.unitsWaiting = runsOpen, unitsWaiting
}

// RunStarted counts a run whose work has begun.
func (m *Metrics) RunStarted() { m.runsStarted.Inc() }

// RunEnded counts a run that reached its final status.
func (m *Metrics) RunEnded(s job.Status) {
	if !s.Terminal() {
		s = other
	}
	m.runsEnded.WithLabelValues(string(s)).Inc()
}

// Results counts n results of devices that reached a final status.
func (m *Metrics) Results(s job.ResultStatus, n int) {
	label := other
	for _, known := range job.ResultStatuses() {
		if s == known && s.Terminal() {
			label = string(s)
		}
	}
	m.results.WithLabelValues(label).Add(float64(max(n, 0)))
}

// RunSettled counts a run that ended, with its results; it is RunEnded and
// Results for callers that hold the final counts.
func (m *Metrics) RunSettled(s job.Status, c job.Counts) {
	m.RunEnded(s)
	for _, r := range job.ResultStatuses() {
		if n := c.Of(r); n > 0 {
			m.Results(r, n)
		}
	}
}

// Phase times a phase of an SSH session.
func (m *Metrics) Phase(phase device.Phase, took time.Duration, err error) {
	switch phase {
	case device.PhaseJump, device.PhaseConnect, device.PhaseHandshake, device.PhaseHostKey, device.PhaseAuth, device.PhaseStart, device.PhaseRun:
	default:
		phase = other
	}
	m.sshPhase.WithLabelValues(string(phase), result(err)).Observe(took.Seconds())
}

// Commit times a commit of the store and tells how many writes went into it.
func (m *Metrics) Commit(writes int, took time.Duration, err error) {
	m.commits.WithLabelValues(result(err)).Inc()
	m.commitTime.Observe(took.Seconds())
	m.commitOps.Observe(float64(writes))
}

// LockedOut counts a lock-out.
func (m *Metrics) LockedOut() { m.lockouts.Inc() }

// webhookResults are the results that package webhook tells.
var webhookResults = []string{"delivered", "failed", "dropped"}

// Webhook counts what became of an event for the webhook.
func (m *Metrics) Webhook(result string) {
	for _, known := range webhookResults {
		if result == known {
			m.webhook.WithLabelValues(result).Inc()
			return
		}
	}
	m.webhook.WithLabelValues(other).Inc()
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "drover_" + name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_" + name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "drover_" + name, Help: help, Buckets: buckets})
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "drover_" + name, Help: help, Buckets: buckets}, labels)
}

// gauge asks a function that is looked up at each scrape.
func (m *Metrics) gauge(name, help string, which func() func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "drover_" + name, Help: help}, func() float64 {
		m.mu.Lock()
		f := which()
		m.mu.Unlock()
		if f == nil {
			return 0
		}
		return f()
	})
}
