package webhook

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/telemetry"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// subscriptions finds subscriptions; see registry.Registry.
type subscriptions interface {
	// Current waits until Matching knows all that was subscribed before the call. An
	// error means that it may not.
	Current(ctx context.Context) error
	// Matching gives a partner's subscriptions to an event, but for deleted ones.
	Matching(partner uuid.UUID, event string) []Subscription
}

// publisher writes deliveries to their streams; see natsq.Deliveries.
type publisher interface {
	Accepted(ctx context.Context, m operation.Message, quiet bool) error
	Event(ctx context.Context, e operation.Event) error
	Connected() bool
}

// deadLetters keeps what could not be delivered; see journal.Journal.
type deadLetters interface {
	Ended(ctx context.Context, e Ended) error
}

// QueueFor is how long a delivery may wait, behind others or for its endpoint to be
// made active again. Then it is a dead letter.
const QueueFor = 72 * time.Hour

// Call bounds one attempt: reading what it needs, then sending.
const Call = ReadTimeout + SendTimeout + time.Second

// Fanout makes one delivery for each subscription that an event concerns. Safe for
// concurrent use.
type Fanout struct {
	Subscriptions subscriptions
	// Fleet gives the fleet of a connection and its present reference, and whether
	// the connection is known.
	Fleet     func(connection uuid.UUID) (id uuid.UUID, ref string, known bool)
	Queue     *redisstore.Store
	Publisher publisher
	// Note takes what a stream has confirmed; see work.Acker.
	Note func(redisstore.Ack)
	Dead deadLetters
	// Look is called for a lane that has new work. Nil: a poll finds it.
	Look func(lane uuid.UUID)
	// Room reports whether more may wait for the endpoints of a partner. Nil: it may.
	Room func(ctx context.Context, partner uuid.UUID) bool
	// InFlight bounds the concurrent sends to one endpoint. Zero: DefaultInFlight.
	InFlight int
	// Log is told of what had no room, each time.
	Log *slog.Logger
}

// DefaultInFlight is how many sends to one endpoint run at once.
const DefaultInFlight = 8

// Limits are those of an endpoint's lane.
func (f *Fanout) Limits(uuid.UUID) redisstore.Limits {
	n := f.InFlight
	if n <= 0 {
		n = DefaultInFlight
	}
	return redisstore.Limits{InFlight: n, Call: Call, Life: QueueFor}
}

const (
	// MostWaiting is how many deliveries may wait for one endpoint: each takes 1.2 KB of
	// Redis.
	MostWaiting = 200_000
	// MostOfPartner is how many may wait for all endpoints of a partner, or a little more:
	// those that were given up and forgotten may be many.
	MostOfPartner = 400_000
	// fewWaiting is how many may wait for an endpoint all the same: one that works is not
	// stopped by others.
	fewWaiting = 1000
)

// slack covers the difference between the clocks of those who create subscriptions
// and those who date events.
const slack = time.Minute

// hears reports whether a subscription is told of what happened then: not if that was
// before it was made.
func hears(s Subscription, at time.Time) bool { return !at.Before(s.CreatedAt.Add(-slack)) }

// Created makes the deliveries that say that an operation was accepted. An error
// means that it has to be called again.
func (f *Fanout) Created(ctx context.Context, m operation.Message) error {
	if m.Sync {
		return nil
	}
	return f.tell(ctx, m.Accepted, createdReference(m))
}

// Ended makes the deliveries that say how an operation ended. An error means that it
// has to be called again.
func (f *Fanout) Ended(ctx context.Context, e operation.Event) error {
	if e.Operation.Sync || !e.Operation.Status.Terminal() {
		return nil
	}
	return f.tell(ctx, e.Operation.Accepted, endedReference(e.Operation))
}

// Staled makes the deliveries that say that a subscription was given up.
func (f *Fanout) Staled(ctx context.Context, s Subscription) error {
	if err := f.current(ctx); err != nil {
		return err
	}
	var all error
	for _, to := range f.Subscriptions.Matching(s.PartnerID, EventStaled) {
		if to.ID != s.ID && hears(to, s.StaledAt) {
			all = errors.Join(all, f.put(ctx, to, staledReference(s), operation.Accepted{}))
		}
	}
	return all
}

// currentFor bounds the wait for subscriptions that were made just before an event.
// After that the event is given out again.
const currentFor = 3 * time.Second

func (f *Fanout) current(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, currentFor)
	defer cancel()
	return f.Subscriptions.Current(ctx)
}

// errUnknownFleet says that a connection is so new that this process has not heard of
// it, and that a filter asks for its fleet.
var errUnknownFleet = errors.New("webhook: the connection's fleet is not known yet")

func (f *Fanout) tell(ctx context.Context, about operation.Accepted, r Reference) error {
	if err := f.current(ctx); err != nil {
		return err
	}
	subs := f.Subscriptions.Matching(about.PartnerID, r.Event)
	if len(subs) == 0 {
		return nil
	}
	fleet, ref, known := f.Fleet(about.ConnectionID)
	for _, s := range subs {
		if !hears(s, r.At) {
			continue
		}
		if !s.Filters.Match(fleet, about.FleetRef, ref) {
			if !known && time.Since(r.At) < settled {
				return errUnknownFleet
			}
			continue
		}
		if err := f.put(ctx, s, r, about); err != nil {
			return err
		}
	}
	return nil
}

// Replay makes a delivery once more. replay distinguishes it from those before. The
// error is redisstore.ErrLaneFull when no more may wait for the subscription.
func (f *Fanout) Replay(ctx context.Context, s Subscription, r Reference, replay uuid.UUID) error {
	a, err := r.delivery(s, " "+replay.String())
	if err != nil {
		return err
	}
	return f.queue(ctx, s, a, operation.Accepted{})
}

// put makes a delivery. Where there is no room for it, it is a dead letter at once.
func (f *Fanout) put(ctx context.Context, s Subscription, r Reference, about operation.Accepted) error {
	a, err := r.delivery(s, "")
	if err != nil {
		return err
	}
	err = f.queue(ctx, s, a, about)
	if errors.Is(err, redisstore.ErrLaneFull) {
		f.Log.WarnContext(ctx, "webhook queue is full; the event is a dead letter", "webhook_id", s.ID, "message_id", r.Message)
		return f.Dead.Ended(ctx, Ended{Webhook: s.ID, Delivery: a.ID, Reference: r, Dead: true})
	}
	return err
}

func (f *Fanout) queue(ctx context.Context, s Subscription, a, about operation.Accepted) error {
	a.TraceParent, a.TraceState = about.TraceParent, about.TraceState
	if trace.SpanContextFromContext(ctx).IsSampled() { // the event that it is about
		a.TraceParent, a.TraceState = telemetry.Inject(ctx)
	}
	limits := f.Limits(s.ID)
	if f.Room != nil && !f.Room(ctx, s.PartnerID) {
		limits.Outstanding = fewWaiting
	}
	receipt, err := f.Queue.Accept(ctx, a, limits)
	if err == nil && receipt.Old() { // the store may have lost it since
		receipt, err = f.Queue.Accept(ctx, a, limits)
	}
	if err != nil {
		return err
	}
	if f.Look != nil && s.Status == Active {
		f.Look(s.ID)
	}
	// What is not published here is left to the outbox.
	if !receipt.Old() && f.Publisher.Accepted(ctx, operation.Message{Accepted: a, Place: receipt.Place}, false) == nil {
		f.Note(redisstore.Ack{Connection: s.ID, ID: a.ID, Accepted: true})
	}
	return nil
}
