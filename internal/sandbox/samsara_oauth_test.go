package sandbox_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
	samsara "writeback/pkg/tsp/samsara/box"
)

const formType = "application/x-www-form-urlencoded"

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

var app = basic("sandbox-app-samsara", "sandbox-samsara-secret")

// refresh exchanges a refresh token.
func (b *box) refresh(token string) result {
	b.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	return b.call("POST", "/samsara/oauth2/token", form.Encode(), "Authorization", app, "Content-Type", formType)
}

// opens gives the status of a read with the access token.
func (b *box) opens(token string) int {
	b.t.Helper()
	return b.call("GET", "/samsara"+driver5, "", "Authorization", "Bearer "+token).status
}

func pair(t *testing.T, r result) (access, refresh string) {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.body)
	body := r.json(t)
	require.Equal(t, "bearer", body["token_type"])
	return body["access_token"].(string), body["refresh_token"].(string)
}

func TestSamsaraOAuth_TokensEndAndRotate(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Samsara: samsara.Config{OAuth: true, TokenLife: 10 * time.Minute}}), Now: clock.now})
	require.Equal(t, 200, b.opens(samsaraToken))
	clock.add(10*time.Minute - time.Second)
	require.Equal(t, 200, b.opens(samsaraToken))
	clock.add(time.Second)
	require.Equal(t, 401, b.opens(samsaraToken))

	r := b.refresh("sandbox-samsara-refresh-c1")
	access, next := pair(t, r)
	require.Equal(t, json.Number("600"), r.json(t)["expires_in"])
	require.Equal(t, 200, b.opens(access))
	require.Equal(t, 401, b.opens(samsaraToken))

	spent := b.refresh("sandbox-samsara-refresh-c1")
	require.Equal(t, 400, spent.status)
	require.Equal(t, map[string]any{"error": "invalid_grant"}, spent.json(t))

	second, third := pair(t, b.refresh(next))
	require.NotEqual(t, access, second)
	require.NotEqual(t, next, third)
	require.Equal(t, 200, b.opens(access), "the token before lives to its end")
	clock.add(10 * time.Minute)
	require.Equal(t, 401, b.opens(access))
	require.Equal(t, 401, b.opens(second))
}

func TestSamsaraOAuth_IsOffByDefault(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBox(t, sandbox.Config{Now: clock.now})
	clock.add(1000 * time.Hour)
	require.Equal(t, 200, b.opens(samsaraToken))
	require.Equal(t, 401, b.refresh("sandbox-samsara-refresh-c1").status, "there is no app")
	for _, seed := range boxes.Seeds() {
		require.NotContains(t, seed.Credentials, "refresh_token")
	}
	for _, seed := range oauthSeeds() {
		if seed.Provider == sandbox.Samsara {
			require.Len(t, seed.Credentials, 4)
		}
	}
}

func TestSamsaraOAuth_Strict(t *testing.T) {
	t.Parallel()
	const good = "grant_type=refresh_token&refresh_token=sandbox-samsara-refresh-c1"
	tests := []struct {
		name, method, auth, kind, body string
		status                         int
		code                           string
	}{
		{"GET", "GET", app, formType, "", 405, ""},
		{"no client", "POST", "", formType, good, 401, "invalid_client"},
		{"bearer", "POST", "Bearer " + samsaraToken, formType, good, 401, "invalid_client"},
		{"wrong secret", "POST", basic("sandbox-app-samsara", "x"), formType, good, 401, "invalid_client"},
		{"wrong client", "POST", basic("nobody", "sandbox-samsara-secret"), formType, good, 401, "invalid_client"},
		{"empty client", "POST", basic("", ""), formType, good, 401, "invalid_client"},
		{"another app's token", "POST", basic("other-app", "other-secret"), formType, good, 400, "invalid_grant"},
		{"JSON", "POST", app, jsonType, `{"grant_type":"refresh_token"}`, 400, "invalid_request"},
		{"no content type", "POST", app, "", good, 400, "invalid_request"},
		{"not a form", "POST", app, formType, "a=%zz", 400, "invalid_request"},
		{"given twice", "POST", app, formType, good + "&grant_type=refresh_token", 400, "invalid_request"},
		{"no grant type", "POST", app, formType, "refresh_token=sandbox-samsara-refresh-c1", 400, "invalid_request"},
		{"grant type", "POST", app, formType, "grant_type=password", 400, "unsupported_grant_type"},
		{"no token", "POST", app, formType, "grant_type=refresh_token", 400, "invalid_grant"},
		{"unknown token", "POST", app, formType, "grant_type=refresh_token&refresh_token=x", 400, "invalid_grant"},
		{"access token", "POST", app, formType, "grant_type=refresh_token&refresh_token=" + samsaraToken, 400, "invalid_grant"},
	}
	other := sandbox.Seed{Connection: "x", Provider: sandbox.Samsara, Credentials: map[string]string{
		"access_token": "other", "refresh_token": "other-refresh", "client_id": "other-app", "client_secret": "other-secret",
	}}
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Samsara: samsara.Config{OAuth: true}}), Extra: []sandbox.Seed{other}})
	for _, tt := range tests {
		r := b.call(tt.method, "/samsara/oauth2/token", tt.body, "Authorization", tt.auth, "Content-Type", tt.kind)
		require.Equal(t, tt.status, r.status, tt.name)
		if tt.code != "" {
			require.Equal(t, map[string]any{"error": tt.code}, r.json(t), tt.name)
		}
	}
	pair(t, b.refresh("sandbox-samsara-refresh-c1")) // a refusal uses nothing up
}

