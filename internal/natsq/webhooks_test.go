package natsq_test

import (
	"context"
	"errors"
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

// TestDeliveries_AreRemembered publishes a delivery and its end, and reads them back
// as a rebuild does.
func TestDeliveries_AreRemembered(t *testing.T) {
	t.Parallel()
	c := readyForWebhooks(t)
	pub, history := natsq.NewDeliveries(c.pub), natsq.NewDeliveryHistory(c.js)
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
