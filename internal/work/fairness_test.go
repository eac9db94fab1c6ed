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

	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// byMessage accepts as the api does: a message wakes the worker, which has it when this
// returns.
func byMessage(r *rig, a operation.Accepted) {
	r.accept(a)
	require.Eventually(r.t, func() bool { return work.Knocking(r.last) == 1 }, 20*time.Second, time.Millisecond)
}

// readMessages has the worker read all messages so far. Those that wait for a slot get
// the one that next frees.
func (r *rig) readMessages(next func() string) {
	consumer, err := r.js.Consumer(r.t.Context(), natsq.StreamOperations, natsq.ConsumerQuiet)
	require.NoError(r.t, err)
	require.Eventually(r.t, func() bool {
		if work.Knocking(r.last) > 0 {
			next()
			return false
		}
		info, err := consumer.Info(r.t.Context())
		return err == nil && info.NumPending == 0 && info.NumAckPending == 0
	}, 20*time.Second, time.Millisecond)
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
// many of their calls go before it, from when the worker knows of it. So no clock is
// involved: calls that go while its message is on the way, or behind those of the hot
// lanes, show how fast messages are read and not who goes next.
func TestFairness_QuietGoesNext(t *testing.T) {
	t.Parallel()
	const slots = 4
	for _, tt := range []struct {
		name           string
		hot, each, cap int
		accept         func(r *rig, a operation.Accepted)
		most           int // hot calls before the quiet one
	}{
		{"one hot lane takes all slots", 1, 120, slots, byMessage, slots},
		{"slots over cap", 2, 60, slots / 2, byMessage, slots},
		{"ten times slots over cap", 20, 12, slots / 2, byMessage, slots},
		{"one hot lane and no message", 1, 120, slots, byDueIndex, slots + 2*1},
		{"slots over cap and no message", 2, 60, slots / 2, byDueIndex, slots + 2*2},
		{"ten times slots over cap and no message", 20, 12, slots / 2, byDueIndex, slots + 2*20},
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
			r.readMessages(next)
			r.conn = quiet
			tt.accept(r, r.change(uuid.New(), "quiet"))
			before := 0
			for next() != "quiet" {
				before++
				require.LessOrEqual(t, before, tt.most, "hot calls that went before the quiet one")
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
