package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"writeback/internal/egress"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/all"
	"writeback/pkg/tsp/httpcall"
)

// perProvider bounds the idle connections to one provider's host.
const perProvider = 64

// openProviders makes the adapters on one guarded transport: https only, no private
// address at the moment of dialling, unless the configuration is a sandbox's.
func openProviders(ctx context.Context, s Settings) (*tsp.Registry, error) {
	proxy, err := egressProxy(s.EgressProxy)
	if err != nil {
		return nil, err
	}
	guard := egress.New(egress.Config{Open: s.Providers.ProviderLocal, Proxy: proxy, Dial: 5 * time.Second, PerHost: perProvider})
	for name, base := range s.Providers.URLs() {
		if base == "" {
			continue
		}
		u, err := url.Parse(base)
		if err == nil {
			err = guard.CheckURL(u)
		}
		if err != nil {
			return nil, fmt.Errorf("app: base URL of %s: %w (WRITEBACK_PROVIDER_LOCAL=true allows a sandbox)", name, err)
		}
	}
	if s.Providers.ProviderLocal {
		s.Log.WarnContext(ctx, "WRITEBACK_PROVIDER_LOCAL is set: providers may be http and have private addresses; for a sandbox only")
	}
	providers, err := all.Providers(all.Config{
		URLs: s.Providers.URLs(), Call: httpcall.Config{Transport: guard.Transport()},
	})
	if err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	return providers, nil
}

func egressProxy(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	proxy, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("app: WRITEBACK_EGRESS_PROXY is not a URL") // the cause would show a password
	}
	return proxy, nil
}
