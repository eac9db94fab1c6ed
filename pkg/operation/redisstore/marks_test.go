package redisstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// Each life of a process leaves its beat and its mark in every shard. They do not add
// up: a new process takes away those of a day ago, and of no process that is alive.
func TestMarks_OfTheDeadAreForgotten(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	beats := func() (n int64, marks int) {
		return c.rdb.HLen(t.Context(), c.key("beat")).Val(), len(c.rdb.Keys(t.Context(), c.key("mark:*")).Val())
	}
	poll := func(s *redisstore.Store) {
		t.Helper()
		found, err := s.Poll(t.Context(), 1)
		require.NoError(t, err)
		require.NotContains(t, found.Missing, operation.ShardOf(c.conn), "a shard that is whole was taken for one that went back")
	}
	c.pass(-48 * time.Hour) // so that every poll writes its beat
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
	n, marks := beats()
	require.EqualValues(t, 21, n)
	require.Equal(t, 41, marks, "those that only call and never poll, too")
	for _, key := range c.rdb.Keys(t.Context(), c.key("mark:*")).Val() {
		require.Positive(t, c.rdb.TTL(t.Context(), key).Val(), "a mark that nobody raises any more goes by itself")
	}

	c.pass(23 * time.Hour)
	poll(alive)
	c.pass(2 * time.Hour)
	poll(redisstore.New(c.rdb, redisstore.Config{}))
	n, _ = beats()
	require.EqualValues(t, 2, n, "the one that is new and the one that is alive")
	poll(alive)
}
