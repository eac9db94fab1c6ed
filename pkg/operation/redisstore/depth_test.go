package redisstore_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// depth reads at most so many lanes of each shard.
func (f *fixture) depth(lanes int) redisstore.Depth {
	f.t.Helper()
	shards, err := f.store.Shards(f.t.Context(), lanes)
	require.NoError(f.t, err)
	require.Len(f.t, shards, operation.Shards)
	return redisstore.DepthOf(shards)
}

func TestDepth_Empty(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		require.Equal(t, redisstore.Depth{}, f.depth(8))
		require.NoError(t, f.store.Withdraw(t.Context(), []int{3, 7}))
		require.Equal(t, 2, f.depth(8).Missing)
	})
}

// TestDepth_ReadyIsWhatCouldBeCalled has five ready heads and a reason each why
// fewer of them could be called.
func TestDepth_ReadyIsWhatCouldBeCalled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		set    func(f *fixture)
		act    func(f *fixture)
		ready  int
		flight int
		counts redisstore.LaneCounts
		left   int
		waits  bool
	}{
		{name: "all", ready: 5, left: -1},
		{name: "room", set: func(f *fixture) { f.limits.InFlight = 3 }, act: func(f *fixture) { f.next(1) }, ready: 2, flight: 1, counts: redisstore.LaneCounts{RateLimited: 2}, left: -1},
		{
			name: "no room", set: func(f *fixture) { f.limits.InFlight = 1 }, act: func(f *fixture) { f.next(1) }, flight: 1,
			counts: redisstore.LaneCounts{RateLimited: 4}, left: -1,
		},
		{
			name: "rate", set: func(f *fixture) { f.limits.PerSecond, f.limits.Burst = 0.01, 3 }, ready: 3,
			counts: redisstore.LaneCounts{RateLimited: 2}, left: 3,
		},
		{
			name: "rate, partly used", set: func(f *fixture) { f.limits.PerSecond, f.limits.Burst = 0.01, 3 }, act: func(f *fixture) { f.next(1) },
			ready: 2, flight: 1, counts: redisstore.LaneCounts{RateLimited: 2}, left: 2,
		},
		{
			name: "rate, used up", set: func(f *fixture) { f.limits.PerSecond, f.limits.Burst = 0.01, 1 }, act: func(f *fixture) { f.next(1) },
			flight: 1, counts: redisstore.LaneCounts{RateLimited: 4}, waits: true,
		},
		{name: "paused", act: func(f *fixture) { require.NoError(f.t, f.store.Pause(f.t.Context(), f.conn, true)) }, counts: redisstore.LaneCounts{Paused: 1, Held: 5}, left: -1},
		{
			name: "blocked", act: func(f *fixture) {
				f.record(f.next(1).Leases[0], operation.Decision{Verdict: operation.Again, Delay: time.Hour, Block: time.Hour})
			}, counts: redisstore.LaneCounts{Blocked: 1, Held: 4, Delayed: 1}, left: -1, waits: true,
		},
		{
			name: "breaker", act: func(f *fixture) {
				f.record(f.next(1).Leases[0], operation.Decision{Verdict: operation.Again, Delay: time.Hour, Network: true})
			}, counts: redisstore.LaneCounts{Open: 1, Held: 4, Delayed: 1}, left: -1, waits: true,
		},
		{
			name: "backoff", act: func(f *fixture) {
				f.record(f.next(1).Leases[0], operation.Decision{Verdict: operation.Again, Delay: time.Hour})
			}, ready: 4, counts: redisstore.LaneCounts{Delayed: 1}, left: -1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			both(t, redisstore.Config{BreakerThreshold: 1}, func(t *testing.T, f *fixture) {
				if tt.set != nil {
					tt.set(f)
				}
				f.fill(5)
				if tt.act != nil {
					tt.act(f)
				}
				d := f.depth(8)
				require.Equal(t, tt.ready, d.Ready)
				want := tt.counts
				want.Outstanding, want.InFlight = 5, tt.flight
				require.Equal(t, want, d.LaneCounts)
				require.Equal(t, 5, d.Ready+d.InFlight+d.Delayed+d.RateLimited+d.Held+d.Behind, "each is in one state")
				require.Equal(t, 1, d.Lanes)
				require.Equal(t, 5, d.Outbox)
				require.Len(t, d.Sampled, 1)
				lane := d.Sampled[0]
				require.Equal(t, f.conn, lane.Connection)
				require.Equal(t, tt.left, lane.Left)
				require.Equal(t, tt.waits, lane.Wait > 0, lane.Wait)
				require.Equal(t, tt.counts.Open > 0, lane.Open)
			})
		})
	}
}

