package work_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// TestFullRedis_SaysThatNothingWasTaken: the refusal of a full store is no guess, and names no
// operation that could be waited for.
func TestFullRedis_SaysThatNothingWasTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.NATS(t), testenv.StartRedis(t).URL(), &provider{})
	_, err := r.accepter.Accept(t.Context(), r.change(uuid.New(), "loads the scripts"), r.limits())
	require.NoError(t, err)
	one, sync, many := r.change(uuid.New(), "a"), r.change(uuid.New(), "b"), r.change(uuid.New(), "c")
	require.NoError(t, r.rdb.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	_, full := r.accepter.Accept(t.Context(), one, r.limits())
	_, fullSync := r.accepter.Sync(t.Context(), sync, r.limits())
	_, fullMany := r.accepter.AcceptMany(t.Context(), []operation.Accepted{many}, func(operation.Accepted) tsp.Limits { return r.limits() })
	for in, err := range map[*operation.Accepted]error{&one: full, &sync: fullSync, &many: fullMany[0]} {
		var refused *operation.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, operation.CodeUnavailable, refused.Code)
		require.Equal(t, uuid.Nil, refused.Operation)
		require.Equal(t, 10*time.Second, refused.RetryAfter)
		require.Contains(t, refused.Message, "the write was not taken")
		_, err = r.store.Get(t.Context(), r.conn, in.ID)
		require.Error(t, err)
	}
}
