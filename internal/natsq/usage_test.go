package natsq_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
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

// TestWebhookWait_IsOfTheOldestEvent: what webhooks are not told of does not count, nor what
// they were told of.
func TestWebhookWait_IsOfTheOldestEvent(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	_, some, err := natsq.WebhookWait(t.Context(), c.js)
	require.NoError(t, err)
	require.False(t, some, "webhooks have no consumers here")
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), c.js, natsq.WebhookConfig{MaxBytes: 64 << 20}))
	wait := func() time.Duration {
		longest, some, err := natsq.WebhookWait(t.Context(), c.js)
		require.NoError(t, err)
		require.True(t, some)
		return longest
	}
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventAttempted, 1)))
	require.Zero(t, wait())
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, 1)))
	consumer, err := c.js.Consumer(t.Context(), natsq.StreamEvents, natsq.ConsumerEnded)
	require.NoError(t, err)
	first, err := consumer.Next()
	require.NoError(t, err)
	meta, err := first.Metadata()
	require.NoError(t, err)
	require.Greater(t, wait(), time.Duration(0), "it is under way")
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, 2)))
	second, err := consumer.Next()
	require.NoError(t, err)
	require.NoError(t, second.DoubleAck(t.Context()))
	info, err := consumer.Info(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, wait(), info.TimeStamp.Sub(meta.Timestamp), "the first is older, and not acked")
	require.NoError(t, first.DoubleAck(t.Context()))
	require.Zero(t, wait())
}
