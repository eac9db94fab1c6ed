package webhook

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// ledger is a book that counts its sweeps, which fail.
type ledger struct {
	shelf
	sweeps atomic.Int32
}

func (l *ledger) Sweep(context.Context) error {
	l.sweeps.Add(1)
	return errors.New("away")
}

// TestKeeper_Repairs: a lane that is not as it should be is seen to within half a minute.
func TestKeeper_Repairs(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{})
	require.NoError(t, rdb.Close()) // nothing can be kept: that it is tried is enough here
	queue := redisstore.New(rdb, redisstore.Config{})
	synctest.Test(t, func(t *testing.T) {
		s := Subscription{ID: uuid.New(), Status: Paused, UpdatedAt: time.Now()}
		failed := make(chan struct{}, 1)
		k := NewKeeper(shelf{s}, queue, &Fanout{}, slog.New(signal{failed}))
		stop := running(t, k)
		time.Sleep(keepEvery + time.Millisecond)
		synctest.Wait()
		require.Len(t, failed, 1)
		stop()
	})
}

// TestKeeper_Sweeps: secrets leave an old key within an hour, also after a sweep that has failed.
func TestKeeper_Sweeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		stop := running(t, NewKeeper(l, nil, &Fanout{}, slog.New(slog.DiscardHandler)))
		for n := range 3 {
			require.EqualValues(t, n, l.sweeps.Load())
			time.Sleep(time.Hour)
			synctest.Wait()
		}
		stop()
	})
}

// running runs a keeper until the returned stop.
func running(t *testing.T, k *Keeper) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	return func() { cancel(); require.NoError(t, <-done) }
}

// TestKeeper_TakesTheNewest of what it was told, in whatever order that comes.
func TestKeeper_TakesTheNewest(t *testing.T) {
	t.Parallel()
	k := NewKeeper(shelf{}, nil, &Fanout{}, slog.New(slog.DiscardHandler))
	id := uuid.New()
	for _, s := range []Subscription{
		{ID: id, Status: Active, Revision: 1}, {ID: id, Status: Paused, Revision: 2}, {ID: id, Status: Active, Revision: 1},
	} {
		k.Changed(s)
	}
	require.Equal(t, map[uuid.UUID]Subscription{id: {ID: id, Status: Paused, Revision: 2}}, k.take())
	// A bucket that was lost has no revisions.
	k.Changed(Subscription{ID: id})
	require.Len(t, k.take(), 1)
	require.Empty(t, k.take())
}

// keeping is a keeper on a real Redis, of which no shard has begun.
func keeping(t *testing.T, h *heard) (k *Keeper, begin func()) {
	t.Helper()
	opt, err := redis.ParseURL(testenv.Redis(t))
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	queue := redisstore.New(rdb, redisstore.Config{Prefix: "wh"})
	k = NewKeeper(shelf{}, queue, &Fanout{Subscriptions: h}, slog.New(slog.DiscardHandler))
	return k, func() {
		all := make([]int, operation.Shards)
		for i := range all {
			all[i] = i
		}
		require.NoError(t, queue.Begin(t.Context(), all))
	}
}

// TestKeeper_TriesAgain what could not be done: nobody tells it a second time.
func TestKeeper_TriesAgain(t *testing.T) {
	t.Parallel()
	k, begin := keeping(t, &heard{})
	failed := make(chan struct{}, 1)
	k.log = slog.New(signal{failed})
	stop := running(t, k)
	s := Subscription{ID: uuid.New(), Status: Paused}
	k.Changed(s)
	<-failed
	begin()
	require.Eventually(t, func() bool {
		lane, err := k.queue.Lane(t.Context(), s.ID)
		return err == nil && lane.Paused
	}, 30*time.Second, 5*time.Millisecond)
	stop()
}

// signal is a log that says that there was something.
type signal struct{ lines chan struct{} }

