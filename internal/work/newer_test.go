package work_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// TestNewer_WhatANewerVersionAcceptsIsLeftToIt: while both run, a worker of the older one is
// given what it does not know.
func TestNewer_WhatANewerVersionAcceptsIsLeftToIt(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]func(*operation.Accepted){
		"type":     func(a *operation.Accepted) { a.Type = "remove" },
		"resource": func(a *operation.Accepted) { a.Resource = "vehicle" },
		"version":  func(a *operation.Accepted) { a.Version++ },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, &provider{})
			newer := r.change(uuid.New(), "newer")
			later(&newer)
			op := r.accept(newer)
			own := r.accept(r.change(uuid.New(), "own"))
			r.worker()
			require.Equal(t, operation.Succeeded, r.ended(own.ID).Status)
			ready := fmt.Sprintf("wb:{%02d}:ready:%s", operation.ShardOf(r.conn), r.conn)
			require.Eventually(t, func() bool { // it was handed out, and given back for later
				turn, err := r.rdb.ZScore(t.Context(), ready, op.ID.String()).Result()
				return err == nil && time.UnixMilli(int64(turn)).After(op.CreatedAt().Add(500*time.Millisecond))
			}, 20*time.Second, 5*time.Millisecond)
			left, err := r.store.Get(t.Context(), r.conn, op.ID)
			require.NoError(t, err)
			require.Equal(t, operation.Pending, left.Status)
			require.Empty(t, left.Attempts)
			require.Len(t, r.provider.received(), 1)
		})
	}
}

// TestNewer_MoreFixedNumbersAreReadPast: those that there are keep their places.
func TestNewer_MoreFixedNumbersAreReadPast(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	op := r.accept(r.change(uuid.New(), "good"))
	key := fmt.Sprintf("wb:{%02d}:op:%s", operation.ShardOf(r.conn), op.ID)
	who, err := r.rdb.HGet(t.Context(), key, "who").Result()
	require.NoError(t, err)
	require.NoError(t, r.rdb.HSet(t.Context(), key, "who", who+" 1 later").Err())
	r.worker()
	ended := r.ended(op.ID)
	require.Equal(t, operation.Succeeded, ended.Status)
	require.Equal(t, op.Place, ended.Place)
}
