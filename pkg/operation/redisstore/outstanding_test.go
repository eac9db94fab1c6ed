package redisstore_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

func TestOutstanding_CountsWhatHasNotEnded(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		count := func(partner uuid.UUID, want int) {
			t.Helper()
			n, err := f.store.Outstanding(t.Context(), partner)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		count(f.partner, 0)
		one, two := f.accepted(uuid.New()), f.accepted(uuid.New())
		f.accept(one)
		f.accept(one)
		count(f.partner, 1)
		two.ConnectionID = uuid.New() // most likely another shard
		f.accept(two)
		count(f.partner, 2)
		count(uuid.New(), 0)

		l := f.next(1).Leases[0]
		f.record(l, again(0))
		count(f.partner, 2)
		l = f.next(1).Leases[0]
		f.record(l, succeed)
		f.record(l, succeed)
		count(f.partner, 1)

		synced := f.accepted(uuid.New())
		synced.Sync = true
		attempt := uuid.Must(uuid.NewV7())
		receipt, err := f.store.AcceptSync(t.Context(), synced, f.limits, attempt)
		require.NoError(t, err)
		count(f.partner, 2)
		f.record(redisstore.Lease{Accepted: synced, Place: receipt.Place, AttemptID: attempt}, failNow)
		count(f.partner, 1)

		_, err = f.store.Cancel(t.Context(), two.ConnectionID, two.ID)
		require.NoError(t, err)
		count(f.partner, 0)
		n, err := f.rdb.Exists(t.Context(), f.key("outstanding")).Result()
		require.NoError(t, err)
		require.Zero(t, n, "partners without outstanding operations take no room")
	})
}

func TestOutstanding_ComesBackWithARebuild(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		require.NoError(t, f.rdb.FlushAll(t.Context()).Err())
		shard := []int{operation.ShardOf(f.conn)}
		b, err := f.store.TakeRebuild(t.Context(), shard)
		require.NoError(t, err)
		facts := []redisstore.Fact{}
		for range 3 {
			facts = append(facts, redisstore.Fact{Operation: operation.Operation{
				Accepted: f.accepted(uuid.New()), Place: operation.Place{Seq: time.Now().UnixMicro(), Deadline: time.Now().Add(time.Hour)}, Status: operation.Pending,
			}})
		}
		facts[2].Operation.Status, facts[2].Final = operation.Succeeded, true
		for range 2 {
			_, err = b.Put(t.Context(), facts)
			require.NoError(t, err)
		}
		n, err := f.store.Outstanding(t.Context(), f.partner)
		require.NoError(t, err)
		require.Equal(t, 2, n)
	})
}

func TestCancel_OfAnEndedOperationSaysSo(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		a := f.accepted(uuid.New())
		f.accept(a)
		rec, err := f.store.Cancel(t.Context(), f.conn, a.ID)
		require.NoError(t, err)
		require.Equal(t, operation.Failed, rec.Operation.Status)
		again, err := f.store.Cancel(t.Context(), f.conn, a.ID)
		require.ErrorIs(t, err, redisstore.ErrEnded)
		require.Equal(t, rec.Operation, again.Operation)
	})
}
