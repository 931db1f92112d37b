package sshdevice

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"drover/internal/device"
	"drover/internal/job"
)

// session is a logged-in connection to one device.
type session struct {
	dialer *Dialer
	to     device.Endpoint
	client *client
	once   sync.Once
}

// Close ends the connection and those to its jump hosts. What still runs on
// the device is not killed.
func (s *session) Close() error {
	s.once.Do(s.client.close)
	return nil
}

// Run runs one command; see device.Session.
func (s *session) Run(ctx context.Context, cmd device.Command) (device.Exit, error) {
	r, err := s.prepare(ctx, &cmd)
	if err != nil {
		return device.Exit{Status: -1}, err
	}
	return r.run(ctx)
}

// prepare makes everything ready up to the first byte.
func (s *session) prepare(ctx context.Context, cmd *device.Command) (*running, error) {
	nonce := newNonce()
	req, err := newRequest(s.to.Platform, cmd, nonce)
	if err != nil {
		return nil, &device.Error{Phase: device.PhaseStart, Reason: job.ReasonUnsupported, Msg: "the command cannot be sent to " + s.to.Name, Err: err}
	}
	r := newRunning(s, cmd, newHead(nonce, cmd.Become))
	if s.to.Platform == job.PlatformWindows {
		r.head.gaveUp = true // no marker comes
	}
	r.stdin = req.stdin
	if err := r.start(ctx, req.line); err != nil {
		return nil, err
	}
	if cmd.Become != (job.Become{}) {
		if err := r.become(ctx); err != nil {
			r.abandon()
			return nil, err
		}
	}
	return r, nil
}

// newNonce is a word that nothing on the device can know beforehand.
func newNonce() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// running is one command on its way.
type running struct {
	s     *session
	cmd   *device.Command
	stdin []byte
	ch    ssh.Channel

	over chan struct{} // closed when the channel has ended and all output is in
	note chan struct{} // a prompt or the marker was seen

	active atomic.Bool // something arrived since the last keepalive
	wg     sync.WaitGroup

	mu     sync.Mutex
	head   *head
	out    [2]output
	silent bool // no more calls of Follow
	status int  // -1: not known
	signal string
	exited bool // an exit status or signal has come
}

// output is what is kept of a stream.
type output struct {
	kept  []byte
	total int64
}

func newRunning(s *session, cmd *device.Command, h *head) *running {
	return &running{s: s, cmd: cmd, head: h, status: -1,
		over: make(chan struct{}), note: make(chan struct{}, 1)}
}

// guard closes the connection when ctx ends before the returned function is
// called, which reports whether ctx had not ended by then.
func (s *session) guard(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() { _ = s.client.conn.Close() })
}

func (s *session) unsent(ctx context.Context, reason, msg string, err error) *device.Error {
	if ctx.Err() != nil {
		err = ctx.Err()
		reason = reasonOf(err, reason)
	}
	return &device.Error{Phase: device.PhaseStart, Reason: reason, Msg: msg + " " + s.to.Name, Err: err}
}

// start opens the channel and has the command line accepted.
func (r *running) start(ctx context.Context, line string) error {
	begin := time.Now()
	stop := r.s.guard(ctx)
	ch, reqs, err := r.s.client.conn.OpenChannel("session", nil)
	if err != nil {
		stop()
		err := r.s.unsent(ctx, job.ReasonConnect, "no session on", err)
		r.s.dialer.observe(device.PhaseStart, begin, err)
		return err
	}
	r.ch = ch
	ok, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Line string }{line}))
	if err == nil && !ok {
		err = errors.New("the request was refused")
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = ch.Close()
		go ssh.DiscardRequests(reqs)
		err := r.s.unsent(ctx, job.ReasonConnect, "no command can be started on", err)
		r.s.dialer.observe(device.PhaseStart, begin, err)
		return err
	}
	r.s.dialer.observe(device.PhaseStart, begin, nil)
	r.wg.Add(3)
	go r.watch(reqs)
	go r.copy(0, ch)
	go r.copy(1, ch.Stderr())
	go func() {
		r.wg.Wait()
		close(r.over)
	}()
	return nil
}

// safeSignal are the names of signals that are believed: RFC 4254's, and
// others with a domain.
var safeSignal = regexp.MustCompile(`^[A-Za-z0-9+-]{1,16}(@[A-Za-z0-9.-]{1,32})?$`)

