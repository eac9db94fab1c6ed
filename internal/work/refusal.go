package work

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// refusal turns the store's errors into the caller's.
func refusal(err error) *operation.Error {
	var conflict *redisstore.ConflictError
	var later *redisstore.LaterError
	switch {
	case errors.As(err, &conflict):
		return &operation.Error{Code: operation.CodeConflict, Err: err, Message: fmt.Sprintf(
			"operation %s of this user is still pending and would overwrite this write; wait for it or send without is_sync", conflict.Behind)}
	case errors.Is(err, redisstore.ErrPaused):
		return &operation.Error{Code: operation.CodeConflict, Err: err,
			Message: "an operator has paused this connection; a write without is_sync and dry_run waits until it goes on"}
	case errors.As(err, &later):
		return &operation.Error{Code: operation.CodeRateLimited, Err: err, RetryAfter: max(later.Wait, time.Second),
			Message: "the provider may not be called for this connection right now; try again later (a write without is_sync waits by itself)"}
	case errors.Is(err, redisstore.ErrLaneFull):
		return &operation.Error{Code: operation.CodeRateLimited, Err: err, RetryAfter: 30 * time.Second,
			Message: "this connection has too many pending operations"}
	case errors.Is(err, redisstore.ErrMismatch):
		return &operation.Error{Code: operation.CodeInvalid, Err: err, Message: "Idempotency-Key was used for another request",
			Faults: []operation.Fault{{Path: "header.Idempotency-Key", Message: "was used with another body or query", Type: "idempotency_key_reused"}}}
	case errors.Is(err, redisstore.ErrMissing):
		return &operation.Error{Code: operation.CodeNotFound, Err: err, Message: "no such operation"}
	case errors.Is(err, redisstore.ErrUnreadable):
		return &operation.Error{Code: operation.CodeUnavailable, Err: err, RetryAfter: time.Minute,
			Message: "there is such an operation, and its record cannot be read at present; it takes one of us to look into it"}
	case errors.Is(err, redisstore.ErrFull):
		return &operation.Error{Code: operation.CodeUnavailable, Err: err, RetryAfter: 10 * time.Second,
			Message: "the operation store is full; the write was not taken, try again later"}
	default:
		return &operation.Error{Code: operation.CodeUnavailable, Err: err, RetryAfter: 2 * time.Second,
			Message: "the operation store is not available; nothing is lost, try again"}
	}
}

// errTaken says that the store had taken a write, and that it is not known whether it still has it.
var errTaken = errors.New("work: the write was taken, too long before it could be answered")

// notAccepted is the refusal of an accept. Only the store's own answer says that nothing
// was taken: what went wrong on the way may have done so after it was.
func notAccepted(id uuid.UUID, err error) *operation.Error {
	e := refusal(err)
	none := errors.Is(err, redisstore.ErrStale) || errors.Is(err, redisstore.ErrOutboxFull) || errors.Is(err, redisstore.ErrFull)
	if e.Code != operation.CodeUnavailable || none && !errors.Is(err, errTaken) {
		return e
	}
	e.Operation = id
	e.Message = "it is not known whether the write was taken: send it again with the same Idempotency-Key, or read operation " + id.String()
	return e
}

// unrecorded never claims an outcome that the log may contradict.
func unrecorded(id uuid.UUID, err error) *operation.Error {
	return &operation.Error{
		Code: operation.CodeUnavailable, RetryAfter: 5 * time.Second, Operation: id,
		Message: "operation " + id.String() + " was attempted, but its outcome could not be recorded; read it later",
		Err:     errors.Join(errors.New("work: sync outcome not recorded"), err),
	}
}
