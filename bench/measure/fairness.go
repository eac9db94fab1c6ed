package measure

import (
	"context"
	"fmt"
	"time"

	"writeback/bench/load"
	"writeback/bench/provider"
	"writeback/bench/rig"
)

// The shape of the fairness measurement.
const (
	fairSlots   = 64
	fairCap     = 8
	fairLatency = 100 * time.Millisecond
	probeRate   = 4 // a second: a quiet connection asks for less than its share among 80
)

// Fair is what a quiet connection sees beside hot ones.
type Fair struct {
	Hot     int     `json:"hot"`
	Queued  int     `json:"queued"`
	Calls   float64 `json:"calls_per_second"`
	IdleP50 float64 `json:"idle_p50_ms"`
	IdleP99 float64 `json:"idle_p99_ms"`
	BusyP50 float64 `json:"busy_p50_ms"`
	BusyP99 float64 `json:"busy_p99_ms"`
	// Factor is the busy 99th percentile as a part of its bound.
	Factor float64 `json:"of_bound"`
}

// bound is what the quiet connection's p99 may be, in milliseconds.
func bound(idleP99 float64) float64 { return 2*idleP99 + 1000 }

// Fairness measures how long a quiet connection waits for its first attempt beside
// 1, slots ÷ cap and 10 × slots ÷ cap connections that want more than they get.
func (b *Bench) Fairness(ctx context.Context) ([]Fair, error) {
	ratio := fairSlots / fairCap
	var fleet rig.Fleet
	for n := range 10*ratio + 1 {
		c := rig.NewConnection(n, "samsara", 100)
		c.InFlight = fairCap
		fleet.Connections = append(fleet.Connections, c)
	}
	var out []Fair
	err := b.with(ctx, writeback, rig.Options{Fleet: fleet, Slots: fairSlots}, func(s *rig.System, c *load.Client) error {
		f := &fairness{b: b, sys: s, client: c, quiet: fleet.Connections[:1], hot: fleet.Connections[1:]}
		if err := b.Rig.Provider.Set(provider.Settings{Room: 400_000, Latency: fairLatency}); err != nil {
			return err
		}
		idle, err := f.probe(ctx)
		if err != nil {
			return err
		}
		for _, step := range []struct{ from, to, fill int }{
			// The lanes of an earlier step are still full in the next.
			{0, 1, b.pick(100_000, 5_000)}, {1, ratio, b.pick(30_000, 7_000)}, {ratio, 10 * ratio, b.pick(50_000, 10_000)},
		} {
			if err := f.fill(ctx, f.hot[step.from:step.to], step.fill); err != nil {
				return err
			}
			called, _, err := b.Rig.Provider.Count()
			if err != nil {
				return err
			}
			began := time.Now()
			busy, err := f.probe(ctx)
			if err != nil {
				return err
			}
			now, _, err := b.Rig.Provider.Count()
			if err != nil {
				return err
			}
			out = append(out, Fair{
				Hot: step.to, Queued: f.next - now, Calls: float64(now-called) / time.Since(began).Seconds(),
				IdleP50: at(idle, 0.5), IdleP99: at(idle, 0.99),
				BusyP50: at(busy, 0.5), BusyP99: at(busy, 0.99), Factor: at(busy, 0.99) / bound(at(idle, 0.99)),
			})
			b.logf("fairness: %+v", out[len(out)-1])
		}
		return nil
	})
	return out, err
}

// fairness is one measurement under way.
type fairness struct {
	b          *Bench
	sys        *rig.System
	client     *load.Client
	quiet, hot []rig.Connection
	// next is the number of the next write.
	next int
}

func (f *fairness) traffic(connections []rig.Connection, n int) *traffic {
	t := newTraffic(f.sys, n)
	t.connections, t.base = connections, f.next
	f.next += n
	return t
}

func (f *fairness) fill(ctx context.Context, connections []rig.Connection, n int) error {
	_, err := f.traffic(connections, n).closed(ctx, f.client)
	return err
}

// probe writes now and then to the quiet connection, and gives the sorted times to
// the first call.
func (f *fairness) probe(ctx context.Context) ([]time.Duration, error) {
	t := f.traffic(f.quiet, f.b.pick(200, 20))
	r, err := t.open(ctx, f.client, probeRate)
	if err != nil {
		return nil, err
	}
	for range 300 {
		calls, err := f.b.Rig.Provider.Calls(t.base, len(t.ids))
		if err != nil {
			return nil, err
		}
		if out, err := delays(calls, r.Due); err == nil {
			return out, nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("a write of a quiet connection has not reached the provider in 30 s")
}
