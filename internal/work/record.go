package work

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.opentelemetry.io/otel/codes"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// recorder writes outcomes into the store and tells the streams. Safe for
// concurrent use.
type recorder struct {
	parts   Parts
	acks    *Acker
	metrics meters
}

// record stores the outcome and tells it.
func (r *recorder) record(ctx context.Context, o redisstore.Outcome) (redisstore.Recorded, error) {
	rec, err := r.store(ctx, o)
	if err != nil {
		return rec, err
	}
	r.tell(ctx, rec.Record)
	return rec, nil
}

// recordFor bounds how long an outcome is kept for a store that is away.
const recordFor = 10 * time.Minute

// store keeps the outcome until the store has it: Redis may be away, or its data may
// be on its way back. It gives up when ctx ends, and after recordFor.
func (r *recorder) store(ctx context.Context, o redisstore.Outcome) (rec redisstore.Recorded, err error) {
	storing, span := inner(ctx, "record outcome")
	defer func() {
		if err != nil && !errors.Is(err, redisstore.ErrUnreadable) && span.IsRecording() { // that is recorded
			span.SetStatus(codes.Error, "not recorded")
		}
		span.End()
	}()
	rec, err = r.storeOnce(storing, o)
	if err == nil || final(err) {
		return rec, err
	}
	return backoff.RetryWithData(func() (redisstore.Recorded, error) {
		rec, err := r.storeOnce(storing, o)
		if err != nil && final(err) {
			return rec, backoff.Permanent(err)
		}
		return rec, err
	}, backoff.WithContext(recordPolicy(), ctx))
}

func recordPolicy() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second),
		backoff.WithMaxElapsedTime(recordFor),
	)
}

// final says that recording once more would come to the same.
func final(err error) bool {
	return errors.Is(err, redisstore.ErrMissing) || errors.Is(err, redisstore.ErrUnreadable)
}

func (r *recorder) storeOnce(ctx context.Context, o redisstore.Outcome) (redisstore.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return r.parts.Store.Record(ctx, o)
}

// tell says to the streams and to the directory what was recorded.
func (r *recorder) tell(ctx context.Context, rec redisstore.Record) {
	// Who accepted it published it, and has two seconds to say so. Then the outbox comes.
	left := time.Since(rec.Operation.CreatedAt()) <= acceptedWithin
	_ = r.publish(ctx, rec, left) // what fails is left to the outbox
	r.learn(ctx, rec.Operation)
}

// acceptedWithin is how long the accepted message is left to those who accepted.
const acceptedWithin = 2 * time.Second

// learn puts a user that was created into the directory. When that fails, the next
// directory sync finds it, under the same id.
func (r *recorder) learn(ctx context.Context, op operation.Operation) {
	if op.Type != operation.Create || op.Status != operation.Succeeded {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	known := tsp.ListedUser{SourceID: op.SourceID, Fields: op.Changes}
	if _, err := r.parts.Directory.Learn(ctx, op.ConnectionID, []tsp.ListedUser{known}); err != nil {
		r.parts.Log.WarnContext(ctx, "the new user is not in the directory yet; the next sync finds it",
			"operation_id", op.ID, "connection_id", op.ConnectionID, "error", err)
	}
}

// publish sends what the streams have not confirmed, in order: the accepted
// message, the rows of a pending operation, the final event, which carries all
// rows. acceptedLeft leaves the first to others. The error is the first, and errOld for what
// may not be told any more; what comes after it was not tried.
func (r *recorder) publish(ctx context.Context, rec redisstore.Record, acceptedLeft bool) error {
	if rec.Old() {
		return errOld
	}
	op := rec.Operation
	ack := redisstore.Ack{Connection: op.ConnectionID, ID: op.ID, RowVersion: rec.RowVersion, Rows: rec.Rows, Accepted: rec.Accepted, Final: rec.Final}
	defer func() { r.acks.Note(ack) }()
	if !rec.Accepted && !acceptedLeft {
		if err := r.parts.Publisher.Accepted(ctx, op.Message(), false); err != nil {
			return err
		}
		ack.Accepted = true
	}
	var event operation.Event
	final := op.Status.Terminal() && !rec.Final
	switch {
	case final:
		event = operation.FinalEvent(op)
	case len(op.Attempts) > rec.Rows:
		event = attempted(op, rec.Rows)
	default:
		return nil
	}
	if rec.Old() {
		return errOld
	}
	event.NextAt, event.Blocked = rec.NextAt, rec.Blocked
	if err := r.parts.Publisher.Event(ctx, event); err != nil {
		return err
	}
	ack.Rows = len(op.Attempts)
	if final {
		ack.Final, ack.Ended = true, &op
		r.metrics.end(ctx, op)
	}
	return nil
}

// errOld says that the store may have lost by now what it answered.
var errOld = errors.New("work: too long after it was read, a record is left to the outbox")

// attempted is the event of the rows of a pending operation that come after so many.
func attempted(op operation.Operation, rows int) operation.Event {
	op.Attempts = op.Attempts[rows:]
	return operation.Event{
		Version: operation.Version, ID: op.Attempts[len(op.Attempts)-1].ID, Kind: operation.EventAttempted, Operation: op, FirstRow: rows + 1,
	}
}
