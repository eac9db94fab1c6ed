package redisstore_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// vanish takes away all that Redis has of an operation, as a loss of its last moments does.
func (f *fixture) vanish(l redisstore.Lease) {
	f.t.Helper()
	ctx, id := f.t.Context(), l.ID.String()
	require.NoError(f.t, f.rdb.Del(ctx, f.key("op:"+id)).Err())
	for key, member := range map[string]string{
		"mail:" + f.conn.String() + ":" + redisstore.UserOf(l.Accepted): id, "pend:" + f.conn.String(): id, "ready:" + f.conn.String(): id,
		"outbox": id, "flight:" + f.conn.String(): id + ":" + l.AttemptID.String(),
	} {
		require.NoError(f.t, f.rdb.ZRem(ctx, f.key(key), member).Err())
	}
}

// lostInCall accepts a write of the user that Redis loses while it is being called.
func (f *fixture) lostInCall(user uuid.UUID) redisstore.Lease {
	f.t.Helper()
	f.accept(f.accepted(user))
	l := f.next(1).Leases[0]
	f.vanish(l)
	return l
}

// TestPutBack_NobodyElseCallsIt: who made the call is all that knows the operation.
func TestPutBack_NobodyElseCallsIt(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		user := uuid.New()
		l := f.lostInCall(user)
		behind := f.accepted(user)
		f.accept(behind) // it has the turn now

		_, err := f.store.Record(t.Context(), f.outcome(l, succeed))
		require.ErrorIs(t, err, redisstore.ErrMissing)
		healed, err := f.store.PutBack(t.Context(), l, f.limits)
		require.NoError(t, err)
		require.Equal(t, 1, healed)
		require.Empty(t, f.next(3).Leases, "its outcome is on its way, and the other one is behind it")
		healed, err = f.store.PutBack(t.Context(), l, f.limits)
		require.NoError(t, err)
		require.Zero(t, healed, "it is there")

		rec := f.record(l, succeed)
		require.Equal(t, operation.Succeeded, rec.Operation.Status)
		require.False(t, rec.Late)
		require.False(t, rec.Accepted, "its message has still to be published")
		require.Len(t, f.get(l.ID).Attempts, 1)
		h := f.next(3)
		require.Len(t, h.Leases, 1)
		require.Equal(t, behind.ID, h.Leases[0].ID)
	})
}

// TestPutBack_WhileANewerOneIsCalled: that has the turn of the mailbox until it is over.
func TestPutBack_WhileANewerOneIsCalled(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		user := uuid.New()
		l := f.lostInCall(user)
		f.accept(f.accepted(user))
		newer := f.next(1).Leases[0]
		_, err := f.store.PutBack(t.Context(), l, f.limits)
		require.NoError(t, err)
		require.Empty(t, f.next(3).Leases)
		require.Equal(t, operation.Succeeded, f.record(l, succeed).Operation.Status)
		require.Empty(t, f.next(3).Leases, "the newer one is being called")
		require.Equal(t, operation.Succeeded, f.record(newer, succeed).Operation.Status)
		require.Empty(t, f.next(3).Leases)
	})
}

// TestPutBack_WhoPutsItBackDies: then its lease ends like any other, and the outbox has its message.
func TestPutBack_WhoPutsItBackDies(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{StartWindow: time.Millisecond, Margin: time.Millisecond}, func(t *testing.T, f *fixture) {
		f.limits.Call = time.Millisecond
		l := f.lostInCall(uuid.New())
		_, err := f.store.PutBack(t.Context(), l, f.limits)
		require.NoError(t, err)
		require.NoError(t, f.rdb.ZScore(t.Context(), f.key("outbox"), l.ID.String()).Err())
		var again redisstore.Lease
		require.Eventually(t, func() bool {
			if h := f.next(1); len(h.Leases) > 0 {
				again = h.Leases[0]
			}
			return again.ID == l.ID
		}, 20*time.Second, 5*time.Millisecond)
		require.True(t, again.Repeat)
	})
}
