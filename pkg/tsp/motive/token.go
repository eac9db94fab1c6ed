package motive

import (
	"context"
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

// Credentials of a connection.
const (
	credKey      = "api_key"
	credToken    = "access_token"
	credRefresh  = "refresh_token"
	credCode     = "auth_code"
	credClient   = "client_id"
	credSecret   = "client_secret"
	credRedirect = "redirect_uri"
	credExpires  = "expires_at"
)

const (
	// freshFor is how long a token must still live to be used: a call and its wait.
	freshFor = time.Minute
	// maxLife bounds what a token's answer says about its end.
	maxLife = 10 * 365 * 24 * time.Hour
)

// renewable reports whether there is something to get a token with.
func renewable(c tsp.Credentials) bool { return c[credRefresh] != "" || c[credCode] != "" }

// Fresh reports whether the credentials can be used at the time. An API key, and a
// token that cannot be renewed or has no known end, are taken to live.
func (p *Provider) Fresh(c tsp.Credentials, now time.Time) bool {
	if c[credKey] != "" || !renewable(c) {
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
		return nil, refused(answer.Classify(what, oauthError(answer.Body)))
	}
	var token tokenAnswer
	if json.Unmarshal(answer.Body, &token) != nil || token.AccessToken == "" {
		return nil, answer.Garbled(what)
	}
	return token.into(conn.Credentials, p.now()), nil
}

// refused makes a refusal final: what is refused is the connection, and there is
// nothing to refresh a refresh with.
func refused(f *operation.Failure) *operation.Failure {
	if f.Type == operation.ErrorValidation {
		f.Type = operation.ErrorAuth
	}
	f.Refresh = false
	return f
}

// tokenAnswer is an answer of the token endpoint.
type tokenAnswer struct {
	AccessToken  string  `json:"access_token"`
	RefreshToken string  `json:"refresh_token"`
	ExpiresIn    float64 `json:"expires_in"`
}

// into gives the credentials with the new tokens. An answer without a refresh token
// lets the old one live.
func (a tokenAnswer) into(old tsp.Credentials, now time.Time) tsp.Credentials {
	fresh := maps.Clone(old)
	fresh[credToken] = a.AccessToken
	if old[credRefresh] == "" {
		delete(fresh, credCode) // it can be used once
	}
	if a.RefreshToken != "" {
		fresh[credRefresh] = a.RefreshToken
	}
	delete(fresh, credExpires)
	if a.ExpiresIn > 0 {
		life := maxLife
		if a.ExpiresIn < maxLife.Seconds() {
			life = time.Duration(a.ExpiresIn * float64(time.Second))
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
