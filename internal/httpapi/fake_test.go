package httpapi

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"writeback/internal/auth"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// memory is an accepter, syncer, canceller and reader that keeps operations in a slice.
type memory struct {
	mu  sync.Mutex
	ops []operation.Operation
	// limits are those of the last accept.
	limits tsp.Limits
	// outcome ends sync operations. Nil: success.
	outcome *operation.Failure
	// fault is what every call answers, if set.
	fault error
	// calling is an operation whose call is under way.
	calling uuid.UUID
	// onAccept runs first in every accept.
	onAccept func(ctx context.Context)
	// onRepeated runs first when a key is looked up.
	onRepeated func(ctx context.Context)
}

func (m *memory) Accept(ctx context.Context, a operation.Accepted, limits tsp.Limits) (operation.Operation, error) {
	if m.onAccept != nil {
		m.onAccept(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return operation.Operation{}, m.fault
	}
	if a.Key != nil {
		for _, op := range m.ops {
			switch {
			case op.Key == nil || op.Key.Scope != a.Key.Scope:
			case op.Key.Fingerprint != a.Key.Fingerprint:
				return operation.Operation{}, &operation.Error{Code: operation.CodeInvalid, Message: "the key was used for another request", Faults: []operation.Fault{
					{Path: "header.Idempotency-Key", Message: "was used with another body or query", Type: "idempotency_key_reused"},
				}}
			default:
				return op, nil
			}
		}
	}
	m.limits = limits
	op := operation.Operation{Accepted: a, Status: operation.Pending}
	op.Seq = time.Now().UnixMicro()
	if n := len(m.ops); n > 0 {
		op.Seq = max(op.Seq, m.ops[n-1].Seq+1)
	}
	op.Deadline = op.CreatedAt().Add(limits.Deadline)
	op.UpdatedAt = op.CreatedAt()
	m.ops = append(m.ops, op)
	return op, nil
}

// Repeated finds an operation by its key.
func (m *memory) Repeated(ctx context.Context, connection uuid.UUID, key operation.Key) (operation.Operation, error) {
	if m.onRepeated != nil {
		m.onRepeated(ctx)
	}
	for _, op := range m.all() {
		if op.Key != nil && *op.Key == key && op.ConnectionID == connection {
			return op, nil
		}
	}
	return operation.Operation{}, &operation.Error{Code: operation.CodeNotFound, Message: "no such operation"}
}

// AcceptMany accepts one after the other.
func (m *memory) AcceptMany(
	ctx context.Context, all []operation.Accepted, limits func(operation.Accepted) tsp.Limits,
) ([]operation.Operation, []error) {
	ops, errs := make([]operation.Operation, len(all)), make([]error, len(all))
	for i, a := range all {
		ops[i], errs[i] = m.Accept(ctx, a, limits(a))
	}
	return ops, errs
}

// Outstanding counts what has not ended.
func (m *memory) Outstanding(_ context.Context, partner uuid.UUID) (n int, err error) {
	for _, op := range m.all() {
		if op.PartnerID == partner && !op.Status.Terminal() {
			n++
		}
	}
	return n, nil
}

// Cancel ends what is pending, but for what calling names.
func (m *memory) Cancel(_ context.Context, connection, id uuid.UUID) (operation.Operation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.ops {
		op := &m.ops[i]
		switch {
		case op.ID != id || op.ConnectionID != connection:
		case op.Status.Terminal():
			return operation.Operation{}, &operation.Error{
				Code: operation.CodeConflict, Message: "the operation has ended as " + string(op.Status),
			}
		case m.calling == id:
			return *op, nil
		default:
			op.Status = operation.Failed
			op.Attempts = []operation.Attempt{{ID: uuid.New(), Status: operation.AttemptFailed, Detail: "not written: cancelled"}}
			return *op, nil
		}
	}
	return operation.Operation{}, &operation.Error{Code: operation.CodeNotFound, Message: "no such operation"}
}

func (m *memory) Sync(ctx context.Context, a operation.Accepted, limits tsp.Limits) (operation.Operation, error) {
	op, err := m.Accept(ctx, a, limits)
	if err != nil || op.ID != a.ID {
		return op, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	row := operation.Attempt{ID: uuid.Must(uuid.NewV7()), OperationID: op.ID, StartedAt: op.CreatedAt(), EndedAt: op.CreatedAt()}
	op.Status, row.Status, row.StatusCode = operation.Succeeded, operation.AttemptSucceeded, 200
	if f := m.outcome; f != nil {
		op.Status, row.Status = operation.Failed, operation.AttemptFailed
		row.ErrorType, row.Detail, row.StatusCode = f.Type, f.Detail, f.StatusCode
	}
	op.Attempted, op.Attempts = 1, []operation.Attempt{row}
	m.ops[len(m.ops)-1] = op
	return op, nil
}

// DryRun says that the write would be one call with its payload as the body, or
// that the outcome stands against it. It keeps nothing.
func (m *memory) DryRun(
	_ context.Context, a operation.Accepted, limits tsp.Limits,
) (operation.Operation, []tsp.DraftCall, error) {
	if m.fault != nil {
		return operation.Operation{}, nil, m.fault
	}
	op := operation.Operation{Accepted: a, Status: operation.Succeeded, UpdatedAt: time.Now()}
	op.Seq = time.Now().UnixMicro()
	op.Deadline = op.CreatedAt().Add(limits.Deadline)
	if f := m.outcome; f != nil {
		op.Status = operation.Failed
		op.Attempts = []operation.Attempt{{
			ID: a.ID, OperationID: a.ID, StartedAt: op.UpdatedAt, EndedAt: op.UpdatedAt, Status: operation.AttemptFailed,
			ErrorType: f.Type, Detail: f.Detail, StatusCode: f.StatusCode,
		}}
		return op, nil, nil
	}
	return op, []tsp.DraftCall{{Method: "PATCH", Path: "/fleet/drivers/" + a.SourceID, Body: string(wire.Payload(a.Changes))}}, nil
}

func (m *memory) Get(_ context.Context, connection, id uuid.UUID) (operation.Operation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return operation.Operation{}, m.fault
	}
	for _, op := range m.ops {
		if op.ID == id && op.ConnectionID == connection {
			return op, nil
		}
	}
	return operation.Operation{}, &operation.Error{Code: operation.CodeNotFound, Message: "no such operation"}
}

func (m *memory) List(_ context.Context, q operation.Query) ([]operation.Operation, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return nil, false, m.fault
	}
	var found []operation.Operation
	for _, op := range m.ops {
		at := operation.Position{Seq: op.Seq, ID: op.ID}
		switch past := at.Compare(q.Position); {
		case op.PartnerID != q.PartnerID, !q.Matches(op.Accepted):
		case op.CreatedAt().Before(q.From), !op.CreatedAt().Before(q.To):
		case !q.Position.IsZero() && (past == 0 || (past < 0) != q.Backwards):
		default:
			found = append(found, op)
		}
	}
	if len(found) <= q.Limit {
		return found, false, nil
	}
	if q.Backwards {
		return slices.Clone(found[len(found)-q.Limit:]), true, nil
	}
	return found[:q.Limit], true, nil
}

