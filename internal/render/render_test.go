package render_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drover/internal/job"
	"drover/internal/render"
)

const payload = `{"aid":"1-2-3","n":5,"l":["a","b"],"d":{"k":"v"},"b":true,"none":null,"f":1.50,
	"q":"it's","uni":"Zoë 中文","big":123456789012345678901234567890,"nested":[[1,2.0],{"x":[null,false]}],
	"form":{"form_only":"form","shared":"form","str":"shadow"},
	"variables":{"vlan":10,"shared":"global","device":"hidden","devices":{"R1":{"own":"r1","shared2":"device"},"R2":{"own":"r2"}},"shared2":"global","sec":{"deep":1}}}`

func r1() *job.Device {
	return &job.Device{
		Meta: job.Meta{ID: 7, Name: "R1"}, Address: "10.0.0.1", Port: 2222, Platform: "linux", Model: "Arista", Vendor: "V", Location: "L",
		OperatingSystem: "EOS", OSVersion: "4", Description: "D", Labels: map[string]string{"site": "lab", "name": "shadow", "get": "label"},
	}
}

func env() render.Env {
	return render.Env{
		Device:  r1(),
		Devices: func() ([]job.Device, error) { return []job.Device{*r1(), {Meta: job.Meta{ID: 8, Name: "R2"}}}, nil },
		Payload: json.RawMessage(payload),
		User:    render.User{Name: "ops", Email: "ops@example.net"},
		Server:  render.Server{Name: "drover", URL: "https://drover", Address: "192.0.2.1"},
	}
}

// The published vectors, and those beside them.
func TestTemplate(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`show {{device.name}}`, `show R1`},
		{`{{ device.name }} x {{payload["aid"]}}`, `R1 x 1-2-3`},
		{`{{payload["n"]}}`, `5`},
		{`{{payload["l"]}}`, `['a', 'b']`},
		{`{{payload["d"]}}`, `{'k': 'v'}`},
		{`{{payload["b"]}}`, `True`},
		{`{{payload["none"]}}`, `None`},
		{`{{payload["f"]}}`, `1.5`},
		{`{{payload["n"]+1}}`, `6`},
		{`{{device}}`, `R1 (Arista)`},
		{`{{[device]}}`, `[R1 (Arista)]`},
		{`{{"x" if payload["b"] else "y"}}`, `x`},
		{`{{payload.get("zz")}}`, `None`},
		{`{{payload.get("zz","dflt")}}`, `dflt`},
		{`{{', '.join(payload['l'])}}`, `a, b`},
		{`{{}}`, ``},
		{"{{device.\nname}}", "{{device.\nname}}"},

		{"a {{\n}} {{device.name}} }} {{", "a {{\n}} R1 }} {{"},
		{"{{device.name}}{{device.name}}\n{{device.port}}", "R1R1\n2222"},
		{"{ {x} }} {{", "{ {x} }} {{"},
		{`--format {{"{{"}}.Names}}`, `--format {{.Names}}`}, // one pass
		{`{{"{{device.name"}}`, `{{device.name`},
		{`{{"{}-{}".format(1, "a")}}`, `1-a`},
		{`{{device.address}} {{device.ip_address}} {{device.id}} {{device.platform}}`, `10.0.0.1 10.0.0.1 7 linux`},
		{`{{device.vendor + device.location + device.os_version + device.operating_system + device.description + device.model}}`, `VL4EOSDArista`},
		{`{{device.labels.site}} {{device.labels["site"]}} {{device.site}} {{device.labels.get}}`, `lab lab lab label`},
		{`{{device.labels.items()}}`, `dict_items([('get', 'label'), ('name', 'shadow'), ('site', 'lab')])`},
		{`{{devices}} {{len(devices)}} {{[d.name for d in devices]}}`, `[R1 (Arista), R2] 2 ['R1', 'R2']`},
		{`{{device == devices[0]}} {{device in devices}} {{device == devices[1]}} {{device == "R1"}}`, `True True False False`},
		{`{{parent_device.name}} {{workflow}} {{placeholder}}`, `R1 None None`},
		{`{{user}} {{server["url"]}}`, `{'name': 'ops', 'email': 'ops@example.net'} https://drover`},
		{`{{vlan}} {{get_var("vlan")}} {{form_only}}`, `10 10 form`},
		{`{{own}} {{shared}} {{shared2}}`, `r1 global device`},
		{`{{device.name}} {{get_var("device")}}`, `R1 hidden`}, // the system's names come first
		{`{{str}}`, `shadow`}, // Python's come last
		{`{{get_var("own", device="R2")}} {{get_var("own", device=device)}} {{get_var("deep", section="sec")}}`, `r2 r1 1`},
		{`{{get_var("no", default="d")}} {{get_var("own", "R1")}}`, `d r1`},
		{`{{[vlan for vlan in [1, 2]]}}`, `[1, 2]`}, // a comprehension's variable comes before all
		{`{{quote(payload["q"])}} {{quote("")}} {{quote(["a b", 1, None])}} {{quote("$(reboot)")}}`, `'it'\''s' '' 'a b' '1' 'None' '$(reboot)'`},
		{`{{dict_to_string({"a": 1, "b": {"c": [1, "x"]} })}}`, "a: 1\nb: \n\tc: \n\t\t- 1\n\t\t- x"},
		{`{{dict_to_string("x")}}`, "x"},
		{`{{payload["nested"]}}`, `[[1, 2.0], {'x': [None, False]}]`},
		{`{{payload["q"]}} {{[payload["q"]]}}`, `it's ["it's"]`},
		{`{{len(payload["uni"])}} {{payload["uni"][2]}} {{payload["uni"][-2:]}} {{payload["uni"][::-1]}}`, `6 ë 中文 文中 ëoZ`},
		{`{{payload["big"] + 1}}`, `123456789012345678901234567891`},
		{`{{payload["aid"] in payload["aid"] and not 1 > 2}}`, `True`},
		{`{{payload.keys() == 1}}`, `False`},
		{`{{list(payload["d"].items())}}`, `[('k', 'v')]`},
		{"{{ 1 # a comment }}", "1"},
	} {
		got, err := render.Template(t.Context(), c.in, env())
		if err != nil || got != c.want {
			t.Errorf("%s\n got %q, %v\nwant %q", c.in, got, err, c.want)
		}
		if err := render.Check(c.in); err != nil {
			t.Errorf("Check(%s): %v", c.in, err)
		}
	}
}

