package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"writeback/internal/grant"
	"writeback/internal/wire"
)

const (
	apiTimeout = 30 * time.Second
	maxAnswer  = 16 << 20
	// earlier is how long before its end a token is replaced.
	earlier = 20 * time.Second
)

// What the development stack has beside its API.
const (
	devTokenPath = "/realms/catena/protocol/openid-connect/token"
	devClient    = "demo-partner"
	devSecret    = "demo-secret"
)

// partnerAPI calls the partner API. Safe for concurrent use.
type partnerAPI struct {
	base   string
	client *http.Client
	grant  grant.Client

	mu    sync.Mutex
	token string
	until time.Time // zero: it was given and is not ours to replace
}

// api gives the partner API that the settings name.
func (c *ctl) api() (*partnerAPI, error) {
	s := c.settings
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 256, IdleConnTimeout: apiTimeout}
	a := &partnerAPI{
		base: strings.TrimSuffix(s.APIURL, "/"), token: s.Token, client: &http.Client{Timeout: apiTimeout, Transport: transport},
		grant: grant.Client{Endpoint: s.TokenURL, ID: s.ClientID, Secret: s.ClientSecret},
	}
	c.idle = transport.CloseIdleConnections
	if a.token != "" {
		return a, nil
	}
	dev := loopback(a.base)
	if a.grant.Endpoint == "" && dev {
		a.grant.Endpoint = a.base + devTokenPath
	}
	if a.grant.ID == "" && a.grant.Secret == "" && dev {
		a.grant.ID, a.grant.Secret = devClient, devSecret
	}
	if a.grant.Endpoint == "" || a.grant.ID == "" {
		return nil, wrongUsage("the API needs WRITEBACK_TOKEN, or WRITEBACK_TOKEN_URL with WRITEBACK_CLIENT_ID and WRITEBACK_CLIENT_SECRET")
	}
	return a, nil
}

// loopback reports whether a URL leads to this machine.
func loopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// bearer gives the token, a new one if the old one ends soon.
func (a *partnerAPI) bearer(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token != "" && (a.until.IsZero() || time.Now().Before(a.until)) {
		return a.token, nil
	}
	t, err := grant.Ask(ctx, a.client, a.grant)
	if err != nil {
		return "", fmt.Errorf("%w; it was asked of %s (WRITEBACK_TOKEN_URL) for %s (WRITEBACK_CLIENT_ID)", err, a.grant.Endpoint, a.grant.ID)
	}
	a.token, a.until = t.Access, time.Now().Add(max(t.Life-earlier, time.Second))
	return a.token, nil
}

// statusError is an answer that is no success.
type statusError struct {
	status  int
	message string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the API answered %d: %s", e.status, e.message)
}

// call sends JSON and decodes the answer. The error is a *statusError if there was
// an answer.
func (a *partnerAPI) call(ctx context.Context, method, path string, header http.Header, body, into any) error {
	token, err := a.bearer(ctx)
	if err != nil {
		return err
	}
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, content)
	if err != nil {
		return err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := a.client.Do(req)
	if err != nil {
		return unwrapped(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return &statusError{resp.StatusCode, refusal(text)}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// refusal is what an answer says, without the input that it may quote.
func refusal(body []byte) string {
	var said struct {
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &said) != nil {
		return "no JSON"
	}
	var reason string
	var later wire.RetryDetail
	var faults []wire.FaultDetail
	switch {
	case json.Unmarshal(said.Detail, &reason) == nil && reason != "":
		return reason
	case json.Unmarshal(said.Detail, &later) == nil && later.Message != "":
		return later.Message
	case json.Unmarshal(said.Detail, &faults) == nil && len(faults) > 0:
		for i, f := range faults {
			if i > 0 {
				reason += "; "
			}
			reason += f.Path + " " + f.Message
		}
		return reason
	}
	return said.Message
}

// unwrapped leaves the method and the URL out.
func unwrapped(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("the API is not reached: %w", op)
	}
	return err
}
