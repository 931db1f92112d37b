package faulttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"drover/internal/device/sshsim"
	"drover/internal/dispatch"
	"drover/internal/job"
	"drover/internal/store"
	"drover/internal/store/dynamostore"
	"drover/internal/store/dynamotest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	dynamotest.Stop()
	os.Exit(code)
}

const (
	devices = 6
	runs    = 8 // in each world
	// patience is how long a run may take to end, by the wall's clock. Its own
	// deadline is a few minutes of the world's.
	patience = time.Minute
)

func throttled(format string) error { return job.Errorf(job.Exhausted, "%s", format) }

// faults are the bad days.
var faults = []struct {
	name string
	fault
}{
	{"no fault", fault{}},
	{"throttled table, in its answers", fault{open: func(w *world) (store.Driver, func() store.Driver) {
		client, table := dynamotest.Table(w.t, dynamostore.TableSpec)
		busy := dynamodb.New(client.Options(), func(o *dynamodb.Options) { o.HTTPClient = &http.Client{Transport: &throttler{w}} })
		open := func(c *dynamodb.Client) store.Driver {
			d, err := dynamostore.Open(dynamostore.Options{Client: c, Table: table, Clock: w.now})
			if err != nil {
				panic(err)
			}
			return d
		}
		return open(client), func() store.Driver { return open(busy) }
	}}},
	{"throttled table, past the driver's patience", fault{table: func(w *world, _ string, after bool) error {
		if !after && w.hit(0.15) {
			return throttled("the table throttles")
		}
		return nil
	}}},
	{"table fails, before and after writing", fault{table: func(w *world, op string, after bool) error {
		if (after || op != "query") && w.hit(0.08) {
			return job.Errorf(job.Unavailable, "the connection broke")
		}
		return nil
	}}},
	{"S3 fails, now and then", fault{large: true, put: func(w *world) error {
		if w.hit(0.4) {
			return job.Errorf(job.Unavailable, "S3 says 503")
		}
		return nil
	}}},
	{"S3 fails, always", fault{large: true, put: func(w *world) error {
		w.hits.Add(1)
		return job.Errorf(job.Unavailable, "S3 says 503")
	}}},
	{"function killed in the middle", fault{lives: func(*world) int { return rand.IntN(14) }}},
	{"Step Functions retries a live task; every event twice", fault{twice: true}},
	{"execution stopped from outside", fault{during: func(w *world, run string) {
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		w.hits.Add(1)
		_ = w.flow.Stop(context.Background(), tenant, run, "somebody")
	}}},
	{"execution ended from outside before its plan", fault{aborts: true}},
	{"start that never happened", fault{start: func(w *world) (bool, error) {
		if !w.hit(0.6) {
			return false, nil
		}
		if rand.IntN(2) == 0 {
			return false, job.Errorf(job.Unavailable, "Step Functions is away")
		}
		return true, nil // it said yes, and nothing came of it
	}}},
	{"sweeps while runs settle", fault{sweep: time.Millisecond, during: sweeps}},
	{"cancels at any moment", fault{during: func(w *world, run string) {
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		w.hits.Add(1)
		_, _ = w.front.Cancel(context.Background(), admin, run)
	}}},
	{"detached: function killed in the middle", fault{detached: true, lives: func(*world) int { return rand.IntN(16) }}},
	{"detached: devices away now and then", fault{detached: true, during: away}},
	{"detached: every event twice", fault{detached: true, twice: true}},
	{"detached: cancels at any moment", fault{detached: true, during: func(w *world, run string) {
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		w.hits.Add(1)
		_, _ = w.front.Cancel(context.Background(), admin, run)
	}}},
	{"all of it at once", fault{
		twice: true, sweep: 50 * time.Millisecond, large: true,
		table: func(w *world, _ string, _ bool) error {
			if w.hit(0.03) {
				return throttled("the table throttles")
			}
			return nil
		},
		put: func(w *world) error {
			if w.hit(0.2) {
				return job.Errorf(job.Unavailable, "S3 says 503")
			}
			return nil
		},
		lives: func(*world) int { return rand.IntN(60) },
		start: func(w *world) (bool, error) { return w.hit(0.3), nil },
		during: func(w *world, run string) {
			if w.hit(0.3) {
				time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
				_ = w.flow.Stop(context.Background(), tenant, run, "somebody")
			}
		},
	}},
}

