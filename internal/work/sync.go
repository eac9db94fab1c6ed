package work

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// Sync accepts the operation and makes its one attempt at once. It gives the ended
// operation. When the client goes away the call and its record are finished all
// the same. The error is an *operation.Error: a conflict when an earlier operation
// of the user is outstanding, rate_limited when the lane may not call now.
func (a *Accepter) Sync(ctx context.Context, in operation.Accepted, l tsp.Limits) (operation.Operation, error) {
	in.Sync = true
	attempt := uuid.Must(uuid.NewV7())
	receipt, err := a.parts.Store.AcceptSync(ctx, in, storeLimits(l), attempt)
	if err != nil {
		return operation.Operation{}, refusal(err)
	}
	if receipt.Replay != uuid.Nil {
		return a.replay(ctx, in.ConnectionID, receipt.Replay)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Call+10*time.Second)
	defer cancel()
	outcome := a.attempt.Attempt(ctx, redisstore.Lease{
		Accepted: in, Place: receipt.Place, AttemptID: attempt, Number: 1, Left: l.Deadline,
	})
	r := recorder{parts: a.parts, acks: a.acks, metrics: a.attempt.metrics}
	rec, err := r.record(ctx, outcome)
	if err != nil {
		return operation.Operation{}, unrecorded(in.ID, err)
	}
	return rec.Operation, nil
}

// unrecorded never claims an outcome that the log may contradict.
func unrecorded(id uuid.UUID, err error) *operation.Error {
	return &operation.Error{
		Code: operation.CodeUnavailable, RetryAfter: 5 * time.Second,
		Message: "operation " + id.String() + " was attempted, but its outcome could not be recorded; read it later",
		Err:     errors.Join(errors.New("work: sync outcome not recorded"), err),
	}
}
