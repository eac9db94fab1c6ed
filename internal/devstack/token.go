package devstack

import (
	"context"
	"fmt"
	"net/http"

	"writeback/internal/grant"
)

// Clients of the token endpoint.
const (
	DemoClient  = "demo-partner"
	DemoSecret  = "demo-secret"
	OtherClient = "other-partner"
	OtherSecret = "other-secret"
)

// Token asks the stack's token endpoint, over HTTP, for an access token of the
// client. Each call gives a new one.
func (s *Stack) Token(ctx context.Context, client, secret string) (string, error) {
	token, err := grant.Ask(ctx, http.DefaultClient, grant.Client{Endpoint: s.urls.Token, ID: client, Secret: secret})
	if err != nil {
		return "", fmt.Errorf("devstack: %w", err)
	}
	return token.Access, nil
}
