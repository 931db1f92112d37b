package main

import (
	"strings"
	"testing"
)

const sample = `{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: needs Node: not on PATH\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Elapsed":0.5}
`

const failing = `{"Action":"output","Package":"q","Test":"TestC","Output":"    c_test.go:9: got 1\n"}
{"Action":"fail","Package":"q","Test":"TestC"}
{"Action":"fail","Package":"q"}
`

const suite = `{"Action":"output","Package":"s","Test":"TestS/a","Output":"    s_test.go:7: needs Java\n"}
{"Action":"skip","Package":"s","Test":"TestS/a"}
{"Action":"output","Package":"s","Test":"TestS/b","Output":"    s_test.go:7: needs Java\n"}
{"Action":"skip","Package":"s","Test":"TestS/b"}
{"Action":"output","Package":"s","Test":"TestS/c","Output":"    s_test.go:9: needs a clock\n"}
{"Action":"skip","Package":"s","Test":"TestS/c"}
`

const broken = `{"ImportPath":"z","Action":"build-output","Output":"z.go:1: syntax error\n"}
{"Action":"fail","Package":"z","FailedBuild":"z"}
`

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name, in, allow string
		ci, want        bool
		says            []string
	}{
		{"a skip is listed with its reason", sample, "", false, true, []string{"p TestB: needs Node: not on PATH", "1 passed, 0 failed, 1 skipped"}},
		{"CI refuses it", sample, "", true, false, []string{"not allowed with CI=true"}},
		{"unless it is allowed by name", sample, `^p TestB: needs Node`, true, true, nil},
		{"parts with one reason are one line", suite, "", false, true, []string{"\n  s TestS/...: needs Java (2 parts)\n", "\n  s TestS/...: needs a clock\n", "0 passed, 0 failed, 3 skipped"}},
		{"CI judges every part", suite, "needs Java", true, false, []string{"\n  s TestS/...: needs Java (2 parts)\n", "\n  s TestS/...: needs a clock  <- not allowed with CI=true\n"}},
		{"a part is allowed by its full name", suite, "^s TestS/[abc]: ", true, true, nil},
		{"a failure is shown", failing, "", false, false, []string{"got 1", "q TestC", "0 passed, 1 failed, 0 skipped"}},
		{"a package that does not build fails", broken, "", false, false, []string{"syntax error", "0 passed, 1 failed, 0 skipped"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := newReport(c.allow)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := r.read(strings.NewReader(c.in), &out); err != nil {
				t.Fatal(err)
			}
			if got := r.finish(&out, c.ci); got != c.want {
				t.Errorf("finish = %v, want %v", got, c.want)
			}
			for _, s := range c.says {
				if !strings.Contains(out.String(), s) {
					t.Errorf("output lacks %q:\n%s", s, out.String())
				}
			}
		})
	}
}
