package sshsim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// versionLine is what the devices call themselves.
const versionLine = "SSH-2.0-sshsim"

var errRefused = errors.New("login refused")

// faultyConn makes the network as bad as the behaviour says.
type faultyConn struct {
	net.Conn
	oneByte bool
	slow    time.Duration
}

func (c *faultyConn) Read(p []byte) (int, error) {
	if c.oneByte && len(p) > 1 {
		p = p[:1]
	}
	return c.Conn.Read(p)
}

func (c *faultyConn) Write(p []byte) (int, error) {
	if c.slow > 0 {
		time.Sleep(c.slow)
	}
	if !c.oneByte {
		return c.Conn.Write(p)
	}
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// connection is one client's connection.
type connection struct {
	device   *Device
	raw      net.Conn
	user     string
	sessions atomic.Int32
}

// fault hangs or drops when the behaviour asks for it at this stage, and
// reports whether the connection is over.
func (c *connection) fault(at Stage, b Behaviour) bool {
	switch {
	case b.DropAt == at:
		_ = c.raw.Close()
		return true
	case b.HangAt == at:
		c.hang()
		return true
	}
	return false
}

// hang reads and forgets until the client goes away or the fleet stops.
// Once the SSH transport owns the reading side it waits for the fleet only.
func (c *connection) hang() { _, _ = io.Copy(io.Discard, c.raw) }

// stall waits for the end of the connection without reading from it.
func (c *connection) stall(done <-chan struct{}) {
	select {
	case <-done:
	case <-c.device.fleet.stop:
	}
}

func (d *Device) handle(raw net.Conn) {
	b := d.behaves()
	c := &connection{device: d, raw: raw}
	if c.fault(StageAccept, b) {
		return
	}
	d.mu.Lock()
	d.startups++
	full := b.MaxStartups > 0 && d.startups > b.MaxStartups
	d.mu.Unlock()
	leave := sync.OnceFunc(func() {
		d.mu.Lock()
		d.startups--
		d.mu.Unlock()
	})
	defer leave()
	if full {
		return
	}
	if b.PreVersion != "" {
		_, _ = io.WriteString(raw, b.PreVersion)
	}
	switch StageVersion {
	case b.DropAt, b.HangAt:
		_, _ = io.WriteString(raw, versionLine[:7])
		c.fault(StageVersion, b)
		return
	}
	switch StageKex {
	case b.DropAt, b.HangAt:
		_, _ = io.WriteString(raw, versionLine+"\r\n")
		c.fault(StageKex, b)
		return
	}
	var network net.Conn = raw
	if b.OneByte || b.Slow > 0 {
		network = &faultyConn{Conn: raw, oneByte: b.OneByte, slow: b.Slow}
	}
	server, channels, requests, err := ssh.NewServerConn(network, d.settings(c, b))
	if err != nil {
		return
	}
	leave()
	d.mu.Lock()
	d.logins++
	d.mu.Unlock()
	c.user = server.User()

	ctx, cancel := context.WithCancel(context.Background())
	stopWatch := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopWatch()
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for r := range requests {
			if r.WantReply && !d.behaves().Mute {
				_ = r.Reply(false, nil)
			}
		}
	})
	for n := range channels {
		b := d.behaves()
		switch n.ChannelType() {
		case "session":
			if b.HangAt == StageChannel {
				continue
			}
			if c.fault(StageChannel, b) {
				continue
			}
			if open := c.sessions.Add(1); b.MaxSessions > 0 && int(open) > b.MaxSessions {
				c.sessions.Add(-1)
				_ = n.Reject(ssh.ResourceShortage, "too many sessions")
				continue
			}
			wg.Go(func() {
				defer c.sessions.Add(-1)
				ch, reqs, err := n.Accept()
				if err != nil {
					return
				}
				c.session(ctx, ch, reqs)
			})
		case "direct-tcpip":
			wg.Go(func() { c.forward(ctx, n, b) })
		default:
			_ = n.Reject(ssh.UnknownChannelType, "not offered")
		}
	}
}

