package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"writeback/internal/auth"
	"writeback/internal/metrics"
	"writeback/internal/wire"
	"writeback/pkg/operation"
)

// verifier checks a bearer token, and bounds by itself how long it waits for keys. An
// error is auth.ErrInvalid or auth.ErrExpired for a token that is not good,
// auth.ErrUnavailable if that cannot be told now.
type verifier interface {
	Verify(ctx context.Context, token string) (auth.Principal, error)
}

// principalOf gives who is calling; on a route behind authorize there is one.
func principalOf(ctx context.Context) auth.Principal {
	return trailOf(ctx).principal
}

// authorize lets a request through whose token is good and has every scope of
// the route.
func (s *server) authorize(route wire.Route, next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		token, given := bearer(r.Header["Authorization"])
		if !given {
			s.meters.rejected.Add(r.Context(), 1, metrics.TokenMissing)
			w.Header().Set("WWW-Authenticate", "Bearer")
			return &operation.Error{Code: operation.CodeUnauthorized, Message: "a bearer token is required"}
		}
		principal, err := s.deps.Verifier.Verify(r.Context(), token)
		if err != nil {
			s.meters.rejected.Add(r.Context(), 1, rejection(err))
			return denied(w, err)
		}
		trailOf(r.Context()).principal = principal
		for _, scope := range route.Scopes {
			if !principal.Has(scope) {
				s.meters.rejected.Add(r.Context(), 1, metrics.TokenScope)
				w.Header().Set("WWW-Authenticate",
					`Bearer error="insufficient_scope", scope="`+strings.Join(route.Scopes, " ")+`"`)
				return &operation.Error{
					Code:    operation.CodeForbidden,
					Message: "the token lacks the scope " + scope,
				}
			}
		}
		return next(w, r)
	}
}

// rejection is the verifier's error as a label.
func rejection(err error) string {
	switch {
	case errors.Is(err, auth.ErrUnavailable):
		return metrics.TokenUnavailable
	case errors.Is(err, auth.ErrExpired):
		return metrics.TokenExpired
	case errors.Is(err, auth.ErrInvalid):
		return metrics.TokenInvalid
	}
	return metrics.Other
}

// denied says what the verifier's error means for the caller.
func denied(w http.ResponseWriter, err error) error {
	message := "the token is not valid"
	switch {
	case errors.Is(err, auth.ErrUnavailable):
		return &operation.Error{
			Code: operation.CodeUnavailable, Message: "tokens cannot be checked at the moment",
			RetryAfter: time.Second, Err: err,
		}
	case errors.Is(err, auth.ErrExpired):
		message = "the token has expired"
	case !errors.Is(err, auth.ErrInvalid):
		return fmt.Errorf("httpapi: verify token: %w", err)
	}
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	// The rule that the token broke is for our log: whoever forges one is not helped.
	return &operation.Error{Code: operation.CodeUnauthorized, Message: message, Err: err}
}

// bearer takes the token out of the one Authorization header. Another scheme
// counts as no token.
func bearer(values []string) (token string, given bool) {
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", false
	}
	return token, true
}
