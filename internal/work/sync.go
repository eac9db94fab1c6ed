package work

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// SyncRecordTime is how long after its call deadline a sync write may take to be recorded.
const SyncRecordTime = 10 * time.Second

// Sync accepts the operation and makes its one attempt at once. It gives the ended
// operation. When the client goes away the call and its record are finished all
// the same. The error is an *operation.Error: a conflict when an earlier operation
// of the user is outstanding, rate_limited when the lane may not call now.
func (a *Accepter) Sync(ctx context.Context, in operation.Accepted, l tsp.Limits) (operation.Operation, error) {
	in.Sync = true
	attempt := uuid.Must(uuid.NewV7())
	receipt, err := a.parts.Store.AcceptSync(ctx, in, storeLimits(l), attempt)
	if err != nil {
		return operation.Operation{}, notAccepted(in.ID, err)
	}
	if receipt.Replay != uuid.Nil {
		return a.replay(ctx, in.ConnectionID, receipt.Replay)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Call+SyncRecordTime)
	defer cancel()
	lease := redisstore.Lease{Accepted: in, Place: receipt.Place, AttemptID: attempt, Number: 1, Left: l.Deadline}
	ctx, span := a.attempt.metrics.startAttempt(ctx, lease)
	defer span.End()
	outcome := a.attempt.Attempt(ctx, lease)
	rec, err := a.recorder.record(ctx, outcome)
	a.attempt.renew(ctx, in, outcome.Refused)
	if errors.Is(err, redisstore.ErrMissing) {
		return a.tellAnew(ctx, pending(in, receipt.Place), outcome)
	}
	if err != nil {
		return operation.Operation{}, unrecorded(in.ID, err)
	}
	return rec.Operation, nil
}

// tellAnew publishes the end of a sync operation whose record Redis lost: no message has
// it, so the event is what a rebuild finds. One that is over has not found it, so the
// record is put back too.
func (a *Accepter) tellAnew(ctx context.Context, op operation.Operation, o redisstore.Outcome) (operation.Operation, error) {
	op.Status, op.UpdatedAt = operation.Failed, o.Attempt.EndedAt
	if o.Decision.Verdict == operation.Succeed {
		op.Status = operation.Succeeded
	}
	if o.SourceID != "" { // of a user that was created
		op.SourceID, op.ResourceID = o.SourceID, o.ResourceID
	}
	op.Attempts, op.Attempted = []operation.Attempt{o.Attempt}, 1
	if err := a.parts.Publisher.Event(ctx, operation.FinalEvent(op)); err != nil {
		return operation.Operation{}, unrecorded(op.ID, err)
	}
	a.recorder.learn(ctx, op)
	err := backoff.Retry(func() error { return a.parts.Store.Keep(ctx, op) }, backoff.WithContext(keepPolicy(), ctx))
	if err != nil {
		return operation.Operation{}, unrecorded(op.ID, err)
	}
	return op, nil
}

// keepPolicy waits for a shard that is being rebuilt.
func keepPolicy() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0),
	)
}
