package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/pkg/operation"
)

// notes is a log that may be read while it is written.
type notes struct {
	mu   sync.Mutex
	text []byte
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, b...)
	return len(b), nil
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return string(n.text)
}

// kept is a base that looks after its streams, quickly.
func kept(t *testing.T, out io.Writer) *Base {
	t.Helper()
	cfg := workerSettings(t)
	b := openBase(t, cfg, out)
	_, err := OpenWebhooks(t.Context(), b, cfg.Webhooks, 1)
	require.NoError(t, err)
	require.NoError(t, b.startShards(t.Context()))
	b.keeper.every = 20 * time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.keeper.run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })
	require.Eventually(t, func() bool {
		known, err := b.Store.NotedStreams(t.Context())
		return err == nil && len(known) == 2
	}, 20*time.Second, 10*time.Millisecond, "the first look is over")
	return b
}

func (b *Base) whole(t *testing.T) bool {
	t.Helper()
	there, err := natsq.There(t.Context(), b.JetStream)
	return err == nil && len(there) == 10
}

func TestStreams_AreMadeAnewWhileProgramsRun(t *testing.T) {
	t.Parallel()
	for _, name := range []string{natsq.StreamOperations, natsq.StreamEvents, natsq.StreamDead, natsq.StreamDeliveries} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log notes
			b := kept(t, &log)
			require.True(t, b.whole(t))
			require.NoError(t, b.JetStream.DeleteStream(t.Context(), name))
			require.Eventually(t, func() bool { return b.whole(t) && b.keeper.check(t.Context()) == nil }, 20*time.Second, 10*time.Millisecond)
			require.Contains(t, log.String(), "are gone; they are made anew")
			require.Contains(t, log.String(), name)
		})
	}
}

func TestStreams_ReadinessSaysWhatIsGone(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t)
	b := openBase(t, cfg, io.Discard)
	require.NoError(t, b.startShards(t.Context()))
	require.NoError(t, b.keeper.look(t.Context()))
	require.NoError(t, b.JetStream.DeleteStream(t.Context(), natsq.StreamEvents))
	err := b.keeper.look(t.Context())
	b.keeper.say(t.Context(), err)
	require.ErrorContains(t, b.Readiness().Tolerated["streams"](t.Context()), natsq.StreamEvents+": deleted")
	require.NoError(t, b.keeper.look(t.Context()), "and the second look makes it")
}

// Redis that takes no writes, or hangs, is no stream that is gone.
func TestStreams_AreNotBlamedForRedis(t *testing.T) {
	t.Parallel()
	b := openBase(t, workerSettings(t), io.Discard)
	require.NoError(t, b.startShards(t.Context()))
	require.NoError(t, b.keeper.look(t.Context()))
	require.NoError(t, b.Redis.ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
	require.NoError(t, b.keeper.look(t.Context()))
	require.NoError(t, b.JetStream.DeleteStream(t.Context(), natsq.StreamEvents))
	require.ErrorContains(t, b.keeper.look(t.Context()), natsq.StreamEvents)
}

// What happened while a consumer was gone reaches the one that takes its place.
func TestStreams_AConsumerMadeAnewMissesNothing(t *testing.T) {
	t.Parallel()
	b := kept(t, io.Discard)
	consumers := map[string]string{
		natsq.ConsumerQuiet: natsq.StreamOperations, natsq.ConsumerCreated: natsq.StreamOperations, natsq.ConsumerEnded: natsq.StreamEvents,
	}
	for name, stream := range consumers {
		require.NoError(t, b.JetStream.DeleteConsumer(t.Context(), stream, name))
	}
	op := operation.Operation{
		Accepted: operation.Accepted{Version: operation.Version, ID: uuid.Must(uuid.NewV7())}, Status: operation.Failed,
	}
	require.NoError(t, b.publisher.Accepted(t.Context(), operation.Message{Accepted: op.Accepted}, true))
	require.NoError(t, b.publisher.Event(t.Context(), operation.Event{Version: operation.Version, Kind: operation.EventFailed, Operation: op}))
	require.Eventually(t, func() bool { return b.whole(t) }, 20*time.Second, 10*time.Millisecond)
	for name, stream := range consumers {
		c, err := b.JetStream.Consumer(t.Context(), stream, name)
		require.NoError(t, err)
		msg, err := c.Next(jetstream.FetchMaxWait(10 * time.Second))
		require.NoError(t, err, name)
		require.Contains(t, string(msg.Data()), op.ID.String())
	}
}

// One that has its work before it when it is deleted, say since it stands still, has it
// before it afterwards.
func TestStreams_AConsumerMadeAnewBeginsWhereTheLastOneWas(t *testing.T) {
	t.Parallel()
	cfg := workerSettings(t)
	b := openBase(t, cfg, io.Discard)
	tell := func() string {
		op := operation.Operation{Accepted: operation.Accepted{Version: operation.Version, ID: uuid.Must(uuid.NewV7())}}
		e := operation.Event{Version: operation.Version, Kind: operation.EventFailed, Operation: op}
		require.NoError(t, b.publisher.Event(t.Context(), e))
		return op.ID.String()
	}
	tell() // of before there was a consumer
	_, err := OpenWebhooks(t.Context(), b, cfg.Webhooks, 1)
	require.NoError(t, err)
	require.NoError(t, b.startShards(t.Context()))
	anew := func() {
		require.NoError(t, b.keeper.look(t.Context()))
		require.NoError(t, b.JetStream.DeleteConsumer(t.Context(), natsq.StreamEvents, natsq.ConsumerEnded))
		require.Error(t, b.keeper.look(t.Context()))
		require.NoError(t, b.keeper.look(t.Context()))
	}
	next := func() jetstream.Msg {
		c, err := b.JetStream.Consumer(t.Context(), natsq.StreamEvents, natsq.ConsumerEnded)
		require.NoError(t, err)
		msg, err := c.Next(jetstream.FetchMaxWait(10 * time.Second))
		require.NoError(t, err)
		return msg
	}
	anew()
	ids := []string{tell(), tell(), tell()}
	first := next()
	require.Contains(t, string(first.Data()), ids[0])
	require.NoError(t, first.DoubleAck(t.Context()))
	anew()
	for _, id := range ids[1:] {
		require.Contains(t, string(next().Data()), id)
	}
}

// Where Redis has lost its data as well, an empty stream would be taken for all there ever
// was: what had ended would go out again.
func TestStreams_AreNotMadeAnewWhereNothingCanFillThem(t *testing.T) {
	t.Parallel()
	for _, name := range []string{natsq.StreamOperations, natsq.StreamEvents} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openBase(t, workerSettings(t), io.Discard)
			require.NoError(t, b.startShards(t.Context()))
			require.NoError(t, b.keeper.look(t.Context()))
			require.NoError(t, b.Redis.FlushDB(t.Context()).Err())
			require.NoError(t, b.JetStream.DeleteStream(t.Context(), name))
			for range 3 {
				require.Error(t, b.keeper.look(t.Context()))
			}
			require.ErrorContains(t, b.keeper.look(t.Context()), "restore the stream from its backup")
			_, err := b.JetStream.Stream(t.Context(), name)
			require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		})
	}
}

