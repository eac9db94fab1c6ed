package app

import (
	"io"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
)

// A program compares Redis with the streams when it opens, before anything can ask it.
func TestOpen_ClosesAShardThatIsNotWhole(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t)
	b := openBase(t, cfg, io.Discard)
	all := make([]int, operation.Shards)
	for i := range all {
		all[i] = i
	}
	require.NoError(t, b.Store.Begin(t.Context(), all))
	a := operation.Accepted{
		Version: operation.Version, ID: uuid.Must(uuid.NewV7()), ConnectionID: uuid.Must(uuid.NewV7()),
		PartnerID: uuid.New(), Provider: "samsara", SourceID: "1", Resource: operation.ResourceUser, ResourceID: uuid.New(),
		Type: operation.Update, Changes: operation.Changes{operation.FieldNotes: operation.Text("x")},
	}
	place := operation.Place{Seq: time.Now().UnixMicro(), Deadline: time.Now().Add(time.Hour)}
	require.NoError(t, b.publisher.Accepted(t.Context(), operation.Message{Accepted: a, Place: place}, false))

	missing, err := openBase(t, cfg, io.Discard).Store.Missing(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{operation.ShardOf(a.ConnectionID)}, missing)
}
