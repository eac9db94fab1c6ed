package webhook

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"writeback/internal/testenv"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

type shelf []Subscription

func (s shelf) All() []Subscription           { return s }
func (s shelf) Sweep(_ context.Context) error { return nil }

// TestKeeper_RepairsAShareInTurn has many subscriptions: each repair takes a bounded
// part of them, what was changed lately always, and the others all have their turn.
func TestKeeper_RepairsAShareInTurn(t *testing.T) {
	t.Parallel()
	const n = 3*keepShare + 10
	var all shelf
	for range n {
		all = append(all, Subscription{ID: uuid.New(), UpdatedAt: time.Now().Add(-time.Hour)})
	}
	all[0].UpdatedAt = time.Now()
	k := NewKeeper(all, nil, &Fanout{}, slog.New(slog.DiscardHandler))
	for range 2 {
		turns := map[uuid.UUID]int{}
		for range 4 {
			got := k.toRepair()
			require.LessOrEqual(t, len(got), keepShare+1)
			for _, s := range got {
				turns[s.ID]++
			}
		}
		require.Len(t, turns, n)
		for id, times := range turns {
			if id == all[0].ID {
				require.Equal(t, 4, times)
				continue
			}
			require.Equal(t, 1, times)
		}
	}
}

// heard counts who asks for subscriptions to tell, and knows of none.
type heard struct {
	asked int
	// err is what it answers.
	err error
}

func (h *heard) Current(context.Context) error { h.asked++; return h.err }
func (h *heard) Matching(uuid.UUID, string) []Subscription {
	return nil
}

// A delivery that has ended is forgotten after two hours: a worker that starts later must not
// say again what was given up long ago.
func TestKeeper_SaysItOnlyForAWhile(t *testing.T) {
	t.Parallel()
	opt, err := redis.ParseURL(testenv.Redis(t))
	require.NoError(t, err)
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	queue, now := redisstore.New(rdb, redisstore.Config{Prefix: "wh"}), time.Now()
	shards := make([]int, operation.Shards)
	for i := range shards {
		shards[i] = i
	}
	require.NoError(t, queue.Begin(t.Context(), shards))
	for status, ages := range map[Status]map[time.Duration]bool{
		Stale:  {0: true, time.Hour - time.Second: true, time.Hour: false},
		Paused: {0: false},
	} {
		for age, told := range ages {
			s, h := Subscription{ID: uuid.New(), Status: status, StaledAt: now.Add(-age)}, &heard{}
			k := NewKeeper(shelf{}, queue, &Fanout{Subscriptions: h}, slog.New(slog.DiscardHandler))
			k.now = func() time.Time { return now }
			require.NoError(t, k.keep(t.Context(), s))
			require.Equal(t, told, h.asked == 1, "%s, %s ago", status, age)
			lane, err := queue.Lane(t.Context(), s.ID)
			require.NoError(t, err)
			require.True(t, lane.Paused)
		}
	}
}
