package e2e_test

import (
	"bufio"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/sandbox"
	"writeback/test/e2e/stack"
)

// grace is the programs' default, and time to flush.
const grace = 30 * time.Second

// TestStop_IsGraceful stops a worker and an api under load: both end with 0, no
// call is broken off and nothing is done twice.
func TestStop_IsGraceful(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a load")
	}
	s := stack.Start(t, stack.Options{APIs: 2, Workers: 2, Registry: stack.Registry{Limits: fast}})
	for _, provider := range []string{sandbox.Samsara, sandbox.Motive, sandbox.Geotab} {
		require.NoError(t, s.Fault(sandbox.Fault{Provider: provider, LatencyMS: 150})) // so that calls are under way
	}
	type stopped struct {
		code int
		err  error
	}
	var stops sync.WaitGroup
	var worker, api stopped
	var stopWorker, stopAPI sync.Once
	requests := s.Run(t.Context(), stack.Load{
		Name: "stop", Operations: 400, Clients: 16, Users: 25, Seed: 2,
		Sent: func(n int) {
			if n >= 200 {
				stopWorker.Do(func() { stops.Go(func() { worker.code, worker.err = s.Workers[0].Stop(grace) }) })
			}
			if n >= 300 {
				stopAPI.Do(func() { stops.Go(func() { api.code, api.err = s.APIs[0].Stop(grace) }) })
			}
		},
	})
	stops.Wait()
	require.NoError(t, worker.err)
	require.Zero(t, worker.code, "the worker: %s", s.Workers[0].LogTail(5))
	require.NoError(t, api.err)
	require.Zero(t, api.code, "the api: %s", s.APIs[0].LogTail(5))

	h, err := s.Collect(t.Context(), requests, 60*time.Second)
	require.NoError(t, err)
	report := history.Check(h)
	t.Logf("\n%s", report)
	require.True(t, report.Clean(), report.String())
	require.Zero(t, report.Counts.Failed)
	require.Zero(t, report.Counts.CalledAgain, "a stop broke calls off")
	require.Empty(t, report.Residue)
}

// TestStop_EndsLiveTails: they would last for as long as their tokens do, so an api that stops does
// not wait for them, and tells their readers to come back.
func TestStop_EndsLiveTails(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs programs of its own")
	}
	s := stack.Start(t, stack.Options{APIs: 1, Environ: []string{"WRITEBACK_SHUTDOWN_GRACE=10m"}})
	connections := []string{stack.Seeds()[0].Connection, stack.Seeds()[0].Connection, stack.Foreign()}
	var tails []*bufio.Reader
	for _, connection := range connections {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.APIs[0].URL+"/v2/integrations/connections/resource-operations/events", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+s.Token(connection))
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		require.Equal(t, http.StatusOK, resp.StatusCode)
		tail := bufio.NewReader(resp.Body)
		for line := "first"; line != "\n"; { // the block that says where it begins
			line, err = tail.ReadString('\n')
			require.NoError(t, err)
		}
		tails = append(tails, tail)
	}
	code, err := s.APIs[0].Stop(grace)
	require.NoError(t, err)
	require.Zero(t, code, s.APIs[0].LogTail(5))
	for _, tail := range tails {
		rest, err := io.ReadAll(tail)
		require.NoError(t, err)
		require.Regexp(t, `event: end\ndata: {"code":503,.*connect again`, string(rest))
	}
}
