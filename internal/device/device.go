// Package device is the port to the things that run commands: a Dialer opens
// Sessions, a Session runs commands. Context comes first everywhere; ending it
// stops what it stands for.
//
// A device that says "no" (an exit status other than 0) is an Exit, not an
// error. Errors are of type *Error and say in which phase they came and whether
// anything can have been sent, because that decides what may be tried again.
package device

import (
	"context"
	"time"

	"drover/internal/job"
)

// Endpoint is where and how to log in.
type Endpoint struct {
	Name     string // for messages
	Address  string // host name or IP, without port
	Port     int
	Platform string // job.PlatformLinux and so on
	Auth     Auth

	HostKey  job.HostKeyPolicy
	Pins     Pins      // not nil unless HostKey is off
	DeviceID int64     // what Pins knows it by
	Legacy   bool      // also offer algorithms that x/crypto/ssh calls insecure
	Jump     *Endpoint // log in through this one; nil: directly
	Paced    bool      // Pacer.Pace was waited for: Dial does not wait again
}

// Auth are the ways to log in, tried in this order: key, password,
// keyboard-interactive (the password answers every hidden prompt).
type Auth struct {
	Username   string
	Password   job.Secret
	PrivateKey job.Secret // PEM or OpenSSH form
	Passphrase job.Secret
}

// Pins remembers host keys. Keys are in authorized_keys form (type and base64).
type Pins interface {
	// Pinned returns the key pinned for a device, "" when none is.
	Pinned(ctx context.Context, deviceID int64) (key string, err error)
	// Pin records the first key seen. When another caller was faster the
	// key that is pinned now is returned.
	Pin(ctx context.Context, deviceID int64, device, key string) (pinned string, err error)
	// Refused records that a device showed another key than the pinned one.
	Refused(ctx context.Context, deviceID int64, device, offered string) error
}

// Dialer opens sessions. Dial does TCP, handshake, host-key check and login,
// through the jump host if there is one, and honours ctx throughout.
type Dialer interface {
	Dial(ctx context.Context, to Endpoint) (Session, error)
}

// Pacer is an optional ability of a Dialer: it limits new connections. A caller
// whose time for a device is running while it dials waits here before, and sets
// Endpoint.Paced.
type Pacer interface {
	// Pace waits until one more connection may be made. The error is ctx's.
	Pace(ctx context.Context) error
}

// Session is a logged-in connection. It is used by one goroutine at a time.
type Session interface {
	// Run runs one command to its end. When ctx ends first the command is
	// killed with all that it started, and Exit.Killed and
	// Exit.KillConfirmed say so; err is nil then. The time limit
	// (Command.Timeout) is counted from the moment before the first byte is sent and
	// works in the same way, with Exit.TimedOut set.
	//
	// A non-nil error means that the exit status is not known; *Error.Sent
	// says whether the device can have seen anything of the command. Exit
	// then holds what was received so far.
	Run(ctx context.Context, cmd Command) (Exit, error)
	Close() error
}

// Command is a script and how to run it. The script and the password of the
// effective user travel on standard input, never on the command line.
type Command struct {
	Script         string
	Become         job.Become
	BecomePassword job.Secret
	Timeout        time.Duration // 0: none
	OutputLimit    int64         // bytes kept of each stream; 0: job.DefaultOutputLimit
	// Follow, when not nil, gets output as it arrives: stream 1 is standard
	// output, 2 standard error. It must not block long and must copy p to keep it.
	Follow func(stream int, p []byte)
	// Sent, when not nil, is called once, directly before the first byte of the command is
	// sent; an error from it stops the command unsent.
	Sent func() error
}

// Exit is how a command ended.
type Exit struct {
	Status        int    // exit status; -1 when a signal ended it or it is not known
	Signal        string // e.g. "KILL", "TERM"; "" when none
	Stdout        []byte // raw, cut to the limit
	Stderr        []byte
	StdoutBytes   int64 // as received, before the cut
	StderrBytes   int64
	TimedOut      bool // the time limit was reached
	Killed        bool // it was killed (time limit or ctx) rather than ending by itself
	KillConfirmed bool // the device confirmed that the command has stopped
}

// Phase is the part of the work in which an error came.
type Phase string

// The phases, in order.
const (
	PhaseJump      Phase = "jump"      // reaching or passing the jump host
	PhaseConnect   Phase = "connect"   // TCP
	PhaseHandshake Phase = "handshake" // SSH version, key exchange
	PhaseHostKey   Phase = "host_key"  // the key is not the pinned one, or none is pinned
	PhaseAuth      Phase = "auth"      // login refused
	PhaseStart     Phase = "start"     // channel, exec request refused
	PhaseRun       Phase = "run"       // after the command was sent
)

// Error is a failure to reach a device or to learn how a command ended.
// Its text holds no secret.
type Error struct {
	Phase  Phase
	Reason string // a job.Reason… word
	Sent   bool   // a byte of the command can have reached the device
	Msg    string
	Err    error
}

// Error describes the failure for a person.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Msg
	}
	return e.Msg + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Observer is told how long the phases of a connection took. Both drivers of
// metrics and tests implement it; it must not block.
type Observer interface {
	Phase(phase Phase, took time.Duration, err error)
}
