package httpapi

import (
	"net/http"

	"github.com/google/uuid"

	"writeback/internal/directory"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// createPath is where users are created.
const createPath = "/v2/telematics/users"

// createUser accepts a new user the way that updateUser accepts a write to one.
func (s *server) createUser(w http.ResponseWriter, r *http.Request) error {
	return s.writeUser(w, r, create)
}

var create = writing{
	decode: (*server).decodeCreate, resolve: (*server).resolveCreate,
	path: func(write) string { return createPath },
}

// resolveCreate finds the connection and refuses a user that cannot be made there.
func (s *server) resolveCreate(partner uuid.UUID, in write) (operation.Accepted, tsp.Limits, error) {
	conn, ok := s.deps.Directory.Connection(partner, in.ConnectionID)
	if !ok || conn.Status == directory.ConnectionDeleted {
		return operation.Accepted{}, tsp.Limits{}, errNoConnection
	}
	provider, a, limits, err := s.resolve(conn, in)
	if err != nil {
		return operation.Accepted{}, tsp.Limits{}, err
	}
	rules := createRules(provider)
	if rules == nil {
		return operation.Accepted{}, tsp.Limits{}, &operation.Error{
			Code: operation.CodeNotImplemented, Message: "creating users is not implemented for " + conn.Provider,
		}
	}
	if faults := wire.Missing(in.Changes, rules.Required, rules.Instead); len(faults) > 0 {
		return operation.Accepted{}, tsp.Limits{}, &operation.Error{
			Code: operation.CodeInvalid, Message: "the new user lacks required fields", Faults: faults,
		}
	}
	a.Type = operation.Create
	return a, limits, nil
}

// createRules are what a provider needs to create a user. Nil: it cannot.
func createRules(p tsp.Provider) *tsp.CreateRules {
	if _, ok := p.(tsp.Creator); !ok {
		return nil
	}
	return p.Describe().Create
}
