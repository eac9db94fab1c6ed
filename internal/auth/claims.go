package auth

import (
	"errors"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const partnerType = "partner"

// claims is what we read of a token. Everything else in it is ignored.
type claims struct {
	jwt.RegisteredClaims
	// Scope is the space-separated list of granted scopes.
	Scope string `json:"scope"`
	// Org holds the organizations that the client belongs to, by name.
	Org map[string]organization `json:"org"`
	// Type is "Bearer" in an access token; the same issuer signs ID tokens with
	// the same keys, and those are no proof that somebody may call an API.
	Type string `json:"typ"`
}

type organization struct {
	ID    string   `json:"id"`
	Types []string `json:"org_type"`
}

func (c *claims) principal() (Principal, error) {
	if c.Type != "" && !strings.EqualFold(c.Type, "Bearer") {
		return Principal{}, refuse("not an access token")
	}
	partner, err := c.partner()
	if err != nil {
		return Principal{}, err
	}
	scopes := make(map[string]bool)
	for _, s := range strings.Fields(c.Scope) {
		scopes[s] = true
	}
	return Principal{PartnerID: partner, Subject: c.Subject, Scopes: scopes, ExpiresAt: c.ExpiresAt.Time}, nil
}

// partner picks the one organization that is a partner; an only organization
// counts as one whatever its type. Two candidates are refused rather than guessed.
func (c *claims) partner() (uuid.UUID, error) {
	var found []organization
	for _, o := range c.Org {
		if len(c.Org) == 1 || slices.Contains(o.Types, partnerType) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 1:
	case 0:
		return uuid.Nil, refuse("no partner organization")
	default:
		return uuid.Nil, refuse("more than one partner organization")
	}
	id, err := uuid.Parse(found[0].ID)
	if err != nil || id == uuid.Nil {
		return uuid.Nil, refuse("partner organization without an id")
	}
	return id, nil
}

// classify maps the parser's errors to ours. The library's texts are dropped,
// since some of them quote the token. A token with several faults is invalid
// before it is expired.
func classify(err error) error {
	if ours, ok := errors.AsType[*ruleError](err); ok {
		return ours
	}
	for _, rule := range []struct {
		err  error
		text string
	}{
		{jwt.ErrTokenMalformed, "malformed"},
		{jwt.ErrTokenInvalidIssuer, "issuer"},
		{jwt.ErrTokenInvalidAudience, "audience"},
		{jwt.ErrTokenRequiredClaimMissing, "required claim missing"},
		{jwt.ErrTokenSignatureInvalid, "signature"},
		{jwt.ErrTokenNotValidYet, "not valid yet"},
	} {
		if errors.Is(err, rule.err) {
			return refuse(rule.text)
		}
	}
	if errors.Is(err, jwt.ErrTokenExpired) {
		return ErrExpired
	}
	return refuse("unverifiable")
}

// ruleError is a refusal: its class and the rule behind it, from a closed set.
type ruleError struct {
	class error
	rule  string
}

func refuse(rule string) error { return &ruleError{ErrInvalid, rule} }

// Error gives the class and the rule.
func (e *ruleError) Error() string { return e.class.Error() + ": " + e.rule }

// Unwrap gives the class.
func (e *ruleError) Unwrap() error { return e.class }
