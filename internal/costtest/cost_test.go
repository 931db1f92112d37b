package costtest

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"drover/internal/job"
	"drover/internal/planner"
	"drover/internal/store/dynamotest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	dynamotest.Stop()
	os.Exit(code)
}

const (
	fleetSize = 1000 // devices of a distributed run
	answering = 40   // of them really run
	fewSize   = 40   // devices of an inline run
)

// scenario is a kind of run that is priced.
type scenario struct {
	maps    string
	seconds int
	object  bool // each output is an object
	// budget is design.md's, for 1,000 device runs; 0: there is none.
	budget float64
	usage  Usage // of 1,000 device runs
}

// TestCost counts what 1,000 device runs use and holds their price to the
// design's budgets. With DROVER_COST=FILE it writes the table there.
func TestCost(t *testing.T) {
	l := newLab(t, fleetSize, answering)
	script := func(seconds, bytes int) string { return fmt.Sprintf("work %d %d", seconds, bytes) }
	const smallOutput, objectOutput = 200, 16 << 10
	l.service("small 2", "all", script(2, smallOutput))
	l.service("object 2", "all", script(2, objectOutput))
	l.service("small 10", "all", script(10, smallOutput))
	l.service("few 2", "few", script(2, smallOutput))
	l.service("few 10", "few", script(10, smallOutput))
	idle := l.sweep()

	var scenarios []scenario
	for _, c := range []struct {
		service  string
		seconds  int
		object   bool
		express  float64
		standard float64
	}{
		{"small 2", 2, false, 0.013, 0.09},
		{"object 2", 2, true, 0.02, 0},
		{"small 10", 10, false, 0, 0},
	} {
		length := time.Duration(c.seconds) * time.Second
		m := judged(t, c.service, c.seconds, func() (measured, error) {
			return l.measure(c.service, answering*job.DefaultConcurrency/fleetSize, answering, length)
		})
		for _, maps := range []planner.Map{planner.Express, planner.Standard} {
			s := scenario{maps: string(maps), seconds: c.seconds, object: c.object, budget: c.express, usage: Usage{}}
			if maps == planner.Standard {
				s.budget = c.standard
			}
			s.usage.Add(m.run.usage, 1)
			s.usage.Add(m.process.usage, float64(fleetSize)/answering)
			s.usage.Add(m.device.usage, float64(fleetSize)/answering)
			s.usage.Add(idle.usage, math.Ceil(float64(fleetSize/job.DefaultConcurrency*c.seconds)/60))
			distributed(t, &s)
			scenarios = append(scenarios, s)
		}
	}
	for _, seconds := range []int{2, 10} {
		service := fmt.Sprintf("few %d", seconds)
		m := judged(t, service, seconds, func() (measured, error) {
			return l.measure(service, fewSize, fewSize, time.Duration(seconds)*time.Second)
		})
		s := scenario{maps: string(planner.Inline), seconds: seconds, usage: Usage{}}
		if seconds == 2 {
			s.budget = 0.09
		}
		const runs = fleetSize / fewSize
		s.usage.Add(m.run.usage, runs)
		s.usage.Add(m.process.usage, 1) // one run after another, by the same processes
		s.usage.Add(m.device.usage, runs)
		s.usage.Add(idle.usage, math.Ceil(float64(runs*seconds)/60))
		w := path(t, s.maps)
		s.usage[Transitions] += float64(runs*w.outside + fleetSize*w.unit)
		s.usage[Traces] += sampled * (fleetSize + runs)
		scenarios = append(scenarios, s)
	}
	for _, s := range scenarios {
		if s.budget > 0 && s.usage.Total() > s.budget {
			t.Errorf("%s, %d s, objects %v: $%.5f, the budget is $%.3f", s.maps, s.seconds, s.object, s.usage.Total(), s.budget)
		}
	}
	var text strings.Builder
	print(&text, scenarios, idle.usage)
	t.Log("\n" + text.String())
	if file := os.Getenv("DROVER_COST"); file != "" {
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tries is how often a run is measured at most: one that this machine was too slow
// for, so that requests were given up and made again, says nothing.
const tries = 3

// judged measures until what was measured stands up to judge.
func judged(t *testing.T, name string, seconds int, measure func() (measured, error)) (m measured) {
	t.Helper()
	for range tries {
		var err error
		if m, err = measure(); err == nil {
			t.Logf("%s: requests of %d devices %v: %.2f write units and %.2f read units each; %s beside the command", name, answering, m.device.requests,
				m.device.usage[TableWrites]/answering, m.device.usage[TableReads]/answering, m.beside.Round(time.Millisecond))
			if err = judge(seconds, m); err == nil {
				return m
			}
		}
		t.Logf("%s: %v", name, err)
	}
	t.Fatalf("%s: measured %d times", name, tries)
	return m
}

// judge holds a device's requests to the design's budget: two writes, one batch
// read once its process knows the run, and, while its command runs, one more read
// and at most one more write in 5 s. DynamoDB Local agrees with the reckoning of
// their units.
func judge(seconds int, m measured) error {
	d := m.device
	if got, most := d.requests["PutItem"], (2+seconds/5)*answering; got < 2*answering || got > most {
		return fmt.Errorf("%d writes for %d devices, at most %d are stated", got, answering, most)
	}
	if got := d.usage[TableWrites]; seconds < 5 && got > 5*answering {
		return fmt.Errorf("%v write units for %d devices", got, answering)
	}
	for _, r := range []reading{m.process, m.device} {
		if got := r.usage[TableReads] + r.usage[TableWrites]; got != r.told {
			return fmt.Errorf("reckoned %v units, DynamoDB Local says %v (%v)", got, r.told, r.requests)
		}
	}
	return nil
}

// distributed adds what a Distributed Map's children use.
func distributed(t *testing.T, s *scenario) {
	t.Helper()
	limit := time.Minute
	if s.maps == string(planner.Standard) {
		limit = 5 * time.Minute
	}
	plan := planner.Plan(planner.Input{Devices: fleetSize, Limits: job.Limits{Timeout: limit, Concurrency: job.DefaultConcurrency}})
	if string(plan.Map) != s.maps || plan.Units != fleetSize || plan.Batches == 0 {
		t.Fatalf("%d devices with a limit of %s are mapped %s over %d units", fleetSize, limit, plan.Map, plan.Units)
	}
	w, children := path(t, s.maps), float64(plan.Batches)
	s.usage[Transitions] += float64(w.outside)
	s.usage[ChildStarts] += children
	s.usage[Traces] += sampled * (children + 1)
	if s.maps == string(planner.Standard) {
		s.usage[Transitions] += children*float64(w.child) + float64(fleetSize*w.unit)
		return
	}
	// A child lasts as long as the rounds of its largest batch.
	first, end := plan.Batch(plan.Batches-1, plan.Units)
	rounds := (end - first + plan.Inner - 1) / plan.Inner
	s.usage[ExpressRequests] += children
	s.usage[ExpressDuration] += children * (float64(rounds*s.seconds) + 0.1) * expressMemory / 1024
}

// expressMemory is what an Express child is taken to use, in MB: 50 for an
// execution, and its definition with the data of all units at once, by steps of 64.
const expressMemory = 64

// print writes the table.
func print(w io.Writer, scenarios []scenario, idle Usage) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(first string, cell func(scenario) string) {
		fmt.Fprint(out, first, "\t")
		for _, s := range scenarios {
			fmt.Fprint(out, cell(s), "\t")
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(w, "1,000 device runs in us-east-1, list prices of %s, US dollars, no free tier\n\n", PricesAsOf)
	row("", func(s scenario) string { return s.maps })
	row("command", func(s scenario) string { return fmt.Sprintf("%d s", s.seconds) })
	row("output", func(s scenario) string {
		if s.object {
			return "object"
		}
		return "small"
	})
	for _, p := range Prices {
		row(string(p.Item), func(s scenario) string {
			if p.Of(s.usage) == 0 {
				return "-"
			}
			return fmt.Sprintf("%.5f", p.Of(s.usage))
		})
	}
	row("total", func(s scenario) string { return fmt.Sprintf("%.5f", s.usage.Total()) })
	row("budget", func(s scenario) string {
		if s.budget == 0 {
			return "-"
		}
		return fmt.Sprintf("%.3f", s.budget)
	})
	_ = out.Flush()
	fmt.Fprintln(w)
	out = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(out, "counted, each device run\t")
	for _, s := range scenarios {
		fmt.Fprintf(out, "%s %d s\t", s.maps, s.seconds)
	}
	fmt.Fprintln(out)
	for _, p := range Prices {
		row(string(p.Item), func(s scenario) string { return fmt.Sprintf("%.4g", s.usage[p.Item]/fleetSize) })
	}
	_ = out.Flush()
	const minutes = 30 * 24 * 60
	month := Usage{}
	month.Add(idle, minutes)
	fmt.Fprintf(w, "\nidle, the sweeper of a month of 30 days: $%.3f (the key of KMS, alarms and the dashboard are beside it, see docs/cost.md)\n", month.Total())
}
