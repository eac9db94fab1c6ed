package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// TestPrefix_KeepsStoresApart puts one operation into two stores on one Redis, of
// which one keeps no lists.
func TestPrefix_KeepsStoresApart(t *testing.T) {
	t.Parallel()
	both(t, redisstore.Config{}, func(t *testing.T, f *fixture) {
		other := redisstore.New(f.rdb, redisstore.Config{Prefix: "wh", Unlisted: true})
		missing, err := other.Missing(t.Context())
		require.NoError(t, err)
		require.Len(t, missing, operation.Shards)
		require.NoError(t, other.Begin(t.Context(), allShards()))

		a := f.accepted(uuid.New())
		f.accept(a)
		_, err = other.Get(t.Context(), f.conn, a.ID)
		require.ErrorIs(t, err, redisstore.ErrMissing)
		receipt, err := other.Accept(t.Context(), a, f.limits)
		require.NoError(t, err)
		require.Equal(t, 1, receipt.Outstanding)
		out, err := other.Next(t.Context(), f.conn, f.limits, ids(1), nil)
		require.NoError(t, err)
		require.Len(t, out.Leases, 1)
		require.Len(t, f.next(1).Leases, 1, "the other store's hand-out takes nothing from this one")

		now := time.Now()
		query := operation.Query{PartnerID: f.partner, From: now.Add(-time.Hour), To: now.Add(time.Hour), Limit: 10}
		ops, _, err := f.store.List(t.Context(), query)
		require.NoError(t, err)
		require.Len(t, ops, 1)
		ops, _, err = other.List(t.Context(), query)
		require.NoError(t, err)
		require.Empty(t, ops)
		keys, err := f.rdb.Keys(t.Context(), "wh:*").Result()
		require.NoError(t, err)
		require.NotEmpty(t, keys)
		for _, key := range keys {
			require.False(t, strings.Contains(key, ":day:"), key)
		}
	})
}
