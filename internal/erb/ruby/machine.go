package ruby

import (
	"context"
	"strings"
)

// Limits bound one rendering, with all that it includes. Memory that has become
// garbage still counts.
type Limits struct {
	Steps  int64 // about one for each node, and for each KiB that is copied
	Memory int64 // bytes of all values made
	Output int   // bytes of the text
}

// What values are charged with, in bytes.
const (
	sizeValue = 48
	sizeEntry = 200
)

// Host is what a template's macros and variables reach.
type Host interface {
	// Macro calls one; call knows what with.
	Macro(m *Machine, name string, call *Call) (Value, error)
	// Instance is a variable that is written with an @.
	Instance(m *Machine, name string) (v Value, ok bool, err error)
}

// Call is one call of a macro.
type Call struct {
	Args  []Value
	Line  int
	block func() (Value, error)
}

// Yield runs the block that the macro was given.
func (c *Call) Yield() (Value, error) { return c.block() }

// Options takes the pairs at the end of the arguments off them; nil: there are
// none.
func (c *Call) Options() *Hash {
	if n := len(c.Args); n > 0 {
		if h, ok := c.Args[n-1].(*Hash); ok {
			c.Args = c.Args[:n-1]
			return h
		}
	}
	return nil
}

// Machine runs programs, one inside another.
type Machine struct {
	ctx    context.Context
	limits Limits
	steps  int64
	memory int64
	asked  int64 // steps when the context was last asked
	out    *strings.Builder
	host   Host
	slots  []Value
	line   int
}

// NewMachine returns a machine that stops when ctx ends, with ctx's error.
func NewMachine(ctx context.Context, l Limits) *Machine {
	return &Machine{ctx: ctx, limits: l, steps: l.Steps, memory: l.Memory, asked: l.Steps}
}

// Context is that of the machine.
func (m *Machine) Context() context.Context { return m.ctx }

// Run runs a program and returns its text. It may be called from inside a macro.
// Errors are *Error, the context's, or those of the host.
func (m *Machine) Run(p *Program, host Host) (string, error) {
	out, outer, slots, line := m.out, m.host, m.slots, m.line
	if err := m.Alloc(int64(p.slots) * 16); err != nil {
		return "", err
	}
	m.out, m.host, m.slots = &strings.Builder{}, host, make([]Value, p.slots)
	_, err := p.root.eval(m)
	text := m.out.String()
	m.out, m.host, m.slots = out, outer, slots
	if err == nil {
		m.line = line
	}
	return text, err
}

// Fail makes an error that blames the line being run.
func (m *Machine) Fail(format string, args ...any) error { return failure(m.line, format, args...) }

// step charges for one node.
func (m *Machine) step(line int) error {
	m.line = line
	return m.Steps(1)
}

// Steps charges n steps. Everything that loops calls it.
func (m *Machine) Steps(n int64) error {
	if n < 0 || n > m.steps {
		m.steps = 0
		return m.Fail("the template takes too many steps")
	}
	m.steps -= n
	if m.asked-m.steps < 500 {
		return nil
	}
	m.asked = m.steps
	return m.ctx.Err()
}

// Alloc charges for n bytes that are about to be made, and for filling them. It
// comes before the making.
func (m *Machine) Alloc(n int64) error {
	if n < 0 || n > m.memory {
		m.memory = 0
		return m.Fail("the template takes too much memory")
	}
	m.memory -= n
	return m.Steps(n >> 10)
}

// allocN is Alloc of n times size.
func (m *Machine) allocN(n, size int64) error {
	if n < 0 || size > 0 && n > m.memory/size {
		return m.Alloc(-1)
	}
	return m.Alloc(n * size)
}

// NewString returns a string and charges for it.
func (m *Machine) NewString(s string) (Value, error) {
	return &String{s}, m.Alloc(int64(len(s)) + sizeValue)
}

// share is NewString of a part of what exists already.
func (m *Machine) share(s string) (Value, error) { return &String{s}, m.Alloc(sizeValue) }

// write puts text into the output.
func (m *Machine) write(s string) error {
	if m.out.Len()+len(s) > m.limits.Output {
		return m.Fail("the rendered text is longer than %d bytes", m.limits.Output)
	}
	if err := m.Alloc(int64(len(s))); err != nil {
		return err
	}
	m.out.WriteString(s)
	return nil
}

// blame gives an error without a line the line being run.
func (m *Machine) blame(err error) error {
	if e, ok := err.(*Error); ok && e.Line == 0 && !e.Plain {
		return &Error{Line: m.line, Text: e.Text}
	}
	return err
}

// text is ToText, with the line to blame.
func (m *Machine) text(v Value) (string, error) {
	s, err := ToText(v)
	return s, m.blame(err)
}
