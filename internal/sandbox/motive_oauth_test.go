package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
	motive "writeback/pkg/tsp/motive/box"
)

const motiveRefresh = "sandbox-motive-refresh-c2"

// motiveForm is a whole token call; pairs of names and values change it.
func motiveForm(token string, changes ...string) string {
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {"sandbox-app-motive"},
		"client_secret": {"sandbox-motive-secret"}, "redirect_uri": {"https://partner.example/motive"},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return form.Encode()
}

func (b *box) motiveToken(form string) result {
	b.t.Helper()
	return b.call("POST", "/motive/oauth/token", form, "Content-Type", formType)
}

// motiveOpens gives the status of a read with the access token.
func (b *box) motiveOpens(token string) int {
	b.t.Helper()
	return b.call("GET", "/motive"+user5, "", "Authorization", "Bearer "+token).status
}

func motivePair(t *testing.T, r result) (access, refresh string) {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.body)
	body := r.json(t)
	require.Equal(t, "Bearer", body["token_type"])
	return body["access_token"].(string), body["refresh_token"].(string)
}

func refusedWith(t *testing.T, r result, status int, code string) {
	t.Helper()
	require.Equal(t, status, r.status, r.body)
	require.Equal(t, code, r.json(t)["error"])
}

func TestMotiveOAuth_TokensEndAndRotate(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Motive: motive.Config{OAuth: true, TokenLife: 10 * time.Minute}}), Now: clock.now})
	clock.add(10*time.Minute - time.Second)
	require.Equal(t, 200, b.motiveOpens(motiveToken))
	clock.add(time.Second)
	require.Equal(t, 401, b.motiveOpens(motiveToken))

	lost, _ := motivePair(t, b.motiveToken(motiveForm(motiveRefresh)))
	r := b.motiveToken(motiveForm(motiveRefresh)) // nobody has used the first answer's token
	access, next := motivePair(t, r)
	require.Equal(t, json.Number("600"), r.json(t)["expires_in"])
	require.NotEqual(t, lost, access)
	require.Equal(t, 200, b.motiveOpens(access))
	refusedWith(t, b.motiveToken(motiveForm(motiveRefresh)), 400, "invalid_grant")
	require.Equal(t, int64(2), b.records("?provider=motive").Requests[3].Refreshes)

	second, _ := motivePair(t, b.motiveToken(motiveForm(next)))
	require.Equal(t, 200, b.motiveOpens(access), "the token before lives to its end")
	clock.add(10 * time.Minute)
	require.Equal(t, 401, b.motiveOpens(access))
	require.Equal(t, 401, b.motiveOpens(second))
}

func TestMotiveOAuth_IsOffByDefault(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBox(t, sandbox.Config{Now: clock.now})
	clock.add(1000 * time.Hour)
	require.Equal(t, 200, b.motiveOpens(motiveToken))
	refusedWith(t, b.motiveToken(motiveForm(motiveRefresh)), 401, "invalid_client")
	for _, seed := range oauthSeeds() {
		if seed.Provider == sandbox.Motive {
			require.Len(t, seed.Credentials, 5)
		}
	}
}

func TestMotiveOAuth_Strict(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Motive: motive.Config{OAuth: true}})})
	for _, tt := range []struct {
		form   string
		status int
		code   string
	}{
		{motiveForm(motiveRefresh, "grant_type", ""), 400, "invalid_request"},
		{motiveForm(motiveRefresh, "grant_type", "password"), 400, "unsupported_grant_type"},
		{motiveForm(motiveRefresh, "refresh_token", ""), 400, "invalid_request"},
		{motiveForm(motiveRefresh, "refresh_token", "other"), 400, "invalid_grant"},
		{motiveForm(motiveRefresh, "client_id", ""), 400, "invalid_request"},
		{motiveForm(motiveRefresh, "client_id", "other"), 401, "invalid_client"},
		{motiveForm(motiveRefresh, "client_secret", "other"), 401, "invalid_client"},
		{motiveForm(motiveRefresh, "redirect_uri", ""), 400, "invalid_request"},
		{motiveForm(motiveRefresh, "redirect_uri", "https://other.example"), 400, "invalid_grant"},
		{motiveForm(motiveRefresh) + "&client_id=sandbox-app-motive", 400, "invalid_request"},
		{"%zz", 400, "invalid_request"},
	} {
		refusedWith(t, b.motiveToken(tt.form), tt.status, tt.code)
	}
	refusedWith(t, b.call("POST", "/motive/oauth/token", motiveForm(motiveRefresh), "Content-Type", jsonType), 400, "invalid_request")
	require.Equal(t, 405, b.call("GET", "/motive/oauth/token", "").status)
	motivePair(t, b.motiveToken(motiveForm(motiveRefresh)))
}

func TestMotiveOAuth_CodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	seed := sandbox.Seed{Connection: "x", Provider: sandbox.Motive, Credentials: map[string]string{
		"auth_code": "one-code", "client_id": "other-app", "client_secret": "other-secret", "redirect_uri": "https://other.example",
	}}
	b := newBox(t, sandbox.Config{Extra: []sandbox.Seed{seed}})
	form := motiveForm("", "grant_type", "authorization_code", "code", "one-code", "client_id", "other-app",
		"client_secret", "other-secret", "redirect_uri", "https://other.example", "refresh_token", "")
	access, next := motivePair(t, b.motiveToken(form))
	require.Equal(t, 200, b.call("GET", "/motive/v1/users", "", "Authorization", "Bearer "+access).status)
	refusedWith(t, b.motiveToken(form), 400, "invalid_grant")
	refusedWith(t, b.motiveToken(strings.Replace(form, "one-code", next, 1)), 400, "invalid_grant")
}

func TestMotiveOAuth_FaultsControlAndRecord(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{Parts: boxes.Parts(boxes.Config{Motive: motive.Config{OAuth: true}})})
	b.fault(`{"provider":"motive","status":503,"logins":true,"count":1,"connection":"` + sandbox.ConnectionID(2) + `"}`)
	require.Equal(t, 503, b.motiveToken(motiveForm(motiveRefresh)).status)
	require.Equal(t, 204, b.call("DELETE", "/_control/sessions?connection="+sandbox.ConnectionID(1), "").status)
	require.Equal(t, 200, b.motiveOpens(motiveToken), "another connection's")
	require.Equal(t, 204, b.call("DELETE", "/_control/sessions", "").status)
	require.Equal(t, 401, b.motiveOpens(motiveToken))
	motivePair(t, b.motiveToken(motiveForm(motiveRefresh)))
	for _, secret := range []string{motiveRefresh, "sandbox-motive-secret"} {
		require.NotContains(t, string(b.last().Body), secret)
	}
	require.Equal(t, sandbox.ConnectionID(2), b.last().Connection)
	require.False(t, b.last().Write)
}

func TestMotiveOAuth_CredentialsMustBeWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]map[string]string{
		"nothing":     {},
		"no client":   {"refresh_token": "r"},
		"no way back": {"refresh_token": "r", "client_id": "i", "client_secret": "s"},
		"token twice": {"access_token": motiveToken},
		"used twice":  {"refresh_token": motiveRefresh, "client_id": "i", "client_secret": "s", "redirect_uri": "u"},
	} {
		seed := sandbox.Seed{Connection: "x", Provider: sandbox.Motive, Credentials: c}
		require.Panics(t, func() {
			sandbox.New(sandbox.Config{Parts: boxes.Parts(boxes.Config{Motive: motive.Config{OAuth: true}}), Extra: []sandbox.Seed{seed}})
		}, name)
	}
}
