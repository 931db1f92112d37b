package foreman

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"drover/internal/job"
)

func text(s string) *string { return &s }

func TestParseMetadata(t *testing.T) {
	const file = `
<%#
kind: job_template
name: Restart it
model: JobTemplate
job_category: 'Services'
description: >
  Restarts
  a service.
description_format: "Restart %{service}"
provider_type: SSH
snippet: no
feature: restart_service
unknown: {a: [1, 2]}
require:
- plugin: something
  version: 1.2
organizations: [One]
locations:
template_inputs:
- name: service
  input_type: user
  required: true
  description: which one
  options: "sshd\ncrond"
  default: sshd
- {name: count, input_type: user, options: [1, 2.50, true], default: 0, hidden_value: "true", value_type: plain, advanced: 1}
- name: kernel
  input_type: fact
  fact_name: kernel
  default:
- name: role
  input_type: variable
  variable_name: role
  resource_type: Host
foreign_input_sets:
- template: Base
  include_all: true
  exclude: a, b
- template: Other
  include: [x, y]
-%>

 echo <%= input("service") %>
<%# kept %>
`
	m, body, err := parseMetadata(file)
	if err != nil {
		t.Fatal(err)
	}
	want := metadata{
		Name: "Restart it", Kind: "job_template", Model: "JobTemplate", Category: "Services", Description: "Restarts a service.\n",
		DescriptionFormat: "Restart %{service}", Provider: "SSH", Feature: "restart_service", Organizations: []string{"One"},
		Inputs: []metadataInput{
			{Name: "service", Type: "user", Required: true, Description: "which one", Options: "sshd\ncrond", Default: text("sshd")},
			{Name: "count", Type: "user", Options: "1\n2.50\ntrue", Default: text("0"), Hidden: true, ValueType: "plain", Advanced: true},
			{Name: "kernel", Type: "fact", Fact: "kernel"},
			{Name: "role", Type: "variable", Variable: "role", Resource: "Host"},
		},
		Sets: []metadataSet{{Template: "Base", All: true, Exclude: "a, b"}, {Template: "Other", Include: "x,y"}},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v\nwant %+v", m, want)
	}
	if body != "echo <%= input(\"service\") %>\n<%# kept %>" {
		t.Errorf("the body is %q", body)
	}
}

func TestParseMetadata_Edges(t *testing.T) {
	for _, c := range []struct{ in, name, body string }{
		{"  echo hi\n", "", "echo hi"},
		{"<%# name: x %>\necho", "x", "echo"},
		{"#!/bin/sh\n<%#\nname: x\n%>\necho\r\n", "x", "#!/bin/sh\n\necho"},
		{"<%#\nname: \"100 %\\x3E 1\"\n%>b", "100 %> 1", "b"},
		{"<%#\nname: 5\n%>b", "5", "b"},
	} {
		m, body, err := parseMetadata(c.in)
		if err != nil || m.Name != c.name || body != c.body {
			t.Errorf("%q gives %q, %q, %v", c.in, m.Name, body, err)
		}
	}
	for _, in := range []string{
		"<%#\nname: x\n", "<%#\n- a\n%>b", "<%# only words %>b", "<%#\nname: [a\n%>b", "<%# %>b",
		"<%#\nname: {a: b}\n%>b", "<%#\nname: !ruby/object:Gem::Installer x\n%>b", "<%#\nname: !!binary aGk=\n%>b",
		"<%#\na: &a x\nname: *a\n%>b", "<%#\nsnippet: perhaps\n%>b", "<%#\ntemplate_inputs: x\n%>b", "<%#\ntemplate_inputs:\n- x\n%>b",
		"<%#\nname: " + strings.Repeat("x", maxMetadata) + "\n%>b",
	} {
		if _, _, err := parseMetadata(in); job.CodeOf(err) != job.Invalid {
			t.Errorf("%.40q is accepted: %v", in, err)
		}
	}
}

func TestExportTemplate_IsAsPublished(t *testing.T) {
	got := exportTemplate(metadata{
		Name: "Run Command", Kind: "job_template", Model: "JobTemplate", Category: "Commands", DescriptionFormat: "Run %{command}", Provider: "script",
		Inputs: []metadataInput{{Name: "command", Type: "user", Required: true, ValueType: "plain", Options: "a\nb"}},
	}, `<%= input("command") %>`)
	const want = `<%#
name: Run Command
snippet: false
template_inputs:
  - name: command
    input_type: user
    required: true
    advanced: false
    options: "a\nb"
    value_type: plain
    hidden_value: false
model: JobTemplate
job_category: Commands
description_format: Run %{command}
provider_type: script
kind: job_template
%>

<%= input("command") %>`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

// Whatever a template holds, its export says the same.
func TestExportTemplate_ReadsBack(t *testing.T) {
	word := rapid.OneOf(rapid.SampledFrom([]string{"", "yes", "null", "~", "1.0", "0x10", "2026-01-01", "%>", "-", "a: b", "# c", "<%# x %>", "\"", "'",
		" lead", "trail ", "a\nb\n", "\n", "\ttab", "%", ">", "*a", "&a", "!x", "|", "é 中", "\u0085", "\u2028", "\ufeff", "a\\nb", "y", "<<", "%\\x3E", "...", "---\n"}),
		rapid.StringMatching(`[ -~\n\t]{0,60}`))
	rapid.Check(t, func(t *rapid.T) {
		m := metadata{
			Name: word.Draw(t, "name"), Kind: word.Draw(t, "kind"), Model: word.Draw(t, "model"), Category: word.Draw(t, "category"),
			Description: word.Draw(t, "description"), DescriptionFormat: word.Draw(t, "format"), Provider: word.Draw(t, "provider"),
			Snippet: rapid.Bool().Draw(t, "snippet"), Feature: word.Draw(t, "feature"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "inputs") {
			in := metadataInput{Name: word.Draw(t, "n"), Type: word.Draw(t, "t"), Description: word.Draw(t, "d"), Options: word.Draw(t, "o"),
				ValueType: word.Draw(t, "v"), Resource: word.Draw(t, "r"), Fact: word.Draw(t, "f"), Variable: word.Draw(t, "var"),
				Required: rapid.Bool().Draw(t, "req"), Advanced: rapid.Bool().Draw(t, "adv"), Hidden: rapid.Bool().Draw(t, "hid")}
			if rapid.Bool().Draw(t, "has default") {
				in.Default = text(word.Draw(t, "default"))
			}
			m.Inputs = append(m.Inputs, in)
		}
		for range rapid.IntRange(0, 2).Draw(t, "sets") {
			m.Sets = append(m.Sets, metadataSet{Template: word.Draw(t, "st"), All: rapid.Bool().Draw(t, "all"), Include: word.Draw(t, "inc"), Exclude: word.Draw(t, "exc")})
		}
		m.Locations = rapid.SliceOfN(word, 1, 3).Draw(t, "locations")
		body := word.Draw(t, "body")
		file := exportTemplate(m, body)
		got, gotBody, err := parseMetadata(file)
		if err != nil {
			t.Fatalf("%v\n%s", err, file)
		}
		if !reflect.DeepEqual(got, m) || gotBody != strings.TrimSpace(body) {
			t.Fatalf("%s\n got %+v, %q\nwant %+v", file, got, gotBody, m)
		}
	})
}
