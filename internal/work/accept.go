package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// Accepter takes operations in. Safe for concurrent use.
type Accepter struct {
	parts   Parts
	cfg     Config
	acks    *Acker
	attempt *Attempter
	offers  *offers
	// replays joins the publishes of replays of one operation at one time.
	replays singleflight.Group
}

// NewAccepter makes an accepter; acks must be running.
func NewAccepter(parts Parts, cfg Config, acks *Acker) *Accepter {
	cfg = cfg.withDefaults()
	return &Accepter{parts: parts, cfg: cfg, acks: acks, attempt: NewAttempter(parts, cfg), offers: newOffers()}
}

// Accept stores the operation and publishes it. Once it is stored it will end, so
// a publish that fails is left to the outbox and is no error. The error is an
// *operation.Error.
func (a *Accepter) Accept(ctx context.Context, in operation.Accepted, l tsp.Limits) (operation.Operation, error) {
	offer := a.offers.take()
	receipt, err := a.parts.Store.AcceptOffered(ctx, in, storeLimits(l), offer)
	if !receipt.Handed {
		a.offers.back(offer)
	}
	if err != nil {
		return operation.Operation{}, notAccepted(in.ID, err)
	}
	if receipt.Replay != uuid.Nil {
		return a.replay(ctx, in.ConnectionID, receipt.Replay)
	}
	op := pending(in, receipt.Place)
	a.publish(ctx, op, !receipt.Handed && receipt.Outstanding < a.cfg.QuietBelow)
	return op, nil
}

// Repeated gives the operation of the connection that was accepted under a key, for a
// request that would be refused by now. The error is an *operation.Error: not_found if
// there is none.
func (a *Accepter) Repeated(ctx context.Context, connection uuid.UUID, key operation.Key) (operation.Operation, error) {
	id, err := a.parts.Store.Keyed(ctx, connection, key)
	if err != nil {
		return operation.Operation{}, refusal(err)
	}
	return a.replay(ctx, connection, id)
}

func pending(in operation.Accepted, place operation.Place) operation.Operation {
	return operation.Operation{
		Accepted: in, Place: place, Status: operation.Pending, UpdatedAt: place.CreatedAt(),
		Attempts: []operation.Attempt{},
	}
}

func (a *Accepter) publish(ctx context.Context, op operation.Operation, quiet bool) {
	// The client may go away; the operation is accepted all the same.
	ctx = context.WithoutCancel(ctx)
	err := a.parts.Publisher.Accepted(ctx, operation.Message{Accepted: op.Accepted, Place: op.Place}, quiet)
	if err != nil {
		a.parts.Log.WarnContext(ctx, "accepted message not published yet; the outbox will",
			"operation_id", op.ID, "connection_id", op.ConnectionID, "error", err)
		return
	}
	a.acks.Note(redisstore.Ack{Connection: op.ConnectionID, ID: op.ID, Accepted: true})
}

// replay answers a repeated idempotency key with the present state of the operation
// it stands for. Whoever accepted that may have died before it was in the stream, so
// it is published before the answer.
func (a *Accepter) replay(ctx context.Context, connection, id uuid.UUID) (operation.Operation, error) {
	rec, err := a.parts.Store.GetRecord(ctx, connection, id)
	if err != nil {
		return operation.Operation{}, refusal(err)
	}
	if !rec.Accepted {
		_, _, _ = a.replays.Do(id.String(), func() (any, error) {
			// Its lane is in the due index; nobody has to be woken.
			a.publish(ctx, rec.Operation, false)
			return nil, nil
		})
	}
	return rec.Operation, nil
}

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
	default:
		return &operation.Error{Code: operation.CodeUnavailable, Err: err, RetryAfter: 2 * time.Second,
			Message: "the operation store is not available; nothing is lost, try again"}
	}
}

// notAccepted is the refusal of an accept. Only the store's own answer says that nothing
// was taken: what went wrong on the way may have done so after it was.
func notAccepted(id uuid.UUID, err error) *operation.Error {
	e := refusal(err)
	if e.Code != operation.CodeUnavailable || errors.Is(err, redisstore.ErrStale) || errors.Is(err, redisstore.ErrOutboxFull) {
		return e
	}
	e.Operation = id
	e.Message = "it is not known whether the write was taken: send it again with the same Idempotency-Key, or read operation " + id.String()
	return e
}

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
