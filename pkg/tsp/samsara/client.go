package samsara

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// client knows where the API is.
type client struct {
	call *httpcall.Client
	base string
}

// session is one write for one connection.
type session struct {
	client
	conn tsp.Connection
	user tsp.UserUpdate
}

const tokenKey = "access_token"

// check refuses what cannot be turned into a call.
func (s session) check() *operation.Failure {
	if s.conn.Credentials[tokenKey] == "" {
		return &operation.Failure{Type: operation.ErrorAuth, Detail: "samsara: the connection has no access token"}
	}
	// A dot segment would be resolved away by the server and name another resource.
	switch s.user.SourceID {
	case "", ".", "..":
		return operation.Refuse("samsara: the user has no usable id at the provider")
	}
	return nil
}

// get reads the driver.
func (s session) get(ctx context.Context) (driver, tsp.Result, error) {
	return s.driver(ctx, httpcall.Request{What: "samsara: get driver", Method: http.MethodGet})
}

// patch writes the keys of the driver; others are kept by the provider.
func (s session) patch(ctx context.Context, keys map[string]any) (tsp.Result, error) {
	const what = "samsara: patch driver"
	body, err := json.Marshal(keys)
	if err != nil {
		return tsp.Result{}, &operation.Failure{
			Type: operation.ErrorValidation, Detail: what + ": the request could not be built", Err: err,
		}
	}
	_, result, err := s.driver(ctx, httpcall.Request{What: what, Method: http.MethodPatch, Body: body})
	return result, err
}

// driver makes one call on the driver; both calls answer with the whole of it.
func (s session) driver(ctx context.Context, r httpcall.Request) (driver, tsp.Result, error) {
	r.URL = s.base + "/fleet/drivers/" + url.PathEscape(s.user.SourceID)
	r.Header = http.Header{
		"Accept":        {"application/json"},
		"Authorization": {"Bearer " + s.conn.Credentials[tokenKey]},
	}
	if r.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := s.call.Do(ctx, r)
	if err != nil {
		return driver{}, tsp.Result{}, err
	}
	if !answer.OK() {
		return driver{}, tsp.Result{}, answer.Classify(r.What, s.hide(message(answer.Body)))
	}
	var a driverAnswer
	if err := json.Unmarshal(answer.Body, &a); err != nil || !a.Data.is(s.user.SourceID) {
		f := answer.Garbled(r.What)
		f.Err = err
		return driver{}, tsp.Result{}, f
	}
	return a.Data, tsp.Result{StatusCode: answer.Status, Header: answer.Header}, nil
}

const hidden = "[hidden]"

// minHidden is the shortest value that is looked for: a shorter one says nothing
// about a person and would tear holes into ordinary words.
const minHidden = 4

// hide takes out of the provider's text what it may repeat of the request: the
// token, and personal values. Long values go first, since one may hold another.
func (s session) hide(text string) string {
	values := []string{s.conn.Credentials[tokenKey]}
	for field, v := range s.user.Changes {
		spec, _ := operation.SpecOf(field)
		if spec.Personal && len(v.Text()) >= minHidden {
			values = append(values, v.Text())
		}
	}
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	for _, value := range values {
		text = strings.ReplaceAll(text, value, hidden)
	}
	return text
}
