package ruby

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// stringMethod is a method of strings. Everything reads the string at least once.
func (m *Machine) stringMethod(s *String, name string, args []Value) (Value, error) {
	if err := m.look(s); err != nil {
		return nil, err
	}
	switch name {
	case "to_i":
		return m.leadingInt(s.s)
	case "to_f":
		return leadingFloat(s.s), nil
	case "empty?":
		return s.s == "", nil
	case "length", "size":
		return int64(utf8.RuneCountInString(s.s)), nil
	case "strip":
		return m.share(strings.TrimRight(strings.TrimLeft(s.s, "\x00"+white), "\x00"+white))
	case "lstrip":
		return m.share(strings.TrimLeft(s.s, "\x00"+white))
	case "rstrip":
		return m.share(strings.TrimRight(s.s, "\x00"+white))
	case "chomp":
		return m.chomp(s.s, args)
	case "upcase":
		return m.mapped(s.s, strings.ToUpper)
	case "downcase":
		return m.mapped(s.s, strings.ToLower)
	case "capitalize":
		return m.mapped(s.s, func(s string) string {
			r, n := utf8.DecodeRuneInString(s)
			if n == 0 || r == utf8.RuneError {
				return s
			}
			return string(unicode.ToTitle(r)) + strings.ToLower(s[n:])
		})
	case "start_with?", "end_with?", "include?":
		return m.holds(s.s, name, args)
	case "split":
		return m.split(s.s, args)
	case "gsub", "sub":
		return m.replace(s.s, args, name == "gsub")
	case "tr":
		return m.translate(s.s, args)
	case "lines":
		return m.list(strings.SplitAfter(s.s, "\n"), true)
	case "[]":
		return m.slice(s.s, args)
	}
	return nil, m.Fail("String has no method %s", name)
}

const white = " \t\n\v\f\r"

// mapped charges for a string that may grow by as much as case mapping can.
func (m *Machine) mapped(s string, f func(string) string) (Value, error) {
	if err := m.Alloc(3 * int64(len(s))); err != nil {
		return nil, err
	}
	return &String{f(s)}, nil
}

func (m *Machine) chomp(s string, args []Value) (Value, error) {
	if len(args) == 1 {
		end, err := m.str(args[0])
		if err != nil {
			return nil, err
		}
		return m.share(strings.TrimSuffix(s, end))
	}
	if t, ok := strings.CutSuffix(s, "\n"); ok {
		return m.share(strings.TrimSuffix(t, "\r"))
	}
	return m.share(strings.TrimSuffix(s, "\r"))
}

func (m *Machine) holds(s, name string, args []Value) (Value, error) {
	for _, a := range args {
		if re, ok := a.(*Regexp); ok && name == "start_with?" {
			if err := m.match(re, len(s)); err != nil {
				return nil, err
			}
			if at := re.re.FindStringIndex(s); at != nil && at[0] == 0 {
				return true, nil
			}
			continue
		}
		part, err := m.str(a)
		if err != nil {
			return nil, err
		}
		if err := m.Steps(1 + int64(len(s))>>10); err != nil {
			return nil, err
		}
		if name == "start_with?" && strings.HasPrefix(s, part) || name == "end_with?" && strings.HasSuffix(s, part) ||
			name == "include?" && strings.Contains(s, part) {
			return true, nil
		}
	}
	return false, nil
}

// list makes an array of strings that share memory with one that exists.
func (m *Machine) list(parts []string, trim bool) (Value, error) {
	for trim && len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	if err := m.allocN(int64(len(parts)), 2*sizeValue); err != nil {
		return nil, err
	}
	out := &Array{make([]Value, len(parts))}
	for i, p := range parts {
		out.elems[i] = &String{p}
	}
	return out, m.Steps(int64(len(parts)) >> 4)
}

