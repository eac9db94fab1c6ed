package natsq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"writeback/internal/natsq"
	"writeback/internal/testenv"
	"writeback/pkg/operation"
)

// atOnce calls publish n times at once and gives the errors.
func atOnce(n int, publish func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = publish(i) })
	}
	wg.Wait()
	return errs
}

// stored gives the messages of a stream as they are kept.
func (c client) stored(t *testing.T, stream string) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	s, err := c.js.Stream(t.Context(), stream)
	require.NoError(t, err)
	for seq := range s.CachedInfo().State.LastSeq {
		raw, err := s.GetMsg(t.Context(), seq+1)
		require.NoError(t, err)
		all = append(all, raw)
	}
	return all
}

// readEvents gives what the history says of all events.
func (c client) readEvents(t *testing.T) (all []operation.Event) {
	t.Helper()
	h := natsq.NewHistory(c.js)
	_, upTo, err := h.Ends(t.Context())
	require.NoError(t, err)
	require.NoError(t, h.Events(t.Context(), time.Time{}, upTo, func(some []operation.Event) error {
		all = append(all, some...)
		return nil
	}))
	return all
}

// TestShared_Burst: what comes while a message is under way leaves with the next one, in
// bounded messages, each thing once, and with the trace that it belongs to.
func TestShared_Burst(t *testing.T) {
	t.Parallel()
	const n = 1000
	traced := func(i int) string { return fmt.Sprintf("00-%032x-%016x-01", i+1, i+1) }
	for _, tc := range []struct {
		stream, single, many string
		most                 int
		publish              func(c client, i int) error
	}{
		{natsq.StreamOperations, "operation.accepted.quiet", "operation.accepted.quiet.batch", 16, func(c client, i int) error {
			m := message(i)
			m.TraceParent = traced(i)
			return c.pub.Accepted(context.Background(), m, true)
		}},
		{natsq.StreamOperations, "operation.accepted.busy", "operation.accepted.batch", 64, func(c client, i int) error {
			m := message(i)
			m.TraceParent, m.TraceState = traced(i), fmt.Sprintf("vendor=%d", i)
			return c.pub.Accepted(context.Background(), m, false)
		}},
		{natsq.StreamEvents, "operation.succeeded", "operation.succeeded.batch", 64, func(c client, i int) error {
			e := event(operation.EventSucceeded, i)
			e.Operation.TraceParent = traced(i)
			return c.pub.Event(context.Background(), e)
		}},
	} {
		t.Run(tc.single, func(t *testing.T) {
			t.Parallel()
			c := ready(t, testenv.NATS(t))
			require.NoError(t, errors.Join(atOnce(n, func(i int) error { return tc.publish(c, i) })...))
			all := c.stored(t, tc.stream)
			require.Less(t, len(all), n/4, "far fewer messages than calls")
			seen := map[uuid.UUID]bool{}
			for _, raw := range all {
				accepted := carried(t, tc.stream, raw.Data)
				want := tc.many
				if len(accepted) == 1 {
					want = tc.single
				}
				require.Equal(t, want, raw.Subject)
				require.LessOrEqual(t, len(accepted), tc.most)
				for i, a := range accepted {
					require.False(t, seen[a.ID], "twice")
					seen[a.ID] = true
					require.Equal(t, a.TraceParent, raw.Header.Values("traceparent")[i])
					if a.TraceState != "" {
						require.Equal(t, a.TraceState, raw.Header.Values("tracestate")[i])
					}
				}
			}
			require.Len(t, seen, n)
		})
	}
}

// carried gives the operations that a message is about.
func carried(t *testing.T, stream string, data []byte) (all []operation.Accepted) {
	t.Helper()
	if stream == natsq.StreamOperations {
		messages, err := natsq.DecodeMessages(data)
		require.NoError(t, err)
		for _, m := range messages {
			all = append(all, m.Accepted)
		}
		return all
	}
	events, err := natsq.DecodeEvents(data)
	require.NoError(t, err)
	for _, e := range events {
		all = append(all, e.Operation.Accepted)
	}
	return all
}

