package httpapi

import (
	"errors"
	"net/http"
	"strconv"

	"writeback/internal/wire"
	"writeback/pkg/operation"
)

var errNoOperation = &operation.Error{
	Code: operation.CodeNotFound, Message: "there is no such resource operation on this connection",
}

// ownOperation reads the operation that the path names. One of another partner, or
// asked for through another connection, is not there. The connection comes first: the
// store is not asked about another partner's, so that neither its words nor its state
// tell what is there. A deleted one keeps its history.
func (s *server) ownOperation(r *http.Request) (operation.Operation, error) {
	connection, badConnection := wire.ParseUUID("path.connection_id", r.PathValue("connection_id"))
	id, badID := wire.ParseUUID("path.resource_operation_id", r.PathValue("resource_operation_id"))
	if err := wire.Invalid(badConnection, badID); err != nil {
		return operation.Operation{}, err
	}
	t := trailOf(r.Context())
	t.connection, t.operation = connection, id
	partner := principalOf(r.Context()).PartnerID
	if _, ok := s.deps.Directory.Connection(partner, connection); !ok {
		return operation.Operation{}, errNoOperation
	}
	op, err := s.deps.Reader.Get(r.Context(), connection, id)
	var known *operation.Error
	switch {
	case errors.As(err, &known) && known.Code == operation.CodeNotFound:
		return operation.Operation{}, errNoOperation
	case err != nil:
		return operation.Operation{}, err
	case op.PartnerID != partner || op.ConnectionID != connection || op.ID != id:
		return operation.Operation{}, errNoOperation
	}
	return op, nil
}

// placeURL is where an operation is read.
func placeURL(op operation.Operation) string {
	return "/v2/integrations/connections/" + op.ConnectionID.String() + "/resource-operations/" + op.ID.String()
}

// getOperation shows one operation.
func (s *server) getOperation(w http.ResponseWriter, r *http.Request) error {
	op, err := s.ownOperation(r)
	if err != nil {
		return err
	}
	if op.Status == operation.Pending {
		wait := wire.RetryAfterSeconds(op.Wait.Until.Sub(s.now()))
		w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	s.write(w, r, http.StatusOK, wire.ReadView(op))
	return nil
}

// listOperations shows a page of the partner's operations, oldest first.
func (s *server) listOperations(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r)
	if err != nil {
		return err
	}
	q, cursor, err := wire.ParseListOperations(values, s.now())
	if err != nil {
		return err
	}
	l, err := s.listing(wire.KindOperations, values, cursor)
	if err != nil {
		return err
	}
	if cursor == "" {
		l.at.From, l.at.To = q.From, q.To
	}
	l.at.Apply(&q)
	q.PartnerID = principalOf(r.Context()).PartnerID
	trailOf(r.Context()).connection = q.ConnectionID
	ops, more, err := s.deps.Reader.List(r.Context(), q)
	if err != nil {
		return err
	}
	s.write(w, r, http.StatusOK, paged(l, ops, placeOf, wire.ReadView, more))
	return nil
}
