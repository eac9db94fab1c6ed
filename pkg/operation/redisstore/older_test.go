package redisstore_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// Older history comes when the shard is open again. An end that it brings to an
// operation that still waits makes the next of the mailbox ready, and the due index
// must say so: nobody else would look at the lane for hours.
func TestOlder_AnEndMakesTheLaneDue(t *testing.T) {
	t.Parallel()
	c := newClocked(t, redisstore.Config{})
	user := uuid.New()
	first, second, other := c.accepted(user), c.accepted(user), c.accepted(uuid.New())
	place := c.accept(first)
	c.accept(second)
	c.record(c.next(1).Leases[0], again(40*time.Minute))
	due, _ := c.due()
	require.Greater(t, due.UnixMicro(), c.now+(30*time.Minute).Microseconds())

	require.NoError(t, c.rdb.Del(t.Context(), c.key("gen")).Err())
	b, err := c.store.TakeRebuild(t.Context(), []int{operation.ShardOf(c.conn)})
	require.NoError(t, err)
	require.NoError(t, b.Commit(t.Context(), func(int) time.Duration { return 0 }, nil, true))
	ended := func(a operation.Accepted, p operation.Place) redisstore.Fact {
		f := said(a, p)
		f.Operation.Status, f.Final = operation.Succeeded, true
		return f
	}
	_, err = b.Put(t.Context(), []redisstore.Fact{ended(other, operation.Place{Seq: c.now - 1e9, Deadline: time.UnixMicro(c.now)})})
	require.NoError(t, err)
	was := due
	due, _ = c.due()
	require.Equal(t, was, due, "what was not there and has ended changes nothing")
	_, err = b.Put(t.Context(), []redisstore.Fact{ended(first, place.Place)})
	require.NoError(t, err)
	due, ok := c.due()
	require.True(t, ok)
	require.LessOrEqual(t, due.UnixMicro(), c.now)
	require.NoError(t, b.Done(t.Context()))
	h := c.next(4)
	require.Len(t, h.Leases, 1)
	require.Equal(t, second.ID, h.Leases[0].ID)
}
