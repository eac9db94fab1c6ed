package e2e_test

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/test/e2e/stack"
)

// TestStart_NothingWaitsForAnAPIThatCannotServe: what waited in the socket of a program that
// starts would be carried out minutes later, after what its caller has written meanwhile.
func TestStart_NothingWaitsForAnAPIThatCannotServe(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts programs")
	}
	t.Parallel()
	s := stack.Start(t, stack.Options{APIs: 1})
	s.NATS.Kill()
	late := s.API("late", s.Registry("registry", stack.Registry{}))
	require.NoError(t, late.Spawn())
	require.Eventually(t, func() bool {
		resp, err := http.Get(late.Admin + "/readyz")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusServiceUnavailable
	}, 30*time.Second, 10*time.Millisecond)
	patient := http.Client{Timeout: 10 * time.Second}
	_, err := patient.Get(late.URL)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, s.NATS.Restart())
	require.Eventually(t, func() bool {
		resp, err := http.Get(late.URL + "/openapi.json")
		return err == nil && resp.Body.Close() == nil
	}, 30*time.Second, 10*time.Millisecond)
}
