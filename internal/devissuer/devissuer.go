// Package devissuer is a token issuer FOR DEVELOPMENT AND TESTS ONLY.
//
// It hands signed tokens to clients whose secrets are printed in its source, keeps
// its keys in memory, and knows no users, consent, revocation or brute-force
// protection. Never let it face anything but a developer's machine: whoever
// trusts it trusts everybody. Production uses a real OpenID Connect issuer.
//
// It speaks the part of OpenID Connect that machine clients and token verifiers
// need: discovery, the key set, and the client_credentials grant.
package devissuer

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Realm is the path below which the issuer answers; the issuer URL ends with it.
const Realm = "/realms/catena"

const (
	discoveryPath = Realm + "/.well-known/openid-configuration"
	protocolPath  = Realm + "/protocol/openid-connect"
	certsPath     = protocolPath + "/certs"
	tokenPath     = protocolPath + "/token"
)

// Config describes an issuer.
type Config struct {
	// IssuerURL is the issuer as clients reach it, for example
	// "http://127.0.0.1:8080/realms/catena". Required; its path must be Realm.
	IssuerURL string
	// Audience is the aud claim of the tokens. Empty leaves the claim out.
	Audience string
	// Clients may ask for tokens. Empty means DefaultClients.
	Clients []Client
	// Algorithm signs the tokens: RS256 (the zero value) or ES256.
	Algorithm string
	// TokenTTL is a token's life. Zero is 5 min.
	TokenTTL time.Duration
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
}

// Client may get tokens with its secret.
type Client struct {
	// ID and Secret are the client's credentials.
	ID, Secret string
	// PartnerID and OrgName become the one entry of the org claim.
	PartnerID uuid.UUID
	OrgName   string
	// Scopes is what the client may be granted.
	Scopes []string
}

// AllScopes lists every scope that the API knows, sorted.
func AllScopes() []string {
	return []string{
		"connection:read", "resource_operation:read", "telematics:read", "telematics:write",
		"webhook:create", "webhook:delete", "webhook:read", "webhook:update",
	}
}

// ReadScopes lists the scopes that change nothing, sorted.
func ReadScopes() []string {
	return []string{"connection:read", "resource_operation:read", "telematics:read", "webhook:read"}
}

// DefaultClients returns the clients of the development stack: two partners with
// every scope, and a client of the first partner that may only read.
func DefaultClients() []Client {
	demo := uuid.MustParse("00000000-0000-7000-8000-0000000000d1")
	other := uuid.MustParse("00000000-0000-7000-8000-0000000000d2")
	return []Client{
		{ID: "demo-partner", Secret: "demo-secret", PartnerID: demo, OrgName: "demo", Scopes: AllScopes()},
		{ID: "other-partner", Secret: "other-secret", PartnerID: other, OrgName: "other", Scopes: AllScopes()},
		{ID: "demo-reader", Secret: "demo-reader-secret", PartnerID: demo, OrgName: "demo", Scopes: ReadScopes()},
	}
}

// Issuer is the development issuer as an http.Handler. It is safe for concurrent
// use.
type Issuer struct {
	cfg     Config
	clients map[string]Client
	ring    *ring
	mux     *http.ServeMux
}

// New makes an issuer with a fresh key.
func New(cfg Config) (*Issuer, error) {
	u, err := url.Parse(cfg.IssuerURL)
	if err != nil || u.Host == "" || u.Path != Realm {
		return nil, errors.New("devissuer: the issuer URL must be absolute and end in " + Realm)
	}
	if len(cfg.Clients) == 0 {
		cfg.Clients = DefaultClients()
	}
	if cfg.TokenTTL <= 0 {
		cfg.TokenTTL = 5 * time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r, err := newRing(cfg.Algorithm)
	if err != nil {
		return nil, err
	}
	i := &Issuer{cfg: cfg, clients: make(map[string]Client), ring: r, mux: http.NewServeMux()}
	for _, c := range cfg.Clients {
		if c.ID == "" || c.Secret == "" || c.OrgName == "" {
			return nil, fmt.Errorf("devissuer: client %q needs an id, a secret and an organization", c.ID)
		}
		i.clients[c.ID] = c
	}
	i.mux.HandleFunc("GET "+discoveryPath, i.discovery)
	i.mux.HandleFunc("GET "+certsPath, i.certs)
	i.mux.HandleFunc("POST "+tokenPath, i.token)
	return i, nil
}

// ServeHTTP answers below Realm and 404 elsewhere.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) { i.mux.ServeHTTP(w, r) }

// Rotate makes a new signing key. The key before it stays in the published set,
// so tokens signed with it go on working until the next Rotate.
func (i *Issuer) Rotate() error { return i.ring.rotate() }

// Mint signs a token with any claims at all, for tests. iss, aud, iat, exp, jti
// and typ are filled in where absent; a nil value leaves a claim out.
func (i *Issuer) Mint(claims map[string]any) (string, error) {
	now := i.cfg.Now()
	all := jwt.MapClaims{
		"iss": i.cfg.IssuerURL,
		"iat": now.Unix(),
		"exp": now.Add(i.cfg.TokenTTL).Unix(),
		"jti": uuid.NewString(),
		"typ": "Bearer",
	}
	if i.cfg.Audience != "" {
		all["aud"] = i.cfg.Audience
	}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return i.ring.sign(all)
}

// claims are a client's own, for the granted scopes.
func (c Client) claims(scopes []string) map[string]any {
	return map[string]any{
		"sub":       c.ID,
		"azp":       c.ID,
		"client_id": c.ID,
		"scope":     strings.Join(scopes, " "),
		"org": map[string]any{
			c.OrgName: map[string]any{"id": c.PartnerID.String(), "org_type": []string{"partner"}},
		},
	}
}

// grant picks the scopes for a request. A request that names no API scope gets
// all the client has; ok is false when it names one that the client has not.
func (c Client) grant(requested string) (scopes []string, ok bool) {
	for _, s := range strings.Fields(requested) {
		switch {
		case s == "organization" || s == "openid":
			// Asks for the org claim, which every token has.
		case !slices.Contains(c.Scopes, s):
			return nil, false
		case !slices.Contains(scopes, s):
			scopes = append(scopes, s)
		}
	}
	if len(scopes) == 0 {
		scopes = slices.Clone(c.Scopes)
	}
	return scopes, true
}
