package redisstore_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

var (
	succeed = operation.Decision{Verdict: operation.Succeed}
	failNow = operation.Decision{Verdict: operation.Fail}
)

func again(d time.Duration) operation.Decision {
	return operation.Decision{Verdict: operation.Again, Delay: d}
}

func TestFlow_AcceptAttemptSucceed(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		a := f.accepted(uuid.New())
		receipt := f.accept(a)
		require.Equal(t, 1, receipt.Outstanding)
		require.WithinDuration(t, time.Now().Add(time.Hour), receipt.Deadline, time.Minute)
		op := f.get(a.ID)
		require.Equal(t, operation.Pending, op.Status)
		require.Equal(t, a, op.Accepted)
		require.Empty(t, op.Attempts)

		h := f.next(4)
		require.Len(t, h.Leases, 1)
		l := h.Leases[0]
		require.Equal(t, a, l.Accepted)
		require.Equal(t, 1, l.Number)
		require.Empty(t, f.next(4).Leases, "an operation that is being called is not handed out again")

		rec := f.record(l, succeed)
		require.Equal(t, operation.Succeeded, rec.Operation.Status)
		require.Len(t, rec.Operation.Attempts, 1)
		_, due := f.due()
		require.False(t, due, "a lane without work is not due")

		require.NoError(t, ackAll(t.Context(), f.store, rec.Record))
		n, err := f.rdb.ZCard(t.Context(), f.key("outbox")).Result()
		require.NoError(t, err)
		require.Zero(t, n, "what is confirmed leaves the outbox")
		ttl, err := f.rdb.TTL(t.Context(), f.key("page:"+a.ID.String()[24:34])).Result()
		require.NoError(t, err)
		require.Greater(t, ttl, 45*24*time.Hour, "only then the record gets a time to live")
		gone, err := f.rdb.Exists(t.Context(), f.key("op:"+a.ID.String())).Result()
		require.NoError(t, err)
		require.Zero(t, gone, "in its page, and nowhere else")
		require.Equal(t, rec.Operation, f.get(a.ID))
	})
}

func TestFlow_MailboxKeepsAcceptOrder(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		user := uuid.New()
		first, second := f.accepted(user), f.accepted(user)
		a, b := f.accept(first), f.accept(second)
		require.Less(t, a.Seq, b.Seq)

		h := f.next(4)
		require.Len(t, h.Leases, 1, "only the head of a mailbox runs")
		require.Equal(t, first.ID, h.Leases[0].ID)
		f.record(h.Leases[0], again(time.Hour))
		require.Empty(t, f.next(4).Leases, "a head that waits keeps its mailbox waiting")
		wait := f.get(second.ID).Wait
		require.Equal(t, operation.WaitBehind, wait.Reason)
		require.Equal(t, first.ID, wait.Behind)
		require.Equal(t, operation.WaitRetry, f.get(first.ID).Wait.Reason)

		other := f.accepted(uuid.New())
		f.accept(other)
		require.Len(t, f.next(4).Leases, 1, "other users go on")

		_, err := f.store.Cancel(t.Context(), f.conn, first.ID)
		require.NoError(t, err)
		op := f.get(first.ID)
		require.Equal(t, operation.Failed, op.Status)
		require.Contains(t, op.Attempts[len(op.Attempts)-1].Detail, "cancelled")
		h = f.next(4)
		require.Len(t, h.Leases, 1)
		require.Equal(t, second.ID, h.Leases[0].ID)
	})
}

func TestNext_TwiceIsOnce(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		for range 4 {
			f.accept(f.accepted(uuid.New()))
		}
		attempts := ids(2)
		first, err := f.store.Next(t.Context(), f.conn, f.limits, attempts, nil)
		require.NoError(t, err)
		f.store.LoseAnswers()
		second, err := f.store.Next(t.Context(), f.conn, f.limits, attempts, nil)
		require.NoError(t, err)
		require.Len(t, first.Leases, 2)
		require.ElementsMatch(t, keys(first), keys(second))
		n, err := f.rdb.ZCard(t.Context(), f.key("flight:"+f.conn.String())).Result()
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
	})
}

func keys(h redisstore.Handout) (out []string) {
	for _, l := range h.Leases {
		out = append(out, l.ID.String()+l.AttemptID.String())
	}
	return out
}

func TestAccept_TwiceIsOnce(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		a := f.accepted(uuid.New())
		first, again := f.accept(a), f.accept(a)
		again.Asked = first.Asked
		require.Equal(t, first, again)
		require.Len(t, f.next(4).Leases, 1)
	})
}

func TestRecord_TwiceIsOnce(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.accept(f.accepted(uuid.New()))
		l := f.next(1).Leases[0]
		o := f.outcome(l, again(0))
		for range 2 {
			rec, err := f.store.Record(t.Context(), o)
			require.NoError(t, err)
			require.Len(t, rec.Operation.Attempts, 1)
			require.Equal(t, 1, rec.Operation.Attempted)
		}
		require.Equal(t, 2, f.next(1).Leases[0].Number)
	})
}

