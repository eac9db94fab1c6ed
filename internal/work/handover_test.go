package work_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
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

// silent is a source of messages from which none comes.
type silent struct{}

// Run waits for the end.
func (silent) Run(ctx context.Context, _ func(context.Context, operation.Message, func(), func())) error {
	<-ctx.Done()
	return nil
}

// released counts the leases that are given back, or the runs of another step.
type released struct {
	atomic.Int32
	step string
}

// DialHook changes nothing.
func (*released) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook changes nothing.
func (*released) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook looks for the step's name.
func (r *released) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if slices.Contains(cmd.Args(), any(cmp.Or(r.step, "release"))) {
				r.Add(1)
			}
		}
		return next(ctx, cmds)
	}
}

// offered starts a worker that finds nothing by itself, and gives what it offers.
func (r *rig) offered() (offer func() redisstore.Offers, stop func()) {
	r.t.Helper()
	r.cfg.Poll = time.Hour
	var mu sync.Mutex
	var last redisstore.Offers
	r.background(func(ctx context.Context) error {
		r.store.FollowOffers(ctx, func(o redisstore.Offers) {
			mu.Lock()
			defer mu.Unlock()
			last = o
		})
		return nil
	})
	restorer := work.NewRestorer(r.store, natsq.NewHistory(r.js), work.RestoreConfig{}, r.parts.Log)
	w := work.NewWorker(r.parts, r.cfg, r.acker, restorer)
	stop = r.background(func(ctx context.Context) error { return w.Run(ctx, silent{}) })
	offer = func() (o redisstore.Offers) {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
	require.Eventually(r.t, func() bool {
		channel := "wb:worker:" + offer().Worker
		n, err := r.rdb.PubSubNumSub(r.t.Context(), channel).Result()
		return err == nil && n[channel] == 1
	}, 10*time.Second, 5*time.Millisecond)
	return offer, stop
}

// take accepts a change for an offer.
func (r *rig) take(o redisstore.Offer, l redisstore.Limits) (operation.Accepted, redisstore.Receipt) {
	r.t.Helper()
	a := r.change(uuid.New(), "x")
	receipt, err := r.store.AcceptOffered(r.t.Context(), a, l, o)
	require.NoError(r.t, err)
	return a, receipt
}

func (r *rig) storeLimits() redisstore.Limits {
	l := r.limits()
	return redisstore.Limits{InFlight: l.InFlight, PerSecond: l.PerSecond, Burst: l.Burst, Call: l.Call, Life: l.Deadline}
}

// A worker that no message and no look at the due index reaches gets its work from the accept:
// the whole trip, also with its only slot, which the dispatcher holds.
func TestHandover_IsTheWholeTrip(t *testing.T) {
	t.Parallel()
	for name, slots := range map[string]int{"one slot": 1, "many slots": 8} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, &provider{})
			r.cfg.Concurrency = slots
			offer, _ := r.offered()
			require.Equal(t, slots, offer().Free)
			r.background(func(ctx context.Context) error { r.accepter.FollowOffers(ctx); return nil })
			for calls := 0; calls < 20; { // more than it offers at a time
				r.conn = uuid.Must(uuid.NewV7())
				op := r.accept(r.change(uuid.New(), "x"))
				if !r.leased(op.ID) { // the accepter had heard of no slot, and nobody looks
					time.Sleep(time.Millisecond)
					continue
				}
				done := r.ended(op.ID)
				require.Equal(t, operation.Succeeded, done.Status)
				require.Len(t, done.Attempts, 1)
				calls++
				require.Len(t, r.provider.received(), calls)
			}
		})
	}
}

// leased reports whether the operation was handed to somebody.
func (r *rig) leased(id uuid.UUID) bool {
	r.t.Helper()
	key := fmt.Sprintf("wb:{%02d}:op:%s", operation.ShardOf(r.conn), id)
	was, err := r.rdb.HExists(r.t.Context(), key, "lease").Result()
	require.NoError(r.t, err)
	op, err := r.store.Get(r.t.Context(), r.conn, id)
	require.NoError(r.t, err)
	return was || op.Status.Terminal()
}

// Each slot that is free is there for what is handed over, also that which the dispatcher holds.
func TestHandover_FillsAllSlots(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	r := rigOn(t, &provider{answer: func(ctx context.Context, n int, u tsp.UserUpdate) error {
		return blocking(make(chan struct{}), answer, nil)(ctx, n, u)
	}})
	var back released
	r.rdb.AddHook(&back)
	offer, _ := r.offered()
	o := offer()
	for range o.Free {
		r.conn = uuid.Must(uuid.NewV7())
		_, receipt := r.take(o.Offer, r.storeLimits())
		require.True(t, receipt.Handed)
	}
	require.Eventually(t, func() bool { return len(r.provider.received()) == o.Free }, 10*time.Second, time.Millisecond)
	close(answer)
	require.Zero(t, back.Load(), "none was given back")
}

