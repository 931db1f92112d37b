// Package sshsim is a fleet of pretend devices that speak real SSH: for tests,
// benchmarks and the demonstration. One process serves thousands of them.
//
// A device logs users in by password, key or keyboard-interactive, runs small
// scripts in an interpreter of its own (see Commands), counts every script
// that it starts, forwards connections like a jump host, and misbehaves as its
// Behaviour says: it hangs or drops at any stage, speaks one byte at a time,
// shows another host key, ignores signals.
//
// It understands the command lines of package sshdevice as well as plain ones,
// so that a bare loop over x/crypto/ssh, OpenSSH's client and Drover can be
// measured against the same fleet. It is no sandbox and guards nothing: it
// listens on loopback addresses and never executes a program.
package sshsim

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Config describes a fleet. The zero value is one device, user and password
// "drover", on a port of 127.0.0.1 that the system chooses.
type Config struct {
	Devices int // how many; 0: one

	// Address is the first device's address; 127.0.0.1 when empty. With a
	// Port every further device has the next address and the same port
	// (127.1.0.1, 127.1.0.2 and so on); without one all share the address
	// and each has a port that the system chooses.
	Address string
	Port    int

	User     string // "drover" when empty
	Password string // "drover" when empty

	// AuthorizedKeys may log in too (authorized_keys lines). KeyOnly and
	// KeyboardInteractive replace the password method by the one named.
	AuthorizedKeys      []string
	KeyOnly             bool
	KeyboardInteractive bool

	// OneHostKey gives all devices the same host key, which saves time when
	// many are started. HostKey sets it.
	OneHostKey bool
	HostKey    ssh.Signer

	// Server is a template for the SSH settings (algorithms, limits) of every
	// device; nil for the defaults of x/crypto/ssh.
	Server *ssh.Config

	// Behave sets the i-th device's behaviour, counted from 0; nil: all well-behaved.
	Behave func(i int) Behaviour
}

// Stage is a moment in a connection's life at which a device can hang or drop.
type Stage string

// The stages, in order.
const (
	StageAccept  Stage = "accept"  // before the first byte of the server
	StageVersion Stage = "version" // in the middle of the version line
	StageKex     Stage = "kex"     // after the version line, before the key exchange
	StageAuth    Stage = "auth"    // at the first request to log in
	StageChannel Stage = "channel" // when a session is asked for
	StageExec    Stage = "exec"    // when a command is asked for, before the answer
	StageScript  Stage = "script"  // after the answer, while the script is read
	StageOutput  Stage = "output"  // after the command's output, before its exit status
)

// Stages lists all stages in order.
func Stages() []Stage {
	return []Stage{StageAccept, StageVersion, StageKex, StageAuth, StageChannel, StageExec, StageScript, StageOutput}
}

// Behaviour is how one device departs from the well-behaved. The zero value
// does not.
type Behaviour struct {
	Delay  time.Duration // before each command's output
	Slow   time.Duration // before each write to the network
	Banner string        // shown before the login (SSH banner)
	// PreVersion are lines sent before the version line, as RFC 4253 allows.
	PreVersion string
	// Greeting is written to standard error before a command runs, as shells'
	// start-up files do; GreetingOut the same to standard output.
	Greeting    string
	GreetingOut string

	HangAt Stage // go silent here
	DropAt Stage // close the connection here

	OneByte       bool // every read and write of the network carries one byte
	MaxSessions   int  // sessions open at once on a connection; 0: any number
	MaxStartups   int  // connections not logged in yet; more are dropped; 0: any number
	IgnoreSignals bool // signal requests do nothing
	Immortal      bool // no kill works, and a kill says so
	Mute          bool // keepalive requests are not answered
	RefuseExec    bool // the request to run a command is refused
	NoMarker      bool // a shell that does not know the wrapper: says "not found"

	// BecomePassword lets the user become any other with this password; when
	// empty, without any. BecomeDenied refuses everyone.
	BecomePassword string
	BecomeDenied   bool

	NoDetach bool // runs no command apart from its connection

	NoForward bool // refuses to be a jump host

	// Respond, when not nil, replaces the interpreter.
	Respond func(Invocation) Reply
}

// Invocation is a script as it arrived.
type Invocation struct {
	Device string
	User   string // the user it runs as
	Script string
}

// Reply is what a command amounts to.
type Reply struct {
	Stdout, Stderr []byte
	Status         int
	Delay          time.Duration // before the output
}

// Execution is the record of one script that a device started.
type Execution struct {
	Invocation
	Started time.Time
	Ended   time.Time // zero while it runs
	Status  int       // -1: killed
}

// Fleet is a set of running devices.
type Fleet struct {
	Devices []*Device

	conf Config
	stop chan struct{}
	once sync.Once
	wg   sync.WaitGroup
}

