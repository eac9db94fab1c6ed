package webhook_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"writeback/internal/webhook"
)

// silent is an endpoint that takes every request and answers none.
func silent(t *testing.T) *endpoint {
	hung := make(chan struct{})
	e := newEndpoint(t, func(int, http.ResponseWriter) { <-hung })
	t.Cleanup(func() { close(hung) }) // before the server, which waits for its handlers
	return e
}

// TestTrip_SilentEndpointLeavesTheSlots: a send that gets no answer holds a slot for all of
// its time, so that a few such endpoints would hold all of them.
func TestTrip_SilentEndpointLeavesTheSlots(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := silent(t)
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	p, _ := r.work()
	for range 2 * webhook.SilentSends {
		r.operation(true)
	}
	require.Eventually(t, func() bool {
		lane, err := p.queue.Lane(t.Context(), s.ID)
		return err == nil && !lane.BreakerUntil.IsZero() && lane.InFlight == 0
	}, soon, often, "its lane is not held back")
	require.Less(t, len(e.received()), 2*webhook.SilentSends, "and what waits costs no send")
	require.Equal(t, 2*webhook.SilentSends, r.queued(p, s))
}

// TestTrip_SilentEndpointIsGivenUp: while more waits than a silent endpoint lets through, a
// message comes to its last send late.
func TestTrip_SilentEndpointIsGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := silent(t)
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	p, _ := r.work()
	for range 39 {
		_, err := p.journal.Silent(t.Context(), s)
		require.NoError(t, err)
	}
	r.operation(true)
	require.Eventually(t, func() bool {
		got, ok, err := p.Find(t.Context(), s.ID)
		return err == nil && ok && got.Status == webhook.Stale
	}, soon, often)
	got, _, err := p.Find(t.Context(), s.ID)
	require.NoError(t, err)
	require.Equal(t, "the last 40 sends got no answer", got.StaleReason)
	require.Len(t, e.received(), 1)
	require.Equal(t, 1, r.queued(p, s), "it waits for the endpoint to be made active")
}
