package motive

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// client makes the calls of one connection.
type client struct {
	call   *httpcall.Client
	base   string
	header http.Header
	// hidden must not be repeated from a provider's error text.
	hidden httpcall.Hidden
}

// client needs an api_key or an access_token; the first wins.
func (p *Provider) client(conn tsp.Connection, changes operation.Changes, secrets ...string) (client, *operation.Failure) {
	header := http.Header{"Accept": {"application/json"}}
	switch key, token := conn.Credentials[credKey], conn.Credentials[credToken]; {
	case key != "":
		header.Set("X-Api-Key", key)
	case token != "":
		header.Set("Authorization", "Bearer "+token)
	default:
		return client{}, &operation.Failure{
			Type: operation.ErrorAuth, Refresh: renewable(conn.Credentials),
			Detail: "motive: the connection has neither an api_key nor an access_token",
		}
	}
	if national, _, err := splitPhone(changes[operation.FieldPhoneNumber].Text(), changes[operation.FieldPhoneCountryCode].Text()); err == nil {
		secrets = append(secrets, national)
	}
	return client{
		call: p.call, base: p.base, header: header, hidden: httpcall.Hide(conn.Credentials, changes, secrets...),
	}, nil
}

// userID is the provider's own id. Anything else may name another resource: /v1/users/me is
// the user whose token it is.
var userID = regexp.MustCompile(`^[0-9]{1,20}$`)

// userPath is where one user is.
func userPath(id string) (string, *operation.Failure) {
	if !userID.MatchString(id) {
		return "", operation.Refuse("not sent to motive: the user's source id is not a number, as the provider's ids are")
	}
	return "/v1/users/" + id, nil
}

// getUser reads one user: https://developer.gomotive.com/reference/users-overview.
func (c client) getUser(ctx context.Context, id string) (map[string]any, httpcall.Answer, error) {
	path, failure := userPath(id)
	if failure != nil {
		return nil, httpcall.Answer{}, failure
	}
	return c.user(ctx, httpcall.Request{What: "motive: read user", Method: http.MethodGet, URL: path}, id)
}

// putUser writes the keys of body:
// https://developer.gomotive.com/reference/update-an-existing-user.
func (c client) putUser(ctx context.Context, id string, body map[string]any) (map[string]any, httpcall.Answer, error) {
	path, failure := userPath(id)
	if failure != nil {
		return nil, httpcall.Answer{}, failure
	}
	r := httpcall.Request{What: "motive: update user", Method: http.MethodPut, URL: path, Write: true}
	if failure := setBody(&r, body); failure != nil {
		return nil, httpcall.Answer{}, failure
	}
	return c.user(ctx, r, id)
}

// postUser makes a user: https://developer.gomotive.com/reference/create-a-new-user.
// The password is masked in a dry run; empty: the body has none.
func (c client) postUser(ctx context.Context, body map[string]any, password string) (map[string]any, httpcall.Answer, error) {
	r := httpcall.Request{
		What: "motive: create user", Method: http.MethodPost, URL: "/v1/users", Write: true, Hidden: []string{password},
	}
	if failure := setBody(&r, body); failure != nil {
		return nil, httpcall.Answer{}, failure
	}
	return c.user(ctx, r, "")
}

// lookUp finds the user with a login; nil: there is none.
// https://developer.gomotive.com/reference/search-for-a-specific-user
func (c client) lookUp(ctx context.Context, key, login string) (map[string]any, httpcall.Answer, error) {
	user, answer, err := c.user(ctx, httpcall.Request{
		What: "motive: look up user", Method: http.MethodGet,
		URL: "/v1/users/lookup?" + url.Values{key: {login}}.Encode(),
	}, "")
	if answer.Status == http.StatusNotFound {
		return nil, answer, nil
	}
	return user, answer, err
}

func setBody(r *httpcall.Request, body map[string]any) *operation.Failure {
	raw, err := json.Marshal(body)
	if err != nil {
		f := operation.Refuse("%s: the request could not be built", r.What)
		f.Err = err
		return f
	}
	r.Body = raw
	return nil
}

// user makes a call that answers with the user of the id, or if that is empty with
// any user.
func (c client) user(ctx context.Context, r httpcall.Request, id string) (map[string]any, httpcall.Answer, error) {
	answer, err := c.do(ctx, r)
	if err != nil {
		return nil, answer, err
	}
	user, err := decodeUser(answer.Body, id)
	if err != nil {
		f := answer.Garbled(r.What)
		f.Err = err
		return nil, answer, f
	}
	return user, answer, nil
}

// do makes a call; the URL of the request is the path.
func (c client) do(ctx context.Context, r httpcall.Request) (httpcall.Answer, error) {
	r.URL, r.Header = c.base+r.URL, c.header.Clone()
	if r.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.call.Do(ctx, r)
	if err != nil {
		return answer, err
	}
	if !answer.OK() {
		return answer, answer.Classify(r.What, c.hidden.In(errorMessage(answer.Body)))
	}
	return answer, nil
}

func resultOf(a httpcall.Answer) tsp.Result {
	return tsp.Result{StatusCode: a.Status, Header: a.Header, RetryAfter: a.Spent}
}
