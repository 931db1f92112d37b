// Package sshdevice reaches devices over SSH. It implements device.Dialer on
// golang.org/x/crypto/ssh.
//
// # What a host needs
//
// A linux host needs a POSIX shell in PATH as sh, and cat. When bash is there,
// it runs the script, else sh does; a script whose first line names another
// interpreter (#!/usr/bin/env python3) is run by that one, from a temporary
// file that is deleted before the script starts. The script arrives on
// standard input as a whole before its first line runs, and runs only when it
// arrived whole; its own standard input is empty. Killing reads /proc where
// there is one.
//
// A windows host needs OpenSSH and PowerShell. Its commands cannot be killed,
// only given up: the connection is closed and KillConfirmed stays false.
//
// # Effective user
//
// sudo and dzdo ask for the password with a prompt of our own, su with the
// system's; it is sent only in answer, once, on standard input. There is no
// terminal, so that the script's output stays clean: a sudoers file with
// requiretty, or a su that insists on a terminal, refuses, and the error says
// what it said. The script is sent only after the effective user is reached:
// until then nothing of it has been sent.
//
// # Killing
//
// The script runs in a session and process group of its own, and says which
// before its first line runs. Killing sends SSH's signal request (for servers
// that refuse the rest), then kills group and session through a second
// channel, as the same effective user, and looks until nothing of them is
// left. Only that look sets KillConfirmed. What a script put into a session
// of its own (setsid, a daemon) is out of reach, as it would be after a
// logout.
//
// # Detached commands
//
// A linux host can run a command apart from the connection (Detach). It then
// needs setsid, mkfifo, tee, head, tail, wc and find too, and /proc. What is kept
// of the command is in a folder /var/tmp/drover-UID/NAME of the effective user,
// which nobody else can enter; the script and the password are in no file. A
// process beside the command keeps the time limit and records the exit status. A
// host whose logind ends what a user leaves behind (KillUserProcesses) ends that
// too: the command is lost then, and said to be.
package sshdevice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/time/rate"

	"drover/internal/device"
	"drover/internal/job"
)

// Config adjusts a Dialer. The zero value of every field has a default.
type Config struct {
	ConnectTimeout   time.Duration // TCP; 10 s
	HandshakeTimeout time.Duration // SSH handshake and login; 20 s
	// KeepAlive is how long a running command may be silent before the peer
	// is asked whether it is still there; three unanswered questions, one
	// such interval apart, lose the connection. 15 s; negative: never asked.
	KeepAlive time.Duration
	// KillTimeout bounds the work of killing one command; 12 s.
	KillTimeout time.Duration
	// NewConnsPerSecond limits new TCP connections, jump hosts included; 0: no limit.
	NewConnsPerSecond float64
	Observer          device.Observer // told about phases; may be nil
	Log               *slog.Logger    // debug lines only; may be nil
}

// maxJumps is how many jump hosts may stand in a row.
const maxJumps = 5

// clientVersion is how Drover introduces itself.
const clientVersion = "SSH-2.0-drover"

// Dialer opens sessions over SSH. It is safe for use by many goroutines.
type Dialer struct {
	conf    Config
	limiter *rate.Limiter
	keys    keyCache
	network net.Dialer
	gates   sync.Map // address of a jump host -> chan struct{}
}

var _ device.Dialer = (*Dialer)(nil)

// New returns a Dialer.
func New(c Config) *Dialer {
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = 20 * time.Second
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = 15 * time.Second
	}
	if c.KillTimeout <= 0 {
		c.KillTimeout = 12 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Dialer{conf: c, network: net.Dialer{Timeout: c.ConnectTimeout}}
	if c.NewConnsPerSecond > 0 {
		d.limiter = rate.NewLimiter(rate.Limit(c.NewConnsPerSecond), max(1, int(c.NewConnsPerSecond)))
	}
	return d
}

// Dial logs in to a device, through its jump hosts if there are any. Errors
// are *device.Error with Sent false.
func (d *Dialer) Dial(ctx context.Context, to device.Endpoint) (device.Session, error) {
	c, err := d.connect(ctx, &to, 0, to.Paced)
	if err != nil {
		d.conf.Log.LogAttrs(ctx, slog.LevelDebug, "no session", slog.String("device", to.Name), slog.Any("err", err))
		return nil, err
	}
	return &session{dialer: d, to: to, client: c}, nil
}

// client is a logged-in connection and the jump host's connection beneath it.
type client struct {
	conn  ssh.Conn
	below *client // nil: directly over TCP
	lost  atomic.Bool
}

// close closes the connection and all beneath it, and returns when the
// connection's goroutines have seen it.
func (c *client) close() {
	for ; c != nil; c = c.below {
		_ = c.conn.Close()
		_ = c.conn.Wait()
	}
}

