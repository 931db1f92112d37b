package erb_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drover/internal/erb"
	"drover/internal/job"
)

// Templates that would take more than there is, each another way.
var greedy = []struct{ name, in, want string }{
	{"steps", nest(6, "1"), "takes too many steps"},
	{"output", `<% a = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] %><% t = "x" * 100000 %><% a.each do %><% a.each do %><%= t %><% end %><% end %>`, "longer than 4194304 bytes"},
	{"repeat", `<% x = "a" * 1000000000000 %>`, "too much memory"},
	{"repeat of nothing", `<% x = "" * 9000000000000000000 %>done`, ""},
	{"doubling", `<% x = "a" %>` + strings.Repeat(`<% x = x + x %>`, 40), "too much memory"},
	{"doubling in place", `<% x = "a" %>` + strings.Repeat(`<% x << x %>`, 40), "too much memory"},
	{"interpolated", `<% x = "a" %>` + strings.Repeat(`<% x = "#{x}#{x}" %>`, 40), "too much memory"},
	{"array", `<% x = [1] %>` + strings.Repeat(`<% x = x + x %>`, 40), "too much memory"},
	{"append to what is walked", `<% x = [1] %><% x.each { |v| x << v } %>`, "too many steps"},
	{"nested and flattened", `<% x = ["aaaaaaaaaa"] %>` + strings.Repeat(`<% x = [x, x] %>`, 50) + `<%= x.flatten.size %>`, "too many steps"},
	{"nested and joined", `<% x = ["aaaaaaaaaa"] %>` + strings.Repeat(`<% x = [x, x] %>`, 50) + `<%= x.join %>`, "too many steps"},
	{"nested and compared", `<% x = [1] %><% y = [1] %>` + strings.Repeat(`<% x = [x, x] %><% y = [y, y] %>`, 50) + `<%= x == y %>`, "too many steps"},
	{"nested JSON", `<% x = [1] %>` + strings.Repeat(`<% x = [x, x] %>`, 50) + `<%= x.to_json %>`, "too many steps"},
	{"a circle", `<% x = [1] %><% x << x %><%= x.flatten.size %>`, "nested too deeply"},
	{"a circle, joined", `<% x = [1] %><% x << x %><%= x.join %>`, "nested too deeply"},
	{"a circle, compared", `<% x = [1] %><% x << x %><% y = [1] %><% y << y %><%= x == y %>`, "nested too deeply"},
	{"a circle as JSON", `<% x = [1] %><% x << x %><%= x.to_json %>`, "nested too deeply"},
	{"gsub", `<% x = "a" * 8000 %><%= x.gsub("a", x).size %>`, "too much memory"},
	{"gsub by expression", `<% x = "a" * 8000 %><%= x.gsub(/a/, x).size %>`, "too much memory"},
	{"gsub by groups", `<% x = "a" * 8000 %><%= x.gsub(/.*/, '\0' * 8000).size %>`, "too much memory"},
	{"dear expressions", `<% x = "a" * 1000000 %><%= x =~ /(?:a?){900}b/ %>`, "too many steps"},
	{"many dear expressions", loop(`x =~ /(x|y|a?){50}z/`, `"a" * 2000`), "too many steps"},
	{"split", `<% x = "a" * 4000000 %><%= x.split("").size %>`, "too much memory"},
	{"join", loop(`[x, x, x].join(x).size`, `"a" * 1000000`), "too much memory"},
	{"sort", `<% x = "cba" * 100000 %><%= x.split("").sort.size %>`, "too "},
	{"uniq", `<% x = ("a" * 1000).split("").map { |c| [c] } %><%= x.uniq.size %>` + strings.Repeat(`<%= x.uniq.size %>`, 200), "too many steps"},
	{"tr", loop(`x.tr("a-z", "b-y").size`, `"a" * 1000000`), "too many steps"},
	{"upcase", loop(`x.upcase.size`, `"a" * 1000000`), "too much memory"},
	{"reading", loop(`x.include?("b")`, `"a" * 4000000`), "too many steps"},
	{"comparing", loop(`x == y`, `"a" * 4000000`), "too many steps"},
	{"counting", loop(`x.size`, `"a" * 4000000`), "too many steps"},
	{"escaping", loop(`shell_escape(x)`, `"$" * 1000000`), "too much memory"},
	{"indenting", `<% x = "\n" * 1000000 %><%= indent(1000) { x }.size %>`, "too much memory"},
	{"JSON", loop(`to_json(x).size`, `"\0" * 1000000`), "too much memory"},
	{"parsing", `<% x = "[" + "{}," * 200000 + "1]" %><%= parse_json(x).size %>`, "too "},
	{"parsing deep", `<% x = "[" * 1000 %><%= parse_json(x).size %>`, "nested too deeply"},
	{"files", loop(`save_to_file("a", x).size`, `"a" * 1000000`), "too much memory"},
	{"blocks with many variables", manyLocals(20_000), "too many steps"},
	{"names of snippets", loop(`snippet_if_exists("s#{i}#{j}#{rand_hex(4)}")`, `1`), "more than 50 other templates"},
	{"snippets", loop(`snippet("big").size`, `1`), "too "},
	{"including", `<%= render_template("fan") %>`, "Recursive"},
}

