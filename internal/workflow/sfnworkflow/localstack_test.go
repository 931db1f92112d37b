package sfnworkflow_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"drover/internal/task"
	"drover/internal/workflow/sfnworkflow"
	"drover/statemachines"
)

// answer is how a task of a path test answers one call, or several in a row.
type answer struct {
	times int // 0 means once
	value any
	err   string // the name of an error, instead of a value
}

// path is one test case of LocalStack: what the tasks answer, and what must
// come of it. Answers cannot depend on the unit, and take no time.
type path struct {
	plan    []answer
	execute []answer
	finish  []answer

	units  string // the way of every unit, "" if there is no map
	status sfntypes.ExecutionStatus
	want   string // the way of the execution itself
}

func planned(maps string, units, concurrency int) []answer {
	us := make([]int, units)
	for i := range us {
		us[i] = i
	}
	p := task.Planned{V: 1, Tenant: "t", Run: "r", Map: maps, Units: us, Concurrency: concurrency}
	if maps == task.MapExpress || maps == task.MapStandard {
		p.Batches, p.Children, p.Inner = [][]int{us}, 1, concurrency
	}
	return []answer{{value: p}}
}

// split divides the units of a plan into batches of so many, children at once and
// inner of each one's units.
func split(plan []answer, size, children, inner int) []answer {
	p := plan[0].value.(task.Planned)
	p.Batches, p.Children, p.Inner = slices.Collect(slices.Chunk(p.Units, size)), children, inner
	return []answer{{value: p}}
}

func executed(times int, again bool) answer {
	e := task.Executed{V: 1, Tenant: "t", Run: "r", Round: 1}
	if again {
		e.Again, e.Wait = true, 1
	}
	return answer{times: times, value: e}
}

var settled = []answer{{value: task.Finished{V: 1, Settled: true, Status: "succeeded"}}}

// paths are the cases that LocalStack judges.
func paths() map[string]path {
	ps := map[string]path{
		"NoUnit":        {plan: planned(task.MapNone, 0, 1), finish: settled, want: "Plan ChooseMap Finish"},
		"UnknownMap":    {plan: planned("spiral", 2, 1), finish: settled, want: "Plan ChooseMap Finish"},
		"PlanFails":     {plan: []answer{{err: "InvalidInputError"}}, finish: settled, want: "Plan Finish"},
		"PlanThrottled": {plan: append([]answer{{err: "ThrottledError"}}, planned(task.MapNone, 0, 1)...), finish: settled, want: "Plan ChooseMap Finish"},
		"FinishFails": {plan: planned(task.MapNone, 0, 1), finish: []answer{{err: "InvalidInputError"}},
			want: "Plan ChooseMap Finish", status: sfntypes.ExecutionStatusFailed},
	}
	for maps, kind := range map[string]string{task.MapInline: "Inline", task.MapExpress: "Express", task.MapStandard: "Standard"} {
		way := "Plan ChooseMap Map" + kind + " Finish"
		unit := func(states ...string) string { return strings.Join(states, kind+" ") + kind }
		ps[kind] = path{plan: planned(maps, 3, 3), execute: []answer{executed(3, false)}, finish: settled,
			want: way, units: unit("Execute", "Again", "Done")}
		ps[kind+"Again"] = path{plan: planned(maps, 2, 2), execute: []answer{executed(2, true), executed(2, false)}, finish: settled,
			want: way, units: unit("Execute", "Again", "Wait", "Execute", "Again", "Done")}
		ps[kind+"Throttled"] = path{plan: planned(maps, 1, 1), execute: []answer{{err: "ThrottledError"}, {err: "Lambda.TooManyRequestsException"}, executed(1, false)},
			finish: settled, want: way, units: unit("Execute", "Again", "Done")}
		ps[kind+"GivenUp"] = path{plan: planned(maps, 2, 2), execute: []answer{{times: 2, err: "VersionError"}}, finish: settled,
			want: way, units: unit("Execute", "Done")}
		// Each unit waits a second between two rounds, and keeps its place
		// meanwhile. Every call but the last six is answered with again.
		ps[kind+"Bounded"] = path{plan: planned(maps, 6, 2), execute: []answer{executed(6, true), executed(6, false)}, finish: settled, want: way}
		if kind != "Inline" {
			before := planned(maps, 3, 3)[0].value.(task.Planned)
			before.Batches, before.Children, before.Inner = nil, 0, 0
			ps[kind+"Unbatched"] = path{plan: []answer{{value: before}}, execute: []answer{executed(3, false)}, finish: settled,
				want: "Plan ChooseMap Singles MapStandard Finish"}
			ps[kind+"ChildrenBounded"] = path{plan: split(planned(maps, 6, 2), 1, 2, 1), execute: []answer{executed(6, true), executed(6, false)}, finish: settled, want: way}
			// Three batches of four, two of them at once, two of each at once: of
			// twelve waits of a second four at once, where either bound alone has six.
			ps[kind+"BothBounded"] = path{plan: split(planned(maps, 12, 4), 4, 2, 2), execute: []answer{executed(12, true), executed(12, false)}, finish: settled,
				want: way}
		}
		ps[kind+"Stopped"] = path{plan: planned(maps, 2, 2), execute: []answer{executed(1000, true)}, finish: settled}
	}
	return ps
}