// connect logs in to one endpoint. depth counts the jump hosts above it; paced
// says that the limit on new connections was waited for.
func (d *Dialer) connect(ctx context.Context, to *device.Endpoint, depth int, paced bool) (*client, error) {
	if depth == 0 {
		if err := checkJumps(to); err != nil {
			return nil, err
		}
	}
	auth, err := d.authMethods(to)
	if err != nil {
		return nil, err
	}
	check, err := newHostKeyCheck(ctx, to)
	if err != nil {
		return nil, err
	}
	var below *client
	if to.Jump != nil {
		if below, err = d.connect(ctx, to.Jump, depth+1, paced); err != nil {
			return nil, jumpError(to.Jump, err)
		}
	}
	if depth > 0 {
		leave, err := d.enter(ctx, to)
		if err != nil {
			below.close()
			return nil, err
		}
		defer leave()
	}
	network, err := d.open(ctx, below, to, paced)
	if err != nil {
		below.close()
		return nil, err
	}
	conn, err := d.handshake(ctx, network, to, auth, check)
	if err != nil {
		_ = network.Close()
		below.close()
		return nil, err
	}
	return &client{conn: conn, below: below}, nil
}

// jumpLogins is how many logins to one jump host are on their way at once.
// OpenSSH drops new connections at random when ten are not logged in yet
// (MaxStartups), and a fleet behind one jump host would meet that at once.
const jumpLogins = 8

// enter waits for its turn to log in to a jump host.
func (d *Dialer) enter(ctx context.Context, jump *device.Endpoint) (leave func(), err error) {
	gate, _ := d.gates.LoadOrStore(net.JoinHostPort(jump.Address, strconv.Itoa(jump.Port)), make(chan struct{}, jumpLogins))
	turn := gate.(chan struct{})
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, &device.Error{Phase: device.PhaseConnect, Reason: reasonOf(ctx.Err(), job.ReasonConnect),
			Msg: "waiting to log in to " + jump.Name, Err: ctx.Err()}
	}
}

// checkJumps refuses chains that are too long or come back to an endpoint.
func checkJumps(to *device.Endpoint) error {
	type place struct {
		address string
		port    int
	}
	seen := map[*device.Endpoint]bool{}
	places := map[place]bool{}
	for e := to; e != nil; e = e.Jump {
		p := place{e.Address, e.Port}
		if seen[e] || places[p] {
			return &device.Error{Phase: device.PhaseJump, Reason: job.ReasonJump,
				Msg: fmt.Sprintf("the jump hosts of %s go round in a circle at %s", to.Name, e.Name)}
		}
		seen[e], places[p] = true, true
		if len(seen) > maxJumps+1 {
			return &device.Error{Phase: device.PhaseJump, Reason: job.ReasonJump,
				Msg: fmt.Sprintf("%s is behind more than %d jump hosts", to.Name, maxJumps)}
		}
		if e.Jump == nil {
			break
		}
	}
	return nil
}

func jumpError(jump *device.Endpoint, err error) error {
	return &device.Error{Phase: device.PhaseJump, Reason: reasonOf(err, job.ReasonJump),
		Msg: "jump host " + jump.Name, Err: err}
}

// reasonOf keeps the reason of a cancel and replaces all others.
func reasonOf(err error, otherwise string) string {
	if errors.Is(err, context.Canceled) {
		return job.ReasonCanceled
	}
	return otherwise
}

// open makes the byte stream to the endpoint: TCP, or a channel through the
// jump host.
func (d *Dialer) open(ctx context.Context, below *client, to *device.Endpoint, paced bool) (net.Conn, error) {
	address := net.JoinHostPort(to.Address, strconv.Itoa(to.Port))
	if below != nil {
		return d.openThrough(ctx, below, to, address)
	}
	if !paced {
		if err := d.Pace(ctx); err != nil {
			return nil, &device.Error{Phase: device.PhaseConnect, Reason: reasonOf(ctx.Err(), job.ReasonConnect),
				Msg: "waiting for the limit on new connections", Err: err}
		}
	}
	start := time.Now()
	c, err := d.network.DialContext(ctx, "tcp", address)
	d.observe(device.PhaseConnect, start, err)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &device.Error{Phase: device.PhaseConnect, Reason: reasonOf(err, job.ReasonConnect),
			Msg: "no connection to " + address, Err: err}
	}
	return c, nil
}

// Pace implements device.Pacer: it waits for the limit on new connections.
func (d *Dialer) Pace(ctx context.Context) error {
	if d.limiter == nil {
		return nil
	}
	err := d.limiter.Wait(ctx)
	if err != nil && ctx.Err() == nil {
		return context.DeadlineExceeded // the wait would outlive the deadline
	}
	return err
}

