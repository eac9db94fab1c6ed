package natsq_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

func readyForWebhooks(t *testing.T) client {
	t.Helper()
	c := ready(t, testenv.NATS(t))
	for range 2 { // several processes do it
		require.NoError(t, natsq.EnsureWebhooks(t.Context(), c.js, natsq.WebhookConfig{MaxBytes: 64 << 20}))
	}
	return c
}

func delivery() operation.Operation {
	return operation.Operation{
		Accepted: operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: uuid.New(), ConnectionID: uuid.New(), Type: operation.Update,
		},
		Place: operation.Place{Seq: time.Now().UnixMicro(), Deadline: time.Now().Add(time.Hour)}, Status: operation.Pending,
	}
}

// TestFeed_TakesUntilItIsTaken has a function that fails at first: nothing is acked
// until it has worked, and what cannot be read stops nothing.
func TestFeed_TakesUntilItIsTaken(t *testing.T) {
	t.Parallel()
	c := readyForWebhooks(t)
	_, err := c.js.Publish(t.Context(), natsq.SubjectSucceeded, []byte("{"))
	require.NoError(t, err)
	op := delivery()
	require.NoError(t, c.pub.Accepted(t.Context(), operation.Message{Accepted: op.Accepted, Place: op.Place}, false))
	for _, kind := range []operation.EventKind{operation.EventAttempted, operation.EventSucceeded, operation.EventFailed} {
		require.NoError(t, c.pub.Event(t.Context(), operation.Event{Version: operation.Version, ID: uuid.New(), Kind: kind, Operation: op}))
	}
	var created, ended, failed atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- natsq.NewFeed(c.js, quiet).Run(ctx, func(_ context.Context, m operation.Message) error {
			if failed.Add(1) == 1 {
				return errors.New("not now")
			}
			if m.ID != op.ID {
				t.Errorf("another operation: %s", m.ID)
			}
			created.Add(1)
			return nil
		}, func(_ context.Context, e operation.Event) error {
			if e.Kind == operation.EventAttempted {
				t.Error("an attempt is no end")
			}
			ended.Add(1)
			return nil
		})
	}()
	require.Eventually(t, func() bool { return created.Load() == 1 && ended.Load() == 2 }, within, every)
	for stream, name := range map[string]string{natsq.StreamOperations: natsq.ConsumerCreated, natsq.StreamEvents: natsq.ConsumerEnded} {
		c.requireTaken(t, stream, name)
	}
	cancel()
	require.NoError(t, <-done)
}

// TestFeed_PartnersHaveTurns has a partner with thousands of events, and one behind them of
// another partner. It is counted how many are begun before that one, once it is read; no
// clock is involved.
func TestFeed_PartnersHaveTurns(t *testing.T) {
	t.Parallel()
	c := readyForWebhooks(t)
	const hot = 3000
	publish := func(n int, partner uuid.UUID) {
		all := make([]operation.Message, n)
		for i := range all {
			op := delivery()
			op.PartnerID = partner
			all[i] = operation.Message{Accepted: op.Accepted, Place: op.Place}
		}
		for some := range slices.Chunk(all, 100) {
			_, err := c.pub.AcceptedMany(t.Context(), some)
			require.NoError(t, err)
		}
	}
	loud, still := uuid.New(), uuid.New()
	publish(hot, loud)

	// What is begun goes on when the test says so.
	began, step := make(chan uuid.UUID, hot+1), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	feed := natsq.NewFeed(c.js, quiet)
	go func() {
		done <- feed.Run(ctx, func(_ context.Context, m operation.Message) error {
			began <- m.PartnerID
			<-step
			return nil
		}, func(context.Context, operation.Event) error { return nil })
	}()
	require.Eventually(t, func() bool { return natsq.Waiting(feed, loud)+len(began) == hot }, within, every)
	publish(1, still)
	require.Eventually(t, func() bool { return natsq.Waiting(feed, still) == 1 }, within, every, "it is read, however many stand before it")
	for range len(began) {
		<-began
	}
	for before := 0; ; before++ {
		step <- struct{}{}
		if <-began == still {
			break
		}
		require.Zero(t, before, "events of the other partner that are begun before it")
	}
	close(step)
	c.requireTaken(t, natsq.StreamOperations, natsq.ConsumerBatches)
	cancel()
	require.NoError(t, <-done)
}

// TestDeliveries_AreRemembered publishes a delivery and its end, and reads them back
// as a rebuild does.
func TestDeliveries_AreRemembered(t *testing.T) {
	t.Parallel()
	c := readyForWebhooks(t)
	pub, history := natsq.NewDeliveries(c.pub), natsq.NewDeliveryHistory(c.js, slog.New(slog.DiscardHandler))
	require.True(t, pub.Connected())
	op := delivery()
	require.NoError(t, pub.Accepted(t.Context(), operation.Message{Accepted: op.Accepted, Place: op.Place}, true))
	for _, kind := range []operation.EventKind{operation.EventAttempted, operation.EventSucceeded, operation.EventFailed} {
		require.NoError(t, pub.Event(t.Context(), operation.Event{Version: operation.Version, ID: uuid.New(), Kind: kind, Operation: op}))
	}
	require.Zero(t, c.messages(t, natsq.StreamOperations)+c.messages(t, natsq.StreamEvents))
	operations, events, err := history.Ends(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, operations)
	require.EqualValues(t, 2, events, "attempts are not remembered")
	n := 0
	count := func(e []operation.Event) error { n += len(e); return nil }
	require.NoError(t, history.Events(t.Context(), time.Now().Add(-time.Minute), events, count))
	require.Equal(t, 2, n)
	require.NoError(t, history.Events(t.Context(), time.Time{}, events, count))
	require.Equal(t, 2, n, "what ended long ago is not read")
	s, err := c.js.Stream(t.Context(), natsq.StreamDeliveries)
	require.NoError(t, err)
	require.Equal(t, jetstream.DiscardOld, s.CachedInfo().Config.Discard)
}
