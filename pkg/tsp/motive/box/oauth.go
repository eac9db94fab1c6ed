package box

import (
	"crypto/rand"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"time"

	"writeback/internal/sandbox"
)

// motiveTokens says which access token opens which account, and gives out new
// ones. An account with a refresh token or an authorization code has access tokens
// that end; the token of any other does not. Safe for concurrent use.
type motiveTokens struct {
	life time.Duration
	now  func() time.Time

	mu        sync.Mutex
	access    map[string]*motiveToken
	refresh   map[string]*sandbox.Account
	codes     map[string]*sandbox.Account // those that were not used yet
	refreshes map[*sandbox.Account]int64
}

// motiveToken is one access token.
type motiveToken struct {
	account *sandbox.Account
	ends    time.Time // zero: never
	// replaced is the refresh token that dies when this token is first used.
	replaced string
}

func newMotiveTokens(accounts []*sandbox.Account, life time.Duration, now func() time.Time) *motiveTokens {
	t := &motiveTokens{
		life: life, now: now, access: make(map[string]*motiveToken),
		refresh: make(map[string]*sandbox.Account), codes: make(map[string]*sandbox.Account), refreshes: make(map[*sandbox.Account]int64),
	}
	for _, a := range accounts {
		token, refresh, code := a.Credentials["access_token"], a.Credentials["refresh_token"], a.Credentials["auth_code"]
		renewable := refresh != "" || code != ""
		whole := a.Credentials["client_id"] != "" && a.Credentials["client_secret"] != "" && a.Credentials["redirect_uri"] != ""
		switch {
		case token == "" && !renewable, t.access[token] != nil:
			panic("sandbox: the access token of connection " + a.Connection + " is empty or not unique")
		case renewable && !whole, t.refresh[refresh] != nil, t.codes[code] != nil:
			panic("sandbox: the OAuth credentials of connection " + a.Connection + " are not whole or not unique")
		}
		t.seed(a, token, refresh, code)
	}
	return t
}

func (t *motiveTokens) seed(a *sandbox.Account, token, refresh, code string) {
	held := &motiveToken{account: a}
	if refresh != "" || code != "" {
		held.ends = t.now().Add(t.life)
	}
	if token != "" {
		t.access[token] = held
	}
	if refresh != "" {
		t.refresh[refresh] = a
	}
	if code != "" {
		t.codes[code] = a
	}
}

// account gives whose token it is; nil if it is not one or has ended. The refresh
// token before it is of no use from now on.
func (t *motiveTokens) account(token string) *sandbox.Account {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := t.access[token]
	if held == nil || !held.ends.IsZero() && !t.now().Before(held.ends) {
		return nil
	}
	if held.replaced != "" {
		delete(t.refresh, held.replaced)
		held.replaced = ""
	}
	return held.account
}

// owner gives whose grant it is; nil if it is none, or was used.
func (t *motiveTokens) owner(kind, grant string) *sandbox.Account {
	t.mu.Lock()
	defer t.mu.Unlock()
	if kind == "authorization_code" {
		return t.codes[grant]
	}
	return t.refresh[grant]
}

// exchange gives new tokens for the grant. It counts those of the account; zero
// says that the grant was used meanwhile.
func (t *motiveTokens) exchange(kind, grant string) (access, next string, count int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := &motiveToken{ends: t.now().Add(t.life)}
	if kind == "authorization_code" {
		held.account = t.codes[grant]
		delete(t.codes, grant)
	} else {
		held.account, held.replaced = t.refresh[grant], grant
	}
	if held.account == nil {
		return "", "", 0
	}
	access, next = "sandbox-access-"+rand.Text(), "sandbox-refresh-"+rand.Text()
	t.access[access], t.refresh[next] = held, held.account
	t.refreshes[held.account]++
	return access, next, t.refreshes[held.account]
}

// end ends the access tokens, of one connection or of all, that can be renewed.
func (t *motiveTokens) end(connection string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.access, func(_ string, held *motiveToken) bool {
		return !held.ends.IsZero() && (connection == "" || held.account.Connection == connection)
	})
}

// motiveGrants are the keys of a token call beside the client's, by grant type.
var motiveGrants = map[string]string{"refresh_token": "refresh_token", "authorization_code": "code"}

// token answers POST /oauth/token. Errors are those of RFC 6749, section 5.2.
func (m *motive) token(x *sandbox.Exchange) sandbox.Action {
	if x.Request.Method != http.MethodPost {
		return nil
	}
	x.Class, x.Name = sandbox.ClassLogin, "refresh token"
	form, err := url.ParseQuery(string(x.Body))
	kind, _, kindErr := mime.ParseMediaType(x.Request.Header.Get("Content-Type"))
	if err != nil || kindErr != nil || kind != "application/x-www-form-urlencoded" || sandbox.Repeated(form) {
		return func() sandbox.Answer { return motiveOAuthError(http.StatusBadRequest, "invalid_request") }
	}
	grantType := form.Get("grant_type")
	grant := form.Get(motiveGrants[grantType])
	x.Account = m.tokens.owner(grantType, grant)
	return func() sandbox.Answer {
		if status, code := m.refuseGrant(form, x.Account); code != "" {
			return motiveOAuthError(status, code)
		}
		access, next, count := m.tokens.exchange(grantType, grant)
		if count == 0 {
			return motiveOAuthError(http.StatusBadRequest, "invalid_grant")
		}
		x.Refreshes = count
		return sandbox.JSONAnswer(http.StatusOK, map[string]any{
			"access_token": access, "refresh_token": next, "token_type": "Bearer", "scope": "users.read users.manage",
			"expires_in": int64(m.tokens.life.Seconds()), "created_at": m.now().Unix(),
		})
	}
}

// refuseGrant gives what is wrong with a token call, or "".
func (m *motive) refuseGrant(form url.Values, owner *sandbox.Account) (status int, code string) {
	key, known := motiveGrants[form.Get("grant_type")]
	for _, name := range []string{"grant_type", "client_id", "client_secret", "redirect_uri"} {
		if form.Get(name) == "" {
			return http.StatusBadRequest, "invalid_request"
		}
	}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	switch {
	case !known:
		return http.StatusBadRequest, "unsupported_grant_type"
	case form.Get(key) == "":
		return http.StatusBadRequest, "invalid_request"
	case m.apps[id] != secret:
		return http.StatusUnauthorized, "invalid_client"
	case owner == nil, owner.Credentials["client_id"] != id, owner.Credentials["redirect_uri"] != form.Get("redirect_uri"):
		return http.StatusBadRequest, "invalid_grant"
	}
	return 0, ""
}

func motiveOAuthError(status int, code string) sandbox.Answer {
	return sandbox.JSONAnswer(status, map[string]string{"error": code, "error_description": "The grant or the client is not accepted."})
}
