package webhook

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
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