func nest(n int, body string) string {
	in := `<% a = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] %><%`
	return in + strings.Repeat(` a.each { |x|`, n) + body + strings.Repeat(`}`, n) + ` %>`
}

// loop runs an expression over and over on one value.
func loop(expr, value string) string {
	return `<% x = ` + value + ` %><% y = x + "" if x != 1 %><% l = ("-" * 1000).split("") %><% l.each { |i| l.each { |j| ` + expr + ` } } %>`
}

func manyLocals(n int) string {
	var b strings.Builder
	b.WriteString(`<% l = ("-" * 20000).split("") %><% l.each { |i| if false; `)
	for i := range n {
		fmt.Fprintf(&b, "v%d=1;", i)
		if i == 12_000 {
			break
		}
	}
	b.WriteString(` end } %>`)
	return b.String()
}

func TestRender_TakesNoMoreThanThereIs(t *testing.T) {
	e := env()
	e.Lookup = func(_ context.Context, name string) (erb.Included, error) {
		switch name {
		case "big":
			return erb.Included{Snippet: true, Body: strings.Repeat("x", 100_000)}, nil
		case "fan":
			return erb.Included{Body: strings.Repeat(`<%= render_template("fan2") %>`, 5)}, nil
		case "fan2":
			return erb.Included{Body: strings.Repeat(`<%= render_template("fan") %>`, 5)}, nil
		}
		return erb.Included{}, job.Errorf(job.NotFound, "none")
	}
	for _, c := range greedy {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			got, err := erb.Render(t.Context(), c.in, e)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			slow := err != nil && strings.Contains(err.Error(), "rendering takes too long") // a limit too
			if job.CodeOf(err) != job.Invalid || !slow && !strings.Contains(err.Error(), c.want) {
				t.Errorf("gives %d bytes, %v; want %q", len(got), err, c.want)
			}
			if made := after.TotalAlloc - before.TotalAlloc; made > 256<<20 {
				t.Errorf("it allocated %d MiB", made>>20)
			}
			if took > 10*time.Second { // 2 s by the clock, and what one operation may take on a busy machine under the race detector
				t.Errorf("it took %v", took)
			}
		})
	}
}

// Long texts that are the same over and over, as far as the parser goes
// with them.
func TestCheck_IsNotSlow(t *testing.T) {
	const quarter = erb.MaxSource / 4
	for _, unit := range []string{`<%= 1 %>`, `<% x = 1 %>`, `<%`, `<%%`, `<%# %>`, `<%-`, `-%>`, "%%>", "<%= 'a' %> ", "<% if x = 1 %>", "\n  <%- -%>\n", "<%= \"#{x = 1}\" %>", "  "} {
		quick(t, strings.Repeat(unit, quarter/len(unit)))
	}
	for _, unit := range []string{`"a"`, `"a" `, `"#{1}"`, `1+`, `x=`, `[`, `(`, `{`, `!`, `-`, "not ", `x.y`, "nil.nil?.", `1;`, "\n", ` `, `a:1,`, `"a":1,`, `:a,`, `%w[a a a a a a] `, `a a a a `, `|a|`,
		`/a{999}/,`, `/(a{99}){9}/,`, `'`, `\`, `#`, "#\n", `"\"`, `?`, `@a `, `1 ? `, `x ||= `, `if 1;`, `[1].each{`, `[1].each do `, `case 1;when 1;`, `.`, `&.nil?`, `1,`, `1_1`, `é`, "\x00"} {
		for _, before := range []string{"", "x = [", "x = {", "input(", "nil"} {
			quick(t, "<% "+before+strings.Repeat(unit, quarter/len(unit))+" %>")
		}
	}
}

