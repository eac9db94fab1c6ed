// Package all lists every adapter that this build can speak through. A new one is
// one line here; nothing registers itself.
package all

import (
	"time"

	"writeback/pkg/tsp"
	"writeback/pkg/tsp/geotab"
	"writeback/pkg/tsp/httpcall"
	"writeback/pkg/tsp/motive"
	"writeback/pkg/tsp/samsara"
	"writeback/pkg/tsp/simulator"
)

// Config says where the providers are. The zero value is the published hosts.
type Config struct {
	// SamsaraURL, MotiveURL and GeotabURL are base URLs. Empty: the provider's own
	// published host.
	SamsaraURL, MotiveURL, GeotabURL string
	// SimulatorLatency of each simulated call. Zero: none.
	SimulatorLatency time.Duration
	// Call of the HTTP client that the adapters share.
	Call httpcall.Config
}

// Providers makes the adapters.
func Providers(cfg Config) (*tsp.Registry, error) {
	call := httpcall.New(cfg.Call)
	return tsp.NewRegistry(
		samsara.New(call, samsara.Config{BaseURL: cfg.SamsaraURL}),
		motive.New(call, motive.Config{BaseURL: cfg.MotiveURL}),
		geotab.New(call, geotab.Config{Server: cfg.GeotabURL}),
		simulator.New(simulator.Config{Latency: cfg.SimulatorLatency}),
	)
}
