package erb

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"hash/fnv"
	"net/url"
	"strconv"
	"strings"
	"time"

	"drover/internal/erb/ruby"
)

// vocabulary is what templates may name.
var vocabulary = ruby.Vocabulary{
	Attributes: attributeNames(),
	Refused: map[string]string{
		"install_packages": "install_packages is not supported: write the commands for the devices' package manager",
		"update_packages":  "update_packages is not supported: write the commands for the devices' package manager",
	},
	Macros: map[string]ruby.Signature{
		"host":                 {},
		"input":                {Min: 1, Max: 1},
		"host_param":           {Min: 1, Max: 2},
		"host_param!":          {Min: 1, Max: 1},
		"host_param_true?":     {Min: 1, Max: 2},
		"host_param_false?":    {Min: 1, Max: 2},
		"render_error":         {Min: 1, Max: 1},
		"render_template":      {Min: 1, Max: 3},
		"snippet":              {Min: 1, Max: 2},
		"snippet_if_exists":    {Min: 1, Max: 2},
		"current_user":         {},
		"template_name":        {},
		"preview?":             {},
		"foreman_server_url":   {},
		"foreman_server_fqdn":  {},
		"shell_escape":         {Min: 1, Max: 1},
		"indent":               {Min: 1, Max: 2, Block: true},
		"cached":               {Min: 1, Max: 1, Block: true},
		"save_to_file":         {Min: 2, Max: 3},
		"rand_hex":             {Min: 1, Max: 1},
		"current_date":         {},
		"current_time":         {},
		"truthy?":              {Max: 1},
		"falsy?":               {Max: 1},
		"parse_json":           {Min: 1, Max: 1},
		"to_json":              {Min: 1, Max: 1},
		"join_with_line_break": {Min: 1, Max: 1},
		"plugin_present?":      {Min: 1, Max: 1},
		"global_setting":       {Min: 1, Max: 2},
		"N_":                   {Min: 1, Max: 1},
		"_":                    {Min: 1, Max: 1},
	},
}

// Instance is @host, @template_name, or a variable that a snippet was given.
func (s *scope) Instance(m *ruby.Machine, name string) (ruby.Value, bool, error) {
	switch name {
	case "host":
		v, err := s.host(m)
		return v, true, err
	case "template_name":
		return ruby.NewString(s.name), true, nil
	}
	if s.vars != nil {
		if v, ok := s.vars.Lookup(name); ok {
			return v, true, nil
		}
	}
	return nil, s.snippet, nil // what a snippet is not given is nil
}

// Macro calls one.
func (s *scope) Macro(m *ruby.Machine, name string, c *ruby.Call) (ruby.Value, error) {
	if err := m.Alloc(200); err != nil {
		return nil, err
	}
	env := s.r.env
	switch name {
	case "host":
		return s.host(m)
	case "input":
		return s.inputMacro(m, c.Args[0])
	case "host_param", "host_param!", "host_param_true?", "host_param_false?":
		return s.hostParams(m, name, c.Args)
	case "render_error":
		text, err := ruby.ToText(c.Args[0])
		if err != nil {
			return nil, err
		}
		return nil, plain("%s", text)
	case "render_template":
		return s.renderTemplate(m, c)
	case "snippet", "snippet_if_exists":
		return s.snippetMacro(m, c, name == "snippet")
	case "current_user":
		return str(env.User), nil
	case "template_name":
		return ruby.NewString(s.name), nil
	case "preview?":
		return env.Preview, nil
	case "foreman_server_url":
		return str(env.Server.URL), nil
	case "foreman_server_fqdn":
		if u, err := url.Parse(env.Server.URL); err == nil && u.Hostname() != "" {
			return ruby.NewString(u.Hostname()), nil
		}
		return str(env.Server.Name), nil
	case "plugin_present?":
		n, err := nameOf(m, c.Args[0])
		return n == "foreman_remote_execution", err
	case "global_setting":
		if len(c.Args) == 2 {
			return c.Args[1], nil
		}
		return nil, nil
	case "N_", "_":
		return c.Args[0], nil
	case "truthy?", "falsy?":
		if len(c.Args) == 0 {
			return false, nil
		}
		yes, ok := castBool(c.Args[0])
		return ok && yes == (name == "truthy?"), nil
	case "current_date":
		return ruby.NewString(env.Now.UTC().Format(time.DateOnly)), nil
	case "current_time":
		return ruby.NewString(env.Now.UTC().Format("2006-01-02 15:04:05 UTC")), nil
	case "cached":
		return s.cachedBlock(m, c)
	}
	return textMacro(m, name, c)
}

