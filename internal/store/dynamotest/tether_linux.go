package dynamotest

import (
	"os/exec"
	"syscall"
)

// tether ties a child's life to ours.
func tether(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
