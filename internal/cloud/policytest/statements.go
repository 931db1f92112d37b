// Package policytest proves the policies of the stack's functions: `make
// test-policies` takes their statements out one at a time, in an emulator that
// enforces IAM, and shows that the case which the statement is there for then
// fails. What it found is committed, and CI sees that it is about the policies
// of today.
package policytest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// need says what a statement is for: a case that fails without it, or why no
// emulator can tell.
type need struct {
	Policy    string `json:"policy"` // a function's name, or "run": the state machine
	Statement string `json:"statement"`
	Case      string `json:"case,omitempty"`
	Unjudged  string `json:"unjudged,omitempty"`
}

// Why an emulator does not judge a statement. The first deployment does
// (docs/first-deployment.md).
const (
	noLogs    = "the emulator writes logs whatever the role may do"
	noMachine = "the emulator does not ask what a state machine's role may do"
	noMissing = "S3 answers 403 for a missing object to who may not list; the emulator answers 404 to everybody"
	noLetters = "the emulator does not put failed invocations aside by the function's role"
	noPassing = "the emulator does not ask who may hand a role to a service"
	noTargets = "the emulator calls what a schedule names whatever the schedule's role may do"
)

// needs has a row for every statement.
func needs() []need {
	var all []need
	add := func(policy string, rows ...[2]string) {
		for _, r := range rows {
			all = append(all, need{Policy: policy, Statement: r[0], Case: r[1]})
		}
	}
	unjudged := func(policy, why string, statements ...string) {
		for _, s := range statements {
			all = append(all, need{Policy: policy, Statement: s, Unjudged: why})
		}
	}
	for _, front := range []string{"enms", "foreman", "console"} {
		add(front,
			[2]string{"ReadTable", "a run by " + front},
			[2]string{"WriteTable", "a run by " + front},
			[2]string{"ReadBlobs", "a large output by " + front},
			[2]string{"WriteBlobs", "a long script by " + front},
			[2]string{"MakeAndOpenKeyset", "a run by " + front},
			[2]string{"StartRuns", "a run by " + front},
			[2]string{"StopRuns", "a cancel by " + front},
			[2]string{"TellBus", "a cancel before the start by " + front})
		unjudged(front, noMissing, "TellMissingBlobs")
		if front != "enms" {
			add(front, [2]string{"SetAlarms", "an alarm by " + front})
			unjudged(front, noPassing, "PassSchedulerRole")
		}
	}
	add("planner", [2]string{"ReadTable", "a run by enms"}, [2]string{"WriteTable", "a run by enms"})
	add("executor",
		[2]string{"ReadTable", "a run by enms"},
		[2]string{"WriteTable", "a run by enms"},
		[2]string{"ReadBlobs", "a long script by enms"},
		[2]string{"WriteBlobs", "a large output by enms"},
		[2]string{"OpenKeyset", "a run by enms"},
		[2]string{"TellBus", "a changed host key"})
	unjudged("executor", noMissing, "TellMissingBlobs")
	add("finisher", [2]string{"ReadTable", "a run by enms"}, [2]string{"WriteTable", "a run by enms"}, [2]string{"TellBus", "a run that is told"})
	add("sweeper",
		[2]string{"ReadTable", "a start that was lost"},
		[2]string{"WriteTable", "an end that was lost"},
		[2]string{"StartRuns", "a start that was lost"},
		[2]string{"StopRuns", "a stop that was lost"},
		[2]string{"FollowRuns", "an execution that was ended before it began"},
		[2]string{"TellBus", "an end that was lost"})
	add("sweeper", [2]string{"SetAlarms", "an alarm that was lost"})
	unjudged("sweeper", noPassing, "PassSchedulerRole")
	unjudged("sweeper", noLetters, "KeepFailedEvents")
	add("trigger",
		[2]string{"ReadTable", "a run by the trigger"},
		[2]string{"WriteTable", "a run by the trigger"},
		[2]string{"StartRuns", "a run by the trigger"},
		[2]string{"SetAlarms", "an alarm for nothing"},
		[2]string{"TellBus", "a run that comes too late"})
	unjudged("trigger", noPassing, "PassSchedulerRole")
	unjudged("trigger", noLetters, "KeepFailedEvents")
	unjudged("scheduler", noTargets, "CallTrigger", "KeepFailedAlarms")
	for _, f := range []string{"enms", "foreman", "console", "planner", "executor", "finisher", "sweeper", "trigger"} {
		unjudged(f, noLogs, "WriteLog")
	}
	unjudged("run", noMachine, "CallTasks", "StartChildren", "FollowAndStopChildren", "WriteLog", "Trace")
	return all
}

// policies are the inline policies of a template by name, as their documents'
// statements.
type policies map[string][]map[string]any

func readPolicies(template []byte) (policies, error) {
	var t struct {
		Resources map[string]struct {
			Type       string
			Properties struct {
				Policies []struct {
					PolicyName     string
					PolicyDocument struct{ Statement []map[string]any }
				}
			}
		}
	}
	if err := json.Unmarshal(template, &t); err != nil {
		return nil, err
	}
	found := policies{}
	for id, r := range t.Resources {
		if r.Type != "AWS::IAM::Role" {
			continue
		}
		for _, p := range r.Properties.Policies {
			if found[p.PolicyName] != nil {
				return nil, fmt.Errorf("two policies are called %s; the second one is of %s", p.PolicyName, id)
			}
			found[p.PolicyName] = p.PolicyDocument.Statement
		}
	}
	return found, nil
}

// hash is of one policy to the letter.
func (p policies) hash(policy string) string {
	b, err := json.Marshal(p[policy]) // sorts the keys
	if err != nil {
		panic(err) // it was JSON
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// statements are "policy statement", sorted.
func (p policies) statements() []string {
	var all []string
	for name, statements := range p {
		for _, s := range statements {
			all = append(all, fmt.Sprintf("%s %v", name, s["Sid"]))
		}
	}
	slices.Sort(all)
	return all
}

// proof is the committed result for one policy.
type proof struct {
	Policy string   `json:"policy"` // its hash
	Rows   []result `json:"rows"`
}

// result is what happened without a statement.
type result struct {
	need
	Without string `json:"without,omitempty"` // how the case failed
}