// mocks writes LocalStack's mock configuration for a state machine.
func mocks(t *testing.T, machine string, ps map[string]path) string {
	t.Helper()
	cases, responses := object{}, object{}
	for name, p := range ps {
		states := object{}
		add := func(state string, answers []answer) {
			if len(answers) == 0 {
				return
			}
			steps, at := object{}, 0
			for _, a := range answers {
				key := fmt.Sprint(at)
				if a.times > 1 {
					key = fmt.Sprintf("%d-%d", at, at+a.times-1)
				}
				at += max(1, a.times)
				if a.err != "" {
					steps[key] = object{"Throw": object{"Error": a.err, "Cause": "mocked"}}
				} else {
					steps[key] = object{"Return": object{"StatusCode": 200, "Payload": a.value}}
				}
			}
			responses[name+state] = steps
			states[state] = name + state
		}
		add("Plan", p.plan)
		for _, kind := range []string{"Inline", "Express", "Standard"} {
			add("Execute"+kind, p.execute)
		}
		add("Finish", p.finish)
		cases[name] = states
	}
	data, err := json.Marshal(object{
		"StateMachines":   object{machine: object{"TestCases": cases}},
		"MockedResponses": responses,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mocks.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestLocalStack judges the paths through the state machine, and what ministack
// does not show: bounds on concurrency, and stops within a map.
func TestLocalStack(t *testing.T) {
	ps := paths()
	endpoint := startEmulator(t, "localstack", "SFN_MOCK_CONFIG="+mocks(t, "run", ps))
	client := sfn.NewFromConfig(config(endpoint, "test", "test"))
	definition := statemachines.Run
	// LocalStack's grammar has no EXPRESS; it runs the children of both maps alike.
	definition = strings.ReplaceAll(definition, `"EXPRESS"`, `"STANDARD"`)
	for _, name := range statemachines.Substitutions() {
		definition = strings.ReplaceAll(definition, "${"+name+"}", "arn:aws:lambda:us-east-1:000000000000:function:"+name)
	}
	created, err := client.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String("run"), Definition: &definition, RoleArn: aws.String("arn:aws:iam::000000000000:role/run"),
	})
	if err != nil {
		t.Fatal(err)
	}
	machine := aws.ToString(created.StateMachineArn)

	t.Run("a repeated start", func(t *testing.T) {
		t.Parallel()
		startedTwice(t, client, machine)
	})
	for name, p := range ps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := sfnworkflow.New(client, machine+"#"+name)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Start(t.Context(), "t", name); err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "Stopped") {
				stopped(t, client, machine, name)
				return
			}
			over := awaitExecution(t, client, machine, name)
			if over.Status != cmp.Or(p.status, sfntypes.ExecutionStatusSucceeded) {
				t.Fatalf("status %s: %s %s", over.Status, aws.ToString(over.Error), aws.ToString(over.Cause))
			}
			if in := aws.ToString(over.Input); in != `{"tenant":"t","run":"`+name+`"}` {
				t.Errorf("input %s", in)
			}
			events := history(t, client, aws.ToString(over.ExecutionArn))
			own, units := ways(events)
			if own != p.want {
				t.Errorf("way %q, want %q", own, p.want)
			}
			for _, way := range units {
				if p.units != "" && way != p.units {
					t.Errorf("way of a unit %q, want %q", way, p.units)
				}
			}
			if strings.HasSuffix(name, "Bounded") {
				bounded(t, events)
			}
		})
	}
}

// history returns an execution's events. Those of a Distributed Map's children
// are not among them.
func history(t *testing.T, client *sfn.Client, arn string) []sfntypes.HistoryEvent {
	t.Helper()
	var events []sfntypes.HistoryEvent
	pages := sfn.NewGetExecutionHistoryPaginator(client, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, page.Events...)
	}
	return events
}

