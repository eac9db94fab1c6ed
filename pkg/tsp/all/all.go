// Package all lists every adapter that this build can speak through. A new one is
// one line here; nothing registers itself.
package all

import (
	"fmt"
	"slices"
	"time"

	"writeback/pkg/tsp"
	"writeback/pkg/tsp/geotab"
	"writeback/pkg/tsp/gpsinsight"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/motive"
	"writeback/pkg/tsp/samsara"
	"writeback/pkg/tsp/simulator"
	"writeback/pkg/tsp/verizonconnect"
	"writeback/pkg/tsp/webfleet"
	"writeback/pkg/tsp/wialon"
)

// Config says where the providers are. The zero value is the published hosts.
type Config struct {
	// URLs are base URLs by provider name. Absent or empty: the provider's own
	// published host.
	URLs map[string]string
	// SimulatorLatency of each simulated call. Zero: none.
	SimulatorLatency time.Duration
	// Call makes the HTTP client of a provider. Nil: one with httpcall's defaults.
	Call func(provider string) *httpcall.Client
}

// entry is one adapter.
type entry struct {
	name string
	// host is the published base URL. Empty: the provider has no address.
	host string
	// make gives the adapter for a base URL; empty is its published host.
	make func(c client, at string) tsp.Provider
}

// client is that of one provider.
type client = *httpcall.Client

// entries are the adapters.
func entries(cfg Config) []entry {
	return []entry{
		{samsara.Name, samsara.DefaultBaseURL, func(c client, at string) tsp.Provider { return samsara.New(c, samsara.Config{BaseURL: at}) }},
		{motive.Name, motive.DefaultBaseURL, func(c client, at string) tsp.Provider { return motive.New(c, motive.Config{BaseURL: at}) }},
		{geotab.Name, geotab.DefaultBaseURL, func(c client, at string) tsp.Provider { return geotab.New(c, geotab.Config{BaseURL: at}) }},
		{webfleet.Name, webfleet.DefaultBaseURL, func(c client, at string) tsp.Provider { return webfleet.New(c, webfleet.Config{BaseURL: at}) }},
		{wialon.Name, wialon.DefaultBaseURL, func(c client, at string) tsp.Provider { return wialon.New(c, wialon.Config{BaseURL: at}) }},
		{gpsinsight.Name, gpsinsight.DefaultBaseURL, func(c client, at string) tsp.Provider { return gpsinsight.New(c, gpsinsight.Config{BaseURL: at}) }},
		{verizonconnect.Name, verizonconnect.DefaultBaseURL, func(c client, at string) tsp.Provider {
			return verizonconnect.New(c, verizonconnect.Config{BaseURL: at})
		}},
		{simulator.Name, "", func(client, string) tsp.Provider {
			return simulator.New(simulator.Config{Latency: cfg.SimulatorLatency})
		}},
	}
}

// Providers makes the adapters.
func Providers(cfg Config) (*tsp.Registry, error) {
	if cfg.Call == nil {
		shared := httpcall.New(httpcall.Config{})
		cfg.Call = func(string) *httpcall.Client { return shared }
	}
	var providers []tsp.Provider
	for _, e := range entries(cfg) {
		p := e.make(cfg.Call(e.name), cfg.URLs[e.name])
		if p.Describe().Name != e.name {
			return nil, fmt.Errorf("all: the adapter listed as %s calls itself %s", e.name, p.Describe().Name)
		}
		providers = append(providers, p)
	}
	return tsp.NewRegistry(providers...)
}

// Names gives the name of every provider, sorted.
func Names() []string {
	var names []string
	for _, e := range entries(Config{}) {
		names = append(names, e.name)
	}
	slices.Sort(names)
	return names
}

// Hosts gives the published base URL of every provider that has an address, by name.
func Hosts() map[string]string {
	hosts := make(map[string]string)
	for _, e := range entries(Config{}) {
		if e.host != "" {
			hosts[e.name] = e.host
		}
	}
	return hosts
}
