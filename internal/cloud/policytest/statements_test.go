package policytest

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

const (
	template = "../../../infra/testdata/template.json"
	results  = "testdata/results.json"
)

func today(t *testing.T) policies {
	t.Helper()
	b, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPolicies(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(p) < 10 {
		t.Fatalf("only %d policies in %s", len(p), template)
	}
	return p
}

func TestEveryStatementHasItsCase(t *testing.T) {
	var rows []string
	for _, n := range needs() {
		rows = append(rows, n.Policy+" "+n.Statement)
		if (n.Case == "") == (n.Unjudged == "") {
			t.Errorf("%s %s: either a case or a reason", n.Policy, n.Statement)
		}
	}
	slices.Sort(rows)
	want := today(t).statements()
	for _, s := range want {
		if !slices.Contains(rows, s) {
			t.Errorf("statement %s names no case (needs)", s)
		}
	}
	for i, r := range rows {
		if !slices.Contains(want, r) {
			t.Errorf("there is no statement %s", r)
		}
		if i > 0 && rows[i-1] == r {
			t.Errorf("two rows for %s", r)
		}
	}
}

// committed reads the results.
func committed(t *testing.T) map[string]proof {
	t.Helper()
	b, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]proof{}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestProofIsOfToday: when a policy or a row has changed, make test-policies
// proves it anew and writes the file.
func TestProofIsOfToday(t *testing.T) {
	all, now := committed(t), today(t)
	var proved []need
	for policy, p := range all {
		if got := now.hash(policy); p.Policy != got {
			t.Errorf("the policy of %s has changed since it was proved (%s, now %s): run scripts/test-policies %s", policy, p.Policy, got, policy)
		}
		for _, r := range p.Rows {
			proved = append(proved, r.need)
			if r.Policy != policy || r.Case != "" && r.Without == "" {
				t.Errorf("%s %s: %q does not fail without it: the statement goes, or the case is another", r.Policy, r.Statement, r.Case)
			}
		}
	}
	want := needs()
	for _, n := range want {
		if !slices.Contains(proved, n) {
			t.Errorf("%s %s is not proved so: run scripts/test-policies %s", n.Policy, n.Statement, n.Policy)
		}
	}
	if len(proved) != len(want) {
		t.Errorf("%d rows are proved, of %d", len(proved), len(want))
	}
}
