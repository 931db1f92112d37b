package device

import (
	"context"
	"time"

	"drover/internal/job"
)

// Detacher is an optional ability of a Session: commands that run on the device
// apart from any connection. Whoever knows a command's name can look at it, from
// any session and any process, until it is forgotten.
//
// All methods work as the effective user that the command has; the script and the
// password travel as those of Run do.
type Detacher interface {
	// Detach starts a command, unless one of that name was started on the
	// device before: a second Detach finds the first one's. It returns how the
	// command stands after Wait at most. With an error, Error.Sent says
	// whether the command can have been started.
	Detach(ctx context.Context, cmd DetachedCommand) (Progress, error)
	// Look returns how a command stands after wait at most, with what it has
	// printed beyond the first bytes of each stream.
	Look(ctx context.Context, c Detached, from Offsets, wait time.Duration) (Progress, error)
	// Kill ends a command with all that it started. found says that there was
	// something to end, gone that the device looked and nothing of it is left.
	Kill(ctx context.Context, c Detached) (found, gone bool, err error)
	// Forget removes what the device keeps of a command that has ended.
	Forget(ctx context.Context, c Detached) error
}

// Detached names a command on a device.
type Detached struct {
	Name           string // letters, digits, dots, dashes and underscores
	Become         job.Become
	BecomePassword job.Secret
}

// DetachedCommand is a command to be started.
type DetachedCommand struct {
	Detached
	Script string
	// Timeout is kept by the device itself. It is required.
	Timeout     time.Duration
	OutputLimit int64         // bytes kept of each stream; 0: job.DefaultOutputLimit
	Wait        time.Duration // for the command's end
	// Tried is how long ago somebody may have started it before. A device that
	// was started since then may have forgotten that: it starts nothing, and the
	// state is DetachedMissing. 0: nobody has.
	Tried time.Duration
}

// Offsets are positions in the streams of a command.
type Offsets struct{ Stdout, Stderr int64 }

// DetachedState is how a detached command stands.
type DetachedState string

// The states.
const (
	DetachedStarting DetachedState = "starting" // somebody is just starting it, or died over it
	DetachedRunning  DetachedState = "running"
	DetachedEnded    DetachedState = "ended"
	DetachedLost     DetachedState = "lost"    // nothing runs, and its end was not recorded: the device was restarted, or somebody killed what looks after it
	DetachedMissing  DetachedState = "missing" // the device knows nothing of it
)

// Progress is how a detached command stands.
type Progress struct {
	State DetachedState
	// Stdout and Stderr are what it printed beyond the offsets, raw, up to the
	// output limit.
	Stdout, Stderr []byte

	// Of a command that has ended. Status is 128 + the number of the signal
	// that ended it, if one did. StdoutBytes and StderrBytes count what was
	// printed, before the cut.
	Status                   int
	TimedOut                 bool // ended by the time limit
	KillConfirmed            bool // of one that timed out: nothing of it is left
	StdoutBytes, StderrBytes int64
}
