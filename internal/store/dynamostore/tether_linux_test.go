package dynamostore

import (
	"os/exec"
	"syscall"
)

func init() {
	tether = func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
}