// split cuts as Ruby does: at runs of blanks, at a string or where an expression
// matches; empty strings at the end go, unless a number of parts is asked for.
func (m *Machine) split(s string, args []Value) (Value, error) {
	most := -1
	if len(args) == 2 {
		n, err := m.whole(args[1])
		if err != nil {
			return nil, err
		}
		if n < 0 || n > 1<<20 {
			return nil, m.Fail("split cannot make %d parts", n)
		}
		if n > 0 {
			most = int(n)
		}
	}
	// Whatever it is cut at, there is no more than a part for each byte.
	if err := m.Alloc(16 * int64(len(s)+1)); err != nil {
		return nil, err
	}
	if s == "" {
		return &Array{}, nil
	}
	var sep Value
	if len(args) > 0 {
		sep = args[0]
	}
	switch v := sep.(type) {
	case nil:
		return m.fields(s, most)
	case *Regexp:
		return m.splitAt(s, v, most)
	case *String:
		if v.s == " " {
			return m.fields(s, most)
		}
		if v.s == "" {
			return m.list(strings.SplitN(s, "", most), most < 0)
		}
		return m.list(strings.SplitN(s, v.s, most), most < 0)
	}
	return nil, m.Fail("a string cannot be split at a %s", class(sep))
}

func (m *Machine) fields(s string, most int) (Value, error) {
	var parts []string
	for s = strings.TrimLeft(s, white); s != ""; {
		end := strings.IndexAny(s, white)
		if end < 0 || len(parts) == most-1 {
			parts = append(parts, s)
			break
		}
		parts = append(parts, s[:end])
		s = strings.TrimLeft(s[end:], white)
		if s == "" && most > 0 {
			parts = append(parts, "")
		}
	}
	return m.list(parts, most < 0)
}

func (m *Machine) splitAt(s string, re *Regexp, most int) (Value, error) {
	if re.re.NumSubexp() > 0 {
		return nil, m.Fail("groups in the expression that split cuts at are not supported")
	}
	if err := m.match(re, len(s)); err != nil {
		return nil, err
	}
	var parts []string
	start := 0
	for _, at := range re.re.FindAllStringIndex(s, -1) {
		if len(parts) == most-1 {
			break
		}
		if at[1] == at[0] { // an empty match cuts between two letters
			if at[0] == 0 || at[0] == len(s) {
				continue
			}
		}
		parts = append(parts, s[start:at[0]])
		start = at[1]
	}
	return m.list(append(parts, s[start:]), most < 0)
}

// replace is sub and gsub.
func (m *Machine) replace(s string, args []Value, all bool) (Value, error) {
	with, err := m.str(args[1])
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	put := func(part string) error {
		if err := m.Alloc(2 * int64(len(part))); err != nil {
			return err
		}
		b.WriteString(part)
		return nil
	}
	most := -1
	if !all {
		most = 1
	}
	var found [][]int
	switch v := args[0].(type) {
	case *Regexp:
		if err := m.match(v, len(s)); err != nil {
			return nil, err
		}
		// Every match costs no more than its place and its groups.
		if err := m.Alloc(int64(len(s)+1) * int64(8*(v.re.NumSubexp()+1))); err != nil {
			return nil, err
		}
		found = v.re.FindAllStringSubmatchIndex(s, most)
	case *String:
		if err := m.Alloc(40 * int64(len(s)/max(1, len(v.s))+1)); err != nil {
			return nil, err
		}
		found = occurrences(s, v.s, most)
	default:
		return nil, m.Fail("a string or a regular expression is wanted, not %s", class(v))
	}
	start := 0
	for _, at := range found {
		if err := m.Steps(1); err != nil {
			return nil, err
		}
		if err := put(s[start:at[0]]); err != nil {
			return nil, err
		}
		if err := fill(with, s, at, put); err != nil {
			return nil, err
		}
		start = at[1]
	}
	if err := put(s[start:]); err != nil {
		return nil, err
	}
	return m.share(b.String())
}

// occurrences finds a string, at most so many times.
func occurrences(s, part string, most int) [][]int {
	var found [][]int
	for i := 0; i <= len(s) && len(found) != most; {
		at := strings.Index(s[i:], part)
		if at < 0 {
			break
		}
		found = append(found, []int{i + at, i + at + len(part)})
		i += at + len(part)
		if part == "" {
			_, n := utf8.DecodeRuneInString(s[i:])
			i += max(n, 1)
		}
	}
	return found
}

