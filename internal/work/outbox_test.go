package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// streams is a publisher that answers as it is told.
type streams struct {
	mu     sync.Mutex
	tried  []uuid.UUID
	answer func(n int, m operation.Message) error
}

func (s *streams) Connected() bool { return true }

func (s *streams) Accepted(_ context.Context, m operation.Message, _ bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = append(s.tried, m.ID)
	return s.answer(len(s.tried), m)
}

func (s *streams) Event(context.Context, operation.Event) error {
	return errors.New("there is none yet")
}

// overdue is a worker with accepted operations whose messages are overdue.
func overdue(t *testing.T, n int) (*Worker, *streams, []uuid.UUID) {
	t.Helper()
	opt, err := redis.ParseURL(testenv.Redis(t))
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	store := redisstore.New(rdb, redisstore.Config{})
	conn := uuid.Must(uuid.NewV7())
	shards := make([]int, operation.Shards) // a claim asks all of them
	for i := range shards {
		shards[i] = i
	}
	require.NoError(t, store.Begin(t.Context(), shards))
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7())
		_, err := store.Accept(t.Context(), operation.Accepted{
			Version: operation.Version, ID: ids[i], ConnectionID: conn, Resource: operation.ResourceUser,
			ResourceID: uuid.New(), Type: operation.Update,
		}, redisstore.Limits{InFlight: 1, Call: time.Second, Life: time.Hour})
		require.NoError(t, err)
		key := fmt.Sprintf("wb:{%02d}:outbox", operation.ShardOf(conn))
		require.NoError(t, rdb.ZAdd(t.Context(), key, redis.Z{Score: 0, Member: ids[i].String()}).Err())
	}
	log := slog.New(slog.DiscardHandler)
	pub := &streams{}
	w := newWorker(Parts{Store: store, Publisher: pub, Log: log}, Config{}, NewAcker(store, log), nil, nil, newMetrics("test"))
	return w, pub, ids
}

func TestOutbox_StopsAtThePublishThatRanOutOfTime(t *testing.T) {
	t.Parallel()
	const n = 32
	w, pub, ids := overdue(t, n)
	pub.answer = func(tried int, _ operation.Message) error {
		if tried > 3 {
			return fmt.Errorf("publish: %w", context.DeadlineExceeded)
		}
		return nil
	}
	require.Equal(t, outboxEvery, w.drainOutbox(t.Context(), outboxEvery), "the loop must not go on at once")
	tried := len(pub.tried)
	require.GreaterOrEqual(t, tried, 4)
	require.LessOrEqual(t, tried, 4+outboxAtOnce, "only those that were under way")
	require.Subset(t, ids, pub.tried)
	require.Zero(t, w.outboxOnce(t.Context()), "the others are held")
	require.Len(t, pub.tried, tried)
	require.Equal(t, tried, w.acks.queued())
}

func TestOutbox_AMessageThatIsRefusedStopsNoOther(t *testing.T) {
	t.Parallel()
	w, pub, ids := overdue(t, 10)
	pub.answer = func(_ int, m operation.Message) error {
		if m.ID == ids[4] {
			return errors.New("too large")
		}
		return nil
	}
	require.Equal(t, round{published: 9, refused: 1}, w.outboxOnce(t.Context()))
	require.ElementsMatch(t, ids, pub.tried)
}

// TestOutbox_WaitsForAStreamThatTakesNothing: a full stream refuses each entry at once, so
// that only a pause keeps the outbox from asking as fast as it can.
func TestOutbox_WaitsForAStreamThatTakesNothing(t *testing.T) {
	t.Parallel()
	w, pub, _ := overdue(t, 4*outboxMost)
	full := errors.New("maximum bytes exceeded")
	pub.answer = func(int, operation.Message) error { return full }
	wait := outboxEvery
	for _, want := range []time.Duration{time.Second, 2 * time.Second} {
		wait = w.drainOutbox(t.Context(), wait)
		require.Equal(t, want, wait)
	}
	require.Equal(t, outboxLongest, w.drainOutbox(t.Context(), 20*time.Second))
	require.Len(t, pub.tried, 3*outboxMost, "each look tries some only")
	full = nil
	require.Equal(t, outboxEvery, w.drainOutbox(t.Context(), outboxLongest), "what is taken again is published at once")
	require.Greater(t, len(pub.tried), 3*outboxMost)
}

// TestOutbox_CountsOnlyWhatWasPublished: most of it is refused, so the outbox waits, but not longer.
func TestOutbox_CountsOnlyWhatWasPublished(t *testing.T) {
	t.Parallel()
	w, pub, ids := overdue(t, 4)
	pub.answer = func(_ int, m operation.Message) error {
		if m.ID != ids[0] {
			return errors.New("maximum bytes exceeded")
		}
		return nil
	}
	require.Equal(t, round{published: 1, refused: 3}, w.outboxOnce(t.Context()))
}

// TestOutbox_AClaimThatIsOldIsLeft: Redis may have lost by then what it gave.
func TestOutbox_AClaimThatIsOldIsLeft(t *testing.T) {
	t.Parallel()
	w, pub, _ := overdue(t, outboxMost)
	pub.answer = func(tried int, _ operation.Message) error {
		if tried == 1 { // and all the others wait for it
			time.Sleep(redisstore.TellWithin)
		}
		return nil
	}
	r := w.outboxOnce(t.Context())
	require.Equal(t, outboxAtOnce, r.published)
	require.Positive(t, r.late)
	require.Len(t, pub.tried, outboxAtOnce)
}

// TestPublish_GetsOldOnTheWay: so may a record between its messages.
func TestPublish_GetsOldOnTheWay(t *testing.T) {
	t.Parallel()
	w, pub, ids := overdue(t, 1)
	pub.answer = func(int, operation.Message) error {
		time.Sleep(redisstore.TellWithin)
		return nil
	}
	rec := redisstore.Record{Operation: operation.Operation{Accepted: operation.Accepted{ID: ids[0]}, Status: operation.Failed}, Answer: redisstore.Answer{Asked: time.Now()}}
	require.ErrorIs(t, w.recorder.publish(t.Context(), rec, false), errOld)
	require.Equal(t, ids, pub.tried)
	require.ErrorIs(t, w.recorder.publish(t.Context(), rec, false), errOld)
	require.Equal(t, ids, pub.tried)
	require.Equal(t, 1, w.acks.queued(), "what the stream has is noted")
}
