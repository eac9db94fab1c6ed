// Package issuer is the token issuer of the bench: OpenID Connect discovery, one
// key, and tokens in the form that Writeback reads.
package issuer

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const keyID = "bench"

// Issuer serves its keys until Close.
type Issuer struct {
	// URL is the iss claim of the tokens.
	URL    string
	key    *rsa.PrivateKey
	server *http.Server
}

// Start makes a key and serves it on a free port.
func Start() (*Issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	i := &Issuer{URL: "http://" + ln.Addr().String(), key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", answer(map[string]any{
		"issuer": i.URL, "jwks_uri": i.URL + "/certs", "id_token_signing_alg_values_supported": []string{"RS256"},
	}))
	mux.HandleFunc("GET /certs", answer(i.Keys()))
	i.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = i.server.Serve(ln) }()
	return i, nil
}

func answer(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

// Keys is the public half.
func (i *Issuer) Keys() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: keyID, Algorithm: "RS256", Use: "sig"}}}
}

// Token gives a token of the partner with every scope that the bench needs.
func (i *Issuer) Token(partner string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.key, KeyID: keyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("issuer: %w", err)
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(map[string]any{
		"iss": i.URL, "sub": "bench", "typ": "Bearer", "iat": now.Unix(), "exp": now.Add(4 * time.Hour).Unix(),
		"scope": "connection:read resource_operation:read telematics:read telematics:write",
		"org":   map[string]any{"bench": map[string]any{"id": partner, "org_type": []string{"partner"}}},
	}).Serialize()
}

// Close ends the server.
func (i *Issuer) Close() { _ = i.server.Close() }
