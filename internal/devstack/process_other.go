//go:build !linux

package devstack

import (
	"os"
	"path/filepath"
	"syscall"
)

// tied has no counterpart here: a stack that is killed leaves its redis-server
// behind, and Ctrl-C reaches both.
func tied() *syscall.SysProcAttr { return nil }

// lock does not lock here.
func lock(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
}
