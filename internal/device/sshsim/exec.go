package sshsim

import (
	"context"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// process is a running script.
type process struct {
	id     int
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	signal string // what ended it
}

// kill ends the process as a signal does.
func (p *process) kill(signal string, b Behaviour) {
	if b.Immortal {
		return
	}
	p.mu.Lock()
	if p.signal == "" {
		p.signal = signal
	}
	p.mu.Unlock()
	p.cancel()
}

func (p *process) killedBy() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signal
}

// begin enters a script into the device's records.
func (d *Device) begin(ctx context.Context, user, script string) (*process, *Execution) {
	ctx, cancel := context.WithCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.processes == nil {
		d.processes = make(map[int]*process)
		d.lastProcess = 1000
	}
	d.lastProcess++
	p := &process{id: d.lastProcess, ctx: ctx, cancel: cancel}
	d.processes[p.id] = p
	e := &Execution{Invocation: Invocation{Device: d.Name, User: user, Script: script}, Started: time.Now()}
	return p, e
}

// record counts an execution: its script starts now.
func (d *Device) record(e *Execution, script string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.Script = script
	e.Started = time.Now()
	d.executions = append(d.executions, e)
}

func (d *Device) end(p *process, e *Execution, status int) {
	p.cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.processes, p.id)
	e.Ended = time.Now()
	e.Status = status
}

// exec runs one command line.
func (c *connection) exec(ctx context.Context, ch ssh.Channel, line string, b Behaviour, running *atomic.Pointer[process]) {
	words, ok := split(line)
	if !ok {
		_, _ = io.WriteString(ch.Stderr(), "sh: syntax error\n")
		finish(ch, 2, "")
		return
	}
	c.launch(ctx, ch, c.user, words, line, b, running)
}

// launch runs the parsed command line as user: through sudo or su, as a
// wrapped script, as a killer, or as a plain command.
func (c *connection) launch(ctx context.Context, ch ssh.Channel, user string, words []string, line string, b Behaviour, running *atomic.Pointer[process]) {
	if len(words) > 0 && words[0] == "exec" {
		words = words[1:]
	}
	program := ""
	if len(words) > 0 {
		program = words[0]
	}
	switch {
	case program == "sudo" || program == "dzdo":
		prompt, as := "[sudo] password: ", "root"
		i := 1
		for ; i < len(words) && strings.HasPrefix(words[i], "-"); i++ {
			switch words[i] {
			case "-p":
				i++
				prompt = at(words, i)
			case "-u":
				i++
				as = at(words, i)
			}
			if words[min(i, len(words)-1)] == "--" {
				i++
				break
			}
		}
		if c.becomes(ch, prompt, "Sorry, try again.\n", 3, b) {
			c.launch(ctx, ch, as, words[min(i, len(words)):], line, b, running)
		}
	case program == "su" && at(words, 1) == "-c":
		inner, ok := split(at(words, 2))
		if ok && c.becomes(ch, "Password: ", "su: Authentication failure\n", 1, b) {
			c.launch(ctx, ch, at(words, 3), inner, at(words, 2), b, running)
		}
	case program == "sh" && at(words, 3) == "drover" && !b.NoMarker:
		c.wrapped(ctx, ch, user, at(words, 5), at(words, 6), b, running)
	case program == "sh" && at(words, 3) == "drover-kill" && !b.NoMarker:
		c.killer(ctx, ch, at(words, 4), at(words, 6), b)
	case program == "sh" && at(words, 3) == "drover":
		_, _ = io.Copy(io.Discard, ch)
		_, _ = io.WriteString(ch.Stderr(), "-cli: sh: command not found\n")
		finish(ch, 127, "")
	case line == "", len(words) <= 2 && (program == "sh" || program == "bash") && (len(words) == 1 || words[1] == "-s"):
		script, err := io.ReadAll(ch)
		if err == nil {
			c.run(ctx, ch, user, string(script), "", b, running)
		}
	default:
		c.run(ctx, ch, user, line, "", b, running)
	}
}

func at(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return ""
}

