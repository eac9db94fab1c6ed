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

// samsaraTokens says which access token opens which account, and exchanges grants.
// An account with a grant has access tokens that end; the token of any other is an API
// token, which does not. Safe for concurrent use.
type samsaraTokens struct {
	life time.Duration
	now  func() time.Time

	mu        sync.RWMutex
	access    map[string]accessToken
	grants    map[grant]*sandbox.Account // those that were not used yet
	refreshes map[*sandbox.Account]int64
}

// grant is a refresh token or an authorization code, by its grant type.
type grant struct{ kind, value string }

// samsaraGrants are the keys of a token call that hold the grant, by grant type.
var samsaraGrants = map[string]string{"refresh_token": "refresh_token", "authorization_code": "code"}

type accessToken struct {
	account *sandbox.Account
	ends    time.Time // zero: never
}

func newSamsaraTokens(accounts []*sandbox.Account, life time.Duration, now func() time.Time) *samsaraTokens {
	t := &samsaraTokens{
		life: life, now: now,
		access: make(map[string]accessToken), grants: make(map[grant]*sandbox.Account), refreshes: make(map[*sandbox.Account]int64),
	}
	for _, a := range accounts {
		held := accessToken{account: a}
		for kind, name := range map[string]string{"refresh_token": "refresh_token", "authorization_code": "auth_code"} {
			g := grant{kind, a.Credentials[name]}
			if g.value == "" {
				continue
			}
			if t.grants[g] != nil || a.Credentials["client_id"] == "" || a.Credentials["client_secret"] == "" {
				panic("sandbox: the OAuth credentials of connection " + a.Connection + " are not whole or not unique")
			}
			t.grants[g], held.ends = a, now().Add(life)
		}
		token := a.Credentials["access_token"]
		_, taken := t.access[token]
		switch {
		case taken, token == "" && held.ends.IsZero():
			panic("sandbox: the access_token of connection " + a.Connection + " is empty or not unique")
		case token != "":
			t.access[token] = held
		}
	}
	return t
}

// account gives whose token it is; nil if it is not one or has ended.
func (t *samsaraTokens) account(token string) *sandbox.Account {
	t.mu.RLock()
	defer t.mu.RUnlock()
	held, ok := t.access[token]
	if !ok || !held.ends.IsZero() && !t.now().Before(held.ends) {
		return nil
	}
	return held.account
}

// owner gives whose grant it is; nil if it is none, or was used.
func (t *samsaraTokens) owner(g grant) *sandbox.Account {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.grants[g]
}

// exchange uses the grant up. It counts the refreshes of the account; zero says that
// the grant was used meanwhile.
func (t *samsaraTokens) exchange(g grant) (access, next string, count int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.grants[g]
	if a == nil {
		return "", "", 0
	}
	delete(t.grants, g)
	now := t.now()
	maps.DeleteFunc(t.access, func(_ string, held accessToken) bool {
		return held.account == a && !now.Before(held.ends)
	})
	access, next = "sandbox-access-"+rand.Text(), "sandbox-refresh-"+rand.Text()
	t.access[access] = accessToken{account: a, ends: now.Add(t.life)}
	t.grants[grant{"refresh_token", next}] = a
	t.refreshes[a]++
	return access, next, t.refreshes[a]
}

// end ends the access tokens, of one connection or of all, that can be refreshed.
func (t *samsaraTokens) end(connection string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.access, func(_ string, held accessToken) bool {
		return !held.ends.IsZero() && (connection == "" || held.account.Connection == connection)
	})
}

// token answers POST /oauth2/token. Errors are those of RFC 6749, section 5.2.
func (s *samsara) token(x *sandbox.Exchange) sandbox.Action {
	if x.Request.Method != http.MethodPost {
		return nil
	}
	x.Class, x.Name = sandbox.ClassLogin, "refresh token"
	form, err := url.ParseQuery(string(x.Body))
	kind, _, kindErr := mime.ParseMediaType(x.Request.Header.Get("Content-Type"))
	if err != nil || kindErr != nil || kind != "application/x-www-form-urlencoded" || sandbox.Repeated(form) {
		return func() sandbox.Answer { return s.oauthError(x, http.StatusBadRequest, "invalid_request") }
	}
	key, known := samsaraGrants[form.Get("grant_type")]
	given := grant{form.Get("grant_type"), form.Get(key)}
	owner := s.tokens.owner(given)
	x.Account = owner
	return func() sandbox.Answer {
		id, secret, basic := x.Request.BasicAuth()
		switch {
		case !basic || !s.client(id, secret):
			return s.oauthError(x, http.StatusUnauthorized, "invalid_client").With("WWW-Authenticate", "Basic")
		case form.Get("grant_type") == "":
			return s.oauthError(x, http.StatusBadRequest, "invalid_request")
		case !known:
			return s.oauthError(x, http.StatusBadRequest, "unsupported_grant_type")
		case owner == nil || owner.Credentials["client_id"] != id:
			return s.oauthError(x, http.StatusBadRequest, "invalid_grant")
		}
		access, next, count := s.tokens.exchange(given)
		if count == 0 {
			return s.oauthError(x, http.StatusBadRequest, "invalid_grant")
		}
		x.Refreshes = count
		return sandbox.JSONAnswer(http.StatusOK, map[string]any{
			"access_token": access, "refresh_token": next, "token_type": "bearer", "expires_in": int64(s.tokens.life.Seconds()),
		}).With("Request-Id", x.RequestID)
	}
}

// client reports whether an app has this id and secret.
func (s *samsara) client(id, secret string) bool {
	for _, a := range s.accounts {
		if id != "" && a.Credentials["client_id"] == id {
			return a.Credentials["client_secret"] == secret
		}
	}
	return false
}

func (s *samsara) oauthError(x *sandbox.Exchange, status int, code string) sandbox.Answer {
	return sandbox.JSONAnswer(status, map[string]string{"error": code}).With("Request-Id", x.RequestID)
}
