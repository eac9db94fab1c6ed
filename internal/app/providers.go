package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"writeback/internal/egress"
	"writeback/internal/metrics"
	"writeback/pkg/tsp"
	"writeback/pkg/tsp/all"
	"writeback/pkg/tsp/httpcall"
)

const (
	// idlePerHost bounds the idle connections to one provider's host, unless there are
	// more slots: each would make a connection of its own for every call.
	idlePerHost = 64
	// spareCalls are for what is no slot's: syncs, read-backs, renewals of credentials.
	spareCalls = 64
	// apiCalls bounds the calls of a program that has no slots.
	apiCalls = 512
)

// callsOf bounds the calls to one provider that are under way. It is above the slots,
// so that a call never waits for a connection after it was handed out.
func callsOf(slots int) int {
	if slots <= 0 {
		return apiCalls
	}
	return slots + spareCalls
}

// openProviders makes the adapters, each on a guarded pool of its own: https only, no private
// address at the moment of dialling, unless the configuration is a sandbox's.
func openProviders(ctx context.Context, s Settings) (*tsp.Registry, error) {
	proxy, err := egressProxy(s.EgressProxy)
	if err != nil {
		return nil, err
	}
	guard := egress.New(egress.Config{Open: s.Providers.ProviderLocal, Proxy: proxy, Dial: 5 * time.Second, PerHost: max(idlePerHost, s.Slots)})
	urls := s.Providers.URLs()
	for name, base := range urls {
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
	calls := metrics.New(nil).Histogram(metrics.HTTPClientDuration)
	providers, err := all.Providers(all.Config{
		URLs: urls,
		Call: func(provider string) *httpcall.Client {
			return httpcall.New(httpcall.Config{
				Transport: guard.Pool(callsOf(s.Slots)),
				Measure: func(ctx context.Context, method string, status int, took time.Duration) {
					calls.Record(ctx, took.Seconds(), provider, method, statusCode(status))
				},
			})
		},
	})
	if err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	return providers, nil
}

// statusCode is a status as a label. Empty: there was no answer.
func statusCode(status int) string {
	if status == 0 {
		return ""
	}
	return strconv.Itoa(status)
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
