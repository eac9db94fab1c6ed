// Package all lists every adapter that this build can speak through. A new one is
// one line here; nothing registers itself.
package all

import (
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
	// Call of the HTTP client that the adapters share.
	Call httpcall.Config
}

// Providers makes the adapters.
func Providers(cfg Config) (*tsp.Registry, error) {
	call := httpcall.New(cfg.Call)
	return tsp.NewRegistry(
		samsara.New(call, samsara.Config{BaseURL: cfg.URLs[samsara.Name]}),
		motive.New(call, motive.Config{BaseURL: cfg.URLs[motive.Name]}),
		geotab.New(call, geotab.Config{Server: cfg.URLs[geotab.Name]}),
		webfleet.New(call, webfleet.Config{BaseURL: cfg.URLs[webfleet.Name]}),
		wialon.New(call, wialon.Config{BaseURL: cfg.URLs[wialon.Name]}),
		gpsinsight.New(call, gpsinsight.Config{BaseURL: cfg.URLs[gpsinsight.Name]}),
		verizonconnect.New(call, verizonconnect.Config{BaseURL: cfg.URLs[verizonconnect.Name]}),
		simulator.New(simulator.Config{Latency: cfg.SimulatorLatency}),
	)
}