// settings are the SSH server's for one connection.
func (d *Device) settings(c *connection, b Behaviour) *ssh.ServerConfig {
	conf := d.fleet.conf
	s := &ssh.ServerConfig{ServerVersion: versionLine, MaxAuthTries: 6}
	if conf.Server != nil {
		s.Config = *conf.Server
	}
	d.mu.Lock()
	s.AddHostKey(d.hostKey)
	d.mu.Unlock()
	if b.Banner != "" {
		s.BannerCallback = func(ssh.ConnMetadata) string { return b.Banner }
	}
	decide := func(user string, ok bool) (*ssh.Permissions, error) {
		if b.DropAt == StageAuth {
			_ = c.raw.Close()
			return nil, io.EOF
		}
		if b.HangAt == StageAuth {
			c.hang()
			return nil, io.EOF
		}
		if !ok || user != conf.User {
			d.mu.Lock()
			d.refused++
			d.mu.Unlock()
			return nil, errRefused
		}
		return nil, nil
	}
	if len(d.authorized) > 0 || conf.KeyOnly {
		s.PublicKeyCallback = func(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return decide(m.User(), d.authorized[string(key.Marshal())])
		}
	}
	switch {
	case conf.KeyOnly:
	case conf.KeyboardInteractive:
		s.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask(m.User(), "", []string{"Password: "}, []bool{false})
			if err != nil {
				return nil, err
			}
			return decide(m.User(), len(answers) == 1 && answers[0] == conf.Password)
		}
	default:
		s.PasswordCallback = func(m ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return decide(m.User(), string(password) == conf.Password)
		}
	}
	return s
}

// forward passes a connection on, as a jump host does.
func (c *connection) forward(ctx context.Context, n ssh.NewChannel, b Behaviour) {
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	if err := ssh.Unmarshal(n.ExtraData(), &to); err != nil || b.NoForward {
		_ = n.Reject(ssh.Prohibited, "forwarding is off")
		return
	}
	var dialer net.Dialer
	out, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = n.Reject(ssh.ConnectionFailed, "no connection")
		return
	}
	defer func() { _ = out.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = out.Close() })
	defer stop()
	ch, reqs, err := n.Accept()
	if err != nil {
		return
	}
	c.device.mu.Lock()
	c.device.forwards++
	c.device.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { ssh.DiscardRequests(reqs) })
	wg.Go(func() {
		_, _ = io.Copy(ch, out)
		_ = ch.Close()
	})
	_, _ = io.Copy(out, ch)
	_ = out.Close()
	_ = ch.Close()
	wg.Wait()
}

// session serves one session channel.
func (c *connection) session(ctx context.Context, ch ssh.Channel, reqs <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() { _ = ch.Close() }()
	var running atomic.Pointer[process]
	ended := make(chan struct{})
	started := false
	for {
		select {
		case <-ended:
			return
		case r, open := <-reqs:
			if !open {
				// The client closed the channel. As on a real host that
				// alone does not end the command; the connection's end
				// does here, to keep tests tidy.
				if started {
					<-ended
				}
				return
			}
			b := c.device.behaves()
			switch r.Type {
			case "exec", "shell":
				if started {
					_ = r.Reply(false, nil)
					continue
				}
				if c.fault2(StageExec, b, ctx.Done()) {
					return
				}
				line := ""
				if r.Type == "exec" {
					line = payloadString(r.Payload)
				}
				if b.RefuseExec {
					_ = r.Reply(false, nil)
					continue
				}
				started = true
				if r.WantReply {
					_ = r.Reply(true, nil)
				}
				go func() {
					defer close(ended)
					c.exec(ctx, ch, line, b, &running)
				}()
			case "signal":
				if p := running.Load(); p != nil && !b.IgnoreSignals {
					p.kill(payloadString(r.Payload), b)
				}
			default: // env, pty-req, window-change and the like
				if r.WantReply {
					_ = r.Reply(r.Type == "pty-req", nil)
				}
			}
		}
	}
}

// fault2 is fault for the stages in which the SSH transport owns the network.
func (c *connection) fault2(at Stage, b Behaviour, done <-chan struct{}) bool {
	switch at {
	case b.DropAt:
		_ = c.raw.Close()
		return true
	case b.HangAt:
		c.stall(done)
		return true
	}
	return false
}

func payloadString(p []byte) string {
	if len(p) < 4 {
		return ""
	}
	n := binary.BigEndian.Uint32(p)
	if int64(n) > int64(len(p)-4) {
		return ""
	}
	return string(p[4 : 4+n])
}

// finish tells the client how the command ended.
func finish(ch ssh.Channel, status int, signal string) {
	_ = ch.CloseWrite()
	if signal != "" {
		_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal string
			Core   bool
			Msg    string
			Lang   string
		}{Signal: signal}))
		return
	}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
}

// readLine reads one line a byte at a time, so that nothing behind it is taken.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return string(line), err
		}
		if b[0] == '\n' {
			return string(bytes.TrimSuffix(line, []byte("\r"))), nil
		}
		line = append(line, b[0])
	}
}