// textMacro is a macro that only makes text of its arguments.
func textMacro(m *ruby.Machine, name string, c *ruby.Call) (ruby.Value, error) {
	switch name {
	case "to_json":
		return m.JSON(c.Args[0])
	case "parse_json":
		text, ok := c.Args[0].(*ruby.String)
		if !ok {
			return nil, m.Fail("parse_json takes a string")
		}
		return m.ParseJSON(text.Text())
	case "join_with_line_break":
		list, ok := c.Args[0].(*ruby.Array)
		if !ok {
			return nil, m.Fail("join_with_line_break takes an array")
		}
		return m.Join(list, "\n")
	case "rand_hex":
		n, ok := c.Args[0].(int64)
		if !ok || n < 0 || n > 1024 {
			return nil, m.Fail("rand_hex takes a number from 0 to 1024")
		}
		b := make([]byte, n)
		_, _ = rand.Read(b) // never fails
		return m.NewString(hex.EncodeToString(b))
	case "shell_escape":
		return shellEscape(m, c.Args[0])
	case "indent":
		return indent(m, c)
	case "save_to_file":
		return saveToFile(m, c)
	}
	return nil, m.Fail("%s is not supported", name)
}

func (s *scope) hostParams(m *ruby.Machine, name string, args []ruby.Value) (ruby.Value, error) {
	v, err := s.hostParam(m, args)
	if err != nil {
		return nil, err
	}
	switch name {
	case "host_param!":
		if v == nil {
			n, err := nameOf(m, args[0])
			if err != nil {
				return nil, err
			}
			return nil, m.Fail("the host has no parameter %s", quote(n))
		}
	case "host_param_true?", "host_param_false?":
		yes, ok := castBool(v)
		return ok && yes == (name == "host_param_true?"), nil
	}
	return v, nil
}

// hostParam is a parameter of the device, or what is given for one it has not.
func (s *scope) hostParam(m *ruby.Machine, args []ruby.Value) (ruby.Value, error) {
	name, err := nameOf(m, args[0])
	if err != nil {
		return nil, err
	}
	if v, ok := s.r.env.Params[name]; ok {
		return ruby.NewString(v), nil
	}
	if len(args) == 2 {
		return args[1], nil
	}
	return nil, nil
}

// castBool reads a value as people write yes and no; ok is false for what is
// neither.
func castBool(v ruby.Value) (yes, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case int64:
		return v == 1, v == 0 || v == 1
	case *ruby.String:
		switch strings.ToLower(v.Text()) {
		case "true", "t", "yes", "y", "on", "1":
			return true, true
		case "false", "f", "no", "n", "off", "0", "":
			return false, true
		}
	}
	return false, false
}

// cachedBlock runs a block once for each key.
func (s *scope) cachedBlock(m *ruby.Machine, c *ruby.Call) (ruby.Value, error) {
	name, err := nameOf(m, c.Args[0])
	if err != nil {
		return nil, err
	}
	if v, ok := s.r.cached[name]; ok {
		return v, nil
	}
	v, err := c.Yield()
	if err == nil {
		s.r.cached[name] = v
	}
	return v, err
}

