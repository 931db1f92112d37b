package foreman_test

import (
	"net/http"
	"strings"
	"testing"

	"drover/internal/api/apitest"
	"drover/internal/api/foreman"
	"drover/internal/erb"
	"drover/internal/job"
)

func TestDefaults_CanBeUsed(t *testing.T) {
	d := foreman.Defaults()
	known := map[string]bool{"": true}
	for _, tm := range d.Templates {
		known[tm.Name] = true
		if err := erb.Check(tm.Body); err != nil || tm.Language != job.LanguageERB || tm.Category == "" || tm.DescriptionFormat == "" {
			t.Errorf("%s: %v, %+v", tm.Name, err, tm)
		}
	}
	for _, f := range d.Features {
		if !known[f.Template] || f.Label == "" || f.Title == "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestDefaults_RunACommand(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	made := want(t, l.Service, http.StatusCreated, post(jobsPath, object{"job_invocation": object{
		"feature": "run_script", "host_ids": []string{"R1"}, "inputs": object{"command": "echo 'a b'"}, "ssh": object{"effective_user": "drover"}}}))
	if made["description"] != "Run echo 'a b'" || made["job_category"] != "Commands" {
		t.Errorf("%v", made)
	}
	l.over(made)
	if got := strings.Join(lines(l.output(made, "R1", "")), "|"); got != "stdout:a b\n|stdout:Exit status: 0" {
		t.Errorf("%s", got)
	}
}

func TestTemplates_AreWhatTheHostsRun(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 2})
	l.template(job.Template{Meta: job.Meta{Name: "Part"}, Snippet: true, Body: `<%= @greeting %> <%= @host.shortname %> <%= input("word") %>`})
	l.template(job.Template{Meta: job.Meta{Name: "Whole"}, Body: `echo <%= input("what") %> <%= input("word") %>`,
		Inputs: []job.Input{{Name: "what", Kind: job.InputUser, Required: true}, {Name: "word", Kind: job.InputUser}}})
	top := l.template(job.Template{Meta: job.Meta{Name: "Top"}, Body: `<% if @host.name == "R2" -%>
<% render_error("not here: #{input('token')}") -%>
<% end -%>
<% [1, 2].each do |i| -%>
echo <%= i %> <%= snippet "Part", variables: { greeting: "hello" } %> <%= current_user %> <%= template_name %>
<% end -%>
<%= render_template("Whole", "what" => "from above") %>
echo <%= input("kernel") %> <%= @host.hostgroup.name %> <%= input("token") %>
`, Inputs: []job.Input{{Name: "word", Kind: job.InputUser, Default: ptr("w")}, {Name: "token", Kind: job.InputUser, Hidden: true},
		{Name: "kernel", Kind: job.InputFact, Source: "kernel"}}})
	const token = "s3cr3t-t0ken"
	made := l.run(top, "name ^ (R1, R2)", object{"inputs": object{"token": token}, "ssh": object{"effective_user": "drover"}})
	if got := strings.Join(lines(l.output(made, "R1", "")), "|"); !strings.HasPrefix(got,
		"stdout:1 hello R1 w admin Top\n2 hello R1 w admin Top\nfrom above w\nLinux all ") || strings.Contains(got, token) || !strings.HasSuffix(got, "Exit status: 0") {
		t.Errorf("%s", got)
	}
	got := strings.Join(lines(l.output(made, "R2", "")), "|")
	if !strings.Contains(got, "debug:") || !strings.Contains(got, "not here: ") || strings.Contains(got, token) {
		t.Errorf("%s", got)
	}
	if made["succeeded"] != 1.0 || made["failed"] != 1.0 {
		t.Errorf("%v", made)
	}
}

// A hidden default is known for a secret where the job's own template takes the
// input, and not used where it does not.
func TestTemplates_HiddenDefaultsOfOthersAreNotShown(t *testing.T) {
	l := newLab(t, apitest.Options{Devices: 1})
	const token = "s3cr3t-d3fault"
	inner := l.template(job.Template{Meta: job.Meta{Name: "Inner"}, Body: `echo "<<%= input("token") %>>"`,
		Inputs: []job.Input{{Name: "token", Kind: job.InputUser, Hidden: true, Default: ptr(token)}}})
	for name, c := range map[string]struct {
		includes []job.Include
		want     string
	}{
		"alone": {nil, "stdout:<>\n|"},
		"taken": {[]job.Include{{TemplateID: inner, All: true}}, "stdout:<" + job.Redacted + ">\n|"},
	} {
		top := l.template(job.Template{Meta: job.Meta{Name: name}, Body: `<%= render_template("Inner") %>`, Includes: c.includes})
		made := l.run(top, "name = R1", object{"ssh": object{"effective_user": "drover"}})
		if got := strings.Join(lines(l.output(made, "R1", "")), "|"); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// What is outside the language is refused where it is saved.
func TestTemplates_AreChecked(t *testing.T) {
	s := apitest.Start(t, apitest.Options{})
	for body, message := range map[string]string{
		"echo\n<%= `id` %>":               "line 2: backticks are refused: a template cannot run programs",
		`<%= File.read("/etc/passwd") %>`: "line 1: constants are not supported: File",
		`<% if true %>`:                   "line 1: end is missing for what line 1 begins",
	} {
		for _, q := range []apitest.Request{
			post(templates, aTemplate("Bad", object{"template": body})),
			importing("<%#\nname: Bad\njob_category: C\nprovider_type: script\n%>\n"+body, nil),
		} {
			got := want(t, s, http.StatusUnprocessableEntity, q)
			if full, _ := dig(got, "error", "full_messages", 0).(string); !strings.Contains(full, message) || dig(got, "error", "errors", "base") == nil {
				t.Errorf("%s: %v", body, got)
			}
		}
	}
}
