// Package auth turns an access token into a Principal: who calls, for which
// partner, with which scopes.
//
// It verifies JSON Web Tokens against the keys that an OpenID Connect issuer
// publishes. It never issues tokens, never asks the issuer about one token
// (no introspection), and decides nothing about a route: which scope a route
// needs is the caller's rule. The issuer may be away at any time: keys once seen
// go on working, and nothing but a token with an unknown key ever waits for it.
package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// MaxTokenSize is the length in bytes above which a token is refused unread.
const MaxTokenSize = 8 << 10

// The errors that Verify returns, to be told apart with errors.Is. Their text
// names the rule that was broken and nothing from the token.
var (
	// ErrInvalid means that the token is not acceptable and never will be.
	ErrInvalid = errors.New("auth: invalid token")
	// ErrExpired means that the token was, or may have been, good and is over.
	ErrExpired = errors.New("auth: token expired")
	// ErrUnavailable means that no key of the issuer has been seen yet, so that
	// nothing can be said about the token. It is the server's fault.
	ErrUnavailable = errors.New("auth: issuer keys unavailable")
)

// Principal is the verified caller. It is a value, but its Scopes map is shared
// between callers and must not be changed.
type Principal struct {
	// PartnerID is the partner that the caller acts for.
	PartnerID uuid.UUID
	// Subject is the token's sub claim; it may be empty.
	Subject string
	// Scopes holds the granted scopes, each with the value true.
	Scopes map[string]bool
	// ExpiresAt is when the token ends.
	ExpiresAt time.Time
}

// Has reports whether the scope was granted.
func (p Principal) Has(scope string) bool { return p.Scopes[scope] }

// Config says which tokens are accepted. Issuer is required; the zero value of
// every other field is a sensible default.
type Config struct {
	// Issuer is the issuer's URL, compared byte for byte with the iss claim and
	// with the issuer's own discovery document.
	Issuer string
	// Audience must be among the aud claim. Empty accepts any audience.
	Audience string
	// HTTPClient fetches keys. Nil is a client of the verifier's own, which
	// follows no redirect.
	HTTPClient *http.Client
	// Leeway forgives clock differences in exp and nbf. Zero is 30 s, negative none.
	Leeway time.Duration
	// RefreshInterval is the time between key refreshes. Zero is 5 min.
	RefreshInterval time.Duration
	// RefreshGap is the least time between refreshes asked for by tokens with an
	// unknown key, over all callers. Zero is 5 s.
	RefreshGap time.Duration
	// FetchTimeout bounds one refresh, discovery included. Zero is 5 s.
	FetchTimeout time.Duration
	// KeyWait bounds how long one Verify waits for a refresh. Zero is 2 s.
	KeyWait time.Duration
	// CacheSize is how many verified tokens are remembered. Zero is 10,000.
	CacheSize int
	// CacheTTL is how long a verified token is remembered at most; its own expiry
	// may be earlier. Zero is 5 min.
	CacheTTL time.Duration
	// Logger hears of refreshes that fail and of keys that change. Nil is silence.
	Logger *slog.Logger
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
}

// Verifier verifies tokens. It is safe for concurrent use. It owns one goroutine,
// which Close ends.
type Verifier struct {
	keys      *keySet
	cache     *cache
	parser    *jwt.Parser
	validator *jwt.Validator
	ttl       time.Duration
	now       func() time.Time
}

// New starts a verifier. It does not wait for the issuer: keys are fetched in the
// background until ctx ends or Close is called. An error means a bad Config.
func New(ctx context.Context, cfg Config) (*Verifier, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	opts := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms()),
		jwt.WithIssuer(cfg.Issuer),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(cfg.Leeway),
		jwt.WithTimeFunc(cfg.Now),
		jwt.WithStrictDecoding(),
	}
	if cfg.Audience != "" {
		opts = append(opts, jwt.WithAudience(cfg.Audience))
	}
	return &Verifier{
		keys:      startKeySet(ctx, cfg),
		cache:     newCache(cfg.CacheSize),
		parser:    jwt.NewParser(opts...),
		validator: jwt.NewValidator(opts...),
		ttl:       cfg.CacheTTL,
		now:       cfg.Now,
	}, nil
}

// Close stops the key refresh and waits for it. Keys already known go on working.
func (v *Verifier) Close() { v.keys.close() }

// Check returns nil once keys of the issuer are known, else ErrUnavailable. It
// asks nobody, so it suits a readiness probe.
func (v *Verifier) Check(context.Context) error {
	if v.keys.current.Load() == nil {
		return ErrUnavailable
	}
	return nil
}

// Verify returns the principal of a token in compact form, without "Bearer ".
// The error is one of ErrInvalid, ErrExpired and ErrUnavailable. A token with a
// known key never touches the network; one with an unknown key may wait for a
// refresh, at most Config.KeyWait or until ctx ends.
func (v *Verifier) Verify(ctx context.Context, token string) (Principal, error) {
	if token == "" || len(token) > MaxTokenSize {
		return Principal{}, refuse("size")
	}
	id, now, version := sha256.Sum256([]byte(token)), v.now(), v.keys.version()
	if p, ok := v.cache.get(id, version, now); ok {
		return p, nil
	}
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		// The claims come before the key, so that a token which can never be
		// accepted does not make anybody fetch keys.
		if err := v.validator.Validate(&c); err != nil {
			return nil, err
		}
		return v.keys.lookup(ctx, t)
	})
	if err != nil {
		return Principal{}, classify(err)
	}
	p, err := c.principal()
	if err != nil {
		return Principal{}, err
	}
	v.cache.put(id, entry{principal: p, version: version, until: earlier(p.ExpiresAt, now.Add(v.ttl))})
	return p, nil
}

func (c Config) check() error {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("auth: the issuer must be an absolute http or https URL without user, query or fragment")
	}
	return nil
}

func (c Config) withDefaults() Config {
	switch {
	case c.Leeway == 0:
		c.Leeway = 30 * time.Second
	case c.Leeway < 0:
		c.Leeway = 0
	}
	defaultTo(&c.RefreshInterval, 5*time.Minute)
	defaultTo(&c.RefreshGap, 5*time.Second)
	defaultTo(&c.FetchTimeout, 5*time.Second)
	defaultTo(&c.KeyWait, 2*time.Second)
	defaultTo(&c.CacheTTL, 5*time.Minute)
	defaultTo(&c.CacheSize, 10_000)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func defaultTo[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