// A program that starts makes no stream beside another that has something, either, unless
// Redis can fill it: from the accepts alone, all that had ended would go out again.
func TestOpen_MakesHalfOfTheStreamsOnlyWhereRedisCanFillThem(t *testing.T) {
	t.Parallel()
	for _, name := range []string{natsq.StreamOperations, natsq.StreamEvents} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := workerSettings(t)
			b := openBase(t, cfg, io.Discard)
			require.NoError(t, b.startShards(t.Context()))
			published(t, b)
			op := operation.Operation{Accepted: operation.Accepted{Version: operation.Version, ID: uuid.Must(uuid.NewV7())}}
			require.NoError(t, b.publisher.Event(t.Context(), operation.Event{Version: operation.Version, Operation: op}))
			require.NoError(t, b.keeper.look(t.Context()))
			require.NoError(t, b.JetStream.DeleteStream(t.Context(), name))
			openBase(t, cfg, io.Discard)
			there, err := natsq.There(t.Context(), b.JetStream)
			require.NoError(t, err)
			require.Contains(t, there, name)

			require.NoError(t, b.JetStream.DeleteStream(t.Context(), name))
			require.NoError(t, b.Redis.FlushDB(t.Context()).Err())
			ctx, stop := context.WithCancelCause(t.Context())
			_, err = Open(ctx, Settings{
				Name: "test", Common: cfg.Common, Streams: cfg.Streams, Providers: cfg.Providers, Log: b.Log,
				Waiting: func(what string, why error) {
					if why != nil && !errors.Is(why, errNoAnswer) {
						stop(fmt.Errorf("%s: %w", what, why))
					}
				},
			})
			require.Error(t, err)
			require.ErrorContains(t, context.Cause(ctx), "streams: ")
			require.ErrorContains(t, context.Cause(ctx), "restore the stream from its backup")
			there, err = natsq.There(t.Context(), b.JetStream)
			require.NoError(t, err)
			require.NotContains(t, there, name)
		})
	}
}

// Redis that lost its last moments has the rest: with a stream lost as well, its shards
// open again by themselves.
func TestStreams_AreMadeAnewBesideARedisThatWentBack(t *testing.T) {
	t.Parallel()
	for name, streams := range map[string][]string{
		"one": {natsq.StreamEvents}, "both": {natsq.StreamOperations, natsq.StreamEvents},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openBase(t, workerSettings(t), io.Discard)
			require.NoError(t, b.startShards(t.Context()))
			published(t, b)
			_, err := b.Store.Poll(t.Context(), 1)
			require.NoError(t, err)
			require.NoError(t, b.keeper.look(t.Context()))
			for _, name := range streams {
				require.NoError(t, b.JetStream.DeleteStream(t.Context(), name))
			}
			fillings, err := b.Store.Fillings(t.Context())
			require.NoError(t, err)
			for _, f := range fillings {
				require.NoError(t, b.Store.CloseFilling(t.Context(), f), "as a poll does that finds it gone back")
			}
			require.Error(t, b.startShards(t.Context()), "nothing is rebuilt from what is not there")
			require.Error(t, b.keeper.look(t.Context()))
			_ = b.keeper.look(t.Context())
			require.NoError(t, b.startShards(t.Context()))
			missing, err := b.Store.Missing(t.Context())
			require.NoError(t, err)
			require.Empty(t, missing)
			closed, err := b.Redis.Get(t.Context(), "wb:{00}:not_before").Int64()
			require.NoError(t, err)
			require.Positive(t, closed, "calls of before are given time to end")
		})
	}
}
