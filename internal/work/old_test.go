package work_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// standing is a process that stands still when the next answer of Redis has come.
type standing struct{ during atomic.Pointer[func()] }

func (*standing) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*standing) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (s *standing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if during := s.during.Swap(nil); during != nil {
			(*during)()
		}
		return err
	}
}

// losing has the process of the returned accepter stand still after the next answer of Redis; by
// the time it goes on, Redis has lost everything, and the shards are there again without it.
func (r *rig) losing() (accepter *work.Accepter, next func()) {
	s := &standing{}
	client := redis.NewClient(r.rdb.Options())
	r.t.Cleanup(func() { _ = client.Close() })
	client.AddHook(s)
	r.parts.Store = redisstore.New(client, redisstore.Config{})
	accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	_, err := accepter.Accept(r.t.Context(), r.change(uuid.New(), "learns the generation"), r.limits())
	require.NoError(r.t, err)
	return accepter, func() {
		during := func() {
			require.NoError(r.t, r.rdb.FlushAll(r.t.Context()).Err())
			require.NoError(r.t, r.store.Begin(r.t.Context(), shards(r.conn)))
			time.Sleep(redisstore.TellWithin + time.Millisecond)
		}
		s.during.Store(&during)
	}
}

func shards(connection uuid.UUID) []int { return []int{operation.ShardOf(connection)} }

// TestOld_AnAcceptIsAskedAgain: what Redis has lost before the 202 is accepted once more, and only
// then told.
func TestOld_AnAcceptIsAskedAgain(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	accepter, stand := r.losing()
	user := uuid.New()
	have := func(op operation.Operation) {
		t.Helper()
		got, err := r.store.Get(t.Context(), r.conn, op.ID)
		require.NoError(t, err)
		require.Equal(t, op.Place, got.Place)
		require.Contains(t, r.acceptedInStream(), op.ID)
	}
	stand()
	op, err := accepter.Accept(t.Context(), r.change(user, "a"), r.limits())
	require.NoError(t, err)
	have(op)
	stand()
	ops, errs := accepter.AcceptMany(t.Context(), []operation.Accepted{r.change(user, "b"), r.change(user, "c")},
		func(operation.Accepted) tsp.Limits { return r.limits() })
	require.Equal(t, []error{nil, nil}, errs)
	require.Less(t, ops[0].Seq, ops[1].Seq)
	have(ops[0])
	have(ops[1])
}

// TestOld_IsNotTold: an end that Redis has lost before the streams were told of it stays untold.
func TestOld_IsNotTold(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	accepter, stand := r.losing()
	op, err := accepter.Accept(t.Context(), r.change(uuid.New(), "x"), r.limits())
	require.NoError(t, err)
	stand()
	ended, err := accepter.Cancel(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Failed, ended.Status)
	require.Empty(t, r.events())
}