func TestTemplate_Errors(t *testing.T) {
	for _, c := range []struct {
		in    string
		end   string // of the message
		early bool   // whether Check says it too
	}{
		{`{{payload["missing"]}}`, `KeyError: 'missing'`, false},
		{`{{undefined_name}}`, `NameError: name 'undefined_name' is not defined`, false},
		{`{{aid}}`, `NameError: name 'aid' is not defined`, false},
		{`{{ }}`, `SyntaxError: the expression is empty`, true},
		{`{{"}}"}}`, `SyntaxError: unexpected EOF in string`, true},
		{"a\nb {{1/0}}", `line 2: {{1/0}}: ZeroDivisionError: division by zero`, false},
		{`{{1//0}}`, `ZeroDivisionError: integer division or modulo by zero`, false},
		{`{{device.nope}}`, `AttributeError: 'Device' object has no attribute 'nope'`, false},
		{`{{device.credential_id}}`, `has no attribute 'credential_id'`, false},
		{`{{device.labels.nope}}`, `AttributeError: 'dict' object has no attribute 'nope'`, false},
		{`{{device["name"]}}`, `TypeError: 'Device' object is not subscriptable`, false},
		{`{{payload["l"][2]}}`, `IndexError: list index out of range`, false},
		{`{{payload["n"]["x"]}}`, `TypeError: 'int' object is not subscriptable`, false},
		{`{{"a" + 1}}`, `TypeError: can only concatenate str (not "int") to str`, false},
		{`{{1 + "a"}}`, `TypeError: unsupported operand type(s) for +: 'int' and 'str'`, false},
		{`{{1 < "a"}}`, `TypeError: '<' not supported between instances of 'int' and 'str'`, false},
		{`{{{}[[]]}}`, `TypeError: unhashable type: 'list'`, false},
		{`{{ {1: 2}[[]] }}`, `TypeError: unhashable type: 'list'`, false},
		{`{{int("x")}}`, `ValueError: invalid literal for int() with base 10: 'x'`, false},
		{`{{float("x")}}`, `ValueError: could not convert string to float: 'x'`, false},
		{`{{len(5)}}`, `TypeError: object of type 'int' has no len()`, false},
		{`{{list(5)}}`, `TypeError: 'int' object is not iterable`, false},
		{`{{max([])}}`, `ValueError: max() arg is an empty sequence`, false},
		{`{{payload.nope}}`, `AttributeError: 'dict' object has no attribute 'nope'`, false},
		{`{{payload()}}`, `TypeError: 'dict' object is not callable`, false},
		{`{{get_var("x", device="R2")}}`, `Exception: Payload Editor: x not found in {'own': 'r2'}.`, false},
		{`{{get_var("x", device="R3")}}`, `Exception: Payload Editor: x not found in {}.`, false},
		{`{{quote(payload)}}`, `not dict`, false},
		{`{{quote("\x00")}}`, `NUL character to a shell`, false},
		{`{{f"{payload['n']:03d}"}}`, `Unsupported: f-strings are not supported; use "{}".format(value) or "%s" % value`, true},
		{`{{rF"x"}}`, `"%s" % value`, true},
		{`{{b"x"}}`, `Unsupported: bytes literals are not supported; leave the b out`, true},
		{`{{u"x"}}`, `Unsupported: the string prefix u is not supported; leave it out`, true},
		{`{{set_var("a", 1)}}`, `give them in the payload's variables`, true},
		{`{{get_result("S")}}`, `there are no earlier results`, true},
		{`{{1 < 2 < 3}}`, `Unsupported: chained comparisons are not supported; write a < b and b < c`, true},
		{`{{x is None}}`, `Unsupported: the operator is is not supported; use ==`, true},
		{`{{lambda: 1}}`, `Unsupported: lambda is not supported`, true},
		{`{{2 ** 8}}`, `Unsupported: the operator ** is not supported`, true},
		{`{{1 << 1000000}}`, `Unsupported: the operator << is not supported`, true},
		{`{{~1}}`, `Unsupported: the operator ~ is not supported`, true},
		{`{{1 | 2}}`, `Unsupported: the operator | is not supported`, true},
		{`{{(x := 1)}}`, `Unsupported: the operator := is not supported`, true},
		{`{{"a" "b"}}`, `Unsupported: strings side by side are not supported; join them with +`, true},
		{`{{','.join(d.name for d in devices)}}`, `Unsupported: generator expressions are not supported; put [ ] around it`, true},
		{`{{str(*payload)}}`, `Unsupported: arguments with * are not supported`, true},
		{`{{payload.__class__}}`, `Unsupported: the attribute __class__ is not supported`, true},
		{`{{__import__("os")}}`, `Unsupported: __import__ is not supported`, true},
		{`{{open("/etc/passwd")}}`, `Unsupported: open is not supported`, true},
		{`{{payload["l"].append(1)}}`, `Unsupported: list.append is not supported: an expression cannot change values`, false},
		{`{{payload.update(payload)}}`, `Unsupported: dict.update is not supported: an expression cannot change values`, false},
		{`{{device.get_neighbors("device")}}`, `there are no links`, false},
		{`{{1 +}}`, `SyntaxError: got end of file, want primary expression`, true},
		{`{{x = 1}}`, `SyntaxError: got '=' after expression, want EOF`, true},
		{`{{` + strings.Repeat("(", 200) + strings.Repeat(")", 200) + `}}`, `SyntaxError: excessive nesting`, true},
		{`{{1` + strings.Repeat("+1", 200) + `}}`, `SyntaxError: the expression is nested too deeply`, true},
		{`{{` + strings.Repeat("[", 5000) + `}}`, `at most 4096 are allowed`, true},
		{strings.Repeat("{{}}", 1001), `1000 expressions, or more than 65536 bytes of them`, true},
	} {
		_, err := render.Template(t.Context(), c.in, env())
		if job.CodeOf(err) != job.Invalid || !strings.HasSuffix(err.Error(), c.end) {
			t.Errorf("%.100s\n got %s: %v\nwant ... %s", c.in, job.CodeOf(err), err, c.end)
		}
		early := render.Check(c.in)
		if (early != nil) != c.early || early != nil && (job.CodeOf(early) != job.Invalid || early.Error() != err.Error()) {
			t.Errorf("%.100s\nCheck says %v", c.in, early)
		}
	}
}

