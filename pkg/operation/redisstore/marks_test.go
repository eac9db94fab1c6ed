package redisstore_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// Each life of a process leaves its beat and its mark in every shard. They do not add
// up: a new process takes away those of two days ago, and of no process that is alive.
func TestMarks_OfTheDeadAreForgotten(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	left := func() (beats int64, marks int) {
		return c.rdb.HLen(t.Context(), c.key("beat")).Val(), len(c.rdb.Keys(t.Context(), c.key("mark:*")).Val())
	}
	poll := func(s *redisstore.Store) {
		t.Helper()
		found, err := s.Poll(t.Context(), 1)
		require.NoError(t, err)
		require.NotContains(t, found.Missing, operation.ShardOf(c.conn), "a shard that is whole was taken for one that went back")
	}
	alive := c.store
	poll(alive)
	for i := range 40 {
		s := redisstore.New(c.rdb, redisstore.Config{})
		if i%2 == 0 {
			poll(s)
		}
		_, err := s.Accept(t.Context(), c.accepted(c.partner), c.limits)
		require.NoError(t, err)
	}
	beats, marks := left()
	require.EqualValues(t, 41, beats, "also of those that only call and never poll")
	require.Equal(t, 40, marks, "one has written nothing")

	c.pass(47 * time.Hour)
	poll(alive) // of which it learns what time it is
	poll(alive)
	c.pass(2 * time.Hour)
	c.store = redisstore.New(c.rdb, redisstore.Config{})
	c.accept(c.accepted(uuid.New()))
	beats, marks = left()
	require.EqualValues(t, 2, beats, "the one that is new and the one that is alive")
	require.Equal(t, 2, marks)
	poll(alive)
}

// A shard that is filled again forgets the processes that it knew, with their marks.
func TestMarks_EndWithARebuild(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	for range 3 {
		c.store = redisstore.New(c.rdb, redisstore.Config{})
		c.accept(c.accepted(uuid.New()))
	}
	require.Len(t, c.rdb.Keys(t.Context(), c.key("mark:*")).Val(), 3)
	require.NoError(t, c.rdb.Del(t.Context(), c.key("gen")).Err())
	c.rebuild(0)
	require.Empty(t, c.rdb.Keys(t.Context(), c.key("mark:*")).Val())
	c.accept(c.accepted(uuid.New()))
	require.Len(t, c.rdb.Keys(t.Context(), c.key("mark:*")).Val(), 1)
	require.EqualValues(t, 1, c.rdb.HLen(t.Context(), c.key("beat")).Val())
}

// holder keeps a pipeline from leaving.
type holder struct {
	armed           atomic.Bool
	ready, released chan struct{}
}

// DialHook changes nothing.
func (*holder) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook changes nothing.
func (*holder) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook holds the first one that comes once it is armed.
func (h *holder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.armed.Swap(false) {
			close(h.ready)
			<-h.released
		}
		return next(ctx, cmds)
	}
}

// overlap runs do while an accept is made and has not left.
func (c *clocked) overlap(do func()) {
	c.t.Helper()
	h := &holder{ready: make(chan struct{}), released: make(chan struct{})}
	c.rdb.AddHook(h)
	h.armed.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { c.accept(c.accepted(uuid.New())) })
	<-h.ready
	time.Sleep(20 * time.Millisecond) // a pipeline that takes so long holds no other back
	do()
	close(h.released)
	wg.Wait()
}

func (c *clocked) missing() bool {
	c.t.Helper()
	found, err := c.store.Poll(c.t.Context(), 1)
	require.NoError(c.t, err)
	return slices.Contains(found.Missing, operation.ShardOf(c.conn))
}

// Of two pipelines under way, Redis may run the later first. When it forgets what it ran
// last, that is the earlier.
func TestMarks_AreInTheOrderInWhichRedisRuns(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	c.accept(c.accepted(uuid.New()))
	var between map[string]string
	c.overlap(func() {
		c.accept(c.accepted(uuid.New()))
		between = c.snapshot()
	})
	c.rollBack(between)
	require.True(t, c.missing(), "an accept that was answered is gone, and nobody noticed")
}

// What left before Redis went back, and comes to it after, knows nothing of what it lost.
func TestMarks_ANumberThatComesTwiceIsALoss(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	c.accept(c.accepted(uuid.New()))
	before := c.snapshot()
	c.overlap(func() {
		c.accept(c.accepted(uuid.New()))
		c.rollBack(before)
	})
	require.True(t, c.missing(), "an accept that was answered is gone, and nobody noticed")
}

// A clock that was ahead is set right: lanes whose turn had been set by it do not wait until
// it gets there again.
func TestPoll_LooksAgainWhenTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	poll := func() redisstore.Polled {
		p, err := c.store.Poll(t.Context(), 10)
		require.NoError(t, err)
		return p
	}
	c.pass(time.Hour)
	poll()
	c.accept(c.accepted(uuid.New()))
	require.Len(t, poll().Due, 1)
	c.pass(-time.Hour)
	require.Eventually(t, func() bool { return len(poll().Due) == 1 }, 10*time.Second, 10*time.Millisecond)
	require.Len(t, c.next(1).Leases, 1)
	due, ok := c.due()
	require.True(t, ok)
	require.WithinDuration(t, time.Now(), due, time.Minute, "by the lease, on the clock as it is now")
}

// What a process wrote while the clock was ahead says nothing of how long the data was whole:
// a rebuild from there on, or a comparison, would read nothing.
func TestBeat_OfTheFutureSaysNothing(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		shard := operation.ShardOf(f.conn)
		lived := time.Now().Add(-time.Minute)
		require.NoError(t, f.rdb.HSet(t.Context(), f.key("beat"), "dead", time.Now().Add(time.Hour).UnixMilli()).Err())
		fillings, err := f.store.Fillings(t.Context())
		require.NoError(t, err)
		for _, filling := range fillings {
			require.WithinDuration(t, time.Now(), filling.Since, time.Minute)
		}
		since := func() time.Time {
			require.NoError(t, f.rdb.Del(t.Context(), f.key("gen")).Err())
			b, err := f.store.TakeRebuild(t.Context(), []int{shard})
			require.NoError(t, err)
			require.Len(t, b.Shards, 1)
			at, err := b.Since(t.Context())
			require.NoError(t, err)
			require.NoError(t, b.Release(t.Context()))
			return at
		}
		require.True(t, since().IsZero(), "all is read")
		require.NoError(t, f.rdb.HSet(t.Context(), f.key("beat"), "alive", lived.UnixMilli()).Err())
		require.WithinDuration(t, lived, since(), time.Second)
	})
}
