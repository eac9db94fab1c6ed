package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"writeback/internal/directory"
	"writeback/internal/natsq"
	"writeback/internal/wire"
	"writeback/internal/work"
	"writeback/pkg/operation"
	"writeback/pkg/operation/redisstore"
	"writeback/pkg/tsp"
)

// storeOperations works on the store itself, for any partner.
type storeOperations struct{ c *ctl }

func viewOperation(op operation.Operation) operationView {
	v := operationView{
		ID: op.ID, Connection: op.ConnectionID, Partner: op.PartnerID, Provider: op.Provider, Resource: op.Resource,
		ResourceID: op.ResourceID, SourceID: op.SourceID, Type: op.Type, Sync: op.Sync, RetryOf: op.RetryOf,
		Trace: op.TraceParent, Status: op.Status, Seq: op.Seq, CreatedAt: op.CreatedAt(), UpdatedAt: op.UpdatedAt,
		Deadline: stamp(op.Deadline), Attempted: op.Attempted, Cancelling: op.CancelRequested,
		Waits: string(op.Wait.Reason), WaitsUntil: stamp(op.Wait.Until), Attempts: []attemptView{},
	}
	if op.Wait.Behind != uuid.Nil {
		v.Behind = &op.Wait.Behind
	}
	_ = json.Unmarshal(wire.Payload(op.Changes), &v.Payload) // our own form
	for _, a := range op.Attempts {
		v.Attempts = append(v.Attempts, attemptView{
			ID: a.ID, StartedAt: a.StartedAt, EndedAt: a.EndedAt, Status: a.Status, ErrorType: a.ErrorType,
			Code: a.StatusCode, Unknown: a.Unknown, Detail: a.Detail, TraceID: a.TraceID,
		})
	}
	return v
}

func (o storeOperations) get(ctx context.Context, connection, id uuid.UUID) (operationView, error) {
	store, err := o.c.store()
	if err != nil {
		return operationView{}, err
	}
	op, err := store.Get(ctx, connection, id)
	if err != nil {
		return operationView{}, explain(ctx, err)
	}
	return viewOperation(op), nil
}

// listPage is how many operations are read at a time.
const listPage = 500

// list walks back from now until enough are found.
func (o storeOperations) list(ctx context.Context, q listing) ([]operationView, error) {
	partner, err := o.partnerOf(ctx, q)
	if err != nil {
		return nil, err
	}
	store, err := o.c.store()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	query := operation.Query{
		PartnerID: partner, ConnectionID: q.connection, From: now.Add(-q.since), To: now.Add(time.Minute),
		Backwards: true, Limit: listPage,
	}
	views := []operationView{}
	for more := true; more && len(views) < q.limit; {
		var ops []operation.Operation
		ops, more, err = store.ListReadable(ctx, query, func(_ uuid.UUID, err error) { o.c.say("left out: %s", explain(ctx, err)) })
		if err != nil {
			return nil, explain(ctx, err)
		}
		for _, op := range slices.Backward(ops) {
			if len(views) < q.limit && (q.status == "" || string(op.Status) == q.status) {
				views = append(views, viewOperation(op))
			}
		}
		if len(ops) > 0 {
			query.Position = operation.Position{Seq: ops[0].Seq, ID: ops[0].ID}
		}
	}
	slices.Reverse(views)
	return views, nil
}

// partnerOf gives the partner whose operations are listed.
func (o storeOperations) partnerOf(ctx context.Context, q listing) (uuid.UUID, error) {
	switch {
	case q.partner != uuid.Nil:
		return q.partner, nil
	case q.connection == uuid.Nil:
		return uuid.Nil, wrongUsage("operation list takes --connection or --partner; through the API (WRITEBACK_API_URL) it lists those of the token's partner")
	}
	d, _, err := o.c.directory(ctx)
	if err != nil {
		return uuid.Nil, err
	}
	conn, ok := d.ConnectionByID(q.connection)
	if !ok {
		return uuid.Nil, errors.New("the directory has no such connection; name its --partner")
	}
	return conn.PartnerID, nil
}

