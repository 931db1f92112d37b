package erb_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"drover/internal/erb"
	"drover/internal/job"
)

func TestRender_Macros(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`<%= input("command") %>|<%= input 'command' %>|<%= input(:command) %>`, "uptime && id|uptime && id|uptime && id"},
		{`<%= input("optional") %>|<%= input("optional").nil? %>|<%= input("preset") %>|<%= input("kernel") %>|<%= input("role") %>`, "|true|set|Linux|web"},
		{`<%= @host.id %> <%= host.name %> <%= @host %> <%= @host.shortname %> <%= @host.fqdn %> <%= @host.ip %>|<%= @host.ip6 %>|<%= @host.mac %>`,
			"7 web1.example.net web1.example.net web1 web1.example.net 192.0.2.7||"},
		{`<%= @host.comment %> <%= @host.model %> <%= @host.location.name %> <%= @host.domain %> <%= @host.hostgroup.nil? %> <%= @host&.owner&.login %>`,
			"front R640 lab example.net true "},
		{`<%= @host.os %>/<%= @host.operatingsystem.name %>/<%= @host.os.major %>/<%= @host.os.minor %>/<%= @host.os.release %>/<%= @host.os.title %>/<%= @host.os.family %>/<%= @host.os.release_name.nil? %>`,
			"Debian 12.5/Debian/12/5/12.5/Debian 12.5/Debian/true"},
		{`<%= @host.facts['kernel'] %><%= @host.facts_hash['os'] %><%= @host.params['role'] %><%= @host.params['none'] %><%= @host.host_param('role') %><%= @host.host_param('none', 'd') %>`,
			"Linuxdebianwebwebd"},
		{`<%= @host.primary_interface.ip %> <%= @host.interfaces.first.fqdn %> <%= @host.interfaces.map { |i| i.identifier }.size %>`, "192.0.2.7 web1.example.net 1"},
		{`<%= @host.respond_to?(:name) %> <%= @host.respond_to?('nothing') %> <%= @host.respond_to?(:host_param) %> <%= @host.os.respond_to?(:major) %>`, "true false true true"},
		{`<%= host_param("role") %>|<%= host_param("none") %>|<%= host_param("none", "d") %>|<%= host_param!("role") %>`, "web||d|web"},
		{`<%= host_param_true?("yes") %> <%= host_param_true?("no") %> <%= host_param_true?("odd") %> <%= host_param_true?("none") %> <%= host_param_true?("none", true) %>`,
			"true false false false true"},
		{`<%= host_param_false?("yes") %> <%= host_param_false?("no") %> <%= host_param_false?("odd") %> <%= host_param_false?("none") %> <%= host_param_false?("empty") %> <%= host_param_false?("none", false) %>`,
			"false true false false true true"},
		{`<%= current_user %> <%= template_name %> <%= @template_name %> <%= preview? %>`, "ops Main Main false"},
		{`<%= foreman_server_url %> <%= foreman_server_fqdn %>`, "https://drover.example.net:8443/x drover.example.net"},
		{`<%= shell_escape("a b'c$(x)") %>|<%= shell_escape("") %>|<%= shell_escape("é\n-_./:@,+") %>|<%= shell_escape(5) %>`, `a\ b\'c\$\(x\)|''|\é'` + "\n" + `'-_./:@,+|5`},
		{`<%= indent(2) { "a\n\nb\n" } %>|<%= indent 1 do "x" end %>|<%= indent(3, skip1: true) { "a\nb" } %>|<%= indent(2) { nil } %>`, "  a\n  \n  b\n| x|a\n   b|  "},
		{`<%= truthy?("yes") %><%= truthy?(true) %><%= truthy?("x") %><%= truthy?(nil) %><%= truthy?(1) %>|<%= falsy?("OFF") %><%= falsy?(false) %><%= falsy?(nil) %><%= falsy?("x") %>`,
			"truetruefalsefalsetrue|truetruefalsefalse"},
		{`<% d = parse_json('{"a": [1, 2.5, null, true, "x"], "b": {}}') %><%= d["a"][1] %> <%= to_json(d) %>`, `2.5 {"a":[1,2.5,null,true,"x"],"b":{}}`},
		{`<%= to_json(@host.params) %>`, `{"empty":"","no":"0","odd":"maybe","role":"web","yes":"Yes"}`},
		{`<%= join_with_line_break(["a", 1, nil, "b"]) %>`, "a\n1\n\nb"},
		{`<%= N_("a") %><%= _('b') %><%= plugin_present?("x") %><%= plugin_present?('foreman_remote_execution') %><%= global_setting("x") %><%= global_setting("x", "d") %>`, "abfalsetrued"},
		{`<%= current_date %> <%= current_time %>`, "2026-11-22 2026-11-22 01:02:03 UTC"},
		{`<% a = cached("k") { rand_hex(8) } %><%= a == cached(:k) { "other" } %> <%= a.size %> <%= rand_hex(3) =~ /\A[0-9a-f]{6}\z/ %>`, "true 16 0"},
		{`<%= save_to_file("/tmp/a", "") %>`, "cp /dev/null /tmp/a"},
		{`<%= save_to_file("/tmp/a", "x $HOME\n").sub(/EOF-[0-9a-f]+/, "END").sub(/EOF-[0-9a-f]+$/, "END") %>`, "cat << END > /tmp/a\nx $HOME\nEND"},

		{`<%= snippet("part") %>`, "none/uptime && id/part"},
		{`<%= snippet("part", variables: { colour: "red" }) %>|<%= snippet 'part', :variables => { 'colour' => 'blue' } %>`, "red/uptime && id/part|blue/uptime && id/part"},
		{`<%= snippet_if_exists("nowhere") %>|<%= snippet_if_exists("greet") %>|<%= snippet_if_exists("part") %>`, "||none/uptime && id/part"},
		{`<%= render_template("greet", { "who" => "you" }) %> <%= render_template("greet", :who => 'me', :mark => '?') %>`, "Hello you! Hello me?"},
		// Inputs of the same name are handed on, unless that is refused.
		{`<%= render_template("package", 'package' => 'vim') %>`, "pkg install vim debian"},
		{`<%= render_template("package", { 'package' => 'vim' }, { with_foreign_input_set: false }) %>`, "pkg  vim debian"},
	} {
		got, err := erb.Render(t.Context(), c.in, env())
		if err != nil || got != c.want {
			t.Errorf("%s\n got %q, %v\nwant %q", c.in, got, err, c.want)
		}
		if err := erb.Check(c.in); err != nil {
			t.Errorf("Check(%s): %v", c.in, err)
		}
	}
}

