package work

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// cancelFor bounds what follows a cancel that is stored: telling the streams.
const cancelFor = 5 * time.Second

// Cancel ends a pending operation as failed, with a log row that says so. While a
// call of it is under way it stays pending and notes the wish: the call's end
// decides. The error is an *operation.Error: a conflict if it has ended.
func (a *Accepter) Cancel(ctx context.Context, connection, id uuid.UUID) (operation.Operation, error) {
	rec, err := a.parts.Store.Cancel(ctx, connection, id)
	if errors.Is(err, redisstore.ErrEnded) {
		return operation.Operation{}, &operation.Error{
			Code: operation.CodeConflict, Err: err,
			Message: "the operation has ended as " + string(rec.Operation.Status) + "; only a pending one can be cancelled",
		}
	}
	if err != nil {
		return operation.Operation{}, refusal(err)
	}
	if op := rec.Operation; op.Status.Terminal() {
		// The client may go away; the operation has ended all the same.
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelFor)
		defer stop()
		_ = a.recorder.publish(ctx, rec, false) // what fails is left to the outbox
	}
	return rec.Operation, nil
}
