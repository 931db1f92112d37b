package statemachines_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/planner"
	"drover/internal/task"
	"drover/internal/workflow/localworkflow"
	"drover/statemachines"
)

type object = map[string]any

// retrier is an element of a Retry field.
type retrier struct {
	ErrorEquals     []string
	IntervalSeconds int
	BackoffRate     float64
	MaxDelaySeconds int
	MaxAttempts     int
	JitterStrategy  string
}

func definition(t *testing.T) object {
	t.Helper()
	var d object
	if err := json.Unmarshal([]byte(statemachines.Run), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// unitMaps returns the three maps over units, by the word that ends their
// states' names: of the execution itself, and those of a Distributed Map's
// children over their batches.
func unitMaps(t *testing.T) map[string]object {
	t.Helper()
	out := map[string]object{}
	for name, s := range definition(t)["States"].(object) {
		word, ok := strings.CutPrefix(name, "Map")
		if !ok {
			continue
		}
		m := s.(object)
		if word != "Inline" {
			m = m["ItemProcessor"].(object)["States"].(object)["Batch"+word].(object)
		}
		out[word] = m
	}
	return out
}

// processors returns the item processors of the maps over units.
func processors(t *testing.T) map[string]object {
	t.Helper()
	out := map[string]object{}
	for word, m := range unitMaps(t) {
		out[word] = m["ItemProcessor"].(object)
	}
	return out
}

// states calls f for every state, those of the maps included.
func states(t *testing.T, f func(name string, s object)) {
	t.Helper()
	var walk func(ss object)
	walk = func(ss object) {
		for name, s := range ss {
			f(name, s.(object))
			if p, ok := s.(object)["ItemProcessor"]; ok {
				walk(p.(object)["States"].(object))
			}
		}
	}
	walk(definition(t)["States"].(object))
}

// The three maps differ in how children run and in nothing else: names of
// states must be unique in the whole machine, so theirs end in the map's word.
func TestProcessorsAreEqual(t *testing.T) {
	var first object
	ps := processors(t)
	if len(ps) != 3 {
		t.Fatalf("%d maps, want 3", len(ps))
	}
	for word, p := range ps {
		text, err := json.Marshal(object{"StartAt": p["StartAt"], "States": p["States"]})
		if err != nil {
			t.Fatal(err)
		}
		var plain object
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), word+`"`, `"`)), &plain); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = plain
		} else if !reflect.DeepEqual(plain, first) {
			t.Errorf("the processor of Map%s is another one: %v\n%v", word, plain, first)
		}
	}
}

