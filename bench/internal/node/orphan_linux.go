package node

import (
	"os/exec"

	"golang.org/x/sys/unix"
)

// dieWithParent makes sure that no server outlives a benchmark that was killed.
func dieWithParent(c *exec.Cmd) { c.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL} }
