package work_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/directory"
	"writeback/pkg/operation"
)

// lostDirectory is a directory that has lost its connections, until it has them back.
type lostDirectory struct {
	connections
	asked atomic.Int32
	back  atomic.Bool
}

func (f *lostDirectory) ConnectionByID(id uuid.UUID) (directory.Connection, bool) {
	if !f.back.Load() {
		f.asked.Add(1)
		return directory.Connection{}, false
	}
	return f.connections.ConnectionByID(id)
}

// A connection that a worker does not know is no reason to end what was accepted for it: it
// is new, or the directory was lost.
func TestUnknownConnection_WaitsUntilItIsKnown(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	dir := &lostDirectory{}
	r.parts.Directory = dir
	op := r.accept(r.change(uuid.New(), "x"))
	r.worker()
	require.Eventually(t, func() bool { return dir.asked.Load() > 3 }, 20*time.Second, 5*time.Millisecond)
	held, err := r.store.Get(t.Context(), r.conn, op.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Pending, held.Status)
	require.Empty(t, held.Attempts)
	require.Empty(t, r.provider.received())
	dir.back.Store(true)
	ended := r.ended(op.ID)
	require.Equal(t, operation.Succeeded, ended.Status)
	require.Len(t, ended.Attempts, 1, "and the waiting cost it nothing")
}
