package devstack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Clients of the token endpoint.
const (
	DemoClient  = "demo-partner"
	DemoSecret  = "demo-secret"
	OtherClient = "other-partner"
	OtherSecret = "other-secret"
)

const maxTokenAnswer = 64 << 10

// Token asks the stack's token endpoint, over HTTP, for an access token of the
// client. Each call gives a new one.
func (s *Stack) Token(ctx context.Context, client, secret string) (string, error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}, "scope": {"organization"},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.urls.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("devstack: token: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Close = true // one call, so no connection is kept
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("devstack: token: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("devstack: token: the endpoint answered %s", resp.Status)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxTokenAnswer)).Decode(&answer); err != nil {
		return "", fmt.Errorf("devstack: token: %w", err)
	}
	return answer.AccessToken, nil
}
