package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/history"
	"writeback/internal/sandbox"
	"writeback/test/e2e/stack"
)

// TestRegistry_ChangeIsSeen loads other registry files in a third process; the
// running ones follow without a restart.
func TestRegistry_ChangeIsSeen(t *testing.T) {
	few := stack.Registry{Limits: fast, Users: 5}
	s := stack.Start(t, stack.Options{APIs: 1, Workers: 1, Registry: few})
	c := s.Client()
	var all []history.Request
	write := func(user int) int {
		r := c.Write(t.Context(), s.APIs[0], history.Request{
			Marker: fmt.Sprintf("mk-registry-%d", len(all)), Connection: sandbox.ConnectionID(1), User: sandbox.UserID(1, user),
		}, nil)
		all = append(all, r)
		return r.Status
	}
	load := func(name string, r stack.Registry) {
		third := s.Worker("third", s.Registry(name, r))
		require.NoError(t, third.Start())
		code, err := third.Stop(grace)
		require.NoError(t, err)
		require.Zero(t, code)
	}
	eventually := func(status, user int) {
		t.Helper()
		for until := time.Now().Add(10 * time.Second); write(user) != status; time.Sleep(20 * time.Millisecond) {
			require.True(t, time.Now().Before(until), "user %d is not answered %d", user, status)
		}
	}
	require.Equal(t, http.StatusAccepted, write(4))
	require.Equal(t, http.StatusNotFound, write(5))

	load("more", stack.Registry{Limits: fast, Users: 6})
	eventually(http.StatusAccepted, 5)

	paused := stack.Registry{Limits: fast, Users: 6, Statuses: map[string]string{sandbox.ConnectionID(1): "paused"}}
	load("paused", paused)
	eventually(http.StatusConflict, 4)

	load("again", stack.Registry{Limits: fast, Users: 6})
	eventually(http.StatusAccepted, 4)

	// The worker's copy followed too: it has the new user's connection active again.
	h, err := s.Collect(t.Context(), all, 60*time.Second)
	require.NoError(t, err)
	report := history.Check(h)
	require.True(t, report.Clean(), report.String())
	require.Equal(t, report.Counts.Accepted, report.Counts.Succeeded+report.Counts.Failed)
}
