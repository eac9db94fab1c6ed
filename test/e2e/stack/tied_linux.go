package stack

import "syscall"

// tied makes the kernel end the child with the thread that started it.
func tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
