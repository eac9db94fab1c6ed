package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"writeback/internal/config"
)

const (
	discoveryPath = "/.well-known/openid-configuration"
	maxAnswer     = 1 << 20
)

// newClient follows no redirect and keeps no connection.
func newClient(proxy string) *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if u, err := url.Parse(proxy); proxy != "" && err == nil {
		transport.Proxy = http.ProxyURL(u)
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// cause leaves out the URL, which is shown already.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// get gives the body, and the Date of the answer if there is one.
func get(ctx context.Context, client *http.Client, target string) (status int, body []byte, date time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return 0, nil, date, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, date, cause(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	date, _ = http.ParseTime(resp.Header.Get("Date"))
	return resp.StatusCode, body, date, err
}

// lookAtIssuer looks for the discovery document and the keys.
func lookAtIssuer(ctx context.Context, r *report, s settings, now func() time.Time) {
	const check = "token issuer"
	if s.broken["WRITEBACK_OIDC_ISSUER"] || s.OIDCIssuer == "" {
		return
	}
	client := newClient("")
	before := now()
	status, body, date, err := get(ctx, client, strings.TrimSuffix(s.OIDCIssuer, "/")+discoveryPath)
	after := now()
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	switch {
	case err != nil:
		r.fail(check, "start the issuer, or correct WRITEBACK_OIDC_ISSUER; tokens signed with keys that an api has seen go on working", "not reached: %s", err)
		return
	case status != http.StatusOK || json.Unmarshal(body, &doc) != nil:
		r.fail(check, "correct WRITEBACK_OIDC_ISSUER: below it must be "+discoveryPath, "no discovery document: it answers %d", status)
		return
	case doc.Issuer != s.OIDCIssuer:
		r.fail(check, "set WRITEBACK_OIDC_ISSUER to exactly what stands in the tokens' iss", "it calls itself %q", doc.Issuer)
		return
	}
	if !date.IsZero() {
		compareClock(r, "issuer", date, before, after, time.Second)
	}
	n, err := keys(ctx, client, doc.JWKSURI)
	if err != nil {
		r.fail(check, "see the issuer's log; no token can be checked without its keys", "its keys: %s", err)
		return
	}
	r.ok(check, "reached, %d keys", n)
}

func keys(ctx context.Context, client *http.Client, target string) (int, error) {
	status, body, _, err := get(ctx, client, target)
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	switch {
	case err != nil:
		return 0, err
	case status != http.StatusOK || json.Unmarshal(body, &set) != nil:
		return 0, fmt.Errorf("status %d", status)
	case len(set.Keys) == 0:
		return 0, errors.New("there are none")
	}
	return len(set.Keys), nil
}

// lookAtProviders looks whether anything answers at the base URLs that are set.
func lookAtProviders(ctx context.Context, r *report, s settings) {
	client := newClient(s.EgressProxy)
	bases := maps.Clone(s.URLs())
	maps.DeleteFunc(bases, func(_, base string) bool { return base == "" })
	names := slices.Sorted(maps.Keys(bases))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { _, _, _, errs[i] = get(ctx, client, bases[name]) })
	}
	wg.Wait()
	for i, name := range names {
		check := "provider " + name
		if errs[i] != nil {
			r.warn(check, "correct "+config.URLVariable(name)+" or WRITEBACK_SANDBOX_URL, the way out, or wait: operations wait too", "not reached: %s", errs[i])
			continue
		}
		r.ok(check, "answers") // whatever the status: we sent no credential
	}
}
