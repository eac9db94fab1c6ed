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
		other := uuid.New() // most likely of another shard
		count := func(want int, connections ...uuid.UUID) {
			t.Helper()
			n, err := f.store.Outstanding(t.Context(), connections)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		count(0, f.conn, other)
		one, two := f.accepted(uuid.New()), f.accepted(uuid.New())
		f.accept(one)
		f.accept(one)
		count(1, f.conn, other)
		two.ConnectionID = other
		f.accept(two)
		count(2, f.conn, other)
		count(1, other)
		count(0)

		l := f.next(1).Leases[0]
		f.record(l, again(0))
		count(2, f.conn, other)
		l = f.next(1).Leases[0]
		f.record(l, succeed)
		f.record(l, succeed)
		count(0, f.conn)

		synced := f.accepted(uuid.New())
		synced.Sync = true
		attempt := uuid.Must(uuid.NewV7())
		receipt, err := f.store.AcceptSync(t.Context(), synced, f.limits, attempt)
		require.NoError(t, err)
		count(1, f.conn)
		f.record(redisstore.Lease{Accepted: synced, Place: receipt.Place, AttemptID: attempt}, failNow)
		count(0, f.conn)

		_, err = f.store.Cancel(t.Context(), two.ConnectionID, two.ID)
		require.NoError(t, err)
		count(0, f.conn, other)

		many := make([]uuid.UUID, 1000)
		for i := range many {
			many[i] = uuid.New()
		}
		many[999] = f.conn
		f.accept(f.accepted(uuid.New()))
		count(1, many...)
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
		n, err := f.store.Outstanding(t.Context(), []uuid.UUID{f.conn})
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
