package samsara

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/httpcall"
)

// freshFor is how long a token must still live to be used: a call and its wait.
const freshFor = time.Minute

// maxLife bounds what a token's answer says about its end.
const maxLife = 10 * 365 * 24 * time.Hour

// Fresh reports whether the access token can be used at the time. A token without
// a refresh token, or without a known end, is taken to live.
func (p *Provider) Fresh(c tsp.Credentials, now time.Time) bool {
	if c[credRefresh] == "" {
		return true
	}
	if c[credToken] == "" {
		return false
	}
	end := c[credExpires]
	if end == "" {
		return true
	}
	t, err := time.Parse(time.RFC3339, end)
	return err == nil && t.Sub(now) > freshFor
}

// Refresh exchanges the refresh token for new tokens. The old one is of no use
// afterwards. Every error is an *operation.Failure.
// https://developers.samsara.com/docs/oauth-20
func (p *Provider) Refresh(ctx context.Context, conn tsp.Connection) (tsp.Credentials, error) {
	for _, need := range []struct{ name, words string }{
		{credRefresh, "refresh token"}, {credClient, "client id"}, {credSecret, "client secret"},
	} {
		if conn.Credentials[need.name] == "" {
			return nil, &operation.Failure{Type: operation.ErrorAuth, Detail: "samsara: the connection has no " + need.words}
		}
	}
	const what = "samsara: refresh token"
	pair := conn.Credentials[credClient] + ":" + conn.Credentials[credSecret]
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {conn.Credentials[credRefresh]}}
	answer, err := p.client.call.Do(ctx, httpcall.Request{
		What: what, Method: http.MethodPost, URL: p.client.base + "/oauth2/token",
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
		return nil, refreshRefused(answer.Classify(what, oauthError(answer.Body)))
	}
	var token tokenAnswer
	if json.Unmarshal(answer.Body, &token) != nil || token.AccessToken == "" {
		return nil, answer.Garbled(what)
	}
	return token.into(conn.Credentials, p.now()), nil
}

// refreshRefused makes a refusal final: what is refused is the connection, and
// there is nothing to refresh a refresh with.
func refreshRefused(f *operation.Failure) *operation.Failure {
	if f.Type == operation.ErrorValidation {
		f.Type = operation.ErrorAuth
	}
	f.Refresh = false
	return f
}

// into gives the credentials with the new tokens. An answer without a refresh token
// lets the old one live.
func (a tokenAnswer) into(old tsp.Credentials, now time.Time) tsp.Credentials {
	fresh := maps.Clone(old)
	fresh[credToken] = a.AccessToken
	if a.RefreshToken != "" {
		fresh[credRefresh] = a.RefreshToken
	}
	delete(fresh, credExpires)
	if a.ExpiresIn > 0 {
		life := maxLife
		if n := float64(a.ExpiresIn); n < maxLife.Seconds() {
			life = time.Duration(n * float64(time.Second))
		}
		fresh[credExpires] = now.Add(life).UTC().Format(time.RFC3339)
	}
	return fresh
}

// oauthCode is what an OAuth error code looks like: it can hold no secret.
var oauthCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// oauthError gives the code of an OAuth error, or "".
func oauthError(body []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || !oauthCode.MatchString(e.Error) {
		return ""
	}
	return e.Error
}
