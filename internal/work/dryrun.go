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

// Draft is what a dry run found: the calls that would change something at the
// provider, or why there would be none.
type Draft struct {
	// Operation is ended and was never stored. Its one attempt says what is wrong.
	Operation operation.Operation
	Calls     []httpcall.DraftCall
}

// DryRun says what the operation would send. It makes the reads that the provider
// needs for it, within the connection's rate, and no write. The error is an
// *operation.Error.
func (a *Accepter) DryRun(ctx context.Context, in operation.Accepted, l tsp.Limits) (Draft, error) {
	wait, err := a.parts.Store.Spend(ctx, in.ConnectionID, storeLimits(l))
	if err == nil && wait > 0 {
		err = &redisstore.LaterError{Wait: wait}
	}
	if err != nil {
		return Draft{}, refusal(err)
	}
	began := time.Now()
	calls, failure := a.attempt.draft(ctx, in)
	failure = a.attempt.hide(in, failure)
	now := time.Now().UTC()
	out := Draft{Calls: calls, Operation: pending(in, operation.Place{Seq: began.UnixMicro(), Deadline: began.Add(l.Deadline).UTC()})}
	out.Operation.Status = operation.Succeeded
	if failure != nil {
		out.Calls = nil
		out.Operation.Status = operation.Failed
		out.Operation.Attempts = []operation.Attempt{{
			ID: in.ID, OperationID: in.ID, StartedAt: began.UTC(), EndedAt: now, Status: operation.AttemptFailed,
			ErrorType: failure.Type, Detail: failure.Detail, StatusCode: failure.StatusCode, Header: failure.Header,
		}}
	}
	out.Operation.UpdatedAt = now
	return out, nil
}

// draft runs the adapter with its writes collected instead of sent.
func (a *Attempter) draft(ctx context.Context, in operation.Accepted) ([]httpcall.DraftCall, *operation.Failure) {
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
