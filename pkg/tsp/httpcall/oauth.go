package httpcall

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// Names of the credentials that an OAuth token endpoint gives, and of the end of an
// access token, in RFC 3339.
const (
	CredToken   = "access_token"
	CredRefresh = "refresh_token"
	CredExpires = "expires_at"
)

const (
	// freshFor is how long a token must still live to be used: a call and its wait.
	freshFor = time.Minute
	// maxLife bounds what a token's answer says about its end.
	maxLife = 10 * 365 * 24 * time.Hour
)

// FreshToken reports whether an access token that can be renewed can be used at the
// time. One without a known end is taken to live.
func FreshToken(c tsp.Credentials, now time.Time) bool {
	if c[CredToken] == "" {
		return false
	}
	end := c[CredExpires]
	if end == "" {
		return true
	}
	t, err := time.Parse(time.RFC3339, end)
	return err == nil && t.Sub(now) > freshFor
}

// Token is what an OAuth token endpoint answers.
type Token struct {
	AccessToken  string  `json:"access_token"`
	RefreshToken string  `json:"refresh_token"`
	ExpiresIn    seconds `json:"expires_in"`
}

// Token reads the answer of a token endpoint and whether there is a token in it.
func (a Answer) Token() (Token, bool) {
	var t Token
	return t, json.Unmarshal(a.Body, &t) == nil && t.AccessToken != ""
}

// Into gives the credentials with the new tokens. An answer without a refresh token
// lets the old one live.
func (t Token) Into(old tsp.Credentials, now time.Time) tsp.Credentials {
	fresh := maps.Clone(old)
	fresh[CredToken] = t.AccessToken
	if t.RefreshToken != "" {
		fresh[CredRefresh] = t.RefreshToken
	}
	delete(fresh, CredExpires)
	if t.ExpiresIn > 0 {
		life := maxLife
		if n := float64(t.ExpiresIn); n < maxLife.Seconds() {
			life = time.Duration(n * float64(time.Second))
		}
		fresh[CredExpires] = now.Add(life).UTC().Format(time.RFC3339)
	}
	return fresh
}

// seconds reads a number, also one in quotes. Anything else is zero: an odd end is
// no reason to lose tokens that replace a used one.
type seconds float64

// UnmarshalJSON never fails.
func (s *seconds) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err == nil && n > 0 {
		*s = seconds(n)
	}
	return nil
}

// RefuseToken is the failure of a token endpoint that gave no token; see Login.
func (a Answer) RefuseToken(what string) *operation.Failure {
	return Login(a.Classify(what, oauthCode(a.Body)))
}

// Login is the failure of a login or a refresh. What is refused is the connection, and there
// is nothing to refresh a refresh with. An answer that says nothing of the credentials, such
// as a 404 while the provider moves the endpoint, is a fault of the provider that may pass:
// a refused connection is called no more.
func Login(f *operation.Failure) *operation.Failure {
	f.Refresh = false
	if f.Type != operation.ErrorValidation {
		return f
	}
	switch f.StatusCode {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity:
		f.Type = operation.ErrorAuth
	default:
		f.Type, f.Retryable = operation.ErrorTSP, true
	}
	return f
}

// code is what an OAuth error code looks like: it can hold no secret.
var code = regexp.MustCompile(`^[a-z_]{1,40}$`)

// oauthCode gives the code of an OAuth error, or "".
func oauthCode(body []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || !code.MatchString(e.Error) {
		return ""
	}
	return e.Error
}
