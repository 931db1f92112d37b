package search

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drover/internal/job"
)

type person struct {
	name, notes string
	age         string
	born        string
	admin       string
	level       string
	owner       string
	tags        map[string]string
	groups      []string
}

func text(get func(p person) string) func(any, string) []string {
	return func(thing any, _ string) []string {
		if s := get(thing.(person)); s != "" {
			return []string{s}
		}
		return nil
	}
}

var people = Schema{
	{Name: "name", Default: true, Get: text(func(p person) string { return p.name })},
	{Name: "notes", Default: true, Get: text(func(p person) string { return p.notes })},
	{Name: "id", Type: Integer, ID: true, Get: text(func(p person) string { return p.age })},
	{Name: "age", Type: Integer, Default: true, Get: text(func(p person) string { return p.age })},
	{Name: "born", Type: Time, Get: text(func(p person) string { return p.born })},
	{Name: "admin", Type: Bool, Get: text(func(p person) string { return p.admin })},
	{Name: "level", Type: Enum, Values: []string{"low", "high"}, Get: text(func(p person) string { return p.level })},
	{Name: "owner", User: true, Get: text(func(p person) string { return p.owner })},
	{Name: "owner.name", Get: text(func(p person) string { return p.owner })},
	{Name: "group", Get: func(thing any, _ string) []string { return thing.(person).groups }},
	{Name: "tags", Keyed: true, Get: func(thing any, key string) []string {
		if v, ok := thing.(person).tags[key]; ok {
			return []string{v}
		}
		return nil
	}},
}

var (
	web = person{
		name: "web-01.example.org", notes: "Front Door", age: "30", born: "2026-03-09T22:15:08.25Z", admin: "true", level: "high", owner: "ann",
		tags: map[string]string{"site": "lab", "a.b": "c"}, groups: []string{"lab", "core"},
	}
	db   = person{name: "db_1", notes: "x", age: "7", born: "2026-03-10T00:00:00Z", admin: "false", level: "low", owner: "bob", tags: map[string]string{"site": ""}, groups: []string{"core"}}
	bare = person{name: "bare"}
)

