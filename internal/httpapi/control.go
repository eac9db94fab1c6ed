package httpapi

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// canceller ends an operation that is pending, or notes the wish while it is being
// called. An error is an *operation.Error: conflict when it has ended.
type canceller interface {
	Cancel(ctx context.Context, connection, id uuid.UUID) (operation.Operation, error)
}

// cancelOperation gives up a pending operation.
func (s *server) cancelOperation(w http.ResponseWriter, r *http.Request) error {
	op, err := s.ownOperation(r)
	if err := join(err, wantPlain(r, "a cancel")); err != nil {
		return err
	}
	if op, err = s.deps.Accepter.Cancel(r.Context(), op.ConnectionID, op.ID); err != nil {
		return err
	}
	if op.Status == operation.Pending {
		w.Header().Set("Retry-After", "1")
	}
	s.write(w, r, http.StatusOK, wire.CancelView(op))
	return nil
}

// retryOperation accepts a failed operation's changes once more, as a new operation
// behind what the user has outstanding. It is queued even if the failed one was not.
func (s *server) retryOperation(w http.ResponseWriter, r *http.Request) error {
	failed, err := s.ownOperation(r)
	if err := join(err, wantPlain(r, "a retry")); err != nil {
		return err
	}
	switch {
	case failed.Status == operation.Pending:
		return &operation.Error{Code: operation.CodeConflict, Message: "the operation is pending; only a failed one can be retried"}
	case failed.Status != operation.Failed:
		return &operation.Error{
			Code: operation.CodeConflict, Message: "the operation has ended as " + string(failed.Status) + "; only a failed one can be retried",
		}
	case failed.Resource != operation.ResourceUser:
		return &operation.Error{Code: operation.CodeNotImplemented, Message: "only writes of users can be retried"}
	}
	linkRetried(r.Context(), failed)
	a, limits, refused := s.resolveRetry(failed)
	key, err := requestKey(r)
	if err != nil {
		return err
	}
	if key != "" {
		a.Key = hashedKey(r, key, failed.PartnerID, placeURL(failed)+"/retry", false, nil)
	}
	op, err := s.submit(w, r, failed.ConnectionID, a, limits, refused)
	if err != nil {
		return givenKey{headerKey, key}.blamed(err)
	}
	s.answerWrite(w, r, op, false)
	return nil
}

// resolveRetry resolves the failed operation's changes as a write of now. That of a
// create knows which was the first: it may have made the user although it failed.
func (s *server) resolveRetry(failed operation.Operation) (operation.Accepted, tsp.Limits, error) {
	in := write{user: failed.ResourceID, UserWrite: wire.UserWrite{ConnectionID: failed.ConnectionID, Changes: failed.Changes}}
	resolve := s.resolveUpdate
	if failed.Type == operation.Create {
		resolve = s.resolveCreate
	}
	a, limits, err := resolve(failed.PartnerID, in)
	if err != nil {
		return a, limits, err
	}
	a.RetryOf = &failed.ID
	if failed.Type == operation.Create {
		origin := failed.Reference()
		a.Origin = &origin
	}
	return a, limits, nil
}
