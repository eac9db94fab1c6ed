package devissuer_test

import (
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"writeback/internal/devissuer"
)

const (
	issuerURL = "http://127.0.0.1:8080" + devissuer.Realm
	tokenPath = devissuer.Realm + "/protocol/openid-connect/token"
)

func newIssuer(t *testing.T, cfg devissuer.Config) *devissuer.Issuer {
	t.Helper()
	cfg.IssuerURL = issuerURL
	i, err := devissuer.New(cfg)
	require.NoError(t, err)
	return i
}

func do(t *testing.T, i *devissuer.Issuer, req *http.Request, into any) *http.Response {
	t.Helper()
	rec := httptest.NewRecorder()
	i.ServeHTTP(rec, req)
	resp := rec.Result()
	t.Cleanup(func() { _ = resp.Body.Close() })
	if into != nil {
		require.NoError(t, json.NewDecoder(resp.Body).Decode(into))
	}
	return resp
}

func form(t *testing.T, pairs ...string) *http.Request {
	t.Helper()
	values := url.Values{}
	for n := 0; n < len(pairs); n += 2 {
		values.Set(pairs[n], pairs[n+1])
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, tokenPath, strings.NewReader(values.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

func keys(t *testing.T, i *devissuer.Issuer) jose.JSONWebKeySet {
	t.Helper()
	var set jose.JSONWebKeySet
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, devissuer.Realm+"/protocol/openid-connect/certs", http.NoBody)
	require.Equal(t, http.StatusOK, do(t, i, req, &set).StatusCode)
	return set
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, devissuer.Config{})
	var doc struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
		Token  string `json:"token_endpoint"`
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, devissuer.Realm+"/.well-known/openid-configuration", http.NoBody)
	require.Equal(t, http.StatusOK, do(t, i, req, &doc).StatusCode)
	require.Equal(t, issuerURL, doc.Issuer)
	require.Equal(t, issuerURL+"/protocol/openid-connect/certs", doc.JWKS)
	require.Equal(t, issuerURL+"/protocol/openid-connect/token", doc.Token)
}

func TestToken_Granted(t *testing.T) {
	t.Parallel()
	all := strings.Join(devissuer.AllScopes(), " ")
	for _, tt := range []struct {
		name, id, secret, scope, want, partner string
	}{
		{"demo", "demo-partner", "demo-secret", "organization", all, "00000000-0000-7000-8000-0000000000d1"},
		{"no scope", "demo-partner", "demo-secret", "", all, "00000000-0000-7000-8000-0000000000d1"},
		{"subset", "demo-partner", "demo-secret", "organization telematics:read telematics:read", "telematics:read", "00000000-0000-7000-8000-0000000000d1"},
		{"other", "other-partner", "other-secret", "organization", all, "00000000-0000-7000-8000-0000000000d2"},
		{"reader", "demo-reader", "demo-reader-secret", "organization", strings.Join(devissuer.ReadScopes(), " "), "00000000-0000-7000-8000-0000000000d1"},
	} {
		for _, alg := range []string{"RS256", "ES256"} {
			t.Run(tt.name+" "+alg, func(t *testing.T) {
				t.Parallel()
				i := newIssuer(t, devissuer.Config{Audience: "writeback", Algorithm: alg, TokenTTL: time.Hour})
				var got map[string]any
				resp := do(t, i, form(t, "grant_type", "client_credentials", "client_id", tt.id, "client_secret", tt.secret, "scope", tt.scope), &got)
				require.Equal(t, http.StatusOK, resp.StatusCode)
				require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
				require.Equal(t, "Bearer", got["token_type"])
				require.InDelta(t, 3600, got["expires_in"], 0)
				require.InDelta(t, 0, got["refresh_expires_in"], 0)
				require.InDelta(t, 0, got["not-before-policy"], 0)
				require.Equal(t, tt.want, got["scope"])

				claims := verify(t, i, got["access_token"], alg)
				require.Equal(t, issuerURL, claims["iss"])
				require.Equal(t, "writeback", claims["aud"])
				require.Equal(t, tt.want, claims["scope"])
				require.Contains(t, mustJSON(t, claims["org"]), `{"id":"`+tt.partner+`","org_type":["partner"]}`)
			})
		}
	}
}

