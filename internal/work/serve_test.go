package work_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// stuck restores nothing, for as long as it may.
type stuck struct{}

func (stuck) Restore(ctx context.Context, _ []int) error { <-ctx.Done(); return nil }

func (stuck) Finish(ctx context.Context, _ []int) error { <-ctx.Done(); return nil }

// unwoken starts a worker that no message reaches, and that restores nothing.
func (r *rig) unwoken() *work.Worker {
	w := work.NewWorker(r.parts, r.cfg, r.acker, stuck{})
	r.background(func(ctx context.Context) error { return w.Run(ctx, silent{}) })
	return w
}

// A lane that has more than it was looked at for takes the slots that are free, before any poll.
func TestServe_ALaneTakesAllFreeSlots(t *testing.T) {
	t.Parallel()
	const calls = 8
	var under sync.WaitGroup
	under.Add(calls)
	together := make(chan struct{})
	go func() { under.Wait(); close(together) }()
	r := rigOn(t, &provider{limits: tsp.Limits{InFlight: calls, Burst: calls}, answer: func(ctx context.Context, n int, _ tsp.UserUpdate) error {
		if n <= calls {
			under.Done()
		}
		select {
		case <-together:
		case <-ctx.Done():
		}
		return nil
	}})
	r.cfg.Poll = time.Hour
	var ids []uuid.UUID
	for range calls {
		ids = append(ids, r.accept(r.change(uuid.New(), "x")).ID)
	}
	r.unwoken().Look(r.conn)
	for _, id := range ids {
		require.Len(t, r.ended(id).Attempts, 1)
	}
}

// deafStream is a publisher whose events go nowhere for a while.
type deafStream struct {
	*natsq.Publisher
	again chan struct{}
}

func (d *deafStream) Event(ctx context.Context, e operation.Event) error {
	select {
	case <-d.again:
	case <-ctx.Done():
	}
	return d.Publisher.Event(ctx, e)
}

// While the streams take nothing, the only slot makes the next call, of its lane and of another.
func TestRun_NoSlotWaitsForTheStreams(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	stream := &deafStream{Publisher: r.pub, again: make(chan struct{})}
	r.parts.Publisher = stream
	r.cfg.Concurrency, r.cfg.Keep = 1, time.Minute // what follows in a lane comes with the record
	for range 2 {
		r.accept(r.change(uuid.New(), "x"))
	}
	r.conn = uuid.Must(uuid.NewV7())
	r.accept(r.change(uuid.New(), "x"))
	defer close(stream.again)
	r.unwoken()
	require.Eventually(t, func() bool { return len(r.provider.received()) == 3 }, 10*time.Second, time.Millisecond)
}

// late is a Redis whose first answer to a step comes late.
type late struct {
	released
	by time.Duration
}

// ProcessPipelineHook waits after the first pipeline with the step.
func (l *late) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	counted := l.released.ProcessPipelineHook(next)
	return func(ctx context.Context, cmds []redis.Cmder) error {
		before := l.Load()
		err := counted(ctx, cmds)
		if before == 0 && l.Load() > 0 {
			time.Sleep(l.by) // the network
		}
		return err
	}
}

// What comes with the record of a call is called at once, and given back if the answer was late.
func TestRun_WhatComesWithARecord(t *testing.T) {
	t.Parallel()
	const window = 2 * time.Second
	for name, by := range map[string]time.Duration{"at once": 0, "late": window + 500*time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, &provider{})
			r.store = redisstore.New(r.rdb, redisstore.Config{StartWindow: window})
			r.parts.Store = r.store
			r.accepter = work.NewAccepter(r.parts, r.cfg, r.acker)
			back := &released{}
			r.rdb.AddHook(back)
			r.rdb.AddHook(&late{released{step: "record"}, by})
			r.cfg.Concurrency, r.cfg.Keep = 1, time.Minute
			ops := []operation.Operation{r.accept(r.change(uuid.New(), "x")), r.accept(r.change(uuid.New(), "x"))}
			r.unwoken()
			for _, op := range ops {
				require.Len(t, r.ended(op.ID).Attempts, 1)
			}
			require.Equal(t, by > 0, back.Load() > 0)
		})
	}
}

// A slot that leaves its lane for a quiet one comes back to it without a poll.
func TestRun_ComesBackToALaneThatHasMore(t *testing.T) {
	t.Parallel()
	called, answer := make(chan struct{}), make(chan struct{})
	r := rigOn(t, &provider{answer: first(blocking(called, answer, nil))})
	r.cfg.Concurrency, r.cfg.Poll = 1, time.Hour
	user := uuid.New()
	for range 2 { // of which no message tells
		_, err := r.store.Accept(t.Context(), r.change(user, "x"), r.storeLimits())
		require.NoError(t, err)
	}
	r.worker()
	r.last.Look(r.conn)
	<-called
	r.conn = uuid.Must(uuid.NewV7())
	byMessage(r, r.change(uuid.New(), "quiet"))
	close(answer)
	require.Eventually(t, func() bool { return len(r.provider.received()) == 3 }, 10*time.Second, time.Millisecond)
	require.Equal(t, "quiet", r.provider.received()[1].Changes[operation.FieldNotes].Text())
}

// While a shard is restored, polls find what is due in the others.
func TestPoll_DoesNotWaitForARestore(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	require.NoError(t, r.store.Withdraw(t.Context(), []int{(operation.ShardOf(r.conn) + 1) % operation.Shards}))
	r.unwoken()
	for range 3 { // the first may have been under way before, and the second finds the restorer busy
		r.polled()
	}
	a := r.change(uuid.New(), "x")
	byDueIndex(r, a)
	require.Equal(t, operation.Succeeded, r.ended(a.ID).Status)
}
