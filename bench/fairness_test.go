package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"writeback/pkg/tsp"
)

const (
	slots   = 64
	inCap   = 8
	latency = 100 * time.Millisecond
)

func probes() int {
	if testing.Short() {
		return 50
	}
	return 200
}

// BenchmarkFairness measures how long an operation of a quiet connection waits for
// its first attempt, idle and with hot connections that want more slots than there
// are.
func BenchmarkFairness(b *testing.B) {
	for _, hot := range []int{1, slots / inCap, 10 * slots / inCap} {
		b.Run(fmt.Sprintf("hot=%d", hot), func(b *testing.B) {
			r := newRig(b, &provider{latency: latency, limits: tsp.Limits{InFlight: inCap}})
			r.worker(slots)
			idle := r.probe(probes())
			accepts := r.fill(many(), lanes(hot))
			before, began := r.provider.calls.Load(), time.Now()
			busy := r.probe(probes())
			rate := float64(r.provider.calls.Load()-before) / time.Since(began).Seconds()
			left := r.depth().Outstanding
			require.Greater(b, left, many()/10, "the hot connections ran dry: nothing was measured")

			ratio := float64(busy.at(0.99)) / float64(bound(idle))
			b.Logf("%d hot: idle %s | busy %s | %.0f accepts/s, %.0f calls/s, %d left | p99 is %.3f of the bound (2 x idle + 1 s)", hot, idle, busy, accepts, rate, left, ratio)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ms(idle.at(0.99)), "idle-p99-ms")
			b.ReportMetric(ms(busy.at(0.5)), "busy-p50-ms")
			b.ReportMetric(ms(busy.at(0.99)), "busy-p99-ms")
			b.ReportMetric(rate, "calls/s")
			b.ReportMetric(ratio, "of-bound")
			if ratio > 1 {
				b.Errorf("P4: the quiet connection's p99 is %s, above its bound of %s", busy.at(0.99), bound(idle))
			}
		})
	}
}
