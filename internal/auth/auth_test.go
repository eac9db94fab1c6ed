package auth_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"writeback/internal/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVerify_Good(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, nil)

	p, err := v.Verify(t.Context(), i.mint(t, nil))
	require.NoError(t, err)
	require.Equal(t, partner, p.PartnerID.String())
	require.Equal(t, "someone", p.Subject)
	require.True(t, p.Has("telematics:write"))
	require.False(t, p.Has("telematics"))
	require.False(t, p.Has("webhook:read"))
	require.WithinDuration(t, time.Now().Add(5*time.Minute), p.ExpiresAt, time.Minute)
	require.NoError(t, v.Check(t.Context()))
}

func TestVerify_Claims(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, nil)
	const other = "00000000-0000-7000-8000-0000000000d2"
	ago, ahead := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	for _, tt := range []struct {
		name   string
		claims map[string]any
		want   error
	}{
		{"expired", map[string]any{"exp": ago}, auth.ErrExpired},
		{"expired within the leeway", map[string]any{"exp": time.Now().Add(-5 * time.Second).Unix()}, nil},
		{"no expiry", map[string]any{"exp": nil}, auth.ErrInvalid},
		{"not yet valid", map[string]any{"nbf": ahead}, auth.ErrInvalid},
		{"not yet valid within the leeway", map[string]any{"nbf": time.Now().Add(5 * time.Second).Unix()}, nil},
		{"other issuer", map[string]any{"iss": "http://127.0.0.1:1/realms/catena"}, auth.ErrInvalid},
		{"other issuer and expired", map[string]any{"iss": "http://127.0.0.1:1/realms/catena", "exp": ago}, auth.ErrInvalid},
		{"no issuer", map[string]any{"iss": nil}, auth.ErrInvalid},
		{"other audience", map[string]any{"aud": "elsewhere"}, auth.ErrInvalid},
		{"no audience", map[string]any{"aud": nil}, auth.ErrInvalid},
		{"one of two audiences", map[string]any{"aud": []string{"elsewhere", audience}}, nil},
		{"id token", map[string]any{"typ": "ID"}, auth.ErrInvalid},
		{"type in small letters", map[string]any{"typ": "bearer"}, nil},
		{"no type", map[string]any{"typ": nil}, nil},
		{"no scope", map[string]any{"scope": nil}, nil},
		{"scope of another type", map[string]any{"scope": []string{"a"}}, auth.ErrInvalid},
		{"no org", map[string]any{"org": nil}, auth.ErrInvalid},
		{"empty org", map[string]any{"org": orgs()}, auth.ErrInvalid},
		{"only org without a type", map[string]any{"org": orgs("a", partner, "")}, nil},
		{"partner among others", map[string]any{"org": orgs("a", partner, "partner", "b", other, "fleet")}, nil},
		{"two partners", map[string]any{"org": orgs("a", partner, "partner", "b", other, "partner")}, auth.ErrInvalid},
		{"two orgs, none a partner", map[string]any{"org": orgs("a", partner, "", "b", other, "fleet")}, auth.ErrInvalid},
		{"org id not a uuid", map[string]any{"org": orgs("a", "seven", "partner")}, auth.ErrInvalid},
		{"org id nil", map[string]any{"org": orgs("a", "00000000-0000-0000-0000-000000000000", "partner")}, auth.ErrInvalid},
		{"org of another shape", map[string]any{"org": []string{"a"}}, auth.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := v.Verify(t.Context(), i.mint(t, tt.claims))
			if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
				require.Zero(t, p)
				return
			}
			require.NoError(t, err)
			require.Equal(t, partner, p.PartnerID.String())
		})
	}
}

func TestVerify_AnyAudienceWhenNoneIsConfigured(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, func(c *auth.Config) { c.Audience = "" })
	_, err := v.Verify(t.Context(), i.mint(t, map[string]any{"aud": "elsewhere"}))
	require.NoError(t, err)
}

// The classic forgeries: no signature at all, and a MAC keyed with the issuer's
// public key in every form that it is published in.
func TestVerify_Forgeries(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, nil)
	good := i.mint(t, nil)
	_, err := v.Verify(t.Context(), good)
	require.NoError(t, err)

	parsed, _, err := jwt.NewParser().ParseUnverified(good, jwt.MapClaims{})
	require.NoError(t, err)
	kid, public := parsed.Header["kid"], publicKey(t, i)
	der, err := x509.MarshalPKIXPublicKey(public.Key)
	require.NoError(t, err)
	jwk, err := public.MarshalJSON()
	require.NoError(t, err)

	forge := func(method jwt.SigningMethod, key any, header map[string]any) string {
		f := jwt.NewWithClaims(method, parsed.Claims)
		f.Header["kid"] = kid
		for k, v := range header {
			f.Header[k] = v
		}
		s, err := f.SignedString(key)
		require.NoError(t, err)
		return s
	}
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"none":             forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"HS256 with PEM":   forge(jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil),
		"HS256 with DER":   forge(jwt.SigningMethodHS256, der, nil),
		"HS256 with JWK":   forge(jwt.SigningMethodHS256, jwk, nil),
		"HS256 with empty": forge(jwt.SigningMethodHS256, []byte{}, nil),
		"no signature":     parts[0] + "." + parts[1] + ".",
		"other claims":     parts[0] + "." + strings.Split(i.mint(t, map[string]any{"sub": "root"}), ".")[1] + "." + parts[2],
		"other algorithm":  segment(t, map[string]any{"alg": "ES256", "kid": kid}) + "." + parts[1] + "." + parts[2],
		"declared RS256":   segment(t, map[string]any{"alg": "RS384", "kid": kid}) + "." + parts[1] + "." + parts[2],
		"critical header":  segment(t, map[string]any{"alg": "RS256", "kid": kid, "crit": []string{"x"}}) + "." + parts[1] + "." + parts[2],
	} {
		_, err := v.Verify(t.Context(), token)
		require.ErrorIs(t, err, auth.ErrInvalid, name)
	}
}

