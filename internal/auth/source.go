package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const (
	discoveryPath = "/.well-known/openid-configuration"
	maxAnswer     = 1 << 20
)

// source fetches the issuer's keys over HTTP. Only the key set's goroutine uses it.
type source struct {
	issuer string
	client *http.Client
	owned  bool
	// jwksURI is empty until discovered, and again after a failed fetch: the
	// issuer may have moved its keys.
	jwksURI string
}

func newSource(cfg Config) *source {
	s := &source{issuer: cfg.Issuer, client: cfg.HTTPClient}
	if s.client == nil {
		s.owned = true
		s.client = &http.Client{
			Transport: &http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				ForceAttemptHTTP2:     true,
				MaxIdleConns:          2,
				ResponseHeaderTimeout: cfg.FetchTimeout,
				IdleConnTimeout:       cfg.FetchTimeout,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return s
}

func (s *source) close() {
	if s.owned {
		s.client.CloseIdleConnections()
	}
}

// fetch returns the issuer's keys, discovering where they are if need be. ctx
// carries the deadline.
func (s *source) fetch(ctx context.Context) ([]key, error) {
	if s.jwksURI == "" {
		uri, err := s.discover(ctx)
		if err != nil {
			return nil, fmt.Errorf("discover issuer: %w", err)
		}
		s.jwksURI = uri
	}
	keys, err := s.fetchKeys(ctx)
	if err != nil {
		s.jwksURI = ""
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	return keys, nil
}

func (s *source) fetchKeys(ctx context.Context) ([]key, error) {
	body, err := s.get(ctx, s.jwksURI)
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

func (s *source) discover(ctx context.Context) (string, error) {
	body, err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+discoveryPath)
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return "", err
	}
	if doc.Issuer != s.issuer {
		return "", errors.New("the document names another issuer")
	}
	u, err := url.Parse(doc.JWKSURI)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", errors.New("jwks_uri is not an absolute URL")
	}
	if u.Scheme == "http" && strings.HasPrefix(s.issuer, "https:") {
		return "", errors.New("jwks_uri leaves https")
	}
	return doc.JWKSURI, nil
}

func (s *source) get(ctx context.Context, target string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("answer is larger than %d bytes", maxAnswer)
	}
	return body, nil
}
