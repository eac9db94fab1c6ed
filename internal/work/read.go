package work

import (
	"context"
	"log/slog"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
)

// Reader reads operations for the api. Safe for concurrent use.
type Reader struct {
	store *redisstore.Store
	log   *slog.Logger
}

// NewReader makes a reader.
func NewReader(store *redisstore.Store, log *slog.Logger) *Reader {
	return &Reader{store: store, log: log}
}

// Get reads one operation. The error is an *operation.Error.
func (r *Reader) Get(ctx context.Context, connection, id uuid.UUID) (operation.Operation, error) {
	op, err := r.store.Get(ctx, connection, id)
	if err != nil {
		return operation.Operation{}, refusal(err)
	}
	return op, nil
}

// List reads a page of operations. Those whose records cannot be read are left out and
// logged: nobody can tell what they are, and a partner would see none of the others. The
// error is an *operation.Error.
func (r *Reader) List(ctx context.Context, q operation.Query) ([]operation.Operation, bool, error) {
	ops, more, err := r.store.ListReadable(ctx, q, func(id uuid.UUID, err error) {
		r.log.ErrorContext(ctx, "a list leaves out an operation whose record cannot be read", "operation_id", id, "partner_id", q.PartnerID, "error", err)
	})
	if err != nil {
		return nil, false, refusal(err)
	}
	return ops, more, nil
}
