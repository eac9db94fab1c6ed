package redisstore_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// memory makes the server's memory full, or gives it room again.
func (f *fixture) memory(full bool) {
	f.t.Helper()
	most := "0" // no bound
	if full {
		most = "1mb" // less than an empty server takes
	}
	require.NoError(f.t, f.rdb.ConfigSet(f.t.Context(), "maxmemory", most).Err())
}

// A server whose memory is full refuses what is new, and nothing else: what it has can be
// read, and ends, which gives room.
func TestFull_WhatWasAcceptedIsReadAndEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.StartRedis(t).URL(), redisstore.Config{})
	first, second, third := f.accepted(uuid.New()), f.accepted(uuid.New()), f.accepted(uuid.New())
	for _, a := range []operation.Accepted{first, second, third} {
		f.accept(a)
	}
	lease := f.next(1).Leases[0]
	f.memory(true)

	_, err := f.store.Accept(t.Context(), f.accepted(uuid.New()), f.limits)
	require.ErrorIs(t, err, redisstore.ErrFull)
	_, err = f.store.AcceptSync(t.Context(), f.accepted(uuid.New()), f.limits, uuid.New())
	require.ErrorIs(t, err, redisstore.ErrFull)
	require.Equal(t, operation.Pending, f.get(second.ID).Status)
	_, err = f.store.Poll(t.Context(), 8)
	require.NoError(t, err)
	rec := f.record(lease, succeed)
	require.NoError(t, ackAll(t.Context(), f.store, rec.Record))
	require.Zero(t, f.rdb.Exists(t.Context(), f.key("op:"+first.ID.String())).Val(), "it has gone to its page")
	require.Equal(t, operation.Succeeded, f.get(first.ID).Status)
	ops, _, err := f.store.List(t.Context(), f.query())
	require.NoError(t, err)
	require.Len(t, ops, 3)
	_, err = f.store.Cancel(t.Context(), f.conn, third.ID)
	require.NoError(t, err)
	leases := f.next(2).Leases
	require.Len(t, leases, 1, "work goes on")
	require.Equal(t, operation.Succeeded, f.record(leases[0], succeed).Operation.Status)

	f.memory(false)
	f.trip()
}

// Every step of what is known goes on. What only brings back what Redis does not have is refused.
func TestFull_StepsGoOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.StartRedis(t).URL(), redisstore.Config{})
	first := f.accepted(uuid.New())
	f.accept(first)
	lease := f.next(1).Leases[0]
	elsewhere := uuid.New()
	for operation.ShardOf(elsewhere) == operation.ShardOf(f.conn) {
		elsewhere = uuid.New()
	}
	shards := []int{operation.ShardOf(elsewhere)}
	require.NoError(t, f.store.Withdraw(t.Context(), shards))
	b, err := f.store.TakeRebuild(t.Context(), shards)
	require.NoError(t, err)
	f.memory(true)

	for _, step := range []struct {
		name string
		take func(ctx context.Context) error
	}{
		{"release", func(ctx context.Context) error { return f.store.Release(ctx, lease, 0) }},
		{"spend", func(ctx context.Context) error { _, err := f.store.Spend(ctx, f.conn, f.limits); return err }},
		{"block", func(ctx context.Context) error { return f.store.Block(ctx, f.conn, time.Second) }},
		{"pause", func(ctx context.Context) error { return f.store.Pause(ctx, f.conn, true) }},
		{"claim", func(ctx context.Context) error { _, err := f.store.Claim(ctx, allShards(), 1, time.Second); return err }},
		{"older", func(ctx context.Context) error {
			_, err := b.Older(ctx, []redisstore.Gone{{Connection: elsewhere, User: first.ResourceID.String(), Seq: 1}})
			return err
		}},
		{"commit", func(ctx context.Context) error { return b.Commit(ctx, none, nil, false) }},
	} {
		err := step.take(t.Context())
		require.False(t, redis.HasErrorPrefix(err, "OOM"), "%s: %v", step.name, err)
	}
	ended := operation.Operation{Accepted: f.accepted(uuid.New()), Status: operation.Succeeded}
	require.ErrorContains(t, f.store.Keep(t.Context(), ended), "OOM")
	ended.ConnectionID = elsewhere
	_, err = b.Put(t.Context(), []redisstore.Fact{{Operation: ended, Final: true}})
	require.ErrorContains(t, err, "OOM")
}