// becomes asks for the password of another user, as sudo and su do, and
// reports whether that user was reached; if not it ends the command.
func (c *connection) becomes(ch ssh.Channel, prompt, sorry string, tries int, b Behaviour) bool {
	if b.BecomeDenied {
		_, _ = io.WriteString(ch.Stderr(), c.user+" is not allowed to do that\n")
		finish(ch, 1, "")
		return false
	}
	if b.BecomePassword == "" {
		return true
	}
	for range tries {
		_, _ = io.WriteString(ch.Stderr(), prompt)
		line, err := readLine(ch)
		if err == nil && line == b.BecomePassword {
			return true
		}
		_, _ = io.WriteString(ch.Stderr(), sorry)
		if err != nil {
			break
		}
	}
	finish(ch, 1, "")
	return false
}

// wrapped runs a script that package sshdevice sends: the marker on standard
// error, then the script between two nonces, or of a length known beforehand.
func (c *connection) wrapped(ctx context.Context, ch ssh.Channel, user, nonce, extra string, b Behaviour, running *atomic.Pointer[process]) {
	c.run(ctx, ch, user, "", nonce+" "+extra, b, running)
}

// killer ends a process by its number, as the kill command line does.
func (c *connection) killer(ctx context.Context, ch ssh.Channel, group, nonce string, b Behaviour) {
	id, _ := strconv.Atoi(group)
	c.device.mu.Lock()
	p := c.device.processes[id]
	c.device.mu.Unlock()
	found := "0"
	if p != nil {
		found = "1"
		p.kill("KILL", b)
		if b.Immortal {
			finish(ch, 1, "")
			return
		}
		for c.device.lives(id) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
	}
	_, _ = io.WriteString(ch, "drover-gone "+nonce+" "+found+"\n")
	finish(ch, 0, "")
}

func (d *Device) lives(id int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.processes[id]
	return ok
}

// run runs a script and reports its end to the client. With framed ("nonce
// extra") the script is still to be read.
func (c *connection) run(ctx context.Context, ch ssh.Channel, user, script, framed string, b Behaviour, running *atomic.Pointer[process]) {
	p, e := c.device.begin(ctx, user, script)
	running.Store(p)
	status := -1
	defer func() { c.device.end(p, e, status) }()
	if b.Greeting != "" {
		_, _ = io.WriteString(ch.Stderr(), b.Greeting)
	}
	if b.GreetingOut != "" {
		_, _ = io.WriteString(ch, b.GreetingOut)
	}
	if framed != "" {
		nonce, extra, _ := strings.Cut(framed, " ")
		_, _ = io.WriteString(ch.Stderr(), "\x01drover "+nonce+" "+strconv.Itoa(p.id)+" "+strconv.Itoa(p.id)+"\n")
		if c.fault2(StageScript, b, ctx.Done()) {
			return
		}
		text, err := io.ReadAll(ch)
		if err != nil {
			return
		}
		whole := false
		if script, whole = unframe(string(text), nonce, extra); !whole {
			status = 125
			finish(ch, status, "")
			return
		}
	} else if c.fault2(StageScript, b, ctx.Done()) {
		return
	}
	if strings.HasPrefix(script, detachedMark) {
		status = c.operate(p.ctx, ch, user, script, b)
	} else {
		c.device.record(e, script)
		status = c.device.work(p, user, script, b, ch, ch.Stderr())
	}
	if c.fault2(StageOutput, b, p.ctx.Done()) && b.DropAt == StageOutput {
		return
	}
	signal := p.killedBy()
	if signal != "" {
		status = -1
	}
	// The records are closed before the client is told, so that a client
	// that has its answer finds them complete.
	c.device.end(p, e, status)
	finish(ch, status, signal)
}

// unframe takes the script out of what came on standard input.
func unframe(text, nonce, extra string) (script string, whole bool) {
	if extra != "" {
		length, _, _ := strings.Cut(extra, " ")
		return text, length == strconv.Itoa(len(text))
	}
	script, ok := strings.CutPrefix(text, nonce)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(script, nonce)
}

// pause waits and reports whether it waited to the end.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// seconds reads sleep's argument.
func seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || n > math.MaxInt64/float64(time.Second) || math.IsNaN(n) {
		return 0, false
	}
	return time.Duration(n * float64(time.Second)), true
}

// Commands lists what the interpreter of the devices knows.
func Commands() []string {
	return slices.Clone([]string{":", "bytes", "cat", "cd", "date", "echo", "exit", "export", "false", "hostname", "id", "invalid-utf8",
		"kill", "printf", "pwd", "set", "sh", "sleep", "true", "uname", "uptime", "whoami"})
}
