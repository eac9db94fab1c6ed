package webhook_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"writeback/internal/webhook"
	"writeback/pkg/operation"
)

// TestFanout_PartnerWithoutRoom: with as many waiting as may for a partner, the endpoint
// that many wait for takes no more, and the others do.
func TestFanout_PartnerWithoutRoom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.front
	require.NoError(t, p.queue.Begin(t.Context(), shards()))
	full := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/full", EventName: webhook.EventCreated})
	var asked uuid.UUID
	tell := func() error {
		return p.fanout.Created(t.Context(), operation.Message{
			Accepted: operation.Accepted{
				Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: r.partner, ConnectionID: r.connection,
				Resource: operation.ResourceUser, Type: operation.Update,
			},
			Place: operation.Place{Seq: time.Now().UnixMicro()},
		})
	}
	var g errgroup.Group
	g.SetLimit(64)
	const few = 1000
	for range few {
		g.Go(tell)
	}
	require.NoError(t, g.Wait())
	works := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/works", EventName: webhook.EventCreated})
	p.fanout.Room = func(_ context.Context, partner uuid.UUID) bool { asked = partner; return false }
	require.NoError(t, tell())
	require.Equal(t, r.partner, asked)
	require.Equal(t, few, r.queued(p, full))
	require.Equal(t, 1, r.queued(p, works))
	dead := func(s webhook.Subscription) int {
		m, err := p.journal.Metrics(t.Context(), s)
		require.NoError(t, err)
		return m.DeadLetters
	}
	require.Equal(t, []int{1, 0}, []int{dead(full), dead(works)})

	p.fanout.Room = func(context.Context, uuid.UUID) bool { return true }
	require.NoError(t, tell())
	require.Equal(t, few+1, r.queued(p, full))
}