// TestDepth_EstimatesBeyondTheSample reads 2 of 10 lanes of one shard.
func TestDepth_EstimatesBeyondTheSample(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		shard := operation.ShardOf(f.conn)
		for lanes := 0; lanes < 10; {
			if operation.ShardOf(f.conn) == shard {
				f.fill(3)
				lanes++
			}
			f.conn = uuid.New()
		}
		d := f.depth(2)
		require.Equal(t, 2, d.Read)
		require.Equal(t, 10, d.Lanes)
		require.Equal(t, 10, d.LanesDue)
		require.Equal(t, 30, d.Outstanding)
		require.Equal(t, 30, d.Ready)
		require.Equal(t, 10, f.depth(16).Read)
	})
}

func TestDepth_AgesAndBeat(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.fill(1)
		shard := operation.ShardOf(f.conn)
		read := func() redisstore.Shard {
			shards, err := f.store.Shards(t.Context(), 1)
			require.NoError(t, err)
			return shards[shard]
		}
		require.Negative(t, read().Beat, "no worker yet")
		_, err := f.store.Poll(t.Context(), 1)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			s := read()
			return s.DueAge > 0 && s.OutboxAge > 0 && s.Beat > 0 && s.Generation != ""
		}, time.Minute, 10*time.Millisecond, "the outbox is overdue after two seconds")
		require.Positive(t, f.depth(1).Beat)
	})
}

// TestDepth_OutboxAgesWhileItIsTried: a claim puts an entry off, which makes it no younger.
func TestDepth_OutboxAgesWhileItIsTried(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		f.fill(1)
		f.record(f.next(1).Leases[0], operation.Decision{Verdict: operation.Again, Delay: time.Hour})
		f.fill(1)
		shard := operation.ShardOf(f.conn)
		claim := func() int {
			all, err := f.store.Claim(t.Context(), []int{shard}, 8, time.Hour)
			require.NoError(t, err)
			return len(all)
		}
		claimed := 0
		require.Eventually(t, func() bool { claimed += claim(); return claimed == 2 }, time.Minute, 10*time.Millisecond)
		require.Zero(t, claim(), "both are put off")
		require.Eventually(t, func() bool { return f.depth(1).OutboxAge > 100*time.Millisecond }, time.Minute, 10*time.Millisecond)
		require.Less(t, f.depth(1).OutboxAge, time.Minute)
	})
}

func TestLane_Shows(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{BreakerThreshold: 1}, func(t *testing.T, f *fixture) {
		_, err := f.store.Lane(t.Context(), f.conn)
		require.ErrorIs(t, err, redisstore.ErrMissing)
		f.limits.InFlight, f.limits.PerSecond, f.limits.Burst = 2, 5, 4
		f.fill(4)
		leases := f.next(2).Leases
		require.Len(t, leases, 2)
		l, err := f.store.Lane(t.Context(), f.conn)
		require.NoError(t, err)
		require.Equal(t, operation.ShardOf(f.conn), l.Shard)
		require.Equal(t, []int{4, 2, 2, 2}, []int{l.Outstanding, l.Ready, l.ReadyNow, l.InFlight})
		require.Equal(t, redisstore.Limits{InFlight: 2, PerSecond: 5, Burst: 4}, l.Limits)
		require.Len(t, l.Calls, 2)
		require.ElementsMatch(t, []uuid.UUID{leases[0].AttemptID, leases[1].AttemptID}, []uuid.UUID{l.Calls[0].Attempt, l.Calls[1].Attempt})
		require.WithinDuration(t, l.Now.Add(f.store.LeaseFor(f.limits)), l.Calls[0].Until, 5*time.Second)
		require.True(t, l.Opens.IsZero(), "no room")

		f.record(leases[0], operation.Decision{Verdict: operation.Again, Delay: time.Hour, Block: time.Hour, Network: true})
		require.NoError(t, f.store.Pause(t.Context(), f.conn, true))
		l, err = f.store.Lane(t.Context(), f.conn)
		require.NoError(t, err)
		require.True(t, l.Paused)
		require.Equal(t, 1, l.Failures)
		require.Equal(t, 2, l.ReadyNow, "the third waits for its backoff")
		require.Equal(t, 3, l.Ready)
		require.WithinDuration(t, l.Now.Add(time.Hour), l.Blocked, 5*time.Second)
		require.WithinDuration(t, l.Now.Add(f.store.Config().BreakerOpen), l.BreakerUntil, 5*time.Second)

		require.NoError(t, f.store.Withdraw(t.Context(), []int{l.Shard}))
		_, err = f.store.Lane(t.Context(), f.conn)
		require.ErrorIs(t, err, redisstore.ErrStale)
	})
}
