package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

func TestCache_BoundAndVersion(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := newCache(2)
	for n := range byte(3) {
		c.put([32]byte{n}, entry{version: 1, until: now.Add(time.Minute)})
		_, ok := c.get([32]byte{0}, 1, now) // Keeps the first one fresh.
		require.True(t, ok)
	}
	require.Equal(t, 2, c.order.Len())
	_, ok := c.get([32]byte{1}, 1, now)
	require.False(t, ok, "the least recently used leaves")
	_, ok = c.get([32]byte{2}, 2, now)
	require.False(t, ok, "of an older key version")
	_, ok = c.get([32]byte{0}, 1, now.Add(time.Minute))
	require.False(t, ok, "over")
	require.Zero(t, c.order.Len())
}

func TestParseKeys_SkipsWhatCannotServe(t *testing.T) {
	t.Parallel()
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	ed, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(t, err)

	body, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{KeyID: "rsa", Key: strong.Public(), Algorithm: "PS256", Use: "sig"},
		{KeyID: "ec", Key: ec.Public()},
		{KeyID: "ed", Key: ed},
		{KeyID: "any", Key: strong.Public()},
		{KeyID: "enc", Key: strong.Public(), Use: "enc"},
		{KeyID: "oaep", Key: strong.Public(), Algorithm: "RSA-OAEP"},
		{KeyID: "oct", Key: []byte("0123456789abcdef0123456789abcdef"), Algorithm: "HS256"},
		{KeyID: "private", Key: edPrivate},
		{KeyID: "p521", Key: p521.Public()},
	}})
	require.NoError(t, err)
	body = []byte(strings.Replace(string(body), `{"keys":[`, `{"keys":[{"kty":"new"},7,null,`, 1))
	keys, err := parseKeys(body)
	require.NoError(t, err)

	fit := map[string]string{}
	for _, k := range keys {
		for _, alg := range append(algorithms(), "none", "HS256", "PS384", "") {
			if k.fits(alg) {
				fit[k.kid] += alg + " "
			}
		}
	}
	require.Equal(t, map[string]string{"rsa": "PS256 ", "any": "RS256 RS384 RS512 PS256 ", "ec": "ES384 ", "ed": "EdDSA "}, fit)

	snap, _ := (*snapshot)(nil).succeed(keys)
	found, known := snap.find("", "EdDSA")
	require.Len(t, found, 1)
	require.True(t, known)
	found, known = snap.find("ec", "EdDSA")
	require.Empty(t, found)
	require.True(t, known, "another algorithm is no reason to refresh")
	found, known = snap.find("", "PS256")
	require.Empty(t, found, "without a kid there must be no choice")
	require.True(t, known)
}

func TestParseKeys_Errors(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "[]", "{}", `{"keys":[]}`, `{"keys":[{"kty":"RSA"}]}`, `{"keys":[` + strings.Repeat("7,", 100) + `7]}`} {
		_, err := parseKeys([]byte(body))
		require.Error(t, err, body)
	}
}

func TestParseKeys_IsBounded(t *testing.T) {
	t.Parallel()
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	one, err := json.Marshal(jose.JSONWebKey{KeyID: "ed", Key: ed})
	require.NoError(t, err)
	many := func(n int) []byte {
		return []byte(`{"keys":[` + strings.TrimSuffix(strings.Repeat(string(one)+",", n), ",") + `]}`)
	}
	keys, err := parseKeys(many(maxKeys))
	require.NoError(t, err)
	require.Len(t, keys, maxKeys)
	_, err = parseKeys(many(maxKeys + 1))
	require.ErrorContains(t, err, "more than 100")
}

func TestSource_RefusesBadDiscovery(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{
		"another issuer":   `{"issuer":"http://elsewhere","jwks_uri":"SELF/keys"}`,
		"relative jwks":    `{"issuer":"SELF","jwks_uri":"/keys"}`,
		"file jwks":        `{"issuer":"SELF","jwks_uri":"file:///etc/passwd"}`,
		"not JSON":         `<html>`,
		"too large":        `{"issuer":"SELF","x":"` + strings.Repeat("x", maxAnswer) + `"}`,
		"keys are garbage": `{"issuer":"SELF","jwks_uri":"SELF/keys"}`,
		"redirect":         `redirect`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var self string
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if document == "redirect" {
					http.Redirect(w, r, "/elsewhere", http.StatusFound)
					return
				}
				_, _ = w.Write([]byte(strings.ReplaceAll(document, "SELF", self)))
			}))
			t.Cleanup(srv.Close)
			self = srv.URL
			s := newSource(Config{Issuer: self}.withDefaults())
			t.Cleanup(s.close)
			_, err := s.fetch(t.Context())
			require.Error(t, err)
		})
	}
}