// away drops the connections of devices, at any stage, for as long as a run goes on.
func away(w *world, run string) {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if r, err := w.store.Run(context.Background(), tenant, run); err == nil && r.Status.Terminal() {
			break
		}
		w.hits.Add(1)
		stages := append([]sshsim.Stage{""}, sshsim.Stages()...)
		d := w.fleet.Devices[rand.IntN(len(w.fleet.Devices))]
		d.Behave(func(b *sshsim.Behaviour) { b.DropAt = stages[rand.IntN(len(stages))] })
		d.DropAll()
	}
	for _, d := range w.fleet.Devices {
		d.Behave(func(b *sshsim.Behaviour) { b.DropAt = "" })
	}
}

// sweeps settles a run, from the side, as often as it can.
func sweeps(w *world, run string) {
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		w.hits.Add(1)
		over, err := w.front.Settle(context.Background(), tenant, run)
		if over && err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// throttler is a DynamoDB that has too much to do. Its refusals cost nothing:
// what it refuses was not carried out.
type throttler struct{ w *world }

func (t *throttler) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.w.hit(0.1) {
		body := `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"too much"}`
		return &http.Response{StatusCode: http.StatusBadRequest, ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, ContentLength: int64(len(body)),
			Body: io.NopCloser(bytes.NewReader([]byte(body)))}, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

// toll is what a bad day cost.
type toll struct {
	times              int64 // faults that were injected
	lost, twice, stuck int
	unknown, settled   int // results of which nothing is known; runs that are over
}

// TestFaults brings about every fault, and looks for what is lost (a result that
// is not counted, or that says of a device which ran that it never started, or of
// one which never ran that it succeeded), done twice, or stuck. With
// DROVER_FAULTS=FILE it writes the table there.
func TestFaults(t *testing.T) {
	tolls := make([]toll, len(faults))
	t.Run("each", func(t *testing.T) {
		for i, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				tolls[i] = day(t, f.fault)
				if c := tolls[i]; c.lost+c.twice+c.stuck > 0 || c.settled != runs || i == 0 && c.unknown > 0 {
					t.Errorf("%+v", c)
				}
				if f.name != faults[0].name && tolls[i].times == 0 {
					t.Error("nothing was injected: this shows nothing")
				}
			})
		}
	})
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "fault\ttimes\tlost\ttwice\tstuck\tresults\tof which unknown\t")
	for i, f := range faults {
		c := tolls[i]
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", f.name, c.times, c.lost, c.twice, c.stuck, runs*devices, c.unknown)
	}
	_ = out.Flush()
	t.Log("\n" + text.String())
	if file := os.Getenv("DROVER_FAULTS"); file != "" {
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// day submits runs into a world with a fault, waits for their end, and counts.
func day(t *testing.T, f fault) toll {
	w := newWorld(t, devices, f)
	ids := make([]string, runs)
	var beside sync.WaitGroup
	for i := range ids {
		s, err := w.front.Submit(t.Context(), admin, dispatch.Submission{Service: "work", Payload: fmt.Appendf(nil, `{"n":%d}`, i)})
		w.must(err)
		ids[i] = s.Run.ID
		if f.during != nil {
			beside.Go(func() { f.during(w, s.Run.ID) })
		}
	}
	beside.Wait()
	var c toll
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		c.stuck = 0
		for _, id := range ids {
			if run, err := w.store.Run(t.Context(), tenant, id); err != nil || !run.Status.Terminal() {
				c.stuck++
			}
		}
		if c.stuck == 0 || time.Now().After(end) {
			break
		}
	}
	c.settled = runs - c.stuck
	for i, id := range ids {
		w.judge(&c, id, fmt.Sprintf("work %d", i))
	}
	if open, _, err := w.front.Store.OpenRuns(t.Context(), store.PageQuery{Limit: store.MaxPageRows}); err != nil || len(open) != c.stuck {
		t.Errorf("%d open rows (%v) of %d runs that are not over", len(open), err, c.stuck)
		c.stuck = max(c.stuck, len(open))
	}
	c.times = w.hits.Load()
	t.Logf("%+v", c)
	return c
}

