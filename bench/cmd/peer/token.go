package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// verifier checks tokens, and remembers those that it has checked.
type verifier struct {
	issuer string
	keys   jose.JSONWebKeySet
	known  sync.Map // token -> grant
}

type grant struct {
	scopes map[string]bool
	until  time.Time
}

func newVerifier(issuer string) (*verifier, error) {
	resp, err := http.Get(issuer + "/certs")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	v := &verifier{issuer: issuer}
	if err := json.NewDecoder(resp.Body).Decode(&v.keys); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return v, nil
}

// allows reports whether the request's token is good for the scope.
func (v *verifier) allows(r *http.Request, scope string) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return false
	}
	now := time.Now()
	if g, ok := v.known.Load(token); ok {
		g := g.(grant)
		return now.Before(g.until) && g.scopes[scope]
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return false
	}
	var std jwt.Claims
	var own struct {
		Scope string `json:"scope"`
	}
	if err := parsed.Claims(v.keys, &std, &own); err != nil || std.Validate(jwt.Expected{Issuer: v.issuer, Time: now}) != nil {
		return false
	}
	g := grant{scopes: map[string]bool{}, until: std.Expiry.Time()}
	for _, s := range strings.Fields(own.Scope) {
		g.scopes[s] = true
	}
	v.known.Store(token, g)
	return g.scopes[scope]
}
