package motive

import (
	"cmp"
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

// client makes the calls about one user of one connection.
type client struct {
	call   *httpcall.Client
	url    string
	id     string
	header http.Header
	// hidden must not be repeated from a provider's error text.
	hidden []string
}

// client needs an api_key or an access_token; the first wins.
func (p *Provider) client(conn tsp.Connection, u tsp.UserUpdate) (client, *operation.Failure) {
	header := http.Header{"Accept": {"application/json"}}
	switch key, token := conn.Credentials["api_key"], conn.Credentials["access_token"]; {
	case key != "":
		header.Set("X-Api-Key", key)
	case token != "":
		header.Set("Authorization", "Bearer "+token)
	default:
		return client{}, &operation.Failure{
			Type: operation.ErrorAuth, Detail: "motive: the connection has neither an api_key nor an access_token",
		}
	}
	if id := u.SourceID; id == "" || id == "." || id == ".." {
		return client{}, operation.Refuse("not sent to motive: the user has no id there")
	}
	return client{
		call: p.call, url: p.base + "/v1/users/" + url.PathEscape(u.SourceID), id: u.SourceID,
		header: header, hidden: hidden(conn.Credentials, u.Changes),
	}, nil
}

// getUser reads the user: https://developer.gomotive.com/reference/users-overview.
func (c client) getUser(ctx context.Context) (map[string]any, error) {
	user, _, err := c.do(ctx, httpcall.Request{What: "motive: read user", Method: http.MethodGet})
	return user, err
}

// putUser writes the keys of body:
// https://developer.gomotive.com/reference/update-an-existing-user.
func (c client) putUser(ctx context.Context, body map[string]any) (map[string]any, httpcall.Answer, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		f := operation.Refuse("motive: update user: the request could not be built")
		f.Err = err
		return nil, httpcall.Answer{}, f
	}
	return c.do(ctx, httpcall.Request{What: "motive: update user", Method: http.MethodPut, Body: raw})
}

func (c client) do(ctx context.Context, r httpcall.Request) (map[string]any, httpcall.Answer, error) {
	r.URL, r.Header = c.url, c.header.Clone()
	if r.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.call.Do(ctx, r)
	if err != nil {
		return nil, answer, err
	}
	if !answer.OK() {
		return nil, answer, answer.Classify(r.What, hide(errorMessage(answer.Body), c.hidden))
	}
	user, err := decodeUser(answer.Body, c.id)
	if err != nil {
		f := answer.Garbled(r.What)
		f.Err = err
		return nil, answer, f
	}
	return user, answer, nil
}

// hidden collects what a provider's text may not repeat: credentials and the
// personal data of this write.
func hidden(credentials tsp.Credentials, changes operation.Changes) []string {
	var out []string
	add := func(s string) {
		if len(s) >= 4 { // shorter ones would blank out ordinary words
			out = append(out, s)
		}
	}
	for _, v := range credentials {
		add(v)
	}
	for f, v := range changes {
		if spec, _ := operation.SpecOf(f); !spec.Personal {
			continue
		}
		add(v.Text())
		if f == operation.FieldPhoneNumber {
			add(digits(v.Text()))
			if national, _, err := splitPhone(v.Text(), changes[operation.FieldPhoneCountryCode].Text()); err == nil {
				add(national)
			}
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return out
}

func hide(message string, hidden []string) string {
	for _, s := range hidden {
		message = strings.ReplaceAll(message, s, "[hidden]")
		message = strings.ReplaceAll(message, strings.ToLower(s), "[hidden]")
	}
	return message
}