// The maps over units are inline, bounded by what the planner says, and have the
// same items; a Distributed Map's child is one of them and nothing else.
func TestMaps(t *testing.T) {
	item := object{"tenant.$": "$.tenant", "run.$": "$.run", "unit.$": "$$.Map.Item.Value", "round": 0.0}
	for word, m := range unitMaps(t) {
		limit := "$.inner"
		if word == "Inline" {
			limit = "$.concurrency"
		}
		if m["MaxConcurrencyPath"] != limit || m["MaxConcurrency"] != nil || m["ItemsPath"] != "$.units" || !reflect.DeepEqual(m["ItemSelector"], item) {
			t.Errorf("the map over units %s: %v at once of %v, each %v", word, m["MaxConcurrencyPath"], m["ItemsPath"], m["ItemSelector"])
		}
		if config := m["ItemProcessor"].(object)["ProcessorConfig"]; !reflect.DeepEqual(config, object{"Mode": "INLINE"}) {
			t.Errorf("the map over units %s runs as %v", word, config)
		}
	}
	batch := object{"tenant.$": "$.tenant", "run.$": "$.run", "inner.$": "$.inner", "units.$": "$$.Map.Item.Value"}
	for word, config := range map[string]object{
		"Express":  {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
		"Standard": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
	} {
		m := definition(t)["States"].(object)["Map"+word].(object)
		p := m["ItemProcessor"].(object)
		if !reflect.DeepEqual(p["ProcessorConfig"], config) {
			t.Errorf("Map%s runs as %v, want %v", word, p["ProcessorConfig"], config)
		}
		if m["MaxConcurrencyPath"] != "$.children" || m["MaxConcurrency"] != nil || m["ItemsPath"] != "$.batches" || !reflect.DeepEqual(m["ItemSelector"], batch) {
			t.Errorf("Map%s: %v at once of %v, each %v", word, m["MaxConcurrencyPath"], m["ItemsPath"], m["ItemSelector"])
		}
		if m["ToleratedFailurePercentage"] != 100.0 {
			t.Errorf("Map%s tolerates %v %% of failures", word, m["ToleratedFailurePercentage"])
		}
		if b := unitMaps(t)[word]; p["StartAt"] != "Batch"+word || len(p["States"].(object)) != 1 || b["End"] != true {
			t.Errorf("a child of Map%s does more than its batch: %v", word, p["States"])
		}
	}
	// What a map gives back would count against what a state may hold.
	for name, s := range definition(t)["States"].(object) {
		if keeps, ok := s.(object)["ResultPath"]; strings.HasPrefix(name, "Map") && (!ok || keeps != nil) {
			t.Errorf("%s keeps its result", name)
		}
	}
	// LocalStack's grammar wants the fraction.
	if strings.Contains(statemachines.Run, `"ToleratedFailurePercentage": 100,`) {
		t.Error("write 100.0")
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	states(t, func(name string, _ object) {
		if seen[name] {
			t.Errorf("two states are called %s", name)
		}
		seen[name] = true
	})
}

// One form of calling functions, one time limit, and the same retries in every
// task; the driver of one machine retries alike.
func TestTasks(t *testing.T) {
	var names []string
	states(t, func(name string, s object) {
		if s["Type"] != "Task" {
			return
		}
		if s["Resource"] != "arn:aws:states:::lambda:invoke" || s["OutputPath"] != "$.Payload" {
			t.Errorf("%s: resource %v, output path %v", name, s["Resource"], s["OutputPath"])
		}
		// More than the 15 min that a function can take, so that only a lost
		// answer is ended by it.
		if s["TimeoutSeconds"].(float64) <= 900 {
			t.Errorf("%s ends before its function may: %v s", name, s["TimeoutSeconds"])
		}
		payload := s["Parameters"].(object)["Payload"].(object)
		if payload["v"] != float64(task.Version) {
			t.Errorf("%s sends version %v, want %d", name, payload["v"], task.Version)
		}
		var keys []string
		for k := range payload {
			keys = append(keys, strings.TrimSuffix(k, ".$"))
		}
		slices.Sort(keys)
		want := fields(task.RunRef{})
		if strings.HasPrefix(name, "Execute") {
			want = fields(task.UnitRef{})
		}
		if !slices.Equal(keys, want) {
			t.Errorf("%s sends %v, want %v", name, keys, want)
		}

		text, err := json.Marshal(s["Retry"])
		if err != nil {
			t.Fatal(err)
		}
		var retry []retrier
		if err := json.Unmarshal(text, &retry); err != nil {
			t.Fatal(err)
		}
		var got []localworkflow.Retrier
		for _, r := range retry {
			names = append(names, r.ErrorEquals...)
			if r.MaxAttempts > 0 && (r.BackoffRate != 2 || r.JitterStrategy != "FULL") {
				t.Errorf("%s: backoff %v, jitter %q", name, r.BackoffRate, r.JitterStrategy)
			}
			got = append(got, localworkflow.Retrier{
				Errors:   slices.DeleteFunc(r.ErrorEquals, func(n string) bool { return strings.HasPrefix(n, "Lambda.") }),
				Interval: time.Duration(r.IntervalSeconds) * time.Second,
				MaxDelay: time.Duration(r.MaxDelaySeconds) * time.Second,
				Attempts: r.MaxAttempts,
			})
		}
		if !reflect.DeepEqual(got, localworkflow.DefaultRetry()) {
			t.Errorf("%s retries\n%+v, localworkflow\n%+v", name, got, localworkflow.DefaultRetry())
		}
	})

	// Every name is one that exists; every error of ours is named, but for
	// InternalError, which States.ALL is for.
	for _, n := range names {
		if !slices.Contains(task.ErrorNames(), n) && n != "Lambda.TooManyRequestsException" && n != "States.ALL" {
			t.Errorf("no task returns %s", n)
		}
	}
	for _, n := range task.ErrorNames() {
		if n != "InternalError" && !slices.Contains(names, n) {
			t.Errorf("%s is not in the Retry of the tasks", n)
		}
	}
}

// fields returns the JSON names of a struct, sorted.
func fields(v any) []string {
	var names []string
	for f := range reflect.TypeOf(v).Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Every error that can be caught leads on to Finish, within the machine or out
// of a unit; what cannot be is the sweeper's.
func TestErrorsLeadToFinish(t *testing.T) {
	states(t, func(name string, s object) {
		// What a child's map does not survive its Distributed Map tolerates.
		if s["Type"] != "Task" && s["Type"] != "Map" || name == "Finish" || strings.HasPrefix(name, "Batch") {
			return
		}
		want := "Finish"
		if word, ok := strings.CutPrefix(name, "Execute"); ok {
			want = "Done" + word
		}
		// A null ResultPath: the error's text does not travel.
		caught := []any{object{"ErrorEquals": []any{"States.ALL"}, "ResultPath": nil, "Next": want}}
		if !reflect.DeepEqual(s["Catch"], caught) {
			t.Errorf("%s catches %v, want %v", name, s["Catch"], caught)
		}
	})
}

// A Choice on a missing value ends an execution on AWS: whatever a rule reads,
// and whatever the states that it leads to read by path, is checked first.
func TestChoicesAreGuarded(t *testing.T) {
	states(t, func(name string, s object) {
		if s["Type"] != "Choice" {
			return
		}
		if s["Default"] == nil {
			t.Errorf("%s has no default", name)
		}
		for _, c := range s["Choices"].([]any) {
			present := map[any]bool{}
			rules := slices.Clone(c.(object)["And"].([]any))
			for len(rules) > 0 {
				r := rules[0].(object)
				rules = rules[1:]
				if either, ok := r["Or"].([]any); ok {
					rules = append(rules, either...)
				} else if r["IsPresent"] == true {
					present[r["Variable"]] = true
				} else if !present[r["Variable"]] {
					t.Errorf("%s reads %v unguarded", name, r["Variable"])
				}
			}
			next := c.(object)["Next"].(string)
			needs := []string{"$.wait"}
			switch {
			case next == "MapInline" || next == "Singles":
				needs = []string{"$.units", "$.concurrency"}
			case strings.HasPrefix(next, "Map"):
				needs = []string{"$.batches", "$.children", "$.inner"}
			}
			for _, v := range needs {
				if !present[v] {
					t.Errorf("%s leads to %s, which reads %s unguarded", name, next, v)
				}
			}
		}
	})
}

// The words of Plan are those of the Choice, and no other leads to a map.
func TestMapsAreThoseOfThePlanner(t *testing.T) {
	got := map[string]string{}
	for _, c := range definition(t)["States"].(object)["ChooseMap"].(object)["Choices"].([]any) {
		for _, rule := range c.(object)["And"].([]any) {
			if word, ok := rule.(object)["StringEquals"]; ok {
				got[word.(string)] = c.(object)["Next"].(string)
			}
		}
	}
	want := map[string]string{task.MapInline: "MapInline", task.MapExpress: "MapExpress", task.MapStandard: "MapStandard"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("maps %v, want %v", got, want)
	}
	if string(planner.Inline) != task.MapInline || string(planner.Express) != task.MapExpress || string(planner.Standard) != task.MapStandard {
		t.Error("planner and task name the maps differently")
	}
}

// The only loop is that of a unit's rounds. The executor ends it at the run's
// deadline; the machine's own limit is beyond any deadline.
func TestLoopsEnd(t *testing.T) {
	d := definition(t)
	limit := time.Duration(d["TimeoutSeconds"].(float64)) * time.Second
	if limit < planner.MaxRun+time.Hour {
		t.Errorf("the machine ends after %v, a run may take %v", limit, planner.MaxRun)
	}
	for word, p := range processors(t) {
		wait := p["States"].(object)["Wait"+word].(object)
		if wait["SecondsPath"] != "$.wait" || wait["Next"] != "Execute"+word {
			t.Errorf("the wait of Map%s: %v", word, wait)
		}
	}
	next := map[string][]string{}
	states(t, func(name string, s object) {
		add := func(o object) {
			for _, k := range []string{"Next", "Default"} {
				if n, ok := o[k].(string); ok {
					next[name] = append(next[name], n)
				}
			}
		}
		add(s)
		for _, k := range []string{"Choices", "Catch"} {
			cs, _ := s[k].([]any)
			for _, c := range cs {
				add(c.(object))
			}
		}
	})
	// Without the step from Wait back to Execute there is no cycle.
	for word := range processors(t) {
		delete(next, "Wait"+word)
	}
	var depth func(name string, seen []string)
	depth = func(name string, seen []string) {
		if slices.Contains(seen, name) {
			t.Fatalf("a loop: %v", append(seen, name))
		}
		for _, n := range next[name] {
			depth(n, append(slices.Clone(seen), name))
		}
	}
	for name := range next {
		depth(name, nil)
	}
}

// A plan from before there were batches is carried out too, a child for every
// unit, and Standard ones, which take any unit.
func TestPlansWithoutBatches(t *testing.T) {
	s := definition(t)["States"].(object)["Singles"].(object)
	want := object{"tenant.$": "$.tenant", "run.$": "$.run", "batches.$": "States.ArrayPartition($.units, 1)", "children.$": "$.concurrency", "inner": 1.0}
	if !reflect.DeepEqual(s["Parameters"], want) || s["Next"] != "MapStandard" {
		t.Errorf("%v", s)
	}
	for _, c := range definition(t)["States"].(object)["ChooseMap"].(object)["Choices"].([]any) {
		if c.(object)["Next"] != "Singles" {
			continue
		}
		and := c.(object)["And"].([]any)
		want := []any{object{"Variable": "$.map", "StringEquals": task.MapExpress}, object{"Variable": "$.map", "StringEquals": task.MapStandard}}
		if got := and[len(and)-1].(object)["Or"]; !reflect.DeepEqual(got, want) {
			t.Errorf("Singles is for %v", got)
		}
	}
}

// The history of a map over units: what planner counts with for each round, each
// unit and each map, for as many states as there are.
func TestHistory(t *testing.T) {
	perState := map[string]int{
		"Task":   5, // entered, scheduled, started, succeeded, exited
		"Choice": 2, "Wait": 2, "Pass": 2,
		"Map": 4, // entered, started, succeeded, exited
	}
	const iteration, execution = 2, 2 // started, succeeded
	for word, p := range processors(t) {
		events := func(kinds ...string) (n int) {
			for _, kind := range kinds {
				n += perState[p["States"].(object)[kind+word].(object)["Type"].(string)]
			}
			return n
		}
		if n := events("Execute", "Again", "Wait"); n != planner.EventsPerRound {
			t.Errorf("a round of %s is %d events, planner counts with %d", word, n, planner.EventsPerRound)
		}
		if n := events("Done") + iteration; n != planner.EventsPerUnit {
			t.Errorf("a unit of %s is %d events beside its rounds, planner counts with %d", word, n, planner.EventsPerUnit)
		}
		if len(p["States"].(object)) != 4 {
			t.Errorf("%s has other states: %v", word, p["States"])
		}
	}
	if n := perState["Map"] + execution; n != planner.EventsPerMap {
		t.Errorf("a child is %d events beside its units, planner counts with %d", n, planner.EventsPerMap)
	}
}

func TestItemsGiveNothingBack(t *testing.T) {
	for word, p := range processors(t) {
		done := p["States"].(object)["Done"+word].(object)
		if result, ok := done["Result"].(object); !ok || len(result) > 0 || done["End"] != true {
			t.Errorf("Done%s: %v", word, done)
		}
	}
}

func TestSubstitutions(t *testing.T) {
	var got []string
	for _, m := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(statemachines.Run, -1) {
		if !slices.Contains(got, m[1]) {
			got = append(got, m[1])
		}
	}
	want := statemachines.Substitutions()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the file has %v, Substitutions says %v", got, want)
	}
	if strings.Contains(statemachines.Run, "QueryLanguage") || strings.Contains(statemachines.Run, "{%") {
		t.Error("JSONata is not what the emulators judge")
	}
}

// TestValidator runs asl-validator, which knows the grammar that neither
// emulator checks. It is installed into the cache on first use.
func TestValidator(t *testing.T) {
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		missing("skipped: asl-validator needs Node and npm: %v", err)
	}
	cache := os.Getenv("DROVER_CACHE")
	if cache == "" {
		cache = filepath.Join("..", ".cache")
	}
	dir := filepath.Join(cache, "asl-validator-4.0.0")
	program := filepath.Join(dir, "node_modules", ".bin", "asl-validator")
	if _, err := os.Stat(program); err != nil {
		// Into a folder of its own first: another test may be doing the same.
		if err := os.MkdirAll(cache, 0o755); err != nil {
			t.Fatal(err)
		}
		fresh, err := os.MkdirTemp(cache, "asl-validator-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(fresh)
		out, err := exec.Command(npm, "install", "--prefix", fresh, "--no-save", "--no-audit", "--no-fund", "asl-validator@4.0.0").CombinedOutput()
		if err != nil {
			missing("skipped: asl-validator cannot be installed: %v\n%s", err, out)
		}
		if err := os.Rename(fresh, dir); err != nil && !os.IsExist(err) {
			if _, err := os.Stat(program); err != nil {
				t.Fatal(err)
			}
		}
	}
	program, err = filepath.Abs(program)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "--json-path", "run.asl.json").CombinedOutput(); err != nil {
		t.Errorf("asl-validator: %v\n%s", err, out)
	}
	// A judge that finds no fault in a wrong machine is no judge.
	wrong := filepath.Join(t.TempDir(), "wrong.json")
	if err := os.WriteFile(wrong, []byte(strings.ReplaceAll(statemachines.Run, `"Next": "ChooseMap"`, `"Next": "Nowhere"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(program, "--json-path", wrong).Run(); err == nil {
		t.Error("asl-validator accepts a state that leads nowhere")
	}
}
