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
	require.Zero(t, w.outboxOnce(t.Context()), "the loop must not go on at once")
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
	require.Equal(t, 10, w.outboxOnce(t.Context()))
	require.ElementsMatch(t, ids, pub.tried)
}
