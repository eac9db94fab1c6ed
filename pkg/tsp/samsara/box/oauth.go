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

// samsaraTokens says which access token opens which account, and exchanges refresh
// tokens. An account with a refresh token has access tokens that end; the token of
// any other is an API token, which does not. Safe for concurrent use.
type samsaraTokens struct {
	life time.Duration
	now  func() time.Time

	mu        sync.RWMutex
	access    map[string]accessToken
	refresh   map[string]*sandbox.Account // those that were not used yet
	refreshes map[*sandbox.Account]int64
}

type accessToken struct {
	account *sandbox.Account
	ends    time.Time // zero: never
}

func newSamsaraTokens(accounts []*sandbox.Account, life time.Duration, now func() time.Time) *samsaraTokens {
	t := &samsaraTokens{
		life: life, now: now,
		access: make(map[string]accessToken), refresh: make(map[string]*sandbox.Account), refreshes: make(map[*sandbox.Account]int64),
	}
	for token, a := range sandbox.AccountsBy("access_token", accounts) {
		r := a.Credentials["refresh_token"]
		if r == "" {
			t.access[token] = accessToken{account: a}
			continue
		}
		if t.refresh[r] != nil || a.Credentials["client_id"] == "" || a.Credentials["client_secret"] == "" {
			panic("sandbox: the OAuth credentials of connection " + a.Connection + " are not whole or not unique")
		}
		t.refresh[r] = a
		t.access[token] = accessToken{account: a, ends: now().Add(life)}
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

// owner gives whose refresh token it is; nil if it is none, or was used.
func (t *samsaraTokens) owner(refresh string) *sandbox.Account {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.refresh[refresh]
}

// exchange uses the refresh token up. It counts the refreshes of the account; zero
// says that the token was used meanwhile.
func (t *samsaraTokens) exchange(refresh string) (access, next string, count int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.refresh[refresh]
	if a == nil {
		return "", "", 0
	}
	delete(t.refresh, refresh)
	now := t.now()
	maps.DeleteFunc(t.access, func(_ string, held accessToken) bool {
		return held.account == a && !now.Before(held.ends)
	})
	access, next = "sandbox-access-"+rand.Text(), "sandbox-refresh-"+rand.Text()
	t.access[access] = accessToken{account: a, ends: now.Add(t.life)}
	t.refresh[next] = a
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
	owner := s.tokens.owner(form.Get("refresh_token"))
	x.Account = owner
	return func() sandbox.Answer {
		id, secret, basic := x.Request.BasicAuth()
		switch {
		case !basic || !s.client(id, secret):
			return s.oauthError(x, http.StatusUnauthorized, "invalid_client").With("WWW-Authenticate", "Basic")
		case form.Get("grant_type") == "":
			return s.oauthError(x, http.StatusBadRequest, "invalid_request")
		case form.Get("grant_type") != "refresh_token":
			return s.oauthError(x, http.StatusBadRequest, "unsupported_grant_type")
		case owner == nil || owner.Credentials["client_id"] != id:
			return s.oauthError(x, http.StatusBadRequest, "invalid_grant")
		}
		access, next, count := s.tokens.exchange(form.Get("refresh_token"))
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