func TestRender_SavedFilesAreWhatWasGiven(t *testing.T) {
	got, err := erb.Render(t.Context(), `<%= save_to_file("/tmp/x y", "a$b\n", verbatim: true) %>`, env())
	if err != nil || !strings.HasPrefix(got, "base64 -d > /tmp/x y << 'EOF-") || !strings.Contains(got, "\nYSRiCg==\nEOF-") {
		t.Errorf("%q, %v", got, err)
	}
	// What the text holds cannot end the text.
	first, err := erb.Render(t.Context(), `<%= save_to_file("/a", "x") %>`, env())
	if err != nil {
		t.Fatal(err)
	}
	end := first[strings.LastIndex(first, "\n")+1:]
	e := env()
	e.Values["command"] = "x\n" + end + "\nreboot\n"
	got, err = erb.Render(t.Context(), `<%= save_to_file("/a", input("command")) %>`, e)
	if err != nil || strings.HasPrefix(got, "cat << "+end+" ") {
		t.Errorf("%q, %v", got, err)
	}
}

// What people read in a result. Those of 6.3 are told in their own words, without a line.
func TestRender_Errors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`<%= input("nowhere") %>`, "Rendering failed, no input with name nowhere for input macro found"},
		{`<%= input("blank") %>`, "Value for required input 'blank' was not specified"},
		{`<%= input("nofact") %>`, "Input 'nofact' is not ready for rendering"},
		{`<%= input("novar") %>`, "Input 'novar' is not ready for rendering"},
		{`<% render_error("Only on #{@host.os.family}") %>`, "Only on Debian"},
		{`<%= render_error N_('no') if true %>`, "no"},
		{`<%= render_template("loop") %>`, "Recursive rendering of templates detected"},
		{`<%= snippet("ping") %>`, "Recursive rendering of templates detected"},
		{`<%= render_template("Main") %>`, "line 1: render_template: there is no template Main"},
		{`<%= render_template("greet") %>`, "Value for required input 'who' was not specified"},
		{`<%= render_template("greet", who: " ") %>`, "Value for required input 'who' was not specified"},
		{`<%= render_template("undefined") %>`, "Rendering failed, no input with name nowhere for input macro found"},
		{"\n<%= render_template('greet', 5) %>", "line 2: render_template takes the inputs' values as a hash"},
		{`<%= render_template('greet', {}, { other: 1 }) %>`, "line 1: other is no option here"},
		{`<%= snippet("nowhere") %>`, "line 1: there is no snippet nowhere"},
		{`<%= snippet("greet") %>`, "line 1: there is no snippet greet"},
		{"\n\n<%= snippet('failing') %>", "line 3: in failing, line 2: divided by 0"},
		{`<%= snippet("broken") %>`, "line 1: in broken, line 2: a tag is not closed"},
		{`<%= host_param!("none") %>`, "line 1: the host has no parameter none"},
		{`<%= @colour %>`, "line 1: @colour has no value here"},
		{"a\n<%= [1] %>", "line 2: an array has no text of its own: use join or to_json"},
		{`<%= { "a" => 1 } %>`, "line 1: a hash has no text of its own: use its values or to_json"},
		{`<%= "#{[1]}" %>`, "line 1: an array has no text of its own: use join or to_json"},
		{`<%= [1].to_s %>`, "line 1: an array has no text of its own: use join or to_json"},
		{`<%= nil.upcase %>`, "line 1: nil has no method upcase"},
		{"<%= @host\n.hostgroup\n.name %>", "line 3: nil has no method name"},
		{`<%= 5.size %>`, "line 1: Integer has no method size"},
		{`<%= "a".sort %>`, "line 1: String has no method sort"},
		{`<%= @host.os.ip %>`, "line 1: Operatingsystem has no method ip"},
		{`<%= @host.name("x") %>`, "line 1: name takes no arguments"},
		{`<%= "a" + 1 %>`, "line 1: String + Integer is not supported"},
		{`<%= 1 + nil %>`, "line 1: Integer + nil is not supported"},
		{`<%= 1 < "a" %>`, "line 1: Integer and String cannot be compared"},
		{`<%= 9223372036854775807 + 1 %>`, "line 1: a number is too large"},
		{`<%= -9223372036854775807 - 2 %>`, "line 1: a number is too large"},
		{`<%= 9223372036854775807 * 2 %>`, "line 1: a number is too large"},
		{`<%= 1e30.to_i %>`, "line 1: a number is too large"},
		{`<%= "99999999999999999999".to_i %>`, "line 1: a number is too large"},
		{`<%= { "a" => 1 }.fetch("b") %>`, "line 1: the hash has no key b"},
		{`<% x = { [1] => 2 } %>`, "line 1: a Array cannot be the key of a hash"},
		{`<%= [2, "a"].sort.size %>`, "line 1: String and Integer cannot be compared"},
		{`<%= parse_json("{") %>`, "line 1: parse_json: the text is not valid JSON"},
		{`<%= parse_json("1 2") %>`, "line 1: parse_json: the text is not valid JSON"},
		{`<%= "a".gsub("a", 1) %>`, "line 1: a string is wanted, not Integer"},
		{`<%= shell_escape("\0") %>`, "line 1: shell_escape: the text holds a NUL"},
		{`<% x += 1 %>`, "line 1: nil + Integer is not supported"},
		{"<% [1].each do |x| %>\n<%= x.empty? %><% end %>", "line 2: Integer has no method empty?"},
	} {
		got, err := erb.Render(t.Context(), c.in, env())
		if job.CodeOf(err) != job.Invalid || job.MessageOf(err) != c.want {
			t.Errorf("%s\n got %q, %v\nwant %s", c.in, got, err, c.want)
		}
		if err := erb.Check(c.in); err != nil {
			t.Errorf("Check(%s): %v", c.in, err)
		}
	}
}