func TestVerify_Garbage(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, nil)
	huge := i.mint(t, map[string]any{"padding": strings.Repeat("x", auth.MaxTokenSize)})
	// The last letter has bits that stand for nothing: with others it would be a token of its own.
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	twin := i.mint(t, nil)
	twin = twin[:len(twin)-1] + string(letters[strings.IndexByte(letters, twin[len(twin)-1])^1])
	null := base64.RawURLEncoding.EncodeToString([]byte("null"))
	for _, token := range []string{
		"", ".", "..", "...", "a.b.c", "Bearer x", strings.Repeat(".", 100), strings.Repeat("a", auth.MaxTokenSize),
		null + "." + null + "." + null, segment(t, map[string]any{"alg": 7}) + "." + null + ".",
		segment(t, map[string]any{"alg": "RS256"}) + "." + null + ".", huge, twin, "\x00\xff", i.mint(t, nil) + "=", i.mint(t, nil) + ".x",
	} {
		_, err := v.Verify(t.Context(), token)
		require.ErrorIs(t, err, auth.ErrInvalid)
	}
}

func TestVerify_ErrorsDoNotQuoteTheToken(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, nil)
	for _, claims := range []map[string]any{
		{"scope": 4711}, {"iss": "secret4711"}, {"aud": "secret4711"}, {"org": "secret4711"}, {"exp": "secret4711"},
	} {
		_, err := v.Verify(t.Context(), i.mint(t, claims))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "4711")
	}
}

func TestVerify_Concurrent(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, func(c *auth.Config) { c.CacheSize = 4 })
	tokens := make([]string, 10)
	for n := range tokens {
		tokens[n] = i.mint(t, nil)
	}
	var wg sync.WaitGroup
	for n := range 64 {
		wg.Go(func() {
			for _, token := range tokens {
				if _, err := v.Verify(t.Context(), token); err != nil {
					t.Errorf("verifier %d: %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, i.certs.Load())
}

func TestVerify_CacheEndsWithTheToken(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	var mu sync.Mutex
	now := time.Now()
	v := i.verifier(t, func(c *auth.Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	known(t, v) // nothing is remembered that was verified before
	token := i.mint(t, map[string]any{"exp": now.Add(time.Minute).Unix()})
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
	mu.Lock()
	now = now.Add(2 * time.Minute) // a token that lives longer would still be remembered
	mu.Unlock()
	_, err = v.Verify(t.Context(), token)
	require.ErrorIs(t, err, auth.ErrExpired)
}

func TestVerify_NoLeeway(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	v := i.verifier(t, func(c *auth.Config) { c.Leeway = -1 })
	_, err := v.Verify(t.Context(), i.mint(t, map[string]any{"exp": time.Now().Add(-2 * time.Second).Unix()}))
	require.ErrorIs(t, err, auth.ErrExpired)
}

func TestNew_BadIssuer(t *testing.T) {
	t.Parallel()
	for _, issuer := range []string{"", "auth.example.com", "ftp://x/y", "http://", "https://u:p@x/y", "https://x/y?z=1", "https://x/y#z", "http://%zz"} {
		_, err := auth.New(t.Context(), auth.Config{Issuer: issuer})
		require.Error(t, err, issuer)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJSUzI1NiJ9.e30.")
	v, err := auth.New(f.Context(), auth.Config{Issuer: "http://127.0.0.1:1/realms/catena"})
	require.NoError(f, err)
	f.Cleanup(v.Close)
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := v.Verify(t.Context(), token); err == nil {
			t.Fatal("accepted without any key")
		}
	})
}

func segment(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return base64.RawURLEncoding.EncodeToString(b)
}

func publicKey(t *testing.T, i *issuer) jose.JSONWebKey {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.url+"/protocol/openid-connect/certs", http.NoBody)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var set jose.JSONWebKeySet
	require.NoError(t, json.Unmarshal(body, &set))
	require.Len(t, set.Keys, 1)
	return set.Keys[0]
}
