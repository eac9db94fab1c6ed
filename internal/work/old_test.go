package work_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// losing has the process of the returned accepter stand still after the next answer of Redis; by
// the time it goes on, Redis has lost everything, and the shards are there again without it, or
// are not there yet.
func (r *rig) losing() (accepter *work.Accepter, next func(there bool)) {
	s := &testenv.Still{}
	client := redis.NewClient(r.rdb.Options())
	r.t.Cleanup(func() { _ = client.Close() })
	client.AddHook(s)
	r.parts.Store = redisstore.New(client, redisstore.Config{})
	accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	_, err := accepter.Accept(r.t.Context(), r.change(uuid.New(), "learns the generation"), r.limits())
	require.NoError(r.t, err)
	return accepter, func(there bool) {
		s.Next(func() {
			require.NoError(r.t, r.rdb.FlushAll(r.t.Context()).Err())
			if there {
				require.NoError(r.t, r.store.Begin(r.t.Context(), []int{operation.ShardOf(r.conn)}))
			}
			time.Sleep(redisstore.TellWithin + time.Millisecond)
		})
	}
}

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
	stand(true)
	op, err := accepter.Accept(t.Context(), r.change(user, "a"), r.limits())
	require.NoError(t, err)
	have(op)
	stand(true)
	ops, errs := accepter.AcceptMany(t.Context(), []operation.Accepted{r.change(user, "b"), r.change(user, "c")},
		func(operation.Accepted) tsp.Limits { return r.limits() })
	require.Equal(t, []error{nil, nil}, errs)
	require.Less(t, ops[0].Seq, ops[1].Seq)
	have(ops[0])
	have(ops[1])
}

// TestOld_WhatCannotBeAskedAgain: a write that was taken may be there still, also where the store
// answers nothing for now.
func TestOld_WhatCannotBeAskedAgain(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	accepter, stand := r.losing()
	one, many := r.change(uuid.New(), "a"), r.change(uuid.New(), "b")
	stand(false)
	_, err := accepter.Accept(t.Context(), one, r.limits())
	require.NoError(t, r.store.Begin(t.Context(), []int{operation.ShardOf(r.conn)}))
	_, learns := accepter.Accept(t.Context(), r.change(uuid.New(), "learns the generation"), r.limits())
	require.NoError(t, learns)
	stand(false)
	_, errs := accepter.AcceptMany(t.Context(), []operation.Accepted{many}, func(operation.Accepted) tsp.Limits { return r.limits() })
	for id, err := range map[uuid.UUID]error{one.ID: err, many.ID: errs[0]} {
		var refused *operation.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, operation.CodeUnavailable, refused.Code)
		require.Equal(t, id, refused.Operation)
		require.ErrorIs(t, refused.Err, redisstore.ErrStale)
	}
}

// TestOld_IsNotTold: an end that Redis has lost before the streams were told of it stays untold.
func TestOld_IsNotTold(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	accepter, stand := r.losing()
	op, err := accepter.Accept(t.Context(), r.change(uuid.New(), "x"), r.limits())
	require.NoError(t, err)
	stand(true)
	ended, err := accepter.Cancel(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Failed, ended.Status)
	require.Empty(t, r.events())
}