func (signal) Enabled(context.Context, slog.Level) bool { return true }
func (l signal) Handle(context.Context, slog.Record) error {
	select {
	case l.lines <- struct{}{}:
	default:
	}
	return nil
}
func (l signal) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l signal) WithGroup(string) slog.Handler      { return l }

// TestKeeper_LanesByStatus: what is stopped is held, and what is not is looked at once more,
// what was deleted so that it drains.
func TestKeeper_LanesByStatus(t *testing.T) {
	t.Parallel()
	k, begin := keeping(t, &heard{})
	s := Subscription{ID: uuid.New(), Status: Active}
	require.ErrorIs(t, k.keep(t.Context(), s), redisstore.ErrStale)
	begin()
	looked := 0
	k.fanout.Look = func(lane uuid.UUID) {
		require.Equal(t, s.ID, lane)
		looked++
	}
	for _, c := range []struct {
		status Status
		held   bool
	}{{Paused, true}, {Active, false}, {Stale, true}, {Deleted, false}} {
		s.Status, looked = c.status, 0
		require.NoError(t, k.keep(t.Context(), s))
		lane, err := k.queue.Lane(t.Context(), s.ID)
		if c.held {
			require.NoError(t, err)
		}
		require.Equal(t, c.held, lane.Paused, c.status)
		require.Equal(t, !c.held, looked == 1, c.status)
	}
}

// TestKeeper_SaysAgainWhatCouldNotBeSaid: that a webhook was given up must not be lost.
func TestKeeper_SaysAgainWhatCouldNotBeSaid(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	h := &heard{err: away}
	k, begin := keeping(t, h)
	begin()
	s := Subscription{ID: uuid.New(), Status: Stale, StaledAt: time.Now()}
	require.ErrorIs(t, k.keep(t.Context(), s), away)
	h.err = nil
	require.NoError(t, k.keep(t.Context(), s))
}

// TestKeeper_LetsGoOnlyOfWhatWasAskedBefore: what an endpoint asks for after a change stands.
func TestKeeper_LetsGoOnlyOfWhatWasAskedBefore(t *testing.T) {
	t.Parallel()
	k, begin := keeping(t, &heard{})
	begin()
	now := time.Now()
	k.now = func() time.Time { return now }
	for age, blocked := range map[time.Duration]bool{0: false, freshFor - time.Second: false, freshFor: true} {
		s := Subscription{ID: uuid.New(), Status: Active, ChangedAt: now.Add(-time.Hour), ActivatedAt: now.Add(-age)}
		block(t, k.queue, s.ID)
		require.NoError(t, k.keep(t.Context(), s))
		lane, err := k.queue.Lane(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, blocked, !lane.Blocked.IsZero(), age)
	}
}

// block has an endpoint ask to be left alone.
func block(t *testing.T, queue *redisstore.Store, id uuid.UUID) {
	t.Helper()
	limits := redisstore.Limits{InFlight: 1, Call: time.Second, Life: time.Hour}
	a, err := Reference{Message: uuid.Must(uuid.NewV7()), Event: EventFailed}.delivery(Subscription{ID: id, PartnerID: uuid.New()}, "")
	require.NoError(t, err)
	_, err = queue.Accept(t.Context(), a, limits)
	require.NoError(t, err)
	out, err := queue.Next(t.Context(), id, limits, []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
	require.NoError(t, err)
	require.Len(t, out.Leases, 1)
	_, err = queue.Record(t.Context(), outcome(out.Leases[0], time.Now(), time.Now(), verdict{
		Decision: operation.Decision{Verdict: operation.Again, Delay: time.Second, Block: time.Hour},
		failure:  &operation.Failure{Type: operation.ErrorTSP, StatusCode: 503},
	}))
	require.NoError(t, err)
	lane, err := queue.Lane(t.Context(), id)
	require.NoError(t, err)
	require.False(t, lane.Blocked.IsZero())
}
