package erb_test

import (
	"os"
	"regexp"
	"testing"

	"drover/internal/erb"
	"drover/internal/job"
)

// The examples of docs/templates.md: a template, and the text that it makes or
// why it is refused.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	e := erb.Env{
		Device: &job.Device{
			Meta: job.Meta{ID: 1, Name: "web1.example.net"}, Address: "192.0.2.7", OperatingSystem: "Debian", OSVersion: "12.5",
			Description: "front", Location: "lab",
		},
		Params: map[string]string{"role": "web", "ports": "80,443", "managed": "yes"},
		Inputs: []job.Input{
			{Name: "service", Kind: job.InputUser, Required: true}, {Name: "action", Kind: job.InputUser},
			{Name: "note", Kind: job.InputUser}, {Name: "comment", Kind: job.InputUser},
		},
		Values: map[string]string{"service": "nginx", "action": "restart", "note": "it's due"},
		User:   "ops",
	}
	examples := regexp.MustCompile("(?s)```erb( refused)?\n(.*?)```\n\n```text\n(.*?)```\n").FindAllSubmatch(page, -1)
	if len(examples) < 8 {
		t.Fatalf("only %d examples were found", len(examples))
	}
	for _, x := range examples {
		body, want := string(x[2]), string(x[3])
		got, err := erb.Render(t.Context(), body, e)
		if len(x[1]) > 0 {
			got = job.MessageOf(err) + "\n"
			if refused := erb.Check(body); refused == nil || refused.Error() != err.Error() {
				t.Errorf("%s\n Check says %v, Render %v", body, refused, err)
			}
		} else if err != nil {
			t.Errorf("%s\n%v", body, err)
		}
		if got != want {
			t.Errorf("%s\n got %q\nwant %q", body, got, want)
		}
	}
}
