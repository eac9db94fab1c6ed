package natsq_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

const (
	traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traceState  = "vendor=1"
)

func TestPublisher_Forms(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	for i, tc := range []struct {
		subject string
		stream  string
		publish func(context.Context, operation.Message) error
		kind    operation.EventKind
	}{
		{
			subject: "operation.accepted.quiet", stream: natsq.StreamOperations,
			publish: func(ctx context.Context, m operation.Message) error { return c.pub.Accepted(ctx, m, true) },
		},
		{
			subject: "operation.accepted.busy", stream: natsq.StreamOperations,
			publish: func(ctx context.Context, m operation.Message) error { return c.pub.Accepted(ctx, m, false) },
		},
		{subject: "operation.attempted", stream: natsq.StreamEvents, kind: operation.EventAttempted},
		{subject: "operation.succeeded", stream: natsq.StreamEvents, kind: operation.EventSucceeded},
		{subject: "operation.failed", stream: natsq.StreamEvents, kind: operation.EventFailed},
	} {
		for _, trace := range []struct {
			name, parent, state string
			want                nats.Header
		}{
			{"no trace", "", "", nil},
			{"a trace", traceParent, "", nats.Header{"traceparent": {traceParent}}},
			{"a trace with state", traceParent, traceState, nats.Header{"traceparent": {traceParent}, "tracestate": {traceState}}},
			{"a state alone says nothing", "", traceState, nil},
		} {
			m, e := message(i), event(tc.kind, i)
			m.TraceParent, m.TraceState = trace.parent, trace.state
			e.Operation.TraceParent, e.Operation.TraceState = trace.parent, trace.state
			if tc.publish != nil {
				require.NoError(t, tc.publish(t.Context(), m))
			} else {
				require.NoError(t, c.pub.Event(t.Context(), e))
			}
			s, err := c.js.Stream(t.Context(), tc.stream)
			require.NoError(t, err)
			raw, err := s.GetMsg(t.Context(), s.CachedInfo().State.LastSeq)
			require.NoError(t, err)
			require.Equal(t, tc.subject, raw.Subject)
			require.Equal(t, trace.want, raw.Header, "%s, %s", tc.subject, trace.name)
			if tc.publish != nil {
				got, err := natsq.DecodeMessage(raw.Data)
				require.NoError(t, err)
				require.Equal(t, m, got)
			} else {
				got, err := natsq.DecodeEvent(raw.Data)
				require.NoError(t, err)
				require.Equal(t, e, got)
			}
		}
	}
}

// TestPublisher_RepeatsAreStored: the flow knows repeats by what is in them; the
// server keeps no ids.
func TestPublisher_RepeatsAreStored(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	for range 3 {
		require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
	}
	require.EqualValues(t, 3, c.messages(t, natsq.StreamOperations))
}

// TestPublisher_AwayFailsAtOnce: with a dead server nothing is sent, nothing is
// kept to be sent later, and nobody waits for the publish deadline.
func TestPublisher_AwayFailsAtOnce(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	c := ready(t, server.URL())
	require.NoError(t, c.pub.Accepted(t.Context(), message(1), true))
	server.Kill()
	require.Eventually(t, func() bool { return !c.pub.Connected() }, within, every)
	require.ErrorIs(t, c.pub.Accepted(t.Context(), message(2), true), natsq.ErrAway)
	require.ErrorIs(t, c.pub.Accepted(t.Context(), message(2), false), natsq.ErrAway)
	require.ErrorIs(t, c.pub.Event(t.Context(), event(operation.EventFailed, 2)), natsq.ErrAway)

	require.NoError(t, server.Restart())
	require.Eventually(t, c.pub.Connected, within, every)
	require.NoError(t, c.pub.Accepted(t.Context(), message(3), true))
	require.EqualValues(t, 2, c.messages(t, natsq.StreamOperations))
	require.Zero(t, c.messages(t, natsq.StreamEvents))
}

