package foreman

import (
	"strings"
	"testing"
	"unicode/utf8"

	"drover/internal/job"
)

func TestDescribe(t *testing.T) {
	run := job.Template{Meta: job.Meta{Name: "Run"}, Category: "Commands"}
	withFormat := run
	withFormat.DescriptionFormat = "Run %{command}"
	a, b, hidden := job.Input{Name: "a"}, job.Input{Name: "b b"}, job.Input{Name: "pw", Hidden: true}
	for _, c := range []struct {
		name   string
		format string
		t      job.Template
		inputs []job.Input
		values map[string]string
		want   string
	}{
		{"no inputs", "", run, nil, nil, "Run"},
		{"inputs", "", run, []job.Input{a, b}, map[string]string{"a": "1", "b b": "2"}, `Run with inputs a="1" b b="2"`},
		{"documented example", "", job.Template{Meta: job.Meta{Name: "Job template 181"}}, []job.Input{{Name: "Template input 59"}}, nil,
			`Job template 181 with inputs Template input 59="''"`},
		{"template's format", "", withFormat, []job.Input{{Name: "command"}}, map[string]string{"command": "ls"}, "Run ls"},
		{"blank format is none", "  ", withFormat, []job.Input{{Name: "command"}}, map[string]string{"command": "ls"}, "Run ls"},
		{"own format", "format", withFormat, nil, nil, "format"},
		{"names", "%{job_category}/%{template_name}", run, nil, nil, "Commands/Run"},
		{"unknown name", "x %{odd} y", run, nil, nil, "x '' y"},
		{"explicit blank", "[%{a}]", run, []job.Input{a}, map[string]string{"a": ""}, "[]"},
		{"hidden", "[%{pw}]", run, []job.Input{hidden}, map[string]string{"pw": "secret"}, "[***]"},
		{"hidden without a value", "[%{pw}]", run, []job.Input{hidden}, nil, "['']"},
		{"a value is not a format", "%{a}", run, []job.Input{a}, map[string]string{"a": "%{template_name}"}, "%{template_name}"},
		{"no placeholder", "100% {a} %{}", run, []job.Input{a}, nil, "100% {a} %{}"},
	} {
		if got := describeJob(c.format, c.t, c.inputs, c.values); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDescribe_Cut(t *testing.T) {
	got := describeJob(strings.Repeat("ü", 300), job.Template{}, nil, nil)
	if utf8.RuneCountInString(got) != 255 || !utf8.ValidString(got) {
		t.Errorf("%d characters", utf8.RuneCountInString(got))
	}
	whole := strings.Repeat("x", 255)
	if got := describeJob(whole, job.Template{}, nil, nil); got != whole {
		t.Errorf("255 characters were cut to %d", len(got))
	}
}
