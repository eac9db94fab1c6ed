package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/redisurl"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

func TestCopies_AreReadAsOperations(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	rdb, err := redisurl.Open(url, redisurl.Options{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	store := redisstore.New(rdb, redisstore.Config{})
	partner := uuid.New()
	var shards []int
	for shard := range operation.Shards {
		shards = append(shards, shard)
	}
	require.NoError(t, store.Begin(t.Context(), shards))
	require.ErrorContains(t, run(t.Context(), url, partner.String(), 10), "no ended operations")
	require.ErrorContains(t, run(t.Context(), url, "me", 10), `-partner "me"`)

	var ids operation.IDs
	for range 3 {
		connection := uuid.New()
		id, err := ids.New(connection)
		require.NoError(t, err)
		at := time.Now().UTC()
		attempt := operation.Attempt{
			ID: uuid.Must(uuid.NewV7()), OperationID: id, StartedAt: at, EndedAt: at, Status: operation.AttemptSucceeded, StatusCode: 200,
		}
		require.NoError(t, store.Keep(t.Context(), operation.Operation{
			Accepted: operation.Accepted{
				Version: operation.Version, ID: id, PartnerID: partner, ConnectionID: connection, Provider: "samsara",
				Resource: operation.ResourceUser, ResourceID: uuid.New(), SourceID: "7", Type: operation.Update,
				Changes: operation.Changes{operation.FieldFirstName: operation.Text("Ada")}, Key: &operation.Key{Scope: id.String(), Fingerprint: "f"},
			},
			Place: operation.Place{Seq: at.UnixMicro(), Deadline: at.Add(time.Hour)}, Status: operation.Succeeded, UpdatedAt: at,
			Attempts: []operation.Attempt{attempt}, Attempted: 1,
		}))
	}
	require.NoError(t, run(t.Context(), url, partner.String(), 100))
	listed, more, err := store.List(t.Context(), operation.Query{
		PartnerID: partner, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Limit: 200,
	})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, listed, 103)
	for _, op := range listed {
		got, err := store.Get(t.Context(), op.ConnectionID, op.ID)
		require.NoError(t, err)
		require.Equal(t, op, got)
		require.Equal(t, operation.Succeeded, got.Status)
		require.Len(t, got.Attempts, 1)
	}
}
