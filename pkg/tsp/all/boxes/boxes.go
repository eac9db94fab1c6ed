// Package boxes lists what the provider sandbox has of each provider. A new one is
// one line here. It is for development and tests: api and worker do not link it.
package boxes

import (
	"writeback/internal/sandbox"
	geotab "writeback/pkg/tsp/geotab/box"
	gpsinsight "writeback/pkg/tsp/gpsinsight/box"
	motive "writeback/pkg/tsp/motive/box"
	samsara "writeback/pkg/tsp/samsara/box"
	simulator "writeback/pkg/tsp/simulator/box"
	verizonconnect "writeback/pkg/tsp/verizonconnect/box"
	webfleet "writeback/pkg/tsp/webfleet/box"
	wialon "writeback/pkg/tsp/wialon/box"
)

// Config of the parts that have one. The zero value is usable.
type Config struct {
	Samsara samsara.Config
	Motive  motive.Config
	Geotab  geotab.Config
}

// Parts are all parts.
func Parts(cfg Config) []sandbox.Part {
	return []sandbox.Part{
		samsara.Part(cfg.Samsara),
		motive.Part(cfg.Motive),
		geotab.Part(cfg.Geotab),
		simulator.Part(),
		webfleet.Part(),
		wialon.Part(),
		gpsinsight.Part(),
		verizonconnect.Part(),
	}
}

// Seeds are the dev connections of all parts. It is the same in every process.
func Seeds() []sandbox.Seed { return sandbox.Seeds(Parts(Config{})) }