// TestShared_Order: who publishes one after the other finds it in the stream like that.
func TestShared_Order(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	const callers, each = 100, 5
	require.NoError(t, errors.Join(atOnce(callers, func(i int) error {
		for row := range each {
			e := event(operation.EventAttempted, i)
			e.FirstRow = row + 1
			if err := c.pub.Event(t.Context(), e); err != nil {
				return err
			}
		}
		return c.pub.Event(t.Context(), event(operation.EventFailed, i))
	})...))
	rows := map[uuid.UUID]int{}
	for _, e := range c.readEvents(t) {
		rows[e.Operation.ID]++
		if e.Kind == operation.EventFailed {
			require.Equal(t, each+1, rows[e.Operation.ID])
			continue
		}
		require.Equal(t, rows[e.Operation.ID], e.FirstRow)
	}
	require.Len(t, rows, callers)
	require.Less(t, int(c.messages(t, natsq.StreamEvents)), callers*(each+1)/2)
}

// TestShared_IsSplitBySize: what is too large for the server fails alone, what is large
// does not make messages without bound.
func TestShared_IsSplitBySize(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	const n, tooLarge = 200, 77
	errs := atOnce(n, func(i int) error {
		m := message(i)
		size := 20_000
		if i == tooLarge {
			size = int(c.nc.MaxPayload())
		}
		m.Changes = operation.Changes{operation.FieldNotes: operation.Text(strings.Repeat("x", size))}
		return c.pub.Accepted(t.Context(), m, false)
	})
	require.ErrorIs(t, errs[tooLarge], nats.ErrMaxPayload)
	errs[tooLarge] = nil
	require.NoError(t, errors.Join(errs...))
	all := c.stored(t, natsq.StreamOperations)
	require.Less(t, len(all), n/2)
	for _, raw := range all {
		require.Less(t, len(raw.Data), 300<<10)
	}
	require.Len(t, c.read(t), n-1)
}

// TestShared_FailureIsOfItsMessage: a stream that is full refuses messages; exactly the
// calls whose message it was fail.
func TestShared_FailureIsOfItsMessage(t *testing.T) {
	t.Parallel()
	c := connect(t, testenv.NATS(t))
	require.NoError(t, natsq.Ensure(t.Context(), c.js, natsq.Config{OperationsMaxBytes: 64 << 10, EventsMaxBytes: 64 << 10}))
	const n = 1000
	errs := atOnce(n, func(i int) error { return c.pub.Accepted(t.Context(), message(i), true) })
	var want []uuid.UUID
	for i, err := range errs {
		if err == nil {
			want = append(want, message(i).ID)
		} else {
			require.ErrorContains(t, err, "maximum bytes exceeded")
		}
	}
	require.NotEmpty(t, want)
	require.Less(t, len(want), n)
	var got []uuid.UUID
	for _, m := range c.read(t) {
		got = append(got, m.ID)
	}
	require.ElementsMatch(t, want, got)
}

// TestShared_CallersContext: who goes away hurts no other, and what has not left by then
// never does. A publish waits for a second at most, so a try on a machine that was too
// busy for it says nothing.
func TestShared_CallersContext(t *testing.T) {
	t.Parallel()
	for range 30 {
		if c, told := goAway(t); told {
			require.Len(t, c.read(t), flights+waiting)
			// One that came to it late, on a busy machine, has a message of its own.
			require.Less(t, c.messages(t, natsq.StreamOperations), uint64(flights+waiting/2), "those who waited share a message")
			return
		}
	}
	t.Fatal("no try was quick enough")
}

const flights, waiting = 8, 20 // as many as may be under way, and those who wait for them