func TestSamsaraOAuth_CodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	seed := sandbox.Seed{Connection: "x", Provider: sandbox.Samsara, Credentials: map[string]string{
		"auth_code": "one-code", "client_id": "other-app", "client_secret": "other-secret",
	}}
	b := newBox(t, sandbox.Config{Extra: []sandbox.Seed{seed}})
	code := func() result {
		return b.call("POST", "/samsara/oauth2/token", "grant_type=authorization_code&code=one-code",
			"Authorization", basic("other-app", "other-secret"), "Content-Type", formType)
	}
	access, _ := pair(t, code())
	require.Equal(t, 404, b.opens(access), "it opens the account, which has no such driver")
	require.Equal(t, 400, code().status)
}

func TestSamsaraOAuth_OneRefreshOfMany(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Samsara: samsara.Config{OAuth: true}})})
	var mu sync.Mutex
	counts := map[int]int{}
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			form := "grant_type=refresh_token&refresh_token=sandbox-samsara-refresh-c1"
			r, err := b.try("POST", "/samsara/oauth2/token", form, "Authorization", app, "Content-Type", formType)
			if err != nil {
				t.Errorf("refresh: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			counts[r.status]++
		})
	}
	group.Wait()
	require.Equal(t, map[int]int{200: 1, 400: 15}, counts)
}

func TestSamsaraOAuth_IsRecordedWithoutSecrets(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Samsara: samsara.Config{OAuth: true}})})
	_, next := pair(t, b.refresh("sandbox-samsara-refresh-c1"))
	pair(t, b.refresh(next))
	b.refresh(next)
	list := b.records("?provider=samsara").Requests
	require.Len(t, list, 3)
	for i, want := range []int64{1, 2, 0} {
		require.Equal(t, "refresh token", list[i].Call)
		require.Equal(t, want, list[i].Refreshes)
		require.False(t, list[i].Write)
		require.False(t, strings.Contains(string(list[i].Body), "sandbox-"), "%s", list[i].Body)
	}
	require.Equal(t, sandbox.ConnectionID(1), list[0].Connection)
	require.Empty(t, list[2].Connection, "a used token is nobody's")
}

func TestSamsaraOAuth_ControlEndsTokens(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Samsara: samsara.Config{OAuth: true}})})
	require.Equal(t, 204, b.call("DELETE", "/_control/sessions?connection="+sandbox.ConnectionID(9), "").status)
	require.Equal(t, 200, b.opens(samsaraToken), "another connection's")
	require.Equal(t, 204, b.call("DELETE", "/_control/sessions", "").status)
	require.Equal(t, 401, b.opens(samsaraToken))
	access, _ := pair(t, b.refresh("sandbox-samsara-refresh-c1"))
	require.Equal(t, 200, b.opens(access))
}

func TestSamsaraOAuth_FaultsHitItOnlyAsALogin(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Samsara: samsara.Config{OAuth: true}})})
	b.fault(`{"provider":"samsara","status":503}`)
	_, next := pair(t, b.refresh("sandbox-samsara-refresh-c1"))
	b.fault(`{"provider":"samsara","status":500,"logins":true,"count":1}`)
	require.Equal(t, 503, b.samsara("PATCH", driver5, `{}`).status)
	require.Equal(t, 500, b.refresh(next).status)
	pair(t, b.refresh(next))
}

func TestSamsaraOAuth_CredentialsMustBeWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]map[string]string{
		"no client":  {"access_token": "t", "refresh_token": "r"},
		"used twice": {"access_token": "t", "refresh_token": "sandbox-samsara-refresh-c1", "client_id": "i", "client_secret": "s"},
	} {
		seed := sandbox.Seed{Connection: "x", Provider: sandbox.Samsara, Credentials: c}
		require.Panics(t, func() {
			sandbox.New(sandbox.Config{Parts: boxes.Parts(boxes.Config{Samsara: samsara.Config{OAuth: true}}), Extra: []sandbox.Seed{seed}})
		}, name)
	}
}
