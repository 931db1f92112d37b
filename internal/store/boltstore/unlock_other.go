//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package boltstore

import "os"

// unlock does nothing: on these systems closing a file lets go of its lock.
func unlock(*os.File) {}
