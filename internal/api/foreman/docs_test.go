package foreman_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// checklistRows is how many rows the specification's checklist has.
const checklistRows = 74

// docs/foreman.md names every row of the checklist, and only tests that exist.
func TestDocs_NameRowsAndTests(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/foreman.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(doc), "## Checklist")
	if !found {
		t.Fatal("no checklist")
	}
	here := testsOf(t, ".")
	rows := map[int]bool{}
	for line := range strings.Lines(list) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, n := range regexp.MustCompile(`\d+`).FindAllString(cells[1], -1) {
			row, _ := strconv.Atoi(n)
			if rows[row] {
				t.Errorf("row %d is there twice", row)
			}
			rows[row] = true
		}
		proved := 0
		for _, part := range strings.Split(cells[3], ";") {
			tests := here
			if pkg, rest, other := strings.Cut(strings.TrimSpace(part), ": "); other && !strings.Contains(pkg, "`") {
				tests, part = testsOf(t, "../../"+pkg), rest
			}
			for _, name := range regexp.MustCompile(`\bTest\w+`).FindAllString(part, -1) {
				proved++
				if !strings.Contains(tests, "func "+name+"(") {
					t.Errorf("there is no %s", name)
				}
			}
		}
		if _, err := strconv.Atoi(strings.TrimSpace(strings.Split(cells[1], ",")[0])); err == nil && proved == 0 {
			t.Errorf("nothing proves %s", line)
		}
	}
	for row := 1; row <= checklistRows; row++ {
		if !rows[row] {
			t.Errorf("row %d is not in the checklist", row)
		}
	}
	if len(rows) != checklistRows {
		t.Errorf("%d rows", len(rows))
	}
}

// testsOf is the source of a folder's tests.
func testsOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatal(dir, files, err)
	}
	var source strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	return source.String()
}
