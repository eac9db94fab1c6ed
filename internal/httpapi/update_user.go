package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"writeback/internal/directory"
	"writeback/internal/telemetry"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// updateUser accepts a write to a user: now, if is_sync says so, else for later.
func (s *server) updateUser(w http.ResponseWriter, r *http.Request) error {
	return s.writeUser(w, r, update)
}

var update = writing{
	decode: (*server).decodeUpdate, resolve: (*server).resolveUpdate,
	path: func(in write) string { return "/v2/telematics/users/" + in.user.String() },
}

// writing is what tells one kind of write from another.
type writing struct {
	decode  func(s *server, r *http.Request, body []byte) (write, error)
	resolve func(s *server, partner uuid.UUID, in write) (operation.Accepted, tsp.Limits, error)
	// path is the canonical one of the request.
	path func(in write) string
}

// writeUser is the way of every write. The checks go from what costs nothing to
// what costs most, and nothing is stored before all of them have passed.
func (s *server) writeUser(w http.ResponseWriter, r *http.Request, kind writing) error {
	body, err := s.jsonBody(w, r)
	if err != nil {
		return err
	}
	in, err := kind.decode(s, r, body)
	if err != nil {
		return err
	}
	partner := principalOf(r.Context()).PartnerID
	a, limits, refused := kind.resolve(s, partner, in)
	if in.mode.Dry {
		if refused != nil {
			return refused
		}
		return s.dryRun(w, r, a, limits)
	}
	key, err := requestKey(r)
	if err != nil {
		return err
	}
	if key != "" {
		a.Key = hashedKey(r, key, partner, kind.path(in), in.mode.Sync, body)
	}
	op, err := s.submit(w, r, in.ConnectionID, a, limits, refused)
	if err != nil {
		return givenKey{headerKey, key}.blamed(err)
	}
	s.answerWrite(w, r, op, in.mode.Sync)
	return nil
}

// submit gives a write its id and its trace, and hands it over. One that is refused, or for which
// there is no room, is what its key has stood for, or the refusal.
func (s *server) submit(
	w http.ResponseWriter, r *http.Request, connection uuid.UUID, a operation.Accepted, limits tsp.Limits, refused error,
) (op operation.Operation, err error) {
	t := trailOf(r.Context())
	t.connection = a.ConnectionID
	if refused == nil {
		refused = s.deps.Admission.Room(r.Context(), a.PartnerID, 1)
	}
	if refused != nil {
		ctx, cancel := s.deadline(r.Context(), s.cfg.Timeout)
		defer cancel()
		if op, err = s.repeated(ctx, connection, a.Key, refused); err != nil {
			return op, err
		}
		t.operation, t.connection = op.ID, connection
		return op, replayed(w, op)
	}
	if a.ID, err = s.ids.New(a.ConnectionID); err != nil {
		return op, fmt.Errorf("httpapi: operation id: %w", err)
	}
	a.TraceParent, a.TraceState = telemetry.Inject(r.Context())
	t.operation = a.ID
	if op, err = s.accept(r.Context(), a, limits); err != nil {
		return op, located(w, a.ConnectionID, err)
	}
	t.operation = op.ID
	s.meters.taken(r.Context(), a, op.ID != a.ID)
	if op.ID != a.ID {
		return op, replayed(w, op)
	}
	return op, nil
}

// located says where to read what a refused write may have become after all.
func located(w http.ResponseWriter, connection uuid.UUID, err error) error {
	var known *operation.Error
	if errors.As(err, &known) && known.Operation != uuid.Nil {
		w.Header().Set("Location", placeURL(operation.Operation{Accepted: operation.Accepted{ID: known.Operation, ConnectionID: connection}}))
	}
	return err
}

// accept takes the write in. A sync write is not broken off when the caller goes
// away: it may have reached the provider, and its outcome must be recorded.
func (s *server) accept(ctx context.Context, a operation.Accepted, limits tsp.Limits) (operation.Operation, error) {
	if !a.Sync {
		ctx, cancel := s.deadline(ctx, s.cfg.Timeout)
		defer cancel()
		return s.deps.Accepter.Accept(ctx, a, limits)
	}
	ctx, cancel := s.deadline(context.WithoutCancel(ctx), limits.Call+s.cfg.SyncMargin)
	defer cancel()
	return s.deps.Accepter.Sync(ctx, a, limits)
}

// soon is a Retry-After of one second; see noStore.
var soon = []string{"1"}

// answerWrite writes the operation with the status of its kind of accept.
func (s *server) answerWrite(w http.ResponseWriter, r *http.Request, op operation.Operation, sync bool) {
	h, place := w.Header(), []string{placeURL(op)}
	h["Location"], h["Operation-Location"] = place, place
	status := http.StatusAccepted
	switch {
	case sync && op.Status == operation.Succeeded:
		status = http.StatusOK
	case sync && op.Status == operation.Failed:
		status = http.StatusBadGateway
	case op.Status == operation.Pending:
		h["Retry-After"] = soon
	}
	s.write(w, r, status, wire.WriteView(op))
}

var errNoUser = &operation.Error{
	Code: operation.CodeNotFound, Message: "there is no such user on this connection",
}

// resolveUpdate finds what the write concerns, and refuses one that cannot be made.
// An unknown user, an unknown connection, a pair that does not belong together and
// what is another partner's all look the same.
func (s *server) resolveUpdate(partner uuid.UUID, in write) (operation.Accepted, tsp.Limits, error) {
	user, conn, ok := s.deps.Directory.User(partner, in.user)
	if !ok || conn.ID != in.ConnectionID || conn.Status == directory.ConnectionDeleted {
		return operation.Accepted{}, tsp.Limits{}, errNoUser
	}
	_, a, limits, err := s.resolve(conn, in)
	a.Type, a.ResourceID, a.SourceID = operation.Update, user.ID, user.SourceID
	return a, limits, err
}

// resolve says that the connection takes writes of users, and through what.
func (s *server) resolve(conn directory.Connection, in write) (tsp.Provider, operation.Accepted, tsp.Limits, error) {
	if err := writable(conn); err != nil {
		return nil, operation.Accepted{}, tsp.Limits{}, err
	}
	provider, ok := s.deps.Providers.Get(conn.Provider)
	if !ok {
		return nil, operation.Accepted{}, tsp.Limits{}, &operation.Error{
			Code: operation.CodeNotImplemented, Message: "writing users is not implemented for " + conn.Provider,
		}
	}
	limits := conn.Limits.Over(provider.Describe().Limits).WithDefaults()
	return provider, operation.Accepted{
		Version:      operation.Version,
		PartnerID:    conn.PartnerID,
		ConnectionID: conn.ID,
		FleetRef:     conn.FleetRef,
		Provider:     conn.Provider,
		Resource:     operation.ResourceUser,
		Changes:      in.Changes,
		Sync:         in.mode.Sync,
		MaxAttempts:  limits.MaxAttempts,
	}, limits, nil
}

// writable says why a connection cannot be written to, or nothing.
func writable(conn directory.Connection) error {
	switch {
	case conn.Status != directory.ConnectionActive:
		return &operation.Error{
			Code: operation.CodeConflict, Message: fmt.Sprintf("the connection is %s, not active", conn.Status),
		}
	case conn.Share != directory.ShareReadWrite:
		return &operation.Error{
			Code: operation.CodeForbidden, Message: "the fleet shares this connection for reading only (share level read)",
		}
	}
	return nil
}