func quick(t *testing.T, in string) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	_ = erb.Check(in)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if made := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 10*time.Second || made > 200 {
		t.Errorf("%.60q took %v and %d MiB", in, took, made)
	}
}

// fragments are what random templates are made of.
var fragments = []string{
	"<%", "<%=", "<%-", "<%#", "<%%", "%>", "-%>", "%%>", "\n", " ", ";", ",", ".", "&.", "(", ")", "[", "]", "{", "}", "|", "|x|", "|a, b|", "do", "do |x|", "end",
	"if", "elsif", "else", "unless", "case", "when", "then", "and", "or", "not", "!", "-", "+", "*", "/", "%", "==", "!=", "=~", "!~", "<", ">", "<=", ">=", "<<", "&&", "||",
	"?", ":", "=>", "=", "||=", "+=", "-=", "x", "y", "x = ", "@host", "@host.os.family", "host", "nil", "true", "1", "2.5", "9223372036854775807", `"s"`, `'q'`, `"#{`, `}"`, `"a b,c"`,
	":sym", "a: ", "%w[a b]", "/a+/", "/(b)(c)?/m", "[1, 2, 3]", `{ "a" => 1, b: [2] }`, ".each", ".each_with_index", ".map", ".map(&:to_s)", ".select", ".join(',')", ".split", ".split(',')", ".to_i", ".to_json", ".gsub(/a/, 'b')",
	".sub('a', x)", ".tr('a-z', '^b')", ".first", ".flatten", ".sort", ".uniq", ".size", ".upcase", ".strip", ".lines", "[0]", "[-1]", "[1, 2]", `["a"]`, ".fetch('a', 1)", ".nil?", ".blank?", ".presence",
	`input("command")`, `input 'optional'`, `host_param("role")`, `render_error("no")`, `snippet("part")`, `render_template("greet", who: x)`, `indent(2) { x }`, "shell_escape(x)", "current_user", "template_name",
	`to_json(x)`, `parse_json('[1]')`, "rand_hex(2)", "cached('k') { x }", "save_to_file('a', x)", "join_with_line_break(x)", "truthy?(x)", "preview?", "$", "@@", "`", "::", "\\", "\"", "'", "#", "é", "\xff", "\x00", "text",
}

// Nothing that can be written makes it panic or take more than there is, and what
// Check accepts has no errors of syntax left.
func TestRender_AnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hold(t, strings.Join(rapid.SliceOfN(rapid.SampledFrom(fragments), 0, 40).Draw(t, "template"), rapid.SampledFrom([]string{"", " "}).Draw(t, "between")))
	})
}

// Expressions are mostly right, so that they are also run.
func TestRender_AnyExpression(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hold(t, "<% x = 'a b' %><% y = [3, 1, 'z', nil, [2]] %><%= "+expression(t, 4)+" %>|<%= "+expression(t, 3)+".to_json %>")
	})
}

