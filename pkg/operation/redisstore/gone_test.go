package redisstore_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// lost says that the shard has lost its data some time ago.
func (f *fixture) lost(ago time.Duration) {
	f.t.Helper()
	require.NoError(f.t, f.rdb.Set(f.t.Context(), f.key("not_before"), time.Now().Add(-ago).UnixMilli(), 0).Err())
}

// write accepts a write of the user that goes to the provider and ends.
func (f *fixture) write(user uuid.UUID) {
	f.t.Helper()
	f.accept(f.accepted(user))
	f.record(f.next(1).Leases[0], succeed)
}

// late is the message of an operation that was accepted before all that the fixture has.
func (f *fixture) late(user uuid.UUID) *operation.Message {
	now := time.Now()
	return &operation.Message{
		Accepted: f.accepted(user),
		Place:    operation.Place{Seq: now.Add(-10 * time.Second).UnixMicro(), Deadline: now.Add(time.Hour)},
	}
}

// TestLateComer_IsNotCalledAfterANewerOneHasGone: after a loss the stream, or who holds its lease, puts an
// operation back when a newer write of its user has gone and ended. Its call would undo that.
func TestLateComer_IsNotCalledAfterANewerOneHasGone(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.lost(time.Second)
		user := uuid.New()
		f.write(user)
		older := f.late(user)
		h, err := f.store.Next(t.Context(), f.conn, f.limits, ids(3), older)
		require.NoError(t, err)
		require.Equal(t, 1, h.Healed)
		require.Empty(t, h.Leases)
		op := f.get(older.ID)
		require.Equal(t, operation.Failed, op.Status)
		require.Len(t, op.Attempts, 1)
		require.Contains(t, op.Attempts[0].Detail, "a newer update of this user had already gone")
		require.Zero(t, op.Attempted)
		_, due := f.due()
		require.False(t, due, "nothing is left to do")
		for _, index := range []string{"day:*", "late:*"} {
			keys := f.rdb.Keys(t.Context(), f.key(index)).Val()
			require.NotEmpty(t, keys, index)
			for _, key := range keys {
				require.Positive(t, f.rdb.TTL(t.Context(), key).Val(), "a list has an end")
			}
		}

		// Others go on: of the user, behind one that comes too late, and of other users.
		newest, other := f.accepted(user), f.accepted(uuid.New())
		f.accept(newest)
		f.accept(other)
		again := f.late(user)
		h, err = f.store.Next(t.Context(), f.conn, f.limits, nil, again)
		require.NoError(t, err)
		require.Equal(t, 1, h.Healed)
		got := map[uuid.UUID]bool{}
		for range 3 { // the one that comes too late takes a turn
			for _, l := range f.next(4).Leases {
				got[l.ID] = true
			}
		}
		require.Equal(t, map[uuid.UUID]bool{newest.ID: true, other.ID: true}, got)
		require.Equal(t, operation.Failed, f.get(again.ID).Status)
	})
}

// What came of its own call counts, also after it was put back.
func TestLateComer_ItsOwnOutcomeCounts(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.lost(time.Second)
		user := uuid.New()
		f.write(user)
		older := f.late(user)
		_, err := f.store.Next(t.Context(), f.conn, f.limits, nil, older)
		require.NoError(t, err)
		f.record(redisstore.Lease{Accepted: older.Accepted, Place: older.Place, AttemptID: uuid.Must(uuid.NewV7()), Number: 1}, succeed)
		require.Equal(t, operation.Succeeded, f.get(older.ID).Status)

		// The newest is still the one that has gone.
		between := f.late(user)
		between.Seq += 1e6
		h, err := f.store.Next(t.Context(), f.conn, f.limits, ids(1), between)
		require.NoError(t, err)
		require.Empty(t, h.Leases)
		require.Equal(t, operation.Failed, f.get(between.ID).Status)
	})
}

// A rebuild tells what had gone before the loss; in normal life, and long after a loss,
// nothing is kept.
func TestLateComer_WhoRemembers(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		user, kept := uuid.New(), func() int64 {
			n, err := f.rdb.HLen(t.Context(), f.key("gone")).Result()
			require.NoError(t, err)
			return n
		}
		f.write(user)
		require.Zero(t, kept())
		f.lost(2 * time.Hour)
		f.write(user)
		require.Zero(t, kept())

		shard := operation.ShardOf(f.conn)
		require.NoError(t, f.store.Withdraw(t.Context(), []int{shard}))
		b, err := f.store.TakeRebuild(t.Context(), []int{shard})
		require.NoError(t, err)
		now := time.Now()
		_, err = b.Older(t.Context(), []redisstore.Gone{
			{Connection: f.conn, User: user.String(), Seq: now.UnixMicro()},
			{Connection: f.conn, User: uuid.NewString(), Seq: now.Add(-time.Hour).UnixMicro()},
		})
		require.NoError(t, err)
		require.EqualValues(t, 1, kept(), "and only what has gone lately")
		ttl, err := f.rdb.PTTL(t.Context(), f.key("gone")).Result()
		require.NoError(t, err)
		require.Positive(t, ttl)
	})
}
