package natsq_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/natsq"
	"writeback/pkg/operation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within bounds every wait for something that must happen; it is generous, so
// that a slow machine is no failure.
const (
	within = 30 * time.Second
	every  = 10 * time.Millisecond
)

var quiet = slog.New(slog.DiscardHandler)

// small keeps the streams within what a test's server may store.
var small = natsq.Config{OperationsMaxBytes: 64 << 20, EventsMaxBytes: 64 << 20}

// client is one program's connection to a server.
type client struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	pub *natsq.Publisher
}

func connect(t *testing.T, url string) client {
	t.Helper()
	nc, err := natsq.Connect(url, "test", quiet)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return client{nc, js, natsq.NewPublisher(nc, js)}
}

// ready is a connection to a server that has the streams.
func ready(t *testing.T, url string) client {
	t.Helper()
	c := connect(t, url)
	require.NoError(t, natsq.Ensure(t.Context(), c.js, small))
	return c
}

func (c client) messages(t *testing.T, stream string) uint64 {
	t.Helper()
	s, err := c.js.Stream(t.Context(), stream)
	require.NoError(t, err)
	return s.CachedInfo().State.Msgs
}

// consumer gives the state of the one that wakes workers.
func (c client) consumer(t *testing.T) *jetstream.ConsumerInfo {
	t.Helper()
	consumer, err := c.js.Consumer(t.Context(), natsq.StreamOperations, natsq.ConsumerQuiet)
	require.NoError(t, err)
	return consumer.CachedInfo()
}

// settled waits until every quiet message is acked or terminated.
func (c client) settled(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		info := c.consumer(t)
		return info.NumPending == 0 && info.NumAckPending == 0
	}, within, every)
}

// message is a complete accepted operation; n tells it from the others.
func message(n int) operation.Message {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	return operation.Message{
		Accepted: operation.Accepted{
			Version: operation.Version, ID: uuid.UUID{6: 0x70, 8: 0x80, 14: byte(n >> 8), 15: byte(n)},
			PartnerID:    uuid.MustParse("00000000-0000-7000-8000-000000000002"),
			ConnectionID: uuid.MustParse("00000000-0000-7000-8000-0000000000c1"),
			ResourceID:   uuid.MustParse("00000000-0000-7000-8000-0000000000a1"),
			Provider:     "samsara", Resource: operation.ResourceUser, SourceID: "s-1", Type: operation.Update,
			Changes: operation.Changes{operation.FieldNotes: operation.Text("n"), operation.FieldIsActive: operation.Flag(true)},
		},
		Place: operation.Place{Seq: at.UnixMicro() + int64(n), Deadline: at.Add(24 * time.Hour)},
	}
}

func event(kind operation.EventKind, n int) operation.Event {
	m := message(n)
	return operation.Event{
		Version: operation.Version, ID: operation.EventID(m.ID, kind), Kind: kind,
		Operation: operation.Operation{
			Accepted: m.Accepted, Place: m.Place, UpdatedAt: m.CreatedAt().Add(time.Second), Status: operation.Pending,
			Attempts: []operation.Attempt{{ID: m.ID, OperationID: m.ID, Status: operation.AttemptFailed, ErrorType: operation.ErrorTSP}},
		},
	}
}

// requireTold requires what a tail tells from the beginning of the streams, of the past
// and while it follows; it gives the latter.
func (c client) requireTold(t *testing.T, want []string) *said {
	t.Helper()
	tail := natsq.NewTail(c.js)
	now, err := tail.Now(t.Context())
	require.NoError(t, err)
	past, live := &said{}, &said{}
	require.NoError(t, tail.Past(t.Context(), natsq.Moment{}, now, everything, func(told natsq.Told) error { past.add(told); return nil }))
	require.Equal(t, want, past.words())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tail.Follow(ctx, natsq.Moment{}, everything, live.add) }()
	require.Eventually(t, func() bool { return len(live.words()) == len(want) }, within, every)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Equal(t, want, live.words())
	return live
}

// requireTaken requires that a consumer has taken everything.
func (c client) requireTaken(t *testing.T, stream, name string) {
	t.Helper()
	consumer, err := c.js.Consumer(t.Context(), stream, name)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		info, err := consumer.Info(t.Context())
		return err == nil && info.NumAckPending == 0 && info.NumPending == 0
	}, within, every)
}
