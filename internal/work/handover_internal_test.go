package work

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation/redisstore"
)

// announcing is a worker with so many slots that tells of them, and says whether it was asked to do so out of turn.
func announcing(t *testing.T, slots int) (w *Worker, asked func() bool) {
	t.Helper()
	w, _, _ = overdue(t, 0)
	w = newWorker(w.parts, Config{Concurrency: slots}, w.acks, nil, nil, newMetrics("test"))
	w.offers = true
	w.limits = func(uuid.UUID) redisstore.Limits { return redisstore.Limits{} }
	return w, func() bool {
		select {
		case <-w.changed:
			return true
		default:
			return false
		}
	}
}

// Those that accept count down from what a worker told of last. It tells anew when a quarter of that is gone.
func TestOffer_IsRenewedWhenAQuarterIsTaken(t *testing.T) {
	t.Parallel()
	for slots, quarter := range map[int]int{1: 1, 16: 4} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			t.Parallel()
			w, asked := announcing(t, slots)
			require.False(t, w.heardWithin(time.Hour), "nothing has come yet")
			w.hears()
			require.True(t, asked())
			offering, stop := context.WithCancel(t.Context())
			stopped := make(chan error, 1)
			go func() { stopped <- w.offer(offering) }()
			require.Eventually(t, func() bool { return w.again.Load() == int32(quarter) }, 10*time.Second, time.Millisecond)
			stop()
			require.NoError(t, <-stopped)

			until, serving := terms{offering, t.Context(), t.Context()}, newCrew(1)
			for n := range quarter {
				require.False(t, asked(), "after %d", n)
				w.handed(until, redisstore.HandedOver{}, errors.New("unreadable"), serving, nil)
			}
			require.True(t, asked())
			serving.Wait()
		})
	}
}

// A worker that has told of no slot tells when a quarter of them is free again.
func TestOffer_IsRenewedWhenSlotsAreFreed(t *testing.T) {
	t.Parallel()
	w, asked := announcing(t, 16)
	require.Equal(t, 16, w.takeFree(16))
	w.giveBack(3)
	require.False(t, asked(), "too few")
	w.giveBack(1)
	require.True(t, asked())
	w.told.Store(1)
	w.giveBack(12)
	require.False(t, asked(), "it has told of some")
}
