package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "drover/"

// file is a Go file of the module.
type file struct {
	path    string // from the module's root
	pkg     string // its folder, as rules name it
	test    bool
	lines   int
	source  string
	syntax  *ast.File
	imports []string
}

// files reads every Go file of the module.
func files(t *testing.T) []file {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var found []file
	fset := token.NewFileSet()
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		if d.IsDir() {
			if base := d.Name(); name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "build" || base == "cdk.out" || base == "node_modules" || base == "data") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(fset, name, source, parser.ParseComments)
		if err != nil {
			return err
		}
		f := file{path: filepath.ToSlash(rel), test: strings.HasSuffix(name, "_test.go"), source: string(source), syntax: syntax,
			lines: strings.Count(string(source), "\n")}
		f.pkg = relative(module + path.Dir(f.path))
		for _, i := range syntax.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, p)
		}
		found = append(found, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Fatalf("only %d files under %s", len(found), root)
	}
	return found
}

// relative turns an import path of ours into a rule's name.
func relative(importPath string) string {
	p := strings.TrimPrefix(importPath, module)
	if inner, ok := strings.CutPrefix(p, "internal/"); ok {
		return inner
	}
	return "/" + p
}

// matches reports whether a rule's name stands for a package.
func matches(name, pkg string) bool {
	switch {
	case name == "..." || name == pkg:
		return true
	case name == "*test":
		return isTest(pkg)
	}
	ok, _ := path.Match(name, pkg)
	return ok && !isTest(pkg) // "api/*" are the families
}

func isTest(pkg string) bool { return strings.HasSuffix(pkg, "test") }

func oneOf(names []string, pkg string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return matches(n, pkg) })
}

// ruleFor prefers the rule with the very name.
func ruleFor(pkg string) (rule, bool) {
	i := slices.IndexFunc(rules, func(r rule) bool { return r.pkg == pkg })
	if i < 0 {
		i = slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, pkg) })
	}
	if i < 0 {
		return rule{}, false
	}
	return rules[i], true
}

func TestImports(t *testing.T) {
	for _, f := range files(t) {
		r, ok := ruleFor(f.pkg)
		if !ok {
			t.Errorf("%s: package %s has no rule: give it one, with its reason", f.path, f.pkg)
			continue
		}
		if f.test {
			continue
		}
		for _, i := range f.imports {
			if !strings.HasPrefix(i, module) {
				continue
			}
			if to := relative(i); !oneOf(r.may, to) {
				t.Errorf("%s imports %s, which %s may not: %s", f.path, to, f.pkg, r.why)
			}
		}
	}
}

// TestSuitesAreForTests: what proves a port is linked into no binary that runs
// anywhere but in a checkout.
func TestSuitesAreForTests(t *testing.T) {
	for _, f := range files(t) {
		for _, i := range f.imports {
			if !f.test && !isTest(f.pkg) && !strings.HasPrefix(f.pkg, "/scripts/") && strings.HasPrefix(i, module) && isTest(relative(i)) {
				t.Errorf("%s imports the suite %s outside of a test", f.path, i)
			}
			if !f.test && !isTest(f.pkg) && (i == "testing" || strings.HasPrefix(i, "testing/")) && i != "testing/fstest" {
				t.Errorf("%s imports %s outside of a test", f.path, i)
			}
		}
	}
}

func TestOutsideImports(t *testing.T) {
	for _, f := range files(t) {
		for _, i := range f.imports {
			for _, r := range outsideRules {
				if i != r.path && !strings.HasPrefix(i, r.path+"/") || f.test && !r.test || oneOf(r.may, f.pkg) {
					continue
				}
				t.Errorf("%s imports %s, which is for %v: %s", f.path, i, r.may, r.why)
			}
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, f := range files(t) {
		if name := strings.TrimSuffix(f.syntax.Name.Name, "_test"); slices.Contains(forbiddenNames, name) {
			t.Errorf("%s: a package named %s says nothing about what is in it", f.path, name)
		}
		if f.pkg == f.syntax.Name.Name && strings.ContainsAny(f.pkg, "_ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			t.Errorf("%s: package names are one lower-case word", f.path)
		}
	}
}

func TestMainsAreShort(t *testing.T) {
	mains := 0
	for _, f := range files(t) {
		if !strings.HasPrefix(f.path, "functions/") || f.test {
			continue
		}
		mains++
		if path.Base(f.path) != "main.go" {
			t.Errorf("%s: a function is one main.go; what else it needs belongs inward", f.path)
		}
		if f.lines >= 40 {
			t.Errorf("%s has %d lines; a main reads config, wires and starts in under forty", f.path, f.lines)
		}
	}
	if mains == 0 {
		t.Error("no functions found")
	}
}

// TestVendorWords: vendors disagree on every word, so none of theirs gets in.
func TestVendorWords(t *testing.T) {
	for word, places := range vendorWords {
		identifier := regexp.MustCompile(`(?i)` + word)
		for _, f := range files(t) {
			if f.test || oneOf(places, f.pkg) || strings.HasSuffix(f.pkg, "test") || strings.HasPrefix(f.pkg, "/cmd/") {
				continue
			}
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					if identifier.MatchString(n.Name) {
						t.Errorf("%s: the vendor's word %q in the identifier %s", f.path, word, n.Name)
					}
				case *ast.BasicLit:
					if n.Kind == token.STRING && identifier.MatchString(n.Value) {
						t.Errorf("%s: the vendor's word %q in the text %s", f.path, word, n.Value)
					}
				}
				return true
			})
		}
	}
}

// TestRulesHaveReasons keeps the tables honest.
func TestRulesHaveReasons(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules {
		if r.why == "" || seen[r.pkg] {
			t.Errorf("rule for %s: without a reason, or twice", r.pkg)
		}
		seen[r.pkg] = true
	}
	for _, r := range outsideRules {
		if r.why == "" {
			t.Errorf("rule for %s has no reason", r.path)
		}
	}
}

// TestMatching tests the test.
func TestMatching(t *testing.T) {
	for _, c := range []struct {
		name, pkg string
		want      bool
	}{
		{"api/*", "api/enms", true},
		{"api/*", "api/apitest", false},
		{"api/*", "api/enms/x", false},
		{"job", "job", true},
		{"job", "jobs", false},
		{"*test", "store/storetest", true},
		{"/functions/*", "/functions/enms", true},
		{"...", "anything", true},
	} {
		if got := matches(c.name, c.pkg); got != c.want {
			t.Errorf("%s matches %s: %v", c.name, c.pkg, got)
		}
	}
}
