package testenv

import "syscall"

// dieWithParent makes the kernel kill the child when the thread that started it
// ends; process.run therefore holds that thread for the child's whole life.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