func TestSource_KeysMustNotLeaveHTTPS(t *testing.T) {
	t.Parallel()
	var self string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"issuer":"` + self + `","jwks_uri":"http://127.0.0.1:1/keys"}`))
	}))
	t.Cleanup(srv.Close)
	self = srv.URL
	_, err := newSource(Config{Issuer: self, HTTPClient: srv.Client()}).fetch(t.Context())
	require.ErrorContains(t, err, "leaves https")
}

// Each key that leaves, or is another under the same name, ends what is remembered of it.
func TestSnapshot_VersionChangesWithEachKeyThatLeaves(t *testing.T) {
	t.Parallel()
	a, b, c := key{kid: "a", thumb: "1"}, key{kid: "b", thumb: "2"}, key{kid: "c", thumb: "3"}
	other := key{kid: "c", thumb: "4"}
	snap, _ := (*snapshot)(nil).succeed([]key{a, b})
	seen := map[uint64]bool{snap.version: true}
	for _, keys := range [][]key{{b}, {c}, {other}, {a}, {b}} {
		snap, _ = snap.succeed(keys)
		require.False(t, seen[snap.version], "%v", keys)
		seen[snap.version] = true
	}
	more, changed := snap.succeed([]key{a, b, c})
	require.True(t, changed)
	require.Equal(t, snap.version, more.version, "one that is added ends nothing")
	_, changed = more.succeed([]key{c, b, a})
	require.False(t, changed)
}

// An issuer may move its keys; its name may end with a slash.
func TestSource_FollowsKeysThatMove(t *testing.T) {
	t.Parallel()
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{KeyID: "k", Key: ed}}})
	require.NoError(t, err)
	var self string
	at := "/old"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/realm" + discoveryPath:
			_, _ = w.Write([]byte(`{"issuer":"` + self + `","jwks_uri":"` + strings.TrimSuffix(self, "/realm/") + at + `"}`))
		case at:
			_, _ = w.Write(set)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	self = srv.URL + "/realm/"
	s := newSource(Config{Issuer: self}.withDefaults())
	t.Cleanup(s.close)
	fetches := func() error {
		_, err := s.fetch(t.Context())
		return err
	}
	require.NoError(t, fetches())
	at = "/new"
	require.Error(t, fetches())
	require.NoError(t, fetches())
}

// What a token calls critical changes what it means, in a way that we do not know.
func TestLookup_CriticalHeader(t *testing.T) {
	t.Parallel()
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	s := &keySet{}
	snap, _ := s.current.Load().succeed([]key{{kid: "k", public: ed}})
	s.current.Store(snap)
	token := &jwt.Token{Method: jwt.SigningMethodEdDSA, Header: map[string]any{"kid": "k"}}
	_, err = s.lookup(t.Context(), token)
	require.NoError(t, err)
	token.Header["crit"] = []any{"exp"}
	_, err = s.lookup(t.Context(), token)
	require.ErrorIs(t, err, ErrInvalid)
}

// Without a gap each token with an unknown key would be a question to the issuer, and without
// an interval there would be no end of them.
func TestConfig_Defaults(t *testing.T) {
	t.Parallel()
	c := Config{}.withDefaults()
	require.Equal(t, Config{
		Leeway: 30 * time.Second, RefreshInterval: 5 * time.Minute, RefreshGap: 5 * time.Second, FetchTimeout: 5 * time.Second,
		KeyWait: 2 * time.Second, CacheSize: 10_000, CacheTTL: 5 * time.Minute, Logger: c.Logger,
	}, Config{
		Leeway: c.Leeway, RefreshInterval: c.RefreshInterval, RefreshGap: c.RefreshGap, FetchTimeout: c.FetchTimeout,
		KeyWait: c.KeyWait, CacheSize: c.CacheSize, CacheTTL: c.CacheTTL, Logger: c.Logger,
	})
	require.NotNil(t, c.Logger)
	require.NotNil(t, c.Now)
}

func TestClassify_Unknown(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, classify(errors.New("novel")), ErrInvalid)
}

func FuzzParseKeys(f *testing.F) {
	ed, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(f, err)
	for _, key := range []any{ed, private, []byte("0123456789abcdef0123456789abcdef")} {
		body, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{KeyID: "k", Key: key}}})
		require.NoError(f, err)
		f.Add(body)
	}
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},null,{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseKeys(body)
		require.Equal(t, err == nil, len(keys) > 0)
		require.LessOrEqual(t, len(keys), maxKeys)
		for _, k := range keys {
			require.False(t, k.fits("HS256"))
			require.False(t, k.fits("none"))
			switch pub := k.public.(type) {
			case *rsa.PublicKey:
				require.GreaterOrEqual(t, pub.N.BitLen(), minRSABits)
			case *ecdsa.PublicKey, ed25519.PublicKey:
			default:
				t.Errorf("a %T is no key to verify with", pub)
			}
		}
	})
}
