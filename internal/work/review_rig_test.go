package work_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

func (tr *trial) history() *natsq.History { return natsq.NewHistory(tr.js) }

func (tr *trial) wakes(w *work.Worker) *natsq.Wakes {
	return natsq.NewWakes(tr.js, tr.pub, w.Free, w.DeadLetter, tr.parts.Log)
}

// slow holds back the first answer of the next script that has a lease in it.
type slow struct {
	hold time.Duration
	held chan any // the attempt id that it handed out
}

// DialHook changes nothing.
func (s slow) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook changes nothing.
func (s slow) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook waits after a pipeline that handed something out.
func (s slow) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err != nil {
			return err
		}
		for _, cmd := range cmds {
			c, ok := cmd.(*redis.Cmd)
			if !ok {
				continue
			}
			v, err := c.Slice()
			if err != nil || len(v) != 2 {
				continue
			}
			for _, answer := range v[1].([]any) {
				next, ok := answer.([]any)
				if !ok || len(next) != 6 {
					continue
				}
				if leases, ok := next[5].([]any); ok && len(leases) > 0 {
					select {
					case s.held <- leases[0].([]any)[1]:
						time.Sleep(s.hold) // the network
					default:
					}
				}
			}
		}
		return nil
	}
}

// A call that cannot start within its window is given back: by the end of its lease
// another worker would make it a second time, and out of order.
func TestReview_F21_ALateHandOutIsGivenBack(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	cfg := redisstore.Config{StartWindow: 100 * time.Millisecond}
	r.store = redisstore.New(r.rdb, cfg)
	r.parts.Store = r.store
	r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
	hook := slow{hold: 300 * time.Millisecond, held: make(chan any, 1)}
	op := r.accept(r.change(uuid.New(), "x"))
	r.rdb.AddHook(hook)
	r.worker()
	done := r.ended(op.ID)
	require.Equal(t, operation.Succeeded, done.Status)
	require.Len(t, hook.held, 1, "one answer was late")
	require.NotEqual(t, <-hook.held, done.Attempts[0].ID.String(), "the call is of a later hand-out")
	require.Len(t, done.Attempts, 1, "a call that was not made has no row")
	require.Equal(t, 1, done.Attempted)
	calls := r.provider.received()
	require.Len(t, calls, 1)
	require.GreaterOrEqual(t, done.Attempts[0].StartedAt.Sub(op.CreatedAt()), hook.hold)
}

// What Redis loses comes back from messages and events alone, so they must say
// everything that is kept.
func TestReview_F13_EventsCarryTheKeyAndTheBlock(t *testing.T) {
	t.Parallel()
	limited := operation.Failure{Type: operation.ErrorTSP, Retryable: true, StatusCode: 429, RetryAfter: 300 * time.Millisecond, Detail: "429"}
	r := rigOn(t, &provider{answer: flaky(1, limited)})
	r.worker()
	a := r.change(uuid.New(), "x")
	a.Key = &operation.Key{Scope: "scope", Fingerprint: "print"}
	done := r.ended(r.accept(a).ID)
	r.settled()
	events := r.events()
	require.Len(t, events, 2)
	require.Equal(t, operation.EventAttempted, events[0].Kind)
	require.GreaterOrEqual(t, events[0].Blocked.Sub(events[0].Operation.Attempts[0].EndedAt), 290*time.Millisecond)
	require.False(t, events[0].NextAt.IsZero())
	require.Equal(t, done, events[1].Operation)
	require.Equal(t, a.Key, events[1].Operation.Key)
}
