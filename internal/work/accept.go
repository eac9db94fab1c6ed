package work

import (
	"context"
	"errors"
	"log/slog"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"writeback/internal/telemetry"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// Accepter takes operations in. Safe for concurrent use.
type Accepter struct {
	parts    Parts
	cfg      Config
	acks     *Acker
	attempt  *Attempter
	recorder recorder
	offers   *offers
	// away is for what fails as long as NATS is away.
	away *slog.Logger
	// replays joins the publishes of replays of one operation at one time.
	replays singleflight.Group
}

// NewAccepter makes an accepter; acks must be running.
func NewAccepter(parts Parts, cfg Config, acks *Acker) *Accepter {
	attempt := NewAttempter(parts, cfg)
	return &Accepter{
		parts: parts, cfg: attempt.cfg, acks: acks, attempt: attempt,
		recorder: recorder{parts: parts, acks: acks, metrics: attempt.metrics}, offers: newOffers(),
		away: telemetry.Seldom(parts.Log),
	}
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
	if err == nil && receipt.Replay == uuid.Nil && receipt.Old() { // the store may have lost it since
		if receipt, err = a.parts.Store.Accept(ctx, in, storeLimits(l)); err != nil {
			err = errors.Join(errTaken, err)
		}
	}
	if err != nil {
		return operation.Operation{}, notAccepted(in.ID, err)
	}
	if receipt.Replay != uuid.Nil {
		return a.replay(ctx, in.ConnectionID, receipt.Replay)
	}
	op := pending(in, receipt.Place)
	if !receipt.Old() { // else the outbox does
		a.publish(ctx, op, !receipt.Handed && receipt.Outstanding < a.cfg.QuietBelow)
	}
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
	if err := a.parts.Publisher.Accepted(ctx, op.Message(), quiet); err != nil {
		a.away.WarnContext(ctx, "accepted message not published yet; the outbox will",
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
	if !rec.Accepted && !rec.Old() {
		_, _, _ = a.replays.Do(id.String(), func() (any, error) {
			// Its lane is in the due index; nobody has to be woken.
			a.publish(ctx, rec.Operation, false)
			return nil, nil
		})
	}
	return rec.Operation, nil
}
