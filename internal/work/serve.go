package work

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"writeback/internal/metrics"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// terms say how long the steps of a trip go on: each ends later than the one before.
type terms struct{ fetching, calls, recording context.Context }

// serve looks at a lane with n slots and runs what it is handed.
func (w *Worker) serve(until terms, msg *wake, lane uuid.UUID, n int, serving *crew) {
	asked := time.Now()
	w.lanes.looking(lane, asked)
	out, err := w.look(until.calls, until.fetching, msg, lane, n)
	if err != nil {
		w.giveBack(n)
		return
	}
	w.giveBack(n - len(out.Leases))
	if len(out.Unreadable) > 0 {
		serving.Go(func() { w.returnUnreadable(until, out.Unreadable) })
	}
	if out.More {
		w.lanes.more(lane)
	}
	if w.saturated.Load() && w.lanes.hungry() {
		signal(w.poll)
	}
	for i, lease := range out.Leases {
		lease.Handed = asked
		run := func() { w.run(until, lease, serving) }
		if i == len(out.Leases)-1 {
			run()
			return
		}
		serving.Go(run)
	}
}

// look is one next, under one set of attempt ids: a lost reply is asked for again
// and gives the same leases.
func (w *Worker) look(ctx, fetching context.Context, msg *wake, lane uuid.UUID, n int) (redisstore.Handout, error) {
	var accepted *operation.Message
	if msg != nil {
		accepted = &msg.Message
	}
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7())
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, err := w.parts.Store.Next(ctx, lane, w.limits(lane), ids, accepted)
	if err != nil {
		if fetching.Err() == nil {
			w.away.WarnContext(ctx, "looking at a lane", "connection_id", lane, "error", err)
			pause(fetching, 250*time.Millisecond)
		}
		if msg != nil {
			msg.nak()
		}
		return out, err
	}
	if msg != nil {
		msg.ack()
	}
	w.metrics.repaired(ctx, metrics.RepairHealed, out.Healed)
	w.metrics.repaired(ctx, metrics.RepairExpired, out.Expired)
	return out, nil
}

func (w *Worker) connectionLimits(lane uuid.UUID) redisstore.Limits {
	conn, ok := w.parts.Directory.ConnectionByID(lane)
	if ok {
		if p, ok := w.parts.Providers.Get(conn.Provider); ok {
			return storeLimits(LimitsOf(p, conn))
		}
	}
	return redisstore.Limits{InFlight: 1, Call: 20 * time.Second, Life: operation.DefaultDeadline}
}

// run makes the call of a lease and records it, and goes on with what the lane hands
// over then, until there is nothing or others wait for the slot. It gives the slot back; the
// slot does not wait for the streams to be told.
func (w *Worker) run(until terms, lease redisstore.Lease, serving *crew) {
	began := time.Now()
	for {
		next, tell := w.runOne(until, lease, began)
		if next == nil {
			w.giveBack(1)
			if tell != nil {
				tell()
			}
			return
		}
		if tell != nil {
			serving.Go(tell)
		}
		lease = *next
	}
}

// runOne makes the call of a lease, if it can still start in time, and records it. next is
// the lease that the lane handed over then. Nil: none. tell is what is left to do of the
// first. Nil: nothing.
func (w *Worker) runOne(until terms, lease redisstore.Lease, began time.Time) (next *redisstore.Lease, tell func()) {
	// Between here and the socket nothing waits: a late start would break order.
	if until.fetching.Err() != nil || time.Since(lease.Handed) > w.parts.Store.Config().StartWindow {
		w.release(until, lease, 0)
		return nil, nil
	}
	calls, span := w.metrics.startAttempt(until.calls, lease)
	waited := time.Since(lease.CreatedAt())
	outcome := w.attempt.Attempt(calls, lease)
	if outcome.Attempt.ID == uuid.Nil {
		// The span never ends, so that nobody sends it: the attempt that is made has its ids.
		w.release(terms{until.fetching, calls, until.recording}, lease, notMadePause)
		return nil, nil
	}
	if lease.Number == 1 {
		w.metrics.first(calls, lease.Provider, waited)
	}
	// After a broken-off call there is still time to say what is known.
	record := trace.ContextWithSpan(until.recording, span)
	asked := time.Now()
	rec, err := w.recorder.store(record, w.keeping(until.fetching, outcome, began))
	if errors.Is(err, redisstore.ErrMissing) {
		rec, err = w.storeAnew(record, lease, outcome)
	}
	switch {
	case errors.Is(err, redisstore.ErrUnreadable):
		w.parts.Log.ErrorContext(calls, "the record of an operation cannot be read after a call; the streams are not told of its outcome",
			"operation_id", lease.ID, "connection_id", lease.ConnectionID, "attempt_id", lease.AttemptID,
			"outcome", outcome.Attempt.Status, "status_code", outcome.Attempt.StatusCode, "error", err)
		span.End()
	case err != nil:
		w.parts.Log.ErrorContext(calls, "outcome not recorded; its lease will end as unknown",
			"operation_id", lease.ID, "connection_id", lease.ConnectionID, "attempt_id", lease.AttemptID,
			"outcome", outcome.Attempt.Status, "status_code", outcome.Attempt.StatusCode, "error", err)
		span.End()
		return nil, nil
	default:
		tell = w.telling(record, span, lease, outcome, rec)
		if !rec.Operation.Status.Terminal() { // in the order of the attempts
			tell()
			tell = nil
		}
	}
	if rec.More {
		w.lanes.more(lease.ConnectionID)
	}
	w.returnUnreadable(until, rec.Unreadable)
	if len(rec.Leases) > 0 {
		next = &rec.Leases[0]
		next.Handed = asked
	}
	return next, tell
}

