package sshdevice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"drover/internal/device"
	"drover/internal/job"
)

var _ device.Detacher = (*session)(nil)

// opTime is how long the device may take for an operation on a detached command,
// beyond what it is told to wait.
const opTime = 30 * time.Second

// safeName are the names of detached commands: they become names of folders.
var safeName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// Detach implements device.Detacher.
func (s *session) Detach(ctx context.Context, cmd device.DetachedCommand) (device.Progress, error) {
	var none device.Progress
	interpreter, err := shebang(cmd.Script)
	if err == nil && cmd.Timeout <= 0 {
		err = errors.New("a detached command needs a time limit")
	}
	if err != nil {
		return none, s.cannotDetach(err)
	}
	limit := cmd.OutputLimit
	if limit <= 0 {
		limit = job.DefaultOutputLimit
	}
	op := operation{name: "start", of: cmd.Detached, wait: cmd.Wait, nonce: newNonce(), limit: cmd.Timeout, keep: limit}
	if cmd.Tried > 0 {
		op.tried = int64(cmd.Tried/time.Second) + 1
	}
	op.body, op.script = evalBody, op.nonce+cmd.Script+op.nonce
	if interpreter != "" {
		op.body, op.extra, op.script = fileBody, strconv.Itoa(len(cmd.Script))+" "+interpreter, cmd.Script
	}
	return s.operate(ctx, op, 2*limit)
}

// Look implements device.Detacher.
func (s *session) Look(ctx context.Context, c device.Detached, from device.Offsets, wait time.Duration) (device.Progress, error) {
	return s.operate(ctx, operation{name: "look", of: c, wait: wait, nonce: newNonce(), from: from}, 0)
}

// Kill implements device.Detacher.
func (s *session) Kill(ctx context.Context, c device.Detached) (found, gone bool, err error) {
	op := operation{name: "kill", of: c, nonce: newNonce()}
	exit, err := s.send(ctx, op, 4<<10)
	if err != nil {
		return false, false, err
	}
	gone, found = parseGone(string(exit.Stdout), op.nonce)
	return found, gone, nil
}

// Forget implements device.Detacher.
func (s *session) Forget(ctx context.Context, c device.Detached) error {
	op := operation{name: "forget", of: c, nonce: newNonce()}
	exit, err := s.send(ctx, op, 4<<10)
	if err == nil && exit.Status != 0 {
		err = s.unanswered(exit)
	}
	return err
}

// operate carries out an operation and reads how the command stands.
func (s *session) operate(ctx context.Context, op operation, limit int64) (device.Progress, error) {
	exit, err := s.send(ctx, op, limit)
	if err != nil {
		return device.Progress{}, err
	}
	p, said, ok := parseProgress(exit, op.nonce)
	switch {
	case !ok && exit.Status == incompleteStatus && op.name == "start":
		return p, &device.Error{Phase: device.PhaseStart, Reason: job.ReasonConnect, Msg: "the command did not arrive whole at " + s.to.Name}
	case !ok:
		return p, s.unanswered(exit)
	case said != "":
		return p, s.cannotDetach(errors.New(said))
	}
	return p, nil
}

// send runs an operation to its end.
func (s *session) send(ctx context.Context, op operation, limit int64) (device.Exit, error) {
	if s.to.Platform != job.PlatformLinux {
		return device.Exit{}, s.cannotDetach(errors.New("the platform has no such commands"))
	}
	if !safeName.MatchString(op.of.Name) {
		return device.Exit{}, s.cannotDetach(errors.New("it has no usable name"))
	}
	if limit == 0 {
		limit = maxLook
	}
	exit, err := s.Run(ctx, device.Command{Script: op.text(), Become: op.of.Become, BecomePassword: op.of.BecomePassword,
		Timeout: op.wait + opTime, OutputLimit: limit + maxHead})
	if err == nil && exit.Killed {
		err = s.unanswered(exit)
	}
	return exit, err
}

// maxLook is the most that one look takes of a stream.
const maxLook = 64 << 20

func (s *session) cannotDetach(err error) error {
	return &device.Error{Phase: device.PhaseStart, Reason: job.ReasonUnsupported, Msg: "no command can run detached on " + s.to.Name, Err: err}
}

