# Writes ruby.json: what Ruby makes of the templates below.
#
# Run with Ruby 3.1 in this folder after changing the list:
# ruby ruby.rb > ruby.json
require "erb"
require "json"

class Object
  def blank? = respond_to?(:empty?) ? !!empty? : !self
  def present? = !blank?
  def presence = present? ? self : nil
end

class String
  def blank? = strip.empty?
end

EXPRESSIONS = <<'END'
1
-1
- 2
1_000
1.5
1e16
1e15
123456789012345680.0
1e-5
0.0001
0.1 + 0.2
-0.0
1e300 * 1e300
-1e300 * 1e300
7 / 2
-7 / 2
7 / -2
7 % 3
-7 % 3
7 % -3
-7 % -3
7.5 % 2
-7.5 % 2
7.5 / 2
1.0 / 0
1 / 0
1 % 0
1 + 2 * 3 - 4
(1 + 2) * 3
2 - -2
2 -2
-2 - 2
10 - 5 - 2
100 / 10 / 5
"a" + "b"
"a" * 3
"a" * 0
"ab" 'cd' "ef"
'a#{1}b\n\'\\c\d'
"a#{1 + 1}b"
"#{"#{"x"}"}#{nil}#{true}#{:s}#{1.50}"
"\n\t\s\e\"\\\#{1}\q\a\u00e9\u{1F600}\x41|" "\0".length.to_s
"a\
b"
"#{ { "a" => "}" }["a"] }"
:sym
:"a b"
:a?
%w[a b c].join(",")
%w(a (b) c).join("|")
%w{}.join
%w<x y>.size
[1, [2, [3, nil]]].to_json
[1, 2,].to_json
[].to_json
{ "a" => 1, b: 2, :c => nil, "d": [1.5] }.to_json
{}.to_json
{ a: 1, a: 2 }.to_json
{ if: 1, end: 2, nil: 3 }.to_json
"é\"\\/<&>\n\u0001".to_json
nil.to_json
true && "x"
false || nil || "y"
nil && x_unknown_is_not_run = 1
!true
!nil
not true
(true and false)
(nil or "z")
true ? 1 : 2
false ? 1 : true ? 2 : 3
nil.nil? ? "n" : "m"
1 == 1.0
1 == "1"
"a" == :a
"a" != "b"
1 < 2
2 <= 2.0
"a" < "b"
"a" > "B"
[1, 2] == [1, 2.0]
{ a: 1, b: 2 } == { b: 2, a: 1 }
nil == false
"abc" =~ /c/
"abc" =~ /x/
"éa" =~ /a/
"abc" !~ /x/
nil =~ /x/
/b/ =~ "abc"
"a\nb" =~ /^b$/
"a\nb" =~ /a.b/
"a\nb" =~ /a.b/m
"ABC" =~ /b/i
"a/b" =~ /\//
"x" =~ /\Ax\z/
"abc"[0]
"abc"[-1]
"abc"[3]
"abc"[1, 2]
"abc"[3, 1]
"abc"[4, 1]
"abc"[1, 0]
"abc"[1, -1]
"éàü"[1]
"abc"["bc"]
"abc"["x"]
"abc123"[/\d+/]
"abc123"[/([a-z]+)(\d+)/, 2]
"abc"[/x/]
"".empty?
" ".empty?
"abc".length
"é".size
"  a b \t\n".strip + "|"
"  a ".lstrip + "|"
"  a ".rstrip + "|"
"a\r\n".chomp + "|"
"a\n\n".chomp.length
"a\r".chomp.length
"abc".chomp("c")
"abc".chomp("b")
"aé".upcase
"AÉ".downcase
"hELLO wORLD".capitalize
"".capitalize
"éA".capitalize
"abc".start_with?("ab")
"abc".start_with?("x", "a")
"abc".start_with?(/[a-b]/)
"abc".end_with?("bc")
"abc".end_with?("x")
"abc".include?("b")
"a b  c".split.to_json
" a b ".split(" ").to_json
"a,b,,c,,".split(",").to_json
",a".split(",").to_json
"a,b,c".split(",", 2).to_json
"a,b,,".split(",", 5).to_json
"a b c d".split(" ", 2).to_json
"a b ".split(" ", 2).to_json
"a b ".split(" ", 3).to_json
" a  b  c ".split(" ", 2).to_json
"abc".split("").to_json
"aéc".split("", 2).to_json
"a1b22c".split(/\d+/).to_json
"a1b22c".split(/\d/).to_json
"abc".split(/b*/).to_json
"abc".split(//).to_json
"".split(",").to_json
"a, b;c".split(/[,;]\s*/).to_json
"hello".gsub("l", "L")
"hello".gsub(/l/, "[\\0]")
"hello".gsub(/(h)(e)/, '\2\1')
"hello".gsub(/x*/, "-")
"hello".gsub("", "-")
"hello".sub("l", "L")
"hello".sub(/[eo]/, "*")
"hello".gsub(/l/, '\\\\')
"hello".gsub("l", '\0\0')
"a.b.c".gsub(".", "-")
"hello".gsub(/(x)?l/, '<\1>')
"hello".tr("el", "ip")
"hello".tr("a-y", "b-z")
"hello".tr("^l", "*")
"hello".tr("el", "")
"hello".tr("l", "xyz")
"he-llo".tr("-", "_")
"he-l".tr("a\-l", "x")
"hello".tr("elo", "1")
"a\nb\n".lines.to_json
"a\n\nb".lines.to_json
"".lines.to_json
"12abc".to_i
" 12".to_i
"-5".to_i
"+5x".to_i
"1_000".to_i
"1__0".to_i
"_1".to_i
"x".to_i
"".to_i
"0x1A".to_i
"010".to_i
"1.9".to_i
"1.5abc".to_f
"1e3".to_f
".5".to_f
"1.".to_f
"-2.5e-1x".to_f
"x".to_f
nil.to_i
nil.to_f
nil.to_s
1.9.to_i
-1.9.to_i
5.to_f
5.to_s
1.0.to_s
true.to_s
:a.to_s
"".blank?
" \n".blank?
"a".blank?
nil.blank?
false.blank?
0.blank?
[].blank?
{}.blank?
[nil].present?
"a".presence
"".presence
" ".presence.nil?
"a".respond_to?(:upcase)
"a".respond_to?("nothing")
nil.respond_to?(:upcase)
[3, 1, 2].sort.to_json
["b", "a"].sort.to_json
[1, 1.0, "a", "a", nil, nil].uniq.size
[1, nil, 2, nil].compact.to_json
[1, [2, [3]]].flatten.to_json
[1, [2, [3]]].flatten(1).to_json
[1, [2, [3]]].flatten(0).to_json
[1, 2, 3].first
[1, 2, 3].last
[].first
[1, 2, 3].first(2).to_json
[1, 2, 3].last(2).to_json
[1, 2, 3].first(9).to_json
[1, 2, 3][0]
[1, 2, 3][-1]
[1, 2, 3][5]
[1, 2, 3][1, 2].to_json
[1, 2, 3][3, 1].to_json
[1, 2, 3][4, 1].to_json
[1, [2, [nil, 3]]].join("-")
[1, 2].join
[1, 2].join(nil)
[1, 2, 3].include?(2)
[1, 2, 3].include?(2.0)
["a"].include?("a")
([1, 2] + [3]).to_json
([1, 2, 2, 3] - [2]).to_json
[1, 2, 3].map { |x| x * 2 }.to_json
[1, 2, 3].select { |x| x > 1 }.to_json
[1, 2, 3].reject { |x| x > 1 }.to_json
[1, 2, 3].any? { |x| x > 2 }
[1, 2, 3].all? { |x| x > 2 }
[nil, false].any?
[].any?
[].all?
[1, nil].all?
[[1, 2], [3, 4]].map { |a, b| a + b }.to_json
[[1, 2], [3, 4]].map { |a| a.first }.to_json
[[1, 2], 3].map { |a, b| b.to_s }.to_json
%w[a b].map(&:upcase).to_json
["", "a"].reject(&:empty?).to_json
%w[b a].sort.map { |x| x + x }.select { |x| x != "aa" }.join
{ a: 1 }[:a]
{ a: 1 }["a"]
{ "a" => 1 }.fetch("a")
{ "a" => 1 }.fetch("b", 2)
{ a: 1 }.key?(:a)
{ a: 1, b: 2 }.keys.to_json
{ a: 1, b: 2 }.values.to_json
{ a: 1, b: 2 }.map { |k, v| "#{k}=#{v}" }.join(" ")
{ a: 1, b: 2 }.select { |k, v| v > 1 }.to_json
{ a: 1, b: 2 }.reject { |k, v| v > 1 }.to_json
{ a: 1 }.any? { |k, v| v == 1 }
{}.empty?
{ a: 1 }.size
{ 1 => :x, 1.0 => :y, nil => :z, true => :t }.size
nil&.upcase
"a"&.upcase
nil&.upcase.nil?
"a".upcase.downcase
"a-b".split("-").map { |x| x.capitalize }.join(" ")
"x" if true
"x" if false
"x" unless false
"a" if true and not false
if true then "t" else "f" end
if false then "t" elsif 1 then "e" end
unless true then "t" else "f" end
case 5 when 1, 5 then "five" else "other" end
case "abc" when /b/ then "re" end
case :a when :b then 1 when :a then 2 end
case nil when nil then "n" end
case when false then 1 when true then 2 end
case 1 when 1.0 then "eq" end
case "x" when "y" then 1 end
(x = 5; x + 1)
x = y = 3
x ||= 4
(x = nil; x ||= 4; x ||= 5; x)
(x = 1; x += 2; x -= 1; x *= 10; x /= 3; x %= 4; x)
(x = 1; x &&= 7; x)
(s = "a"; t = s; s << "b" << "c"; t)
(s = "a"; t = s; s += "b"; t)
(a = [1]; b = a; a << 2; b.to_json)
(h = { "k" => "v" }; s = "k"; h[s])
(x = 1; [5].each { |x| x + 1 }; x)
(n = 0; [1, 2].each { |v| n += v }; n)
(out = []; %w[a b].each_with_index { |v, i| out << "#{i}#{v}" }; out.join(","))
[1, 2].each { |v| v }.to_json
(false or true and false)
(true && false || true)
!false && true
1 + 1 == 2 && 2 > 1
"a" "b" == "ab"
x = if true then 1 else 2 end
[1,2,3].map { |v| v > 2 ? "big" : "small" }.join(" ")
[[1, 2]].each { |a| a }.flatten.size
"%d" * 2
5.0 == 5 ? "same" : "other"
{ a: { b: [1, { c: "deep" }] } }[:a][:b][1][:c]
"tab\tend".split("\t").last
"a".nil?
nil.to_s.empty?
"A-B_c 9".downcase.gsub(/[^a-z0-9]+/, "-")
9223372036854775807
-7.to_json
- 7.to_s.size
-9223372036854775807.to_s
-2.5.to_i
2.5 % 0
"a b".tr("a a", "xyz")
1 <=> 2
END

TEMPLATES = [
  "a\n<% if true %>\nb\n<% end %>\nc\n",
  "a\n<% if true -%>\nb\n<% end -%>\nc\n",
  "a\n  <%- if true -%>\nb\n  <%- end -%>\nc\n",
  "x <%= 1 -%>\ny",
  "<%#\nname: x\n%>\n\nfoo",
  "<%% if %>", "<%= '%%>' %>", "a %%> b", "<%= %>|<% %>|<%- -%>|<%-%>", "<%%>x<%%%>", "<%# a %%> b %>c",
  "a <%- x = 1 %>\nb", "\t <%- x = 1 %>\nb", "<% x = 1 %>  <%- y = 2 %>|", "1 <% x = 1 -%>\r\n2", "1 <% x = 1 -%> \n2", "<%# a\n-%>\nb",
  "<%= 1 %>  <%- x=1 -%>\n|", "<% x = [1,\n 2] %><%= x.join(\n',') %>", "<%= 'a' \\\n  'b' %>", "<%%  <%- x=1 %>|",
  "% if true\n%% x\n",
  "<% [1, 2].each do |x| %>\n<%= x %>,\n<% end %>",
  "<% [1, 2].each do |x| -%>\n<%= x %>,\n<% end -%>\n",
  "<% [1, 2].each { |x| %><%= x %>;<% } %>",
  "<% %w[a b].each_with_index do |x, i| -%>\n<%= i %>:<%= x %>\n<% end -%>\n",
  "<% { 'a' => 1, 'b' => 2 }.each do |k, v| -%>\n<%= k %>=<%= v %>\n<% end -%>\n",
  "<% case 'b' -%>\n<% when 'a' %>A<% when 'b', 'c' %>B<% else %>C<% end %>",
  "<% unless false %>u<% else %>e<% end %>",
  "<% if nil %>a<% elsif 2 > 1 %>b<% else %>c<% end %>",
  "<%= case 'x'\n  when 'y' then 'no'\n  when 'x'\n    'yes'\n  else\n    'else'\n  end %>",
  "<%=\n  if true\n    'multi'\n  end\n-%>\nnext",
  "<% x = if true\n  'a'\nelse\n  'b'\nend %><%= x %>",
  "<% list = []\nlist << 'a'\nlist << 'b' if true\nlist << 'c' unless true\n%><%= list.join(' ') %>",
  "<% text = 'a,b'\n   .split(',')\n   .map { |x| x.upcase }\n   .join('+') -%>\n<%= text %>",
  "<% a = 1; b = 2; c = a +\n  b %><%= c %>",
  "<% options = { 'a' => 1,\n  'b' => [1,\n   2],\n} %><%= options['b'].size %>",
  "<%= [1, 2].map do |x|\n x * 2\nend.join(',') rescue 'x' %>",
  "<%= true &&\n  'next line' %>",
  "<% if true # why not\n%>x<% end # done %>",
  "<% x = 'outer'\n['inner'].each do |y|\n  x = y\nend %><%= x %>",
  "<% [1].each do |i|\n  z = i\nend %><%= defined?(z).inspect %>",
  "<% [1, 2].each do |i|\n  z ||= i\n %><%= z %><% end %>",
  "<%= 'x' if false %>|",
  "<%= \"multi\nline\" %>",
  "<%= 'a' + # comment\n  'b' %>",
]

def answer(template)
  { "template" => template, "text" => ERB.new(template, trim_mode: "-").result(Object.new.instance_eval { binding }) }
rescue Exception => e # syntax errors too
  { "template" => template, "error" => e.class.name }
end

cases = EXPRESSIONS.gsub("\\\nb\"", "\\\u0000").split("\n").map { |e| "<%= #{e.gsub("\u0000", "\nb\"")} %>" } + TEMPLATES
$stderr = File.open(File::NULL, "w")
puts JSON.pretty_generate(cases.map { |t| answer(t) })