func expression(t *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{"x", "y", "nil", "true", "1", "-7", "2.5", "9223372036854775807", `"a,b"`, ":s", "[1, 'a', nil]", `{ "a" => 1, b: [2] }`,
			"@host", "@host.os", "@host.params", "@host.interfaces", `input("command")`, "%w[b a]", `"é\n"`, "/a(b)?/", "[]", "{}"}).Draw(t, "leaf")
	}
	sub := func() string { return expression(t, depth-1) }
	switch rapid.IntRange(0, 8).Draw(t, "kind") {
	case 0:
		op := rapid.SampledFrom([]string{"+", "-", "*", "/", "%", "==", "!=", "<", ">=", "=~", "!~", "<<", "&&", "||"}).Draw(t, "op")
		return "(" + sub() + " " + op + " " + sub() + ")"
	case 1:
		return "(" + sub() + " ? " + sub() + " : " + sub() + ")"
	case 2:
		m := rapid.SampledFrom([]string{"nil?", "blank?", "presence", "to_s", "to_i", "to_f", "empty?", "size", "strip", "chomp", "upcase", "capitalize", "split", "lines", "first",
			"last", "join", "uniq", "sort", "compact", "flatten", "keys", "values", "name", "family", "ip", "to_json", "any?", "all?"}).Draw(t, "method")
		return sub() + rapid.SampledFrom([]string{".", "&."}).Draw(t, "point") + m
	case 3:
		m := rapid.SampledFrom([]string{"include?", "start_with?", "split", "join", "first", "last", "fetch", "key?", "chomp", "flatten", "respond_to?"}).Draw(t, "method")
		return sub() + "." + m + "(" + sub() + ")"
	case 4:
		m := rapid.SampledFrom([]string{"gsub", "sub", "tr", "split", "fetch"}).Draw(t, "method")
		return sub() + "." + m + "(" + sub() + ", " + sub() + ")"
	case 5:
		m := rapid.SampledFrom([]string{"each", "map", "select", "reject", "any?", "all?", "each_with_index"}).Draw(t, "method")
		return sub() + "." + m + " { |v, w| " + sub() + " }"
	case 6:
		return sub() + "[" + sub() + "]"
	case 7:
		m := rapid.SampledFrom([]string{"shell_escape", "to_json", "parse_json", "host_param", "truthy?", "join_with_line_break", "_", "rand_hex", "input"}).Draw(t, "macro")
		return m + "(" + sub() + ")"
	}
	return `"<#{` + sub() + `}>"`
}

func FuzzRender(f *testing.F) {
	for _, s := range fragments {
		f.Add("<% x = 'a b' %><%= x " + s + " %>") // what is greedy would slow the fuzzer down
	}
	f.Add("a\n  <%- if true -%>\nb\n  <%- end -%>\nc\n")
	f.Add(`<%= @host.params.map { |k, v| "#{k}=#{shell_escape(v)}" }.join("\n") %>`)
	f.Add(`<%= snippet "part", variables: { a: 1 } %><% case input('command') when /x/ then %>y<% else %>z<% end %>`)
	f.Fuzz(func(t *testing.T, in string) { hold(t, in) })
}

func FuzzCheck(f *testing.F) {
	for _, s := range fragments {
		f.Add("<%= " + s + " %>")
	}
	f.Fuzz(func(t *testing.T, in string) {
		err := erb.Check(in)
		if err != nil && (job.CodeOf(err) != job.Invalid || job.MessageOf(err) == "") {
			t.Errorf("Check(%q): %v", in, err)
		}
	})
}

// hold renders a template and checks what every rendering keeps.
func hold(t interface{ Fatalf(string, ...any) }, in string) {
	refused := erb.Check(in)
	start := time.Now()
	got, err := erb.Render(context.Background(), in, env())
	switch took := time.Since(start); {
	case took > 20*time.Second: // the clock of a busy machine; a single rendering has 2 s
		t.Fatalf("%q took %v", in, took)
	case refused != nil && (err == nil || err.Error() != refused.Error()):
		t.Fatalf("%q: Check says %v, Render %v", in, refused, err)
	case err != nil && job.CodeOf(err) != job.Invalid:
		t.Fatalf("%q: %v", in, err)
	case err != nil && refused == nil && (strings.Contains(err.Error(), "unexpected ") || strings.Contains(err.Error(), "not supported:")):
		t.Fatalf("%q: Check accepts it, Render says %v", in, err)
	case len(got) > 4<<20:
		t.Fatalf("%q: %d bytes", in, len(got))
	}
}
