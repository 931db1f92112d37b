package erb_test

import (
	"strings"
	"testing"

	"drover/internal/erb"
	"drover/internal/job"
)

// What is outside the subset is refused when a template is saved, and again when
// it is rendered, by its line.
func TestCheck_Refuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a\n<%= `id` %>", "line 2: backticks are refused"},
		{`<%= %x(id) %>`, "%x is refused"},
		{`<%= %x{id} %>`, "%x is refused"},
		{`<% system("id") %>`, "system is refused"},
		{`<% exec "id" %>`, "exec is refused"},
		{`<%= eval("1") %>`, "eval is refused"},
		{`<%= "x".send(:system, "id") %>`, "send is refused"},
		{`<%= "x".public_send(:size) %>`, "public_send is refused"},
		{`<%= @host.instance_eval { 1 } %>`, "instance_eval is refused"},
		{`<%= @host.instance_variable_get("@x") %>`, "instance_variable_get is refused"},
		{`<%= "x".method(:size) %>`, "method is refused"},
		{`<%= "x".class %>`, "class is "},
		{`<% open("/etc/passwd") %>`, "open is refused"},
		{`<% require "socket" %>`, "require is refused"},
		{`<% load "x" %>`, "load is refused"},
		{`<% exit %>`, "exit is refused"},
		{`<% fork { 1 } %>`, "fork is refused"},
		{`<% sleep 5 %>`, "sleep is refused"},
		{`<%= [1].map(&:system) %>`, "&:system is not supported"},
		{`<%= File.read("/etc/passwd") %>`, "constants are not supported: File"},
		{`<%= IO %>`, "constants are not supported"},
		{`<%= Kernel.system("id") %>`, "constants are not supported"},
		{`<%= Process.pid %>`, "constants are not supported"},
		{`<%= ENV["HOME"] %>`, "constants are not supported: ENV"},
		{`<%= ::File %>`, "constants are not supported"},
		{`<%= @host::Name %>`, "constants are not supported"},
		{`<%= @host.Name %>`, "the method Name is not supported"},
		{`<%= $stdout %>`, "global variables are not supported"},
		{`<%= $1 %>`, "global variables are not supported"},
		{`<%= @@x %>`, "class variables are not supported"},
		{`<% @x = 1 %>`, "only local variables can be assigned"},
		{`<% def f; end %>`, "def is not supported"},
		{`<% class X; end %>`, "class is not supported"},
		{`<% module X; end %>`, "module is not supported"},
		{`<% begin; 1; rescue; 2; end %>`, "begin is not supported"},
		{`<%= 1 rescue 2 %>`, "rescue is not supported"},
		{`<% while true %>x<% end %>`, "while is not supported"},
		{`<% x = 1 while true %>`, "while is not supported"},
		{`<% until false do 1 end %>`, "until is not supported"},
		{`<% loop do %>x<% end %>`, "loop is not supported"},
		{`<% for x in [1] do %><% end %>`, "for is not supported"},
		{`<% f = lambda { |x| x } %>`, "lambda is not supported"},
		{`<% f = ->(x) { x } %>`, "lambda is not supported"},
		{`<% f = proc { 1 } %>`, "proc is not supported"},
		{`<% yield %>`, "yield is not supported"},
		{`<% return 1 %>`, "return is not supported"},
		{`<% [1].each { |x| next } %>`, "next is not supported"},
		{`<% raise "x" %>`, "raise is not supported"},
		{`<% puts "x" %>`, "puts is not supported"},
		{`<%= self %>`, "self is not supported"},
		{`<%= binding %>`, "binding is not supported"},
		{"<%= <<~EOS\nx\nEOS\n%>", "heredocs are not supported"},
		{"<% x = <<-EOS\nx\nEOS\n%>", "heredocs are not supported"},
		{"<% x = <<EOS\nx\nEOS\n%>", "heredocs are not supported"},
		{"<%= shell_escape <<EOS\nx\nEOS\n%>", "heredocs are not supported"},
		{`<%= 1..5 %>`, "ranges are not supported"},
		{`<%= "abc"[0..1] %>`, "ranges are not supported"},
		{`<%= 1 ** 2 %>`, "** is not supported"},
		{`<%= 1 <=> 2 %>`, "<=> is not supported"},
		{`<%= 1 & 2 %>`, "unexpected &"},
		{`<%= ?a %>`, "character literals are not supported"},
		{`<%= %q(a) %>`, "%q are not supported"},
		{`<%= 0x1F %>`, "numbers are written in decimal"},
		{`<%= 99999999999999999999 %>`, "is too large"},
		{`<%= /#{1}/ %>`, "interpolation in regular expressions"},
		{`<%= "a" =~ /(?=a)/ %>`, "regular expression is not supported"},
		{`<%= "a" =~ /(a)\1/ %>`, "regular expression is not supported"},
		{`<%= "a" =~ /a/x %>`, "flag 'x'"},
		{`<%= "a" =~ /(a/ %>`, "regular expression is not supported"},
		{`<%= "a" =~ /(a{1,100}){1,10}(b{1,100}){1,10}(c{1,100}){1,10}/ %>`, "a regular expression is too large"},
		{`<% a, b = 1, 2 %>`, "a is neither a local variable"},
		{`<% a = 1, 2 %>`, "several values"},
		{`<% h = {}; h["a"] = 1 %>`, "only local variables can be assigned"},
		{`<% h.x = 1 %>`, "neither a local variable nor a macro"},
		{`<%= input(*["a"]) %>`, "splats are not supported"},
		{`<%= input(&block) %>`, "only &:name"},
		{`<%= unknown %>`, "unknown is neither a local variable nor a macro"},
		{`<% 1; unknown_call(2) %>`, "unknown_call is neither"},
		{`<%= x %><% x = 1 %>`, "x is neither"},
		{`<% [1].each { |y| y } %><%= y %>`, "y is neither"},
		{`<%= "a".frobnicate %>`, "the method frobnicate is not supported"},
		{`<%= @host.nothing %>`, "the method nothing is not supported"},
		{`<%= @host.to_ary %>`, "the method to_ary is not supported"},
		{`<%= host_param("a").html_safe %>`, "the method html_safe is not supported"},
		{`<%= install_packages("vim") %>`, "install_packages is not supported"},
		{`<%= update_packages %>`, "update_packages is not supported"},
		{`<%= input %>`, "input does not take 0 argument(s)"},
		{`<%= input("a", "b") %>`, "input does not take 2 argument(s)"},
		{`<%= current_user("x") %>`, "current_user does not take 1 argument(s)"},
		{`<%= "a".gsub("b") %>`, "gsub does not take 1 argument(s)"},
		{`<%= [1].map %>`, "map needs a block"},
		{`<%= [1].sort { |a| a } %>`, "sort takes no block"},
		{`<%= input("x") { 1 } %>`, "input takes no such block"},
		{`<%= indent(2) %>`, "indent needs a block"},
		{`<% indent(2) do %>text<% end %>`, "this block may hold no text"},
		{"a\n\n<% if true %>x", "line 3: end is missing"},
		{"<% end %>", "line 1: unexpected end"},
		{"<% if true %><% end %><% end %>", "unexpected end"},
		{"<% else %>", "unexpected else"},
		{"<% unless 1 %><% elsif 2 %><% end %>", "unexpected elsif"},
		{"<% if true %>\n<% } %>", "unexpected }"},
		{"<% [1].each { |x| %><% end %>", "unexpected end"},
		{"<% [1].each do |x| %>", "end is missing"},
		{"<% case 1 %>\n<% when 1 %><% end %>", "text between case and its first when"},
		{"<% case 1 %><% end %>", "when is wanted"},
		{"<% if true { %>", ""},
		{"a\n<%= 1", "line 2: a tag is not closed"},
		{"<% x = %>", "unexpected"},
		{"<%= (1 %>", ") is missing"},
		{"<%= [1, 2 %>", "] is missing"},
		{`<%= {"a" => 1 %>`, "} is missing"},
		{`<%= {1} %>`, "a hash is made of pairs"},
		{`<%= "a %>`, "a string is not closed"},
		{`<%= "#{1 %>`, "an interpolation is not closed"},
		{`<%= 'a %>`, "a string is not closed"},
		{`<%= /a %>`, "a regular expression is not closed"},
		{`<%= 1 2 %>`, "unexpected 2"},
		{`<%= if true then 1 %>`, "end is missing"},
		{`<%= "a" do |x| %>`, "unexpected do"},
		{`<%= x = 1 = 2 %>`, "only local variables"},
		{`<%= "\u12" %>`, "an escape in a string is not valid"},
		{`<%= "\101" %>`, "octal escapes"},
		{"<%=\n1\n+ + %>", "line 3: unexpected +"},
		{"<% =begin %>", "unexpected ="},
		{"<%\n=begin\n=end\n%>", "=begin is not supported"},
		{`<%= ` + strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100) + ` %>`, "nested too deeply"},
		{`<%= ` + strings.Repeat("!", 100) + `1 %>`, "nested too deeply"},
		{`<%= ` + strings.Repeat("not ", 100) + `1 %>`, "nested too deeply"},
		{`<%= ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + ` %>`, "nested too deeply"},
		{`<%= ` + strings.Repeat(`"#{`, 100) + strings.Repeat(`}"`, 100) + ` %>`, "nested too deeply"},
		{`<%= 1` + strings.Repeat("+1", 300) + ` %>`, "too long"},
		{`<%= "a"` + strings.Repeat(".to_s", 300) + ` %>`, "too long"},
		{`<%= true` + strings.Repeat(" ? 1 : 2", 100) + ` %>`, "nested too deeply"},
		{strings.Repeat("<% if 1 %>", 100) + strings.Repeat("<% end %>", 100), "nested too deeply"},
		{strings.Repeat("<%= 1 %>", 40_000), "too many tags"},
		{"<% x = [" + strings.Repeat("1,", 40_000) + "] %>", "too much code"},
	} {
		err := erb.Check(c.in)
		if job.CodeOf(err) != job.Invalid || !strings.Contains(job.MessageOf(err), c.want) || !strings.HasPrefix(job.MessageOf(err), "line ") {
			t.Errorf("Check(%.80s) says %v, want %q", c.in, err, c.want)
		}
		if _, again := erb.Render(t.Context(), c.in, env()); again == nil || again.Error() != err.Error() {
			t.Errorf("Render(%.80s) says %v, Check %v", c.in, again, err)
		}
	}
}

// What looks refused and is not.
func TestCheck_Accepts(t *testing.T) {
	for _, in := range []string{
		"`text` $HOME File.read while true; do eval x; done", "echo $(( 1 << 2 )) <<EOF", `<%= "system('id') File $x @@y" %>`, `<%= { class: 1, "def" => 2, File: 3 }.to_json %>`,
		`<% loop_count = 1 %><%= loop_count %>`, `<% p = 1; test = 2; open = 3; format = 4 %><%= [p, test, open, format].map { |loop| loop }.join %>`, `<%= "a" if true and not false %>`, `<% x = 6 / 2 / 1 %>`, `<% x = 5 %><%= x /2 %><%= x %2 %><%= x -1 %>`,
		`<% x = "a" %><%= x <<"b" %>`, `<%= @host.facts["a::b"] %>`, `<%= true ? :a : :b %>`, `<%= (1; 2) %>`, "<%= [\n1,\n2\n].join(\n',',\n) %>", `<%= snippet "a b" if false %>`,
		strings.Repeat("<%= 1 %>", 10_000),
	} {
		if err := erb.Check(in); err != nil {
			t.Errorf("Check(%.80s): %v", in, err)
		}
	}
}
