package app

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/work"
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
	a := published(t, b)

	missing, err := openBase(t, cfg, io.Discard).Store.Missing(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{operation.ShardOf(a.ConnectionID)}, missing)
}

// published puts an accepted operation into the stream that Redis does not have.
func published(t *testing.T, b *Base) operation.Accepted {
	t.Helper()
	return publishedFor(t, b, uuid.Must(uuid.NewV7()))
}

func publishedFor(t *testing.T, b *Base, connection uuid.UUID) operation.Accepted {
	t.Helper()
	a := operation.Accepted{
		Version: operation.Version, ID: uuid.Must(uuid.NewV7()), ConnectionID: connection,
		PartnerID: uuid.New(), Provider: "samsara", SourceID: "1", Resource: operation.ResourceUser, ResourceID: uuid.New(),
		Type: operation.Update, Changes: operation.Changes{operation.FieldNotes: operation.Text("x")},
	}
	place := operation.Place{Seq: time.Now().UnixMicro(), Deadline: time.Now().Add(time.Hour)}
	require.NoError(t, b.publisher.Accepted(t.Context(), operation.Message{Accepted: a, Place: place}, false))
	return a
}

// An api that fills the shards of a lost Redis stays with it, however long the streams are: a
// rebuild that is cut off leaves its token behind, and nobody else gets the shards until that ends.
func TestStartShards_TakesItsTime(t *testing.T) {
	t.Parallel()
	b := openBase(t, workerSettings(t), io.Discard)
	a := published(t, b)
	b.Restorer = work.NewRestorer(b.Store, natsq.NewHistory(b.JetStream), work.RestoreConfig{Settle: 6 * time.Second}, b.Log)
	require.NoError(t, b.startShards(t.Context()))
	missing, err := b.Store.Missing(t.Context())
	require.NoError(t, err)
	require.Empty(t, missing)
	_, err = b.Store.Get(t.Context(), a.ConnectionID, a.ID)
	require.NoError(t, err)
}

// What the streams do not tell of a connection is in the directory: that its calls are paused, and
// how long one of before may still run.
func TestStartShards_AsksTheDirectory(t *testing.T) {
	t.Parallel()
	connection := uuid.Must(uuid.NewV7())
	file := filepath.Join(t.TempDir(), "registry.yaml")
	text := "partners: [{id: " + uuid.NewString() + ", name: P, connections: [{id: " + connection.String() +
		", provider: samsara, credentials: {access_token: x}, limits: {call: 90s}}]}]"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	b := openBase(t, workerSettings(t, "WRITEBACK_REGISTRY_FILE="+file), io.Discard)
	require.NoError(t, b.Directory.Pause(t.Context(), connection, true))
	publishedFor(t, b, connection)
	began := time.Now()
	require.NoError(t, b.startShards(t.Context()))
	l, err := b.Store.Lane(t.Context(), connection)
	require.NoError(t, err)
	require.True(t, l.Paused)
	require.Equal(t, 1, l.Outstanding)
	closed, err := b.Redis.Get(t.Context(), fmt.Sprintf("wb:{%02d}:not_before", operation.ShardOf(connection))).Int64()
	require.NoError(t, err)
	require.Greater(t, time.UnixMilli(closed), began.Add(90*time.Second))
}
