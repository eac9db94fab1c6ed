package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

const (
	maxKeys    = 100
	minRSABits = 2048
)

// snapshot is one state of the issuer's key set. It never changes.
type snapshot struct {
	keys []key
	// version changes when a key leaves or is replaced, not when one is added.
	version uint64
}

type key struct {
	kid, alg string
	thumb    string
	public   crypto.PublicKey
}

// algorithms lists the signature algorithms that we accept. Symmetric ones and
// "none" are not among them, whatever a key set or a token may say.
func algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"}
}

// fits reports whether the key may verify a signature of the algorithm. The key
// decides, not the token: an RSA key never serves as an HMAC secret.
func (k key) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch pub := k.public.(type) {
	case *rsa.PublicKey:
		return alg == "RS256" || alg == "RS384" || alg == "RS512" || alg == "PS256"
	case *ecdsa.PublicKey:
		return (alg == "ES256" && pub.Params().BitSize == 256) || (alg == "ES384" && pub.Params().BitSize == 384)
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// find returns the keys that may verify a token. known is false when the kid is
// not in the set, which is the one case where a refresh may help. A token without
// a kid is served only where there is no choice.
func (s *snapshot) find(kid, alg string) (keys []jwt.VerificationKey, known bool) {
	if s == nil {
		return nil, false
	}
	for _, k := range s.keys {
		if kid != "" && k.kid != kid {
			continue
		}
		known = true
		if k.fits(alg) {
			keys = append(keys, k.public)
		}
	}
	if kid == "" && len(keys) != 1 {
		return nil, true
	}
	return keys, known
}

// parseKeys reads a JWK set. Keys that we cannot use (encryption keys, symmetric
// or weak ones, unknown types) are skipped; a set without any usable key is an
// error, so that a broken answer never replaces good keys.
func parseKeys(body []byte) ([]key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("key set has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	var keys []key
	for _, raw := range set.Keys {
		if k, ok := parseKey(raw); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("key set has no usable key")
	}
	return keys, nil
}

func parseKey(raw []byte) (key, bool) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil || !jwk.Valid() || !jwk.IsPublic() {
		return key{}, false
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return key{}, false
	}
	if pub, ok := jwk.Key.(*rsa.PublicKey); ok && pub.N.BitLen() < minRSABits {
		return key{}, false
	}
	thumb, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return key{}, false
	}
	k := key{kid: jwk.KeyID, alg: jwk.Algorithm, thumb: string(thumb), public: jwk.Key}
	for _, alg := range algorithms() {
		if k.fits(alg) {
			return k, true
		}
	}
	return key{}, false
}

// succeed makes the next snapshot from the keys of a refresh.
func (s *snapshot) succeed(keys []key) (next *snapshot, changed bool) {
	next = &snapshot{keys: keys, version: 1}
	if s == nil {
		return next, true
	}
	next.version = s.version
	if !covers(keys, s.keys) {
		next.version++
		changed = true
	}
	return next, changed || !covers(s.keys, keys)
}

// covers reports whether every key of b is in a.
func covers(a, b []key) bool {
	type id struct{ kid, alg, thumb string }
	have := make(map[id]bool, len(a))
	for _, k := range a {
		have[id{k.kid, k.alg, k.thumb}] = true
	}
	for _, k := range b {
		if !have[id{k.kid, k.alg, k.thumb}] {
			return false
		}
	}
	return true
}