// goAway lets some leave whose message waits behind others at a server that stands still.
// It reports whether that was quick enough for those who stay.
func goAway(t *testing.T) (c client, told bool) {
	t.Helper()
	server := testenv.StartNATS(t)
	c = ready(t, server.URL())
	require.NoError(t, server.Pause())
	began, sent := time.Now(), c.nc.Stats().OutMsgs
	var wg sync.WaitGroup
	var left, failed atomic.Int64
	publish := func(ctx context.Context, i int, errs *atomic.Int64) {
		wg.Go(func() {
			if c.pub.Accepted(ctx, message(i), false) != nil {
				errs.Add(1)
			}
		})
	}
	for i := range flights { // each is slow, so the next does not wait for it
		time.Sleep(50 * time.Millisecond)
		publish(t.Context(), i, &failed)
		require.Eventually(t, func() bool { return c.nc.Stats().OutMsgs > sent+uint64(i) }, within, time.Millisecond)
	}
	ctx, leave := context.WithCancel(t.Context())
	for i := range waiting {
		publish(ctx, 100+i, &left)
		publish(t.Context(), 200+i, &failed)
	}
	time.Sleep(50 * time.Millisecond)
	leave()
	require.Eventually(t, func() bool { return left.Load() == waiting }, within, time.Millisecond, "they wait no longer")
	require.NoError(t, server.Resume())
	wg.Wait()
	if time.Since(began) > natsq.PublishTimeout/2 {
		return c, false
	}
	require.Zero(t, failed.Load())
	return c, true
}

// many publishes one message of many, as a burst does.
func (c client) many(t *testing.T, subject, list string, all ...any) {
	t.Helper()
	var texts []string
	for _, one := range all {
		texts = append(texts, string(encode(t, one)))
	}
	_, err := c.js.Publish(t.Context(), subject, []byte(`{"v":1,"`+list+`":[`+strings.Join(texts, ",")+`]}`))
	require.NoError(t, err)
}

// TestWakes_Many: each lane is looked at before the message is acked; one that is given
// back, or the death of the worker, brings all of it again.
func TestWakes_Many(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(nak func()){"given back": func(nak func()) { nak() }, "worker died": func(func()) {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, testenv.NATS(t))
			cfg := small
			cfg.AckWait = 200e6 // 200 ms
			require.NoError(t, natsq.Ensure(t.Context(), c.js, cfg))
			c.many(t, natsq.SubjectQuietBatch, "operations", message(1), message(2), message(3))
			got := make(chan operation.Message, 100)
			var failed atomic.Bool
			work(t, c, 8, func(_ context.Context, m operation.Message, ack, nak func()) {
				got <- m
				if m.ID == message(2).ID && !failed.Swap(true) {
					fail(nak)
					return
				}
				ack()
			})
			for range 2 {
				for i := range 3 {
					require.Equal(t, message(i+1), receive(t, got))
				}
			}
			c.settled(t)
			require.Empty(t, got)
		})
	}
}

// TestWakes_ManyIsHeldUntilAllAreLookedAt: nothing is acked while one waits for a slot.
func TestWakes_ManyIsHeldUntilAllAreLookedAt(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	c.many(t, natsq.SubjectQuietBatch, "operations", message(1), message(2))
	acks := make(chan func(), 2)
	work(t, c, 8, func(_ context.Context, _ operation.Message, ack, _ func()) { acks <- ack })
	(<-acks)()
	last := <-acks
	require.NoError(t, c.nc.Flush())
	require.Equal(t, 1, c.consumer(t).NumAckPending)
	last()
	c.settled(t)
}

// TestTail_Ends: all but the last of a message have the place before it.
func TestTail_Ends(t *testing.T) {
	t.Parallel()
	c := ready(t, testenv.NATS(t))
	require.NoError(t, c.pub.Event(t.Context(), event(operation.EventSucceeded, 9)))
	c.many(t, natsq.SubjectAttemptedBatch, "events", event(operation.EventAttempted, 1), event(operation.EventAttempted, 2))
	c.many(t, natsq.SubjectSucceededBatch, "events", event(operation.EventSucceeded, 1), event(operation.EventSucceeded, 2))
	c.many(t, natsq.SubjectFailedBatch, "events", event(operation.EventFailed, 3))
	want := []string{"0-1 succeeded", "0-1 succeeded", "0-3 succeeded", "0-4 failed"}
	c.requireTold(t, want)
	require.Len(t, c.readEvents(t), 6, "a rebuild reads the attempts too")
}

