package tail

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/pkg/operation"
)

// end is what became of an operation of the partner.
func end(status operation.Status, events uint64) natsq.Told {
	return natsq.Told{At: natsq.Moment{Operations: 5, Events: events}, Ended: &operation.Event{
		Operation: operation.Operation{
			Accepted: operation.Accepted{ID: uuid.New(), PartnerID: partner, ConnectionID: uuid.New()},
			Place:    operation.Place{Seq: 1}, Status: status, UpdatedAt: time.Unix(1, 0),
			Attempts: []operation.Attempt{{ID: uuid.New()}},
		},
	}}
}

// TestStream_TellsEnds: an attempt is none, nor is what was written in its request.
func TestStream_TellsEnds(t *testing.T) {
	t.Parallel()
	h, f, _ := start(t, Config{})
	s := open(t, h, partner)
	inRequest, ended := end(operation.Succeeded, 2), end(operation.Failed, 3)
	inRequest.Ended.Operation.Sync = true
	all := []natsq.Told{end(operation.Pending, 1), inRequest, ended}
	for _, told := range all {
		f.feed <- told
	}
	got, err := s.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, Event{At: "5-3", Operation: ended.Ended.Operation}, got)

	f.past = all
	var past []Event
	require.NoError(t, s.Since(t.Context(), "5-0", func(e Event) error { past = append(past, e); return nil }))
	require.Equal(t, []Event{got}, past)
}

// TestStream_SinceIsBoundedByBothStreams: what is read again are messages of either.
func TestStream_SinceIsBoundedByBothStreams(t *testing.T) {
	t.Parallel()
	h, f, _ := start(t, Config{Back: 4})
	f.set(func() { f.now = natsq.Moment{Operations: 5, Events: 5} })
	s := open(t, h, partner)
	none := func(Event) error { return nil }
	require.NoError(t, s.Since(t.Context(), "3-3", none))
	for _, far := range []string{"5-0", "0-5", "3-2", "2-3"} {
		require.ErrorIs(t, s.Since(t.Context(), far, none), ErrGap, far)
	}
}

// TestStream_ADroppedOneHasNoPlace: who goes on from the present one would miss what it was not
// told.
func TestStream_ADroppedOneHasNoPlace(t *testing.T) {
	t.Parallel()
	h, f, _ := start(t, Config{Buffer: 1})
	slow, quick := open(t, h, partner), open(t, h, partner)
	for n := uint64(6); n <= 7; n++ {
		f.feed <- told(partner, n)
		next(t, quick)
	}
	require.Equal(t, "6-0", next(t, slow))
	place, ok := slow.Idle()
	require.False(t, ok)
	require.Empty(t, place)
	place, ok = quick.Idle()
	require.True(t, ok)
	require.Equal(t, "7-0", place)
}

// TestHub_AFollowingThatEndsTellsNobody: what it still passes on when its last reader has left is
// not for the next one, which does not know yet from where on it is told everything.
func TestHub_AFollowingThatEndsTellsNobody(t *testing.T) {
	t.Parallel()
	f := &fake{feed: make(chan natsq.Told), fails: make(chan error), now: natsq.Moment{Operations: 5}}
	h := New(f, Config{}, slog.New(slog.DiscardHandler))
	s, err := h.Open(partner)
	require.NoError(t, err)
	defer s.Close()
	h.tell(told(partner, 9))
	require.Empty(t, s.events)
	require.Zero(t, h.at)
}

func TestHub_KeepsNothingOfPartnersWhoLeft(t *testing.T) {
	t.Parallel()
	h, _, _ := start(t, Config{})
	a, b := open(t, h, partner), open(t, h, partner)
	a.Close()
	require.Len(t, h.streams, 1)
	b.Close()
	require.Empty(t, h.streams)
}
