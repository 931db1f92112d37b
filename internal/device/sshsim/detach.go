package sshsim

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// detachedMark is how the scripts begin by which package sshdevice starts commands
// that outlive their connection, looks at them, kills and forgets them.
const detachedMark = "# drover-detach "

// detached is a command that runs apart from any connection.
type detached struct {
	process *process
	out     capped
	err     capped
	done    chan struct{} // closed when it has ended

	mu       sync.Mutex
	lost     bool // the device was restarted under it
	status   int
	timedOut bool
}

// capped keeps the beginning of a stream and counts the rest.
type capped struct {
	mu    sync.Mutex
	keep  int
	kept  []byte
	total int
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += len(p)
	c.kept = append(c.kept, p[:min(len(p), c.keep-len(c.kept))]...)
	return len(p), nil
}

// from returns what is kept from an offset on, how much is kept, and how much
// came in all.
func (c *capped) from(offset int) (p []byte, kept, all int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.kept[min(offset, len(c.kept)):]...), len(c.kept), c.total
}

// Restart ends everything that runs on the device and drops its connections, as
// a restart does. With forget it loses its files too.
func (d *Device) Restart(forget bool) {
	d.mu.Lock()
	d.booted = time.Now()
	var running []*detached
	for name, c := range d.detached {
		running = append(running, c)
		if forget {
			delete(d.detached, name)
		}
	}
	d.mu.Unlock()
	for _, c := range running {
		c.mu.Lock()
		select {
		case <-c.done:
		default:
			c.lost = true
		}
		c.mu.Unlock()
		c.process.kill("KILL", Behaviour{})
		<-c.done
	}
	d.dropAll()
}

// Detached is how many detached commands the device knows of, ended ones too.
func (d *Device) Detached() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.detached)
}

// operate does what a script about a detached command asks for, and returns the
// script's exit status.
func (c *connection) operate(ctx context.Context, ch ssh.Channel, user, script string, b Behaviour) int {
	d := c.device
	first, _, _ := strings.Cut(script, "\n")
	words := strings.Fields(strings.TrimPrefix(first, detachedMark))
	if len(words) != 9 {
		_, _ = io.WriteString(ch.Stderr(), "sh: syntax error\n")
		return 2
	}
	op, name, nonce := words[0], user+"/"+words[1], words[2]
	number := func(i int) int { n, _ := strconv.Atoi(words[i]); return n }
	d.mu.Lock()
	cmd := d.detached[name]
	up := time.Since(d.booted)
	d.mu.Unlock()
	switch op {
	case "start":
		if cmd != nil {
			break
		}
		if b.NoDetach {
			_, _ = fmt.Fprintf(ch, "\x01%s refused there is no setsid\n", nonce)
			return 0
		}
		if tried := number(6); tried == 0 || up >= time.Duration(tried)*time.Second {
			limit, _ := seconds(words[4])
			cmd = d.detach(user, name, scriptOf(script, nonce), limit, number(5), b)
		}
	case "kill":
		return killDetached(ctx, ch, cmd, nonce, b)
	case "forget":
		d.mu.Lock()
		delete(d.detached, name)
		d.mu.Unlock()
		return 0
	}
	if cmd == nil {
		_, _ = fmt.Fprintf(ch, "\x01%s missing\n", nonce)
		return 0
	}
	t := time.NewTimer(time.Duration(number(3)) * time.Millisecond)
	defer t.Stop()
	select {
	case <-cmd.done:
	case <-t.C:
	case <-ctx.Done():
	}
	cmd.say(ch, nonce, number(7), number(8), b)
	return 0
}

// killDetached kills a detached command as a killer does.
func killDetached(ctx context.Context, ch ssh.Channel, cmd *detached, nonce string, b Behaviour) int {
	found := "0"
	if cmd != nil {
		select {
		case <-cmd.done:
		default:
			found = "1"
			cmd.process.kill("KILL", b)
			if b.Immortal {
				return 1
			}
			select {
			case <-cmd.done:
			case <-ctx.Done():
				return 1
			}
		}
	}
	_, _ = io.WriteString(ch, "drover-gone "+nonce+" "+found+"\n")
	return 0
}

// scriptOf takes the command's script out of a script that starts it.
func scriptOf(text, nonce string) string {
	_, text, _ = strings.Cut(text, "\nscript='")
	text, _, _ = strings.Cut(text, "'\nrefuse()")
	text = strings.ReplaceAll(text, `'\''`, "'")
	if script, ok := unframe(text, nonce, ""); ok {
		return script
	}
	return text
}

// detach starts a command.
func (d *Device) detach(user, name, script string, limit time.Duration, keep int, b Behaviour) *detached {
	p, e := d.begin(context.Background(), user, script)
	cmd := &detached{process: p, done: make(chan struct{}), out: capped{keep: keep}, err: capped{keep: keep}}
	d.mu.Lock()
	if d.detached == nil {
		d.detached = make(map[string]*detached)
	}
	d.detached[name] = cmd
	d.mu.Unlock()
	d.record(e, script)
	d.fleet.wg.Go(func() {
		over := time.AfterFunc(limit, func() {
			cmd.mu.Lock()
			cmd.timedOut = true
			cmd.mu.Unlock()
			p.kill("KILL", b)
		})
		defer over.Stop()
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			select {
			case <-d.fleet.stop:
				p.cancel()
			case <-ended:
			}
		}()
		status := d.work(p, user, script, b, &cmd.out, &cmd.err)
		if p.killedBy() != "" {
			status = 128 + 9
		}
		d.end(p, e, status)
		cmd.mu.Lock()
		cmd.status = status
		cmd.mu.Unlock()
		close(cmd.done)
	})
	return cmd
}

// work is what a script does.
func (d *Device) work(p *process, user, script string, b Behaviour, out, errs io.Writer) int {
	reply := Reply{Delay: b.Delay}
	if b.Respond != nil {
		reply = b.Respond(Invocation{Device: d.Name, User: user, Script: script})
		reply.Delay += b.Delay
	}
	switch {
	case !pause(p.ctx, reply.Delay): // killed, or the connection went away
		return -1
	case b.Respond != nil:
		_, _ = out.Write(reply.Stdout)
		_, _ = errs.Write(reply.Stderr)
		return reply.Status
	}
	sh := &shell{device: d, process: p, user: user, out: out, err: errs}
	return sh.run(script)
}

// say tells how the command stands.
func (c *detached) say(ch ssh.Channel, nonce string, o, e int, b Behaviour) {
	out, kept, all := c.out.from(o)
	errs, keptErr, allErr := c.err.from(e)
	state, tail := "running", ""
	select {
	case <-c.done:
		c.mu.Lock()
		state, tail = "ended", fmt.Sprintf(" %d 0 0 %d %d", c.status, all, allErr)
		if c.timedOut && c.process.killedBy() != "" {
			gone := 1
			if b.Immortal {
				gone = 0
			}
			tail = fmt.Sprintf(" %d 1 %d %d %d", c.status, gone, all, allErr)
		}
		if c.lost {
			state, tail = "lost", ""
		}
		c.mu.Unlock()
	default:
	}
	_, _ = fmt.Fprintf(ch, "\x01%s %s %d %d%s\n", nonce, state, kept, keptErr, tail)
	_, _ = ch.Write(out)
	_, _ = fmt.Fprintf(ch.Stderr(), "\x01%s\n", nonce)
	_, _ = ch.Stderr().Write(errs)
}