// cancel leaves telling the streams to the outbox, which a worker or api sends.
func (o storeOperations) cancel(ctx context.Context, connection, id uuid.UUID) (operationView, error) {
	store, err := o.c.store()
	if err != nil {
		return operationView{}, err
	}
	// The script looks at the operation's id alone.
	if _, err := store.Get(ctx, connection, id); err != nil && !errors.Is(err, redisstore.ErrUnreadable) {
		return operationView{}, explain(ctx, err)
	}
	rec, err := store.Cancel(ctx, connection, id)
	if errors.Is(err, redisstore.ErrUnreadable) {
		return operationView{}, fmt.Errorf("it is cancelled, if it was pending; what it is now cannot be shown: %w", explain(ctx, err))
	}
	if errors.Is(err, redisstore.ErrEnded) {
		return operationView{}, fmt.Errorf("the operation has ended as %s; only a pending one can be cancelled", rec.Operation.Status)
	}
	if err != nil {
		return operationView{}, explain(ctx, err)
	}
	return viewOperation(rec.Operation), nil
}

func (o storeOperations) retry(ctx context.Context, connection, id uuid.UUID) (operationView, error) {
	store, err := o.c.store()
	if err != nil {
		return operationView{}, err
	}
	failed, err := store.Get(ctx, connection, id)
	if err != nil {
		return operationView{}, explain(ctx, err)
	}
	d, providers, err := o.c.existing(ctx, directory.Config{})
	if err != nil {
		return operationView{}, err
	}
	again, limits, err := repeated(failed, d, providers)
	if err != nil {
		return operationView{}, err
	}
	op, err := o.accept(ctx, store, again, limits)
	return viewOperation(op), err
}

// repeated is a failed operation as it is accepted once more, by the rules of the API.
func repeated(failed operation.Operation, d *directory.Directory, providers *tsp.Registry) (operation.Accepted, tsp.Limits, error) {
	none := operation.Accepted{}
	user, conn, known := d.User(failed.PartnerID, failed.ResourceID)
	provider, spoken := providers.Get(failed.Provider)
	switch {
	case failed.Status != operation.Failed:
		return none, tsp.Limits{}, fmt.Errorf("the operation is %s; only a failed one can be retried", failed.Status)
	case failed.Resource != operation.ResourceUser || failed.Type != operation.Update:
		return none, tsp.Limits{}, errors.New("only updates of users can be retried here; others through the API (WRITEBACK_API_URL)")
	case !known || conn.ID != failed.ConnectionID:
		return none, tsp.Limits{}, errors.New("the user is not in the directory any more")
	case conn.Status != directory.ConnectionActive:
		return none, tsp.Limits{}, fmt.Errorf("the connection is %s, not active", conn.Status)
	case conn.Share != directory.ShareReadWrite:
		return none, tsp.Limits{}, errors.New("the fleet shares this connection for reading only")
	case !spoken:
		return none, tsp.Limits{}, fmt.Errorf("there is no adapter for %s", failed.Provider)
	}
	fresh, err := uuid.NewV7()
	limits := work.LimitsOf(provider, conn)
	return operation.Accepted{
		Version: operation.Version, ID: fresh, PartnerID: conn.PartnerID, ConnectionID: conn.ID, FleetRef: conn.FleetRef,
		Provider: conn.Provider, Resource: failed.Resource, ResourceID: user.ID, SourceID: user.SourceID, Type: failed.Type,
		Changes: failed.Changes, MaxAttempts: limits.MaxAttempts, RetryOf: &failed.ID,
	}, limits, err
}

// accept takes an operation in as the api does.
func (o storeOperations) accept(ctx context.Context, store *redisstore.Store, a operation.Accepted, limits tsp.Limits) (operation.Operation, error) {
	log := slog.New(slog.DiscardHandler) // a message that is not published is the outbox's
	acker := work.NewAcker(store, log)
	acking, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- acker.Run(acking) }()
	accepter := work.NewAccepter(work.Parts{Store: store, Publisher: natsq.NewPublisher(o.c.nc, o.c.js), Log: log}, work.Config{}, acker)
	op, err := accepter.Accept(ctx, a, limits)
	stop()
	return op, errors.Join(err, <-done)
}
