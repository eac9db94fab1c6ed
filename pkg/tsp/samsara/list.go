package samsara

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// The two walks of a list, in order, by the activation status that they ask for.
const (
	active      = "active"
	deactivated = "deactivated"
)

// pageSize is below the 512 that Samsara allows: a page has to fit into the cap of
// an answer, and a driver may have many tags and settings.
const pageSize = 200

// ListUsers gives one page of drivers, with their external ids as aliases. A cursor is
// the status of the walk, a colon, and Samsara's own cursor. A driver whose status changes
// during the walk may be given twice or not at all. Every error is an *operation.Failure.
func (p *Provider) ListUsers(ctx context.Context, conn tsp.Connection, cursor string) (tsp.UserPage, error) {
	s := p.session(conn, nil)
	if f := s.check(); f != nil {
		return tsp.UserPage{}, f
	}
	if cursor == "" {
		cursor = active + ":"
	}
	status, after, ok := strings.Cut(cursor, ":")
	if !ok || status != active && status != deactivated {
		return tsp.UserPage{}, operation.Refuse("samsara: list drivers: the cursor is not one that was given")
	}
	query := url.Values{"driverActivationStatus": {status}, "limit": {strconv.Itoa(pageSize)}}
	if after != "" {
		query.Set("after", after)
	}
	const what = "samsara: list drivers"
	answer, err := s.do(ctx, httpcall.Request{What: what, Method: http.MethodGet, URL: "/fleet/drivers?" + query.Encode()})
	if err != nil {
		return tsp.UserPage{}, err
	}
	list, drivers, err := decodeList(answer.Body, after)
	if err != nil {
		f := answer.Garbled(what)
		f.Err = err
		return tsp.UserPage{}, f
	}
	page := tsp.UserPage{Result: resultOf(answer), Users: make([]tsp.ListedUser, len(drivers))}
	for i, d := range drivers {
		page.Users[i] = tsp.ListedUser{SourceID: d.ID, Aliases: d.aliases(), Fields: p.listed(d, conn.Settings)}
	}
	switch {
	case list.Pagination.HasNextPage:
		page.Next = status + ":" + list.Pagination.EndCursor
	case status == active:
		page.Next = deactivated + ":"
	}
	return page, nil
}

// maxPage is the most drivers that Samsara gives at once.
const maxPage = 512

// decodeList reads the answer to a page: every driver has an id, and the next page, if
// there is one, is another.
func decodeList(body []byte, after string) (list listAnswer, drivers []driver, err error) {
	if err := json.Unmarshal(body, &list); err != nil {
		return list, nil, err
	}
	page := list.Pagination
	if list.Data == nil || len(list.Data) > maxPage || page == nil || page.HasNextPage && (page.EndCursor == "" || page.EndCursor == after) {
		return list, nil, errors.New("samsara: decode drivers: the answer is no page of them")
	}
	drivers = make([]driver, len(list.Data))
	for i, raw := range list.Data {
		if err := json.Unmarshal(raw, &drivers[i]); err != nil {
			return list, nil, err
		}
		if !tsp.IsSourceID(drivers[i].ID) {
			return list, nil, errors.New("samsara: decode drivers: one has no id")
		}
	}
	return list, drivers, nil
}

// ReadUser reads the driver back. Left out is what Samsara does not hold as it was
// sent: the parts of a name of more than two words, and a number whose country code
// is part of it. Every error is an *operation.Failure.
func (p *Provider) ReadUser(ctx context.Context, conn tsp.Connection, sourceID string) (operation.Changes, error) {
	s := p.session(conn, nil)
	if f := s.checkUser(sourceID); f != nil {
		return nil, f
	}
	d, _, err := s.get(ctx, sourceID)
	if err != nil {
		return nil, err
	}
	fields := p.fields(d, conn.Settings)
	if len(strings.Fields(d.Name)) != 2 {
		delete(fields, operation.FieldFirstName)
		delete(fields, operation.FieldLastName)
	}
	if strings.HasPrefix(strings.TrimSpace(d.Phone), "+") {
		delete(fields, operation.FieldPhoneNumber)
	}
	// A number without a visible code may still be one with its code.
	delete(fields, operation.FieldPhoneCountryCode)
	return fields, nil
}