// unanswered is the error for an operation that came to no good end. It tells what
// was said before the mark, behind which is what the command printed.
func (s *session) unanswered(exit device.Exit) error {
	before, _, _ := strings.Cut(string(exit.Stderr), "\x01")
	said := strings.ToValidUTF8(strings.Join(strings.Fields(before), " "), "\uFFFD")
	if len(said) > 300 {
		said = strings.ToValidUTF8(said[:300], "") + "..."
	}
	e := &device.Error{Phase: device.PhaseRun, Reason: job.ReasonLost, Sent: true, Msg: s.to.Name + " did not say how the detached command stands", Err: io.ErrUnexpectedEOF}
	if said != "" {
		e.Err = errors.New(said)
	}
	return e
}

// parseProgress reads what the look part of an operation printed: on each stream
// a line with the nonce, then what the command printed. said is why the device
// started nothing.
func parseProgress(exit device.Exit, nonce string) (p device.Progress, said string, ok bool) {
	mark := []byte("\x01" + nonce)
	_, out, found := bytes.Cut(exit.Stdout, append(mark, ' '))
	line, out, whole := bytes.Cut(out, []byte("\n"))
	if !found || !whole {
		return p, "", false
	}
	word, rest, _ := strings.Cut(string(line), " ")
	p.State = device.DetachedState(word)
	switch p.State {
	case device.DetachedStarting, device.DetachedMissing:
		return p, "", true
	case "refused":
		return p, rest, true
	case device.DetachedRunning, device.DetachedLost, device.DetachedEnded:
	default:
		return p, "", false
	}
	var fields [7]int64
	words := strings.Fields(rest)
	for i := range min(len(words), len(fields)) {
		n, err := strconv.ParseInt(words[i], 10, 64)
		if err != nil || n < 0 {
			return p, "", false
		}
		fields[i] = n
	}
	if p.State == device.DetachedEnded && len(words) < len(fields) {
		return p, "", false
	}
	p.Stdout = out
	if _, errs, found := bytes.Cut(exit.Stderr, append(mark, '\n')); found {
		p.Stderr = errs
	}
	p.StdoutBytes, p.StderrBytes = max(fields[0], fields[5]), max(fields[1], fields[6])
	p.Status, p.TimedOut, p.KillConfirmed = int(fields[2]), fields[3] == 1, fields[4] == 1
	return p, "", true
}

// operation is something to be done about a detached command.
type operation struct {
	name  string // start, look, kill or forget
	of    device.Detached
	nonce string
	wait  time.Duration
	from  device.Offsets

	// Of a start.
	tried  int64 // seconds since an earlier one; 0: there was none
	limit  time.Duration
	keep   int64
	body   string // evalBody or fileBody
	extra  string // its $4
	script string // framed for body
}

// text is the script of an operation. Its first line says what it is to those
// who only pretend.
func (o operation) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# drover-detach %s %s %s %d %s %d %d %d %d\n", o.name, o.of.Name, o.nonce,
		o.wait.Milliseconds(), seconds(o.limit), o.keep, o.tried, o.from.Stdout, o.from.Stderr)
	fmt.Fprintf(&b, "k=%s; n=%s; w=%d\n", o.nonce, o.of.Name, (o.wait.Milliseconds()+99)/100)
	b.WriteString(findFolder)
	switch o.name {
	case "start":
		fmt.Fprintf(&b, "tried=%d; limit=%s; keep=%d; body=%s; extra=%s; super=%s; watch=%s; kill=%s\n", o.tried, seconds(o.limit), o.keep,
			quote(o.body), quote(o.extra), quote(superStage), quote(watchStage), quote(killStage))
		b.WriteString("script=" + quote(o.script) + "\n")
		b.WriteString(startFolder)
		b.WriteString("o=0; e=0\n")
		b.WriteString(lookFolder)
	case "look":
		fmt.Fprintf(&b, "o=%d; e=%d\n", o.from.Stdout, o.from.Stderr)
		b.WriteString(lookFolder)
	case "kill":
		fmt.Fprintf(&b, "kill=%s\n", quote(killStage))
		b.WriteString(killFolder)
	case "forget":
		b.WriteString("[ -z \"$f\" ] || rm -rf \"$f\"\n")
	}
	return b.String()
}

// seconds is a duration as sleep takes it.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}
