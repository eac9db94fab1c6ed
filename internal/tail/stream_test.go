package tail

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"writeback/internal/metrics"
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

// TestStream_ThePastEndsWithTheHub: a process that stops does not wait until a reader has taken in
// all that it missed.
func TestStream_ThePastEndsWithTheHub(t *testing.T) {
	t.Parallel()
	h, f, stop := start(t, Config{})
	s := open(t, h, partner)
	f.past = []natsq.Told{told(partner, 3), told(partner, 4), told(partner, 5)}
	took := 0
	f.reading = func(ctx context.Context) {
		if took == 1 {
			stop()
			select {
			case <-ctx.Done():
			case <-time.After(soon):
			}
		}
	}
	require.ErrorIs(t, s.Since(t.Context(), "2-0", func(Event) error { took++; return nil }), ErrClosed)
	require.Equal(t, 1, took)
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

// TestHub_SaysWhomItDrops: an operator hears of readers who have to begin again, and not of those
// who leave. Not parallel: OpenTelemetry has one provider of meters per process.
func TestHub_SaysWhomItDrops(t *testing.T) {
	reader, meters := sdkmetric.NewManualReader(), otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	t.Cleanup(func() { otel.SetMeterProvider(meters) })
	for name, row := range map[string]struct {
		lose func(f *fake)
		want map[string]int64
		says []string
	}{
		"too slow": {
			func(f *fake) { f.feed <- told(partner, 6); f.feed <- told(partner, 7) },
			map[string]int64{metrics.TailSlow: 2, metrics.TailLost: 0}, []string{"level=INFO", "too slow", partner.String()},
		},
		"gone back": {
			func(f *fake) { f.set(func() { f.now.Operations = 1 }); f.fails <- errors.New("away") },
			map[string]int64{metrics.TailSlow: 0, metrics.TailLost: 3}, []string{"level=WARN", "gone back", "tails=3"},
		},
		"forgotten": {
			func(f *fake) { f.fails <- natsq.ErrForgotten },
			map[string]int64{metrics.TailSlow: 0, metrics.TailLost: 3}, []string{"level=WARN", "gone back", "tails=3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h, f, cancel, wait := run(t, Config{Buffer: 1}, slog.New(slog.NewTextHandler(&log, nil)))
			before := dropped(t, reader)
			open(t, h, partner).Close()
			lost := []*Stream{open(t, h, partner), open(t, h, partner)}
			open(t, h, other)
			row.lose(f)
			for _, s := range lost {
				<-s.gone
			}
			cancel()
			wait()
			for reason, n := range dropped(t, reader) {
				require.Equal(t, row.want[reason], n-before[reason], reason)
			}
			for _, say := range row.says {
				require.Contains(t, log.String(), say)
			}
		})
	}
}

// dropped gives how many streams were dropped, by the reason.
func dropped(t *testing.T, reader sdkmetric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	by := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if data, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == string(metrics.TailsDropped) {
				for _, p := range data.DataPoints {
					reason, _ := p.Attributes.Value("reason")
					by[reason.AsString()] = p.Value
				}
			}
		}
	}
	require.Len(t, by, 2)
	return by
}