// Calls share runs. One that is refused takes no other with it.
func TestFull_RefusesNoneOfThoseThatTravelWithAnAccept(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.StartRedis(t).URL(), redisstore.Config{})
	known := f.accepted(uuid.New())
	f.accept(known)
	f.memory(true)
	const many = 64
	var all sync.WaitGroup
	refused, read := make([]error, many), make([]error, many)
	for i := range many {
		all.Go(func() { _, refused[i] = f.store.AcceptNew(t.Context(), f.accepted(uuid.New()), f.limits) })
		all.Go(func() { _, read[i] = f.store.Get(t.Context(), f.conn, known.ID) })
	}
	all.Wait()
	for i := range many {
		require.ErrorIs(t, refused[i], redisstore.ErrFull)
		require.NoError(t, read[i])
	}
	require.Equal(t, int64(1), f.rdb.ZCard(t.Context(), f.key("pend:"+f.conn.String())).Val())
}

// unasked is a connection over which one step cannot be asked for.
type unasked struct {
	broken
	step string
}

// ProcessPipelineHook fails with the step.
func (u *unasked) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return slices.Contains(c.Args(), any(u.step)) }) {
			return errBroken
		}
		return next(ctx, cmds)
	}
}

// What was taken before is never said to be refused.
func TestFull_KnowsWhatWasTakenBefore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.StartRedis(t).URL(), redisstore.Config{})
	key := func(scope, fingerprint string) *operation.Key {
		return &operation.Key{Scope: scope, Fingerprint: fingerprint}
	}
	keyed, plain := f.accepted(uuid.New()), f.accepted(uuid.New())
	keyed.Key = key("a", "body")
	f.accept(keyed)
	f.accept(plain)
	again, other, fresh := f.accepted(uuid.New()), f.accepted(uuid.New()), f.accepted(uuid.New())
	again.Key, other.Key, fresh.Key = key("a", "body"), key("a", "another"), key("b", "body")
	f.memory(true)

	r, err := f.store.AcceptNew(t.Context(), again, f.limits)
	require.NoError(t, err)
	require.Equal(t, keyed.ID, r.Replay)
	_, err = f.store.AcceptNew(t.Context(), other, f.limits)
	require.ErrorIs(t, err, redisstore.ErrMismatch)
	_, err = f.store.AcceptNew(t.Context(), fresh, f.limits)
	require.ErrorIs(t, err, redisstore.ErrFull)
	_, err = f.store.AcceptNew(t.Context(), plain, f.limits) // sent twice by the client library
	require.True(t, redis.HasErrorPrefix(err, "OOM"), "%v", err)

	all := []operation.Accepted{again, f.accepted(uuid.New()), other, plain, fresh}
	taken := f.store.AcceptMany(t.Context(), all, func(operation.Accepted) redisstore.Limits { return f.limits })
	require.Equal(t, keyed.ID, taken[0].Receipt.Replay)
	require.NoError(t, taken[0].Err)
	require.ErrorIs(t, taken[1].Err, redisstore.ErrFull)
	require.ErrorIs(t, taken[2].Err, redisstore.ErrMismatch)
	require.True(t, redis.HasErrorPrefix(taken[3].Err, "OOM"), "%v", taken[3].Err)
	require.ErrorIs(t, taken[4].Err, redisstore.ErrFull)

	line := &unasked{step: "keyed"}
	f.rdb.AddHook(line)
	_, err = f.store.AcceptNew(t.Context(), again, f.limits)
	require.True(t, redis.HasErrorPrefix(err, "OOM"), "what its key stands for is not known: %v", err)
	line.step = "none"

	f.memory(false)
	f.accept(fresh)
}

// Where Redis knows no functions, an accept is refused all the same, and nothing of it stays.
func TestFull_ServerWithoutFunctions(t *testing.T) {
	t.Parallel()
	p := testenv.StartRedis(t, "--rename-command", "FUNCTION", "", "--rename-command", "FCALL", "")
	f := newFixture(t, p.URL(), redisstore.Config{})
	f.trip()
	before, err := f.rdb.DBSize(t.Context()).Result()
	require.NoError(t, err)
	f.memory(true)
	_, err = f.store.AcceptNew(t.Context(), f.accepted(uuid.New()), f.limits)
	require.ErrorIs(t, err, redisstore.ErrFull)
	asking, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	_, err = f.store.Poll(asking, 1)
	require.True(t, redis.HasErrorPrefix(err, "OOM"), "what has no functions cannot tell which step may go on: %v", err)
	f.memory(false)
	after, err := f.rdb.DBSize(t.Context()).Result()
	require.NoError(t, err)
	require.Equal(t, before, after)
	f.trip()
}

// A server that takes no writes for another reason can be looked into.
func TestReads_WhereNoWriteIsTaken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testenv.StartRedis(t).URL(), redisstore.Config{})
	f.accept(f.accepted(uuid.New()))
	require.NoError(t, f.rdb.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
	_, err := f.store.Accept(t.Context(), f.accepted(uuid.New()), f.limits)
	require.ErrorContains(t, err, "NOREPLICAS")
	lane, err := f.store.Lane(t.Context(), f.conn)
	require.NoError(t, err)
	require.Equal(t, 1, lane.Outstanding)
}
