package redisstore_test

import (
	"sync"
	"testing"

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

func requireFull(t *testing.T, err error) {
	t.Helper()
	require.True(t, redis.HasErrorPrefix(err, "OOM"), "%v", err)
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
	requireFull(t, err)
	_, err = f.store.AcceptNew(t.Context(), f.accepted(uuid.New()), f.limits)
	requireFull(t, err)
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
		requireFull(t, refused[i])
		require.NoError(t, read[i])
	}
	require.Equal(t, int64(1), f.rdb.ZCard(t.Context(), f.key("pend:"+f.conn.String())).Val())
}
