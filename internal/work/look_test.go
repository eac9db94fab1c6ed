package work

import (
	"log/slog"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/metrics"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// A message is acked by the answer of a look and by nothing else: what it says may be all
// that is left of its operation.
func TestLook_AcksWhatWasAnswered(t *testing.T) {
	t.Parallel()
	o, err := redis.ParseURL(testenv.Redis(t))
	require.NoError(t, err)
	rdb := redis.NewClient(o)
	store := redisstore.New(rdb, redisstore.Config{})
	w := NewLaneWorker(Parts{Store: store, Log: slog.New(slog.DiscardHandler)}, Config{}, nil, nil, Lanes{
		Queue: metrics.QueueOperations, Limits: func(uuid.UUID) redisstore.Limits { return redisstore.Limits{InFlight: 1} },
	})
	lane := uuid.New()
	look := func() (said string, err error) {
		m := &wake{Message: operation.Message{Accepted: operation.Accepted{ID: uuid.New(), ConnectionID: lane, ResourceID: uuid.New()}}}
		m.ack, m.nak = func() { said += "ack" }, func() { said += "nak" }
		_, err = w.look(t.Context(), t.Context(), m, lane, 0)
		return said, err
	}
	said, err := look()
	require.ErrorIs(t, err, redisstore.ErrStale)
	require.Equal(t, "nak", said)
	require.NoError(t, store.Begin(t.Context(), []int{operation.ShardOf(lane)}))
	said, err = look()
	require.NoError(t, err)
	require.Equal(t, "ack", said)
	require.NoError(t, rdb.Close())
	said, err = look()
	require.ErrorIs(t, err, redis.ErrClosed)
	require.Equal(t, "nak", said)
}
