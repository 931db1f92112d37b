package sshsim

import (
	"bytes"
	"io"
	"strconv"
	"strings"
)

// shell runs the small language of the devices: commands of words, quotes and
// comments, joined by ; && || and line ends, with output redirected by >&2,
// 2>&1, >/dev/null and 2>/dev/null. Variables are $$, $?, $USER and
// $HOSTNAME. There are no pipes, no loops and no files.
type shell struct {
	device  *Device
	process *process
	user    string
	out     io.Writer
	err     io.Writer

	status int
	exited bool
}

// run runs a script and returns its exit status.
func (s *shell) run(script string) int {
	for line := range strings.Lines(script) {
		s.line(strings.TrimRight(line, "\r\n"))
		if s.over() {
			break
		}
	}
	return s.status
}

func (s *shell) over() bool { return s.exited || s.process.ctx.Err() != nil }

func (s *shell) line(line string) {
	tokens, ok := scan(line)
	if !ok {
		_, _ = io.WriteString(s.err, "sh: syntax error: unterminated quote\n")
		s.status, s.exited = 2, true
		return
	}
	var words []string
	skip := false
	flush := func() {
		if len(words) > 0 && !skip {
			s.command(words)
		}
		words = nil
	}
	for _, t := range tokens {
		if !t.operator {
			words = append(words, s.expand(t))
			continue
		}
		flush()
		if s.over() {
			return
		}
		switch t.text {
		case ";":
			skip = false
		case "&&":
			skip = s.status != 0
		case "||":
			skip = s.status == 0
		}
	}
	flush()
}

func (s *shell) expand(t token) string {
	if t.literal || !strings.Contains(t.text, "$") {
		return t.text
	}
	return strings.NewReplacer("$$", strconv.Itoa(s.process.id), "$?", strconv.Itoa(s.status),
		"$USER", s.user, "$HOSTNAME", s.device.Name).Replace(t.text)
}

// command runs one simple command.
func (s *shell) command(words []string) {
	out, errs := s.out, s.err
	args := words[:0:0]
	for _, w := range words {
		switch w {
		case ">&2", "1>&2":
			out = errs
		case "2>&1":
			errs = out
		case ">/dev/null", "1>/dev/null":
			out = io.Discard
		case "2>/dev/null":
			errs = io.Discard
		case "</dev/null":
		default:
			args = append(args, w)
		}
	}
	if len(args) == 0 {
		return
	}
	s.status = s.builtin(args[0], args[1:], out, errs)
}

func (s *shell) builtin(name string, args []string, out, errs io.Writer) int {
	say := func(text string) int {
		if _, err := io.WriteString(out, text); err != nil {
			return 1
		}
		return 0
	}
	complain := func(text string, status int) int {
		_, _ = io.WriteString(errs, text+"\n")
		return status
	}
	number := func(otherwise int) int {
		if n, err := strconv.Atoi(at(args, 0)); err == nil {
			return n
		}
		return otherwise
	}
	switch name {
	case ":", "true", "cd", "export", "set", "cat":
		return 0 // standard input is empty
	case "false":
		return 1
	case "exit":
		s.exited = true
		return number(s.status) & 0xff
	case "echo":
		if at(args, 0) == "-n" {
			return say(strings.Join(args[1:], " "))
		}
		return say(strings.Join(args, " ") + "\n")
	case "printf":
		return say(format(args))
	case "sleep":
		d, ok := seconds(at(args, 0))
		if !ok {
			return complain("sleep: invalid time interval", 1)
		}
		pause(s.process.ctx, d)
		return 0
	case "hostname":
		return say(s.device.Name + "\n")
	case "whoami":
		return say(s.user + "\n")
	case "id":
		return say("uid=1000(" + s.user + ")\n")
	case "pwd":
		return say("/home/" + s.user + "\n")
	case "date":
		return say("Thu Jan  1 00:00:00 UTC 1970\n")
	case "uname":
		if at(args, 0) == "-a" {
			return say("Linux " + s.device.Name + " 6.1.0-sim x86_64 GNU/Linux\n")
		}
		return say("Linux\n")
	case "uptime":
		return say(" 00:00:00 up 1 day,  0 min,  1 user,  load average: 0.00, 0.00, 0.00\n")
	case "bytes": // bytes N: that many bytes of output
		return fill(out, number(0))
	case "invalid-utf8":
		return say("caf\xe9 \xff\xfe \xf0\x9f\x98\n")
	case "kill": // kill -NAME $$: only itself
		signal := strings.TrimPrefix(strings.TrimPrefix(at(args, 0), "-"), "SIG")
		if signal == "9" {
			signal = "KILL"
		}
		if at(args, 1) != strconv.Itoa(s.process.id) {
			return complain("kill: no such process", 1)
		}
		s.process.kill(signal, Behaviour{})
		return 0
	case "sh", "/bin/sh", "bash", "/bin/bash":
		if at(args, 0) == "-c" {
			inner := &shell{device: s.device, process: s.process, user: s.user, out: out, err: errs}
			return inner.run(at(args, 1))
		}
		return 0
	}
	return complain("sh: "+name+": not found", 127)
}

