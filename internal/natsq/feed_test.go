package natsq_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
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

// feeding runs a feed of ends until stop, which returns when the feed has ended.
func (c client) feeding(t *testing.T, log *slog.Logger, ended func(context.Context, operation.Event) error) (f *natsq.Feed, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f = natsq.NewFeed(c.js, log)
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, func(context.Context, operation.Message) error { return nil }, ended) }()
	stop = sync.OnceFunc(func() { cancel(); require.NoError(t, <-done) })
	t.Cleanup(stop)
	return f, stop
}

// late is readyForWebhooks, with events that are given out again in an hour if nobody gives them
// back, and a server that takes larger messages than a feed reads ahead.
func late(t *testing.T) client {
	t.Helper()
	c := ready(t, testenv.StartNATS(t, "max_payload: 4MB").URL())
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), c.js, natsq.WebhookConfig{MaxBytes: 64 << 20, AckWait: time.Hour}))
	return c
}

// large is an event that takes all the room there is.
func large(n int) operation.Event {
	e := event(operation.EventFailed, n)
	e.Operation.Changes = operation.Changes{operation.FieldNotes: operation.Text(strings.Repeat("x", 5<<19))}
	return e
}

func (c client) ended(t *testing.T) *jetstream.ConsumerInfo {
	t.Helper()
	consumer, err := c.js.Consumer(t.Context(), natsq.StreamEvents, natsq.ConsumerEnded)
	require.NoError(t, err)
	return consumer.CachedInfo()
}

// TestFeed_GivesItsRoomBack: what is larger than what is read ahead is taken too, one after the
// other, and at the end there is as much room as at the beginning.
func TestFeed_GivesItsRoomBack(t *testing.T) {
	t.Parallel()
	c := late(t)
	const n = 4
	for i := range n {
		require.NoError(t, c.pub.Event(t.Context(), large(i)))
	}
	_, err := c.js.Publish(t.Context(), natsq.SubjectFailed, []byte("odd"))
	require.NoError(t, err)
	taken := make(chan struct{}, 2*n)
	f, stop := c.feeding(t, quiet, func(context.Context, operation.Event) error { taken <- struct{}{}; return nil })
	for range n {
		<-taken
	}
	c.requireTaken(t, natsq.StreamEvents, natsq.ConsumerEnded)
	stop()
	require.Empty(t, taken, "each once")
	require.True(t, natsq.AllFree(f))
}

// TestFeed_GivesBackWhatItStopsIn: the next one need not wait until the server misses the ack, be
// the event under way or waiting for room.
func TestFeed_GivesBackWhatItStopsIn(t *testing.T) {
	t.Parallel()
	c := late(t)
	for i := range 2 {
		require.NoError(t, c.pub.Event(t.Context(), large(i)))
	}
	began, again := make(chan struct{}, 2), make(chan struct{}, 2)
	var left atomic.Bool
	f, stop := c.feeding(t, quiet, func(ctx context.Context, _ operation.Event) error {
		began <- struct{}{}
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond) // it does not stop at once
		left.Store(true)
		return context.Cause(ctx)
	})
	<-began
	require.Eventually(t, func() bool { return c.ended(t).NumAckPending == 2 }, within, every)
	stop()
	require.True(t, left.Load(), "it has ended when what it takes has")
	require.True(t, natsq.AllFree(f))
	c.feeding(t, quiet, func(context.Context, operation.Event) error { again <- struct{}{}; return nil })
	for range 2 {
		<-again
	}
}

// TestFeed_WhatFailsComesAgain after a pause, and is said if nothing else is taken.
func TestFeed_WhatFailsComesAgain(t *testing.T) {
	t.Parallel()
	c := late(t)
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, 1)))
	var log lines
	said := func() bool { return strings.Contains(log.String(), "not now") }
	at := make(chan time.Time, 99)
	c.feeding(t, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context, operation.Event) error {
		if at <- time.Now(); !said() {
			return errors.New("not now")
		}
		return nil
	})
	first := <-at
	require.Greater(t, (<-at).Sub(first), time.Second, "it does not come at once, again and again")
	require.Eventually(t, said, within, every)
	require.Contains(t, log.String(), `level=WARN msg="feeding webhooks" consumer=webhooks-ended error="not now"`)
	c.requireTaken(t, natsq.StreamEvents, natsq.ConsumerEnded)
}

