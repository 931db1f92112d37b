package standalone

import (
	"os"
	"runtime/debug"
)

// gcPercent is for a small heap that lives on while every SSH handshake leaves
// garbage: collecting at each doubling took an eighth of a large run's time.
const gcPercent = 400

// TuneCollector sets the garbage collector of a process that does nothing but
// serve. GOGC in the environment wins.
func TuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