func TestTemplate_WithoutDevice(t *testing.T) {
	got, err := render.Template(t.Context(), `{{device}} {{devices}} {{payload}} {{parent_device}}`, render.Env{})
	if err != nil || got != "None [] {} None" {
		t.Errorf("%q, %v", got, err)
	}
	got, err = render.Template(t.Context(), `{{devices}}`, render.Env{Device: r1()})
	if err != nil || got != "[R1 (Arista)]" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := render.Template(t.Context(), `{{device.name}}`, render.Env{}); err == nil || !strings.HasSuffix(err.Error(), "'NoneType' object has no attribute 'name'") {
		t.Errorf("%v", err)
	}
}

func TestTemplate_PayloadThatIsNone(t *testing.T) {
	for _, p := range []string{`[]`, `null`, `{`, `{"a":` + strings.Repeat("9", 5000) + `}`} {
		if _, err := render.Template(t.Context(), `{{payload}}`, render.Env{Payload: json.RawMessage(p)}); job.CodeOf(err) != job.Invalid {
			t.Errorf("%.20s: %v", p, err)
		}
	}
	e := env()
	e.Payload = json.RawMessage(`{"variables": [1], "form": 2}`) // not objects: no variables
	if got, err := render.Template(t.Context(), `{{payload["form"]}}{{get_var("x", default=3)}}`, e); got != "23" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTemplate_DevicesFail(t *testing.T) {
	gone := errors.New("gone")
	e := env()
	e.Devices = func() ([]job.Device, error) { return nil, gone }
	if _, err := render.Template(t.Context(), `{{devices}}`, e); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	if _, err := render.Template(t.Context(), `{{device}}`, e); err != nil {
		t.Errorf("devices were asked for: %v", err)
	}
}

func TestTemplate_Canceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := render.Template(ctx, `{{1}}`, env()); job.CodeOf(err) != job.Canceled {
		t.Errorf("%v", err)
	}
	l := render.DefaultLimits
	l.Steps, l.Memory, l.Time = 1<<40, 1<<40, 20*time.Millisecond
	_, err := l.Template(t.Context(), `{{len([1 for a in range(100000) for b in range(100000) if False])}}`, env())
	if job.CodeOf(err) != job.Invalid || !strings.HasSuffix(err.Error(), "TimeoutError: the rendering takes too long") {
		t.Errorf("%v", err)
	}
}

