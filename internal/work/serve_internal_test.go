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

// uncalled is an attempter that is not to be asked.
type uncalled struct{ *testing.T }

func (u uncalled) Attempt(context.Context, redisstore.Lease) redisstore.Outcome {
	u.Error("a call was made")
	return redisstore.Outcome{}
}

// A call that may not start any more gives its lease back, also when a stop breaks calls off.
func TestRunOne_StartsNoCallTooLate(t *testing.T) {
	t.Parallel()
	over, stop := context.WithCancel(t.Context())
	stop()
	for name, row := range map[string]struct {
		until  terms
		handed time.Duration // ago
	}{
		"its window is over": {terms{t.Context(), t.Context(), t.Context()}, time.Minute},
		"the worker stops":   {terms{over, over, t.Context()}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, message := withLost(t)
			w.attempt = uncalled{t}
			hand := func() []redisstore.Lease {
				out, err := w.parts.Store.Next(t.Context(), message.ConnectionID, w.limits(uuid.Nil), []uuid.UUID{uuid.New()}, &message)
				require.NoError(t, err)
				return out.Leases
			}
			lease := hand()[0]
			require.Empty(t, hand())
			lease.Handed = time.Now().Add(-row.handed)
			next, tell := w.runOne(row.until, lease, time.Now())
			require.Nil(t, next)
			require.Nil(t, tell)
			require.Len(t, hand(), 1)
		})
	}
}

// A slot goes on with its lane as long as nobody else is known to want it, and for a moment if a lane is due.
func TestKeeping(t *testing.T) {
	t.Parallel()
	stopping, stop := context.WithCancel(t.Context())
	stop()
	for name, row := range map[string]struct {
		fetching context.Context //nolint:containedctx // of a row
		knocking int32
		due      bool
		keep     time.Duration
		want     bool
	}{
		"nobody waits":                   {t.Context(), 0, false, 1, true},
		"a lane is due, and it is early": {t.Context(), 0, true, time.Hour, true},
		"a lane is due, and it is late":  {t.Context(), 0, true, 1, false},
		"a quiet message waits":          {t.Context(), 1, false, time.Hour, false},
		"the worker stops":               {stopping, 0, false, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, message := withLost(t)
			w.cfg.Keep = row.keep
			w.knocking.Store(row.knocking)
			if row.due {
				w.lanes.found([]redisstore.Due{{Connection: uuid.New()}})
			}
			got := w.keeping(row.fetching, redisstore.Outcome{Connection: message.ConnectionID}, time.Now().Add(-time.Second))
			if !row.want {
				require.Empty(t, got.More)
				return
			}
			require.Len(t, got.More, 1)
			require.Equal(t, w.parts.Store.LeaseFor(w.limits(message.ConnectionID)), got.Lease)
		})
	}
}

// A look is noted, and slots for which it found nothing are free again.
func TestServe_NotesItsLook(t *testing.T) {
	t.Parallel()
	w, message := withLost(t)
	require.NoError(t, w.parts.Store.Begin(t.Context(), []int{operation.ShardOf(message.ConnectionID)}))
	free, began := w.Free(), time.Now()
	require.Equal(t, 2, w.takeFree(2))
	serving := newCrew(1)
	w.serve(terms{t.Context(), t.Context(), t.Context()}, nil, message.ConnectionID, 2, serving)
	serving.Wait()
	require.Equal(t, free, w.Free())
	require.True(t, w.lanes.lookedSince(message.ConnectionID, began))
}
