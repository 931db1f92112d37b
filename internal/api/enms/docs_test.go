package enms_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// docs/enms.md names every row of the checklist, and only tests that exist.
func TestDocs_NameRowsAndTests(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/enms.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var source strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	_, list, ok := strings.Cut(string(doc), "## Checklist")
	if !ok {
		t.Fatal("no checklist")
	}
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(list, -1) {
		if !strings.Contains(source.String(), "func "+name) {
			t.Errorf("there is no %s", name)
		}
	}
	rows := map[int]bool{}
	for _, line := range strings.Split(list, "\n") {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, m := range regexp.MustCompile(`(\d+)(?:-(\d+))?`).FindAllStringSubmatch(cell, -1) {
			from, _ := strconv.Atoi(m[1])
			to := from
			if m[2] != "" {
				to, _ = strconv.Atoi(m[2])
			}
			for ; from <= to; from++ {
				rows[from] = true
			}
		}
	}
	for row := 1; row <= 94; row++ {
		if !rows[row] {
			t.Errorf("row %d is not in the checklist", row)
		}
	}
}