func TestToken_Basic(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, devissuer.Config{Clients: []devissuer.Client{{ID: "a b", Secret: "s:%", OrgName: "o", Scopes: devissuer.AllScopes()}}})
	req := form(t, "grant_type", "client_credentials")
	req.SetBasicAuth(url.QueryEscape("a b"), url.QueryEscape("s:%"))
	require.Equal(t, http.StatusOK, do(t, i, req, nil).StatusCode)

	req = form(t, "grant_type", "client_credentials", "client_id", "a b", "client_secret", "s:%")
	req.SetBasicAuth("a b", "wrong")
	require.Equal(t, http.StatusUnauthorized, do(t, i, req, nil).StatusCode, "the header counts, not the form")
}

func TestToken_Refused(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, devissuer.Config{})
	for _, tt := range []struct {
		name   string
		pairs  []string
		status int
		code   string
	}{
		{"wrong secret", []string{"grant_type", "client_credentials", "client_id", "demo-partner", "client_secret", "x"}, 401, "invalid_client"},
		{"unknown client", []string{"grant_type", "client_credentials", "client_id", "nobody", "client_secret", "demo-secret"}, 401, "invalid_client"},
		{"unknown client, empty secret", []string{"grant_type", "client_credentials", "client_id", "nobody"}, 401, "invalid_client"},
		{"nothing", nil, 401, "invalid_client"},
		{"other grant", []string{"grant_type", "password", "client_id", "demo-partner", "client_secret", "demo-secret"}, 400, "unsupported_grant_type"},
		{"foreign scope", []string{"grant_type", "client_credentials", "client_id", "demo-reader", "client_secret", "demo-reader-secret", "scope", "telematics:write"}, 400, "invalid_scope"},
		{"huge form", []string{"grant_type", strings.Repeat("x", 32<<10)}, 400, "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got map[string]string
			resp := do(t, i, form(t, tt.pairs...), &got)
			require.Equal(t, tt.status, resp.StatusCode)
			require.Equal(t, tt.code, got["error"])
			require.NotEmpty(t, got["error_description"])
		})
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tokenPath, http.NoBody)
	require.Equal(t, http.StatusMethodNotAllowed, do(t, i, req, nil).StatusCode)
}

func TestRotate_KeepsTheKeyBefore(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, devissuer.Config{Algorithm: "ES256"})
	first := keys(t, i).Keys[0].KeyID
	require.NoError(t, i.Rotate())
	set := keys(t, i)
	require.Len(t, set.Keys, 2)
	require.NotEqual(t, first, set.Keys[0].KeyID)
	require.Equal(t, first, set.Keys[1].KeyID)
	require.NoError(t, i.Rotate())
	set = keys(t, i)
	require.Len(t, set.Keys, 2)
	require.Empty(t, set.Key(first))
	for _, k := range set.Keys {
		require.True(t, k.IsPublic(), "no private key is published")
	}
}

func TestMint_OverridesAndRemoves(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, devissuer.Config{Algorithm: "ES256", Audience: "a"})
	token, err := i.Mint(map[string]any{"aud": nil, "iss": "x", "odd": 7})
	require.NoError(t, err)
	claims := verify(t, i, token, "ES256")
	require.NotContains(t, claims, "aud")
	require.Equal(t, "x", claims["iss"])
	require.InDelta(t, 7, claims["odd"], 0)
	require.Contains(t, claims, "exp")
}

func TestNew_Errors(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]devissuer.Config{
		"no URL":         {},
		"other path":     {IssuerURL: "http://127.0.0.1:8080/realms/other"},
		"relative":       {IssuerURL: devissuer.Realm},
		"algorithm":      {IssuerURL: issuerURL, Algorithm: "HS256"},
		"client without": {IssuerURL: issuerURL, Clients: []devissuer.Client{{ID: "x"}}},
	} {
		_, err := devissuer.New(cfg)
		require.Error(t, err, name)
	}
}

func verify(t *testing.T, i *devissuer.Issuer, token any, alg string) jwt.MapClaims {
	t.Helper()
	text, ok := token.(string)
	require.True(t, ok)
	claims := jwt.MapClaims{}
	parsed, err := jwt.NewParser(jwt.WithValidMethods([]string{alg})).ParseWithClaims(text, claims, func(tok *jwt.Token) (any, error) {
		kid, _ := tok.Header["kid"].(string)
		set := keys(t, i)
		found := set.Key(kid)
		require.Len(t, found, 1)
		if alg == "RS256" {
			require.IsType(t, &rsa.PublicKey{}, found[0].Key)
		}
		return found[0].Key, nil
	})
	require.NoError(t, err)
	require.True(t, parsed.Valid)
	return claims
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}