// watch waits for the exit status.
func (r *running) watch(reqs <-chan *ssh.Request) {
	defer r.wg.Done()
	for q := range reqs {
		r.mu.Lock()
		switch q.Type {
		case "exit-status":
			if len(q.Payload) >= 4 {
				r.status = int(binary.BigEndian.Uint32(q.Payload))
				r.exited = true
			}
		case "exit-signal":
			var msg struct {
				Signal string
				Rest   []byte `ssh:"rest"`
			}
			if ssh.Unmarshal(q.Payload, &msg) == nil {
				r.signal = msg.Signal
				if !safeSignal.MatchString(r.signal) {
					r.signal = "unknown"
				}
				r.exited = true
			}
		}
		r.mu.Unlock()
		if q.WantReply {
			_ = q.Reply(false, nil)
		}
	}
}

// chunks are read buffers.
var chunks = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copy takes in one stream: 0 is standard output, 1 standard error.
func (r *running) copy(stream int, from io.Reader) {
	defer r.wg.Done()
	chunk := chunks.Get().(*[32 << 10]byte)
	defer chunks.Put(chunk)
	for {
		n, err := from.Read(chunk[:])
		if n > 0 {
			r.active.Store(true)
			r.take(stream, chunk[:n])
		}
		if err != nil {
			return
		}
	}
}

func (r *running) take(stream int, p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if stream == 1 && !r.head.passed() {
		prompts := r.head.prompts
		p = r.head.feed(p)
		if r.head.passed() || r.head.prompts > prompts {
			select {
			case r.note <- struct{}{}:
			default:
			}
		}
	}
	r.keep(stream, p)
}

func (r *running) keep(stream int, p []byte) {
	if len(p) == 0 {
		return
	}
	o := &r.out[stream]
	o.total += int64(len(p))
	limit := r.cmd.OutputLimit
	if limit <= 0 {
		limit = job.DefaultOutputLimit
	}
	if room := limit - int64(len(o.kept)); room > 0 {
		o.kept = append(o.kept, p[:min(int64(len(p)), room)]...)
	}
	if r.cmd.Follow != nil && !r.silent {
		r.cmd.Follow(stream+1, p)
	}
}

// become waits until the effective user is reached, answering one prompt.
// Nothing of the script has been sent when it fails.
func (r *running) become(ctx context.Context) error {
	answered := false
	for {
		r.mu.Lock()
		reached, prompts := r.head.found, r.head.prompts
		lost := r.head.gaveUp
		r.mu.Unlock()
		switch {
		case reached:
			return nil
		case lost, answered && prompts > 1, prompts > 0 && r.cmd.BecomePassword == "":
			return r.refused(answered)
		case prompts == 1 && !answered:
			answered = true
			password := make([]byte, 0, len(r.cmd.BecomePassword)+1)
			password = append(append(password, r.cmd.BecomePassword.Reveal()...), '\n')
			go func() {
				_, _ = r.ch.Write(password)
				clear(password)
			}()
		}
		select {
		case <-r.note:
		case <-r.over:
			r.mu.Lock()
			reached = r.head.found
			exited := r.exited
			r.mu.Unlock()
			if reached || exited {
				return r.refused(answered)
			}
			return r.s.unsent(ctx, job.ReasonConnect, "the connection was lost before the effective user was reached on", io.ErrUnexpectedEOF)
		case <-ctx.Done():
			return r.s.unsent(ctx, job.ReasonConnect, "stopped before the effective user was reached on", ctx.Err())
		}
	}
}

// refused is the error for an effective user that was not reached, with what
// the host said about it.
func (r *running) refused(answered bool) error {
	user := r.cmd.Become.User
	if user == "" {
		user = "root"
	}
	r.mu.Lock()
	said := string(r.head.buf)
	if said == "" {
		said = string(r.out[1].kept)
	}
	status := r.status
	needed := r.head.prompts > 0 && r.cmd.BecomePassword == ""
	r.mu.Unlock()
	if p := r.cmd.BecomePassword.Reveal(); p != "" {
		said = strings.ReplaceAll(said, p, job.Redacted)
	}
	said = strings.ToValidUTF8(strings.Join(strings.Fields(said), " "), "\uFFFD")
	if len(said) > 300 {
		said = strings.ToValidUTF8(said[:300], "") + "..."
	}
	e := &device.Error{Phase: device.PhaseAuth, Reason: job.ReasonAuthentication}
	switch {
	case status == 127 || status == 126:
		e.Phase, e.Reason = device.PhaseStart, job.ReasonUnsupported
		e.Msg = r.s.to.Name + " cannot become " + user
	case needed:
		e.Msg = r.s.to.Name + " asks for a password to become " + user + " and none is set"
	case answered:
		e.Msg = r.s.to.Name + " refused the password to become " + user
	default:
		e.Msg = r.s.to.Name + " refused to become " + user
	}
	if said != "" {
		e.Err = errors.New(said)
	}
	return e
}

