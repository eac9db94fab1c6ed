package webhook_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"writeback/internal/webhook"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// accepted is the message of an operation that was accepted then.
func (r *rig) accepted(at time.Time) operation.Message {
	return operation.Message{
		Accepted: operation.Accepted{
			Version: operation.Version, ID: uuid.Must(uuid.NewV7()), PartnerID: r.partner, ConnectionID: r.connection, FleetRef: "then",
			Resource: operation.ResourceUser, Type: operation.Update,
		},
		Place: operation.Place{Seq: at.UnixMicro()},
	}
}

// ended is the event of its end.
func ended(m operation.Message, at time.Time) operation.Event {
	op := operation.Operation{Accepted: m.Accepted, Place: m.Place, Status: operation.Succeeded, UpdatedAt: at}
	return operation.Event{Version: operation.Version, ID: uuid.New(), Kind: operation.EventSucceeded, Operation: op}
}

// TestFanout_BeforeTheSubscription: what happened before it was made is not told, also of an
// operation that ends later. Clocks may differ by a minute.
func TestFanout_BeforeTheSubscription(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := r.front.fanout
	created := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventCreated})
	succeeded := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventSucceeded})
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	at := created.CreatedAt
	waiting := func(s webhook.Subscription, want int) {
		t.Helper()
		require.Equal(t, want, r.queued(r.front, s))
	}
	before := r.accepted(at.Add(-61 * time.Second))
	require.NoError(t, f.Created(t.Context(), before))
	require.NoError(t, f.Ended(t.Context(), ended(before, at.Add(-61*time.Second))))
	waiting(created, 0)
	waiting(succeeded, 0)
	require.NoError(t, f.Ended(t.Context(), ended(before, at.Add(time.Second))))
	waiting(succeeded, 1)
	near := r.accepted(at.Add(-59 * time.Second))
	require.NoError(t, f.Created(t.Context(), near))
	waiting(created, 1)
	require.NoError(t, f.Ended(t.Context(), ended(near, at.Add(-59*time.Second))))
	waiting(succeeded, 2)
}

// TestFanout_ByEachNameOfTheFleet: the one that it had when the operation was accepted, and the
// one that it has.
func TestFanout_ByEachNameOfTheFleet(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	told := map[string]webhook.Subscription{}
	for _, ref := range []string{"then", "now", "never"} {
		told[ref] = r.subscribe(webhook.New{
			URL: "http://127.0.0.1:1/", EventName: webhook.EventCreated, Filters: webhook.Filters{FleetRefs: []string{ref}},
		})
	}
	byID := r.subscribe(webhook.New{
		URL: "http://127.0.0.1:1/", EventName: webhook.EventCreated, Filters: webhook.Filters{FleetIDs: []uuid.UUID{r.fleet}},
	})
	require.NoError(t, r.front.fanout.Created(t.Context(), r.accepted(time.Now())))
	for ref, want := range map[string]int{"then": 1, "now": 1, "never": 0} {
		require.Equal(t, want, r.queued(r.front, told[ref]), ref)
	}
	require.Equal(t, 1, r.queued(r.front, byID))
}

// TestFanout_NoEventIsTakenThatIsNotQueued: it comes again.
func TestFanout_NoEventIsTakenThatIsNotQueued(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f, now := r.front.fanout, time.Now()
	created := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventCreated})
	succeeded := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventSucceeded})
	staled := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventStaled})
	m := r.accepted(now)
	given := webhook.Subscription{ID: uuid.Must(uuid.NewV7()), PartnerID: r.partner, StaledAt: now}
	all := func() []error {
		return []error{f.Created(t.Context(), m), f.Ended(t.Context(), ended(m, now)), f.Staled(t.Context(), given)}
	}
	for _, err := range all() {
		require.ErrorIs(t, err, redisstore.ErrStale, "Redis is empty, and nobody has filled it yet")
	}
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	for _, err := range all() {
		require.NoError(t, err)
	}
	for _, s := range []webhook.Subscription{created, succeeded, staled} {
		require.Equal(t, 1, r.queued(r.front, s))
	}
}

// TestFanout_NotYetEnded: an event of an attempt is no event for webhooks.
func TestFanout_NotYetEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	failed := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventFailed})
	e := ended(r.accepted(time.Now()), time.Now())
	e.Kind, e.Operation.Status = operation.EventAttempted, operation.Pending
	require.NoError(t, r.front.fanout.Ended(t.Context(), e))
	require.Zero(t, r.queued(r.front, failed))
}

