package erb_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"drover/internal/erb"
	"drover/internal/job"
)

func ptr(s string) *string { return &s }

// included are the templates that others can name.
var included = map[string]erb.Included{
	"greet":     {Body: `Hello <%= input("who") %><%= input("mark") %>`, Inputs: []job.Input{{Name: "who", Kind: job.InputUser, Required: true}, {Name: "mark", Kind: job.InputUser, Default: ptr("!")}}},
	"package":   {Body: `pkg <%= input('action') %> <%= input('package') %> <%= input("os") %>`, Inputs: []job.Input{{Name: "action", Kind: job.InputUser}, {Name: "package", Kind: job.InputUser}, {Name: "os", Kind: job.InputFact, Source: "os"}}},
	"part":      {Body: `<%= @colour || "none" %>/<%= input("command") %>/<%= template_name %>`, Snippet: true},
	"loop":      {Body: `<%= render_template("loop") %>`},
	"ping":      {Body: `<%= snippet("pong") %>`, Snippet: true},
	"pong":      {Body: `<%= snippet("ping") %>`, Snippet: true},
	"broken":    {Body: "a\nb <%= 1 +", Snippet: true},
	"failing":   {Body: "a\n<%= 1/0 %>", Snippet: true},
	"undefined": {Body: `<%= input("nowhere") %>`},
}

func env() erb.Env {
	return erb.Env{
		Device: &job.Device{
			Meta: job.Meta{ID: 7, Name: "web1.example.net"}, Address: "192.0.2.7", Platform: job.PlatformLinux, Description: "front",
			Model: "R640", Location: "lab", OperatingSystem: "Debian", OSVersion: "12.5",
		},
		Params: map[string]string{"role": "web", "yes": "Yes", "no": "0", "odd": "maybe", "empty": ""},
		Facts:  map[string]string{"kernel": "Linux", "os": "debian"},
		Inputs: []job.Input{
			{Name: "command", Kind: job.InputUser, Required: true},
			{Name: "optional", Kind: job.InputUser},
			{Name: "preset", Kind: job.InputUser, Default: ptr("set")},
			{Name: "blank", Kind: job.InputUser, Required: true},
			{Name: "kernel", Kind: job.InputFact, Source: "kernel"},
			{Name: "nofact", Kind: job.InputFact, Source: "nothing"},
			{Name: "role", Kind: job.InputVariable, Source: "role"},
			{Name: "novar", Kind: job.InputVariable, Source: "nothing"},
			{Name: "action", Kind: job.InputUser},
		},
		Values:   map[string]string{"command": "uptime && id", "blank": " ", "action": "install"},
		Template: "Main", User: "ops", Server: erb.Server{Name: "drover", URL: "https://drover.example.net:8443/x"},
		Now: time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC),
		Lookup: func(_ context.Context, name string) (erb.Included, error) {
			if t, ok := included[name]; ok {
				return t, nil
			}
			return erb.Included{}, job.Errorf(job.NotFound, "no template %s", name)
		},
	}
}

// The published vectors, and what else tags can do.
func TestRender_Tags(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a\n<% if true %>\nb\n<% end %>\nc\n", "a\n\nb\n\nc\n"},
		{"a\n<% if true -%>\nb\n<% end -%>\nc\n", "a\nb\nc\n"},
		{"a\n  <%- if true -%>\nb\n  <%- end -%>\nc\n", "a\nb\nc\n"},
		{"x <%= 1 -%>\ny", "x 1y"},
		{"<%#\nname: x\n%>\n\nfoo", "\n\nfoo"},

		{"", ""},
		{"% plain\n%% too\n", "% plain\n%% too\n"},
		{"<%% if %>", "<% if %>"},
		{"<%= '%%>' %>", "%>"},
		{"a %%> b", "a %%> b"},
		{"<%= nil %>|<%= true %>|<%= false %>|<%= 1.0 %>|<%= 12 %>|<%= :sym %>", "|true|false|1.0|12|sym"},
		{"<%= %>|<% %>|<%- -%>|<%-%>", "|||"},
		{"a <%- x = 1 %>\nb", "a \nb"},
		{"\t <%- x = 1 %>\nb", "\nb"},
		{"<% x = 1 %>  <%- y = 2 %>|", "|"},
		{"1 <% x = 1 -%>\r\n2", "1 2"},
		{"1 <% x = 1 -%> \n2", "1  \n2"},
		{"<%# a\n-%>\nb", "b"},
		{"<% # a comment %>b<%= 1 # another\n%>", "b1"},
		{"<% x = [1,\n 2] %><%= x.join(\n',') %>", "1,2"},
		{"ü<%= 'ü' %>\xff", "üü\xff"},
		{"<%= 'a' \\\n  'b' %>", "ab"},
	} {
		got, err := erb.Render(t.Context(), c.in, env())
		if err != nil || got != c.want {
			t.Errorf("%q\n got %q, %v\nwant %q", c.in, got, err, c.want)
		}
		if err := erb.Check(c.in); err != nil {
			t.Errorf("Check(%q): %v", c.in, err)
		}
	}
}

func TestRender_TooMuchText(t *testing.T) {
	if err := erb.Check(strings.Repeat("x", erb.MaxSource+1)); job.CodeOf(err) != job.Invalid {
		t.Errorf("a template of more than MaxSource is accepted: %v", err)
	}
	if got, err := erb.Render(t.Context(), strings.Repeat("x", erb.MaxSource), env()); err != nil || len(got) != erb.MaxSource {
		t.Errorf("a template of MaxSource: %d bytes, %v", len(got), err)
	}
}
