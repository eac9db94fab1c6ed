// Package grant gets access tokens by OAuth 2.0 client credentials, as a partner's
// machine does. It keeps no token and repeats no request: the caller does. No error
// shows the secret or the token.
package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const maxAnswer = 64 << 10

// Client is who asks for a token, and where.
type Client struct {
	// Endpoint is the token endpoint's URL.
	Endpoint string
	// ID and Secret are the client's credentials.
	ID, Secret string
}

// Token is an access token and how long it is good for. A zero Life means that the
// endpoint did not say.
type Token struct {
	Access string
	Life   time.Duration
}

// Ask makes one request. Each call gives a new token.
func Ask(ctx context.Context, client *http.Client, c Client) (Token, error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.ID}, "client_secret": {c.Secret}, "scope": {"organization"},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, fmt.Errorf("token: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Close = true // one call, so no connection is kept
	resp, err := client.Do(req)
	if err != nil {
		return Token{}, fmt.Errorf("token: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return Token{}, fmt.Errorf("token: the endpoint answered %s", resp.Status)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer) != nil || answer.AccessToken == "" {
		return Token{}, errors.New("token: the endpoint's answer has no access_token")
	}
	return Token{Access: answer.AccessToken, Life: time.Duration(answer.ExpiresIn) * time.Second}, nil
}
