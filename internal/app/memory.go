package app

import (
	"errors"
	"log/slog"
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// limitMemory lets the collector work harder before the container's limit of memory is
// reached, where the kernel would kill the program: nine tenths of the limit are the
// runtime's soft one, unless GOMEMLIMIT says another. Without a container there is none.
func limitMemory(limit memlimit.Provider, log *slog.Logger) {
	bytes, err := memlimit.Set(memlimit.WithProvider(func() (uint64, error) {
		n, err := limit()
		if errors.Is(err, memlimit.ErrCgroupsNotSupported) || errors.Is(err, memlimit.ErrNoCgroup) {
			err = memlimit.ErrNoLimit
		}
		return n, err
	}))
	switch {
	case err != nil:
		log.Warn("the container's limit of memory is not known; set GOMEMLIMIT", "error", err)
	case bytes < math.MaxInt64:
		log.Info("memory", "soft_limit_bytes", bytes)
	}
}
