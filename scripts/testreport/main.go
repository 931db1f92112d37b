// Testreport reads `go test -json` from standard input and prints what a person
// wants to know: each package's verdict, the output of what failed, and every
// test that was skipped, by name and with its reason. Its last line counts.
//
// It ends with status 1 when anything failed, and, with CI=true, also when
// anything was skipped that is not allowed to be (-allow).
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"sort"
	"strings"
)

type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

type testKey struct{ pkg, test string }

// skip is a test that was not run.
type skip struct{ pkg, test, reason string }

// String returns "package test: reason".
func (s skip) String() string { return s.pkg + " " + s.test + ": " + s.reason }

func main() {
	allow := flag.String("allow", "", "regular expression of skips (`package test: reason`) that CI=true allows")
	flag.Parse()
	r, err := newReport(*allow)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(2)
	}
	if err := r.read(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(2)
	}
	if !r.finish(os.Stdout, os.Getenv("CI") == "true") {
		os.Exit(1)
	}
}

type report struct {
	allowed                 *regexp.Regexp
	output                  map[testKey][]string
	passed, failed, skipped int
	skips                   []skip
	failedNames             []string
}

func newReport(allow string) (*report, error) {
	r := &report{output: map[testKey][]string{}}
	if allow != "" {
		var err error
		if r.allowed, err = regexp.Compile(allow); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *report) read(in io.Reader, out io.Writer) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var e event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			fmt.Fprintln(out, sc.Text()) // not ours: the toolchain's own words
			continue
		}
		r.take(e, out)
	}
	return sc.Err()
}

func (r *report) take(e event, out io.Writer) {
	k := testKey{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.output[k] = append(r.output[k], e.Output)
	case "build-output":
		fmt.Fprint(out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.takePackage(e, out)
		} else {
			r.takeTest(e, out)
		}
		delete(r.output, k)
	}
}

func (r *report) takePackage(e event, out io.Writer) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(out, "ok    %-48s %6.1fs\n", e.Package, e.Elapsed)
	case "fail":
		fmt.Fprintf(out, "FAIL  %-48s %6.1fs\n", e.Package, e.Elapsed)
		fmt.Fprint(out, strings.Join(r.output[testKey{e.Package, ""}], ""))
		if e.FailedBuild != "" || !r.anyFailed(e.Package) {
			// The package failed as a whole: it did not build, or died.
			r.failed++
			r.failedNames = append(r.failedNames, e.Package)
		}
	}
}

func (r *report) anyFailed(pkg string) bool {
	for _, n := range r.failedNames {
		if strings.HasPrefix(n, pkg+" ") {
			return true
		}
	}
	return false
}

func (r *report) takeTest(e event, out io.Writer) {
	text := r.output[testKey{e.Package, e.Test}]
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		r.failedNames = append(r.failedNames, e.Package+" "+e.Test)
		fmt.Fprint(out, strings.Join(text, ""))
	case "skip":
		r.skipped++
		r.skips = append(r.skips, skip{e.Package, e.Test, reason(text)})
	}
}

var place = regexp.MustCompile(`^\s*\S+\.go:\d+: `)

// reason is what a skipped test said.
func reason(output []string) string {
	var words []string
	for _, line := range output {
		if strings.HasPrefix(strings.TrimSpace(line), "=== ") || strings.HasPrefix(strings.TrimSpace(line), "--- ") {
			continue
		}
		if s := strings.TrimSpace(place.ReplaceAllString(line, "")); s != "" {
			words = append(words, s)
		}
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}

// listSkips lists what was not run and reports whether all of it may be. The
// parts of a test that share a reason are one line, as a suite has dozens.
func (r *report) listSkips(out io.Writer, ci bool) bool {
	ok := true
	parts := map[string]int{}
	var lines []string
	for _, s := range r.skips {
		mark := ""
		if ci && (r.allowed == nil || !r.allowed.MatchString(s.String())) {
			ok = false
			mark = "  <- not allowed with CI=true"
		}
		if test, _, part := strings.Cut(s.test, "/"); part {
			s.test = test + "/..."
		}
		line := s.String() + mark
		if parts[line]++; parts[line] == 1 {
			lines = append(lines, line)
		}
	}
	sort.Strings(lines)
	if len(lines) > 0 {
		fmt.Fprintln(out, "\nNot run here:")
	}
	for _, line := range lines {
		if n := parts[line]; n > 1 {
			line += fmt.Sprintf(" (%d parts)", n)
		}
		fmt.Fprintf(out, "  %s\n", line)
	}
	return ok
}

// finish prints the summary and reports whether all is well.
func (r *report) finish(out io.Writer, ci bool) bool {
	ok := r.failed == 0
	if !r.listSkips(out, ci) {
		ok = false
	}
	if r.failed > 0 {
		fmt.Fprintln(out, "\nFailed:")
		for _, n := range r.failedNames {
			fmt.Fprintf(out, "  %s\n", n)
		}
	}
	fmt.Fprintf(out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return ok
}