// openThrough asks the jump host for a connection. Ending ctx closes the
// connection to the jump host, which is this session's own.
func (d *Dialer) openThrough(ctx context.Context, below *client, to *device.Endpoint, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.conf.ConnectTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = below.conn.Close() })
	start := time.Now()
	ch, reqs, err := below.conn.OpenChannel("direct-tcpip", ssh.Marshal(struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}{to.Address, uint32(to.Port), "127.0.0.1", 0}))
	d.observe(device.PhaseJump, start, err)
	if !stop() && err == nil {
		_ = ch.Close()
		err = ctx.Err()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &device.Error{Phase: device.PhaseJump, Reason: reasonOf(err, job.ReasonJump),
			Msg: "jump host " + to.Jump.Name + " did not connect to " + address, Err: err}
	}
	go ssh.DiscardRequests(reqs)
	return &channelConn{Channel: ch, below: below.conn}, nil
}

// handshake does key exchange, host-key check and login. It closes nothing.
func (d *Dialer) handshake(ctx context.Context, network net.Conn, to *device.Endpoint, auth []ssh.AuthMethod, check *hostKeyCheck) (ssh.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, d.conf.HandshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(limited, func() { _ = network.Close() })
	start := time.Now()
	verified := start
	config := &ssh.ClientConfig{
		User:          to.Auth.Username,
		Auth:          auth,
		ClientVersion: clientVersion,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			err := check.verify(limited, key)
			verified = time.Now()
			return err
		},
		HostKeyAlgorithms: check.algorithms(to.Legacy),
	}
	if to.Legacy {
		config.Config = legacyAlgorithms
	}
	conn, channels, requests, err := ssh.NewClientConn(network, to.Address, config)
	if !stop() && err == nil {
		_ = conn.Close()
		err = limited.Err()
		go drain(channels, requests)
	}
	if err == nil {
		d.observe(device.PhaseHandshake, start, nil)
		d.observe(device.PhaseAuth, verified, nil)
		go ssh.DiscardRequests(requests)
		go rejectChannels(channels)
		return conn, nil
	}
	failure := classify(ctx, limited, to, check, err)
	d.observe(failure.Phase, start, failure)
	return nil, failure
}

// classify says in which phase a handshake failed and why. PhaseAuth is only
// the login that was refused: a connection that drops during the login is a
// device that cannot be reached.
func classify(ctx, limited context.Context, to *device.Endpoint, check *hostKeyCheck, err error) *device.Error {
	switch {
	case check.failure != nil:
		return check.failure
	case ctx.Err() != nil:
		return &device.Error{Phase: device.PhaseHandshake, Reason: reasonOf(ctx.Err(), job.ReasonConnect),
			Msg: "stopped while connecting to " + to.Name, Err: ctx.Err()}
	case limited.Err() != nil:
		return &device.Error{Phase: device.PhaseHandshake, Reason: job.ReasonConnect,
			Msg: to.Name + " did not finish the SSH handshake in time", Err: limited.Err()}
	case dropped(err):
		return &device.Error{Phase: device.PhaseHandshake, Reason: job.ReasonConnect,
			Msg: to.Name + " closed the connection during the SSH handshake", Err: err}
	case check.passed:
		return &device.Error{Phase: device.PhaseAuth, Reason: job.ReasonAuthentication,
			Msg: to.Name + " refused the login of " + strconv.Quote(to.Auth.Username), Err: err}
	default:
		return &device.Error{Phase: device.PhaseHandshake, Reason: job.ReasonConnect,
			Msg: "no SSH handshake with " + to.Name, Err: err}
	}
}

func (d *Dialer) observe(phase device.Phase, start time.Time, err error) {
	if d.conf.Observer != nil {
		d.conf.Observer.Phase(phase, time.Since(start), err)
	}
}

func rejectChannels(channels <-chan ssh.NewChannel) {
	for n := range channels {
		_ = n.Reject(ssh.Prohibited, "not offered")
	}
}

func drain(channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	go ssh.DiscardRequests(requests)
	rejectChannels(channels)
}

// dropped reports whether an error of package ssh says that the network
// failed, and not that the server answered something unwelcome.
func dropped(err error) bool {
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &network)
}

// channelConn makes a forwarded channel look like a network connection.
type channelConn struct {
	ssh.Channel
	below ssh.Conn
}

type channelAddr struct{}

func (channelAddr) Network() string { return "ssh" }
func (channelAddr) String() string  { return "through a jump host" }

var errNoDeadline = errors.New("a connection through a jump host has no deadlines")

func (*channelConn) LocalAddr() net.Addr              { return channelAddr{} }
func (*channelConn) RemoteAddr() net.Addr             { return channelAddr{} }
func (*channelConn) SetDeadline(time.Time) error      { return errNoDeadline }
func (*channelConn) SetReadDeadline(time.Time) error  { return errNoDeadline }
func (*channelConn) SetWriteDeadline(time.Time) error { return errNoDeadline }

// Close closes the connection to the jump host too, which serves this channel
// only: closing the channel alone would wait for the other side's consent.
func (c *channelConn) Close() error {
	_ = c.Channel.Close()
	return c.below.Close()
}