// what says which of web, db and bare meet a query.
func what(q *Query) string {
	var s []string
	for _, p := range []person{web, db, bare} {
		if q.Match(p) {
			s = append(s, map[string]string{web.name: "web", db.name: "db", bare.name: "bare"}[p.name])
		}
	}
	return strings.Join(s, " ")
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		// Text.
		{`name = web-01.example.org`, "web"},
		{`name == WEB-01.example.org`, ""},
		{`name != db_1`, "web bare"},
		{`name ^ (db_1, bare)`, "db bare"},
		{`name ^ (DB_1)`, ""},
		{`name !^ (db_1)`, "web bare"},
		{`name ~ WEB`, "web"},
		{`name ~ *.example.org`, "web"},
		{`name ~ %.EXAMPLE.org`, "web"},
		{`name ~ example*`, ""},
		{`name ~ web*org`, "web"},
		{`name ~ *`, "web db bare"},
		{`name ~ web_01`, "web"},
		{`name ~ b_r`, "bare"},
		{`name ~ ba_e`, "bare"},
		{`name ~ _b*`, "db"},
		{`name !~ web`, "db bare"},
		{`name > c`, "web db"},
		{`name <= bare`, "bare"},
		// Null.
		{`notes != x`, "web"},
		{`notes !~ x`, "web"},
		{`notes !^ (x)`, "web"},
		{`not notes = x`, "web bare"},
		{`not notes != x`, "db bare"},
		{`set? notes`, "web db"},
		{`has notes`, "web db"},
		{`null? notes`, "bare"},
		{`not null? notes`, "web db"},
		{`not (notes = x or age = 30)`, "bare"},
		{`not (not notes = x)`, "db"},
		// Keys.
		{`tags.site = lab`, "web"},
		{`tags.site = ""`, "db"},
		{`set? tags.site`, "web db"},
		{`tags.a.b = c`, "web"},
		{`tags.nowhere = x`, ""},
		{`null? tags.nowhere`, "web db bare"},
		// Several values.
		{`group = lab`, "web"},
		{`group = core`, "web db"},
		{`group != lab`, "db"},
		{`group !~ la*`, "db"},
		{`not group = lab`, "db bare"},
		// Numbers.
		{`id = 30`, "web"},
		{`id != 30`, "db"},
		{`id ^ (7, 30)`, "web db"},
		{`id !^ (7)`, "web"},
		{`age > 7`, "web"},
		{`age >= 7`, "web db"},
		{`age < 7.5`, "db"},
		{`age <= 30`, "web db"},
		{`age = 7.0`, "db"},
		// Whether, and which.
		{`admin = true`, "web"},
		{`admin != true`, "db"},
		{`admin = false`, "db"},
		{`admin`, "web"},
		{`not admin`, "db bare"},
		{`level = high`, "web"},
		{`level != high`, "db"},
		{`level ^ (low, high)`, "web db"},
		// Who asks.
		{`owner = current_user`, "web"},
		{`owner != current_user`, "db"},
		{`owner.name = current_user`, ""},
		{`owner.name = ann`, "web"},
		// Bare words: default fields, text by what it holds, numbers as a whole.
		{`front`, "web"},
		{`door example`, "web"},
		{`7`, "db"},
		{`30`, "web"},
		{`01`, "web"},
		{`nothing`, ""},
		{`*door`, "web"},
		{`= x`, "db"},
		{`!= x`, "web db bare"},
		{`~ b`, "web db bare"},
		{`> 20`, "web"},
		{`^ (x, bare)`, "db bare"},
		{`^ (7)`, "db"},
		// Time, at half past two on the tenth of March.
		{`born = yesterday`, "web"},
		{`born = today`, "db"},
		{`born = Tomorrow`, ""},
		{`born != today`, "web"},
		{`born > yesterday`, "db"},
		{`born >= yesterday`, "web db"},
		{`born < today`, "web"},
		{`born <= today`, "web db"},
		{`born <= yesterday`, "web"},
		{`born = 2026-03-09`, "web"},
		{`born ^ (2026-03-09, today)`, "web db"},
		{`born = 2026-03`, "web db"},
		{`born > 2026-02`, "web db"},
		{`born > 2026-03`, ""},
		{`born = "2026-03-09 22"`, "web"},
		{`born = "2026-03-09 22:15"`, "web"},
		{`born = "2026-03-09 22:16"`, ""},
		{`born = 2026-03-09T22:15:08Z`, "web"},
		{`born = 2026-03-09T22:15:08.25Z`, "web"},
		{`born = 2026-03-09T22:15:08.24Z`, ""},
		{`born = "2026-03-09 22:15:08 UTC"`, "web"},
		{`born = 2026-03-09T23:15:08+01:00`, "web"},
		{`born = "2026-03-09 17:15:08 -0500"`, "web"},
		{`born > "2026-03-09 22:15"`, "web db"},
		{`born > "2026-03-09 22:16"`, "db"},
		{`born <= "2026-03-09 22:15"`, ""},
		{`born < "2026-03-09 22:16"`, "web"},
		{`born = "1 day ago"`, "web"},
		{`born = "1 days  ago"`, "web"},
		{`born > "2 weeks ago"`, "web db"},
		{`born > "1 month ago"`, "web db"},
		{`born > "16 hours ago"`, "db"},
		{`born > "20 Hours ago"`, "web db"},
		{`born < "5 minutes from now"`, "web db"},
		{`born > "1 year from now"`, ""},
		{`born = "870 minutes ago"`, "db"},
		{`born = "869 minutes ago"`, ""},
		// How conditions go together.
		{`name ~ web or name ~ db and notes = x`, "web db"},
		{`(name ~ web or name ~ db) and notes = x`, "db"},
		{`name ~ b name ~ e`, "web bare"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			for _, mode := range []Mode{Strict, Lenient} {
				q, err := Compile(tt.query, people, mode, env)
				if err != nil {
					t.Fatal(err)
				}
				if got := what(q); got != tt.want {
					t.Errorf("mode %d finds %q; want %q", mode, got, tt.want)
				}
			}
		})
	}
}

