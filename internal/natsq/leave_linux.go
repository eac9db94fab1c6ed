package natsq

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// giveUpUnconfirmed has the kernel end a connection whose server confirms nothing of what was
// sent for leaveWithin. Else it would repeat that for many minutes (tcp(7), TCP_USER_TIMEOUT).
func giveUpUnconfirmed(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(leaveWithin.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}
