package work

import (
	"context"
	"errors"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// DryRun says what the operation would send: the calls that would change something at the
// provider, or why there would be none. The operation that it gives has ended, was never
// stored, and has one attempt if something is wrong. It makes the reads that the provider
// needs for it, within the connection's rate, and no write. The error is an
// *operation.Error.
func (a *Accepter) DryRun(ctx context.Context, in operation.Accepted, l tsp.Limits) (operation.Operation, []tsp.DraftCall, error) {
	wait, err := a.parts.Store.Spend(ctx, in.ConnectionID, storeLimits(l))
	if err == nil && wait > 0 {
		err = &redisstore.LaterError{Wait: wait}
	}
	if err != nil {
		return operation.Operation{}, nil, refusal(err)
	}
	began := time.Now()
	calls, failure := a.attempt.draft(ctx, in)
	failure = a.attempt.hide(in, failure)
	now := time.Now().UTC()
	op := pending(in, operation.Place{Seq: began.UnixMicro(), Deadline: began.Add(l.Deadline).UTC()})
	op.Status, op.UpdatedAt = operation.Succeeded, now
	if failure != nil {
		op.Status = operation.Failed
		op.Attempts = []operation.Attempt{{
			ID: in.ID, OperationID: in.ID, StartedAt: began.UTC(), EndedAt: now, Status: operation.AttemptFailed,
			ErrorType: failure.Type, Detail: failure.Detail, StatusCode: failure.StatusCode, Header: failure.Header,
		}}
	}
	return op, calls, nil
}

// draft runs the adapter with its writes collected instead of sent.
func (a *Attempter) draft(ctx context.Context, in operation.Accepted) ([]tsp.DraftCall, *operation.Failure) {
	t, failure := a.target(in)
	if failure != nil {
		return nil, failure
	}
	ctx, cancel := context.WithTimeout(ctx, t.limits.Call)
	defer cancel()
	if failure := a.prepare(ctx, &t, ""); failure != nil {
		return nil, failure
	}
	conn, _ := a.parts.Directory.ConnectionByID(in.ConnectionID)
	d := &httpcall.Draft{Hidden: conn.Secrets(t.conn.Credentials)}
	_, failure = write(httpcall.WithDraft(ctx, d), t, in, false)
	if failure != nil && !errors.Is(failure, httpcall.ErrDraft) {
		if failure.Refresh {
			a.renew(ctx, in, t.conn.Credentials.Mark())
		}
		return nil, failure
	}
	return d.Calls, nil
}