// put stores an operation as it is.
func (m *memory) put(op operation.Operation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ops = append(m.ops, op)
}

func (m *memory) all() []operation.Operation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ops)
}

// endsNow is a scope whose token ends as soon as it is verified.
const endsNow = "ends:now"

// tokens verifies tokens of the form "partner|scope scope"; "expired", "bad" and
// "down" give the verifier's errors, "crash" panics.
type tokens struct{}

func (tokens) Verify(_ context.Context, token string) (auth.Principal, error) {
	switch token {
	case "expired":
		return auth.Principal{}, auth.ErrExpired
	case "down":
		return auth.Principal{}, auth.ErrUnavailable
	case "crash":
		panic("the verifier fell over")
	}
	name, list, ok := strings.Cut(token, "|")
	id, err := uuid.Parse(name)
	if !ok || err != nil {
		return auth.Principal{}, auth.ErrInvalid
	}
	scopes := map[string]bool{}
	for _, scope := range strings.Fields(list) {
		scopes[scope] = true
	}
	p := auth.Principal{PartnerID: id, Scopes: scopes}
	if scopes[endsNow] {
		p.ExpiresAt = worldTime
	}
	return p, nil
}

// provider is an adapter that is never called.
type provider struct{ description tsp.Description }

func (p provider) Describe() tsp.Description { return p.description }

func (provider) UpdateUser(context.Context, tsp.Connection, tsp.UserUpdate) (tsp.Result, error) {
	panic("the HTTP edge must not call a provider")
}

// creator is one that can create users, too.
type creator struct{ provider }

func (creator) CreateUser(context.Context, tsp.Connection, tsp.UserCreate) (tsp.Created, error) {
	panic("the HTTP edge must not call a provider")
}
