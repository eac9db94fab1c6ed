package measure

import (
	"context"
	"time"

	"writeback/bench/load"
	"writeback/bench/provider"
	"writeback/bench/rig"
)

// Footprint is what ended operations take in Redis.
type Footprint struct {
	Operations int     `json:"operations"`
	Bytes      float64 `json:"bytes_per_operation"`
	// Points are the memory of Redis over the number of operations, for the plot.
	Points []Point `json:"points,omitempty"`
}

// Point is one of a curve.
type Point struct{ X, Y float64 }

// failing is how many of 100 operations of a realistic run need more than one
// attempt.
const failing = 15

// Memory measures what an ended operation takes, with its log, all indexes and the
// row of its idempotency key. The operations vary in what they hold, and have one
// to three attempts.
func (b *Bench) Memory(ctx context.Context) (*Footprint, error) {
	out := &Footprint{}
	err := b.with(ctx, writeback, rig.Options{Fleet: rig.FleetOf(usersOfMany)}, func(s *rig.System, c *load.Client) error {
		before, err := settle(ctx, s)
		if err != nil {
			return err
		}
		steps, n := b.pick(5, 1), b.pick(50_000, 10_000)
		out.Points = append(out.Points, Point{0, float64(before)})
		for k := range steps {
			if err := b.retain(ctx, s, c, k*n/steps, n/steps); err != nil {
				return err
			}
			now, err := settle(ctx, s)
			if err != nil {
				return err
			}
			out.Operations = (k + 1) * n / steps
			out.Bytes = float64(now-before) / float64(out.Operations)
			out.Points = append(out.Points, Point{float64(out.Operations), float64(now)})
		}
		b.logf("redis: %.0f bytes for each of %d ended operations", out.Bytes, out.Operations)
		return nil
	})
	return out, err
}

// retain lets n operations end, with keys.
func (b *Bench) retain(ctx context.Context, s *rig.System, c *load.Client, base, n int) error {
	if err := b.Rig.Provider.Set(provider.Settings{Room: base + n, Failing: failing}); err != nil {
		return err
	}
	t := newTraffic(s, n)
	t.base, t.keyed = base, true
	if _, err := t.closed(ctx, c); err != nil {
		return err
	}
	if err := awaitCount(ctx, b.Rig, n); err != nil {
		return err
	}
	return pause(ctx, 200*time.Millisecond)
}