func TestLenientReadingOfWhatIsIncomplete(t *testing.T) {
	for query, want := range map[string]string{
		``:                "web db bare",
		`()`:              "web db bare",
		`not`:             "web db bare",
		`""`:              "web db bare",
		`name = `:         "",
		`notes = x or`:    "db",
		`name ^ () x`:     "",
		`notes = x) door`: "db",
	} {
		q, err := Compile(query, people, Lenient, env)
		if err != nil {
			t.Errorf("%q: %v", query, err)
			continue
		}
		if got := what(q); got != want {
			t.Errorf("%q finds %q; want %q", query, got, want)
		}
		if _, err := Compile(query, people, Strict, env); job.CodeOf(err) != job.Invalid {
			t.Errorf("%q, strictly: %v", query, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		query, want string
		at          int
	}{
		{`x = 1`, `Field 'x' not recognized for searching!`, 0},
		{`name = a and x = 1`, `Field 'x' not recognized for searching!`, 13},
		{`set? x`, `Field 'x' not recognized for searching!`, 5},
		{`Name = a`, `Field 'Name' not recognized for searching!`, 0},
		{`name.x = a`, `Field 'name.x' not recognized for searching!`, 0},
		{`tags = a`, `Field 'tags' not recognized for searching!`, 0},
		{`tags. = a`, `Field 'tags.' not recognized for searching!`, 0},
		{`id = abc`, `Value 'abc' is not valid for field 'id'`, 5},
		{`id = 1.5`, `Value '1.5' is not valid for field 'id'`, 5},
		{`id ^ (1, b)`, `Value 'b' is not valid for field 'id'`, 5},
		{`age > many`, `Value 'many' is not valid for field 'age'`, 6},
		{`born = soon`, `Value 'soon' is not valid for field 'born'`, 7},
		{`born = "9999999 days ago"`, `Value '9999999 days ago' is not valid for field 'born'`, 7},
		{`born = "999999 years ago"`, `Value '999999 years ago' is not valid for field 'born'`, 7},
		{`born = "2026-03-09 22:15 XYZ"`, `Value '2026-03-09 22:15 XYZ' is not valid for field 'born'`, 7},
		{`admin = maybe`, `'admin' should be one of 'true, false', but the query was 'maybe'`, 8},
		{`level = x`, `'level' should be one of 'low, high', but the query was 'x'`, 8},
		{`level ^ (low, x)`, `'level' should be one of 'low, high', but the query was 'x'`, 8},
		{`level > low`, `the operator 'gt' is not supported for field 'level'`, 0},
		{`id ~ 1`, `the operator 'like' is not supported for field type 'integer'`, 0},
		{`id !~ 1`, `the operator 'unlike' is not supported for field type 'integer'`, 0},
		{`born ~ 1`, `the operator 'like' is not supported for field type 'datetime'`, 0},
		{`admin ~ t`, `the operator 'like' is not supported for field type 'boolean'`, 0},
		{`> soon`, `there is no field that can be searched for 'soon' without naming it`, 0},
	} {
		t.Run(tt.query, func(t *testing.T) {
			for _, mode := range []Mode{Strict, Lenient} {
				_, err := Compile(tt.query, people, mode, env)
				var why *Error
				if !errors.As(err, &why) {
					t.Fatalf("%v", err)
				}
				if why.Message != tt.want || why.At != tt.at {
					t.Errorf("%q at %d; want %q at %d", why.Message, why.At, tt.want, tt.at)
				}
				var outer *job.Error
				if !errors.As(err, &outer) || outer.Code != job.Invalid || outer.Field != "search" || !strings.HasPrefix(outer.Message, tt.want+" (at byte ") {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

func TestStrictRefusesAnEmptyText(t *testing.T) {
	for _, query := range []string{`""`, `name ~ ""`, `name !~ ""`, `~ ""`} {
		if _, err := Compile(query, people, Strict, env); err == nil || !strings.Contains(err.Error(), "an empty text") {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestValues(t *testing.T) {
	q, err := Compile(`name ^ (a, b) or not name = c and name ~ d tags.site != x tags.room = y owner = current_user`, people, Strict, env)
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{"name": "a b c", "tags.site": "x", "tags.room": "y", "owner": "ann", "age": ""} {
		if got := strings.Join(q.Values(field), " "); got != want {
			t.Errorf("%s: %q; want %q", field, got, want)
		}
	}
}

// TestStrictNarrows says that strict reading selects nothing that lenient
// reading does not, for any text.
func TestStrictNarrows(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		"name", "notes", "age", "tags.site", "web", "7", `"a b"`, "=", "!=", "~", "!~", "^", "!^", ">", "(", ")", ",", "and", "or", "not", "!", "set?", "null?", "x", "lab", `"`,
	})
	rapid.Check(t, func(t *rapid.T) {
		query := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), " ")
		strict, err := Compile(query, people, Strict, env)
		if err != nil {
			return
		}
		lenient, err := Compile(query, people, Lenient, env)
		if err != nil {
			t.Fatalf("%s is refused only when read leniently: %v", query, err)
		}
		for _, p := range []person{web, db, bare} {
			if strict.Match(p) && !lenient.Match(p) {
				t.Fatalf("%s: only strict reading finds %s", query, p.name)
			}
		}
	})
}

func TestNegation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := genTree(2).Draw(t, "tree")
		plain, err := Compile(tree.query(), people, Lenient, env)
		if err != nil {
			return
		}
		negated, err := Compile("not ("+tree.query()+")", people, Lenient, env)
		if err != nil {
			t.Fatalf("not (%s): %v", tree.query(), err)
		}
		for _, p := range []person{web, db, bare} {
			if plain.Match(p) == negated.Match(p) {
				t.Fatalf("%s and its negation agree about %s", tree.query(), p.name)
			}
		}
	})
}

// TestPatterns compares with the obvious way of matching, which may take long.
func TestPatterns(t *testing.T) {
	var slow func(p, s string) bool
	slow = func(p, s string) bool {
		switch {
		case p == "":
			return s == ""
		case p[0] == '*' || p[0] == '%':
			return slow(p[1:], s) || s != "" && slow(p, s[1:])
		case s == "":
			return false
		}
		return (p[0] == '_' || p[0] == s[0]) && slow(p[1:], s[1:])
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[ab*%_.]{0,7}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[ab._*]{0,9}`).Draw(t, "text")
		whole := p
		if !strings.ContainsAny(p, "*%") {
			whole = "*" + p + "*"
		}
		if got, want := newPattern(p)(s), slow(whole, s); got != want {
			t.Fatalf("%q like %q: %v", s, p, got)
		}
	})
	if !newPattern(`GRÜ*e`)("grüße") || !newPattern("Ü_E")("grüße") {
		t.Error("case or characters are not those of people")
	}
}

func TestPatternsTakeNoLonger(t *testing.T) {
	text := strings.Repeat("a", 1<<13)
	begin := time.Now()
	for _, p := range []string{strings.Repeat("*a", 500) + "b", strings.Repeat("a_", 500) + "b", strings.Repeat("*_a", 300) + "*b"} {
		if newPattern(p)(text) {
			t.Errorf("%.10s… fits", p)
		}
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestSortKey(t *testing.T) {
	f, key, down, err := people.SortKey("tags.site DESC")
	if err != nil || f.Name != "tags" || key != "site" || !down {
		t.Errorf("%v %q %v %v", f.Name, key, down, err)
	}
	if f, _, down, err := people.SortKey("name"); err != nil || f.Name != "name" || down {
		t.Errorf("%v %v %v", f.Name, down, err)
	}
	if _, _, down, err := people.SortKey("name asc"); err != nil || down {
		t.Errorf("%v %v", down, err)
	}
	for _, order := range []string{"", "x", "name up", "name DESC age"} {
		_, _, _, err := people.SortKey(order)
		var why *Error
		if job.CodeOf(err) != job.Invalid || !errors.As(err, &why) {
			t.Errorf("%q: %v", order, err)
		}
	}
}

func TestCompare(t *testing.T) {
	order := func(by string) string {
		f, key, _, err := people.SortKey(by)
		if err != nil {
			t.Fatal(err)
		}
		all := []person{bare, web, db}
		slices.SortStableFunc(all, func(a, b person) int { return f.Compare(a, b, key) })
		var names []string
		for _, p := range all {
			names = append(names, p.name[:2])
		}
		return strings.Join(names, " ")
	}
	for by, want := range map[string]string{
		"name": "ba db we", "age": "db we ba", "born": "we db ba", "level": "db we ba", "tags.site": "db we ba", "admin": "db we ba", "group": "we db ba",
	} {
		if got := order(by); got != want {
			t.Errorf("by %s: %s; want %s", by, got, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`name = a`, `name ^ (a, b)`, `not (a or b) c`, `tags.site ~ l*b`, `born > "2 days ago"`, `set? notes`, `name = "a\"b`, `((((`, `))`, `= = =`, "\xff", `^ ((a), ,`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		strict, errStrict := Compile(query, people, Strict, env)
		lenient, errLenient := Compile(query, people, Lenient, env)
		for _, err := range []error{errStrict, errLenient} {
			var why *Error
			if err != nil && (!errors.As(err, &why) || why.At < 0 || why.At > len(query) || why.Message == "") {
				t.Fatalf("%v", err)
			}
		}
		if errStrict == nil && errLenient != nil {
			t.Fatalf("refused only when read leniently: %v", errLenient)
		}
		for _, p := range []person{web, db, bare} {
			if errLenient == nil {
				lenient.Match(p)
			}
			if errStrict == nil && strict.Match(p) && !lenient.Match(p) {
				t.Fatalf("only strict reading finds %s", p.name)
			}
		}
	})
}
