package admission

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestRoom_AllOrNothing(t *testing.T) {
	t.Parallel()
	g, s, _ := gate(Config{Outstanding: 10})
	me := uuid.New()
	s.set(4, nil)
	refused(t, g.Room(t.Context(), me, 7))
	require.NoError(t, g.Room(t.Context(), me, 6))
	refused(t, g.Room(t.Context(), me, 1))
}

func TestRoom_BoundsWhatIsOutstanding(t *testing.T) {
	t.Parallel()
	g, s, c := gate(Config{Outstanding: 10})
	me := uuid.New()
	s.set(8, nil)
	require.NoError(t, g.Room(t.Context(), me, 1))
	require.NoError(t, g.Room(t.Context(), me, 1))
	require.Positive(t, refused(t, g.Room(t.Context(), me, 1)).RetryAfter)
	require.Equal(t, 1, s.asked, "what was let in since the sample counts without asking again")
	s.set(9, nil)
	refused(t, g.Room(t.Context(), me, 1))
	c.pass(time.Second)
	require.NoError(t, g.Room(t.Context(), me, 1))
	refused(t, g.Room(t.Context(), me, 1))
	require.Equal(t, 2, s.asked)
}

func TestRoom_FarFromTheBoundItIsSeldomAsked(t *testing.T) {
	t.Parallel()
	g, s, c := gate(Config{Outstanding: 10})
	me := uuid.New()
	s.set(3, nil)
	require.NoError(t, g.Room(t.Context(), me, 1))
	c.pass(9 * time.Second)
	require.NoError(t, g.Room(t.Context(), me, 1))
	require.Equal(t, 1, s.asked)
	c.pass(time.Second)
	s.set(9, nil)
	require.NoError(t, g.Room(t.Context(), me, 1), "half of the bound is let in already")
	require.Equal(t, 2, s.asked)
	refused(t, g.Room(t.Context(), me, 1))
}

// Other processes let in what this one does not see.
func TestRoom_NearTheBoundItIsAskedOften(t *testing.T) {
	t.Parallel()
	g, s, c := gate(Config{Outstanding: 10})
	me := uuid.New()
	s.set(5, nil)
	require.NoError(t, g.Room(t.Context(), me, 1))
	s.set(10, nil)
	c.pass(fresh)
	refused(t, g.Room(t.Context(), me, 1))
}

// A caller who goes takes nothing with it: what is outstanding is known after that.
func TestRoom_CallerWhoGoes(t *testing.T) {
	t.Parallel()
	g, s, _ := gate(Config{Outstanding: 10})
	s.set(10, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	refused(t, g.Room(ctx, uuid.New(), 1))
}

// ofEach answers as its function does.
type ofEach func(partner uuid.UUID) int

func (f ofEach) Outstanding(_ context.Context, partner uuid.UUID) (int, error) {
	return f(partner), nil
}

// What one partner has outstanding is asked for while another's is, and is not taken for it.
func TestRoom_EachPartnerIsAskedForByItself(t *testing.T) {
	t.Parallel()
	me, other := uuid.New(), uuid.New()
	room := make(chan error, 1)
	var g *Gate
	g = New(ofEach(func(partner uuid.UUID) int {
		if partner == other {
			return 10
		}
		go func() { room <- g.Room(context.Background(), other, 1) }()
		select {
		case err := <-room:
			room <- err
		case <-time.After(10 * time.Second):
			t.Error("another partner's question waits for this one's")
		}
		return 0
	}), Config{Outstanding: 10})
	require.NoError(t, g.Room(t.Context(), me, 10))
	refused(t, <-room)
}

func TestRoom_Default(t *testing.T) {
	t.Parallel()
	g, _, _ := gate(Config{})
	require.NoError(t, g.Room(t.Context(), uuid.New(), 200_000))
	refused(t, g.Room(t.Context(), uuid.New(), 200_001))
}

func TestRoom_StoreAway(t *testing.T) {
	t.Parallel()
	g, s, c := gate(Config{Outstanding: 10})
	me := uuid.New()
	s.set(0, errors.New("away"))
	require.NoError(t, g.Room(t.Context(), me, 1), "the store itself refuses what it cannot take")
	require.NoError(t, g.Room(t.Context(), me, 1))
	require.Equal(t, 1, s.asked, "a store that is away is not asked for every write")
	s.set(10, nil)
	c.pass(10 * time.Second)
	refused(t, g.Room(t.Context(), me, 1))
	s.set(0, errors.New("away"))
	c.pass(time.Second)
	refused(t, g.Room(t.Context(), me, 1))
}