// TestFanout_SyncIsNotTold: its answer was in the request.
func TestFanout_SyncIsNotTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	created := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventCreated})
	succeeded := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventSucceeded})
	m := r.accepted(time.Now())
	m.Sync = true
	require.NoError(t, r.front.fanout.Created(t.Context(), m))
	require.NoError(t, r.front.fanout.Ended(t.Context(), ended(m, time.Now())))
	require.Equal(t, []int{0, 0}, []int{r.queued(r.front, created), r.queued(r.front, succeeded)})
}

// TestFanout_StaledIsNotToldToItself: nothing would be sent there.
func TestFanout_StaledIsNotToldToItself(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	own := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/own", EventName: webhook.EventStaled})
	other := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/other", EventName: webhook.EventStaled})
	own.StaledAt = time.Now()
	require.NoError(t, r.front.fanout.Staled(t.Context(), own))
	require.Zero(t, r.queued(r.front, own))
	require.Equal(t, 1, r.queued(r.front, other))
}

// refusing publishes no delivery while it is told not to.
type refusing struct {
	publisher
	mu  sync.Mutex
	err error
}

func (p *refusing) Accepted(ctx context.Context, m operation.Message, quiet bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	return p.publisher.Accepted(ctx, m, quiet)
}

// TestFanout_WhatIsNotPublishedIsLeftToTheOutbox, and what is published is not. Only an endpoint
// that is active is looked at.
func TestFanout_WhatIsNotPublishedIsLeftToTheOutbox(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := r.front.fanout
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	s := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventCreated})
	var noted []redisstore.Ack
	var looked []uuid.UUID
	f.Note = func(a redisstore.Ack) { noted = append(noted, a) }
	f.Look = func(lane uuid.UUID) { looked = append(looked, lane) }
	pub := &refusing{publisher: f.Publisher, err: errors.New("away")}
	f.Publisher = pub
	require.NoError(t, f.Created(t.Context(), r.accepted(time.Now())))
	require.Empty(t, noted)
	require.Equal(t, []uuid.UUID{s.ID}, looked)
	pub.err = nil
	require.NoError(t, f.Created(t.Context(), r.accepted(time.Now())))
	require.Len(t, noted, 1)
	require.True(t, noted[0].Accepted)
	require.Equal(t, s.ID, noted[0].Connection)
	require.Len(t, looked, 2)
	require.Equal(t, 2, r.queued(r.front, s))

	_, err := r.front.Pause(t.Context(), r.partner, s.ID)
	require.NoError(t, err)
	require.NoError(t, f.Created(t.Context(), r.accepted(time.Now())))
	require.Equal(t, 3, r.queued(r.front, s))
	require.Len(t, looked, 2)
}

// TestFanout_StaledWaitsForSubscriptions that were made just before.
func TestFanout_StaledWaitsForSubscriptions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.process()
	p.stop() // it has read the subscriptions and follows them no more
	require.NoError(t, p.queue.Begin(t.Context(), shards()))
	r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventStaled})
	brief, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	given := webhook.Subscription{ID: uuid.Must(uuid.NewV7()), PartnerID: r.partner, StaledAt: time.Now()}
	require.Error(t, p.fanout.Staled(brief, given))
}

// TestFanout_CarriesTheTrace of the event that it is about, or else of the operation.
func TestFanout_CarriesTheTrace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.front.queue.Begin(t.Context(), shards()))
	s := r.subscribe(webhook.New{URL: "http://127.0.0.1:1/", EventName: webhook.EventCreated})
	m := r.accepted(time.Now())
	m.TraceParent, m.TraceState = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=b"
	traced := func(ctx context.Context) operation.Accepted {
		require.NoError(t, r.front.fanout.Created(ctx, m))
		out, err := r.front.queue.Next(t.Context(), s.ID, r.front.fanout.Limits(s.ID), []uuid.UUID{uuid.Must(uuid.NewV7())}, nil)
		require.NoError(t, err)
		require.Len(t, out.Leases, 1)
		return out.Leases[0].Accepted
	}
	got := traced(t.Context())
	require.Equal(t, []string{m.TraceParent, "a=b"}, []string{got.TraceParent, got.TraceState})
	m.ID = uuid.Must(uuid.NewV7())
	ctx, span := sdktrace.NewTracerProvider().Tracer("test").Start(t.Context(), "event")
	defer span.End()
	got = traced(ctx)
	require.Contains(t, got.TraceParent, span.SpanContext().TraceID().String())
	require.Empty(t, got.TraceState)
}
