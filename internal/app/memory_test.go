package app

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/stretchr/testify/require"
)

// The limits here are far above what the tests use. Not parallel: there is one limit.
func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	percent := debug.SetGCPercent(100)
	t.Cleanup(func() {
		debug.SetMemoryLimit(before)
		debug.SetGCPercent(percent)
	})
	for _, c := range []struct {
		name  string
		limit memlimit.Provider
		env   string
		gogc  string
		want  int64
		grown int
		log   string
	}{
		{"of a container", memlimit.Limit(1e12), "", "", 9e11, 400, "soft_limit_bytes=900000000000 gc_percent=400"},
		{"none", func() (uint64, error) { return 0, memlimit.ErrNoLimit }, "", "", math.MaxInt64, 100, ""},
		{"no containers", func() (uint64, error) { return 0, memlimit.ErrCgroupsNotSupported }, "", "", math.MaxInt64, 100, ""},
		{"unreadable", func() (uint64, error) { return 0, errors.New("torn") }, "", "", 5e11, 100, "set GOMEMLIMIT"},
		{"of the environment", memlimit.Limit(1e12), "500GB", "", 5e11, 400, "soft_limit_bytes=500000000000"},
		{"a collector of its own", memlimit.Limit(1e12), "", "100", 9e11, 100, "soft_limit_bytes=900000000000 gc_percent=100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			debug.SetMemoryLimit(5e11)
			debug.SetGCPercent(100)
			t.Setenv("GOGC", c.gogc)
			if c.env != "" {
				t.Setenv("GOMEMLIMIT", c.env) // which the runtime read at the start
			}
			var out bytes.Buffer
			limitMemory(c.limit, slog.New(slog.NewTextHandler(&out, nil)))
			require.Equal(t, c.want, debug.SetMemoryLimit(-1))
			require.Equal(t, c.grown, debug.SetGCPercent(100))
			if c.log == "" {
				require.Empty(t, out.String())
			} else {
				require.Contains(t, out.String(), c.log)
			}
		})
	}
}