// fill writes what a match is replaced by: \0 is the match, \1 its first group.
func fill(with, s string, at []int, put func(string) error) error {
	for {
		i := strings.IndexByte(with, '\\')
		if i < 0 || i+1 == len(with) {
			return put(with)
		}
		if err := put(with[:i]); err != nil {
			return err
		}
		c := with[i+1]
		piece := with[i : i+2]
		switch {
		case c == '\\':
			piece = `\`
		case c == '&':
			piece = s[at[0]:at[1]]
		case isDigit(c):
			piece = ""
			if g := 2 * int(c-'0'); g < len(at) && at[g] >= 0 {
				piece = s[at[g]:at[g+1]]
			}
		}
		if err := put(piece); err != nil {
			return err
		}
		with = with[i+2:]
	}
}

// slice is s[i], s[i, n], s["part"] and s[/expression/].
func (m *Machine) slice(s string, args []Value) (Value, error) {
	switch v := args[0].(type) {
	case *String:
		if len(args) == 1 {
			if !strings.Contains(s, v.s) {
				return nil, nil
			}
			return m.share(v.s)
		}
	case *Regexp:
		return m.group(s, v, args)
	case int64:
		n := int64(1)
		if len(args) == 2 {
			var err error
			if n, err = m.whole(args[1]); err != nil {
				return nil, err
			}
		}
		length := int64(utf8.RuneCountInString(s))
		if v < 0 {
			v += length
		}
		if v < 0 || v > length || n < 0 || len(args) == 1 && v == length {
			return nil, nil
		}
		return m.share(runes(s, v, min(n, length-v)))
	}
	return nil, m.Fail("a string has no part [%s]", class(args[0]))
}

func (m *Machine) group(s string, re *Regexp, args []Value) (Value, error) {
	g := int64(0)
	if len(args) == 2 {
		var err error
		if g, err = m.whole(args[1]); err != nil {
			return nil, err
		}
	}
	if err := m.match(re, len(s)); err != nil {
		return nil, err
	}
	at := re.re.FindStringSubmatchIndex(s)
	if g < 0 || 2*g >= int64(len(at)) || at[2*g] < 0 {
		return nil, nil
	}
	return m.share(s[at[2*g]:at[2*g+1]])
}

// runes returns n letters from a place on.
func runes(s string, from, n int64) string {
	skip := func(s string, n int64) int {
		i := 0
		for ; n > 0 && i < len(s); n-- {
			_, size := utf8.DecodeRuneInString(s[i:])
			i += size
		}
		return i
	}
	s = s[skip(s, from):]
	return s[:skip(s, n)]
}

// translate is tr.
func (m *Machine) translate(s string, args []Value) (Value, error) {
	from, err := m.str(args[0])
	if err != nil {
		return nil, err
	}
	to, err := m.str(args[1])
	if err != nil {
		return nil, err
	}
	if len(from) > 1000 || len(to) > 1000 {
		return nil, m.Fail("tr takes at most 1000 letters")
	}
	negated := len(from) > 1 && from[0] == '^'
	if negated {
		from = from[1:]
	}
	a, err := m.letters(from)
	if err != nil {
		return nil, err
	}
	b, err := m.letters(to)
	if err != nil {
		return nil, err
	}
	table := make(map[rune]rune, len(a))
	for i, r := range a {
		table[r] = -1
		if len(b) > 0 {
			table[r] = b[min(i, len(b)-1)]
		}
	}
	if err := m.Alloc(4*int64(len(s)) + 50*int64(len(table))); err != nil {
		return nil, err
	}
	if err := m.Steps(int64(len(s)) >> 6); err != nil {
		return nil, err
	}
	return m.share(strings.Map(func(r rune) rune {
		t, in := table[r]
		switch {
		case negated && in, !negated && !in:
			return r
		case !negated:
			return t
		case len(b) == 0:
			return -1
		}
		return b[len(b)-1]
	}, s))
}

// letters spells out ranges like a-z.
func (m *Machine) letters(s string) ([]rune, error) {
	in := []rune(s)
	var out []rune
	for i := 0; i < len(in); i++ {
		switch {
		case in[i] == '\\' && i+1 < len(in):
			i++
			out = append(out, in[i])
		case i+2 < len(in) && in[i+1] == '-':
			first, last := in[i], in[i+2]
			if last < first || last-first > 1000 {
				return nil, m.Fail("the range %c-%c in tr is not valid", first, last)
			}
			if err := m.Alloc(4 * int64(last-first)); err != nil {
				return nil, err
			}
			for r := first; r <= last; r++ {
				out = append(out, r)
			}
			i += 2
		default:
			out = append(out, in[i])
		}
	}
	return out, nil
}
