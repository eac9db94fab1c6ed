package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

func (f *fixture) fill(n int) {
	for range n {
		f.accept(f.accepted(uuid.New()))
	}
}

func TestLane_Cap(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.limits.InFlight = 3
		f.fill(5)
		h := f.next(10)
		require.Len(t, h.Leases, 3)
		require.False(t, h.More, "a full lane is not due before a lease ends")
		require.Empty(t, f.next(10).Leases)
		rec := f.record(h.Leases[0], succeed)
		require.True(t, rec.More)
		require.Len(t, f.next(10).Leases, 1)
	})
}

func TestLane_Rate(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		// The next call is due before a lease ends, and long after this is over.
		f.limits.PerSecond, f.limits.Burst = 0.05, 3
		f.fill(5)
		asked := time.Now().Truncate(time.Millisecond)
		require.Len(t, f.next(10).Leases, 3, "the burst, then the rate")
		require.Empty(t, f.next(10).Leases)
		due, ok := f.due()
		require.True(t, ok)
		require.False(t, due.Before(asked.Add(20*time.Second)), "%s, asked %s", due, asked)
		require.False(t, due.After(time.Now().Add(21*time.Second)), "%s, asked %s", due, asked)
		op := f.get(f.last())
		require.Equal(t, operation.WaitRateLimited, op.Wait.Reason)
	})
}

func TestLane_ARetryKeepsItsTurn(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	c.limits.InFlight = 1
	accepted := func() uuid.UUID {
		a := c.accepted(uuid.New())
		c.accept(a)
		return a.ID
	}
	failed := accepted()
	h := c.next(1)
	require.Len(t, h.Leases, 1)
	c.record(h.Leases[0], again(time.Second))
	before := accepted()
	c.pass(2 * time.Second)
	after := accepted()
	for i, want := range []uuid.UUID{before, failed, after} {
		h = c.next(1)
		require.Len(t, h.Leases, 1)
		require.Equal(t, want, h.Leases[0].ID, i)
		c.record(h.Leases[0], succeed)
	}
}

func TestLane_AClockThatStepsBackMakesNobodyWait(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	user := uuid.New()
	first, second, other := c.accepted(user), c.accepted(user), c.accepted(uuid.New())
	c.accept(first)
	c.accept(second)
	c.pass(-time.Hour)
	c.accept(other)
	h := c.next(4)
	require.Len(t, h.Leases, 2)
	require.Equal(t, first.ID, h.Leases[0].ID)
	require.Equal(t, other.ID, h.Leases[1].ID)
	rec := c.record(h.Leases[0], succeed)
	require.True(t, rec.More)
	h = c.next(1)
	require.Len(t, h.Leases, 1)
	require.Equal(t, second.ID, h.Leases[0].ID)
}

// last gives an operation that is ready and not handed out.
func (f *fixture) last() uuid.UUID {
	v, err := f.rdb.ZRange(f.t.Context(), f.key("ready:"+f.conn.String()), 0, 0).Result()
	require.NoError(f.t, err)
	require.Len(f.t, v, 1)
	return uuid.MustParse(v[0])
}

// The rate is a bound from now on, not a debt from a slower one, or from a clock that was
// ahead for a moment.
func TestLane_RateHoldsNoLongerThanItsBurst(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *clocked){
		"a higher rate":   func(c *clocked) { c.limits.PerSecond = 10 },
		"the clock again": func(c *clocked) { c.limits.PerSecond = 10; c.pass(-24 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClocked(t, redisstore.Config{})
			c.limits.PerSecond, c.limits.Burst = 1.0/600, 3
			for range 6 {
				c.accept(c.accepted(uuid.New()))
			}
			require.Len(t, c.try(5, nil), 3)
			change(c)
			require.Empty(t, c.try(3, nil), "the burst is spent")
			c.pass(time.Second)
			require.NotEmpty(t, c.try(3, nil))
		})
	}
}

func TestLane_BlockedUntilRetryAfter(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.fill(2)
		l := f.next(1).Leases[0]
		d := again(time.Minute)
		d.Block = time.Minute
		rec := f.record(l, d)
		require.WithinDuration(t, time.Now().Add(time.Minute), rec.Blocked, 10*time.Second)
		require.Empty(t, f.next(10).Leases, "the whole lane waits")
		require.Equal(t, operation.WaitProviderBackoff, f.get(f.last()).Wait.Reason)
		due, _ := f.due()
		require.WithinDuration(t, time.Now().Add(time.Minute), due, 10*time.Second)
	})
}

