package app

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// limitMemory lets the collector work harder before the container's limit of memory is
// reached, where the kernel would kill the program: nine tenths of the limit are the
// runtime's soft one, unless GOMEMLIMIT says another. Without a container there is none.
//
// Under a limit the collector may wait longer than usual while memory is far from it, unless
// GOGC says how long: what lives is little here, and each collection takes cores from requests.
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
		percent := os.Getenv("GOGC")
		if percent == "" {
			debug.SetGCPercent(grown)
			percent = strconv.Itoa(grown)
		}
		log.Info("memory", "soft_limit_bytes", bytes, "gc_percent", percent)
	}
}

// grown is by how many percent of what lives the heap may grow between two collections.
const grown = 400
