package e2e_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/sandbox"
	"writeback/test/e2e/stack"
)

// TestFullRedis_RefusesWhatIsNewAndEndsTheRest fills Redis's memory while operations wait. What
// comes then is refused; what was accepted is read, written and logged all the same, each once.
func TestFullRedis_RefusesWhatIsNewAndEndsTheRest(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs programs of its own")
	}
	s := stack.Start(t, stack.Options{APIs: 1, Workers: 1, Registry: stack.Registry{Limits: fast}})
	for _, provider := range []string{sandbox.Samsara, sandbox.Motive, sandbox.Geotab} {
		require.NoError(t, s.Fault(sandbox.Fault{Provider: provider, LatencyMS: 1000}))
	}
	requests := s.Run(t.Context(), stack.Load{Name: "before", Operations: 150, Clients: 16, Users: 25, Seed: 1})
	require.NoError(t, s.FullRedis(t.Context(), true))

	refused := 0
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	late := s.Run(ctx, stack.Load{Name: "full", Operations: 1, Clients: 4, Users: 25, SyncShare: 0.2, Seed: 2})
	for _, r := range late {
		switch r.Status {
		case http.StatusServiceUnavailable:
			refused++
		case 0: // broken off at the end of the time
		default:
			require.True(t, r.Sync && r.Status == http.StatusConflict, "a write was answered %d", r.Status)
		}
	}
	require.NotZero(t, refused)
	require.NoError(t, s.ClearFaults())
	h, err := s.Collect(t.Context(), append(requests, late...), 90*time.Second)
	require.NoError(t, err)
	report := history.Check(h)
	t.Logf("%d writes refused\n%s", refused, report)
	require.True(t, report.Clean(), report.String())
	require.Empty(t, report.Residue)
	require.Equal(t, len(requests), report.Counts.Accepted)
	require.Zero(t, report.Counts.CalledAgain)
	require.Len(t, h.Operations, len(requests), "what was refused is nowhere")
	for _, op := range h.Operations {
		require.Equal(t, history.Success, op.Status)
	}

	require.NoError(t, s.FullRedis(t.Context(), false))
	after := s.Run(t.Context(), stack.Load{Name: "after", Operations: 20, Clients: 4, Users: 25, Seed: 3})
	for _, r := range after {
		require.Equal(t, http.StatusAccepted, r.Status)
	}
}
