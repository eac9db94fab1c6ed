package dirsync

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
)

// TestBook_MakesItsBucketAnew: NATS came back without it, or somebody has deleted it. Syncs go
// on, from the start.
func TestBook_MakesItsBucketAnew(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(testenv.NATS(t), testenv.Patient)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	book, err := OpenBook(t.Context(), js, 1, nil)
	require.NoError(t, err)
	before, after := uuid.New(), uuid.New()
	require.NoError(t, book.Want(t.Context(), before, time.Now()))
	all, err := book.All(t.Context())
	require.NoError(t, err)
	require.Contains(t, all, before)

	require.NoError(t, js.DeleteKeyValue(t.Context(), Bucket))
	all, err = book.All(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
	require.NoError(t, book.Want(t.Context(), after, time.Now()))
	all, err = book.All(t.Context())
	require.NoError(t, err)
	require.Contains(t, all, after)
}