// judge holds the results of a run against what its devices saw.
func (w *world) judge(c *toll, id, script string) {
	w.t.Helper()
	ctx := w.t.Context()
	run, err := w.store.Run(ctx, tenant, id)
	w.must(err)
	page, err := w.front.Results(ctx, admin, id, 0, 0)
	w.must(err)
	var counts job.Counts
	for _, r := range page.Results {
		counts.Add(r.Status, 1)
		seen := w.fleet.Devices[r.Index].Executions()
		n := 0
		for _, e := range seen {
			if strings.TrimSpace(e.Script) == script {
				n++
			}
		}
		if n > 1 {
			c.twice++
			w.t.Errorf("run %s: device %s ran %d commands: %+v", id, r.Device, n, r)
		}
		never := r.Status == job.ResultSkipped || r.Reason == job.ReasonNeverStarted
		if n > 0 && never || n == 0 && r.Status == job.ResultSucceeded || run.Status.Terminal() && !r.Status.Terminal() {
			c.lost++
			w.t.Errorf("run %s (%s %s): device %s ran %d commands: %+v", id, run.Status, run.Reason, r.Device, n, r)
		}
		if r.Status == job.ResultUnknown {
			c.unknown++
		}
	}
	counts.Total = len(page.Results)
	if run.Status.Terminal() && counts != run.Counts {
		c.lost++
		w.t.Errorf("run %s: counts %+v, results %+v", id, run.Counts, counts)
	}
}

// A run whose execution is ended from outside before its plan is over within
// minutes, and not at the end of the time that a start may take: it has failed,
// and no device was begun with.
func TestAbortedBeforeItsPlan(t *testing.T) {
	w := newWorld(t, devices, fault{aborts: true})
	s, err := w.front.Submit(t.Context(), admin, dispatch.Submission{Service: "work", Payload: []byte(`{"n":0}`)})
	w.must(err)
	var run job.Run
	for end := time.Now().Add(patience); !run.Status.Terminal() && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		run, err = w.store.Run(t.Context(), tenant, s.Run.ID)
		w.must(err)
	}
	if run.Status != job.Failed || run.Reason != job.ReasonAborted || run.Counts.Skipped != devices || w.fleet.Executions() != 0 {
		t.Fatalf("%s %q %+v, %d commands", run.Status, run.Reason, run.Counts, w.fleet.Executions())
	}
	if took := run.Ended.Sub(run.Created); took > 3*time.Minute {
		t.Errorf("it took %s", took)
	}
	page, err := w.front.Results(t.Context(), admin, run.ID, 0, 0)
	w.must(err)
	for _, r := range page.Results {
		if r.Status != job.ResultSkipped || r.Reason != job.ReasonAborted || r.Attempts != 0 {
			t.Errorf("%+v", r)
		}
	}
}

// A throttled table is met first by whoever reads it first, and a unit reads
// several rows before it claims: none of these reads may end the process.
func TestThrottledReadsOfAUnit(t *testing.T) {
	for _, row := range []string{"/run/", "/credential"} {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, devices, fault{table: func(w *world, op string, after bool) error {
				if !after && strings.HasPrefix(op, "get ") && strings.Contains(op, row) && w.hits.Add(1) <= 12 {
					return throttled("the table throttles")
				}
				return nil
			}})
			s, err := w.front.Submit(t.Context(), admin, dispatch.Submission{Service: "work", Payload: []byte(`{"n":0}`)})
			w.must(err)
			var run job.Run
			for end := time.Now().Add(patience); !run.Status.Terminal() && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				run, err = w.store.Run(t.Context(), tenant, s.Run.ID)
				w.must(err)
			}
			if run.Status != job.Succeeded || w.fleet.Executions() != devices || w.hits.Load() == 0 {
				t.Errorf("%s %q %+v, %d commands, %d reads of such rows", run.Status, run.Reason, run.Counts, w.fleet.Executions(), w.hits.Load())
			}
		})
	}
}

// All devices of a run fail, and it is to stop after some: through the workflow and
// the sweeper, with several processes, no more than it may.
func TestStopAfter(t *testing.T) {
	const fleet, concurrency = 20, 4 // of the service
	for limit, most := range map[job.StopAfter]int{{Count: 3}: 3 + concurrency - 1, {Percent: 25}: 5 + concurrency - 1, {}: fleet} {
		t.Run(fmt.Sprintf("%+v", limit), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fleet, fault{fails: true})
			s, err := w.front.Submit(t.Context(), admin, dispatch.Submission{Service: "work", Payload: []byte(`{"n":0}`), StopAfter: limit})
			w.must(err)
			var run job.Run
			for end := time.Now().Add(patience); !run.Status.Terminal() && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				run, err = w.store.Run(t.Context(), tenant, s.Run.ID)
				w.must(err)
			}
			stopped := most < fleet
			if c := run.Counts; run.Status != job.Failed || (run.Reason == job.ReasonStopAfter) != stopped || c.Failed > most || c.Failed < limit.Of(fleet) ||
				c.Failed+c.Skipped != fleet || c.Failed != w.fleet.Executions() {
				t.Errorf("%s %q %+v, %d commands", run.Status, run.Reason, c, w.fleet.Executions())
			}
		})
	}
}