// TestFeed_TakesManyEnds: each end of a message is taken; if one cannot be, all come
// again.
func TestFeed_TakesManyEnds(t *testing.T) {
	t.Parallel()
	c := readyForWebhooks(t)
	var all []any
	for i := range 50 {
		all = append(all, event(operation.EventSucceeded, i))
	}
	c.many(t, natsq.SubjectSucceededBatch, "events", all...)
	c.many(t, natsq.SubjectFailedBatch, "events", event(operation.EventFailed, 50), event(operation.EventFailed, 51))
	var mu sync.Mutex
	taken, refused := map[uuid.UUID]bool{}, false
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- natsq.NewFeed(c.js, quiet).Run(ctx, func(context.Context, operation.Message) error { return nil },
			func(_ context.Context, e operation.Event) error {
				mu.Lock()
				defer mu.Unlock()
				if e.Operation.ID == message(25).ID && !refused {
					refused = true
					return errors.New("not now")
				}
				taken[e.Operation.ID] = true
				return nil
			})
	}()
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(taken) == 52 && refused
	}, within, every)
	c.requireTaken(t, natsq.StreamEvents, natsq.ConsumerEndedBatches)
	cancel()
	require.NoError(t, <-done)
}

func TestDecodeEvents(t *testing.T) {
	t.Parallel()
	one := string(encode(t, event(operation.EventFailed, 1)))
	chance := event(operation.EventFailed, 2)
	chance.Operation.Attempts[0].Detail = `"events":`
	newer := event(operation.EventFailed, 3)
	newer.Version = operation.Version + 1
	for _, row := range []struct {
		name, data string
		want       []operation.Event
		refusal    string
	}{
		{"a single one", one, []operation.Event{event(operation.EventFailed, 1)}, ""},
		{"many", `{"v":1,"events":[` + one + `,` + one + `]}`, []operation.Event{event(operation.EventFailed, 1), event(operation.EventFailed, 1)}, ""},
		{"one is newer", `{"v":1,"events":[` + string(encode(t, newer)) + `,` + one + `]}`, []operation.Event{event(operation.EventFailed, 1)}, ""},
		{"the key by chance", string(encode(t, chance)), []operation.Event{chance}, ""},
		{"the key as a field of a newer program", one[:len(one)-1] + `,"events":[]}`, []operation.Event{event(operation.EventFailed, 1)}, ""},
		{"newer", `{"v":2,"events":[` + one + `]}`, nil, "version 2"},
		{"none", `{"v":1,"events":[]}`, nil, "no events"},
		{"operations", `{"v":1,"operations":[` + one + `]}`, nil, "incomplete"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := natsq.DecodeEvents([]byte(row.data))
			if row.refusal == "" {
				require.NoError(t, err)
				require.Equal(t, row.want, got)
				return
			}
			require.ErrorIs(t, err, natsq.ErrNotUnderstood)
			require.ErrorContains(t, err, row.refusal)
			require.Empty(t, got)
		})
	}
}

// BenchmarkPublisher_Burst is what accepting costs the publisher, 64 callers at a time.
func BenchmarkPublisher_Burst(b *testing.B) {
	nc, err := natsq.Connect(testenv.NATS(b), "bench", quiet)
	require.NoError(b, err)
	defer nc.Close()
	js, err := jetstream.New(nc, natsq.Publishing()...)
	require.NoError(b, err)
	require.NoError(b, natsq.Ensure(b.Context(), js, small))
	pub := natsq.NewPublisher(nc, js)
	m := message(1)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := pub.Accepted(b.Context(), m, false); err != nil && !strings.Contains(err.Error(), "maximum bytes") {
				b.Error(err)
			}
		}
	})
}