func fill(out io.Writer, n int) int {
	block := bytes.Repeat([]byte("0123456789abcde\n"), 2048)
	for n > 0 {
		part := block[:min(n, len(block))]
		if _, err := out.Write(part); err != nil {
			return 1
		}
		n -= len(part)
	}
	return 0
}

// format is a printf of %s, %d and %% with the usual escapes.
func format(args []string) string {
	if len(args) == 0 {
		return ""
	}
	text := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t").Replace(args[0])
	args = args[1:]
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "%")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		switch {
		case strings.HasPrefix(after, "%"):
			b.WriteByte('%')
			text = after[1:]
		case strings.HasPrefix(after, "s"), strings.HasPrefix(after, "d"):
			b.WriteString(at(args, 0))
			args = args[min(1, len(args)):]
			text = after[1:]
		default:
			b.WriteByte('%')
			text = after
		}
	}
}

// token is a word or an operator of the language.
type token struct {
	text     string
	operator bool
	literal  bool // stood in single quotes as a whole
}

// scan cuts a line into tokens; false for a quote that is not closed.
func scan(line string) ([]token, bool) {
	var tokens []token
	var word strings.Builder
	inWord, literal := false, true
	flush := func() {
		if inWord {
			tokens = append(tokens, token{text: word.String(), literal: literal})
		}
		word.Reset()
		inWord, literal = false, true
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ' ' || c == '\t':
			flush()
		case c == '#' && !inWord:
			return tokens, true
		case c == ';':
			flush()
			tokens = append(tokens, token{text: ";", operator: true})
		case (c == '&' || c == '|') && i+1 < len(line) && line[i+1] == c:
			flush()
			tokens = append(tokens, token{text: line[i : i+2], operator: true})
			i++
		case c == '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return nil, false
			}
			word.WriteString(line[i+1 : i+1+end])
			inWord = true
			i += end + 1
		case c == '"':
			inWord, literal = true, false
			closed := false
			for i++; i < len(line); i++ {
				if line[i] == '"' {
					closed = true
					break
				}
				if line[i] == '\\' && i+1 < len(line) && strings.IndexByte("\"\\$`", line[i+1]) >= 0 {
					i++
				}
				word.WriteByte(line[i])
			}
			if !closed {
				return nil, false
			}
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			inWord = true
		default:
			word.WriteByte(c)
			inWord, literal = true, false
		}
	}
	flush()
	return tokens, true
}

// split cuts a command line into its words; operators are words here.
func split(line string) ([]string, bool) {
	tokens, ok := scan(line)
	words := make([]string, len(tokens))
	for i, t := range tokens {
		words[i] = t.text
	}
	return words, ok
}
