package motive

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// Credentials of a connection.
const (
	credKey      = "api_key"
	credToken    = "access_token"
	credRefresh  = "refresh_token"
	credCode     = "auth_code"
	credClient   = "client_id"
	credSecret   = "client_secret"
	credRedirect = "redirect_uri"
)

// renewable reports whether there is something to get a token with.
func renewable(c tsp.Credentials) bool { return c[credRefresh] != "" || c[credCode] != "" }

// Fresh reports whether the credentials can be used at the time. An API key, and a
// token that cannot be renewed or has no known end, are taken to live.
func (p *Provider) Fresh(c tsp.Credentials, now time.Time) bool {
	return c[credKey] != "" || !renewable(c) || httpcall.FreshToken(c, now)
}

// Refresh exchanges the refresh token, or where there is none yet the
// authorization code, for new tokens. What it used up is replaced or gone. Every
// error is an *operation.Failure.
// https://developer.gomotive.com/reference/authentication-oauth-20
func (p *Provider) Refresh(ctx context.Context, conn tsp.Connection) (tsp.Credentials, error) {
	const what = "motive: refresh token"
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {conn.Credentials[credRefresh]}}
	switch {
	case conn.Credentials[credRefresh] != "":
	case conn.Credentials[credCode] != "":
		form = url.Values{"grant_type": {"authorization_code"}, "code": {conn.Credentials[credCode]}}
	default:
		return nil, &operation.Failure{Type: operation.ErrorAuth, Detail: what + ": the connection has nothing to renew a token with"}
	}
	for _, name := range []string{credClient, credSecret, credRedirect} {
		if conn.Credentials[name] == "" {
			return nil, &operation.Failure{Type: operation.ErrorAuth, Detail: what + ": the connection has no " + name}
		}
		form.Set(name, conn.Credentials[name])
	}
	answer, err := p.call.Do(ctx, httpcall.Request{
		What: what, Method: http.MethodPost, URL: p.base + "/oauth/token", Body: []byte(form.Encode()),
		Header: http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}},
	})
	if err != nil {
		return nil, err
	}
	if !answer.OK() {
		return nil, answer.RefuseToken(what)
	}
	token, ok := answer.Token()
	if !ok {
		return nil, answer.Garbled(what)
	}
	fresh := token.Into(conn.Credentials, p.now())
	if conn.Credentials[credRefresh] == "" {
		delete(fresh, credCode) // it can be used once
	}
	return fresh, nil
}
