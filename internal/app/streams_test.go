package app

import (
	"context"
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
