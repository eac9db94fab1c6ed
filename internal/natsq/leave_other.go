//go:build !linux

package natsq

import "syscall"

// giveUpUnconfirmed does nothing where the kernel has no bound of that kind.
func giveUpUnconfirmed(_, _ string, _ syscall.RawConn) error { return nil }
