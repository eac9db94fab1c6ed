package devissuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// ring holds the signing key and the one before it.
type ring struct {
	alg string

	mu   sync.RWMutex
	keys []signingKey // the current one first
}

type signingKey struct {
	kid     string
	private crypto.Signer
}

func newRing(alg string) (*ring, error) {
	if alg == "" {
		alg = jwt.SigningMethodRS256.Alg()
	}
	r := &ring{alg: alg}
	return r, r.rotate()
}

func (r *ring) rotate() error {
	var (
		private crypto.Signer
		err     error
	)
	switch r.alg {
	case "RS256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return fmt.Errorf("devissuer: algorithm %q is neither RS256 nor ES256", r.alg)
	}
	if err != nil {
		return fmt.Errorf("devissuer: make key: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append([]signingKey{{uuid.NewString(), private}}, r.keys...)
	r.keys = r.keys[:min(2, len(r.keys))]
	return nil
}

func (r *ring) sign(claims jwt.MapClaims) (string, error) {
	r.mu.RLock()
	k := r.keys[0]
	r.mu.RUnlock()
	t := jwt.NewWithClaims(jwt.GetSigningMethod(r.alg), claims)
	t.Header["kid"] = k.kid
	signed, err := t.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("devissuer: sign: %w", err)
	}
	return signed, nil
}

func (r *ring) public() jose.JSONWebKeySet {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var set jose.JSONWebKeySet
	for _, k := range r.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.kid, Algorithm: r.alg, Use: "sig"})
	}
	return set
}
