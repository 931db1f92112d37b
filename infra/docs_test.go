package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

var (
	codeBlock = regexp.MustCompile("(?s)```text\n(.*?)```")
	outputs   = regexp.MustCompile(`\bout ([A-Z]\w+)|OutputKey=='(\w+)'`)
	chosen    = regexp.MustCompile(`PARAMETERS="([^"]+)"`)
	resources = regexp.MustCompile(`\bres (\w+) (AWS::[\w:]+)`)
	settings  = regexp.MustCompile(`CONTEXT="([^"]+)"`)
)

// TestDocs: the commands of the two pages for operators are of the shell, and
// what they name of the stack exists.
func TestDocs(t *testing.T) {
	template := template(t)
	source, err := os.ReadFile("stack.go")
	if err != nil {
		t.Fatal(err)
	}
	network, err := os.ReadFile("network.go")
	if err != nil {
		t.Fatal(err)
	}
	code := string(source) + string(network)
	seen := 0
	for _, page := range []string{"../docs/operations.md", "../docs/first-deployment.md"} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, block := range codeBlock.FindAllStringSubmatch(text, -1) {
			cmd := exec.Command("bash", "-n")
			// In lists they are indented.
			cmd.Stdin = strings.NewReader(regexp.MustCompile(`(?m)^  `).ReplaceAllString(block[1], ""))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s\n%s", page, err, out, block[1])
			}
		}
		for _, m := range outputs.FindAllStringSubmatch(text, -1) {
			seen++
			if template["Outputs"].(object)[m[1]+m[2]] == nil {
				t.Errorf("%s: the stack has no output %s", page, m[1]+m[2])
			}
		}
		for _, m := range resources.FindAllStringSubmatch(text, -1) {
			seen++
			one(t, template, m[2], m[1])
		}
		for _, m := range chosen.FindAllStringSubmatch(text, -1) {
			for pair := range strings.FieldsSeq(m[1]) {
				name, _, _ := strings.Cut(pair, "=")
				seen++
				if name != "NAME" && name != "..." && template["Parameters"].(object)[name] == nil {
					t.Errorf("%s: the stack has no parameter %s", page, name)
				}
			}
		}
		for _, m := range settings.FindAllStringSubmatch(text, -1) {
			for pair := range strings.FieldsSeq(m[1]) {
				name, _, _ := strings.Cut(pair, "=")
				seen++
				if name != "NAME" && name != "..." && !strings.Contains(code, `"`+name+`"`) {
					t.Errorf("%s: the stack reads no context %s", page, name)
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d names found in the pages", seen)
	}
	// Every parameter that raises a limit is explained.
	page, _ := os.ReadFile("../docs/operations.md")
	for _, name := range []string{"Concurrency", "ExecutorReservedConcurrency", "ApiRateLimit", "ApiBurstLimit", "AlarmEmail"} {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/operations.md does not mention %s", name)
		}
	}
}
