package ruby

import (
	"math"
	"strconv"
	"strings"
)

// shape is how a method is called.
type shape struct {
	min, max          int
	block, needsBlock bool
}

// methods are all that a value can be asked for. Which values have which, their
// own functions say.
var methods = map[string]shape{
	"nil?": {}, "blank?": {}, "present?": {}, "presence": {}, "to_s": {}, "to_i": {}, "to_f": {}, "respond_to?": {min: 1, max: 1}, "to_json": {},

	"empty?": {}, "length": {}, "size": {}, "strip": {}, "lstrip": {}, "rstrip": {}, "chomp": {max: 1}, "upcase": {}, "downcase": {}, "capitalize": {},
	"start_with?": {min: 1, max: 20}, "end_with?": {min: 1, max: 20}, "include?": {min: 1, max: 1}, "split": {max: 2},
	"gsub": {min: 2, max: 2}, "sub": {min: 2, max: 2}, "tr": {min: 2, max: 2}, "lines": {}, "[]": {min: 1, max: 2},

	"first": {max: 1}, "last": {max: 1}, "join": {max: 1}, "uniq": {}, "sort": {}, "compact": {}, "flatten": {max: 1},
	"each": {block: true, needsBlock: true}, "each_with_index": {block: true, needsBlock: true},
	"map": {block: true, needsBlock: true}, "select": {block: true, needsBlock: true}, "reject": {block: true, needsBlock: true},
	"any?": {block: true}, "all?": {block: true},

	"fetch": {min: 1, max: 2}, "key?": {min: 1, max: 1}, "keys": {}, "values": {},
}

// Which of the methods the kinds of values have.
var (
	anyMethods    = set("nil? blank? present? presence to_s respond_to? to_json")
	numberMethods = set("to_i to_f")
	stringMethods = set(`to_i to_f empty? length size strip lstrip rstrip chomp upcase downcase capitalize start_with? end_with? include? split gsub
		sub tr lines []`)
	symbolMethods = set("empty? length size upcase downcase capitalize start_with? end_with?")
	arrayMethods  = set(`first last size length empty? include? join each each_with_index map select reject any? all? uniq sort compact flatten []`)
	hashMethods   = set("[] fetch key? include? keys values each map select reject any? all? empty? size length")
)

func set(names string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

// has reports whether a value has a method.
func has(m *Machine, v Value, name string) bool {
	if anyMethods[name] {
		return true
	}
	switch v := v.(type) {
	case nil:
		return numberMethods[name]
	case int64, float64:
		return numberMethods[name]
	case *String:
		return stringMethods[name]
	case Symbol:
		return symbolMethods[name]
	case *Array:
		return arrayMethods[name]
	case *Hash:
		return hashMethods[name]
	case Object:
		if responds, ok := v.(interface{ Responds(string) bool }); ok {
			return responds.Responds(name)
		}
	}
	return false
}

// method calls one.
func (m *Machine) method(on Value, name string, args []Value, b *block) (Value, error) {
	if o, ok := on.(Object); ok {
		v, known, err := o.Call(m, name, args)
		if known || err != nil {
			return v, m.blame(err)
		}
	}
	if shape, ok := methods[name]; !ok || !has(m, on, name) {
		return nil, m.Fail("%s has no method %s", class(on), clip(name))
	} else if len(args) < shape.min || len(args) > shape.max {
		return nil, m.Fail("%s does not take %d argument(s)", name, len(args))
	}
	if err := m.Alloc(sizeValue); err != nil {
		return nil, err
	}
	switch name {
	case "nil?":
		return on == nil, nil
	case "blank?":
		return Blank(on), m.look(on)
	case "present?":
		return !Blank(on), m.look(on)
	case "presence":
		if Blank(on) {
			on = nil
		}
		return on, m.look(on)
	case "to_s":
		s, err := m.text(on)
		return &String{s}, err
	case "respond_to?":
		n, err := m.name(args[0])
		return err == nil && has(m, on, n), err
	case "to_json":
		return m.JSON(on)
	}
	switch v := on.(type) {
	case nil:
		if name == "to_f" {
			return 0.0, nil
		}
		return int64(0), nil
	case int64:
		if name == "to_f" {
			return float64(v), nil
		}
		return v, nil
	case float64:
		if name == "to_f" {
			return v, nil
		}
		if math.IsNaN(v) || math.Abs(v) >= 1<<63 {
			return nil, m.Fail("a number is too large")
		}
		return int64(v), nil
	case *String:
		return m.stringMethod(v, name, args)
	case Symbol:
		s, err := m.stringMethod(&String{string(v)}, name, args)
		if t, ok := s.(*String); ok {
			return Symbol(t.s), err
		}
		return s, err
	case *Array:
		return m.arrayMethod(v, name, args, b)
	case *Hash:
		return m.hashMethod(v, name, args, b)
	}
	return nil, m.Fail("%s has no method %s", class(on), clip(name))
}

// look charges for reading a value once.
func (m *Machine) look(v Value) error {
	if s, ok := v.(*String); ok {
		return m.Steps(int64(len(s.s)) >> 10)
	}
	return nil
}

// name is an argument that names something.
func (m *Machine) name(v Value) (string, error) {
	switch v := v.(type) {
	case *String:
		return v.s, nil
	case Symbol:
		return string(v), nil
	}
	return "", m.Fail("a name is wanted, not a %s", class(v))
}

// str is an argument that must be a string.
func (m *Machine) str(v Value) (string, error) {
	if s, ok := v.(*String); ok {
		return s.s, nil
	}
	return "", m.Fail("a string is wanted, not %s", class(v))
}

// whole is an argument that must be an integer.
func (m *Machine) whole(v Value) (int64, error) {
	if n, ok := v.(int64); ok {
		return n, nil
	}
	return 0, m.Fail("an integer is wanted, not %s", class(v))
}

// leadingInt is to_i of a string.
func (m *Machine) leadingInt(s string) (Value, error) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	var digits strings.Builder
	for i := 0; i < len(s) && digits.Len() < 25; i++ {
		c := s[i]
		if i == 0 && (c == '-' || c == '+') || isDigit(c) {
			digits.WriteByte(c)
			continue
		}
		if c != '_' || i+1 >= len(s) || !isDigit(s[i+1]) || digits.Len() == 0 || s[i-1] == '_' {
			break
		}
	}
	if t := digits.String(); t == "" || t == "-" || t == "+" {
		return int64(0), nil
	}
	v, err := strconv.ParseInt(digits.String(), 10, 64)
	if err != nil {
		return nil, m.Fail("a number is too large")
	}
	return v, nil
}

// leadingFloat is to_f of a string.
func leadingFloat(s string) float64 {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	end, digits := 0, false
	if end < len(s) && (s[end] == '-' || s[end] == '+') {
		end++
	}
	run := func() (any bool) {
		for end < len(s) && isDigit(s[end]) {
			end++
			any = true
		}
		return any
	}
	digits = run()
	if end+1 < len(s) && s[end] == '.' && isDigit(s[end+1]) {
		end++
		digits = run()
	}
	if digits && end+1 < len(s) && (s[end] == 'e' || s[end] == 'E') {
		was := end
		end++
		if s[end] == '-' || s[end] == '+' {
			end++
		}
		if !run() {
			end = was
		}
	}
	if !digits || end > 400 {
		return 0
	}
	f, _ := strconv.ParseFloat(s[:end], 64) // out of range is infinite, as in Ruby
	return f
}
