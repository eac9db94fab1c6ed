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
	c.pass(-72 * time.Hour) // so that every poll writes its beat
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
