//go:build !linux

package testenv

import "syscall"

// dieWithParent has no counterpart here: a killed test process leaves its
// children behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
