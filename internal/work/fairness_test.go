package work_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// byMessage accepts as the api does: a message wakes the worker.
func byMessage(r *rig, a operation.Accepted) {
	r.accept(a)
}

// byDueIndex accepts without a message, as with NATS away or for a retry: only a
// poll finds it.
func byDueIndex(r *rig, a operation.Accepted) {
	l := r.limits()
	_, err := r.store.Accept(r.t.Context(), a, redisstore.Limits{InFlight: l.InFlight, Call: l.Call, Life: l.Deadline})
	require.NoError(r.t, err)
	r.polled()
	r.polled() // the first may have been under way before
}

// polled waits for a poll of the worker: it raises the beat.
func (r *rig) polled() {
	key := fmt.Sprintf("wb:{%02d}:beat", operation.ShardOf(r.conn))
	was := r.rdb.HVals(r.t.Context(), key).Val()
	require.Eventually(r.t, func() bool {
		return !slices.Equal(was, r.rdb.HVals(r.t.Context(), key).Val())
	}, 20*time.Second, 5*time.Millisecond)
}

// TestFairness_QuietGoesNext has lanes that never run dry and want more slots than
// there are. The operation of a quiet lane must not wait for them: it is counted how
// many of their calls go before it, so no clock is involved.
func TestFairness_QuietGoesNext(t *testing.T) {
	t.Parallel()
	const slots = 4
	for _, tt := range []struct {
		name           string
		hot, each, cap int
		accept         func(r *rig, a operation.Accepted)
	}{
		{"one hot lane takes all slots", 1, 120, slots, byMessage},
		{"slots over cap", 2, 60, slots / 2, byMessage},
		{"ten times slots over cap", 20, 12, slots / 2, byMessage},
		{"one hot lane and no message", 1, 120, slots, byDueIndex},
		{"slots over cap and no message", 2, 60, slots / 2, byDueIndex},
		{"ten times slots over cap and no message", 20, 12, slots / 2, byDueIndex},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// A call goes on when the test says so, and tells which lane it is of.
			step, calls := make(chan struct{}), make(chan string)
			var open atomic.Bool
			p := &provider{limits: tsp.Limits{InFlight: tt.cap}}
			p.answer = func(ctx context.Context, _ int, u tsp.UserUpdate) error {
				if open.Load() {
					return nil
				}
				select {
				case calls <- u.Changes["notes"].Text():
				case <-ctx.Done():
				}
				select {
				case <-step:
				case <-ctx.Done():
				}
				return nil
			}
			r := rigOn(t, p)
			r.cfg.Concurrency = slots
			r.cfg.Keep = 1 // ns: no slot is kept while others are due
			quiet := r.conn
			for range tt.hot {
				r.conn = uuid.Must(uuid.NewV7())
				for range tt.each {
					r.accept(r.change(uuid.New(), "hot"))
				}
			}
			r.worker()
			for range slots { // all slots are taken
				require.Equal(t, "hot", <-calls)
			}
			next := func() string { step <- struct{}{}; return <-calls }
			r.conn = quiet
			tt.accept(r, r.change(uuid.New(), "quiet"))
			before := 0
			for next() != "quiet" {
				before++
				require.LessOrEqual(t, before, slots+2*tt.hot, "hot calls that went before the quiet one")
			}
			t.Logf("%d hot calls went before the quiet one", before)
			open.Store(true)
			close(step)
			go func() {
				for range calls { // those that were about to tell
				}
			}()
			t.Cleanup(func() { close(calls) })
		})
	}
}
