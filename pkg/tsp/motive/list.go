package motive

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

const (
	// perPage is the most that Motive gives at once.
	perPage = 100
	// maxPage bounds a cursor.
	maxPage = 1_000_000
)

// ListUsers gives a page of the company's users, deactivated ones too. The cursor
// is the number of the page: a user may be missed by one walk if others come or go
// meanwhile, which Total gives away. A walk ends when it has been told of as many users as there are, or at
// an empty page. Every error is an *operation.Failure.
func (p *Provider) ListUsers(ctx context.Context, conn tsp.Connection, cursor string) (tsp.UserPage, error) {
	const what = "motive: list users"
	page := 1
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 1 || n > maxPage {
			return tsp.UserPage{}, operation.Refuse("%s: the cursor is none of this provider's", what)
		}
		page = n
	}
	c, failure := p.client(conn, nil)
	if failure != nil {
		return tsp.UserPage{}, failure
	}
	answer, err := c.do(ctx, httpcall.Request{
		What: what, Method: http.MethodGet, URL: fmt.Sprintf("/v1/users?per_page=%d&page_no=%d", perPage, page),
	})
	if err != nil {
		return tsp.UserPage{}, err
	}
	list, err := decodeList(answer.Body)
	if err != nil {
		f := answer.Garbled(what)
		f.Err = err
		return tsp.UserPage{}, f
	}
	out := tsp.UserPage{
		Next: list.next(page), Total: max(list.Pagination.Total, 0), Result: resultOf(answer),
		Users: make([]tsp.ListedUser, len(list.Users)),
	}
	for i, item := range list.Users {
		out.Users[i] = tsp.ListedUser{SourceID: idOf(item.User), Fields: p.listed(item.User)}
	}
	return out, nil
}

// next is the cursor after the page, or "" if it was the last. A page that holds
// less than the total promises is not the last one.
func (l userList) next(page int) string {
	size := cmp.Or(max(l.Pagination.PerPage, 0), perPage)
	told := (page-1)*size + len(l.Users)
	switch {
	case len(l.Users) == 0, l.Pagination.Total > 0 && told >= l.Pagination.Total, page >= maxPage,
		l.Pagination.Total <= 0 && len(l.Users) < size:
		return ""
	}
	return strconv.Itoa(page + 1)
}
