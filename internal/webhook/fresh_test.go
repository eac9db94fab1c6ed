package webhook_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

// TestTrip_FirstEventAfterTheSubscription has a worker that does not follow the
// subscriptions for a while: an operation accepted after the subscription was
// answered must be told all the same.
func TestTrip_FirstEventAfterTheSubscription(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, nil)
	p := r.process()
	p.stop() // it has read the subscriptions and follows them no more
	require.NoError(t, p.queue.Begin(t.Context(), shards()))
	r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	op := r.operation(true)
	event := operation.Event{Version: operation.Version, ID: uuid.New(), Kind: operation.EventSucceeded, Operation: op}
	brief, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Error(t, p.fanout.Ended(brief, event), "it must not take the event: it does not know for whom it is")

	p2, _ := r.work()
	require.NoError(t, p2.fanout.Ended(t.Context(), event))
	require.Equal(t, operation.EventID(op.ID, operation.EventSucceeded).String(), e.after(t, 1)[0].ID)
}

// TestTrip_FleetOfANewConnection has an event of a connection that the worker has not
// heard of, for a subscription that asks for its fleet.
func TestTrip_FleetOfANewConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, nil)
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded, Filters: webhook.Filters{FleetIDs: []uuid.UUID{uuid.New()}}})
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	op := r.operation(true)
	event := operation.Event{Version: operation.Version, ID: uuid.New(), Kind: operation.EventSucceeded, Operation: op}
	require.NoError(t, r.front.fanout.Ended(t.Context(), event), "another fleet")
	r.newConnection.Store(true)
	require.Error(t, r.front.fanout.Ended(t.Context(), event), "it may be that fleet's")
	event.Operation.UpdatedAt = time.Now().Add(-2 * time.Minute)
	require.NoError(t, r.front.fanout.Ended(t.Context(), event), "nobody will ever know it")
	require.Zero(t, r.queued(r.front, s))
}

// TestTrip_DeletedWhileTriedAgain deletes a subscription between two sends of a
// delivery.
func TestTrip_DeletedWhileTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := newEndpoint(t, status(http.StatusServiceUnavailable))
	s := r.subscribe(webhook.New{URL: e.URL, EventName: webhook.EventSucceeded})
	p, _ := r.work()
	for range 5 {
		r.operation(true)
	}
	e.after(t, 1)
	require.NoError(t, r.front.Delete(t.Context(), r.partner, s.ID))
	require.NoError(t, p.Current(t.Context()), "every worker knows it as soon as it was answered")
	require.Eventually(t, func() bool {
		lane, err := p.queue.Lane(t.Context(), s.ID)
		return err != nil || lane.InFlight == 0
	}, soon, often, "what was being sent just then ends")
	sent := len(e.received())
	require.Eventually(t, func() bool { return r.queued(p, s) == 0 }, soon, often)
	require.Len(t, e.received(), sent)
}