// telling gives what says of a recorded outcome, to the streams and to the directory.
func (w *Worker) telling(ctx context.Context, span trace.Span, lease redisstore.Lease, o redisstore.Outcome, rec redisstore.Recorded) func() {
	return func() {
		defer span.End()
		w.recorder.tell(ctx, rec.Record)
		if r, ok := w.attempt.(renewer); ok && rec.Operation.Status.Terminal() && lease.Refused == "" {
			r.renew(ctx, lease.Accepted, o.Refused)
		}
	}
}

// keeping asks for more work of the lane, if this worker goes on and nobody else waits
// for the slot: no quiet wake, and no lane that was found due for longer than Keep.
func (w *Worker) keeping(fetching context.Context, o redisstore.Outcome, began time.Time) redisstore.Outcome {
	if fetching.Err() == nil && w.knocking.Load() == 0 && (time.Since(began) < w.cfg.Keep || w.lanes.hungry()) {
		o.More, o.Lease = []uuid.UUID{uuid.Must(uuid.NewV7())}, w.parts.Store.LeaseFor(w.limits(o.Connection))
	}
	return o
}

// storeAnew puts back a record that Redis lost together with its unpublished
// message: the lease still knows the operation, and may be all that does. So it does
// not give up before an outcome is given up.
func (w *Worker) storeAnew(ctx context.Context, lease redisstore.Lease, o redisstore.Outcome) (redisstore.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, recordFor)
	defer cancel()
	healed, err := backoff.RetryWithData(func() (int, error) {
		ask, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		return w.parts.Store.PutBack(ask, lease, w.limits(lease.ConnectionID))
	}, backoff.WithContext(recordPolicy(), ctx))
	if err != nil {
		return redisstore.Recorded{}, err
	}
	w.metrics.repaired(ctx, metrics.RepairHealed, healed)
	return w.recorder.store(ctx, o)
}

// notMadePause keeps an operation whose call cannot be made from coming straight
// back.
const notMadePause = time.Second

// release gives a lease back whose call was not made: once more if the store is away, since it would
// end as an attempt, until it has ended by itself or the worker stops.
func (w *Worker) release(until terms, lease redisstore.Lease, after time.Duration) {
	var err error
	once := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(until.calls), 3*time.Second)
		defer cancel()
		err = w.parts.Store.Release(ctx, lease, after)
		return err
	}
	policy := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(time.Second),
		backoff.WithMaxElapsedTime(w.parts.Store.LeaseFor(w.limits(lease.ConnectionID))),
	)
	if backoff.Retry(once, backoff.WithContext(policy, until.fetching)) != nil {
		w.parts.Log.WarnContext(until.calls, "a lease is not given back; it will end as unknown, though no call was made",
			"operation_id", lease.ID, "connection_id", lease.ConnectionID, "attempt_id", lease.AttemptID, "error", err)
	}
}

// unreadablePause is before an operation whose record cannot be read is handed out again:
// to a worker of another version, maybe. Its deadline ends it.
const unreadablePause = time.Minute

// returnUnreadable gives back what no call can be made of, and says so.
func (w *Worker) returnUnreadable(until terms, all []redisstore.Unreadable) {
	for _, u := range all {
		w.parts.Log.ErrorContext(until.calls, "the record of an operation cannot be read; it is not written, and its user's later ones wait until it is cancelled",
			"operation_id", u.Lease.ID, "connection_id", u.Lease.ConnectionID, "error", u.Err)
		w.release(until, u.Lease, unreadablePause)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
