package apitest

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is answered into the golden files")

// Golden plays the transcript in testdata/<name>.txt against s and compares
// every answer with the one written there, after plain has taken out what
// differs from run to run. With -update the transcript is written anew.
//
// A transcript is made of exchanges:
//
//	# a comment
//	> POST /rest/run_service admin
//	> {"name":"hello"}
//	< 200 application/json
//	< {"errors":[],"runtime":"T"}
//
// Bodies are sent as application/json. The word after the path is the user; "-"
// sends no credentials. $RUN stands
// for what runOf made of the last answer that it knew.
func Golden(t *testing.T, s *Service, name string, runOf func(Answer) string, plain func(string) string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	run := ""
	for _, x := range exchanges(string(text)) {
		if len(x.request) == 0 {
			out.WriteString(x.comment)
			continue
		}
		words := strings.Fields(x.request[0])
		if len(words) != 3 {
			t.Fatalf("%s: want method, path and user: %s", file, x.request[0])
		}
		q := Request{Method: words[0], Path: strings.ReplaceAll(words[1], "$RUN", strings.ReplaceAll(run, " ", "%20")),
			Body: strings.Join(x.request[1:], "\n")}
		if q.Body != "" {
			q.Header = map[string]string{"Content-Type": "application/json"}
		}
		if words[2] != "-" {
			q.User = words[2]
		}
		a := s.Do(q)
		if r := runOf(a); r != "" {
			run = r
		}
		out.WriteString(x.comment)
		for _, line := range x.request {
			out.WriteString("> " + line + "\n")
		}
		fmt.Fprintf(&out, "< %d %s\n", a.Status, a.Header.Get("Content-Type"))
		for line := range strings.Lines(plain(a.Body)) {
			out.WriteString("< " + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), out.String()); diff != "" {
		t.Errorf("%s: the answers differ (-update writes them): %s", file, diff)
	}
}

// exchange is one request of a transcript with the comment before it.
type exchange struct {
	comment string
	request []string
}

func exchanges(text string) []exchange {
	var all []exchange
	var x exchange
	flush := func() {
		if x.comment != "" || len(x.request) > 0 {
			all = append(all, x)
		}
		x = exchange{}
	}
	answered := false
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "> "):
			if answered {
				flush()
				answered = false
			}
			x.request = append(x.request, line[2:])
		case strings.HasPrefix(line, "<"):
			answered = true
		default:
			if len(x.request) > 0 {
				flush()
				answered = false
			}
			x.comment += line + "\n"
		}
	}
	flush()
	return all
}