func TestRender_WithoutDevice(t *testing.T) {
	got, err := erb.Render(t.Context(), `<%= @host.nil? %> <%= host&.name %><%= host_param("x", "d") %>`, erb.Env{})
	if err != nil || got != "true d" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRender_DeviceWithLittleData(t *testing.T) {
	e := env()
	e.Device = &job.Device{Meta: job.Meta{ID: 1, Name: "sw1"}, Address: "2001:db8::1"}
	got, err := erb.Render(t.Context(), `<%= @host.ip.nil? %> <%= @host.ip6 %> <%= @host.os.nil? %> <%= @host.domain.nil? %> <%= @host.fqdn %> <%= @host.model.nil? %> <%= @host.location&.name %>`, e)
	if err != nil || got != "true 2001:db8::1 true true sw1 true " {
		t.Errorf("%q, %v", got, err)
	}
	e.Device.Name, e.Device.CreatedBy, e.Device.OperatingSystem, e.Device.OSVersion = "192.0.2.1", "ops", "VRP", "V200R005 (C00)"
	const odd = `<%= @host.shortname %> <%= @host.domain.nil? %> <%= @host.owner.login %> <%= @host.os.major %>|<%= @host.os.minor %>|<%= @host.os.family %>`
	if got, err := erb.Render(t.Context(), odd, e); err != nil || got != "192.0.2.1 true ops 200||" {
		t.Errorf("%q, %v", got, err)
	}
	e.Device.Address = "sw1.example.net"
	if got, err := erb.Render(t.Context(), `<%= @host.ip %>|<%= @host.primary_interface.ip %>`, e); err != nil || got != "|" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRender_LookupIsAskedOnceAndItsErrorsComeBack(t *testing.T) {
	e, asked := env(), 0
	e.Lookup = func(_ context.Context, name string) (erb.Included, error) {
		asked++
		if name == "down" {
			return erb.Included{}, job.Errorf(job.Unavailable, "the store is away")
		}
		return erb.Included{Body: "x", Snippet: true}, nil
	}
	if got, err := erb.Render(t.Context(), `<%= snippet("a") %><%= snippet("a") %>`, e); err != nil || got != "xx" || asked != 1 {
		t.Errorf("%q, %v, asked %d times", got, err, asked)
	}
	if _, err := erb.Render(t.Context(), `<%= snippet("down") %>`, e); job.CodeOf(err) != job.Unavailable {
		t.Errorf("Lookup's error is %v", err)
	}
	e.Lookup = nil
	if got, err := erb.Render(t.Context(), `<%= snippet_if_exists("a") %>`, e); err != nil || got != "" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRender_Hostgroup(t *testing.T) {
	const in = `<%= @host.hostgroup %> <%= @host.hostgroup.name %> <%= @host.hostgroup&.title %> <%= @host.respond_to?(:hostgroup) %>`
	e, asked := env(), 0
	e.Groups = func(context.Context) ([]string, error) {
		asked++
		return []string{"all", "web"}, nil
	}
	if got, err := erb.Render(t.Context(), in, e); err != nil || got != "all all all true" || asked != 1 {
		t.Errorf("%q, %v, asked %d times", got, err, asked)
	}
	e.Groups = func(context.Context) ([]string, error) { asked++; return nil, nil }
	if got, err := erb.Render(t.Context(), `<%= @host.hostgroup.nil? %> <%= @host.hostgroup&.name %>`, e); err != nil || got != "true " || asked != 2 {
		t.Errorf("%q, %v, asked %d times", got, err, asked)
	}
	e.Groups = func(context.Context) ([]string, error) { return nil, job.Errorf(job.Unavailable, "the store is away") }
	if _, err := erb.Render(t.Context(), in, e); job.CodeOf(err) != job.Unavailable {
		t.Errorf("Groups' error is %v", err)
	}
	if got, err := erb.Render(t.Context(), "echo", e); err != nil || got != "echo" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRender_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	const long = `<% x = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] %><% x.each { |a| x.each { |b| x.each { |c| a + b + c } } } %>`
	if _, err := erb.Render(ctx, long, env()); job.CodeOf(err) != job.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped rendering says %v", err)
	}
	if _, err := erb.Render(t.Context(), long, env()); err != nil {
		t.Error(err)
	}
}