// TestPublisher_SilentServerMeetsTheDeadline: a server that hangs is not away; the
// publish fails all the same.
func TestPublisher_SilentServerMeetsTheDeadline(t *testing.T) {
	t.Parallel()
	server := testenv.StartNATS(t)
	c := ready(t, server.URL())
	require.NoError(t, server.Pause())
	var err error
	for err == nil { // The pause does not come at once.
		err = c.pub.Accepted(t.Context(), message(1), true)
	}
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, server.Resume())
}

func TestPublisher_CallersContextCounts(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.pub.Accepted(ctx, message(1), true), context.Canceled)
}

func TestPublisher_NoStream(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	require.ErrorIs(t, c.pub.Accepted(t.Context(), message(1), true), jetstream.ErrNoStreamResponse)
}

// TestPublisher_FullStreamRefuses: the new message is refused and the old ones
// stay; every message that was answered is there.
func TestPublisher_FullStreamRefuses(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	require.NoError(t, natsq.Ensure(t.Context(), c.js, natsq.Config{OperationsMaxBytes: 16 << 10, EventsMaxBytes: 16 << 10}))
	for _, tc := range []struct {
		stream  string
		publish func(n int) error
	}{
		{natsq.StreamOperations, func(n int) error { return c.pub.Accepted(t.Context(), message(n), true) }},
		{natsq.StreamEvents, func(n int) error { return c.pub.Event(t.Context(), event(operation.EventFailed, n)) }},
	} {
		var err error
		answered := 0
		for n := 1; n < 1000 && err == nil; n++ {
			if err = tc.publish(n); err == nil {
				answered++
			}
		}
		require.ErrorContains(t, err, "maximum bytes exceeded", tc.stream)
		require.NotErrorIs(t, err, natsq.ErrAway)
		require.Positive(t, answered)
		s, err := c.js.Stream(t.Context(), tc.stream)
		require.NoError(t, err)
		require.EqualValues(t, 1, s.CachedInfo().State.FirstSeq, tc.stream)
		require.EqualValues(t, answered, s.CachedInfo().State.Msgs, tc.stream)
	}
}

func TestPublisher_DeadTwiceIsOne(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	require.NoError(t, c.nc.Publish(natsq.SubjectQuiet, []byte("poison")))
	require.NoError(t, c.nc.Publish(natsq.SubjectQuiet, []byte("poison")))
	consumer, err := c.js.Consumer(t.Context(), natsq.StreamOperations, natsq.ConsumerQuiet)
	require.NoError(t, err)
	for want := range uint64(2) {
		msg, err := consumer.Next()
		require.NoError(t, err)
		require.NoError(t, c.pub.Dead(t.Context(), msg, "first"))
		require.NoError(t, c.pub.Dead(t.Context(), msg, "again"))
		require.Equal(t, want+1, c.messages(t, natsq.StreamDead), "one each, also where two look alike")
	}
}

// TestPublisher_AgainTellsNobody: what a stream has lost is remembered again. Who is told of
// accepts and ends has heard of it.
func TestPublisher_AgainTellsNobody(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	require.NoError(t, c.pub.AcceptedAgain(t.Context(), message(1)))
	require.NoError(t, c.pub.EventAgain(t.Context(), event(operation.EventSucceeded, 1)))
	require.NoError(t, c.pub.EventAgain(t.Context(), event(operation.EventFailed, 2)))
	for stream, want := range map[string][]string{
		natsq.StreamOperations: {"operation.accepted.again"}, natsq.StreamEvents: {"operation.attempted", "operation.attempted"},
	} {
		var subjects []string
		for _, raw := range c.stored(t, stream) {
			subjects = append(subjects, raw.Subject)
		}
		require.Equal(t, want, subjects)
	}
	c.requireTold(t, nil)
	require.Equal(t, []operation.Message{message(1)}, c.read(t))
	require.Equal(t, []operation.Event{event(operation.EventSucceeded, 1), event(operation.EventFailed, 2)}, c.readEvents(t))
}