// ways returns the states that an execution entered, and those that each
// iteration of its inline map did.
func ways(events []sfntypes.HistoryEvent) (own string, units []string) {
	iteration := map[int64]int64{} // of each event; 0: the execution itself
	entered := map[int64][]string{}
	for _, e := range events {
		switch e.Type {
		case sfntypes.HistoryEventTypeMapIterationStarted:
			iteration[e.Id] = e.Id
		case sfntypes.HistoryEventTypeMapStateSucceeded, sfntypes.HistoryEventTypeMapStateExited:
		default:
			iteration[e.Id] = iteration[e.PreviousEventId]
		}
		if e.StateEnteredEventDetails != nil {
			i := iteration[e.Id]
			entered[i] = append(entered[i], aws.ToString(e.StateEnteredEventDetails.Name))
		}
	}
	for i, names := range entered {
		if i != 0 {
			units = append(units, strings.Join(names, " "))
		}
	}
	return strings.Join(entered[0], " "), units
}

// bounded checks that a map was gone through as many at a time as it may be:
// exactly where the history has the iterations, else by the least time that it
// takes. There are waits of a second for three seconds, and for less without bounds.
func bounded(t *testing.T, events []sfntypes.HistoryEvent) {
	t.Helper()
	open, peak := 0, 0
	var began, ended time.Time
	for _, e := range events {
		switch e.Type {
		case sfntypes.HistoryEventTypeMapIterationStarted:
			open++
			peak = max(peak, open)
		case sfntypes.HistoryEventTypeMapIterationSucceeded:
			open--
		case sfntypes.HistoryEventTypeMapRunStarted:
			began = aws.ToTime(e.Timestamp)
		case sfntypes.HistoryEventTypeMapRunSucceeded:
			ended = aws.ToTime(e.Timestamp)
		}
	}
	switch {
	case !began.IsZero():
		if took := ended.Sub(began); took < 2900*time.Millisecond {
			t.Errorf("the map took %v, want at least 3 s of waits that follow each other", took)
		}
	case peak != 2:
		t.Errorf("%d iterations at once, want 2", peak)
	}
}

// startedTwice starts one run again while it goes on, and when it is over: AWS
// and its emulators answer the first with success and the second with an error,
// and neither begins anything.
func startedTwice(t *testing.T, client *sfn.Client, machine string) {
	t.Helper()
	const run = "Twice"
	w, err := sfnworkflow.New(client, machine+"#InlineAgain") // goes on for a second
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Start(t.Context(), "t", run); err != nil {
			t.Fatal(err)
		}
	}
	over := awaitExecution(t, client, machine, run)
	if err := w.Start(t.Context(), "t", run); err != nil {
		t.Fatal(err)
	}
	if _, err := client.StartExecution(t.Context(), &sfn.StartExecutionInput{
		StateMachineArn: &machine, Name: aws.String(run), Input: aws.String(`{"tenant":"t","run":"Twice"}`),
	}); !errors.As(err, new(*sfntypes.ExecutionAlreadyExists)) {
		t.Errorf("the service itself answers %v; the driver's other answer is not tested", err)
	}
	again := awaitExecution(t, client, machine, run)
	if !aws.ToTime(over.StartDate).Equal(aws.ToTime(again.StartDate)) || !aws.ToTime(over.StopDate).Equal(aws.ToTime(again.StopDate)) {
		t.Errorf("the execution of %v to %v is now one of %v to %v", over.StartDate, over.StopDate, again.StartDate, again.StopDate)
	}
}

// stopped stops an execution whose units would answer again for long, and
// checks that nothing is called afterwards.
func stopped(t *testing.T, client *sfn.Client, machine, run string) {
	t.Helper()
	// The test case belongs to the machine's ARN and not to its executions'.
	w, err := sfnworkflow.New(client, machine)
	if err != nil {
		t.Fatal(err)
	}
	arn := executionARN(machine, run)
	poll(t, "the start of the map", func() bool {
		return slices.ContainsFunc(history(t, client, arn), func(e sfntypes.HistoryEvent) bool {
			return e.Type == sfntypes.HistoryEventTypeMapStateStarted
		})
	})
	for range 2 { // one that is over is left alone
		if err := w.Stop(t.Context(), "t", run, "the test says so"); err != nil {
			t.Fatal(err)
		}
	}
	over := awaitExecution(t, client, machine, run)
	if over.Status == sfntypes.ExecutionStatusSucceeded {
		t.Fatal("the execution succeeded")
	}
	// Another execution that waits a second: longer than a unit would have.
	const later = "Barrier"
	other, err := sfnworkflow.New(client, machine+"#InlineAgain")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context(), "t", later+run); err != nil {
		t.Fatal(err)
	}
	awaitExecution(t, client, machine, later+run)
	for _, e := range history(t, client, arn) {
		if e.TaskScheduledEventDetails != nil && e.Timestamp.After(aws.ToTime(over.StopDate).Add(100*time.Millisecond)) {
			t.Errorf("a task was called %v after the stop", e.Timestamp.Sub(*over.StopDate))
		}
		if d := e.StateEnteredEventDetails; d != nil && aws.ToString(d.Name) == "Finish" {
			t.Error("Finish was called")
		}
	}
}