func TestLane_Breaker(t *testing.T) {
	t.Parallel()
	cfg := redisstore.Config{BreakerThreshold: 2, BreakerOpen: time.Hour}
	both(t, cfg, func(t *testing.T, f *fixture) {
		over := func() { // the hour
			require.NoError(t, f.rdb.HSet(t.Context(), f.key("lane:"+f.conn.String()), "open", time.Now().Add(-time.Second).UnixMilli()).Err())
		}
		f.fill(4)
		network := operation.Decision{Verdict: operation.Again, Network: true, Delay: time.Hour}
		for _, l := range f.next(2).Leases {
			f.record(l, network)
		}
		require.Empty(t, f.next(10).Leases, "two network failures in a row open the breaker")
		require.Equal(t, operation.WaitBreakerOpen, f.get(f.last()).Wait.Reason)
		over()
		probe := f.next(10)
		require.Len(t, probe.Leases, 1, "half open is one probe")
		f.record(probe.Leases[0], network)
		require.Empty(t, f.next(10).Leases, "a lost probe opens it again")
		over()
		probe = f.next(10)
		require.Len(t, probe.Leases, 1)
		f.fill(3)
		f.record(probe.Leases[0], succeed)
		require.Len(t, f.next(10).Leases, 3, "an answer closes it")
	})
}

func TestLane_Unblock(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{BreakerThreshold: 1, BreakerOpen: time.Hour}, func(t *testing.T, f *fixture) {
		require.NoError(t, f.store.Unblock(t.Context(), f.conn), "of a lane that nobody has used")
		f.fill(3)
		f.record(f.next(1).Leases[0], operation.Decision{Verdict: operation.Again, Network: true, Delay: time.Hour, Block: time.Hour})
		require.Empty(t, f.next(10).Leases)
		require.NoError(t, f.store.Unblock(t.Context(), f.conn))
		due, _ := f.due()
		require.WithinDuration(t, time.Now(), due, 10*time.Second)
		require.Len(t, f.next(10).Leases, 2, "neither the block nor the breaker holds them, and not one at a time")
	})
}

func TestLane_Pause(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.fill(2)
		require.NoError(t, f.store.Pause(t.Context(), f.conn, true))
		require.Empty(t, f.next(10).Leases)
		require.Equal(t, operation.WaitPaused, f.get(f.last()).Wait.Reason)
		_, err := f.store.AcceptSync(t.Context(), f.accepted(uuid.New()), f.limits, uuid.New())
		require.ErrorIs(t, err, redisstore.ErrPaused, "nobody knows for how long")
		_, err = f.store.Spend(t.Context(), f.conn, f.limits)
		require.ErrorIs(t, err, redisstore.ErrPaused)
		require.NoError(t, f.store.Pause(t.Context(), f.conn, false))
		require.Len(t, f.next(10).Leases, 2)
	})
}

func TestSync_LeaseAtOnceAndRefusals(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.limits.InFlight = 1
		user := uuid.New()
		a := f.accepted(user)
		a.Sync = true
		attempt := uuid.Must(uuid.NewV7())
		receipt, err := f.store.AcceptSync(t.Context(), a, f.limits, attempt)
		require.NoError(t, err)
		f.store.LoseAnswers()
		twice, err := f.store.AcceptSync(t.Context(), a, f.limits, attempt)
		require.NoError(t, err)
		require.Equal(t, receipt.Seq, twice.Seq)
		require.Empty(t, f.next(1).Leases)

		var conflict *redisstore.ConflictError
		_, err = f.store.AcceptSync(t.Context(), f.accepted(user), f.limits, uuid.New())
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, a.ID, conflict.Behind)
		var later *redisstore.LaterError
		_, err = f.store.AcceptSync(t.Context(), f.accepted(uuid.New()), f.limits, uuid.New())
		require.ErrorAs(t, err, &later)
		require.Positive(t, later.Wait)

		rec := f.record(redisstore.Lease{Accepted: a, AttemptID: attempt}, succeed)
		require.Equal(t, operation.Succeeded, rec.Operation.Status)
		require.True(t, rec.Accepted, "a sync operation has no accepted message")
	})
}

func TestSync_LostEndsFailedAndIsNeverRepeated(t *testing.T) {
	t.Parallel()
	cfg := redisstore.Config{StartWindow: time.Millisecond, Margin: time.Millisecond}
	both(t, cfg, func(t *testing.T, f *fixture) {
		f.limits.Call = time.Millisecond
		a := f.accepted(uuid.New())
		a.Sync = true
		_, err := f.store.AcceptSync(t.Context(), a, f.limits, uuid.Must(uuid.NewV7()))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return f.next(1).Ended == 1 }, time.Minute, 5*time.Millisecond)
		op := f.get(a.ID)
		require.Equal(t, operation.Failed, op.Status)
		require.True(t, op.Attempts[0].Unknown)
		require.Empty(t, f.next(1).Leases)
	})
}

func TestAccept_Bounds(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{LaneBound: 2, OutboxBound: 3}, func(t *testing.T, f *fixture) {
		f.fill(2)
		_, err := f.store.Accept(t.Context(), f.accepted(uuid.New()), f.limits)
		require.ErrorIs(t, err, redisstore.ErrLaneFull)
		for _, l := range f.next(2).Leases {
			f.record(l, succeed)
		}
		f.fill(1)
		_, err = f.store.Accept(t.Context(), f.accepted(uuid.New()), f.limits)
		require.ErrorIs(t, err, redisstore.ErrOutboxFull)
	})
}

