package app

import "writeback/internal/metrics"

// watchConnections shows how many connections there are, by what they can be used for.
// Each process shows what it knows: a keyset that only one of them lacks locks
// connections there alone. stop takes the gauge away.
func watchConnections(b *Base) (stop func(), err error) {
	return metrics.New(nil).Watch(func(show metrics.Observer) {
		for provider, by := range b.Directory.Tally() {
			for status, n := range by {
				show(metrics.Connections, float64(n), provider, status)
			}
		}
	}, metrics.Connections)
}
