package work

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// manyPublisher publishes many accepted operations with one message; see
// natsq.Publisher. A publisher that cannot gets them one by one from the outbox.
type manyPublisher interface {
	AcceptedMany(ctx context.Context, all []operation.Message) (published int, err error)
}

const (
	// wakesMost is how many lanes of a batch are woken by messages. The others are found
	// by the next poll.
	wakesMost = 16
	// replaysAtOnce is how many replays of a batch are read at once.
	replaysAtOnce = 128
)

// AcceptMany is Accept for the elements of one request: it stores them with one script
// a shard and publishes them with one message. limits gives those of each. For each
// element, in order, it gives the operation or an *operation.Error; writes to one user
// are accepted in the order given. A replay is an operation with another id than its
// element's.
func (a *Accepter) AcceptMany(
	ctx context.Context, all []operation.Accepted, limits func(operation.Accepted) tsp.Limits,
) ([]operation.Operation, []error) {
	taken := a.parts.Store.AcceptMany(ctx, all, func(in operation.Accepted) redisstore.Limits { return storeLimits(limits(in)) })
	a.askAgain(ctx, all, taken, limits)
	ops, errs := make([]operation.Operation, len(all)), make([]error, len(all))
	fresh := make(map[uuid.UUID]int, len(all))
	var stored []operation.Operation
	outstanding := map[uuid.UUID]int{}
	for i, t := range taken {
		switch {
		case t.Err != nil:
			errs[i] = notAccepted(all[i].ID, t.Err)
		case t.Receipt.Replay == uuid.Nil:
			ops[i] = pending(all[i], t.Receipt.Place)
			fresh[all[i].ID] = i
			if !t.Receipt.Old() { // else the outbox publishes it
				stored = append(stored, ops[i])
				outstanding[all[i].ConnectionID] = t.Receipt.Outstanding
			}
		}
	}
	a.publishMany(ctx, stored, a.waking(stored, outstanding))
	a.replayMany(ctx, all, taken, fresh, ops, errs)
	return ops, errs
}

// askAgain accepts once more what was accepted too long ago: the store may have lost it since.
// One after the other, so that writes to one user stay in order, and until the store is slow or
// refuses one: the others are as sure as what it has accepted ever is.
func (a *Accepter) askAgain(
	ctx context.Context, all []operation.Accepted, taken []redisstore.Taken, limits func(operation.Accepted) tsp.Limits,
) {
	for i, t := range taken {
		if t.Err != nil || t.Receipt.Replay != uuid.Nil || !t.Receipt.Old() {
			continue
		}
		again, err := a.parts.Store.Accept(ctx, all[i], storeLimits(limits(all[i])))
		if err != nil {
			taken[i].Err = errors.Join(errTaken, err)
			return
		}
		if taken[i].Receipt = again; again.Old() {
			return
		}
	}
}

// waking names the first operation of each lane of a batch that a worker should look at
// without delay: those that have little outstanding after it, as with a single accept.
func (a *Accepter) waking(ops []operation.Operation, outstanding map[uuid.UUID]int) map[uuid.UUID]bool {
	first := map[uuid.UUID]bool{}
	for _, op := range ops {
		if n, ahead := outstanding[op.ConnectionID]; ahead && n < a.cfg.QuietBelow && len(first) < wakesMost {
			first[op.ID] = true
		}
		delete(outstanding, op.ConnectionID)
	}
	return first
}

// publishMany publishes new operations: those that wake a lane as quiet ones, the others
// together. What fails is left to the outbox and is no error.
func (a *Accepter) publishMany(ctx context.Context, ops []operation.Operation, quiet map[uuid.UUID]bool) {
	ctx = context.WithoutCancel(ctx) // as with a single accept
	var g errgroup.Group
	together := make([]operation.Message, 0, len(ops))
	for _, op := range ops {
		if quiet[op.ID] {
			g.Go(func() error { a.publish(ctx, op, true); return nil })
			continue
		}
		together = append(together, op.Message())
	}
	a.publishTogether(ctx, together)
	_ = g.Wait()
}

func (a *Accepter) publishTogether(ctx context.Context, all []operation.Message) {
	many, ok := a.parts.Publisher.(manyPublisher)
	if !ok || len(all) == 0 {
		return
	}
	n, err := many.AcceptedMany(ctx, all)
	if err != nil {
		a.away.WarnContext(ctx, "a batch is not published yet; the outbox will", "operations", len(all)-n, "error", err)
	}
	for _, m := range all[:n] {
		a.acks.Note(redisstore.Ack{Connection: m.ConnectionID, ID: m.ID, Accepted: true})
	}
}

// replayMany answers the elements whose idempotency key stands for an operation
// already, after it has published what nobody has yet. fresh are those of this batch.
func (a *Accepter) replayMany(
	ctx context.Context, all []operation.Accepted, taken []redisstore.Taken, fresh map[uuid.UUID]int, ops []operation.Operation, errs []error,
) {
	records := make([]redisstore.Record, len(all))
	var g errgroup.Group
	g.SetLimit(replaysAtOnce)
	for i, t := range taken {
		if t.Err != nil || t.Receipt.Replay == uuid.Nil {
			continue
		}
		if first, ok := fresh[t.Receipt.Replay]; ok {
			ops[i] = ops[first]
			continue
		}
		g.Go(func() error {
			rec, err := a.parts.Store.GetRecord(ctx, all[i].ConnectionID, t.Receipt.Replay)
			if err != nil {
				errs[i] = refusal(err)
				return nil
			}
			ops[i], records[i] = rec.Operation, rec
			return nil
		})
	}
	_ = g.Wait()
	var unpublished []operation.Message
	names := sha256.New()
	for _, rec := range records {
		if op := rec.Operation; op.ID != uuid.Nil && !rec.Accepted && !rec.Old() {
			unpublished = append(unpublished, op.Message())
			_, _ = names.Write(op.ID[:])
		}
	}
	if len(unpublished) == 0 {
		return
	}
	// As many repeats as come at one time publish once. Their lanes are in the due
	// index; nobody has to be woken.
	_, _, _ = a.replays.Do(string(names.Sum(nil)), func() (any, error) {
		a.publishTogether(context.WithoutCancel(ctx), unpublished)
		return nil, nil
	})
}