func TestAccept_IdempotencyKey(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		first := f.accepted(uuid.New())
		first.Key = &operation.Key{Scope: "s", Fingerprint: "f"}
		f.accept(first)
		second := f.accepted(first.ResourceID)
		second.Key = &operation.Key{Scope: "s", Fingerprint: "f"}
		require.Equal(t, first.ID, f.accept(second).Replay)
		second.Key.Fingerprint = "g"
		_, err := f.store.Accept(t.Context(), second, f.limits)
		require.ErrorIs(t, err, redisstore.ErrMismatch)
	})
}

func TestKeyed_GivesWhatAKeyStandsFor(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		key := operation.Key{Scope: "s", Fingerprint: "f"}
		_, err := f.store.Keyed(t.Context(), f.conn, key)
		require.ErrorIs(t, err, redisstore.ErrMissing)
		a := f.accepted(uuid.New())
		a.Key = &key
		f.accept(a)
		got, err := f.store.Keyed(t.Context(), f.conn, key)
		require.NoError(t, err)
		require.Equal(t, a.ID, got)
		_, err = f.store.Keyed(t.Context(), f.conn, operation.Key{Scope: "s", Fingerprint: "other"})
		require.ErrorIs(t, err, redisstore.ErrMismatch)
	})
}

// A failover to a host whose clock is a little behind, just after a period of keys has begun.
func TestAccept_IdempotencyKeyAndAClockThatStepsBack(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	const day = 24 * time.Hour
	c.pass(day - time.Duration(c.now)*time.Microsecond%day + 50*time.Millisecond)
	a := c.accepted(uuid.New())
	a.Key = &operation.Key{Scope: "s", Fingerprint: "f"}
	c.accept(a)
	c.pass(-100 * time.Millisecond)
	b := a
	b.ID = uuid.Must(uuid.NewV7())
	r, err := c.store.AcceptNew(t.Context(), b, c.limits)
	require.NoError(t, err)
	require.Equal(t, a.ID, r.Replay)
}

func TestStale_WritesNothing(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.fill(1)
		l := f.next(1).Leases[0]
		require.NoError(t, f.rdb.Del(t.Context(), f.key("gen")).Err())
		before, err := f.rdb.DBSize(t.Context()).Result()
		require.NoError(t, err)
		ctx := t.Context()
		_, err = f.store.Accept(ctx, f.accepted(uuid.New()), f.limits)
		require.ErrorIs(t, err, redisstore.ErrStale)
		_, err = f.store.Next(ctx, f.conn, f.limits, ids(1), nil)
		require.ErrorIs(t, err, redisstore.ErrStale)
		_, err = f.store.Record(ctx, f.outcome(l, succeed))
		require.ErrorIs(t, err, redisstore.ErrStale)
		require.ErrorIs(t, f.store.Release(ctx, l, 0), redisstore.ErrStale)
		_, err = f.store.Cancel(ctx, f.conn, l.ID)
		require.ErrorIs(t, err, redisstore.ErrStale)
		_, err = f.store.Get(ctx, f.conn, l.ID)
		require.ErrorIs(t, err, redisstore.ErrStale)
		_, _, err = f.store.List(ctx, operation.Query{PartnerID: f.partner, From: time.Now().Add(-time.Hour), To: time.Now(), Limit: 1})
		require.ErrorIs(t, err, redisstore.ErrStale)
		require.True(t, errors.Is(err, redisstore.ErrStale))
		after, err := f.rdb.DBSize(ctx).Result()
		require.NoError(t, err)
		require.Equal(t, before, after)

		require.NoError(t, f.store.Begin(ctx, allShards()))
		require.Equal(t, operation.Succeeded, f.record(l, succeed).Operation.Status, "the kept outcome goes in under the new generation")
	})
}

func TestPoll_FindsDueLanesAndNoticesLoss(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		p, err := f.store.Poll(ctx, 10)
		require.NoError(t, err)
		require.Empty(t, p.Due)
		require.Empty(t, p.Missing)
		f.fill(1)
		p, err = f.store.Poll(ctx, 10)
		require.NoError(t, err)
		require.Len(t, p.Due, 1)
		require.Equal(t, f.conn, p.Due[0].Connection)

		shard := operation.ShardOf(f.conn)
		require.NoError(t, f.forget()) // as after a roll-back to before the first poll
		p, err = f.store.Poll(ctx, 10)
		require.NoError(t, err)
		require.Equal(t, []int{shard}, p.Missing)
		_, err = f.store.Next(ctx, f.conn, f.limits, ids(1), nil)
		require.ErrorIs(t, err, redisstore.ErrStale)
	})
}

func TestNext_HealsFromAMessage(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		a := f.accepted(uuid.New())
		m := &operation.Message{Accepted: a, Place: operation.Place{
			Seq: time.Now().UnixMicro(), Deadline: time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)}}
		for i := range 2 {
			h, err := f.store.Next(t.Context(), f.conn, f.limits, ids(1), m)
			require.NoError(t, err)
			require.Equal(t, 1-i, h.Healed, "a record is never overwritten")
			require.Len(t, h.Leases, 1-i)
		}
		op := f.get(a.ID)
		require.Equal(t, m.Seq, op.Seq)
		require.Equal(t, m.Deadline, op.Deadline)
	})
}