// Start starts a fleet. It listens when Start returns.
func Start(c Config) (*Fleet, error) {
	if c.Devices == 0 {
		c.Devices = 1
	}
	if c.Address == "" {
		c.Address = "127.0.0.1"
	}
	if c.User == "" {
		c.User = "drover"
	}
	if c.Password == "" {
		c.Password = "drover"
	}
	address, err := netip.ParseAddr(c.Address)
	if err != nil {
		return nil, fmt.Errorf("address of the first pretend device: %w", err)
	}
	if !address.IsLoopback() {
		return nil, errors.New("pretend devices listen on loopback addresses only")
	}
	keys := make(map[string]bool, len(c.AuthorizedKeys))
	for _, line := range c.AuthorizedKeys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("authorized key: %w", err)
		}
		keys[string(key.Marshal())] = true
	}
	if c.OneHostKey && c.HostKey == nil {
		if c.HostKey, err = NewHostKey(); err != nil {
			return nil, err
		}
	}
	f := &Fleet{conf: c, stop: make(chan struct{})}
	for i := range c.Devices {
		d := &Device{Name: "R" + strconv.Itoa(i+1), fleet: f, authorized: keys, hostKey: c.HostKey}
		if d.hostKey == nil {
			if d.hostKey, err = NewHostKey(); err != nil {
				_ = f.Close()
				return nil, err
			}
		}
		if c.Behave != nil {
			d.behaviour = c.Behave(i)
		}
		d.listener, err = net.Listen("tcp", netip.AddrPortFrom(address, uint16(c.Port)).String())
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("pretend device %s: %w", d.Name, err)
		}
		at := d.listener.Addr().(*net.TCPAddr).AddrPort()
		d.Address, d.Port = at.Addr().String(), int(at.Port())
		f.Devices = append(f.Devices, d)
		if c.Port != 0 {
			address = address.Next()
		}
		f.wg.Go(d.serve)
	}
	return f, nil
}

// Close stops all devices, drops their connections and returns when every
// goroutine of the fleet has ended.
func (f *Fleet) Close() error {
	f.once.Do(func() {
		close(f.stop)
		for _, d := range f.Devices {
			_ = d.listener.Close()
			d.dropAll()
		}
	})
	f.wg.Wait()
	return nil
}

// Executions is how many scripts the fleet has started.
func (f *Fleet) Executions() int {
	n := 0
	for _, d := range f.Devices {
		n += d.Count()
	}
	return n
}

// NewHostKey makes an ed25519 host key.
func NewHostKey() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(private)
}

// Device is one pretend device.
type Device struct {
	Name    string
	Address string
	Port    int

	fleet      *Fleet
	listener   net.Listener
	authorized map[string]bool

	mu          sync.Mutex
	hostKey     ssh.Signer
	behaviour   Behaviour
	conns       map[net.Conn]struct{}
	accepted    int
	logins      int
	startups    int
	refused     int
	forwards    int
	executions  []*Execution
	processes   map[int]*process
	detached    map[string]*detached // by user and name
	booted      time.Time
	lastProcess int
}

// Behave changes the device's behaviour for what comes after.
func (d *Device) Behave(change func(*Behaviour)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.behaviour)
}

func (d *Device) behaves() Behaviour {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.behaviour
}

// HostKey is the device's public host key in authorized_keys form.
func (d *Device) HostKey() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := d.hostKey.PublicKey()
	line := ssh.MarshalAuthorizedKey(key)
	return string(line[:len(line)-1])
}

// SetHostKey makes the device show another key on later connections.
func (d *Device) SetHostKey(key ssh.Signer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hostKey = key
}

// Count is how many scripts the device has started.
func (d *Device) Count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.executions)
}

// Executions is every script that the device has started, oldest first.
func (d *Device) Executions() []Execution {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Execution, len(d.executions))
	for i, e := range d.executions {
		all[i] = *e
	}
	return all
}

// Running is how many scripts run now.
func (d *Device) Running() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.processes)
}

// Stats counts what came in from the network.
type Stats struct {
	Accepted int // TCP connections
	Logins   int // successful
	Refused  int // attempts to log in that were refused, the method "none" not counted
	Forwards int // connections passed on, as a jump host
	Open     int // connections open now
}

// Stats returns the counts so far.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{Accepted: d.accepted, Logins: d.logins, Refused: d.refused, Forwards: d.forwards, Open: len(d.conns)}
}

// DropAll closes every open connection of the device, as a restart would.
func (d *Device) DropAll() { d.dropAll() }

func (d *Device) dropAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		_ = c.Close()
	}
}

func (d *Device) serve() {
	for {
		c, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		stopped := false
		select {
		case <-d.fleet.stop:
			stopped = true
		default:
			if d.conns == nil {
				d.conns = make(map[net.Conn]struct{})
			}
			d.conns[c] = struct{}{}
			d.accepted++
		}
		d.mu.Unlock()
		if stopped {
			_ = c.Close()
			return
		}
		d.fleet.wg.Go(func() {
			defer func() {
				_ = c.Close()
				d.mu.Lock()
				delete(d.conns, c)
				d.mu.Unlock()
			}()
			d.handle(c)
		})
	}
}
