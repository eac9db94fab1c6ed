package work

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// A message that says nothing new is acked, but the record of its operation is put back
// if it is gone.
func TestGlance_PutsBackWhatIsGone(t *testing.T) {
	t.Parallel()
	w, _, _ := overdue(t, 0)
	w.limits = func(uuid.UUID) redisstore.Limits {
		return redisstore.Limits{InFlight: 1, Call: time.Second, Life: time.Hour}
	}
	lost := operation.Message{
		Accepted: operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), ConnectionID: uuid.Must(uuid.NewV7()),
			Resource: operation.ResourceUser, ResourceID: uuid.New(), Type: operation.Update,
		},
		Place: operation.Place{Seq: time.Now().UnixMicro(), Deadline: time.Now().Add(time.Hour)},
	}
	glance := func(m operation.Message) {
		t.Helper()
		acked := 0
		w.glance(t.Context(), &wake{Message: m, ack: func() { acked++ }, nak: func() { t.Error("given back") }})
		require.Equal(t, 1, acked)
		_, err := w.parts.Store.Get(t.Context(), m.ConnectionID, m.ID)
		require.NoError(t, err)
	}
	glance(lost)
	lane, ok := w.lanes.take()
	require.True(t, ok, "its lane has something to do")
	require.Equal(t, lost.ConnectionID, lane)
	glance(lost) // now it is known
}
