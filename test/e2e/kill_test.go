package e2e_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/sandbox"
	"writeback/test/e2e/stack"
)

// fast are limits that let a load through in seconds, and still bind.
var fast = history.Limits{InFlight: 8, PerSecond: 100, Burst: 20, Call: 3 * time.Second}

// TestKill_NothingIsLost kills an api and a worker under load and starts neither
// again: every answered write ends, in order, logged, within the limits.
func TestKill_NothingIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a load")
	}
	s := stack.Start(t, stack.Options{APIs: 2, Workers: 2, Registry: stack.Registry{Limits: fast}})
	slow := func(ms int) {
		assert.NoError(t, s.ClearFaults())
		for _, provider := range []string{sandbox.Samsara, sandbox.Motive, sandbox.Geotab} {
			assert.NoError(t, s.Fault(sandbox.Fault{Provider: provider, LatencyMS: ms}))
		}
	}
	slow(50)
	var slowDown, killWorker, killAPI sync.Once
	requests := s.Run(t.Context(), stack.Load{
		Name: "kill", Operations: 1200, Clients: 32, Users: 25, SyncShare: 0.05, Seed: 1,
		Sent: func(n int) {
			switch {
			case n >= 800:
				killAPI.Do(s.APIs[0].Kill)
			case n >= 500:
				killWorker.Do(func() {
					s.Workers[0].Kill()
					slow(50)
				})
			case n >= 400:
				slowDown.Do(func() { slow(1000) }) // so that the worker has calls under way
			}
		},
	})
	h, err := s.Collect(t.Context(), requests, 90*time.Second)
	require.NoError(t, err)
	report := history.Check(h)
	t.Logf("\n%s", report)
	require.True(t, report.Clean(), report.String())
	require.GreaterOrEqual(t, report.Counts.Accepted, 1200)
	require.NotZero(t, report.Counts.CalledAgain, "the killed worker had no call under way: the test proves nothing")
}
