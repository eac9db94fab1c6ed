package webhook_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/internal/webhook"
	"writeback/pkg/operation/redisstore"
)

// TestFanout_AnAnswerThatIsOld: a delivery that Redis has lost before its message was acked is
// accepted once more, and only then told.
func TestFanout_AnAnswerThatIsOld(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventCreated})
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	lost := redis.NewClient(r.redis.Options())
	t.Cleanup(func() { _ = lost.Close() })
	still, stood := &testenv.Still{}, false
	r.redis.AddHook(still)
	r.front.fanout.Room = func(context.Context, uuid.UUID) bool { // the next answer is that to the delivery
		still.Next(func() {
			stood = true
			require.NoError(t, lost.FlushAll(t.Context()).Err())
			require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
			time.Sleep(redisstore.TellWithin + time.Millisecond)
		})
		return true
	}
	require.NoError(t, r.front.fanout.Created(t.Context(), r.accepted(s.CreatedAt)))
	require.True(t, stood)
	require.Equal(t, 1, r.queued(r.front, s))
	deliveries, err := r.js.Stream(t.Context(), natsq.StreamDeliveries)
	require.NoError(t, err)
	require.EqualValues(t, 1, deliveries.CachedInfo().State.Msgs)
}
