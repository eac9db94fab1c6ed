package samsara

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// renewable reports whether there is something to get a token with.
func renewable(c tsp.Credentials) bool { return c[credRefresh] != "" || c[credCode] != "" }

// Fresh reports whether the access token can be used at the time. A token that cannot
// be renewed, or has no known end, is taken to live.
func (p *Provider) Fresh(c tsp.Credentials, now time.Time) bool {
	return !renewable(c) || httpcall.FreshToken(c, now)
}

// Refresh exchanges the refresh token, or where there is none yet the authorization
// code, for new tokens. What it used up is replaced or gone. Every error is an
// *operation.Failure.
// https://developers.samsara.com/docs/oauth-20
func (p *Provider) Refresh(ctx context.Context, conn tsp.Connection) (tsp.Credentials, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {conn.Credentials[credRefresh]}}
	grant, coded := credRefresh, conn.Credentials[credRefresh] == "" && conn.Credentials[credCode] != ""
	if coded {
		grant = credCode
		form = url.Values{"grant_type": {"authorization_code"}, "code": {conn.Credentials[credCode]}}
	}
	for _, need := range []struct{ name, words string }{
		{grant, "refresh token"}, {credClient, "client id"}, {credSecret, "client secret"},
	} {
		if conn.Credentials[need.name] == "" {
			return nil, &operation.Failure{Type: operation.ErrorAuth, Detail: "samsara: the connection has no " + need.words}
		}
	}
	base, f := p.base(conn)
	if f != nil {
		return nil, f
	}
	const what = "samsara: refresh token"
	pair := conn.Credentials[credClient] + ":" + conn.Credentials[credSecret]
	answer, err := p.client.call.Do(ctx, httpcall.Request{
		What: what, Method: http.MethodPost, URL: base + "/oauth2/token",
		Header: http.Header{
			"Accept":        {"application/json"},
			"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))},
			"Content-Type":  {"application/x-www-form-urlencoded"},
		},
		Body: []byte(form.Encode()),
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
	if coded {
		delete(fresh, credCode) // it can be used once
	}
	return fresh, nil
}
