package work

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// withLost is a worker, and the message of an operation that its store has lost.
func withLost(t *testing.T) (*Worker, operation.Message) {
	t.Helper()
	w, _, _ := overdue(t, 0)
	w.limits = func(uuid.UUID) redisstore.Limits {
		return redisstore.Limits{InFlight: 1, Call: time.Second, Life: time.Hour}
	}
	return w, operation.Message{
		Accepted: operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), ConnectionID: uuid.Must(uuid.NewV7()),
			Resource: operation.ResourceUser, ResourceID: uuid.New(), Type: operation.Update,
		},
		Place: operation.Place{Seq: time.Now().UnixMicro(), Deadline: time.Now().Add(time.Hour)},
	}
}

// A message that says nothing new is acked, but the record of its operation is put back
// if it is gone.
func TestGlance_PutsBackWhatIsGone(t *testing.T) {
	t.Parallel()
	w, lost := withLost(t)
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

// A full worker holds no message of a lane that it has looked at since. What it holds when it stops it gives back.
func TestWoken_ByAFullWorker(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		looked  time.Duration // after the operation was accepted
		glances int           // that are under way
		stops   bool
		want    string
	}{
		"it has looked since":                   {looked: time.Second, want: "ack"},
		"it stops while it glances at others":   {looked: time.Second, glances: mostGlances, stops: true, want: "nak"},
		"it stops while one waits for its slot": {looked: -time.Second, stops: true, want: "nak"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, message := withLost(t)
			w.takeFree(w.Free())
			for range row.glances {
				w.glances <- struct{}{}
			}
			w.lanes.looking(message.ConnectionID, message.CreatedAt().Add(row.looked))
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			if row.stops {
				stop()
			}
			said := ""
			m := &wake{Message: message, ack: func() { said += "ack" }, nak: func() { said += "nak" }}
			w.woken(ctx, m, func(*wake, uuid.UUID, int) { t.Error("it has no slot") })
			w.glancing.Wait()
			require.Equal(t, row.want, said)
		})
	}
}