// abandon gives up a command that has not been sent.
func (r *running) abandon() {
	r.hush()
	_ = r.ch.Close()
}

// hush ends the calls of Follow.
func (r *running) hush() {
	r.mu.Lock()
	r.silent = true
	r.mu.Unlock()
}

// run sends the script and sees the command to its end.
func (r *running) run(ctx context.Context) (device.Exit, error) {
	if err := ctx.Err(); err != nil {
		r.abandon()
		return device.Exit{Status: -1}, r.s.unsent(ctx, job.ReasonConnect, "stopped before the command was sent to", err)
	}
	if r.cmd.Sent != nil {
		if err := r.cmd.Sent(); err != nil {
			r.abandon()
			return device.Exit{Status: -1}, &device.Error{Phase: device.PhaseStart, Reason: job.ReasonInternal,
				Msg: "the command was not sent to " + r.s.to.Name, Err: err}
		}
	}
	begin := time.Now()
	var limit <-chan time.Time
	if r.cmd.Timeout > 0 {
		timer := time.NewTimer(r.cmd.Timeout)
		defer timer.Stop()
		limit = timer.C
	}
	go func() { // a device that does not read must not hold us up
		if _, err := r.ch.Write(r.stdin); err == nil {
			_ = r.ch.CloseWrite()
		}
	}()
	exit, err := r.wait(ctx, limit)
	r.s.dialer.observe(device.PhaseRun, begin, err)
	return exit, err
}

func (r *running) wait(ctx context.Context, limit <-chan time.Time) (device.Exit, error) {
	interval := r.s.dialer.conf.KeepAlive
	var tick <-chan time.Time
	if interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	var answered chan struct{}
	missed := 0
	for {
		select {
		case <-r.over:
			return r.ended()
		case <-limit:
			return r.kill(true), nil
		case <-ctx.Done():
			return r.kill(false), nil
		case <-answered:
			answered, missed = nil, 0
		case <-tick:
			switch {
			case r.active.Swap(false):
				missed = 0
			case answered == nil:
				answered = make(chan struct{})
				go func(done chan<- struct{}) {
					if _, _, err := r.s.client.conn.SendRequest("keepalive@openssh.com", true, nil); err == nil {
						close(done)
					}
				}(answered)
			default:
				if missed++; missed >= maxMissed {
					r.s.client.lost.Store(true)
					_ = r.s.client.conn.Close()
				}
			}
		}
	}
}

// maxMissed is how many intervals a keepalive may stay unanswered.
const maxMissed = 2

// ended is the end that the device brought about.
func (r *running) ended() (device.Exit, error) {
	exit := r.exit()
	_ = r.ch.Close()
	r.mu.Lock()
	exited := r.exited
	r.mu.Unlock()
	if exited {
		return exit, nil
	}
	msg := "the connection to " + r.s.to.Name + " was lost before the exit status came"
	if r.s.client.lost.Load() {
		msg = r.s.to.Name + " stopped answering while the command ran"
	}
	return exit, &device.Error{Phase: device.PhaseRun, Reason: job.ReasonLost, Sent: true, Msg: msg, Err: io.ErrUnexpectedEOF}
}

// exit is what is known so far. Follow is not called any more.
func (r *running) exit() device.Exit {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.head.passed() {
		r.keep(1, r.head.giveUp())
	}
	r.silent = true
	e := device.Exit{Status: r.status, Signal: r.signal,
		Stdout: r.out[0].kept, Stderr: r.out[1].kept,
		StdoutBytes: r.out[0].total, StderrBytes: r.out[1].total}
	// What may still arrive on a channel that never ended goes elsewhere.
	e.Stdout = e.Stdout[:len(e.Stdout):len(e.Stdout)]
	e.Stderr = e.Stderr[:len(e.Stderr):len(e.Stderr)]
	if r.signal != "" {
		e.Status = -1
	}
	return e
}