// TestFeed_HoldsWhatItTakes: what takes longer than the server waits for an ack is not given out
// again meanwhile. What nobody acks is: it shows when that time is over.
func TestFeed_HoldsWhatItTakes(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), c.js, natsq.WebhookConfig{MaxBytes: 64 << 20, AckWait: 6 * time.Second}))
	held := event(operation.EventFailed, 1)
	require.NoError(t, c.pub.Event(t.Context(), held))
	began, release, took := make(chan struct{}, 9), make(chan struct{}), make(chan uuid.UUID, 999)
	_, stop := c.feeding(t, quiet, func(_ context.Context, e operation.Event) error {
		if e.Operation.ID == held.Operation.ID {
			began <- struct{}{}
			<-release
		} else {
			took <- e.Operation.ID
		}
		return nil
	})
	<-began
	// The server answers two who ask the same consumer by turns.
	consumer, err := c.js.Consumer(t.Context(), natsq.StreamEvents, natsq.ConsumerEnded)
	require.NoError(t, err)
	lost, err := consumer.Fetch(1, jetstream.FetchMaxWait(within))
	require.NoError(t, err)
	var unacked uuid.UUID
	for n := 2; unacked == uuid.Nil; n++ {
		require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, n)))
		select {
		case msg := <-lost.Messages():
			e, err := natsq.DecodeEvent(msg.Data())
			require.NoError(t, err)
			unacked = e.Operation.ID
		case <-took:
		}
	}
	for <-took != unacked {
	}
	close(release)
	c.requireTaken(t, natsq.StreamEvents, natsq.ConsumerEnded)
	stop()
	require.Empty(t, began, "it was given out again")
}

// TestFeed_SaysWhatNoWebhookIsToldOf: alone, and among others that are taken.
func TestFeed_SaysWhatNoWebhookIsToldOf(t *testing.T) {
	t.Parallel()
	c := readyForWebhooks(t)
	_, err := c.js.Publish(t.Context(), natsq.SubjectFailed, []byte("odd"))
	require.NoError(t, err)
	c.many(t, natsq.SubjectFailedBatch, "events", "odd", event(operation.EventFailed, 1))
	var log lines
	took := make(chan uuid.UUID, 9)
	_, stop := c.feeding(t, slog.New(slog.NewTextHandler(&log, nil)), func(_ context.Context, e operation.Event) error {
		took <- e.Operation.ID
		return nil
	})
	require.Equal(t, message(1).ID, <-took)
	for _, subject := range []string{natsq.SubjectFailed, natsq.SubjectFailedBatch} {
		require.Eventually(t, func() bool {
			return strings.Contains(log.String(), `level=ERROR msg="event not understood; no webhook is told of it" subject=`+subject+" ")
		}, within, every)
	}
	for _, name := range []string{natsq.ConsumerEnded, natsq.ConsumerEndedBatches} {
		c.requireTaken(t, natsq.StreamEvents, name)
	}
	stop()
	require.Empty(t, took)
}

// TestFeed_GoesOnWithAConsumerMadeAnew by itself; meanwhile it says what is wrong, and waits.
func TestFeed_GoesOnWithAConsumerMadeAnew(t *testing.T) {
	t.Parallel()
	c := readyForWebhooks(t)
	var log lines
	took := make(chan uuid.UUID, 9)
	c.feeding(t, slog.New(slog.NewTextHandler(&log, nil)), func(_ context.Context, e operation.Event) error {
		took <- e.Operation.ID
		return nil
	})
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, 1)))
	require.Equal(t, message(1).ID, <-took)
	require.NoError(t, c.js.DeleteConsumer(t.Context(), natsq.StreamEvents, natsq.ConsumerEnded))
	require.Eventually(t, func() bool {
		return strings.Contains(log.String(), `level=WARN msg="feeding webhooks" consumer=webhooks-ended `)
	}, within, every)
	require.NoError(t, natsq.EnsureWebhooks(t.Context(), c.js, natsq.WebhookConfig{MaxBytes: 64 << 20}))
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventFailed, 2)))
	require.Equal(t, message(2).ID, <-took)
}