// vectorPayload is the payload that testdata/python.py has.
var vectorPayload = json.RawMessage(`{"aid":"1-2-3","n":5,"l":["a","b"],"d":{"k":"v"},"b":true,"none":null,"f":1.50,
	"q":"it's","uni":"Zoë 中文","big":123456789012345678901234567890,"nested":[[1,2.0],{"x":[null,false]}]}`)

// vector is an expression and what CPython 3.11 answers: the value's str(), or
// the name of the exception.
type vector struct {
	Expr  string `json:"expr"`
	Value string `json:"value"`
	Error string `json:"error,omitempty"`
}

// testdata/python.json was written by CPython: testdata/python.py.
func TestTemplate_AnswersAsPython(t *testing.T) {
	raw, err := os.ReadFile("testdata/python.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 300 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	plain := env()
	plain.Payload = vectorPayload
	for _, v := range vectors {
		got, err := render.Template(t.Context(), "{{ "+strings.ReplaceAll(v.Expr, "}}", "} }")+" }}", plain)
		switch {
		case v.Error == "" && (err != nil || got != v.Value):
			t.Errorf("%s\n got %q, %v\nwant %q", v.Expr, got, err, v.Value)
		case v.Error != "" && (err == nil || !strings.Contains(err.Error(), "}}: "+v.Error+": ")):
			t.Errorf("%s\n got %q, %v\nwant %s", v.Expr, got, err, v.Error)
		}
	}
}

// What expressions may cost. The bytes are all that the process allocates
// meanwhile, garbage included.
const (
	mostBytes = 64 << 20
	mostTime  = 5 * time.Second
)

var hostile = []string{
	`"a" * 500000000`, `500000000 * "a"`, `[0] * 1000000000`, `(0,) * 1000000000`, `"ab" * 9223372036854775807`, `[0, 1] * 99999999999999999999`,
	`list(range(1000000000))`, `tuple(range(1000000000))`, `sorted(range(1000000000))`, `reversed(range(1000000000))`, `sum(range(1000000000))`,
	`max(range(1000000000))`, `dict(zip(range(100000000), range(100000000)))`, `enumerate(range(1000000000))`, `any(range(1000000000))`,
	`[x for x in range(1000000000)]`, `{x: x for x in range(1000000000)}`, `[1 for a in range(100000) for b in range(100000) if a == -1]`,
	`"%1000000000d" % 1`, `"%-1000000000s" % "a"`, `"%01000000000d" % 1`, `"%.1000000000f" % 1.5`, `"%1000000000c" % "a"`,
	`"{:1000000000}".format("a")`, `"{:>1000000000}".format(1)`, `"{:01000000000d}".format(1)`, `"{:.1000000000f}".format(1.5)`, `"{:^1000000000}".format("a")`,
	`"{0}{0}{0}{0}{0}{0}{0}{0}".format("a" * 2000000)`, `"%s%s%s%s%s%s" % tuple(["a" * 2000000] * 6)`,
	`("a" * 2000000).join(["b"] * 1000)`, `("a" * 1000).join("b" * 1000000)`, `("a" * 1000000).replace("a", "b" * 1000000)`, `("a" * 1000000).replace("", "bbbbbbbb")`,
	`"a".ljust(1000000000)`, `"a".rjust(1000000000, "x")`, `"a".center(1000000000)`, `"a".zfill(1000000000)`, `"a".ljust(1000000000, "中")`,
	`("a," * 1000000).split(",")`, `("a " * 1000000).split()`, `("a\n" * 1000000).splitlines()`, `("a," * 1000000).rsplit(",")`, `list("a" * 4000000)`,
	`[c for c in "a" * 4000000]`, `repr("\x00" * 2000000)`, `str([0] * 200000)`, `str(range(1000000000))`, `quote("'" * 2000000)`, `quote(["a" * 1000] * 100000)`,
	`[x + x for x in ["a" * 1000000] * 1000]`, `[x * 2 for x in [[0] * 10000] * 1000]`, `[x[:] for x in [[0] * 10000] * 1000]`, `[x[::-1] for x in ["a" * 1000000] * 100]`,
	`[x.upper() for x in ["a" * 100000] * 10000]`, `sum([[0] * 100 for i in range(1000)], [])`, `[sorted(x) for x in [list(range(10000))] * 100]`,
	`[len([y for y in range(1000)]) for x in range(1000000)]`, `["a" * 1000000 == "a" * 1000000 for i in range(100000)]`,
	`[x == y for x in [["a" * 100000] * 1000] for y in [["a" * 100000] * 1000]]`, `["b" in x for x in ["a" * 1000000] * 100000]`,
	`[{x: 1} for x in ["a" * 1000000] * 100000]`, `[("a" * 100000).strip("b" * 10000 + "a") for i in range(1000)]`,
	`dict_to_string([[0] * 100000] * 1000)`, `dict_to_string({"a" * 1000000: {"b": 1}})`, `"{:b}".format(int("9" * 4000)) * 1000`,
	`int("9" * 100000000)`, `int("9" * 5000000)`, `[float("9" * 100000) for i in range(100000)]`, `[int("9" * 4000) for i in range(100000)]`, `[str(int("9" * 4000)) for i in range(100000)]`,
	`devices * 100000000`, `str([devices * 1000] * 10000)`, `[payload] * 1000000`, `str([payload] * 100000)`, `payload.keys() + 1 if [payload.items() for i in range(1000000)] else 0`,
	`"a" * 8000000`, `("a" * 1500000)`,
	`[[[[[[[[1 for a in range(99)] for a in range(99)] for a in range(99)] for a in range(99)] for a in range(99)] for a in range(99)] for a in range(99)] for a in range(99)]`,
	strings.Repeat("(", 2000) + "1" + strings.Repeat(")", 2000), strings.Repeat("-", 4000) + "1", strings.Repeat("not ", 1000) + "1", strings.Repeat("[", 4000),
	doubled(`"aaaaaaaaaaaaaaaa"`, 40), doubled(`[0,0,0,0,0,0,0,0]`, 40), squared(20), nestedList(40),
}

// doubled is x + x of the expression of before, n times, without naming it:
// [[x+x for x in [E]][0]...].
func doubled(e string, n int) string {
	for range n {
		e = "[x+x for x in [" + e + "]][0]"
	}
	return e
}

func squared(n int) string {
	e := "99999999999"
	for range n {
		e = "[x*x for x in [" + e + "]][0]"
	}
	return e
}

// nestedList is small in memory and exponential when written.
func nestedList(n int) string {
	e := "0"
	for range n {
		e = "[[x,x] for x in [" + e + "]][0]"
	}
	return e
}

// spend renders and fails the test when that costs more than it may.
func spend(t testing.TB, text string) (string, error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	got, err := render.Template(context.Background(), text, env())
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > mostBytes || took > mostTime {
		t.Errorf("%.100s took %d MiB and %v", text, n>>20, took)
	}
	return got, err
}

func TestTemplate_HostileExpressionsAreCheap(t *testing.T) {
	for _, x := range hostile {
		got, err := spend(t, "{{"+x+"}}")
		if err == nil && x != `str(range(1000000000))` { // its text is short
			t.Errorf("%.100s became %d bytes", x, len(got))
		} else if err != nil && job.CodeOf(err) != job.Invalid {
			t.Errorf("%.100s: %v", x, err)
		}
	}
}

// All expressions of a text share one budget, and many small ones are bounded
// by the output.
func TestTemplate_HostileTextsAreCheap(t *testing.T) {
	for _, text := range []string{
		strings.Repeat(`{{"a" * 7000000}}`, 900), strings.Repeat(`{{"a" * 900000}}`, 900), strings.Repeat(`{{`, 500_000), strings.Repeat("{{\n", 300_000),
		strings.Repeat("{{}}", 250_000), strings.Repeat("{{[1,1,1,1,1,1]}}", 50_000), strings.Repeat("a", 2<<20),
		"{{[" + strings.Repeat("1,", 2000) + "]}}" + strings.Repeat("x", 1<<20-4100),
	} {
		_, err := spend(t, text)
		if err == nil && strings.Contains(text, "}}") {
			t.Errorf("%.50s...: no error", text)
		}
	}
}

// Renderings of one text and payload at once share what was parsed.
func TestTemplate_Concurrent(t *testing.T) {
	const text = `{{device.name}} {{payload["nested"]}} {{[k for k in payload["d"]]}} {{payload["d"].items()}} {{payload == payload}}`
	for _, e := range []render.Env{env(), {Device: r1(), Payload: json.RawMessage(strings.Replace(payload, "1-2-3", "other", 1))}} {
		want, err := render.Template(t.Context(), text, e)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 50 {
					if got, err := render.Template(context.Background(), text, e); err != nil || got != want {
						t.Errorf("%q, %v; want %q", got, err, want)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// More texts and payloads than are remembered come out right all the same.
func TestTemplate_ManyTexts(t *testing.T) {
	for range 2 {
		for i := range 200 {
			n := strconv.Itoa(i)
			text := `{{payload["a"]}} ` + n + strings.Repeat(" ", 30_000) + `{{` + strings.Repeat("1+", 80) + n + `}}`
			want := "v" + n + " " + n + strings.Repeat(" ", 30_000) + strconv.Itoa(80+i)
			got, err := render.Template(t.Context(), text, render.Env{Payload: json.RawMessage(`{"a":"v` + n + `"}`)})
			if err != nil || got != want {
				t.Fatalf("%d: %.20q, %v", i, got, err)
			}
		}
	}
}

func TestTemplate_HugePayloadIsReadOnce(t *testing.T) {
	e := env()
	e.Payload = json.RawMessage(`{"a":[` + strings.Repeat("0,", 1<<17) + `0]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := render.Template(t.Context(), strings.Repeat(`{{len(payload["a"])}}`, 100), e)
	runtime.ReadMemStats(&after)
	if err != nil || len(got) != 600 || after.TotalAlloc-before.TotalAlloc > mostBytes {
		t.Errorf("%d bytes, %v, %d MiB", len(got), err, (after.TotalAlloc-before.TotalAlloc)>>20)
	}
}

// A text without expressions comes back as it is, and so does one whose
// expressions are string literals.
func TestTemplate_Laws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		plain := strings.ReplaceAll(s, "{{", "{")
		plain = strings.ReplaceAll(plain, "{{", "{")
		if got, err := render.Template(context.Background(), plain, env()); !strings.Contains(plain, "{{") && (err != nil || got != plain) {
			t.Fatalf("%q became %q, %v", plain, got, err)
		}
		raw, err := json.Marshal(map[string]string{"s": s})
		if err != nil {
			t.Fatal(err)
		}
		got, err := render.Template(context.Background(), `{{payload["s"]}}`, render.Env{Payload: raw})
		if err != nil || got != strings.ToValidUTF8(s, "\uFFFD") {
			t.Fatalf("%q became %q, %v", s, got, err)
		}
	})
}

// Whatever quote() returns, a shell reads back as the value.
func TestQuote_ShellReadsItBack(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh on this machine")
	}
	words := []string{"", "a", "a b", "it's", `"`, "$(reboot)", "`id`", "\\", "a\nb", "*", "~", "-n", "'\\''", "ä中", ";|&<>", "\t!#"}
	raw, err := json.Marshal(map[string]any{"w": words})
	if err != nil {
		t.Fatal(err)
	}
	script, err := render.Template(t.Context(), `for w in {{quote(payload["w"])}}; do printf '%s\001' "$w"; done`, render.Env{Payload: raw})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sh, "-c", script).Output()
	if want := strings.Join(words, "\x01") + "\x01"; err != nil || string(out) != want {
		t.Errorf("the shell read %q, %v; want %q", out, err, want)
	}
}

// No text makes rendering panic, run away or allocate without bound; what
// Check refuses, Template refuses.
func FuzzTemplate(f *testing.F) {
	for _, x := range hostile {
		f.Add("{{" + x + "}}")
	}
	for _, x := range []string{
		`{{device.name}} {{payload["l"][-1:]}}`, `{{"%05.1f|%-3s|%(k)s" % payload["d"]}}`, `{{"{0!r:>10}{x:+,}".format(1, x=2)}}`, `{{{"a": 1}["a"]}}`,
		"{{\n}}", `{{[a for a, b in [(1, 2)] if a < b]}}`, `{{payload["uni"].split(maxsplit=1)}}`, `{{round(2.5) // -0.3 % 7}}`, "{{'\xff'}}", `{{"\ud800"}}`,
	} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := spend(t, text)
		if early := render.Check(text); early != nil && err == nil {
			t.Errorf("Check refuses %q, which renders: %v", text, early)
		}
		if code := job.CodeOf(err); err != nil && code != job.Invalid {
			t.Errorf("%q: %s: %v", text, code, err)
		}
	})
}

func BenchmarkTemplate(b *testing.B) {
	const text = "echo {{ payload[\"aid\"] }} from {{ device.name }}\nvlan {{ quote(\"v-%d\" % vlan) }}\n"
	e := env()
	e.Payload = json.RawMessage(`{"aid": "1-2-3", "variables": {"vlan": 10}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := render.Template(context.Background(), text, e); err != nil {
			b.Fatal(err)
		}
	}
}
