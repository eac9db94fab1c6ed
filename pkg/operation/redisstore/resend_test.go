package redisstore_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// resender sends each pipeline twice, as the client library does when it lost the reply.
type resender struct{ redis.Hook }

// DialHook changes nothing.
func (resender) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook changes nothing.
func (resender) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook gives the second reply.
func (resender) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		_ = next(ctx, cmds)
		return next(ctx, cmds)
	}
}

// A cancel that comes again has cancelled.
func TestCancel_SentTwiceIsOnce(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		a := f.accepted(uuid.New())
		f.accept(a)
		f.rdb.AddHook(resender{})
		_, err := f.store.Cancel(t.Context(), f.conn, a.ID)
		require.NoError(t, err)
		_, err = f.store.Cancel(t.Context(), f.conn, a.ID)
		require.ErrorIs(t, err, redisstore.ErrEnded)
	})
}

// TestRuns_SentTwiceAreOnce: what has been run and comes again, since its reply was lost,
// changes nothing, and gives what it gave. So it is also with what went before it and was
// answered.
func TestRuns_SentTwiceAreOnce(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.accept(f.accepted(uuid.New()))
		f.next(1)
		f.rdb.AddHook(resender{})
		count := func(name string, want int) {
			t.Helper()
			n, err := f.rdb.ZCard(t.Context(), f.key(name+":"+f.conn.String())).Result()
			require.NoError(t, err)
			require.EqualValues(t, want, n, name)
		}
		_, err := f.store.AcceptNew(t.Context(), f.accepted(uuid.New()), f.limits)
		require.NoError(t, err)
		count("pend", 2)
		var many []operation.Accepted
		for range 98 { // they travel in more than one run
			many = append(many, f.accepted(uuid.New()))
		}
		last := int64(0)
		for _, taken := range f.acceptMany(many...) {
			require.NoError(t, taken.Err)
			require.Equal(t, uuid.Nil, taken.Receipt.Replay)
			require.Greater(t, taken.Receipt.Seq, last)
			last = taken.Receipt.Seq
		}
		count("pend", 100)
		synced := f.accepted(uuid.New())
		synced.Sync = true
		_, err = f.store.AcceptSync(t.Context(), synced, f.limits, uuid.Must(uuid.NewV7()))
		require.NoError(t, err)
		count("pend", 101)
		count("flight", 2)
		h := f.next(1)
		require.Len(t, h.Leases, 1)
		count("flight", 3)
		out := f.outcome(h.Leases[0], succeed)
		out.More, out.Lease = ids(1), f.store.LeaseFor(f.limits)
		rec, err := f.store.Record(t.Context(), out)
		require.NoError(t, err)
		require.Len(t, rec.Leases, 1)
		count("flight", 3)
		count("pend", 100)
		require.Equal(t, 1, f.get(h.Leases[0].ID).Attempted)
	})
}
