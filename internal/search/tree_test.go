package search

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// String writes a tree as the tables below do.
func (n *node) String() string {
	if n == nil {
		return "everything"
	}
	switch n.kind {
	case and, or, not:
		kids := make([]string, len(n.kids))
		for i, k := range n.kids {
			kids[i] = k.String()
		}
		return symbols[n.kind] + "(" + strings.Join(kids, ", ") + ")"
	case null, notnull:
		return symbols[n.kind] + "(" + n.field + ")"
	case word:
		return "keyword(" + n.values[0] + ")"
	case in, notin:
		return symbols[n.kind] + "(" + n.subject() + "[" + strings.Join(n.values, " ") + "])"
	}
	return symbols[n.kind] + "(" + n.subject() + n.values[0] + ")"
}

func (n *node) subject() string {
	if n.hasField {
		return n.field + ", "
	}
	return ""
}

// query writes a tree as a query that has it.
func (n *node) query() string {
	switch n.kind {
	case and, or:
		kids := make([]string, len(n.kids))
		for i, k := range n.kids {
			kids[i] = k.query()
		}
		return "(" + strings.Join(kids, " "+symbols[n.kind]+" ") + ")"
	case not:
		return "not (" + n.kids[0].query() + ")"
	case null:
		return "null? " + quote(n.field)
	case notnull:
		return "set? " + quote(n.field)
	case word:
		return quote(n.values[0])
	}
	var s string
	if n.hasField {
		s = quote(n.field) + " "
	}
	s += map[kind]string{like: "~", unlike: "!~", eq: "=", ne: "!=", gt: ">", lt: "<", gte: ">=", lte: "<=", in: "^", notin: "!^"}[n.kind] + " "
	if n.kind == in || n.kind == notin {
		values := make([]string, len(n.values))
		for i, v := range n.values {
			values[i] = quote(v)
		}
		return s + "(" + strings.Join(values, ", ") + ")"
	}
	return s + quote(n.values[0])
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// TestTrees has every row of the specification's table, and what it says about
// tokens.
func TestTrees(t *testing.T) {
	const refused = "refused"
	for _, tt := range []struct {
		query   string
		lenient string // the tree, or what the message holds after "error: "
		strict  string // "": the same; else "refused" and what the message holds
	}{
		{`name = a`, `eq(name, a)`, ``},
		{`name ^ (a, b)`, `in(name, [a b])`, ``},
		{`name ^ (a b)`, `in(name, [a b])`, ``},
		{`name ^ a, b`, `and(in(name, [a]), keyword(b))`, ``},
		{`a and b or c`, `and(keyword(a), or(keyword(b), keyword(c)))`, ``},
		{`a or b and c`, `or(keyword(a), and(keyword(b), keyword(c)))`, ``},
		{`name = a name = b or os = c`, `and(eq(name, a), or(eq(name, b), eq(os, c)))`, ``},
		{`not name = a and os = b`, `and(not(eq(name, a)), eq(os, b))`, ``},
		{`name="ok hosts",controller="hosts"`, `and(eq(name, ok hosts), eq(controller, hosts))`, ``},
		{`name = a = b`, `and(eq(name, a), eq(b))`, ``},
		{`name = `, `keyword(name)`, refused + ` at 5: no value follows '='`},
		{`name ^ ()`, `keyword(name)`, refused + ` at 7: the list after '^' has no values`},
		{`name = and`, `keyword(name)`, refused + ` at 7: Value expected but found :and`},
		{`^ (a,b)`, `in([a b])`, ``},
		{`name ! a`, `and(keyword(name), not(keyword(a)))`, ``},
		{`name = !a`, `error at 7: Value expected but found :not`, ``},
		{`name => a`, `error at 6: Value expected but found :gt`, ``},
		{`!() x`, `error at 1: Empty list of operands`, ``},
		{`name ^ (a) (b`, `and(in(name, [a]), keyword(b))`, refused + ` at 11: the '(' is not closed`},
		{`name = a) and os = b`, `eq(name, a)`, refused + ` at 8: a ')' closes nothing`},
		{`name = a or`, `eq(name, a)`, refused + ` at 9: nothing follows 'or'`},
		{`a and`, `keyword(a)`, refused + ` at 2: nothing follows 'and'`},
		{`or a`, `keyword(a)`, refused + ` at 0: nothing stands before 'or'`},
		{``, `everything`, refused + ` at 0: an empty query would select everything`},
		{`()`, `everything`, refused + ` at 0: Empty list of operands`},
		{`!()`, `everything`, refused + ` at 1: Empty list of operands`},
		{`not`, `everything`, refused + ` at 0: nothing follows 'not'`},

		{"a\tb\nc", `and(keyword(a), keyword(b), keyword(c))`, ``},
		{`a & b && c`, `and(keyword(a), keyword(b), keyword(c))`, ``},
		{`a | b || c`, `or(keyword(a), keyword(b), keyword(c))`, ``},
		{`a AND b Or NOT c`, `and(keyword(a), or(keyword(b), not(keyword(c))))`, ``},
		{`- a`, `not(keyword(a))`, ``},
		{`-a !b`, `and(not(keyword(a)), not(keyword(b)))`, ``},
		{`web-01 a!b c^d 10.0.0.0/8 a"b x:y *.z`, `and(keyword(web-01), keyword(a!b), keyword(c^d), keyword(10.0.0.0/8), keyword(a"b), keyword(x:y), keyword(*.z))`, ``},
		{`a~b`, `like(a, b)`, ``},
		{`a !~ b`, `unlike(a, b)`, ``},
		{`a == b`, `eq(a, b)`, ``},
		{`a != b`, `ne(a, b)`, ``},
		{`a<>b`, `ne(a, b)`, ``},
		{`a>b a<b a>=b a<=b`, `and(gt(a, b), lt(a, b), gte(a, b), lte(a, b))`, ``},
		{`a before b, a after b, a at b`, `and(lt(a, b), gt(a, b), eq(a, b))`, ``},
		{`a !^ (b)`, `notin(a, [b])`, ``},
		{`set? a has b null? c`, `and(notnull(a), notnull(b), null(c))`, ``},
		{`not set? a`, `not(notnull(a))`, ``},
		{`not not a`, `not(not(keyword(a)))`, ``},
		{`not (a b)`, `not(and(keyword(a), keyword(b)))`, ``},
		{`not a b`, `and(not(keyword(a)), keyword(b))`, ``},
		{`"and" "a \"b\" \\c"`, `and(keyword(and), keyword(a "b" \c))`, ``},
		{`'a b'`, `and(keyword('a), keyword(b'))`, ``},
		{`name = "a b`, `eq(name, a b)`, refused + ` at 7: the quote is not closed`},
		{`name = "a\`, `eq(name, a)`, refused + ` at 7: the quote is not closed`},
		{`= a`, `eq(a)`, ``},
		{`~ a`, `like(a)`, ``},
		{`^ a`, `in([a])`, ``},
		{`name ^ a`, `in(name, [a])`, ``},
		{`name ^ (" a ", "b,c")`, `in(name, [a b c])`, ``},
		{`name ^ ("", a)`, `in(name, [a])`, ``},
		{`name ^ (a and b)`, `in(name, [a b])`, refused + ` at 10: 'and' cannot be in a list`},
		{`name ^ () b`, `and(in(name, []), keyword(b))`, refused + ` at 7: the list after '^' has no values`},
		{`name ^ (a`, `in(name, [a])`, refused + ` at 7: the '(' is not closed`},
		{`name ^`, `keyword(name)`, refused + ` at 5: no value follows '^'`},
		{`name = (a)`, `error at 7: Value expected but found :lparen`, ``},
		{`((a) b)`, `and(keyword(a), keyword(b))`, ``},
		{`(a or b) and c`, `and(or(keyword(a), keyword(b)), keyword(c))`, ``},
		{`a and or b`, `and(keyword(a), keyword(b))`, refused + ` at 6: nothing stands before 'or'`},
		{`(a and) b`, `error at 6: Value expected but found :rparen`, refused + ` at 3: nothing follows 'and'`},
		{`(not) b`, `error at 4: Value expected but found :rparen`, refused + ` at 1: nothing follows 'not'`},
		{`, a`, `keyword(a)`, refused + ` at 0: nothing stands before ','`},
		{`a,`, `keyword(a)`, refused + ` at 1: nothing follows ','`},
		{`a,,b`, `and(keyword(a), keyword(b))`, refused + ` at 1: nothing follows ','`},
		{`a and , b`, `and(keyword(a), keyword(b))`, refused + ` at 2: nothing follows 'and'`},
		{`not , b`, `not(keyword(b))`, refused + ` at 4: nothing stands before ','`},
		{`set?`, `everything`, refused + ` at 0: no value follows 'set?'`},
		{`set? (a)`, `error at 5: Value expected but found :lparen`, ``},
	} {
		t.Run(tt.query, func(t *testing.T) {
			check := func(mode Mode, want string) {
				t.Helper()
				tree, err := parse(tt.query, mode)
				got := tree.String()
				if err != nil {
					got = fmt.Sprintf("error at %d: %s", err.At, err.Message)
				}
				if !strings.HasPrefix(got, want) || !strings.HasPrefix(want, "error") && got != want {
					t.Errorf("mode %d: %s; want %s", mode, got, want)
				}
			}
			check(Lenient, tt.lenient)
			if tt.strict == "" {
				check(Strict, tt.lenient)
			} else {
				check(Strict, strings.Replace(tt.strict, refused, "error", 1))
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct{ name, query, want string }{
		{"nesting", strings.Repeat("(", 100_000) + "a", "nested deeper than 64"},
		{"negations", strings.Repeat("not ", 60_000) + "a", "nested deeper than 64"},
		{"conditions", strings.Repeat("a or ", MaxConditions) + "a", "more than 256 conditions"},
		{"length", strings.Repeat("a", MaxQuery+1), "more than 262144"},
		{"pattern", "name ~ " + strings.Repeat("a", MaxPattern+1), "more than 1024"},
		{"encoding", "name = \xff", "not UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range []Mode{Strict, Lenient} {
				if _, err := Compile(tt.query, people, mode, env); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("mode %d: %.200v", mode, err)
				}
			}
		})
	}
	names := "name ^ (" + strings.Repeat("host.example.org, ", 10_000) + "b)"
	if _, err := Compile(names, people, Strict, env); err != nil {
		t.Errorf("a list of 10,000 names: %v", err)
	}
	if _, err := Compile(strings.Repeat("(", MaxDepth)+"a"+strings.Repeat(")", MaxDepth), people, Strict, env); err != nil {
		t.Errorf("the deepest nesting: %v", err)
	}
	if _, err := Compile(strings.Repeat("(a) ", MaxConditions), people, Strict, env); err != nil {
		t.Errorf("groups side by side are not nested: %v", err)
	}
}

// genTree makes trees that parse can make: a junction's kids are of another kind.
func genTree(depth int) *rapid.Generator[*node] {
	return rapid.Custom(func(t *rapid.T) *node {
		text := rapid.String()
		name := rapid.SampledFrom([]string{"name", "age", "born", "admin", "level", "notes", "tags.site", "tags.x.y"})
		kinds := []kind{word, null, notnull, like, unlike, eq, ne, gt, lt, gte, lte, in, notin}
		if depth > 0 {
			kinds = append(kinds, and, or, not)
		}
		n := &node{kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
		switch n.kind {
		case and, or:
			for range rapid.IntRange(2, 4).Draw(t, "kids") {
				kid := genTree(depth-1).Filter(func(k *node) bool { return k.kind != n.kind }).Draw(t, "kid")
				n.kids = append(n.kids, kid)
			}
		case not:
			n.kids = []*node{genTree(depth-1).Draw(t, "kid")}
		case word:
			n.values = []string{text.Draw(t, "word")}
		case null, notnull:
			n.field, n.hasField = name.Draw(t, "field"), true
		default:
			if n.hasField = rapid.Bool().Draw(t, "has field"); n.hasField {
				n.field = name.Draw(t, "field")
			}
			if n.kind == in || n.kind == notin {
				value := rapid.StringMatching(`[a-z"\\()!=.*-]([a-z "\\()=&|]*[a-z"\\()])?`)
				n.values = rapid.SliceOfN(value, 1, 4).Draw(t, "values")
			} else {
				n.values = []string{text.Draw(t, "value")}
			}
		}
		return n
	})
}

func TestTreesPrintAndParseBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genTree(3).Draw(t, "tree")
		for _, mode := range []Mode{Strict, Lenient} {
			got, err := parse(want.query(), mode)
			if err != nil {
				t.Fatalf("%s: %v at %d", want.query(), err, err.At)
			}
			if got.String() != want.String() {
				t.Fatalf("%s is %s; want %s", want.query(), got, want)
			}
		}
	})
}

var env = Env{Now: time.Date(2026, 3, 10, 14, 30, 20, 0, time.UTC), User: "ann"}
