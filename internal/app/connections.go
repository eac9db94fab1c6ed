package app

import "writeback/internal/metrics"

// watchConnections shows whether NATS is connected, and how many connections to providers there
// are, by what they can be used for. Each process shows what it knows: a keyset that only one of
// them lacks locks connections there alone. stop takes the gauges away.
func (b *Base) watchConnections() (stop func()) {
	return metrics.New(nil).Watch(func(show metrics.Observer) {
		up := 0.0
		if b.publisher.Connected() {
			up = 1
		}
		show(metrics.NATSConnected, up)
		for provider, by := range b.Directory.Tally() {
			for status, n := range by {
				show(metrics.Connections, float64(n), provider, status)
			}
		}
	}, metrics.NATSConnected, metrics.Connections)
}
