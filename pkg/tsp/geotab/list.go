package geotab

import (
	"context"
	"regexp"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// perPage keeps a page well below what is read of an answer: a user may have many
// groups.
const perPage = 100

// userID is what an id looks like.
var userID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ListUsers gives a page of the database's users in the order of their ids, ended
// ones too. The cursor is the last id of the page before, so that a walk misses
// nobody who was there all the time; it ends at an empty page. Every error is an
// *operation.Failure.
func (p *Provider) ListUsers(ctx context.Context, conn tsp.Connection, cursor string) (tsp.UserPage, error) {
	const what = "geotab: list users"
	sort := map[string]string{"sortBy": "id", "sortDirection": "asc"}
	if cursor != "" {
		if !userID.MatchString(cursor) {
			return tsp.UserPage{}, operation.Refuse("%s: the cursor is none of this provider's", what)
		}
		sort["offset"] = cursor
	}
	c, failure := p.client(conn, nil)
	if failure != nil {
		return tsp.UserPage{}, failure
	}
	c.moved = p.settled(conn.Credentials) // a list is not told, and seldom called
	users, answer, err := c.getUsers(ctx, what, map[string]any{"resultsLimit": perPage, "sort": sort})
	if err != nil {
		return tsp.UserPage{}, err
	}
	page := tsp.UserPage{Result: resultOf(answer), Users: make([]tsp.ListedUser, len(users))}
	for i, user := range users {
		page.Users[i] = tsp.ListedUser{SourceID: user.text("id"), Fields: p.listed(user)}
		page.Next = page.Users[i].SourceID
	}
	if page.Next != "" && page.Next == cursor {
		return tsp.UserPage{}, answer.Garbled(what) // the same page for ever
	}
	return page, nil
}