// shellEscape makes one word of a shell's of a text.
func shellEscape(m *ruby.Machine, v ruby.Value) (ruby.Value, error) {
	s, err := ruby.ToText(v)
	if err != nil {
		return nil, err
	}
	if strings.ContainsRune(s, 0) {
		return nil, m.Fail("shell_escape: the text holds a NUL")
	}
	if s == "" {
		return ruby.NewString("''"), nil
	}
	if err := m.Alloc(6 * int64(len(s))); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString("'\n'")
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.,:+/@", r):
			b.WriteRune(r)
		default:
			b.WriteByte('\\')
			b.WriteRune(r)
		}
	}
	return ruby.NewString(b.String()), nil
}

// indent puts blanks before each line of what its block says. skip1 leaves the
// first line alone.
func indent(m *ruby.Machine, c *ruby.Call) (ruby.Value, error) {
	skip := false
	if o := c.Options(); o != nil {
		v, _ := o.Lookup("skip1")
		skip = ruby.Truth(v)
	}
	if len(c.Args) != 1 {
		return nil, m.Fail("indent takes a number")
	}
	n, ok := c.Args[0].(int64)
	if !ok || n < 0 || n > 1000 {
		return nil, m.Fail("indent takes a number from 0 to 1000")
	}
	v, err := c.Yield()
	if err != nil {
		return nil, err
	}
	text, err := ruby.ToText(v)
	if err != nil {
		return nil, err
	}
	lines := strings.Count(text, "\n") + 1
	if err := m.Alloc(2*int64(len(text)) + int64(lines)*(2*n+16)); err != nil {
		return nil, err
	}
	prefix := strings.Repeat(" ", int(n))
	var b strings.Builder
	for i, line := range strings.SplitAfter(text, "\n") {
		if (i > 0 || !skip) && (line != "" || i == 0) {
			b.WriteString(prefix)
		}
		b.WriteString(line)
	}
	return ruby.NewString(b.String()), nil
}

// saveToFile is the shell command that writes a file. The device's shell expands
// the text unless verbatim is asked for.
func saveToFile(m *ruby.Machine, c *ruby.Call) (ruby.Value, error) {
	verbatim := false
	if o := c.Options(); o != nil {
		v, _ := o.Lookup("verbatim")
		verbatim = ruby.Truth(v)
	}
	if len(c.Args) != 2 {
		return nil, m.Fail("save_to_file takes a path and a text")
	}
	path, err := nameOf(m, c.Args[0])
	if err != nil {
		return nil, err
	}
	text, err := ruby.ToText(c.Args[1])
	if err != nil {
		return nil, err
	}
	if err := m.Alloc(4*int64(len(text)) + 2*int64(len(path)) + 200); err != nil {
		return nil, err
	}
	if text == "" {
		return ruby.NewString("cp /dev/null " + path), nil
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(path))
	end := "EOF-" + strconv.FormatUint(uint64(sum.Sum32()), 16)
	for n := 0; strings.Contains(text, end); n++ {
		if err := m.Steps(1 + int64(len(text))>>10); err != nil {
			return nil, err
		}
		end = "EOF-" + strconv.FormatUint(uint64(sum.Sum32()), 16) + "-" + strconv.Itoa(n)
	}
	if verbatim {
		return ruby.NewString("base64 -d > " + path + " << '" + end + "'\n" + wrap(base64.StdEncoding.EncodeToString([]byte(text))) + end), nil
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return ruby.NewString("cat << " + end + " > " + path + "\n" + text + end), nil
}

// wrap breaks base64 into lines.
func wrap(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\n")
		s = s[76:]
	}
	b.WriteString(s + "\n")
	return b.String()
}

// nameOf is an argument that names something.
func nameOf(m *ruby.Machine, v ruby.Value) (string, error) {
	switch v := v.(type) {
	case *ruby.String:
		return v.Text(), nil
	case ruby.Symbol:
		return string(v), nil
	}
	return "", m.Fail("a name is wanted")
}