// What is handed over and cannot be called by this worker now is given back, without a row
// or an attempt, and called by whoever looks at the lane next.
func TestHandover_IsGivenBack(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(o *redisstore.Offer, l *redisstore.Limits){
		"its start window is over": func(o *redisstore.Offer, _ *redisstore.Limits) { o.Ticket -= int64(time.Minute) },
		"its lease is too short":   func(_ *redisstore.Offer, l *redisstore.Limits) { l.Call -= time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rigOn(t, &provider{})
			var back released
			r.rdb.AddHook(&back)
			offer, _ := r.offered()
			o, l := offer().Offer, r.storeLimits()
			change(&o, &l)
			a, receipt := r.take(o, l)
			require.True(t, receipt.Handed)
			done := r.ended(a.ID)
			require.Equal(t, operation.Succeeded, done.Status)
			require.Len(t, done.Attempts, 1)
			require.EqualValues(t, 1, back.Load())
		})
	}
}

func TestHandover_WithoutAFreeSlotIsGivenBack(t *testing.T) {
	t.Parallel()
	called, answer := make(chan struct{}), make(chan struct{})
	r := rigOn(t, &provider{answer: first(blocking(called, answer, nil))})
	r.cfg.Concurrency = 1
	var back released
	r.rdb.AddHook(&back)
	offer, _ := r.offered()
	o := offer().Offer
	first, receipt := r.take(o, r.storeLimits())
	require.True(t, receipt.Handed)
	<-called
	second, receipt := r.take(o, r.storeLimits())
	require.True(t, receipt.Handed, "the worker has not said yet that it has none")
	require.Eventually(t, func() bool { return back.Load() == 1 }, 10*time.Second, time.Millisecond)
	close(answer)
	for _, a := range []operation.Accepted{first, second} {
		done := r.ended(a.ID)
		require.Equal(t, operation.Succeeded, done.Status)
		require.Len(t, done.Attempts, 1)
	}
	require.Len(t, r.provider.received(), 2)
}

// A full worker offers nothing, and a stopping one is given nothing more, though its last
// offer still stands with those that heard of it.
func TestHandover_NotToAFullOrStoppingWorker(t *testing.T) {
	t.Parallel()
	called, answer := make(chan struct{}), make(chan struct{})
	r := rigOn(t, &provider{answer: blocking(called, answer, nil)})
	r.cfg.Concurrency = 1
	offer, stop := r.offered()
	o := offer().Offer
	first, _ := r.take(o, r.storeLimits())
	<-called
	require.Eventually(t, func() bool { return offer().Free == 0 }, 10*time.Second, time.Millisecond)

	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	channel := "wb:worker:" + o.Worker
	require.Eventually(t, func() bool {
		n, err := r.rdb.PubSubNumSub(t.Context(), channel).Result()
		return err == nil && n[channel] == 0
	}, 10*time.Second, time.Millisecond)
	second, receipt := r.take(o, r.storeLimits())
	require.False(t, receipt.Handed)
	close(answer)
	<-stopped
	require.Equal(t, operation.Succeeded, r.ended(first.ID).Status)
	left, err := r.store.Get(t.Context(), r.conn, second.ID)
	require.NoError(t, err)
	require.Equal(t, operation.Pending, left.Status)
	require.Empty(t, left.Attempts)
}

// A worker that stops says that it has no slot: no accept is sent to it in vain.
func TestHandover_AStoppingWorkerTakesItsOfferBack(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	offer, stop := r.offered()
	require.Positive(t, offer().Free)
	stop()
	require.Eventually(t, func() bool { return offer().Free == 0 }, 10*time.Second, time.Millisecond)
}

// A worker that nobody sends anything finds out by itself that it could be reached.
func TestHandover_AnIdleWorkerGoesOnOffering(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	offer, _ := r.offered()
	later := offer().Ticket + int64(2*time.Second) // what it last heard then counts no more
	require.Eventually(t, func() bool { o := offer(); return o.Free > 0 && o.Ticket > later }, 10*time.Second, time.Millisecond)
}

// refusing lets no step of the kind that it counts be taken while it is on.
type refusing struct {
	released
	on atomic.Bool
}

// ProcessPipelineHook refuses a pipeline with the step.
func (r *refusing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	counted := r.released.ProcessPipelineHook(next)
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !r.on.Load() {
			return counted(ctx, cmds)
		}
		before := r.Load()
		nothing := func(context.Context, []redis.Cmder) error { return nil }
		_ = r.released.ProcessPipelineHook(nothing)(ctx, cmds)
		if r.Load() == before {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(errRedisAway)
		}
		return errRedisAway
	}
}

// A lease whose call is not made is given back when the store is there again: it is no attempt.
func TestHandover_IsGivenBackAfterAnOutage(t *testing.T) {
	t.Parallel()
	r := rigOn(t, &provider{})
	var away refusing
	r.rdb.AddHook(&away)
	offer, _ := r.offered()
	o, l := offer().Offer, r.storeLimits()
	l.Call -= time.Second // too short for the worker
	away.on.Store(true)
	a, receipt := r.take(o, l)
	require.True(t, receipt.Handed)
	require.Eventually(t, func() bool { return away.Load() > 0 }, 10*time.Second, time.Millisecond)
	time.Sleep(500 * time.Millisecond)
	away.on.Store(false)
	done := r.ended(a.ID)
	require.Equal(t, operation.Succeeded, done.Status)
	require.Len(t, done.Attempts, 1)
}
