//go:build !linux

package stack

import "syscall"

// tied has no counterpart here: a killed test leaves its children behind.
func tied() *syscall.SysProcAttr { return nil }