func TestLease_ExpiresAsUnknownAndCounts(t *testing.T) {
	t.Parallel()
	cfg := redisstore.Config{StartWindow: time.Millisecond, Margin: time.Millisecond}
	both(t, cfg, func(t *testing.T, f *fixture) {
		f.limits.Call = time.Millisecond
		a := f.accepted(uuid.New())
		f.accept(a)
		lost := f.next(1).Leases[0]
		var h redisstore.Handout
		require.Eventually(t, func() bool { h = f.next(1); return h.Expired == 1 }, time.Minute, 5*time.Millisecond)
		require.Len(t, h.Leases, 1, "the operation is ready again at once")
		require.Equal(t, 2, h.Leases[0].Number)
		require.True(t, h.Leases[0].Repeat)
		row := f.get(a.ID).Attempts[0]
		require.True(t, row.Unknown)
		require.Equal(t, lost.AttemptID, row.ID)
		require.Equal(t, operation.ErrorNetwork, row.ErrorType)

		// The late success completes its row, and ends the operation when the call
		// that is under way has ended.
		rec := f.record(lost, succeed)
		require.True(t, rec.Late)
		require.Equal(t, operation.Pending, rec.Operation.Status)
		require.Equal(t, operation.AttemptSucceeded, rec.Operation.Attempts[0].Status)
		rec = f.record(h.Leases[0], again(time.Hour))
		require.Equal(t, operation.Succeeded, rec.Operation.Status)
		require.Len(t, rec.Operation.Attempts, 2)
	})
}

func TestRecord_LateSuccessEndsAtOnceWhenNothingIsLeased(t *testing.T) {
	t.Parallel()
	cfg := redisstore.Config{StartWindow: time.Millisecond, Margin: time.Millisecond}
	both(t, cfg, func(t *testing.T, f *fixture) {
		f.limits.Call = time.Millisecond
		user := uuid.New()
		a, b := f.accepted(user), f.accepted(user)
		f.accept(a)
		f.accept(b)
		lost := f.next(1).Leases[0]
		require.Eventually(t, func() bool { return f.next(0).Expired == 1 }, time.Minute, 5*time.Millisecond)
		rec := f.record(lost, succeed)
		require.Equal(t, operation.Succeeded, rec.Operation.Status)
		h := f.next(1)
		require.Len(t, h.Leases, 1)
		require.Equal(t, b.ID, h.Leases[0].ID)

		late := f.record(lost, failNow)
		require.Equal(t, operation.Succeeded, late.Operation.Status, "a terminal state never changes")
		require.Equal(t, operation.AttemptSucceeded, late.Operation.Attempts[0].Status)
	})
}

func TestRelease_CostsNothing(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.limits.PerSecond, f.limits.Burst = 0.001, 1
		a := f.accepted(uuid.New())
		f.accept(a)
		l := f.next(1).Leases[0]
		require.NoError(t, f.store.Release(t.Context(), l, 0))
		h := f.next(1)
		require.Len(t, h.Leases, 1, "its place in the rate is given back")
		require.Equal(t, 1, h.Leases[0].Number)
		require.Empty(t, f.get(a.ID).Attempts)
		require.NoError(t, f.store.Release(t.Context(), l, 0), "an old lease releases nothing")
		require.Empty(t, f.next(1).Leases)
	})
}

func TestDeadline_EndsWaitingAndMarksLeased(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.limits.Life = time.Millisecond
		f.limits.InFlight = 1
		first := f.accepted(uuid.New())
		f.limits.Life = 300 * time.Millisecond
		f.accept(first)
		l := f.next(1).Leases[0]
		f.limits.Life = time.Millisecond
		waiting := f.accepted(uuid.New())
		f.accept(waiting)
		require.Eventually(t, func() bool { return f.next(1).Ended == 1 }, time.Minute, 5*time.Millisecond)
		op := f.get(waiting.ID)
		require.Equal(t, operation.Failed, op.Status)
		require.Contains(t, op.Attempts[0].Detail, "deadline")
		require.Zero(t, op.Attempted)

		require.Eventually(t, func() bool {
			f.next(1)
			return f.rdb.HGet(t.Context(), f.key("op:"+first.ID.String()), "mark").Val() == "deadline"
		}, time.Minute, 5*time.Millisecond)
		due, ok := f.due()
		require.True(t, ok)
		require.True(t, due.After(time.Now().Add(10*time.Second)), "a marked operation does not keep its lane due")
		rec := f.record(l, again(0))
		require.Equal(t, operation.Failed, rec.Operation.Status)
		require.Len(t, rec.Operation.Attempts, 2)
	})
}

func TestCancel_WhileCalledIsAMark(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		for _, tc := range []struct {
			decision operation.Decision
			want     operation.Status
		}{{succeed, operation.Succeeded}, {again(0), operation.Failed}, {failNow, operation.Failed}} {
			a := f.accepted(uuid.New())
			f.accept(a)
			l := f.next(1).Leases[0]
			rec, err := f.store.Cancel(t.Context(), f.conn, a.ID)
			require.NoError(t, err)
			require.Equal(t, operation.Pending, rec.Operation.Status)
			require.True(t, rec.Operation.CancelRequested)
			read, err := f.store.Get(t.Context(), f.conn, a.ID)
			require.NoError(t, err)
			require.True(t, read.CancelRequested)
			ended := f.record(l, tc.decision).Operation
			require.Equal(t, tc.want, ended.Status)
			require.False(t, ended.CancelRequested, "it has been decided")
		}
		_, err := f.store.Cancel(t.Context(), f.conn, uuid.New())
		require.ErrorIs(t, err, redisstore.ErrMissing)
	})
}
