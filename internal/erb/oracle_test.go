package erb_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"drover/internal/erb"
)

// notRuby are the cases that the subset refuses, though Ruby has an answer.
var notRuby = map[string]string{
	"<%= nil && x_unknown_is_not_run = 1 %>":                        "x_unknown_is_not_run",
	"<%= 1 <=> 2 %>":                                                "<=>",
	"<%= [1, 2].map do |x|\n x * 2\nend.join(',') rescue 'x' %>":    "rescue",
	"<% [1].each do |i|\n  z = i\nend %><%= defined?(z).inspect %>": "defined?",
}

// testdata/ruby.json was written by Ruby: testdata/ruby.rb.
func TestRender_AsRubyDoes(t *testing.T) {
	raw, err := os.ReadFile("testdata/ruby.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ Template, Text, Error string }
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		got, err := erb.Render(t.Context(), c.Template, env())
		switch want, refused := notRuby[c.Template]; {
		case refused:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s\n gives %q, %v; want the error %q", c.Template, got, err, want)
			}
		case c.Error != "":
			if err == nil {
				t.Errorf("%s\n gives %q, Ruby says %s", c.Template, got, c.Error)
			}
		case err != nil || got != c.Text:
			t.Errorf("%s\n got %q, %v\nwant %q", c.Template, got, err, c.Text)
		}
	}
}
