package simulator

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

var requiredToCreate = []operation.Field{operation.FieldUsername}

// createdPrefix starts the ids of users that were created.
const createdPrefix = "sim-"

// CreateUser holds a new user, or fails as the user_designation asks. The id is
// made of the operation's, so that a repeat has the same user, in any process.
// Every error is an *operation.Failure, or httpcall.ErrDraft in a dry run.
func (p *Provider) CreateUser(ctx context.Context, conn tsp.Connection, user tsp.UserCreate) (tsp.Created, error) {
	refused := tsp.NewRefusals(Name)
	for _, f := range requiredToCreate {
		if v, _ := user.Changes.Get(f); v.Text() == "" {
			refused.Add(f, "it is needed to create a user")
		}
	}
	if f := refused.Failure(); f != nil {
		return tsp.Created{}, f
	}
	id := createdPrefix + user.OperationID.String()
	result, err := p.apply(ctx, write{
		method: http.MethodPost, path: "/users", operation: user.OperationID,
		key: userKey{connection: conn.ID, sourceID: id}, changes: user.Changes,
	})
	if err != nil {
		return tsp.Created{}, err
	}
	return tsp.Created{Result: result, SourceID: id}, nil
}

// ReadUser gives the fields that this process holds of a user; of one that it does
// not hold, none. Every error is an *operation.Failure.
func (p *Provider) ReadUser(ctx context.Context, conn tsp.Connection, sourceID string) (operation.Changes, error) {
	if f := p.wait(ctx); f != nil {
		return nil, f
	}
	held := p.User(conn.ID, sourceID)
	if held == nil {
		held = operation.Changes{}
	}
	return held, nil
}

// pageSize is how many users a page has.
const pageSize = 100

// ListUsers gives a page of the users that this process holds, in the order of
// their ids. A cursor is the last id of the page before, so it stays good whatever
// comes and goes. Every error is an *operation.Failure.
func (p *Provider) ListUsers(ctx context.Context, conn tsp.Connection, cursor string) (tsp.UserPage, error) {
	if f := p.wait(ctx); f != nil {
		return tsp.UserPage{}, f
	}
	ids := p.heldAfter(conn.ID, cursor)
	page := tsp.UserPage{Result: tsp.Result{StatusCode: http.StatusOK}}
	if len(ids) > pageSize {
		ids = ids[:pageSize]
		page.Next = ids[pageSize-1]
	}
	for _, id := range ids {
		// One that was forgotten meanwhile has no fields.
		page.Users = append(page.Users, tsp.ListedUser{SourceID: id, Fields: p.User(conn.ID, id)})
	}
	return page, nil
}

// heldAfter gives the ids after one, in order.
func (p *Provider) heldAfter(connection uuid.UUID, after string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	p.users.each(func(key userKey, _ operation.Changes) {
		if key.connection == connection && strings.Compare(key.sourceID, after) > 0 {
			ids = append(ids, key.sourceID)
		}
	})
	slices.Sort(ids)
	return ids
}
