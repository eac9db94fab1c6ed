package natsq_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
)

func TestUsages_AreWhatTheStreamsHold(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	require.NoError(t, natsq.Ensure(t.Context(), c.js, natsq.Config{OperationsMaxBytes: 1 << 20, EventsMaxBytes: 2 << 20}))
	of := func() map[string]natsq.Usage {
		all, err := natsq.Usages(t.Context(), c.js)
		require.NoError(t, err)
		out := map[string]natsq.Usage{}
		for _, u := range all {
			out[u.Stream] = u
		}
		return out
	}
	empty := of()
	require.Len(t, empty, 3, "webhooks have no streams here")
	require.Equal(t, natsq.Usage{Stream: natsq.StreamOperations, Limit: 1 << 20}, empty[natsq.StreamOperations])
	require.EqualValues(t, 2<<20, empty[natsq.StreamEvents].Limit)

	_, err := c.js.Publish(t.Context(), natsq.SubjectFailed, make([]byte, 5000))
	require.NoError(t, err)
	require.Greater(t, of()[natsq.StreamEvents].Bytes, int64(5000))

	_, err = c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: natsq.StreamDeliveries, Subjects: []string{natsq.SubjectDelivery}})
	require.NoError(t, err)
	require.Zero(t, of()[natsq.StreamDeliveries].Limit, "it has no bound")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = natsq.Usages(gone, c.js)
	require.ErrorIs(t, err, context.Canceled)
}
